# -*- test-case-name: tests.server.overload.test_slots -*-
"""
Whether any limit of a server is reached.
"""

from __future__ import annotations


class Pressure:
    """
    How many limits are reached now.  While there is none, a call pays for all of
    them with one look at this.

    @ivar level: the number.
    """

    __slots__ = ("level",)

    def __init__(self) -> None:
        self.level = 0


class Gauge:
    """
    One limit's part in the L{Pressure}.
    """

    __slots__ = ("_pressure", "reached")

    def __init__(self, pressure: Pressure) -> None:
        self._pressure = pressure
        self.reached = False

    def set(self, reached: bool) -> None:
        """
        Say whether the limit is reached.
        """
        if reached is not self.reached:
            self.reached = reached
            self._pressure.level += 1 if reached else -1
