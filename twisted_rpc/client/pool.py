# -*- test-case-name: tests.client.test_pool -*-
"""
The calls of a client, and the links that carry them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from twisted_rpc.call import Request, calling, without_call
from twisted_rpc.client.agreement import Agreement
from twisted_rpc.client.calls import EXACT, Call, Outgoing, Target
from twisted_rpc.client.connecting import State
from twisted_rpc.client.counters import Counters
from twisted_rpc.client.greeting import Greeting
from twisted_rpc.client.link import Link
from twisted_rpc.client.protocol import ClientProtocol
from twisted_rpc.client.questions import Question
from twisted_rpc.client.retry import RetryBudget
from twisted_rpc.client.waiting import WaitingCalls
from twisted_rpc.deadlines import TICK, Deadlines
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.client import Wire
from twisted_rpc.wire.limits import Limits

#: Sessions that end with their last call, while new calls use another.
MAX_RETIRED = 8

#: How often this process is a fork of another.  A number that a fork changes
#: costs a call 0.03 us to look at, os.getpid 0.1.
_forks = [0]


def _forked() -> None:
    _forks[0] += 1


os.register_at_fork(after_in_child=_forked)


class Pool:
    """
    What a client does with calls, whatever made them.

    @ivar queue: the calls that no link has taken yet, in order.
    @ivar links: those that take calls; the first is the one in use, and with a
        plain server each has one call at a time.
    @ivar pid: of whose process its links are; another number in each fork.
    @ivar ping: seconds between two signs of life, as the client wishes; 0: none.
    @ivar counters: what it does, in figures.
    """

    def __init__(
        self,
        endpoints: Sequence[IStreamClientEndpoint],
        *,
        clock: IReactorTime,
        wall: Callable[[], float],
        limits: Limits,
        wire: Wire,
        max_connections: int,
        max_waiting: int,
        max_waiting_bytes: int,
        auth: Mapping[str, str] | None,
        auth_in_clear: bool,
        ping: float,
        connect_timeout: float,
        budget: Any = None,
        chance: Callable[[], float] = random.random,
        counters: Counters,
    ) -> None:
        self.endpoints = endpoints
        self.clock = clock
        self.seconds = clock.seconds
        self.wall = wall
        self.limits = limits
        self.wire: Wire = wire
        self.connect_timeout = connect_timeout
        self.budget = budget if budget is not None else RetryBudget()
        self.chance = chance
        self.counters = counters
        self.agreement = Agreement(self)
        self.greeting = Greeting(
            self.agreement, limits, ping=ping, auth=auth, auth_in_clear=auth_in_clear
        )
        self.deadlines = Deadlines(clock)
        self.queue = WaitingCalls(self.deadlines, max_waiting, max_waiting_bytes)
        self.questions: set[Question] = set()
        self.links: list[Link] = []
        self.retired: dict[Link, None] = {}
        self.pid = _forks[0]
        self.closing = False
        self._max_connections = max_connections
        self.ping = ping
        self._link: Link | None = None
        self._timer: Any = None
        # When the first deadline of an open call is over, or before.
        self._looked_at = inf
        self._unreachable: RPCError | None = None
        self._refused: list[tuple[Callable[[RPCError], object], RPCError]] = []
        self._refusing: Any = None
        self._idle: dict[Deferred[None], set[ClientProtocol]] = {}
        self.protocols: dict[ClientProtocol, None] = {}

    # -- calls ------------------------------------------------------------------------------

    def start(
        self,
        target: Target,
        params: bytes,
    ) -> Deferred[Any]:
        """
        Make a call.

        @param params: the text of the array.

        @return: fires with the result, or fails with L{RPCError}; cancelling it
            stops retries and tells the server.
        """
        if self.pid is not _forks[0]:
            self._after_fork()
        seconds = self.seconds
        call = Call(self, target, params, seconds() + target.timeout, target.metadata)
        outer = calling()
        if outer is not None:
            call.inherit(outer)
            return self._begin(call)
        link = self._link
        if (
            link is not None
            and len(link.pending) < link.room
            and not self.queue
            and link.write(call)
        ):
            if call.deadline < self._looked_at:
                self._look_at(call.deadline)
            return call
        self._later(call)
        return call

    def answer(self, request: Request) -> Deferred[Any]:
        """
        The innermost responder of a client: make the call that C{request} is.

        @return: fires with the text of the result.
        """
        self.notice_fork()
        call = Call(
            self, request.method, request.params, request.deadline, request.metadata
        )
        call.read = bytes
        call.nested = isinstance(request, Outgoing) and request.nested
        return self._begin(call)

    def _begin(self, call: Call) -> Deferred[Any]:
        """
        Make a call that has not all the time of its target.
        """
        call.tick = EXACT
        call.sent = self.seconds()
        call.given = call.deadline - call.sent
        link = self._link
        if (
            link is not None
            and len(link.pending) < link.room
            and not self.queue
            and call.deadline > call.sent
            and link.write(call)
        ):
            if call.deadline < self._looked_at:
                self._look_at(call.deadline)
        else:
            # Calls of others may end meanwhile.
            without_call(self._later, call)
        return call

    def _later(self, call: Call) -> None:
        """
        It cannot be written at once.
        """
        refusal = self._refusal(wait_for_ready=call.target.wait_for_ready)
        if refusal is None and not self.connected:
            refusal = self.queue.refusal(len(call.params))
            self.counters.queue_refusals += refusal is not None
        if refusal is None:
            self.queue.add(call)
            self.pump()
        elif self.closing:
            call.failed(refusal)
        else:
            self.refuse(call.failed, refusal)

    def refuse(self, failed: Callable[[RPCError], object], error: RPCError) -> None:
        """
        Fail what is not even tried, in the next turn: who calls again as soon as a
        call fails would keep the reactor from ever connecting.
        """
        if not self._refused:
            self._refusing = self.clock.callLater(0, self._tell_refused)
        self._refused.append((failed, error))

    def _tell_refused(self) -> None:
        refused, self._refused = self._refused, []
        for failed, error in refused:
            failed(error)

    def _refusal(self, *, wait_for_ready: bool) -> RPCError | None:
        """
        @return: why it makes no sense to wait for a connection, or C{None}.
        """
        if self.closing:
            return _closed()
        if self._unreachable is not None and not wait_for_ready and not self._trying:
            return _copy(self._unreachable)
        return None

    def requeue(self, call: Call) -> None:
        """
        Send C{call} as one that has no id yet.
        """
        if not call.done:
            call.id = ""
            call.seq = 0
            call.flying = None
            call.due = call.forsaken = False
            if call.retry is not None:
                call.retry.cancel()
                call.retry = None
            self.queue.add(call)

    def pump(self) -> None:
        """
        Hand the calls that wait to the links that have room.
        """
        while self.queue:
            link = self._taker()
            if link is None:
                return
            call = next(iter(self.queue))
            self.queue.discard(call)
            call.sent = self.seconds()
            if call.deadline - call.sent <= call.least:
                # Nothing is sent after the deadline (I13), nor with less time left
                # than an answer takes (C4): each such call would be lost, and make
                # those behind it wait until they are lost too.
                call.expired()
                continue
            if call.deadline < self._looked_at:
                self._look_at(call.deadline)
            if link.plain:
                link.lane.write(call)
            else:
                # The taker has room, and numbers to give out.
                link.write(call)

    def _taker(self) -> Link | None:
        """
        @return: a link that takes a call now; C{None}: none does yet, and one is
            being made if that helps.
        """
        link = self._link
        if link is None:
            link = self._link = self._new_link()
        if link.plain:
            return self._plain_taker()
        if len(link.pending) < link.room:
            if not link.window_full:
                return link
            if len(self.retired) >= MAX_RETIRED:
                return None
            # One old call keeps the session from giving out more numbers (W20):
            # it keeps its session, and new calls get another.
            self.links.remove(link)
            link.retired = True
            self.retired[link] = None
            link = self._link = self._new_link()
        link.connector.connect()
        return None

    def _plain_taker(self) -> Link | None:
        for link in self.links:
            if link.lane.free:
                return link
        # One more for each call that none of those being made is for.
        missing = len(self.queue) - sum(map(_on_its_way, self.links))
        for link in list(self.links):
            if missing > 0 and link.connector.state is State.IDLE:
                link.connector.connect()
                missing -= 1
        while missing > 0 and len(self.links) < self._max_connections:
            self._new_link().connector.connect()
            missing -= 1
        return None

    def _new_link(self) -> Link:
        link = Link(self)
        self.links.append(link)
        return link

    def worth_another(self) -> bool:
        """
        An attempt failed that is worth another.

        @return: whether there is budget for one (C7).
        """
        worth: bool = self.budget.failure()
        self.counters.retries_refused += not worth
        return worth and not self.closing

    def in_time(self, call: Call, delay: float = 0.0) -> bool:
        """
        Whether an answer may come before the deadline to an attempt that is made
        after C{delay} seconds (C4).
        """
        return self.seconds() + delay + call.target.median < call.deadline

    # -- what links tell --------------------------------------------------------------------

    @property
    def _trying(self) -> bool:
        return any(not link.connector.failing for link in self.links)

    @property
    def connected(self) -> bool:
        """
        Whether there is a connection that takes calls.
        """
        return any(link.protocol is not None for link in self.links)

    @property
    def address(self) -> int:
        """
        Which of the endpoints is in use, or will be tried next.
        """
        return self._link.connector.address if self._link is not None else 0

    def go_elsewhere(self) -> None:
        """
        Go on with the next endpoint; what is open stays where it is.
        """
        if self._link is None:
            self._link = self._new_link()
        for link in list(self.links):
            link.go_elsewhere()

    @property
    def sent(self) -> int:
        """
        How many calls the links of the moment have sent.
        """
        return sum(link.sent for link in (*self.links, *self.retired))

    def needs(self, link: Link) -> bool:
        """
        Whether somebody waits for C{link} to connect.
        """
        return bool(self.queue or self.questions) and link in self.links

    def ready(self, link: Link) -> None:
        """
        A link is connected.
        """
        self._unreachable = None
        if not link.plain and link in self.links:
            self._link = link
            for other in [each for each in self.links if each is not link]:
                # The server was plain and is not any more: one link is enough.
                self.links.remove(other)
                self.retired[other] = None
                other.retire()
        self._ask(link)
        self.pump()

    def unreachable(self, link: Link, error: RPCError, *, permanent: bool) -> None:
        """
        Nobody answered C{link} at any address, or hello was refused.
        """
        if link not in self.links:
            # It only has old calls to end.
            return
        self._unreachable = error
        if self._trying:
            # Another link works, or may.
            return
        for question in list(self.questions):
            question.failed(_copy(error))
        for call in list(self.queue):
            if permanent or not call.target.wait_for_ready:
                self.queue.discard(call)
                if call.ambiguous:
                    call.gave_up()
                else:
                    call.failed(_copy(error))

    def closed(self, link: Link) -> None:
        """
        A link has ended.
        """
        if link in self.links:
            self.links.remove(link)
        self.retired.pop(link, None)
        self.counters.calls += link.sent
        if self._link is link:
            self._link = self.links[0] if self.links else None
        if self.queue:
            self.pump()

    # -- time -----------------------------------------------------------------------------------

    def _look_at(self, deadline: float) -> None:
        """
        Have the calls looked at when C{deadline} is over, and others that end soon
        after with it.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._looked_at = deadline
        self._timer = self.clock.callLater(
            max(0.0, deadline - self.seconds()) + TICK, self._look
        )

    def _look(self) -> None:
        """
        End the calls whose time is up: a look at all of them, at most some 1,000
        a link, costs 60 us, and spares each call a timer of 0.9 us.  The next is
        when the first of the others is due: 1,000 clients in a process that look
        every 25 ms do so more often than they call.
        """
        self._timer = None
        self._looked_at = inf
        now = self.seconds()
        for link in (*self.links, *self.retired):
            if link.busy:
                link.expire(now)
        first = min(
            (link.first_deadline for link in (*self.links, *self.retired)), default=inf
        )
        if first < self._looked_at and not self.closing:
            self._look_at(first)
        if self.queue:
            # What ended has left room.
            self.pump()

    def notice_fork(self) -> None:
        """
        Begin anew if this process is a fork of the one that used the pool.
        """
        if self.pid is not _forks[0]:
            self._after_fork()

    def _after_fork(self) -> None:
        """
        This process is a copy of the one whose links these are: begin anew, with
        sessions of its own, and do not touch what the parent uses.
        """
        self.pid = _forks[0]
        for link in (*self.links, *self.retired):
            link.abandon()
        for protocol in self.protocols:
            protocol.abandon()
        self.links.clear()
        self.retired.clear()
        self.queue.clear()
        self.questions.clear()
        self.protocols.clear()
        self._idle.clear()
        self._link = None
        self._unreachable = None
        self._stop_timers()

    # -- questions ------------------------------------------------------------------------------

    def control(self, method: str, params: list[Any]) -> Deferred[Any]:
        """
        Call C{$rpc} on the connection in use, made if need be.

        @return: fires with the result, or fails with L{RPCError}.
        """
        self.notice_fork()
        refusal = self._refusal(wait_for_ready=False)
        if refusal is not None:
            return fail(refusal)
        question = Question(self, method, params)
        question.wait(self.seconds() + self.limits.hello * 2)
        if self._link is None:
            self._link = self._new_link()
        if not self._link.ask(question):
            self._link.connector.connect()
        return question.answer

    def _ask(self, link: Link) -> None:
        for question in list(self.questions):
            link.ask(question)

    # -- the end --------------------------------------------------------------------------------

    def close(self) -> Deferred[None]:
        """
        Close every link; calls that have not ended fail.

        @return: fires when no connection is left.
        """
        self.closing = True
        # Those of now: the client may be opened again before they end.
        protocols = set(self.protocols)
        without_call(self._close)
        protocols &= self.protocols.keys()
        done: Deferred[None] = Deferred()
        if protocols:
            self._idle[done] = protocols
        else:
            done.callback(None)
        return done

    def _close(self) -> None:
        # Before anybody is told: who makes a call then, or gives one up, finds
        # nothing that would be sent; who opens the client again, a new one.
        self._stop_timers()
        self._link = None
        waiting = list(self.queue)
        self.queue.clear()
        for call in waiting:
            if call.attempts:
                call.gave_up()
            else:
                call.failed(_closed())
        if self._refused:
            self._refusing.cancel()
            self._tell_refused()
        for question in list(self.questions):
            question.failed(_closed())
        for link in (*self.links, *self.retired):
            link.close()

    def open(self) -> None:
        """
        Take calls again after L{close}.
        """
        self.closing = False
        self._unreachable = None

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._looked_at = inf
        self.deadlines.stop()

    def connection_ended(self, protocol: ClientProtocol) -> None:
        """
        A connection has ended.
        """
        self.protocols.pop(protocol, None)
        for done, left in list(self._idle.items()):
            left.discard(protocol)
            if not left:
                del self._idle[done]
                done.callback(None)


def _on_its_way(link: Link) -> bool:
    """
    Whether a connection is being made, or will be, for whoever waits.
    """
    connector = link.connector
    return connector.state in {State.CONNECTING, State.ASKING, State.WAITING}


def _closed() -> RPCError:
    return RPCError(Code.UNAVAILABLE, "the client is closed", executed="no")


def _copy(error: RPCError) -> RPCError:
    return RPCError(
        error.code,
        error.message,
        executed=error.executed,
        retry_after=error.retry_after,
        remote=error.remote,
    )
