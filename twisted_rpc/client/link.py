# -*- test-case-name: tests.client.test_link -*-
"""
A session of a client and the connection that carries it, again and again.

What twisted.application.internet.ClientService does for connections, with one
difference: a connection counts as good when hello has been answered, not before.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.client.calls import Call
from twisted_rpc.client.protocol import ClientProtocol
from twisted_rpc.client.retry import FORGOTTEN, Step, after_answer
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.messages import ReplyMessage, Welcome, write_stamp

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool

#: How often C{ack} is worked out anew, in calls, a power of two: the server
#: keeps so many records more, and every call is 0.2 us cheaper.
ACK_EVERY = 16

#: Calls that are sent again in one turn after a reconnection.
PACE = 64


class State(Enum):
    """
    Where the connection is.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    #: Connected, and hello is not answered.
    ASKING = "asking"
    READY = "ready"
    #: Until the next attempt to connect.
    WAITING = "waiting"
    CLOSED = "closed"


class _Factory(Factory):
    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, addr: Any) -> ClientProtocol:
        """
        @return: the protocol of one connection.
        """
        return ClientProtocol(self._link)


class Link:
    """
    One session, and the connection of the moment.

    @ivar state: where the connection is.
    @ivar plain: the server speaks the plain profile; one call at a time.
    @ivar pending: the calls of the session that have not ended, by id, in the
        order of their seq.
    @ivar failing: the last attempt to connect failed.
    @ivar retired: no new calls; the link ends with its last pending one.
    """

    _log = Logger(namespace="twisted_rpc.client")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.state = State.IDLE
        self.plain = False
        self.failing = False
        self.retired = False
        self.pending: dict[str, Call] = {}
        self.room = 0
        self.session: str | None = None
        self._prefix = ""
        self._next_seq = 1
        self._ack = 1
        self._ceiling = 0
        self._window = 0
        self._max_frame = pool.limits.max_frame
        self._protocol: ClientProtocol | None = None
        self._old: set[ClientProtocol] = set()
        self._address = 0
        self._tried = 0
        self._attempt: Deferred[Any] | None = None
        self._timer: Any = None
        self._resending: Any = None
        self._plain_call: Call | None = None
        self._may_resend = True

    # -- connecting -----------------------------------------------------------------------

    def connect(self) -> None:
        """
        Connect, unless that is going on, or is not to be tried yet.
        """
        if self.state is State.IDLE:
            self._try()

    def _try(self) -> None:
        self._stop_timer()
        self.state = State.CONNECTING
        endpoints = self.pool.endpoints
        endpoint = endpoints[self._address % len(endpoints)]
        self._timer = self.pool.clock.callLater(self.pool.connect_timeout, self._slow)
        attempt = self._attempt = endpoint.connect(_Factory(self))
        attempt.addErrback(self._connect_failed)

    def _slow(self) -> None:
        """
        Connecting, or the answer to hello, takes too long.
        """
        self._timer = None
        if self._protocol is not None:
            self._protocol.abort()
        elif self._attempt is not None:
            self._attempt.cancel()

    def _connect_failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.state is not State.CONNECTING:
            return
        if failure.check(CancelledError, ConnectingCancelledError):
            text = f"no connection within {self.pool.connect_timeout:g} s"
        else:
            text = failure.getErrorMessage()
        self._unreachable(RPCError(Code.UNAVAILABLE, text, executed="no"))

    def connected(self, protocol: ClientProtocol) -> None:
        """
        Connected: say hello, unless the user said not to.
        """
        self._attempt = None
        self._stop_timer()
        self.pool.protocols.add(protocol)
        self._protocol = protocol
        if self.state is State.CLOSED:
            protocol.abort()
            return
        self.state = State.ASKING
        if self.pool.wire == "plain":
            protocol.connection.stay_plain()
            self.plain_server(protocol)
            return
        try:
            hello = self.pool.hello(protocol, self.session)
        except RPCError as error:
            self._protocol = None
            protocol.abort()
            self._unreachable(error, permanent=True)
            return
        self._timer = self.pool.clock.callLater(self.pool.limits.hello, self._slow)
        protocol.send_frame(protocol.connection.hello(hello, protocol.stamp))

    def _unreachable(self, error: RPCError, *, permanent: bool = False) -> None:
        """
        An attempt to connect failed: try the next address, and after the last
        one wait.
        """
        self._stop_timer()
        self._address += 1
        self._tried += 1
        if self._tried < len(self.pool.endpoints) and not permanent:
            self._try()
            return
        self._tried = 0
        self.failing = True
        self.state = State.WAITING
        self._log.info("cannot connect: {reason}", reason=error.message)
        delay = self.pool.backoff.failed()
        if error.retry_after is not None:
            delay = max(delay, error.retry_after)
        self._timer = self.pool.clock.callLater(delay, self._again)
        if permanent:
            for call in list(self.pending.values()):
                if call.flying is None:
                    self._end(call)
                    call.gave_up()
        self.pool.unreachable(self, error, permanent=permanent)

    def _again(self) -> None:
        self._timer = None
        self.state = State.IDLE
        if self.pending or self.pool.needs(self):
            self._try()
        elif self.retired:
            self.close()
        else:
            # Who calls next may wait for the attempt that this starts.
            self.failing = False

    def welcomed(self, protocol: ClientProtocol, welcome: Welcome) -> None:
        """
        The connection is extended, and the session known.
        """
        self._good()
        self.plain = False
        self._max_frame = protocol.connection.max_frame
        self._window = welcome.guarantee.window
        self.room = min(welcome.limits.max_inflight, welcome.guarantee.window)
        self.pool.learned(welcome, protocol)
        # Once per agreed interval, which is never below our own wish (W29).
        protocol.keep_alive(welcome.ping and max(welcome.ping / 1000, self.pool.ping))
        if welcome.session != self.session:
            self._new_session(welcome.session)
        self._refresh()
        self._resend()
        self.pool.ready(self)
        self._end_if_done()

    def _new_session(self, session: str | None) -> None:
        """
        The old one has ended, and nothing of it will run again.  What flies on
        a connection that goes away may still be answered there, and what was
        told to wait waits.
        """
        self.session = session
        self._prefix = f"{session}:"
        self._next_seq = 1
        calls = list(self.pending.values())
        for call in calls:
            call.forsaken = True
        # Before anybody is told: who makes a call then makes it in this session.
        self._refresh()
        for call in calls:
            if call.flying is None and (call.retry is None or call.ambiguous):
                self._forsake(call)

    def _forsake(self, call: Call) -> None:
        """
        A call is not answered under its id any more.
        """
        self._end(call)
        if not call.ambiguous:
            # Every attempt was answered "no" (D8).
            self.pool.requeue(call)
        elif (
            call.repeatable
            and not call.anew
            and self._may_resend
            and call.delay(_lost()) is not None
        ):
            call.anew = True
            self.pool.requeue(call)
        else:
            call.gave_up()

    def plain_server(self, protocol: ClientProtocol) -> None:
        """
        The server speaks the plain profile.
        """
        self._good()
        self.plain = True
        self.room = 0
        self._max_frame = protocol.connection.max_frame
        if self.session is not None:
            # The server with sessions is no longer there.
            self._new_session(None)
        self.pool.ready(self)
        self._end_if_done()

    def _good(self) -> None:
        self._stop_timer()
        self.state = State.READY
        self.failing = False
        self._tried = 0
        self.pool.backoff.worked()

    def refused(self, protocol: ClientProtocol, error: RPCError) -> None:
        """
        The server refused hello; there is no falling back (W16).
        """
        self._protocol = None
        protocol.close()
        error.executed = "no"
        passing = error.code in {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}
        self._unreachable(error, permanent=not passing)

    # -- losing the connection ------------------------------------------------------------

    def went_away(self, protocol: ClientProtocol) -> None:
        """
        The server starts nothing new here: go on elsewhere.
        """
        self._old.add(protocol)
        if protocol is self._protocol:
            self._protocol = None
            self.room = 0
            self._address += 1
            self.state = State.IDLE
            if self.pending or self.pool.needs(self):
                self._try()
        self._let_go(protocol)

    def _session_unknown(self, protocol: ClientProtocol) -> None:
        """
        The server knows the session no more, so that no call of it will ever
        run: go on with another, on another connection.
        """
        self.session = None
        protocol.going_away = True
        self._old.add(protocol)
        self._protocol = None
        self.room = 0
        self.state = State.WAITING
        self._timer = self.pool.clock.callLater(
            self.pool.backoff.dropped(), self._again
        )

    def _let_go(self, protocol: ClientProtocol) -> None:
        """
        Close a connection that is going away, once its calls are answered.
        """
        if all(call.flying is not protocol for call in self.pending.values()):
            self._old.discard(protocol)
            protocol.close()

    def lost(self, protocol: ClientProtocol, reason: Failure) -> None:
        """
        A connection has ended.
        """
        self.pool.connection_ended(protocol)
        self._old.discard(protocol)
        flying = [call for call in self.pending.values() if call.flying is protocol]
        for call in flying:
            call.flying = None
            call.ambiguous = True
        if flying:
            # One failure, however many calls it held (C9).
            self._may_resend = self.pool.budget.failure()
        plain_call = self._plain_call
        if plain_call is not None and plain_call.flying is protocol:
            self._plain_call = None
        else:
            plain_call = None
        if protocol is self._protocol:
            self._protocol = None
            self.room = 0
            self._dropped(reason)
        elif flying and self._protocol is not None and self.state is State.READY:
            self._resend()
        elif flying and self.state is State.IDLE:
            self._try()
        if plain_call is not None:
            plain_call.flying = None
            self._plain_lost(plain_call)
        for call in flying:
            if call.forsaken and call.id in self.pending:
                self._forsake(call)
        if self.pool.queue:
            self.pool.pump()
        self._end_if_done()

    def _dropped(self, reason: Failure) -> None:
        if self.state is State.CLOSED:
            return
        if self.state is State.ASKING:
            self._unreachable(
                RPCError(
                    Code.UNAVAILABLE,
                    f"the connection was lost during hello: {reason.getErrorMessage()}",
                    executed="no",
                )
            )
            return
        self._stop_timer()
        self._log.debug(
            "the connection was lost: {reason}", reason=reason.getErrorMessage()
        )
        self.state = State.WAITING
        self._timer = self.pool.clock.callLater(
            self.pool.backoff.dropped(), self._again
        )

    # -- calls ------------------------------------------------------------------------------

    def write(self, call: Call, stamp: bytes | None = None) -> bool:
        """
        Give a call its id and write its first attempt.

        @return: whether there was room for it.
        """
        seq = self._next_seq
        if not seq & (ACK_EVERY - 1) or seq >= self._ceiling:
            self._refresh()
            if seq >= self._ceiling:
                return False
        protocol = self._protocol
        if protocol is None:
            return False
        target = call.target
        self._next_seq = seq + 1
        request_id = f"{self._prefix}{seq}"
        call.id = request_id
        call.seq = seq
        call.attempts += 1
        if not call.stamp:
            call.stamp = protocol.stamp
        if (
            call.metadata is None
            and call.attempts == 1
            and not call.tick
            and not target.oneway
        ):
            body = target.extended % (
                request_id.encode(),
                call.params,
                call.stamp,
                target.timeout_ms,
                self._ack,
            )
        else:
            body = target.template.write(
                request_id,
                call.params,
                call.stamp,
                call.ext(self.pool.seconds(), self._ack),
            )
        if len(body) > self._max_frame:
            self._refuse_size(call, protocol, len(body))
            return True
        if target.oneway:
            protocol.send_frame(body)
            call.done = True
            call.deferred.callback(None)
            return True
        call.link = self
        call.flying = protocol
        self.pending[request_id] = call
        protocol.send_frame(body)
        return True

    def _refuse_size(self, call: Call, protocol: ClientProtocol, size: int) -> None:
        try:
            protocol.connection.check_size(size)
        except RPCError as error:
            call.failed(error)

    def _rewrite(self, call: Call) -> None:
        """
        Write another attempt, under the same id.
        """
        protocol = self._protocol
        if protocol is None or self.state is not State.READY:
            call.due = True
            self.connect()
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
        if len(body) > self._max_frame:
            self._end(call)
            self._refuse_size(call, protocol, len(body))
            return
        call.flying = protocol
        protocol.send_frame(body)

    def _refresh(self) -> None:
        """
        The lowest seq that may be sent again: that of the first pending call.
        """
        first = next(
            (call for call in self.pending.values() if not call.forsaken), None
        )
        self._ack = self._next_seq if first is None else first.seq
        self._ceiling = self._ack + self._window

    @property
    def window_full(self) -> bool:
        """
        Whether one old call keeps the session from giving out more numbers.
        """
        self._refresh()
        return self.state is State.READY and self._next_seq >= self._ceiling

    def succeeded(
        self, call: Call, message: ReplyMessage, protocol: ClientProtocol
    ) -> None:
        """
        A call that was pending has its result.
        """
        pool = self.pool
        pool.budget.success()
        if not call.seq & (ACK_EVERY - 1):
            call.target.took(pool.seconds() - call.deadline + call.target.timeout)
        if call.retry is not None:
            call.retry.cancel()
        call.answered(message)
        if pool.queue:
            pool.pump()
        if protocol.going_away:
            self._let_go(protocol)
        if self.retired:
            self._end_if_done()

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
        if error.code is Code.SESSION_UNKNOWN and protocol is self._protocol:
            self._session_unknown(protocol)
        self._judge(call, error, message)
        if self.pool.queue:
            self.pool.pump()
        if protocol.going_away:
            self._let_go(protocol)
        self._end_if_done()

    def _judge(self, call: Call, error: RPCError, message: ReplyMessage) -> None:
        if error.executed == "unknown":
            call.ambiguous = True
        elif error.executed == "no":
            call.last = error
        step = after_answer(error, call.target.delivery, anew=call.anew)
        if step is Step.FAIL:
            self._end(call)
            if error.executed == "yes" and error.code not in FORGOTTEN:
                self.pool.budget.success()
            call.failed(_declared(call, error, message))
        elif step is Step.ANEW:
            self._end(call)
            call.anew = True
            allowed = call.delay(_lost()) is not None
            if allowed and self.pool.may_retry(call, delay=0.0):
                self.pool.requeue(call)
            else:
                call.failed(error)
        elif (
            error.code is Code.UNAVAILABLE
            and error.executed == "no"
            and not error.retry_after
            and not call.free
        ):
            # It did not run and is repeated once at once, free (C5).
            call.free = 1
            self._repeat(call)
        else:
            self._retry(call, error)

    def _retry(self, call: Call, error: RPCError) -> None:
        delay = call.delay(error)
        if delay is None or not self.pool.may_retry(call, delay=delay):
            self._end(call)
            if call.ambiguous and error.executed == "no":
                # This attempt did not run; one before it may have.
                call.gave_up()
            else:
                call.failed(error)
        elif call.forsaken and call.ambiguous:
            self._forsake(call)
        else:
            call.retry = self.pool.clock.callLater(delay, self._retry_now, call)

    def _retry_now(self, call: Call) -> None:
        call.retry = None
        self._repeat(call)
        if self.pool.queue:
            self.pool.pump()

    def _repeat(self, call: Call) -> None:
        if call.forsaken:
            self._forsake(call)
        else:
            self._rewrite(call)

    def _resend(self) -> None:
        """
        After a reconnection: send again what has no answer, in the order of seq,
        so many a turn.
        """
        if self._resending is None:
            self._send_some()

    def _send_some(self) -> None:
        self._resending = None
        if self.state is not State.READY:
            return
        now = self.pool.seconds()
        waiting = [
            call
            for call in self.pending.values()
            if call.flying is None
            and call.retry is None
            and not call.forsaken
            and call.deadline > now
        ]
        for call in waiting[:PACE]:
            if call.done:
                continue
            if self._worth_resending(call):
                self._rewrite(call)
            else:
                self._end(call)
                call.gave_up()
        if waiting[PACE:] and self.state is State.READY:
            self._resending = self.pool.clock.callLater(0, self._send_some)

    def _worth_resending(self, call: Call) -> bool:
        if not call.due and (not self._may_resend or call.delay(_lost()) is None):
            return False
        return self.pool.in_time(call)

    def _end(self, call: Call) -> None:
        self.pending.pop(call.id, None)
        call.link = None

    def cancelled(self, call: Call) -> None:
        """
        The caller gave a call up that was written: tell the server.
        """
        protocol = call.flying
        if call is self._plain_call:
            # The plain profile has no cancel; the connection is busy until the
            # answer comes, and it may never come.
            self._give_up_plain()
            return
        self._end(call)
        if protocol is not None and not protocol.closing:
            protocol.control("cancel", [call.id]).addErrback(lambda _: None)
        if protocol is not None and protocol.going_away:
            self._let_go(protocol)
        if self.pool.queue:
            self.pool.pump()
        self._end_if_done()

    def stray(self) -> None:
        """
        A reply came that nobody waits for.
        """
        self.pool.strays += 1

    def expire(self, now: float) -> None:
        """
        End the calls whose time is up.
        """
        late = [call for call in self.pending.values() if call.deadline <= now]
        for call in late:
            protocol = call.flying
            self._end(call)
            call.gave_up(late=True)
            if protocol is not None and protocol.going_away:
                self._let_go(protocol)
        plain_call = self._plain_call
        if plain_call is not None and plain_call.deadline <= now:
            self._give_up_plain()
            plain_call.gave_up(late=True)
        self._end_if_done()

    def ask(self, question: Any) -> bool:
        """
        Send a control call, if this is the time for it.

        @return: whether it has been dealt with.
        """
        if self.state is not State.READY or self._protocol is None:
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
            self._protocol.control(question.method, question.params).addBoth(
                question.settled
            )
        return True

    @property
    def busy(self) -> bool:
        """
        Whether calls are pending here.
        """
        return bool(self.pending) or self._plain_call is not None

    # -- the plain profile ------------------------------------------------------------------

    @property
    def free(self) -> bool:
        """
        Whether a plain server could be sent a call here.
        """
        protocol = self._protocol
        return (
            self.plain
            and self.state is State.READY
            and self._plain_call is None
            and protocol is not None
            and not protocol.closing
        )

    def write_plain(self, call: Call) -> None:
        """
        Write a call to a plain server; the next waits for its answer.
        """
        protocol = self._protocol
        assert protocol is not None  # the link is free
        call.attempts += 1
        call.id = call.opaque_id()
        call.seq = 0
        if not call.stamp:
            call.stamp = write_stamp(self.pool.wall())
        # A plain server counts: what the caller left out is sent too (F7).
        params = call.target.schema.complete_params(call.params)
        body = call.target.template.write(call.id, params, call.stamp)
        if len(body) > self._max_frame:
            self._refuse_size(call, protocol, len(body))
            return
        call.link = self
        call.flying = protocol
        self._plain_call = call
        protocol.connection.open_ids.append(call.id)
        protocol.send_frame(body)
        if call.target.oneway:
            call.done = True
            call.deferred.callback(None)

    def plain_answered(self, protocol: ClientProtocol, message: ReplyMessage) -> None:
        """
        A plain server has answered.
        """
        call, self._plain_call = self._plain_call, None
        if call is not None and not call.done:
            call.flying = None
            self.pool.budget.success()
            if message.error is None:
                call.answered(message)
            else:
                call.failed(protocol.connection.error_of(message))
        self.pool.pump()
        self._end_if_done()

    def _give_up_plain(self) -> None:
        """
        The answer that was waited for is of no use any more, and what came next
        here would be behind it: go on with another connection.
        """
        self._plain_call = None
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.abort()
            self.state = State.IDLE
            if self.pool.needs(self):
                self._try()
            self._end_if_done()

    def _plain_lost(self, call: Call) -> None:
        """
        The connection ended before the answer: only what may run twice is sent
        again, because a plain server does not see a duplicate of a call that
        runs (C13).
        """
        if call.done:
            return
        call.ambiguous = True
        delay = call.delay(_lost()) if call.repeatable else None
        if delay is None or not self.pool.may_retry(call, delay=delay):
            call.gave_up()
            return
        # It keeps its id, which stands outside sessions, and waits as forsaken
        # calls do, so that its deadline and the client's end find it.
        call.forsaken = True
        self.pending[call.id] = call
        call.retry = self.pool.clock.callLater(delay, self._plain_again, call)

    def _plain_again(self, call: Call) -> None:
        call.retry = None
        self._end(call)
        self.pool.requeue(call)
        self.pool.pump()

    # -- the end ------------------------------------------------------------------------------

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def close(self) -> None:
        """
        Close, and leave no timer.  Calls that are pending end as they can.
        """
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._stop_timers()
        if self._attempt is not None:
            self._attempt.cancel()
        protocol, self._protocol = self._protocol, None
        self.room = 0
        # Before anybody is told: who makes a call then finds no link that ends.
        self.pool.closed(self)
        for call in list(self.pending.values()):
            self._end(call)
            call.gave_up()
        if self._plain_call is not None:
            call, self._plain_call = self._plain_call, None
            call.gave_up()
        for each in (protocol, *self._old):
            if each is not None:
                each.close()

    def retire(self) -> None:
        """
        Take no new calls, and end with the last of those there are.
        """
        self.retired = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.retired and not self.busy:
            self.close()

    def _stop_timers(self) -> None:
        self._stop_timer()
        if self._resending is not None:
            self._resending.cancel()
            self._resending = None

    def abandon(self) -> None:
        """
        After a fork: the connection is the parent's; forget it untouched.
        """
        self.state = State.CLOSED
        self._stop_timers()
        for call in self.pending.values():
            if call.retry is not None:
                call.retry.cancel()
        self.pending.clear()
        self._plain_call = None
        self._protocol = None
        self._attempt = None
        self._old.clear()
        self.room = 0


def _lost() -> RPCError:
    """
    How an attempt failed that has no answer.
    """
    return RPCError(Code.UNAVAILABLE, "the connection was lost", executed="unknown")


def _declared(call: Call, error: RPCError, message: ReplyMessage) -> RPCError:
    """
    The exception of the IDL's that C{error} stands for, if this side knows it.
    """
    ext = message.ext
    if ext is None or ext.type is None:
        return error
    declared: RPCError | None = call.target.schema.decode_exception(
        ext.type, bytes(ext.data), error.message, error.code
    )
    if declared is None:
        return error
    declared.executed = error.executed
    declared.remote = True
    declared.replayed = error.replayed
    declared.error_id = error.error_id
    return declared
