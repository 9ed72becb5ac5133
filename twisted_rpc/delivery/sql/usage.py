# -*- test-case-name: tests.delivery.test_usage -*-
"""
How much of a store is in use, as several threads change it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from threading import Lock


class _Size:
    """
    Bytes.

    @ivar counted: after how many counts in all it was counted; infinite, it is
        not known yet.
    """

    __slots__ = ("counted", "size")

    def __init__(self, counted: float = inf) -> None:
        self.size = 0
        self.counted = counted

    def grow(self, size: int, counts: int) -> None:
        """
        @param counts: how many counts had ended when that began to be committed.
        """
        if size > 0 or self.counted <= counts:
            self.size += size


class Usage:
    """
    Bytes that there are, and that holders have: as they were counted last, and what
    was committed here since.

    What is added while the database counts is added to what it says, which may
    contain it already, and what is freed is not subtracted, because that may be
    missing already: a size may be too high by as much until it is counted again, and
    is not too low.

    @ivar evicted: answers that were dropped to make room.
    """

    def __init__(self) -> None:
        self._total = _Size(0)
        self._counts = 0
        self.evicted = 0
        self._sizes: dict[str, _Size] = {}
        self._lock = Lock()

    @property
    def total(self) -> int:
        """
        Bytes of all holders.
        """
        return self._total.size

    def committing(self) -> Callable[[dict[str, int]], None]:
        """
        A transaction is about to be committed.

        @return: to be called when it is, with what it has added, by holder.
        """
        counts = self._counts

        def committed(grown: dict[str, int]) -> None:
            with self._lock:
                for holder, size in grown.items():
                    self._total.grow(size, counts)
                    known = self._sizes.get(holder)
                    if known is not None:
                        known.grow(size, counts)

        return committed

    def evict(self) -> None:
        """
        An answer is dropped.
        """
        with self._lock:
            self.evicted += 1

    def add(self, holder: str) -> None:
        """
        There is a new holder, which has nothing yet.
        """
        self._sizes[holder] = _Size(self._counts)

    def forget(self, holder: str) -> None:
        """
        It is not asked for any more, or others change it too.
        """
        self._sizes.pop(holder, None)

    def of(self, holder: str, count: Callable[[], int]) -> int:
        """
        What a holder has.

        @param count: asks the database, if that is not known.
        """
        known = self._sizes.get(holder)
        if known is None or known.counted == inf:
            known = self._sizes[holder] = _Size()
            self._count(known, count)
        return known.size

    def look(self, count: Callable[[], int]) -> None:
        """
        Forget what all holders have, and count what there is.
        """
        self._sizes.clear()
        self._total.counted = inf
        self._count(self._total, count)

    def _count(self, what: _Size, count: Callable[[], int]) -> None:
        was = what.size
        size = count()
        with self._lock:
            what.size += size - was
            self._counts += 1
            what.counted = self._counts
