# -*- test-case-name: tests.client.test_link -*-
"""
A session of a client, and the connection that carries its calls.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from twisted_rpc.client.calls import Call, declared
from twisted_rpc.client.connecting import Connector, State
from twisted_rpc.client.plain import PlainLane
from twisted_rpc.client.protocol import ClientProtocol
from twisted_rpc.client.retrying import Retrying
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.messages import ReplyMessage, Welcome, write_ack

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool

#: How often C{ack} is worked out anew, in calls, a power of two: the server
#: keeps so many records more, and every call is 0.2 us cheaper.
ACK_EVERY = 16


class Link:
    """
    One session, and the connection of the moment.

    @ivar protocol: the connection that takes calls: hello is answered, and the
        server has not said goodbye; C{None}: there is none now.
    @ivar connector: makes it, and makes it again.
    @ivar retrying: what becomes of calls whose attempts did not end them.
    @ivar lane: the call of a plain server.
    @ivar plain: the server speaks the plain profile; one call at a time.
    @ivar pending: the calls of the session that have not ended, by id, in the
        order of their seq.
    @ivar room: how many may be pending; 0 while there is no connection.
    @ivar session: its id, once there is one.
    @ivar retired: no new calls; the link ends with its last pending one.
    @ivar max_frame: the largest frame the server takes.
    @ivar useful: the connection of the moment has answered a call.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.protocol: ClientProtocol | None = None
        self.plain = False
        self.retired = False
        self.pending: dict[str, Call] = {}
        self.room = 0
        self.useful = False
        self.session: str | None = None
        self.max_frame = pool.limits.max_frame
        self.connector = Connector(self)
        self.retrying = Retrying(self)
        self.lane = PlainLane(self)
        self._prefix = ""
        self._next_seq = 1
        self._ack = 1
        self._end = write_ack(1)
        self._ceiling = 0
        self._window = 0
        self._told = 1
        self._seen = 1
        self._old: dict[ClientProtocol, None] = {}

    # -- the connection -------------------------------------------------------------------

    def connected(self, protocol: ClientProtocol) -> None:
        """
        A connection is made; nothing has been said.
        """
        self.pool.protocols[protocol] = None
        self.pool.counters.connections += 1
        self.connector.connected(protocol)

    def welcomed(self, protocol: ClientProtocol, welcome: Welcome) -> None:
        """
        The connection is extended, and the session known.
        """
        self.connector.settled()
        self.protocol = protocol
        self.plain = False
        self.max_frame = protocol.connection.max_frame
        self._window = welcome.guarantee.window
        self.room = min(welcome.limits.max_inflight, welcome.guarantee.window)
        self.pool.agreement.learned(welcome, protocol.peer)
        if welcome.session != self.session:
            self._new_session(welcome.session)
        self._refresh()
        # Once per agreed interval, which is never below our own wish (W29).  It
        # also tells the ack, which is the new session's by now.
        wish = self.pool.ping
        protocol.keep_alive(
            max(welcome.ping / 1000, wish) if wish and welcome.ping else 0
        )
        self.retrying.resend()
        self.pool.ready(self)
        self.end_if_done()

    def plain_server(self, protocol: ClientProtocol) -> None:
        """
        The server speaks the plain profile.
        """
        self.connector.settled()
        self.protocol = protocol
        self.plain = True
        self.room = 0
        self.max_frame = protocol.connection.max_frame
        if self.session is not None:
            # The server with sessions is no longer there.
            self._new_session(None)
        self.pool.ready(self)
        self.end_if_done()

    def _new_session(self, session: str | None) -> None:
        """
        The old one has ended, and nothing of it will run again.  What flies on
        a connection that goes away may still be answered there, and what was
        told to wait waits.
        """
        self.pool.counters.calls += self._next_seq - 1
        self.session = session
        self._prefix = f"{session}:"
        self._next_seq = self._told = self._seen = 1
        calls = list(self.pending.values())
        for call in calls:
            call.forsaken = True
        # Before anybody is told: who makes a call then makes it in this session.
        self._refresh()
        for call in calls:
            if call.flying is None and (call.retry is None or call.ambiguous):
                self.retrying.forsake(call)

    @property
    def wanted(self) -> bool:
        """
        Whether somebody waits for a connection.
        """
        return bool(self.pending) or self.pool.needs(self)

    def unreachable(self, error: RPCError, *, permanent: bool) -> None:
        """
        Nobody answered at any address, or hello was refused, for good if
        C{permanent}.
        """
        if permanent:
            for call in list(self.pending.values()):
                if call.flying is None:
                    self.end(call)
                    call.gave_up()
        self.pool.unreachable(self, error, permanent=permanent)

    def went_away(self, protocol: ClientProtocol) -> None:
        """
        The server starts nothing new here: go on elsewhere (W28).
        """
        self.pool.counters.goaways += 1
        if self._leave(protocol):
            self.connector.left()
        self._let_go(protocol)

    def go_elsewhere(self) -> None:
        """
        Start nothing new at this address, whatever the server says.
        """
        protocol = self.protocol
        if protocol is not None:
            protocol.going_away = True
        if protocol is None or self.plain:
            self.connector.next_address()
            self.lane.leave()
            return
        self._leave(protocol)
        self.connector.left()
        self._let_go(protocol)

    def _session_unknown(self, protocol: ClientProtocol) -> None:
        """
        The server knows the session no more, so that no call of it will ever
        run: go on with another, on another connection.
        """
        protocol.going_away = True
        self._leave(protocol)
        self.session = None
        self.connector.dropped()

    def _leave(self, protocol: ClientProtocol) -> bool:
        """
        Start nothing new on a connection.

        @return: whether it was the one of the moment.
        """
        self._old[protocol] = None
        if protocol is not self.protocol:
            return False
        self.protocol = None
        self.room = 0
        return True

    def _let_go(self, protocol: ClientProtocol) -> None:
        """
        Close a connection that is going away, once its calls are answered.
        """
        if all(call.flying is not protocol for call in self.pending.values()):
            self._old.pop(protocol, None)
            protocol.close()

    def lost(self, protocol: ClientProtocol, reason: Failure) -> None:
        """
        A connection has ended.
        """
        self.pool.connection_ended(protocol)
        self._old.pop(protocol, None)
        flying = [call for call in self.pending.values() if call.flying is protocol]
        if protocol is self.protocol:
            self.protocol = None
            self.room = 0
        self.connector.lost(protocol, reason)
        self.lane.lost(protocol)
        self.retrying.unanswered(flying)
        if self.pending:
            self.retrying.resend()
            self.connector.connect()
        if self.pool.queue:
            self.pool.pump()
        self.end_if_done()

    def replace_plain(self) -> None:
        """
        Go on with another connection than the one there is.
        """
        protocol, self.protocol = self.protocol, None
        assert protocol is not None  # a lane asks for it
        protocol.abort()
        self.connector.replaced()
        self.end_if_done()

    # -- calls ------------------------------------------------------------------------------

    def write(self, call: Call) -> bool:
        """
        Give a call its id and write its first attempt.

        @return: whether there was room for it.
        """
        seq = self._next_seq
        if not seq & (ACK_EVERY - 1) or seq >= self._ceiling:
            self._refresh()
            if seq >= self._ceiling:
                return False
        protocol = self.protocol
        if protocol is None:
            return False
        self._next_seq = seq + 1
        request_id = call.id = f"{self._prefix}{seq}"
        call.seq = seq
        target = call.target
        if call.tick or not target.usual:
            self._write_unusual(call, protocol)
            return True
        call.attempts = 1
        stamp = call.stamp = protocol.turn_stamp or protocol.stamp
        size, parts = target.template.first(
            request_id.encode(), call.params, stamp, self._end
        )
        if size > self.max_frame:
            self.refuse_size(call, protocol, size)
            return True
        call.link = self
        call.flying = protocol
        self.pending[request_id] = call
        protocol.send_parts(size, parts)
        return True

    def _write_unusual(self, call: Call, protocol: ClientProtocol) -> None:
        """
        The same for a call that has waited, or says more than every call says.
        """
        call.attempts += 1
        if not call.stamp:
            call.stamp = protocol.stamp
        ext = call.ext(self.pool.seconds(), self._ack)
        body = call.target.template.write(call.id, call.params, call.stamp, ext)
        if len(body) > self.max_frame:
            self.refuse_size(call, protocol, len(body))
        elif call.target.oneway:
            protocol.send_frame(body)
            call.done = True
            call.callback(None)
        else:
            call.link = self
            call.flying = protocol
            self.pending[call.id] = call
            protocol.send_frame(body)

    def refuse_size(self, call: Call, protocol: ClientProtocol, size: int) -> None:
        """
        End a call that the server would not take (W4).
        """
        try:
            protocol.connection.check_size(size)
        except RPCError as error:
            call.failed(error)

    def rewrite(self, call: Call) -> None:
        """
        Write another attempt, under the same id.
        """
        protocol = self.protocol
        if protocol is None or self.plain:
            call.due = True
            self.connector.connect()
            return
        now = self.pool.seconds()
        if call.deadline <= now:
            # The sweep ends it; nothing is sent any more (I13).
            return
        call.due = False
        call.attempts += 1
        body = call.target.template.write(
            call.id, call.params, call.stamp, call.ext(now, self._ack)
        )
        if len(body) > self.max_frame:
            self.end(call)
            self.refuse_size(call, protocol, len(body))
            return
        call.flying = protocol
        self.pool.counters.resent += 1
        protocol.send_frame(body)

    def _refresh(self) -> None:
        """
        The lowest seq that may be sent again: that of the first pending call.
        """
        first = next(
            (call for call in self.pending.values() if not call.forsaken), None
        )
        ack = self._next_seq if first is None else first.seq
        if ack != self._ack:
            self._ack = ack
            self._end = write_ack(ack)
        self._ceiling = self._ack + self._window

    @property
    def window_full(self) -> bool:
        """
        Whether one old call keeps the session from giving out more numbers.
        """
        self._refresh()
        return self.protocol is not None and self._next_seq >= self._ceiling

    @property
    def unused_room(self) -> int:
        """
        How many calls more the server takes on this connection.
        """
        protocol = self.protocol
        flying = sum(call.flying is protocol for call in self.pending.values())
        return max(0, self.room - flying)

    @property
    def ceiling(self) -> int:
        """
        The first seq that must not be sent now (W20).
        """
        self._refresh()
        return self._ceiling

    def tell_ack(self, protocol: ClientProtocol) -> None:
        """
        Once a second: if there has been nothing to send, tell the server what it
        need not keep any more.
        """
        if self.plain or protocol is not self.protocol:
            return
        if self._next_seq != self._seen:
            self._seen = self._next_seq
            return
        self._refresh()
        if self._ack > self._told:
            self._told = self._ack
            protocol.control("ack", [self._ack], oneway=True)

    def succeeded(
        self, call: Call, message: ReplyMessage, protocol: ClientProtocol
    ) -> None:
        """
        A call that was pending has its result.
        """
        pool = self.pool
        self.useful = True
        if not call.seq & (ACK_EVERY - 1):
            call.took()
        if call.retry is not None:
            call.retry.cancel()
        call.answered(message)
        pool.budget.success()
        if pool.queue:
            pool.pump()
        if protocol.going_away:
            self._let_go(protocol)
        if self.retired:
            self.end_if_done()

    def failed(
        self,
        call: Call,
        protocol: ClientProtocol,
        error: RPCError,
        message: ReplyMessage,
    ) -> None:
        """
        A call that is pending has an error.
        """
        call.flying = None
        if error.code is Code.SESSION_UNKNOWN and protocol is self.protocol:
            self._session_unknown(protocol)
        self.retrying.judge(call, declared(call, error, message))
        if self.pool.queue:
            self.pool.pump()
        if protocol.going_away:
            self._let_go(protocol)
        self.end_if_done()

    def end(self, call: Call) -> None:
        """
        C{call} is no longer pending here.
        """
        self.pending.pop(call.id, None)
        call.link = None

    def cancelled(self, call: Call) -> None:
        """
        The caller gave a call up that was written: tell the server.
        """
        if call is self.lane.call:
            # The plain profile has no cancel.
            self.lane.give_up()
            return
        protocol = call.flying
        self.end(call)
        if protocol is not None and not protocol.closing:
            # Whatever the answer is, nobody waits for it.
            protocol.control("cancel", [call.id], oneway=True)
        if protocol is not None and protocol.going_away:
            self._let_go(protocol)
        if self.pool.queue:
            self.pool.pump()
        self.end_if_done()

    def stray(self) -> None:
        """
        A reply came that nobody waits for.
        """
        self.pool.counters.strays += 1

    def expire(self, now: float) -> None:
        """
        End the calls whose time is up.
        """
        late = [call for call in self.pending.values() if call.deadline <= now]
        for call in late:
            protocol = call.flying
            if protocol is not None:
                call.missed(now)
            self.end(call)
            call.gave_up(late=True)
            if protocol is not None and protocol.going_away:
                self._let_go(protocol)
        self.lane.expire(now)
        self.end_if_done()

    @property
    def sent(self) -> int:
        """
        How many calls of this session were sent, those to a plain server too.
        """
        return self._next_seq - 1 + self.lane.sent

    def ask(self, question: Any) -> bool:
        """
        Send a control call, if this is the time for it.

        @return: whether it has been dealt with.
        """
        if self.protocol is None:
            return False
        if self.plain:
            question.failed(
                RPCError(
                    Code.UNIMPLEMENTED,
                    "the server speaks the plain profile, which has no control calls",
                    executed="no",
                )
            )
        else:
            question.sent()
            self.protocol.control(question.method, question.params).addBoth(
                question.settled
            )
        return True

    @property
    def busy(self) -> bool:
        """
        Whether calls are pending here.
        """
        return bool(self.pending) or self.lane.call is not None

    @property
    def first_deadline(self) -> float:
        """
        When the first pending call ends at the latest; infinity without any.
        """
        open_calls = [*self.pending.values()]
        if self.lane.call is not None:
            open_calls.append(self.lane.call)
        return min((call.deadline for call in open_calls), default=inf)

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """
        Close, and leave no timer.  Calls that are pending end as they can.
        """
        if self.connector.state is State.CLOSED:
            return
        protocols = {self.connector.close(), *self._old}
        self.retrying.stop()
        self.protocol = None
        self.room = 0
        # Before anybody is told: who makes a call then finds no link that ends.
        self.pool.closed(self)
        calls = list(self.pending.values())
        last, self.lane.call = self.lane.call, None
        if last is not None:
            calls.append(last)
        for call in calls:
            self.end(call)
        for call in calls:
            call.gave_up()
        for protocol in protocols:
            if protocol is not None:
                protocol.close()

    def retire(self) -> None:
        """
        Take no new calls, and end with the last of those there are.
        """
        self.retired = True
        self.end_if_done()

    def end_if_done(self) -> None:
        """
        Close, if this was the last call of a link that takes no new ones.
        """
        if self.retired and not self.busy:
            self.close()

    def abandon(self) -> None:
        """
        After a fork: the connection is the parent's; forget it untouched.
        """
        self.connector.abandon()
        self.retrying.stop()
        for call in self.pending.values():
            if call.retry is not None:
                call.retry.cancel()
        self.pending.clear()
        self.lane.call = None
        self.protocol = None
        self._old.clear()
        self.room = 0
