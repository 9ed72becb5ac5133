# -*- test-case-name: tests.twistd.test_supervisor -*-
"""
The figures of all workers, as one set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping


class Totals:
    """
    Adds up what workers tell, those that have ended among them.
    """

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()
        self._done: dict[Hashable, Mapping[str, int]] = {}
        self._now: dict[Hashable, Mapping[str, int]] = {}

    def told(
        self, life: Hashable, done: Mapping[str, int], now: Mapping[str, int]
    ) -> None:
        """
        A worker tells its figures.

        @param life: one life of one worker.
        @param done: what only grows.
        @param now: what goes on.
        """
        self._done[life] = done
        self._now[life] = now

    def ended(self, life: Hashable) -> None:
        """
        A worker has ended: what it did counts, nothing of it goes on.
        """
        self._ended.update(self._done.pop(life, {}))
        self._now.pop(life, None)

    def done(self) -> dict[str, int]:
        """
        What was done, by all.
        """
        total = Counter(self._ended)
        for figures in self._done.values():
            total.update(figures)
        return dict(total)

    def now(self) -> dict[str, int]:
        """
        What goes on, in all.
        """
        total: Counter[str] = Counter()
        for figures in self._now.values():
            total.update(figures)
        return dict(total)
