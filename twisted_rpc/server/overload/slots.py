# -*- test-case-name: tests.server.overload.test_slots -*-
"""
So many calls at once, and a bounded queue of those that wait.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Request
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.overload.patience import Patience
from twisted_rpc.server.overload.pressure import Gauge, Pressure
from twisted_rpc.wire.limits import Limits

#: What a caller is told to wait who finds a queue full, in seconds.
RETRY_AFTER: Final = 0.25

#: Calls that leave the queue in one turn of the reactor.
A_TURN: Final = 64


def nothing() -> None:
    """
    Count nothing.
    """


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
        waited: Callable[[], None] = nothing,
    ) -> None:
        """
        @param limit: calls at once.
        @param whose: where, for the text of a refusal: C{"of Bank.transfer"}.
        @param refused: counts refusals, by the limit that was reached.
        @param waited: counts a call that has to wait.
        """
        self.running = 0
        self._limit = limit
        self._whose = whose
        self._most = limits.max_queue
        self._most_bytes = limits.max_queue_bytes
        self._patience = Patience(limit, limits)
        self._clock = clock
        self._seconds = clock.seconds
        self._refused = refused
        self._waited = waited
        self._full = Gauge(pressure)
        self._waiting: OrderedDict[int, Queued] = OrderedDict()
        self._bytes = 0
        self._starting = False
        self._turn: IDelayedCall | None = None

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

    def hold(self, start: Callable[[], Answer]) -> Answer:
        """
        Let a call have a slot from now until it has ended.

        @param start: starts it.
        """
        self.begun()
        try:
            answer = start()
        except BaseException:
            self.ended()
            raise
        if isinstance(answer, bytes):
            self.ended()
            return answer
        return answer.addBoth(self._held)

    def _held(self, result: Any) -> Any:
        self.ended()
        return result

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
        error = self.refusal(request, now)
        if error is not None:
            raise error
        request.started = False
        request.queued = True
        queued = Queued(request, start, self._leave)
        self._waiting[id(queued)] = queued
        self._bytes += queued.size
        self._waited()
        self._entered(request.origin)
        return queued

    def refusal(self, request: Request, now: float) -> RPCError | None:
        """
        @return: why C{request} must not wait, or C{None}.
        """
        waiting = self._waiting
        ahead = len(waiting)
        if ahead >= self._most:
            return self._exhausted("max_queue", f"{ahead} calls {self._whose} wait")
        if self._bytes + len(request.params) > self._most_bytes:
            return self._exhausted(
                "max_queue_bytes", f"calls {self._whose} wait with {self._bytes} bytes"
            )
        patience = self._patience
        wait = patience.wait(ahead, now)
        if patience.in_vain(request, wait, now + wait):
            return self._exhausted(
                "deadline", f"calls {self._whose} wait for longer than there is time"
            )
        first = next(iter(waiting.values()), None)
        age = 0.0 if first is None else now - first.arrived
        if patience.refuses(ahead, age, now):
            age = max(age, wait)
            return self._exhausted("delay", f"calls {self._whose} wait for {age:.3f} s")
        return None

    def _entered(self, origin: Any) -> None:
        # It is in progress, as its connection and its caller count it.
        origin.begun()

    def _left(self, origin: Any) -> None:
        origin.ended()

    def _exhausted(self, name: str, text: str) -> RPCError:
        self._refused[name] += 1
        return refusal(Code.RESOURCE_EXHAUSTED, text, retry_after=RETRY_AFTER)

    def _leave(self, queued: Any) -> None:
        """
        Nobody waits for it any more: there is no slot to keep, it never began.
        """
        if self._waiting.pop(id(queued), None) is not None:
            self._bytes -= queued.size
            self._left(queued.request.origin)
            queued.errback(refusal(Code.CANCELLED, "cancelled by the caller"))

    def _go_on(self) -> None:
        """
        Give the slots that are free to those that have waited for longest.
        """
        if self._starting or self._turn is not None:
            return
        self._starting = True
        turn = A_TURN
        try:
            while self._waiting and self.running < self._limit:
                if not turn:
                    self._turn = self._clock.callLater(0, self._next_turn)
                    break
                turn -= 1
                self._start(self._waiting.popitem(last=False)[1])
        finally:
            self._starting = False
        self._full.set(self.running >= self._limit or bool(self._waiting))

    def _next_turn(self) -> None:
        self._turn = None
        self._go_on()

    def _start(self, queued: Queued) -> None:
        self._bytes -= queued.size
        now = self._seconds()
        age = now - queued.arrived
        drop = self._patience.drops(len(self._waiting), age, now)
        if queued.request.deadline <= now:
            self._refused["deadline"] += 1
            text = "the deadline was over before the call started"
            queued.errback(refusal(Code.DEADLINE_EXCEEDED, text))
        elif self._waiting and self._patience.in_vain(queued.request, age, now):
            text = f"too little time is left for the call after {age:.3f} s"
            queued.errback(self._exhausted("deadline", text))
        elif drop:
            queued.errback(self._exhausted("delay", f"the call waited for {age:.3f} s"))
        else:
            queued.callback(b"")
            queued.addBoth(self._learn, queued.request, now)
        # Not before it has begun, which counts it again: its caller would have
        # given its place to another.
        self._left(queued.request.origin)

    def _learn(self, result: Any, request: Request, since: float) -> Any:
        # One that the next limit refused has not shown what it takes.
        if not (isinstance(result, Failure) and _unrun(result.value)):
            now = self._seconds()
            self._patience.learn(request, now - since, now)
        return result

    def stop(self, error: RPCError) -> None:
        """
        Fail all that wait.
        """
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        while self._waiting:
            _, queued = self._waiting.popitem()
            self._bytes -= queued.size
            self._left(queued.request.origin)
            queued.errback(error)
        self._full.set(self.running >= self._limit)


def _unrun(error: BaseException | None) -> bool:
    return isinstance(error, RPCError) and error.executed == "no"
