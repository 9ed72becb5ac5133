# -*- test-case-name: tests.wire.test_server -*-
"""
The server's end of a connection: frames to messages, and what is legal now.

Nothing here does I/O.  A frame goes in; a request to run, a control call, or
the answer to something illegal comes out.  The rules of order are the table
L{RULES}.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.structure import MAX_STRUCTURE, too_wide
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import (
    CONTROL,
    HELLO_ID,
    KNOWN_KEYS,
    UNKNOWN_ID,
    CallMessage,
    Hello,
    RequestMessage,
    write_error,
)
from twisted_rpc.wire.metadata import meta_fault
from twisted_rpc.wire.text import legal_id, recover_id, repeated_name


class State(Enum):
    """
    What has happened on a connection.
    """

    #: No message yet: hello may come.
    NEW = "new"
    #: The plain profile, for good.
    PLAIN = "plain"
    #: hello came, and its answer is being worked out.
    NEGOTIATING = "negotiating"
    #: hello succeeded.
    EXTENDED = "extended"
    #: hello was refused; the connection closes.
    REFUSED = "refused"


class Kind(Enum):
    """
    What can come.
    """

    HELLO = "hello"
    CONTROL = "a control call"
    CALL = "a call"


class Rule(Enum):
    """
    What is done with it.
    """

    TAKE = "take it"
    #: hello that is not first (W15).
    LATE = "late"
    #: C{$rpc} on a plain connection, other than hello (W11).
    NO_CONTROL = "no control calls here"
    #: A client must wait for the answer to hello (W15).
    IMPATIENT = "impatient"


#: What may follow what: the state, what came; what is done, the state after it.
RULES: Final[dict[tuple[State, Kind], tuple[Rule, State]]] = {
    (State.NEW, Kind.HELLO): (Rule.TAKE, State.NEGOTIATING),
    (State.NEW, Kind.CONTROL): (Rule.NO_CONTROL, State.PLAIN),
    (State.NEW, Kind.CALL): (Rule.TAKE, State.PLAIN),
    (State.PLAIN, Kind.HELLO): (Rule.LATE, State.PLAIN),
    (State.PLAIN, Kind.CONTROL): (Rule.NO_CONTROL, State.PLAIN),
    (State.PLAIN, Kind.CALL): (Rule.TAKE, State.PLAIN),
    (State.NEGOTIATING, Kind.HELLO): (Rule.LATE, State.NEGOTIATING),
    (State.NEGOTIATING, Kind.CONTROL): (Rule.IMPATIENT, State.REFUSED),
    (State.NEGOTIATING, Kind.CALL): (Rule.IMPATIENT, State.REFUSED),
    (State.EXTENDED, Kind.HELLO): (Rule.LATE, State.EXTENDED),
    (State.EXTENDED, Kind.CONTROL): (Rule.TAKE, State.EXTENDED),
    (State.EXTENDED, Kind.CALL): (Rule.TAKE, State.EXTENDED),
}


@dataclass(slots=True)
class HelloReceived:
    """A client negotiates; L{ServerConnection.welcome} or C{refuse} answers."""

    hello: Hello


@dataclass(slots=True)
class ControlReceived:
    """A call to C{$rpc} on an extended connection, to be answered at once."""

    message: RequestMessage


@dataclass(slots=True)
class Refusal:
    """
    Something that is not legal now.

    @ivar request_id: whose answer it is; C{"unknown"} if there is none.
    @ivar close: the connection is closed after the answer.
    @ivar hello: the peer has said hello, so the answer carries C{ext} whatever
        the connection is: that tells us from a plain server (W16).
    @ivar silent: no answer is written, because the message is one-way.
    """

    request_id: str
    error: RPCError
    close: bool = False
    hello: bool = False
    silent: bool = False


Received = CallMessage | RequestMessage | HelloReceived | ControlReceived | Refusal


class ServerConnection:
    """
    The server's end of one connection.

    @ivar state: what has happened so far.
    @ivar extended: whether hello has succeeded.
    @ivar ordinary: whether calls may be read in the short way.
    @ivar prefix: how the ids of the session begin.
    @ivar seq: the sequence number of the call that L{receive} returned last.
    @ivar session: the session of an extended connection, C{""} before.
    """

    __slots__ = (
        "_faults",
        "_limits",
        "_prefix_length",
        "_strict_json",
        "extended",
        "ordinary",
        "peer_max_frame",
        "prefix",
        "seq",
        "session",
        "state",
    )

    def __init__(self, limits: Limits, *, strict_json: bool = False) -> None:
        self._limits = limits
        self._strict_json = strict_json
        self._faults = 0
        self.prefix = ""
        self._prefix_length = 0
        self.ordinary = False
        self.state = State.NEW
        self.extended = False
        self.seq = 0
        self.session = ""
        #: What the client said it accepts, or our own limit.
        self.peer_max_frame = limits.max_frame

    def receive(self, frame: bytes) -> Received:
        """
        Take one frame.

        @return: a call to run, whose sequence number is L{seq} on an extended
            connection; or what else came; or the answer to what is not legal.
        """
        if self.ordinary:
            try:
                call = _read_call(frame)
            except Exception:  # noqa: BLE001, S110 - it is read again below
                pass
            else:
                request_id = call.request_id
                seq = self.seq + 1
                if request_id == f"{self.prefix}{seq}":
                    # Nearly always the number that comes next: 0.13 us, where
                    # to take the id apart and look at it takes 0.34.
                    self.seq = seq
                    return call
                if request_id.startswith(self.prefix):
                    digits = request_id[self._prefix_length :]
                    # 16 digits hold 2^53 - 1; int() would read "+1" and "1_0" too.
                    if (
                        digits.isdecimal()
                        and digits.isascii()
                        and len(digits) < 16
                        and digits[0] != "0"
                    ):
                        self.seq = int(digits)
                        return call
        try:
            message = _read(frame)
        except Exception as error:  # noqa: BLE001 - msgspec raises also RecursionError, UnicodeDecodeError
            return self._unreadable(frame, error)
        if self._strict_json:
            name = repeated_name(frame)
            if name is not None:
                request_id = message.request_id
                return self._illegal(
                    request_id if legal_id(request_id) else UNKNOWN_ID,
                    f"the name {name[:64]!r} occurs twice",
                )
        received = self._judge(message)
        if _is_oneway(message) and self.extended and type(received) is Refusal:
            received.silent = True
        return received

    def _judge(self, message: RequestMessage) -> Received:
        """
        Everything that is not an ordinary call on an extended connection.
        """
        request_id = message.request_id
        if not legal_id(request_id):
            return self._illegal(
                UNKNOWN_ID,
                "request_id must be 1 to 128 characters, none of them a control character",
            )
        if bytes(memoryview(message.params)[:1]) != b"[":
            return self._illegal(request_id, "params must be an array")
        kind = _kind(message)
        if self.state is State.REFUSED:
            return Refusal(
                request_id,
                refusal(Code.FAILED_PRECONDITION, "hello was refused"),
                close=True,
                hello=True,
            )
        if kind is Kind.HELLO and request_id != HELLO_ID:
            return self._illegal(request_id, f"the id of hello must be {HELLO_ID}")
        rule, after = RULES[self.state, kind]
        self.state = after
        if rule is not Rule.TAKE:
            return _broken(rule, message)
        if kind is Kind.HELLO:
            return self._hello(message)
        if kind is Kind.CONTROL:
            return ControlReceived(message)
        return (
            self._extended_call(message) if self.extended else self._plain_call(message)
        )

    def _plain_call(self, message: RequestMessage) -> Received:
        if message.ext is not None:
            return self._illegal(message.request_id, "ext before hello")
        if message.request_id[0] == "$":
            return self._illegal(
                message.request_id, "ids that begin with $ are reserved"
            )
        return message

    def _extended_call(self, message: RequestMessage) -> Received:
        request_id = message.request_id
        session, colon, digits = request_id.rpartition(":")
        if (
            not colon
            or not (digits.isascii() and digits.isdecimal())
            or digits[0] == "0"
        ):
            return self._illegal(request_id, "the id must be SESSION:SEQ")
        if len(digits) > 16 or int(digits) > 2**53 - 1:
            return self._illegal(request_id, "seq must be from 1 to 2^53-1")
        if len(digits) > 15:
            # The number that comes next may be too high.
            self.ordinary = False
        if session != self.session:
            return Refusal(
                request_id,
                refusal(Code.SESSION_UNKNOWN, "no such session", executed="unknown"),
            )
        self.seq = int(digits)
        return self._ext(message)

    def _ext(self, message: RequestMessage) -> Received:
        ext = message.ext
        if ext is None:
            return message
        for key in ext.crit or ():
            if key not in KNOWN_KEYS:
                return Refusal(
                    message.request_id,
                    refusal(Code.UNIMPLEMENTED, f"unknown critical key {key[:64]}"),
                )
        meta = ext.meta
        if meta is not None:
            wrong = meta_fault(meta, self._limits)
            if wrong:
                return self._illegal(message.request_id, wrong)
        return message

    def _hello(self, message: RequestMessage) -> Received:
        try:
            params = bytes(message.params)
            if too_wide(params, MAX_STRUCTURE):
                raise ValueError(f"more than {MAX_STRUCTURE} of '[{{:,'")  # noqa: TRY301 - refused below
            (hello,) = _read_hello(params)
        except Exception as error:  # noqa: BLE001 - as in receive
            self.state = State.REFUSED
            return Refusal(
                message.request_id,
                RPCError(
                    Code.INVALID_ARGUMENT,
                    f"Invalid request: hello: {_reason(error)}",
                    executed="no",
                ),
                close=True,
                hello=True,
            )
        if 1 not in hello.versions:
            self.state = State.REFUSED
            return Refusal(
                message.request_id,
                refusal(
                    Code.UNIMPLEMENTED, "this server speaks version 1 of the protocol"
                ),
                close=True,
                hello=True,
            )
        return HelloReceived(hello)

    def welcome(self, session: str, hello: Hello) -> None:
        """
        hello succeeded: the connection is extended from now on.
        """
        self.state = State.EXTENDED
        self.extended = True
        self.ordinary = not self._strict_json
        self.session = session
        self.prefix = session + ":"
        self._prefix_length = len(self.prefix)
        self.peer_max_frame = hello.limits.max_frame

    def refuse(self) -> None:
        """
        hello was refused; the connection is to be closed.
        """
        self.state = State.REFUSED

    # -- what is not legal ------------------------------------------------------

    def _illegal(self, request_id: str, text: str) -> Refusal:
        """
        A message that is not legal is answered, and the connection stays open
        until the tenth (W9); without an id it closes at once.
        """
        self._faults += 1
        error = RPCError(
            Code.INVALID_ARGUMENT, f"Invalid request: {text}", executed="no"
        )
        if request_id == HELLO_ID and self.state is State.NEW:
            # hello that cannot be read is refused like any other.
            self.state = State.REFUSED
            return Refusal(request_id, error, close=True, hello=True)
        return Refusal(
            request_id,
            error,
            close=request_id == UNKNOWN_ID or self._faults >= self._limits.max_faults,
        )

    def _unreadable(self, frame: bytes, error: Exception) -> Refusal:
        request_id = recover_id(frame)
        if request_id is None:
            return self._illegal(
                UNKNOWN_ID, "not a JSON object" if _no_object(frame) else _reason(error)
            )
        return self._illegal(request_id, _reason(error))

    def oversize(self, length: int, limit: int) -> RPCError:
        """
        The answer to a frame that is empty or too big (W3).
        """
        if not length:
            return RPCError(
                Code.INVALID_ARGUMENT, "Invalid request: an empty frame", executed="no"
            )
        return RPCError(
            Code.RESOURCE_EXHAUSTED,
            f"frame of {length} bytes exceeds the limit of {limit} bytes",
            executed="no",
            retry_after=-1.0,
        )

    def write_refusal(self, refused: Refusal, stamp: bytes) -> bytes:
        """
        The frame that answers what was not legal.
        """
        extended = self.extended or refused.hello
        return write_error(refused.request_id, refused.error, stamp, extended=extended)


_read = msgspec.json.Decoder(RequestMessage).decode
_read_call = msgspec.json.Decoder(CallMessage).decode
_read_hello = msgspec.json.Decoder(tuple[Hello]).decode


def _is_oneway(message: RequestMessage) -> bool:
    """
    Whether C{message} wants no answer, whatever happens.
    """
    return message.ext is not None and message.ext.oneway


def _kind(message: RequestMessage) -> Kind:
    if message.service != CONTROL:
        return Kind.CALL
    return Kind.HELLO if message.method == "hello" else Kind.CONTROL


def _broken(rule: Rule, message: RequestMessage) -> Refusal:
    if rule is Rule.NO_CONTROL:
        return Refusal(
            message.request_id,
            RPCError(
                Code.UNIMPLEMENTED, f"Service not found: {CONTROL}", executed="no"
            ),
        )
    if rule is Rule.LATE:
        return Refusal(
            message.request_id,
            refusal(
                Code.FAILED_PRECONDITION,
                "hello must be the first message of a connection",
            ),
            hello=True,
        )
    return Refusal(
        message.request_id,
        refusal(Code.FAILED_PRECONDITION, "wait for the answer to hello"),
        close=True,
        hello=True,
    )


def _no_object(frame: bytes) -> bool:
    return frame.lstrip()[:1] != b"{"


def _reason(error: Exception) -> str:
    """
    What is wrong with a message, without quoting more than a little of it.
    """
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    text = str(error)
    for old, new in (
        ("Object missing required field ", "missing member "),
        (" - at `$.", " at `"),
        ("JSON is malformed: ", "malformed JSON: "),
    ):
        text = text.replace(old, new)
    return text[:200]
