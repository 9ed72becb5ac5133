# -*- test-case-name: tests.server.test_overload -*-
"""
What each caller who is known has in progress, over all of its connections.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from twisted_rpc.delivery.memory import ANONYMOUS
from twisted_rpc.server.overload.pressure import Gauge, Pressure


class Caller:
    """
    One of them.

    @ivar running: its calls in progress.
    """

    __slots__ = ("__weakref__", "_full", "_limit", "running")

    def __init__(self, limit: float, pressure: Pressure) -> None:
        self.running = 0
        self._limit = limit
        self._full = Gauge(pressure)

    @property
    def full(self) -> bool:
        """
        Whether it has as many as it may have.
        """
        return self._full.reached

    def begun(self) -> None:
        """
        One more.
        """
        self.running += 1
        self._full.set(self.running >= self._limit)

    def ended(self) -> None:
        """
        One less.
        """
        self.running -= 1
        self._full.set(self.running >= self._limit)


class Callers:
    """
    Those who are connected, or have calls in progress.
    """

    def __init__(self, limit: float, pressure: Pressure) -> None:
        self._limit = limit
        self._pressure = pressure
        # Connections keep theirs, and calls in progress their connection.
        self._callers: WeakValueDictionary[str, Caller] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._callers)

    def get(self, principal: str) -> Caller | None:
        """
        @return: C{None} for C{anonymous}: all strangers share that name, so that
            a limit would let one of them shut the others out.
        """
        if principal == ANONYMOUS:
            return None
        caller = self._callers.get(principal)
        if caller is None:
            caller = self._callers[principal] = Caller(self._limit, self._pressure)
        return caller
