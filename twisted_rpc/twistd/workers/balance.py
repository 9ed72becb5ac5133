# -*- test-case-name: tests.twistd.test_balance -*-
"""
Which worker accepts a connection: one that has no more of them than others.

Left alone, the one that wakes first takes all that are there: of 40 connections
that came together, one of two workers had 40.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from mmap import mmap
from typing import Any, Final

#: What stands for a worker that does not serve: more than any may have.
NOBODY: Final = 2**32 - 1

#: Seconds that a worker leaves a connection to those that have fewer.
PAUSE: Final = 0.005


class Counts:
    """
    How many connections each worker has, in memory that their processes share.
    """

    def __init__(self, descriptor: int, workers: int) -> None:
        """
        @param descriptor: of what L{create} made; it is not needed any more
            afterwards.
        """
        self._memory = memoryview(mmap(descriptor, 4 * workers)).cast("I")

    @staticmethod
    def create(workers: int) -> int:
        """
        Make such memory, in which nobody serves.

        @return: its descriptor.
        """
        with tempfile.TemporaryFile() as file:
            file.write(NOBODY.to_bytes(4, "little") * workers)
            file.flush()
            return os.dup(file.fileno())

    def __getitem__(self, index: int) -> int:
        return self._memory[index - 1]

    def __setitem__(self, index: int, count: int) -> None:
        self._memory[index - 1] = count

    def is_ahead(self, index: int) -> bool:
        """
        Whether another worker has fewer connections than worker C{index}.
        """
        return min(self._memory) < self._memory[index - 1]


class FairAcceptor:
    """
    Accepts connections for one port, one in a turn, and leaves them to others
    for a moment as long as those have fewer.
    """

    def __init__(self, port: Any, reactor: Any, is_ahead: Callable[[], bool]) -> None:
        """
        @param port: one of Twisted's, whose reading is taken over.
        """
        self._port = port
        self._reactor = reactor
        self._is_ahead = is_ahead
        self._accept = port.doRead
        port.doRead = self.do_read

    def do_read(self) -> None:
        """
        Somebody connects.
        """
        if self._is_ahead():
            self._port.stopReading()
            self._reactor.callLater(PAUSE, self._again)
        else:
            self._accept_one()

    def _again(self) -> None:
        if self._port.connected:
            # If nobody took it, it is ours.
            self._accept_one()
            self._port.startReading()

    def _accept_one(self) -> None:
        self._port.numberAccepts = 1
        self._accept()
