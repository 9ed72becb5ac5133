# -*- test-case-name: tests.testing.test_simulation -*-
"""
What happened in a simulation, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b


class Trace:
    """
    Events, as lines.  Secrets and random ids are not among what is noted, so
    that the same seed makes the same lines.

    @ivar last: the last of them.
    @ivar count: how many there were.
    """

    def __init__(self, seconds: Callable[[], float], keep: int = 60) -> None:
        """
        @param keep: how many of the last lines are kept; 0: all.
        """
        self.last: deque[str] = deque(maxlen=keep or None)
        self.count = 0
        self._seconds = seconds
        self._start = seconds()
        self._hash = blake2b(digest_size=16)

    def note(self, text: str) -> None:
        """
        Something happened.
        """
        line = f"{self._seconds() - self._start:10.6f} {text}"
        self.count += 1
        self.last.append(line)
        self._hash.update(line.encode())

    @property
    def digest(self) -> str:
        """
        The same for the same events at the same times, and for no others.
        """
        return self._hash.hexdigest()
