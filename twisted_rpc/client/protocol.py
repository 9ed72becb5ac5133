# -*- test-case-name: tests.client.test_protocol -*-
"""
One connection of a client: bytes and Deferreds meet here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.errors import Code, RemoteProtocolError, RPCError
from twisted_rpc.transport import FrameProtocol, peer_name
from twisted_rpc.wire.client import (
    ClientConnection,
    GoAwayReceived,
    HelloRefused,
    PlainServer,
    State,
    Welcomed,
    read_reply,
)
from twisted_rpc.wire.messages import UNKNOWN_ID, ReplyMessage, write_stamp

if TYPE_CHECKING:
    from twisted_rpc.client.calls import Call
    from twisted_rpc.client.link import Link


class ClientProtocol(FrameProtocol):
    """
    The client's end of a connection.

    @ivar link: whose connection it is.
    @ivar pending: the calls that a reply here may answer, by id: those of the
        link, once hello was answered.
    @ivar going_away: the server has sent C{$goaway}.
    @ivar strays: replies that nobody waited for.
    @ivar turn_stamp: L{stamp}, once something was written in this turn.
    """

    _log = Logger(namespace="twisted_rpc.client")

    __slots__ = (
        "_controls",
        "_last_ping",
        "_ping",
        "_timer",
        "_wall",
        "connection",
        "going_away",
        "link",
        "peer",
        "pending",
        "strays",
        "turn_stamp",
    )

    # Replies make no output; and a server whose replies wait reads no calls.
    reads_on = True

    def __init__(self, link: Link) -> None:
        pool = link.pool
        super().__init__(pool.clock, pool.limits)
        self.link = link
        self.connection = ClientConnection(pool.limits, pool.wire)
        self.pending: dict[str, Call] = {}
        self.going_away = False
        self._wall = pool.wall
        self.peer = ""
        self.strays = 0
        self.turn_stamp = b""
        self._controls: dict[str, Deferred[Any]] = {}
        self._timer: Any = None
        self._last_ping = 0.0
        self._ping = 0.0

    def connectionMade(self) -> None:
        """
        Tell the link, which says hello.
        """
        super().connectionMade()
        self.peer = peer_name(self.transport)
        self.link.connected(self)

    @property
    def stamp(self) -> bytes:
        """
        The time of this turn, as it is written into requests.
        """
        stamp = self.turn_stamp
        if not stamp:
            stamp = write_stamp(self._wall())
            if self._turn:
                self.turn_stamp = stamp
        return stamp

    def stringReceived(self, frame: bytes) -> None:
        """
        Take one frame: nearly always the answer to a call.
        """
        try:
            reply = read_reply(frame)
        except Exception:  # noqa: BLE001 - read again, to be told what is wrong
            self._unusual(frame)
            return
        if reply.error is None:
            call = self.pending.pop(reply.request_id, None)
            if call is not None:
                self.link.succeeded(call, reply, self)
                return
        self._unusual(reply)

    def _unusual(self, frame: bytes | ReplyMessage) -> None:
        """
        What is not the answer of a call that succeeded.
        """
        try:
            if isinstance(frame, bytes):
                message = self.connection.receive(frame)
            else:
                message = self.connection.judge(frame)
            if isinstance(message, ReplyMessage):
                self._reply(message)
                return
        except RemoteProtocolError as error:
            self._broken(str(error))
            return
        self._notice(message)

    def _notice(
        self, message: Welcomed | PlainServer | HelloRefused | GoAwayReceived
    ) -> None:
        """
        Something that concerns the connection.
        """
        if isinstance(message, Welcomed):
            welcome = message.welcome
            if welcome.session == self.link.session and not welcome.resumed:
                # What has run could run again there, under the same id.
                self._broken("it has forgotten a session, and gives its id again")
                return
            self.pending = self.link.pending
            self.link.welcomed(self, welcome)
        elif isinstance(message, PlainServer):
            self.link.plain_server(self)
        elif isinstance(message, HelloRefused):
            self.link.connector.refused(self, message.error)
        else:
            self.going_away = True
            self.link.went_away(self)

    def turnEnded(self) -> None:
        """
        The next turn has a time of its own.
        """
        self.turn_stamp = b""

    def _reply(self, message: ReplyMessage) -> None:
        """
        An error, the answer to a control call, or a reply nobody waits for.
        """
        request_id = message.request_id
        call = self.link.pending.get(request_id)
        if self.connection.state is State.PLAIN:
            self.link.lane.answered(self, message)
        elif request_id in self._controls:
            outcome = self.connection.outcome_of(message)
            control = self._controls.pop(request_id)
            control.callback(
                Failure(outcome) if isinstance(outcome, RPCError) else outcome
            )
        elif request_id == UNKNOWN_ID:
            self._broken(message.error or "the server could not read a frame")
        elif call is None or message.error is None or call.flying is not self:
            # Late, doubled, or of a call that was given up (C12).
            self.strays += 1
            self.link.stray()
        else:
            self.link.failed(call, self, self.connection.error_of(message), message)

    def _broken(self, reason: str) -> None:
        self._log.warn(
            "{peer} broke the protocol: {reason}", peer=self.peer, reason=reason[:200]
        )
        self.link.pool.counters.broken += 1
        self.abort()

    def lengthLimitExceeded(self, length: int) -> None:
        """
        A server that sends more than it was told we take has broken the protocol.
        """
        self._broken(f"a frame of {length} bytes, above the limit of {self.MAX_LENGTH}")

    # -- control calls --------------------------------------------------------------------

    def control(
        self, method: str, params: list[Any], *, oneway: bool = False
    ) -> Deferred[Any]:
        """
        Call C{$rpc}.

        @return: fires with the result, or fails with L{RPCError}.
        """
        answer: Deferred[Any] = Deferred()
        control_id, frame = self.connection.control(
            method, params, self.stamp, oneway=oneway
        )
        if oneway:
            answer.callback(None)
        else:
            self._controls[control_id] = answer
        self.send_frame(frame)
        return answer

    # -- life -----------------------------------------------------------------------------

    def keep_alive(self, interval: float) -> None:
        """
        Ping from now on.

        @param interval: seconds; 0: do not.
        """
        self._ping = interval
        self._last_ping = self._seconds()
        self._look_after()

    def _look_after(self) -> None:
        """
        Once a second: does the server live, does it read, and does it know what
        it need not keep?
        """
        self._timer = self._clock.callLater(1.0, self._look_after)
        now = self._seconds()
        if self.overdue(now):
            self._broken("it stopped in the middle of a frame, or does not read")
            return
        self.link.tell_ack(self)
        if not self._ping:
            return
        silent = now - self.heard
        if self._last_ping > self.heard:
            # Another ping would not be answered sooner.
            if now - self._last_ping > self.limits.ping_timeout:
                self.link.pool.counters.ping_timeouts += 1
                self._log.info(
                    "{peer} is silent; the connection is aborted", peer=self.peer
                )
                self.abort()
        elif now - self._last_ping >= self._ping and silent >= min(1.0, self._ping):
            self._last_ping = now
            self.link.pool.counters.pings += 1
            self.control("ping", []).addErrback(lambda _: None)

    def abandon(self) -> None:
        """
        After a fork: the connection is the parent's.  Leave no timer that would
        end it.
        """
        for name in ("_timer", "_abort_call", "_resumption"):
            timer = getattr(self, name)
            setattr(self, name, None)
            if timer is not None and timer.active():
                timer.cancel()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        What was open here has no answer.
        """
        super().connectionLost(reason)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        # First, so that who is told below finds no link that writes here.
        self.link.lost(self, reason)
        controls, self._controls = self._controls, {}
        for control in controls.values():
            control.errback(
                Failure(
                    RPCError(
                        Code.UNAVAILABLE, "the connection was lost", executed="unknown"
                    )
                )
            )
