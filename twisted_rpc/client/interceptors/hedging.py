# -*- test-case-name: tests.client.interceptors.test_hedging -*-
"""
A second call where the first takes unusually long: C{@hedge} of the IDL.

@see: "The Tail at Scale" (Dean and Barroso, 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.client.interceptors.latency import Latency
from twisted_rpc.errors import RPCError

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool

#: The part of the calls of a method that gets a copy at most, and how many copies
#: may come together after a while without any (C10).
PART, BURST = 0.05, 5.0


class Hedging:
    """
    Sends a copy of a call that has no answer after a time in which a part of the
    calls before had one, and takes the first answer; the loser is cancelled.

    A copy is a call of its own, with a second id: under the first it would only
    wait for the same run.  There is one for a call, for at most a twentieth of
    the calls, and none while the retry budget is spent (C10).
    """

    def __init__(self, pool: Pool, quantile: float) -> None:
        self.pool = pool
        self.latency = Latency(quantile)
        self._tokens = 0.0

    def __call__(self, responder: Responder) -> Responder:
        """
        @return: one that hedges.
        """

        def respond(request: Request) -> Answer:
            self._tokens = min(BURST, self._tokens + PART)
            return _Race(self, responder, request).answer

        return respond

    def take(self) -> bool:
        """
        @return: whether a copy may be made now; then it is counted.
        """
        pool = self.pool
        if self._tokens < 1 or not pool.connected or not pool.budget.allows():
            return False
        self._tokens -= 1
        pool.counters.hedges += 1
        return True


class _Race:
    """
    A call, and perhaps its copy.

    @ivar answer: that of the first.
    """

    def __init__(
        self, hedging: Hedging, responder: Responder, request: Request
    ) -> None:
        self._hedging = hedging
        self._responder = responder
        self._request = request
        self._legs: list[Deferred[Any]] = []
        self._done = False
        self._failed: Failure | None = None
        self._timer: Any = None
        self._began = hedging.pool.seconds()
        self.answer: Deferred[bytes] = Deferred(self._cancelled)
        self._run(copy=False)
        delay = hedging.latency.value
        if not self._done and delay is not None:
            self._timer = hedging.pool.clock.callLater(delay, self._hedge)

    def _hedge(self) -> None:
        self._timer = None
        if self._hedging.take():
            self._run(copy=True)

    def _run(self, *, copy: bool) -> None:
        leg = maybeDeferred(self._responder, self._request)
        self._legs.append(leg)
        leg.addBoth(self._ended, leg, copy)
        if self._done:
            # The other has ended while this one was begun.
            leg.cancel()

    def _ended(self, result: Any, leg: Deferred[Any], copy: bool) -> None:
        self._legs.remove(leg)
        if self._done:
            return
        if self._legs and _may_be_better(result):
            self._failed = result
            return
        pool = self._hedging.pool
        if isinstance(result, Failure):
            if self._failed is not None and _did_not_run(result):
                # The other of them may have run.
                result = self._failed
        else:
            pool.counters.hedges_won += copy
            self._hedging.latency.took(pool.seconds() - self._began)
        # Others may be told of their calls as the loser ends.
        self._done = True
        self.answer.callback(result)
        self._stop()

    def _cancelled(self, _: Deferred[bytes]) -> None:
        self._stop()

    def _stop(self) -> None:
        self._done = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for leg in list(self._legs):
            leg.cancel()


def _may_be_better(result: Any) -> bool:
    """
    Whether the other of two calls may end better than this one: it failed, and
    the implementation did not say so.
    """
    if not isinstance(result, Failure):
        return False
    error = result.value
    return not (isinstance(error, RPCError) and error.executed == "yes")


def _did_not_run(result: Failure) -> bool:
    error = result.value
    return isinstance(error, RPCError) and error.executed == "no"
