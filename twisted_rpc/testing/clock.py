# -*- test-case-name: tests.testing.test_network -*-
"""
A reactor of nothing but time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from zope.interface import implementer

#: When the clocks of this package start, in Unix seconds.
EPOCH = 1_800_000_000.0


@implementer(IReactorFromThreads)
class MemoryClock(Clock):
    """
    A reactor of nothing but time, and calls that threads leave for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = EPOCH
        self._left: deque[Callable[[], object]] = deque()
        self._woken = threading.Event()

    def advance(self, amount: float) -> None:
        """
        Let time pass, as in a reactor that nothing holds: what is to be called
        meanwhile is called when its time comes, not at the end.
        """
        end = self.seconds() + amount
        while (due := self._due()) < end:
            super().advance(max(0.0, due - self.seconds()))
        super().advance(max(0.0, end - self.seconds()))

    def stall(self, amount: float) -> None:
        """
        Let time pass while something holds the reactor: nothing is called until
        the end.
        """
        super().advance(amount)

    def _due(self) -> float:
        return min((call.getTime() for call in self.getDelayedCalls()), default=inf)

    def callFromThread(
        self, callable: Callable[..., object], *args: Any, **kwargs: Any
    ) -> None:
        """
        Call C{callable} when the clock is advanced next.
        """
        self._left.append(lambda: callable(*args, **kwargs))
        self._woken.set()

    def take_calls(self) -> bool:
        """
        Make the calls that threads left.

        @return: whether there were any.
        """
        self._woken.clear()
        any_left = bool(self._left)
        while self._left:
            self._left.popleft()()
        return any_left

    def wait_for_thread(self, seconds: float) -> bool:
        """
        Wait until a thread leaves a call.

        @return: whether one did.
        """
        return self._woken.wait(seconds)
