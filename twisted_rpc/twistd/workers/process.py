# -*- test-case-name: tests.twistd.test_supervisor -*-
"""
One worker, as its supervisor sees it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from twisted_rpc.twistd.workers.worker import COUNTS, SOCKETS, STDIN, TOLD

STDOUT: Final = 1
STDERR: Final = 2

#: Has the modules of the supervisor before it imports any.
_BOOT: Final = (
    "import json, sys; told = json.loads(sys.argv[1]); sys.path[:] = told['path'];"
    " from twisted_rpc.twistd.workers.worker import main; main(told)"
)


@dataclass(frozen=True)
class Command:
    """
    How a worker is started.

    @ivar words: the words for C{twistd}, its own options first.
    @ivar folder: where relative paths in them begin.
    @ivar workers: how many there are to be.
    @ivar counts: the descriptor of their L{Counts<twisted_rpc.twistd.workers.balance.Counts>}.
    """

    words: Sequence[str]
    folder: str
    workers: int
    counts: int

    def spawn(
        self, reactor: Any, protocol: ProcessProtocol, index: int, sockets: list[int]
    ) -> None:
        """
        Start worker C{index}, on sockets that are listened on.
        """
        told = {
            "path": [os.path.abspath(each) for each in sys.path],  # noqa: PTH100 - an archive's path is no Path
            "index": index,
            "workers": self.workers,
            "sockets": len(sockets),
            "words": list(self.words),
        }
        reactor.spawnProcess(
            protocol,
            sys.executable,
            [sys.executable, "-P", "-c", _BOOT, json.dumps(told)],
            env=None,
            path=self.folder,
            childFDs={
                STDIN: "w",
                STDOUT: "r",
                STDERR: "r",
                TOLD: "r",
                COUNTS: self.counts,
                **{SOCKETS + i: each for i, each in enumerate(sockets)},
            },
        )


class Watcher(Protocol):
    """
    Who is told what becomes of workers.
    """

    def ready(self, worker: WorkerProcess) -> None:
        """It serves."""

    def told(
        self, worker: WorkerProcess, done: Mapping[str, int], now: Mapping[str, int]
    ) -> None:
        """It tells its figures."""

    def wrote(self, worker: WorkerProcess, line: str, *, error: bool) -> None:
        """It has written a line, to its log, or else (C{error}) beside it."""

    def ended(self, worker: WorkerProcess, reason: Failure) -> None:
        """It has ended."""


class WorkerProcess(ProcessProtocol):
    """
    One life of one worker.

    @ivar index: the worker's number, from 1.
    @ivar pid: the process.
    @ivar started: when this life began, in the clock's seconds.
    """

    def __init__(self, index: int, started: float, watcher: Watcher) -> None:
        self.index = index
        self.started = started
        self.pid = 0
        self._watcher = watcher
        self._rest: dict[int, bytes] = {}

    def connectionMade(self) -> None:
        """
        The process has begun.
        """
        process: Any = self.transport
        self._process = process
        self.pid = process.pid

    def signal(self, name: str) -> None:
        """
        Send a signal, C{"TERM"} or C{"KILL"}, if there is still a process.
        """
        try:
            self._process.signalProcess(name)
        except ProcessExitedAlready:
            pass

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Take what the worker writes, line by line.
        """
        *lines, self._rest[childFD] = (self._rest.get(childFD, b"") + data).split(b"\n")
        for line in lines:
            self._line(childFD, line)

    def _line(self, child_fd: int, line: bytes) -> None:
        if child_fd != TOLD:
            text = line.decode("utf-8", "backslashreplace")
            self._watcher.wrote(self, text, error=child_fd == STDERR)
            return
        told = json.loads(line)
        if "ready" in told:
            self._watcher.ready(self)
        else:
            self._watcher.told(self, told["done"], told["now"])

    def processEnded(self, reason: Failure) -> None:
        """
        The process and its pipes have ended.
        """
        for descriptor, rest in self._rest.items():
            if rest and descriptor != TOLD:
                self._line(descriptor, rest)
        self._watcher.ended(self, reason)
