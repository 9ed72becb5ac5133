# -*- test-case-name: tests.server.test_conversation -*-
"""
One connection of a server: bytes and Deferreds meet here.
"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.logger import Logger
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.delivery.memory import ANONYMOUS
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.control import Control
from twisted_rpc.server.hello import Negotiation
from twisted_rpc.server.methods import ServedMethod
from twisted_rpc.server.overload.callers import Caller
from twisted_rpc.server.straight import StraightProtocol
from twisted_rpc.server.waiting import Waiting
from twisted_rpc.transport import peer_name
from twisted_rpc.wire.messages import (
    REPLY_ID,
    REPLY_RESULT,
    UNKNOWN_ID,
    CallMessage,
    RequestMessage,
    write_error,
    write_reply,
    write_stamp,
)
from twisted_rpc.wire.server import (
    ControlReceived,
    HelloReceived,
    Received,
    Refusal,
    ServerConnection,
)

if TYPE_CHECKING:
    from twisted_rpc.server.factory import Shared

_REPLY_SIZE: Final = len(REPLY_ID) + len(REPLY_RESULT)


@implementer(IHandshakeListener)
class ServerProtocol(StraightProtocol):
    """
    The server's end of a connection.

    @ivar shared: what all connections of the server have in common.
    @ivar principal: who is at the other end.
    @ivar caller: what that one has in progress; C{None} until it is known.
    @ivar host: where it comes from, once that is known.
    @ivar inflight: calls that have started and not ended.
    @ivar questions: what the store was asked besides.
    @ivar going_away: C{$goaway} was sent; nothing new is started here.
    @ivar ping: the agreed interval in seconds; 0: none.
    """

    _log = Logger(namespace="twisted_rpc.server")

    __slots__ = (
        "_busy_at",
        "_connected_at",
        "_faulty",
        "_receive",
        "_secured",
        "_services",
        "_stamp",
        "_waiting",
        "authenticated",
        "caller",
        "expires",
        "going_away",
        "host",
        "inflight",
        "peer",
        "ping",
        "principal",
        "questions",
        "seconds",
        "shared",
    )

    def __init__(self, shared: Shared) -> None:
        super().__init__(
            shared.clock,
            shared.limits,
            shared.pulse,
            connection=ServerConnection(shared.limits, strict_json=shared.strict_json),
            straight=shared.straight,
            wall=shared.wall,
        )
        self.shared = shared
        self.principal: str = ANONYMOUS
        self.caller: Caller | None = None
        self.host: str | None = None
        # TLS is agreed, where there is any.
        self._secured = False
        self.inflight = self.questions = 0
        self.going_away = False
        self.authenticated = True
        self.ping = self.expires = 0.0
        self.peer = ""
        # When a sweep last found a call here.
        self._busy_at = 0.0
        self.seconds = self._seconds
        self._services = shared.methods.table
        self._receive = self.connection.receive
        self._waiting: dict[str, list[Waiting]] = {}
        self._stamp = b""
        self._connected_at = self.heard
        # It has sent what is not legal.
        self._faulty = False

    # -- the connection begins ------------------------------------------------------

    def connectionMade(self) -> None:
        """
        Find out who it is, as far as a connection shows that by itself.
        """
        super().connectionMade()
        self.shared.connected(self)
        if isinstance(self.transport, HAProxyProtocolWrapper):
            # It tells who it is before anything else that is read.
            self.dataReceived = self._introduced  # type: ignore[method-assign]
        else:
            self._identify()

    def _introduced(self, data: bytes) -> None:
        if self._identify():
            self.dataReceived(data)

    def _identify(self) -> bool:
        """
        @return: whether the connection is kept.
        """
        self.__dict__.pop("dataReceived", None)
        self.peer = peer_name(self.transport)
        if not self.shared.identified(self):
            self.shared.refuse_connection("max_connections_per_address")
            self.abort()
            return False
        self.caller = self.shared.admission.callers.get(self.principal, self.host or "")
        if self.shared.authenticator is not None:
            Negotiation(self).connected()
        self._log.debug("{peer} connected", peer=self.peer)
        return True

    def handshakeCompleted(self) -> None:
        """
        TLS is agreed.
        """
        self._secured = True

    @property
    def _silent(self) -> bool:
        """
        Whether nobody has spoken yet: neither TLS nor the proxy.
        """
        return self.host is None or (
            not self._secured and ISSLTransport.providedBy(self.transport)
        )

    @property
    def _strange(self) -> bool:
        """
        Whether it is not known yet who it is.
        """
        return not self.authenticated or self._silent

    def aged(self, age: float) -> None:
        """
        Look at the age of calls.
        """
        self.shared.admission.suspect()

    # -- frames -----------------------------------------------------------------------

    def stringReceived(self, frame: bytes) -> None:
        """
        Take one frame: nearly always an ordinary call, which goes straight
        through here.
        """
        # Python 3.11 takes 20 ns longer to call what an attribute of an instance
        # holds than to load it and call it, here and in what follows.
        receive = self._receive
        message = receive(frame)
        if type(message) is not CallMessage:
            self._other(message)
            return
        try:
            method: Any = self._services[message.service][message.method]
        except KeyError:
            method = self.shared.methods.missing(message.service, message.method)
        ext = message.ext
        request = Request(
            method,
            # Without the rest of the frame, which a view would keep.
            bytes(message.params),
            message.request_id,
            # From when the bytes came, not from their turn.
            self.arrived + ext.timeout * 0.001,
            self,
            self.connection.seq,
        )
        respond = method.respond
        try:
            answer: Answer = respond(request)
        except Exception as error:  # noqa: BLE001 - of an interceptor of the user's
            self._failed(request, error)
        else:
            if type(answer) is bytes and not request.replayed:
                self._succeeded(request, answer)
            else:
                self._answered(request, answer)
        ack = ext.ack
        if ack > self.session.floor + 1:  # type: ignore[union-attr]
            # After the request is classified (D7).
            self.shared.store.release(self.session, ack)  # type: ignore[arg-type]

    def call(self, request: Request, responder: Responder) -> None:
        """
        Answer a call with what C{responder} says.
        """
        try:
            answer = responder(request)
        except Exception as error:  # noqa: BLE001 - of an interceptor of the user's
            self._failed(request, error)
        else:
            self._answered(request, answer)

    def _answered(self, request: Request, answer: Answer) -> None:
        if isinstance(answer, bytes):
            self.reply(request, answer)
        else:
            self._wait(request, answer)

    def _failed(self, request: Request, error: Exception) -> None:
        if not isinstance(error, RPCError):
            error = self.unexpected(request, Failure(error))
        self.fail(request, error)

    def _succeeded(self, request: Request, result: bytes) -> None:
        """
        Answer an ordinary call with a result.
        """
        # The id of a session needs no escaping.
        request_id = request.id.encode()
        tail = self._tail or self.new_tail()
        size = _REPLY_SIZE + len(request_id) + len(result) + len(tail)
        if size > self.connection.peer_max_frame:
            self._too_big(request, size)
        else:
            self.send_parts(size, (REPLY_ID, request_id, REPLY_RESULT, result, tail))

    def _other(self, received: Received) -> None:
        """
        Everything but ordinary calls.
        """
        if type(received) is RequestMessage:
            self._unusual(received)
        elif isinstance(received, ControlReceived):
            Control(self).answer(received.message)
        elif isinstance(received, HelloReceived):
            Negotiation(self).hello(received.hello)
        elif isinstance(received, Refusal):
            self.refuse(received)

    def _unusual(self, message: RequestMessage) -> None:
        """
        A call of the plain profile, or one that says more, or less, than most.
        """
        methods = self._services.get(message.service)
        method: Any = None if methods is None else methods.get(message.method)
        if method is None:
            method = self.shared.methods.missing(message.service, message.method)
        ext = message.ext
        timeout = method.timeout
        if ext is not None and ext.timeout is not None:
            timeout = ext.timeout / 1000
        request = Request(
            method,
            bytes(message.params),
            message.request_id,
            self.arrived + timeout,
            self,
        )
        request.timestamp = message.timestamp
        if not self.connection.extended:
            self._plain(request, message)
            return
        request.seq = self.connection.seq
        if ext is None:
            self.call(request, method.respond)
            return
        request.attempt = ext.attempt
        request.oneway = ext.oneway
        if ext.meta is not None:
            request.metadata = ext.meta
        if ext.seq is not None:
            # An item of a call that has ended: it was refused (W25).
            return
        if ext.stream or ext.credit is not None:
            self._streamed(request, method)
            return
        self.call(request, method.respond)
        if ext.ack is not None and self.session is not None:
            self.shared.store.release(self.session, ext.ack)

    def _plain(self, request: Request, message: RequestMessage) -> None:
        """
        One call at a time, in order: nothing is started before the answer to
        the one before it is written (W10).
        """
        request.timestamp = (
            message.timestamp if self.shared.client_dated else self.shared.wall()
        )
        if not self.authenticated:
            self.fail(
                request, refusal(Code.UNAUTHENTICATED, "authentication is required")
            )
            return
        try:
            answer: Answer = request.method.respond(request)
        except RPCError as error:
            self.fail(request, error)
            return
        except Exception:  # noqa: BLE001 - as in call
            self.fail(request, self.unexpected(request, Failure()))
            return
        if isinstance(answer, bytes):
            self.reply(request, answer)
        else:
            self.stop_frames()
            self._wait(request, answer)

    def _streamed(self, request: Request, method: Any) -> None:
        if not isinstance(method, ServedMethod) or method.streams:
            text = "streams are not served yet"
        else:
            text = f"{request.service}.{request.name} does not stream"
        self.fail(request, refusal(Code.UNIMPLEMENTED, text))

    def _wait(self, request: Request, answer: Deferred[bytes]) -> None:
        waiting = Waiting(self, request, answer)
        if waiting.open:
            self._waiting.setdefault(request.id, []).append(waiting)

    def forget(self, waiting: Waiting) -> None:
        """
        C{waiting} is being answered.
        """
        request_id = waiting.request.id
        those = self._waiting.get(request_id)
        if those is not None and waiting in those:
            those.remove(waiting)
            if not those:
                del self._waiting[request_id]

    def cancel(self, request_id: str) -> bool:
        """
        The caller gives up what waits here under C{request_id}.

        @return: whether anything does.
        """
        those = list(self._waiting.get(request_id, ()))
        for waiting in those:
            waiting.cancelled()
        return bool(those)

    def begun(self) -> None:
        """
        A call goes on after its turn.
        """
        self.hold()
        if self.caller is not None:
            self.caller.begun()

    def ended(self) -> None:
        """
        A call that went on has ended.
        """
        self.free()
        if self.caller is not None:
            self.caller.ended()

    def hold(self) -> None:
        """
        A call is in progress here, which its caller does not count yet.
        """
        self.inflight += 1
        if self.inflight >= self.limits.max_inflight:
            self.restricted = True
            if self.inflight >= 2 * self.limits.max_inflight:
                # Whether they are refused is for the store to say, which is slower
                # than a peer that does not care: it is not read meanwhile.
                self.stop_frames()

    def free(self) -> None:
        """
        It has ended, or its caller counts it.
        """
        self.inflight -= 1
        self.restricted = self.going_away or self.inflight >= self.limits.max_inflight
        if self._frames_stopped and self.connection.extended:
            self.start_frames()

    def asked(self) -> None:
        """
        The store was asked something that is no call: there is a bound on that too.
        """
        self.questions += 1
        if self.questions >= self.limits.max_inflight:
            self.stop_frames()

    def told(self) -> None:
        """
        It has answered.
        """
        self.questions -= 1
        if self._frames_stopped:
            self.start_frames()

    # -- answers ------------------------------------------------------------------------

    def turnEnded(self) -> None:
        """
        The next turn has a time of its own.
        """
        self._stamp = self._tail = b""

    @property
    def stamp(self) -> bytes:
        """
        The time of this turn, as it is written into replies.
        """
        stamp = self._stamp
        if not stamp:
            stamp = write_stamp(self.shared.wall())
            if self._turn:
                self._stamp = stamp
        return stamp

    def reply(self, request: Request, result: bytes) -> None:
        """
        Answer with a result.
        """
        if request.oneway:
            return
        if request.seq and not request.replayed:
            self._succeeded(request, result)
            return
        body = write_reply(
            request.id,
            result,
            self.stamp,
            replayed=request.replayed and self.connection.extended,
        )
        if len(body) > self.connection.peer_max_frame:
            self._too_big(request, len(body))
            return
        self.send_frame(body)
        if not self.connection.extended:
            self._next()

    def fail(self, request: Request, error: RPCError) -> None:
        """
        Answer with an error.
        """
        if request.oneway:
            return
        extended = self.connection.extended
        body = write_error(request.id, error, self.stamp, extended=extended)
        if len(body) > self.connection.peer_max_frame:
            self._too_big(request, len(body))
            return
        self.shared.counters.errors[error.code.value] += 1
        if error.executed == "no" and error.retry_after is None:
            # Those of limits come in thousands, and are told of together.
            self._log.debug(
                "{service}.{method} refused: {code}",
                service=request.service[:200],
                method=request.name[:200],
                code=error.code.value,
                peer=self.peer,
                request_id=request.log_id,
            )
        self.send_frame(body)
        if not extended:
            self._next()

    def unexpected(self, request: Request, failure: Failure) -> RPCError:
        """
        What the caller is told when something other than the implementation
        failed, and not with L{RPCError}: an interceptor of the user's.
        """
        error_id = token_hex(8)
        self._log.failure(
            "{service}.{method} failed outside its implementation, error_id {error_id}",
            failure=failure,
            service=request.service[:200],
            method=request.name[:200],
            error_id=error_id,
            peer=self.peer,
            request_id=request.log_id,
        )
        return RPCError(
            Code.INTERNAL,
            f"Internal error (error_id {error_id})",
            executed="yes",
            error_id=error_id,
        )

    def _too_big(self, request: Request, size: int) -> None:
        """
        An answer that the peer would refuse becomes an error (W4).
        """
        limit = self.connection.peer_max_frame
        self._log.warn(
            "the answer of {service}.{method} has {size} bytes, the peer takes {limit}",
            service=request.service,
            method=request.name,
            size=size,
            limit=limit,
            peer=self.peer,
        )
        self.fail(
            request,
            RPCError(
                Code.RESOURCE_EXHAUSTED,
                f"frame of {size} bytes exceeds the limit of {limit} bytes",
                executed="yes",
                retry_after=-1.0,
            ),
        )

    def refuse(self, refused: Refusal) -> None:
        """
        Answer what is not legal, and close the connection if it has to be.
        """
        # Once a connection: some of it can be sent as often as one likes.
        tell = self._log.debug if self._faulty else self._log.info
        tell(
            "{peer} sent what is not legal: {reason}",
            peer=self.peer,
            reason=refused.error.message,
        )
        self._faulty = True
        self.shared.counters.errors[refused.error.code.value] += 1
        if not refused.silent:
            self.send_frame(self.connection.write_refusal(refused, self.stamp))
        if refused.close:
            self.close()

    def lengthLimitExceeded(self, length: int) -> None:
        """
        Answer, throw away what comes, and close (W3).
        """
        self.shared.counters.limits["max_frame"] += 1
        error = self.connection.oversize(length, self.MAX_LENGTH)
        self.refuse(Refusal(UNKNOWN_ID, error, close=True))

    def _next(self) -> None:
        """
        A plain connection: the next call may start, unless it is the last.
        """
        if self.going_away:
            self.close()
        elif self._frames_stopped:
            self.start_frames()

    # -- the connection ends ------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """
        Whether somebody waits here for an answer.
        """
        return bool(self._waiting)

    def go_away(self, reason: str, grace: float | None = None) -> None:
        """
        Start nothing new here, and end when what runs is answered.

        @param reason: C{"drain"}, C{"age"} or C{"auth"}.
        @param grace: seconds until the end of what still runs; C{None}:
            L{Limits.grace}.
        """
        if self.going_away or self.closing:
            return
        self.going_away = self.restricted = True
        if self.connection.extended:
            left = self.limits.grace if grace is None else grace
            notice = b'{"reason":"%b","grace":%d}' % (
                reason.encode(),
                round(left * 1000),
            )
            self.send_frame(write_reply("$goaway", notice, self.stamp))
            self.expires = self._seconds() + left
        elif not self._waiting:
            self.close()

    def sweep(self, now: float) -> None:
        """
        End the connection if its time is over (wire.md, section 12).
        """
        overdue = self.overdue(now)
        if overdue is not None:
            self._reached(overdue)
        if overdue == "frame":
            error = RPCError(
                Code.DEADLINE_EXCEEDED,
                f"Invalid request: the frame was not complete within {self.limits.frame:g} s",
                executed="no",
            )
            self.refuse(Refusal(UNKNOWN_ID, error, close=True))
        elif overdue is not None:
            self.abort()
        elif self.closing:
            return
        elif self.going_away:
            if self.expires and now >= self.expires:
                self.give_up("drain" if self.shared.admission.draining else "grace")
        elif self._strange:
            self._sweep_strange(now - self._connected_at)
        else:
            self._sweep_open(now)

    def _sweep_strange(self, age: float) -> None:
        transport = self.transport
        if self.host is None and transport.getPeer() != transport.transport.getPeer():
            # The proxy has spoken; the client may take its time.
            self._identify()
        elif self._silent:
            if age > self.limits.handshake:
                self._reached("handshake")
                self.abort()
        elif age > self.limits.first_frame:
            self._reached("first_frame")
            self.close()

    def _sweep_open(self, now: float) -> None:
        limits = self.limits
        if self.ping and now - self.heard > 2 * self.ping + limits.ping_timeout:
            self._reached("ping_timeout")
            self.abort()
        elif limits.max_age and now >= self.shared.old_at(self):
            self._reached("max_age")
            self.go_away("age")
        elif self._waiting:
            self._busy_at = now
        elif now - max(self.heard, self._busy_at) > limits.idle:
            self._reached("idle")
            self.go_away("age")

    def give_up(self, limit: str) -> None:
        """
        C{limit} is over: close, whatever still runs.
        """
        if self.busy and not self.closing:
            self._reached(limit)
        self.close()

    def unclosed(self) -> None:
        """
        The peer keeps its end open.
        """
        self._reached("close")
        super().unclosed()

    def pauseProducing(self) -> None:
        """
        The peer does not read, and is not read until it does.
        """
        self.shared.counters.slowed["output"] += 1
        super().pauseProducing()

    def _reached(self, limit: str) -> None:
        """
        C{limit} ends the connection.
        """
        self.shared.counters.limits[limit] += 1
        self._log.debug("{peer} is ended by {limit}", peer=self.peer, limit=limit)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        What runs goes on; what only reads is cancelled.
        """
        super().connectionLost(reason)
        waiting = [each for those in self._waiting.values() for each in those]
        self._waiting.clear()
        for each in waiting:
            each.lost()
        if self.session is not None:
            self.shared.store.detach(self.session, self._seconds())
        self.shared.disconnected(self)
        self._log.debug("{peer} disconnected", peer=self.peer)
