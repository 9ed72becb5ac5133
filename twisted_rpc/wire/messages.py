# -*- test-case-name: tests.wire.test_messages -*-
"""
The messages of a connection, as they are read and written.

Reading is in two stages: here the envelope, whose C{params} and C{result} stay
text; the method's own codec reads those.  Writing fills in the bytes of a
template, because what surrounds the few parts that change is known beforehand
(0.35 against 0.9 us for a message with C{ext}).
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Final

import msgspec

from twisted_rpc.errors import Code, Executed, RPCError
from twisted_rpc.structure import MAX_STRUCTURE, is_bomb

#: Integers of the protocol itself.
MAX_INTEGER: Final = 2**53 - 1

_Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]

#: An id that answers a message in which no legal one was found.
UNKNOWN_ID: Final = "unknown"

HELLO_ID: Final = "$hello"

#: The service of control calls.
CONTROL: Final = "$rpc"

#: What both sides call the protocol when TLS asks (ALPN).
TLS_NAME: Final = b"twisted-rpc/1"

NULL: Final = msgspec.Raw(b"null")


class RequestExt(msgspec.Struct, gc=False):
    """
    What a request says beyond the plain profile (wire.md, section 7).

    @ivar timeout: milliseconds left when this attempt was written.
    @ivar ack: the lowest seq the client may still send again.
    """

    timeout: _Count | None = None
    attempt: _Count = 1
    ack: _Count | None = None
    meta: dict[str, str] | None = None
    oneway: bool = False
    stream: bool = False
    credit: _Count | None = None
    seq: _Count | None = None
    more: bool | None = None
    crit: list[str] | None = None


class RequestMessage(msgspec.Struct):
    """
    A request.

    @ivar params: the text of an array.
    @ivar timestamp: Unix seconds; the same in every attempt of a call.
    @ivar ext: C{None} on plain connections.
    """

    request_id: str
    method: str
    params: msgspec.Raw
    timestamp: float
    service: str = "default"
    ext: RequestExt | None = None


class CallExt(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """
    C{ext} of a first attempt, as our own clients write it.
    """

    timeout: _Count
    ack: _Count


class CallMessage(msgspec.Struct, gc=False):
    """
    A request on an extended connection that says nothing unusual: nearly all.
    It has a type of its own so that nothing else has to be asked about it.
    """

    request_id: str
    method: str
    params: msgspec.Raw
    timestamp: float
    service: str
    ext: CallExt


class ReplyExt(msgspec.Struct, gc=False):
    """
    What a reply says beyond the plain profile.

    @ivar retry_after: milliseconds; -1: do not retry.
    """

    code: str | None = None
    executed: str | None = None
    type: str | None = None
    # Empty where there is none: msgspec reads no "Raw or null".
    data: msgspec.Raw = msgspec.Raw()
    retry_after: (
        Annotated[int, msgspec.Meta(le=MAX_INTEGER, ge=-MAX_INTEGER)] | None
    ) = None
    replayed: bool = False
    error_id: str | None = None
    seq: int | None = None
    more: bool | None = None
    credit: int | None = None


class ReplyMessage(msgspec.Struct, gc=False):
    """
    A reply, or a notice (C{$goaway}).

    @ivar error: a sentence, or C{None} for success.
    """

    request_id: str
    result: msgspec.Raw = NULL
    error: str | None = None
    timestamp: float | None = None
    ext: ReplyExt | None = None


_Software = Annotated[str, msgspec.Meta(max_length=128)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class HelloLimits(msgspec.Struct):
    """@ivar max_frame: the largest frame the client accepts, in bytes."""

    max_frame: Annotated[int, msgspec.Meta(ge=1024, le=2**31 - 1)] = 4194304


class Auth(msgspec.Struct):
    """Credentials; C{token} is a secret."""

    scheme: str
    token: str

    def __repr__(self) -> str:
        return f"Auth(scheme={self.scheme!r}, token=...)"


class Hello(msgspec.Struct, omit_defaults=True):
    """
    What a client asks for (wire.md, section 5).

    @ivar session: to resume, whatever the client takes for one.
    @ivar ping: milliseconds; 0: never.
    @ivar schema: service to digest, of what the client has loaded.
    """

    versions: Annotated[list[int], msgspec.Meta(min_length=1, max_length=64)]
    features: list[str] = []
    session: str | None = None
    limits: HelloLimits = msgspec.field(default_factory=HelloLimits)
    ping: _Natural = 0
    schema: dict[str, str] = {}
    auth: Auth | None = None
    software: _Software = ""


class Guarantee(msgspec.Struct):
    """
    What a server promises about calls (delivery.md, D25).

    @ivar window: sequence numbers in flight.
    @ivar retention: milliseconds a session without a connection is kept.
    """

    store: str
    durable: bool
    classes: list[str]
    window: _Count
    retention: _Natural


class WelcomeLimits(msgspec.Struct):
    """What the server accepts: bytes of a frame, calls in progress."""

    max_frame: _Count
    max_inflight: _Count


class Welcome(msgspec.Struct):
    """
    The answer to hello: what was agreed.

    @ivar resumed: the session that was asked for goes on.
    @ivar ping: milliseconds; 0: none.
    @ivar time: the server's clock, in Unix seconds.
    """

    version: int
    features: list[str]
    session: str
    resumed: bool
    guarantee: Guarantee
    limits: WelcomeLimits
    ping: _Natural
    schema: dict[str, str]
    time: float
    software: str


class GoAway(msgspec.Struct):
    """
    C{$goaway}.

    @ivar reason: C{"drain"}, C{"age"} or C{"auth"}.
    @ivar grace: milliseconds until the server closes.
    """

    reason: str
    grace: _Natural


_encode = msgspec.json.Encoder().encode

#: The names a C{crit} may hold: those whose meaning is known here.
KNOWN_KEYS: Final = frozenset(RequestExt.__struct_fields__)


def write_text(text: str) -> bytes:
    """
    C{text} as a JSON string; lone surrogates, which JSON cannot carry, escaped.
    """
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(text.encode("utf-8", "backslashreplace").decode())


def write_stamp(seconds: float) -> bytes:
    """
    An instant, in Unix seconds: the shortest text that reads as the same number
    (0.06 us, where six decimals take 0.29).
    """
    return _encode(seconds)


_REQUEST_ID: Final = b'{"request_id":"'
_TIMESTAMP: Final = b',"timestamp":'


def write_ack(ack: int) -> bytes:
    """
    How L{CallTemplate.first} ends: the same in the calls of many methods.
    """
    return b"%d}}" % ack


class CallTemplate:
    """
    The frame of a method's requests, but for what differs from call to call.
    """

    __slots__ = ("_ext", "_method", "_middle", "_service", "_size")

    def __init__(self, service: str, method: str, timeout: int = 0) -> None:
        """
        @param timeout: milliseconds that a first attempt has.
        """
        self._service = write_text(service)
        self._method = write_text(method)
        self._middle: bytes = b'","method":%b,"params":' % self._method
        self._ext: bytes = b',"service":%b,"ext":{"timeout":%d,"ack":' % (
            self._service,
            timeout,
        )
        self._size = sum(map(len, (_REQUEST_ID, self._middle, _TIMESTAMP, self._ext)))

    def first(
        self, request_id: bytes, params: bytes, stamp: bytes, end: bytes
    ) -> tuple[int, tuple[bytes, ...]]:
        """
        The first attempt of a call without metadata, on an extended connection.

        @param request_id: it needs no escaping.
        @param end: what L{write_ack} wrote.

        @return: the size of the frame, and the parts it is joined of.
        """
        size = self._size + len(request_id) + len(params) + len(stamp) + len(end)
        return size, (
            _REQUEST_ID,
            request_id,
            self._middle,
            params,
            _TIMESTAMP,
            stamp,
            self._ext,
            end,
        )

    def write(
        self,
        request_id: str,
        params: bytes,
        stamp: bytes,
        ext: dict[str, Any] | None = None,
    ) -> bytes:
        """
        @param ext: the members of C{ext}; C{None}: a request of the plain
            profile, which has exactly five members.
        """
        tail = b',"ext":' + _encode(ext) if ext is not None else b""
        return (
            b'{"request_id":%b,"method":%b,"params":%b,"timestamp":%b,"service":%b%b}'
            % (
                write_text(request_id),
                self._method,
                params,
                stamp,
                self._service,
                tail,
            )
        )


#: What stands before and behind the id of a call that succeeded, which needs no
#: escaping; then come the result and L{write_tail}.  Joined with everything else
#: of a turn they cost 0.22 us, filled into a template 0.27.
REPLY_ID: Final = b'{"request_id":"'
REPLY_RESULT: Final = b'","result":'


def write_tail(seconds: float) -> bytes:
    """
    How every such reply of a turn ends.

    @param seconds: the time, in Unix seconds.
    """
    return b',"error":null,"timestamp":%b}' % _encode(seconds)


def write_reply(
    request_id: str, result: bytes, stamp: bytes, *, replayed: bool = False
) -> bytes:
    """
    A reply that carries a result.
    """
    tail = b',"ext":{"replayed":true}' if replayed else b""
    return b'{"request_id":%b,"result":%b,"error":null,"timestamp":%b%b}' % (
        write_text(request_id),
        result,
        stamp,
        tail,
    )


def write_error(
    request_id: str, error: RPCError, stamp: bytes, *, extended: bool
) -> bytes:
    """
    A reply that carries an error, with C{ext} on extended connections only:
    plain peers refuse a reply with a member they do not know.
    """
    tail = b',"ext":' + _encode(error_ext(error)) if extended else b""
    return b'{"request_id":%b,"result":null,"error":%b,"timestamp":%b%b}' % (
        write_text(request_id),
        write_text(sentence(error)),
        stamp,
        tail,
    )


def sentence(error: RPCError) -> str:
    """
    What C{error} says on the wire: the framework's own errors name their code,
    but for those whose sentence is fixed (wire.md, section 4).
    """
    # str(): what an implementation raises may hold anything.
    return str(error.message or error.code.value)


def error_ext(error: RPCError) -> dict[str, Any]:
    """
    C{ext} of a reply that carries C{error}.
    """
    ext: dict[str, Any] = {"code": error.code.value, "executed": error.executed}
    if error.type is not None:
        ext["type"] = error.type
        ext["data"] = error.data if error.data is not None else {}
    if error.retry_after is not None:
        ext["retry_after"] = _milliseconds(error.retry_after)
    if error.replayed:
        ext["replayed"] = True
    if error.error_id is not None:
        ext["error_id"] = error.error_id
    return ext


def _milliseconds(retry_after: float) -> int:
    """
    @return: -1, do not retry, also for a time that never comes.
    """
    if retry_after < 0 or not isfinite(retry_after):
        return -1
    return min(MAX_INTEGER, round(retry_after * 1000))


_EXECUTED: Final[dict[str | None, Executed]] = {"no": "no", "yes": "yes"}


def read_error(message: ReplyMessage) -> RPCError:
    """
    The error of a reply on an extended connection.

    A code that is not known here (a newer server's) is read as UNKNOWN.
    """
    ext = message.ext or ReplyExt()
    try:
        code = Code(ext.code)
    except ValueError:
        code = Code.UNKNOWN
    retry_after = ext.retry_after
    return RPCError(
        code,
        message.error or "",
        executed=_EXECUTED.get(ext.executed, "unknown"),
        retry_after=None
        if retry_after is None
        else (-1.0 if retry_after < 0 else retry_after / 1000),
        error_id=ext.error_id,
        remote=True,
        replayed=ext.replayed,
        type=ext.type,
        data=_read_data(ext.data),
    )


def _read_data(raw: msgspec.Raw) -> dict[str, Any] | None:
    """
    The members of a declared exception, as JSON values.
    """
    text = bytes(raw)
    if not text or is_bomb(text, MAX_STRUCTURE):
        return None
    try:
        data = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


#: Sentences of a plain server that tell the code, by how they begin.
_PLAIN_SENTENCES: Final = (
    ("Service not found: ", Code.UNIMPLEMENTED),
    ("Method not found: ", Code.UNIMPLEMENTED),
    ("Parameter validation failed: ", Code.INVALID_ARGUMENT),
)


def read_plain_error(text: str) -> RPCError:
    """
    The error of a plain server.  Always executed C{"unknown"}: an
    implementation may have written the sentence.
    """
    for start, code in _PLAIN_SENTENCES:
        if text.startswith(start):
            return RPCError(code, text, executed="unknown", remote=True)
    return RPCError(Code.UNKNOWN, text, executed="unknown", remote=True)
