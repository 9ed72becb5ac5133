# -*- test-case-name: tests.client.interceptors.test_hedging -*-
"""
How long a method takes.
"""

from __future__ import annotations

from collections import deque

#: So many of the last durations are looked at; before there are so many as the
#: second figure, nothing is said; and it is worked out after as many as the third.
KEPT, NEEDED, AGAIN = 256, 20, 16


class Latency:
    """
    A quantile of the last durations of a method.
    """

    def __init__(self, quantile: float) -> None:
        """
        @param quantile: from 0 to 1.
        """
        self._quantile = quantile
        self._durations: deque[float] = deque(maxlen=KEPT)
        self._new = 0
        self._value: float | None = None

    def took(self, seconds: float) -> None:
        """
        A call took so long.
        """
        self._durations.append(seconds)
        self._new += 1

    @property
    def value(self) -> float | None:
        """
        The quantile in seconds; C{None} while too little is known.
        """
        if len(self._durations) < NEEDED:
            return None
        if self._value is None or self._new >= AGAIN:
            self._new = 0
            ordered = sorted(self._durations)
            self._value = ordered[int(self._quantile * (len(ordered) - 1))]
        return self._value
