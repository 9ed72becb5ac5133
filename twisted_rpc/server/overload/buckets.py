# -*- test-case-name: tests.server.overload.test_buckets -*-
"""
So many calls in so much time, for each caller.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable


class Buckets:
    """
    A token bucket for each caller, which holds as many tokens as it is filled
    with in the time given, and is full at first.

    Of each one number is kept: when it will be full again.  One that is full
    needs none, so those that are kept are bounded by what is being asked; beyond
    the bound the caller who has been silent for longest is forgotten.

    @see: U{GCRA <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>}
    """

    def __init__(
        self, calls: int, per: float, most: float, ended: Counter[str]
    ) -> None:
        """
        @param calls: that may be made ...
        @param per: ... in so many seconds.
        @param most: callers that are kept apart.
        @param ended: counts those that were forgotten too early.
        """
        self._token = per / calls
        self._room = per - self._token
        self._most = most
        self._ended = ended
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: Hashable, now: float) -> float:
        """
        Take a token of C{caller}'s.

        @return: 0, it was there; else seconds until there is one.
        """
        full_at = self._full_at.get(caller, 0.0)
        full_at = max(full_at, now)
        missing = full_at - now - self._room
        # A hundredth of a token is rounding.
        if missing > self._token / 100:
            return missing
        self._full_at[caller] = full_at + self._token
        self._full_at.move_to_end(caller)
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """
        Drop the longest silent: one that is full, or one too many.
        """
        oldest = next(iter(self._full_at))
        if self._full_at[oldest] <= now:
            del self._full_at[oldest]
        elif len(self._full_at) > self._most:
            del self._full_at[oldest]
            self._ended["max_buckets"] += 1
