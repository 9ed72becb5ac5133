# -*- test-case-name: tests.server.overload.test_slots -*-
"""
So many calls at once, and a bounded queue of those that wait.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_rpc.call import Answer, Request
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.overload.delay import FEW, StandingDelay
from twisted_rpc.server.overload.pressure import Gauge, Pressure
from twisted_rpc.wire.limits import Limits

#: What a caller is told to wait who finds a queue full, in seconds.
RETRY_AFTER: Final = 0.25

#: Calls that leave the queue in one turn of the reactor.
A_TURN: Final = 64


class Queued(Deferred[bytes]):
    """
    The answer of a call that waits for a slot.
    """

    def __init__(
        self,
        request: Request,
        start: Callable[[], Answer],
        leave: Callable[[Any], None],
    ) -> None:
        super().__init__(leave)
        self.request = request
        self.arrived: float = request.origin.arrived
        self.size = len(request.params)
        self._start = start
        self.addCallback(self._begin)

    def _begin(self, _: bytes) -> Answer:
        # A Deferred that this returns is cancelled with this one.
        self.request.started = True
        return self._start()


class Slots:
    """
    What one limit on calls in progress lets through.

    @ivar running: calls that have a slot: from their start until the
        implementation has ended, whoever still waits for it.
    """

    def __init__(
        self,
        limit: float,
        whose: str,
        *,
        limits: Limits,
        clock: IReactorTime,
        pressure: Pressure,
        refused: Counter[str],
    ) -> None:
        """
        @param limit: calls at once.
        @param whose: where, for the text of a refusal: C{"of Bank.transfer"}.
        @param refused: counts refusals, by the limit that was reached.
        """
        self.running = 0
        self._limit = limit
        self._whose = whose
        self._most = limits.max_queue
        self._most_bytes = limits.max_queue_bytes
        self._stale = limits.delay + limits.delay_interval
        self._delay = StandingDelay(limits.delay, limits.delay_interval)
        self._clock = clock
        self._seconds = clock.seconds
        self._refused = refused
        self._full = Gauge(pressure)
        self._waiting: OrderedDict[int, Queued] = OrderedDict()
        self._bytes = 0
        self._starting = False

    @property
    def full(self) -> bool:
        """
        Whether the next call has to wait.
        """
        return self._full.reached

    @property
    def waiting(self) -> int:
        """
        Calls that wait.
        """
        return len(self._waiting)

    def begun(self) -> None:
        """
        A call takes a slot.
        """
        self.running += 1
        if self.running >= self._limit:
            self._full.set(True)

    def ended(self) -> None:
        """
        A call's implementation has ended.
        """
        self.running -= 1
        if self._full.reached:
            self._go_on()

    def wait(
        self, request: Request, start: Callable[[], Answer], now: float
    ) -> Deferred[bytes]:
        """
        Let C{request} wait for a slot.

        @param start: takes the slot.

        @return: fires as what C{start} returns.

        @raise RPCError: RESOURCE_EXHAUSTED: too many wait, or they wait for too
            long.
        """
        self._check(len(request.params), now)
        request.started = False
        queued = Queued(request, start, self._leave)
        self._waiting[id(queued)] = queued
        self._bytes += queued.size
        # It is in progress, as its connection counts it.
        request.origin.begun()
        return queued

    def _check(self, size: int, now: float) -> None:
        waiting = self._waiting
        if len(waiting) >= self._most:
            raise self._refusal("max_queue", f"{len(waiting)} calls {self._whose} wait")
        if self._bytes + size > self._most_bytes:
            raise self._refusal(
                "max_queue_bytes", f"calls {self._whose} wait with {self._bytes} bytes"
            )
        first = next(iter(waiting.values()), None)
        age = 0.0 if first is None else now - first.arrived
        if self._delay.judge(age, now) and len(waiting) >= FEW:
            raise self._refusal("delay", f"calls {self._whose} wait for {age:.3f} s")

    def _refusal(self, name: str, text: str) -> RPCError:
        self._refused[name] += 1
        return refusal(Code.RESOURCE_EXHAUSTED, text, retry_after=RETRY_AFTER)

    def _leave(self, queued: Any) -> None:
        """
        Nobody waits for it any more: there is no slot to keep, it never began.
        """
        if self._waiting.pop(id(queued), None) is not None:
            self._left(queued)
            queued.errback(refusal(Code.CANCELLED, "cancelled by the caller"))

    def _left(self, queued: Queued) -> None:
        self._bytes -= queued.size
        queued.request.origin.ended()

    def _go_on(self) -> None:
        """
        Give the slots that are free to those that have waited for longest.
        """
        if self._starting:
            return
        self._starting = True
        turn = A_TURN
        try:
            while self._waiting and self.running < self._limit:
                if not turn:
                    self._clock.callLater(0, self._go_on)
                    break
                turn -= 1
                self._start(self._waiting.popitem(last=False)[1])
        finally:
            self._starting = False
        self._full.set(self.running >= self._limit or bool(self._waiting))

    def _start(self, queued: Queued) -> None:
        self._left(queued)
        now = self._seconds()
        age = now - queued.arrived
        standing = self._delay.judge(age, now)
        if queued.request.deadline <= now:
            self._refused["deadline"] += 1
            text = "the deadline was over before the call started"
            queued.errback(refusal(Code.DEADLINE_EXCEEDED, text))
        elif standing and age > self._stale and len(self._waiting) >= FEW:
            # Those behind it are younger, and have more time left.
            queued.errback(self._refusal("delay", f"the call waited for {age:.3f} s"))
        else:
            queued.callback(b"")

    def stop(self, error: RPCError) -> None:
        """
        Fail all that wait.
        """
        while self._waiting:
            _, queued = self._waiting.popitem()
            self._left(queued)
            queued.errback(error)
        self._full.set(self.running >= self._limit)
