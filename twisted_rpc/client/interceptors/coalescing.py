# -*- test-case-name: tests.client.interceptors.test_coalescing -*-
"""
Equal questions at the same time, asked once.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.client.interceptors.keys import question
from twisted_rpc.client.retry import RetryPolicy
from twisted_rpc.errors import Code, RPCError

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool


class Coalescing:
    """
    Lets calls that ask the same as one that is under way wait for its answer.

    Each keeps its own deadline, and giving one up does not end what others wait
    for.  A call that has more time than the one under way makes its own.
    """

    def __init__(self, pool: Pool, schema: Any) -> None:
        self.pool = pool
        self._flights: dict[Hashable, _Flight] = {}

    def __call__(self, responder: Responder) -> Responder:
        """
        @return: one that joins calls.
        """

        def respond(request: Request) -> Answer:
            # A fork does not wait for what its parent has asked.
            key = self.pool.pid, _patience(request), question(request)
            flight = self._flights.get(key)
            if flight is None or flight.deadline < request.deadline:
                flight = self._flights[key] = _Flight(self, key, request.deadline)
                first = flight.join(request.deadline)
                flight.begin(maybeDeferred(responder, request))
                return first
            self.pool.counters.coalesced += 1
            return flight.join(request.deadline)

        return respond

    def landed(self, key: Hashable, flight: _Flight) -> None:
        """
        Nobody can wait for C{flight} any more.
        """
        if self._flights.get(key) is flight:
            del self._flights[key]


def _patience(request: Request) -> Hashable:
    """
    What becomes of a call that fails: who wants it attempted again, or to wait for
    a connection, does not join one that ends at the first failure.
    """
    target = request.method
    policy = target.policy
    # Equal ones of ours do the same; what others do is their own.
    same = policy if type(policy) is RetryPolicy else id(policy)
    return target.wait_for_ready, same


class _Flight:
    """
    A call, and those who wait for it.

    @ivar deadline: the call's own.
    @ivar answer: fires when it is answered.
    """

    def __init__(self, all: Coalescing, key: Hashable, deadline: float) -> None:
        self._all = all
        self._key = key
        self._deadlines = all.pool.deadlines
        self.deadline = deadline
        self._waiters: dict[_Waiter, None] = {}

    def begin(self, answer: Deferred[Any]) -> None:
        """
        The call is made.
        """
        self.answer = answer
        answer.addBoth(self._answered)

    def join(self, deadline: float) -> Deferred[bytes]:
        """
        Wait for it, until C{deadline}.
        """
        waiter = _Waiter(self)
        waiter.tick = self._deadlines.add(waiter, deadline)
        self._waiters[waiter] = None
        return waiter.answer

    def left(self, waiter: _Waiter) -> None:
        """
        Somebody does not wait any more.
        """
        self._deadlines.discard(waiter, waiter.tick)
        self._waiters.pop(waiter, None)
        if not self._waiters:
            self._all.landed(self._key, self)

    def end_if_alone(self) -> None:
        """
        Give the call up if nobody waits for it; others may be told of theirs then.
        """
        if not self._waiters:
            self.answer.cancel()

    def _answered(self, result: Any) -> None:
        # Who asks again when he is told does not want this answer.
        self._all.landed(self._key, self)
        waiters, self._waiters = list(self._waiters), {}
        for waiter in waiters:
            self._deadlines.discard(waiter, waiter.tick)
            waiter.end(result)


class _Waiter:
    """
    One who waits for a flight.
    """

    def __init__(self, flight: _Flight) -> None:
        self._flight = flight
        self._done = False
        self.tick = 0
        self.answer: Deferred[bytes] = Deferred(self._cancelled)

    def end(self, result: Any) -> None:
        """
        There is an answer.
        """
        if not self._done:
            self._done = True
            # A failure of his own: they keep what was done with them.
            own = Failure(result.value) if isinstance(result, Failure) else result
            self.answer.callback(own)

    def expired(self) -> None:
        """
        His time is up.
        """
        self._done = True
        self._flight.left(self)
        self.answer.errback(
            Failure(
                RPCError(
                    Code.DEADLINE_EXCEEDED,
                    "no answer before the deadline",
                    executed="unknown",
                )
            )
        )
        self._flight.end_if_alone()

    def _cancelled(self, _: Deferred[bytes]) -> None:
        self._done = True
        self._flight.left(self)
        self._flight.end_if_alone()
