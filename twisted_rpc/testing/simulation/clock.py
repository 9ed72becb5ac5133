# -*- test-case-name: tests.testing.test_simulation -*-
"""
The one clock of a simulation, and each process's view of it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

#: Seconds of real time that a thread may take for one step.
_THREAD: float = 30.0


class _Call(DelayedCall):
    """
    @ivar owner: the process that waits for it.
    """

    owner: NodeClock | None = None


@implementer(IReactorTime)
class SimulatedClock:
    """
    Time that goes from event to event.

    What L{twisted.internet.task.Clock} does, with a heap: a simulation has
    hundreds of calls waiting, and C{Clock} sorts them all for each new one.
    Calls that are due at the same time are made in the order they were asked for.

    @ivar events: how many calls were made.
    """

    def __init__(self, start: float) -> None:
        self._now = start
        self._heap: list[tuple[float, int, _Call]] = []
        self._count = 0
        self.events = 0

    def seconds(self) -> float:
        """
        @return: the time.
        """
        return self._now

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> _Call:
        """
        Call C{callable} in so many seconds.
        """
        call = _Call(
            self._now + delay,
            callable,
            args,
            kw,
            _ignore,
            self._push,
            self.seconds,
        )
        self._push(call)
        return call

    def _push(self, call: Any) -> None:
        self._count += 1
        heappush(self._heap, (call.getTime(), self._count, call))

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """
        @return: what is still to be called.
        """
        return list(
            {id(call): call for _, _, call in self._heap if call.active()}.values()
        )

    def step(self, end: float) -> bool:
        """
        Make the next call.

        @return: whether there is one before C{end}; if not, it is C{end} now.
        """
        heap = self._heap
        while heap and heap[0][0] <= end:
            due, _, call = heappop(heap)
            if call.cancelled or call.called:
                continue
            if call.getTime() > due:
                # It was put off.
                call.activate_delay()
                self._push(call)
                continue
            owner = call.owner
            if owner is not None:
                if not owner.alive:
                    continue
                if owner.stalled_until > due:
                    # It is late, and may still be cancelled.
                    call.time = owner.stalled_until
                    self._push(call)
                    continue
            self._now = max(self._now, due)
            self.events += 1
            call.called = 1
            call.func(*call.args, **call.kw)
            return True
        self._now = max(self._now, end)
        return False


def _ignore(call: DelayedCall) -> None:
    """
    A cancelled call is found in the heap when its time comes.
    """


@implementer(IReactorTime, IReactorFromThreads)
class NodeClock:
    """
    The reactor of one process in a simulation, for one life of it.

    @ivar alive: nothing is called any more once this is C{False}.
    @ivar stalled_until: nothing is called before, and then all that is due.
    @ivar held: what is to begin in threads when the reactor has nothing to do.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        self.alive = True
        self.stalled_until = 0.0
        self.seconds = clock.seconds
        self._clock = clock
        self.held: deque[Callable[[], object]] = deque()
        self._left: deque[Callable[[], object]] = deque()
        self._woken = threading.Event()

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any
    ) -> DelayedCall:
        """
        Call C{callable} in so many seconds, if the process still lives.
        """
        call = self._clock.callLater(delay, callable, *args, **kw)
        call.owner = self
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """
        @return: what is still to be called, of all processes.
        """
        return self._clock.getDelayedCalls()

    def callFromThread(
        self, callable: Callable[..., object], *args: Any, **kwargs: Any
    ) -> None:
        """
        Call C{callable} before anything else happens in the simulation.
        """
        self._left.append(lambda: callable(*args, **kwargs))
        self._woken.set()

    @property
    def left(self) -> bool:
        """
        Whether threads have left calls.
        """
        return bool(self._left)

    def settle(self, busy: Callable[[], object]) -> None:
        """
        Wait until no thread works for this process, and make the calls they
        left: time stands still for them, so that their order is the same in
        each run.
        """
        while self._left or busy():
            if not self._left and self.held:
                self.held.popleft()()
            if not self._left and not self._woken.wait(_THREAD):
                raise AssertionError(f"a thread has not ended within {_THREAD:g} s")
            self._woken.clear()
            while self._left:
                call = self._left.popleft()
                if self.alive:
                    call()


class HeldThreads:
    """
    Threads of a process, which begin one after the other, and only when its reactor
    has nothing to do: else chance would say what comes first.
    """

    def __init__(self, clock: NodeClock) -> None:
        self._held = clock.held
        self._pool: ThreadPool | None = None

    def callInThreadWithCallback(self, *job: Any) -> None:
        """
        Call a function in a thread, and another there with what that comes to.
        """
        self._held.append(lambda: self._begin(job))

    def _begin(self, job: tuple[Any, ...]) -> None:
        if self._pool is None:
            # More than one: the first may wait for what another does.
            self._pool = ThreadPool(0, 10, name="simulated")
            self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]
            self._pool.start()
        self._pool.callInThreadWithCallback(*job)

    def adjustPoolsize(self, minthreads: int, maxthreads: int) -> None:
        """
        Let the threads end.
        """
        if self._pool is not None:
            self._pool.adjustPoolsize(minthreads, maxthreads)
