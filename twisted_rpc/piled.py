# -*- test-case-name: tests.test_pulse -*-
"""
What the kernel holds of a connection beyond what was read, and since when.
"""

from __future__ import annotations

from fcntl import ioctl
from sys import byteorder
from termios import FIONREAD
from typing import Any


class Piled:
    """
    Bytes that may have waited.  When as many were read as there were when the
    kernel was last asked, those that come next have come since: a peer that always
    has more to send would else be dated by its first.

    @ivar since: when what is read next can have come at the earliest, in the
        clock's seconds.
    @ivar left: bytes that may be so old.
    """

    __slots__ = ("_asked", "left", "since")

    def __init__(self, since: float) -> None:
        self.since = self._asked = since
        self.left = 0

    def ask(self, now: float, waiting: int) -> None:
        """
        @param waiting: bytes that the kernel holds now.
        """
        if self.left <= 0:
            self._asked = now
            self.left = waiting

    def read(self, size: int) -> bool:
        """
        @param size: bytes that were read.

        @return: whether it is time to ask the kernel again.
        """
        self.left -= size
        if self.left > 0:
            return False
        self.since = self._asked
        return True


def waiting(transport: Any) -> int:
    """
    @return: bytes that the kernel has to read; 0, where it does not tell.
    """
    descriptor = getattr(transport, "fileno", None)
    try:
        found = ioctl(descriptor(), FIONREAD, bytes(4)) if descriptor else bytes(4)
    except (OSError, ValueError):
        # It is being closed.
        return 0
    return int.from_bytes(found, byteorder)
