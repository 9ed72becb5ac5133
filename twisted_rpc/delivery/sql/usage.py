# -*- test-case-name: tests.delivery.test_usage -*-
"""
How much of a store is in use, as several threads change it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class _Size:
    __slots__ = ("counted", "size")

    def __init__(self, size: int = 0, *, counted: bool = False) -> None:
        self.size = size
        self.counted = counted


class Usage:
    """
    Bytes that there are, and that holders have: as they were counted last, and what
    was committed here since.

    What is committed while the database counts is added to what it says, which may
    contain it already: a size may be too high by as much until it is counted
    again, and is not too low.

    @ivar total: bytes of all holders.
    @ivar evicted: answers that were dropped to make room.
    """

    def __init__(self) -> None:
        self.total = 0
        self.evicted = 0
        self._sizes: dict[str, _Size] = {}
        self._lock = Lock()

    def committed(self, grown: dict[str, int]) -> None:
        """
        A transaction has been committed.

        @param grown: what it has added, by holder.
        """
        with self._lock:
            for holder, size in grown.items():
                self.total += size
                known = self._sizes.get(holder)
                if known is not None:
                    known.size += size

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
        self._sizes[holder] = _Size(counted=True)

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
        if known is None or not known.counted:
            known = self._sizes[holder] = _Size()
            size = count()
            with self._lock:
                known.size += size
            known.counted = True
        return known.size

    def look(self, count: Callable[[], int]) -> None:
        """
        Forget what all holders have, and count what there is.
        """
        self._sizes.clear()
        was = self.total
        size = count()
        with self._lock:
            self.total += size - was
