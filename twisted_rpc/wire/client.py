# -*- test-case-name: tests.wire.test_client -*-
"""
The client's end of a connection: frames to replies, and what is legal now.

Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from twisted_rpc.errors import (
    Code,
    LocalProtocolError,
    RemoteProtocolError,
    RPCError,
)
from twisted_rpc.structure import MAX_STRUCTURE, is_bomb
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import (
    CONTROL,
    HELLO_ID,
    UNKNOWN_ID,
    GoAway,
    Hello,
    ReplyMessage,
    Welcome,
    read_error,
    read_plain_error,
    write_text,
)

#: How a client talks: C{"auto"} asks, and stays plain with a plain server;
#: C{"plain"} does not ask; C{"extended"} refuses plain servers.
Wire = Literal["auto", "plain", "extended"]

GOAWAY_ID: Final = "$goaway"


class State(Enum):
    """
    What has happened on a connection.
    """

    #: Nothing was sent.
    NEW = "new"
    #: hello was sent; nothing else may be until it is answered.
    ASKING = "asking"
    #: The plain profile, for good.
    PLAIN = "plain"
    #: hello succeeded.
    EXTENDED = "extended"
    #: hello was refused; the server closes.
    REFUSED = "refused"


@dataclass(slots=True)
class Welcomed:
    """The connection is extended."""

    welcome: Welcome


@dataclass(slots=True)
class PlainServer:
    """The server does not know hello; the connection stays plain."""


@dataclass(slots=True)
class HelloRefused:
    """A server that knows this protocol refused; there is no falling back."""

    error: RPCError


@dataclass(slots=True)
class GoAwayReceived:
    """No new calls here; the server closes when the open ones are answered."""

    notice: GoAway


Received = ReplyMessage | Welcomed | PlainServer | HelloRefused | GoAwayReceived


class ClientConnection:
    """
    The client's end of one connection.

    @ivar state: what has happened so far.
    @ivar going_away: C{$goaway} has come.
    @ivar max_frame: the largest frame the server accepts, in bytes, as far as
        is known.
    @ivar open_ids: of a plain connection: the calls written and not answered,
        oldest first.
    """

    __slots__ = (
        "_controls",
        "going_away",
        "max_frame",
        "open_ids",
        "state",
        "wire",
    )

    def __init__(self, limits: Limits, wire: Wire = "auto") -> None:
        self.wire = wire
        self.state = State.NEW
        self.going_away = False
        self.max_frame = limits.max_frame
        self.open_ids: list[str] = []
        self._controls = 0

    # -- sending ------------------------------------------------------------------

    def hello(self, hello: Hello, stamp: bytes) -> bytes:
        """
        The first message of a connection.

        @raise LocalProtocolError: it is not the first.
        """
        if self.state is not State.NEW:
            raise LocalProtocolError("hello must be the first message of a connection")
        self.state = State.ASKING
        return _control(HELLO_ID, "hello", [hello], stamp)

    def stay_plain(self) -> None:
        """
        Speak the plain profile without asking.
        """
        if self.state is not State.NEW:
            raise LocalProtocolError(f"the connection is {self.state.value}")
        self.state = State.PLAIN

    def control(
        self, method: str, params: list[Any], stamp: bytes, *, oneway: bool = False
    ) -> tuple[str, bytes]:
        """
        A call to C{$rpc}.

        @return: its id, unique among those of this connection, and the frame.
        """
        if self.state is not State.EXTENDED:
            raise LocalProtocolError(
                f"no control calls on a connection that is {self.state.value}"
            )
        self._controls += 1
        control_id = f"${self._controls}"
        return control_id, _control(control_id, method, params, stamp, oneway=oneway)

    def check_size(self, size: int) -> None:
        """
        @raise RPCError: a frame of C{size} bytes is more than the server takes
            (W4); it is not sent.
        """
        if size > self.max_frame:
            raise RPCError(
                Code.RESOURCE_EXHAUSTED,
                f"frame of {size} bytes exceeds the limit of {self.max_frame} bytes",
                executed="no",
                retry_after=-1.0,
            )

    # -- receiving ----------------------------------------------------------------

    def receive(self, frame: bytes) -> Received:
        """
        Take one frame.

        @raise RemoteProtocolError: the server broke the protocol; the connection
            is to be closed, and what was open on it has no answer.
        """
        try:
            message = read_reply(frame)
        except Exception as error:
            raise RemoteProtocolError(
                f"a reply that cannot be read: {str(error)[:200]}"
            ) from error
        return self.judge(message)

    def judge(self, message: ReplyMessage) -> Received:
        """
        What a message means that L{read_reply} has read.  On an extended
        connection, what answers a call means just that.

        @raise RemoteProtocolError: as in L{receive}.
        """
        if self.state is State.EXTENDED:
            return self._goaway(message) if message.request_id == GOAWAY_ID else message
        if self.state is State.ASKING:
            return self._answered(message)
        if self.state is State.PLAIN:
            return self._plain(message)
        raise RemoteProtocolError(f"a reply on a connection that is {self.state.value}")

    def _goaway(self, message: ReplyMessage) -> GoAwayReceived:
        try:
            notice = msgspec.json.decode(message.result, type=GoAway)
        except Exception as error:
            raise RemoteProtocolError(f"goaway cannot be read: {error}") from error
        self.going_away = True
        return GoAwayReceived(notice)

    def _answered(self, message: ReplyMessage) -> Received:
        # Exactly the example of wire.md: success; an error with ext is a refusal
        # by a server that knows hello, an error without is a plain server.
        if message.request_id not in {HELLO_ID, UNKNOWN_ID}:
            raise RemoteProtocolError("another answer before that to hello")
        if message.error is None:
            return self._welcomed(message)
        if message.ext is not None:
            self.state = State.REFUSED
            return HelloRefused(self.error_of(message))
        if self.wire == "extended":
            self.state = State.REFUSED
            return HelloRefused(
                RPCError(
                    Code.UNIMPLEMENTED,
                    "the server speaks the plain profile only, and wire is 'extended'",
                    executed="no",
                )
            )
        self.state = State.PLAIN
        return PlainServer()

    def _welcomed(self, message: ReplyMessage) -> Welcomed:
        if is_bomb(bytes(message.result), MAX_STRUCTURE):
            raise RemoteProtocolError(f"the answer to hello holds {_TOO_MUCH}")
        try:
            welcome = msgspec.json.decode(message.result, type=Welcome)
        except Exception as error:
            raise RemoteProtocolError(
                f"the answer to hello cannot be read: {error}"
            ) from error
        if welcome.version != 1:
            raise RemoteProtocolError(
                f"the server chose version {welcome.version}, not 1"
            )
        if not _legal_session(welcome.session):
            raise RemoteProtocolError("the server's session id is not legal")
        if welcome.guarantee.window < 1 or welcome.limits.max_inflight < 1:
            raise RemoteProtocolError("the server takes no calls")
        if welcome.ping < 0:
            raise RemoteProtocolError(
                f"the server wants a ping every {welcome.ping} ms"
            )
        self.state = State.EXTENDED
        self.max_frame = min(self.max_frame, welcome.limits.max_frame)
        return Welcomed(welcome)

    def _plain(self, message: ReplyMessage) -> ReplyMessage:
        if not self.open_ids:
            raise RemoteProtocolError("a reply that answers nothing")
        oldest = self.open_ids.pop(0)
        if message.request_id == UNKNOWN_ID:
            message.request_id = oldest
        elif message.request_id != oldest:
            raise RemoteProtocolError("a reply to another call than the oldest")
        return message

    def error_of(self, message: ReplyMessage) -> RPCError:
        """
        The error of a reply whose C{error} is not C{None}.

        @raise RemoteProtocolError: what is said about it cannot be read.
        """
        if self.state is State.PLAIN:
            return read_plain_error(message.error or "")
        try:
            return read_error(message)
        except Exception as error:
            raise RemoteProtocolError(
                f"an error that cannot be read: {error}"
            ) from error

    def outcome_of(self, message: ReplyMessage) -> Any:
        """
        What a control call was answered with: a JSON value, or an L{RPCError}.

        @raise RemoteProtocolError: it cannot be read.
        """
        if message.error is not None:
            return self.error_of(message)
        if is_bomb(bytes(message.result), MAX_STRUCTURE):
            return RPCError(
                Code.RESOURCE_EXHAUSTED,
                f"the answer holds {_TOO_MUCH}",
                executed="yes",
                retry_after=-1.0,
            )
        try:
            return msgspec.json.decode(message.result)
        except Exception as error:
            raise RemoteProtocolError(
                f"an answer that cannot be read: {error}"
            ) from error


#: What would cost too much to read without knowing its type (delivery.md, X6).
_TOO_MUCH: Final = f"more than {MAX_STRUCTURE} of '[{{:,'"

#: Reads one frame, or raises anything.
read_reply = msgspec.json.Decoder(ReplyMessage).decode
_encode = msgspec.json.Encoder().encode
_SESSION_CHARACTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
)


def _legal_session(session: str) -> bool:
    return 0 < len(session) <= 64 and _SESSION_CHARACTERS.issuperset(session)


def _control(
    request_id: str,
    method: str,
    params: list[Any],
    stamp: bytes,
    *,
    oneway: bool = False,
) -> bytes:
    tail = b',"ext":{"oneway":true}' if oneway else b""
    return (
        b'{"request_id":%b,"method":%b,"params":%b,"timestamp":%b,"service":%b%b}'
        % (
            write_text(request_id),
            write_text(method),
            _encode(params),
            stamp,
            write_text(CONTROL),
            tail,
        )
    )
