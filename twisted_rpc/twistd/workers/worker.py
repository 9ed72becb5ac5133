# -*- test-case-name: tests.twistd.test_workers -*-
"""
What a worker does beside serving: it tells its supervisor how it goes, and ends
when that has ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IListeningPort,
    IReadDescriptor,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.server import Server
from twisted_rpc.twistd.workers.balance import Counts
from twisted_rpc.twistd.workers.inherited import inherited_endpoints

#: The descriptors of a worker: the end of its supervisor, what it tells it, the
#: counts of all workers, and the first of the sockets.
STDIN: Final = 0
TOLD: Final = 3
COUNTS: Final = 4
SOCKETS: Final = 5

#: Seconds between two times that figures are told; a worker that is killed takes
#: those since then with it.
INTERVAL: Final = 1.0


@dataclass(frozen=True)
class Place:
    """
    A worker's place among the others.

    @ivar index: its number, from 1.
    @ivar sockets: the descriptors of what it listens on.
    @ivar counts: how many connections each worker has.
    """

    index: int
    sockets: tuple[int, ...]
    counts: Counts

    def endpoints(
        self, reactor: Any, texts: Sequence[str]
    ) -> list[IStreamServerEndpoint]:
        """
        The endpoints in C{texts}, on the sockets of the supervisor.
        """
        return inherited_endpoints(reactor, texts, self.sockets, self._is_ahead)

    def has(self, connections: int) -> None:
        """
        Let the others know how many connections are open here.
        """
        self.counts[self.index] = connections

    def _is_ahead(self) -> bool:
        return self.counts.is_ahead(self.index)


_place: Place | None = None


def place() -> Place | None:
    """
    @return: the place of this process, or C{None} if it is no worker.
    """
    return _place


def main(told: Mapping[str, Any]) -> None:
    """
    Be a worker: run C{twistd} with the sockets of the supervisor.

    @param told: C{index}, C{workers} and C{sockets} (how many), and C{words} for
        C{twistd}.
    """
    global _place  # noqa: PLW0603 - a process is a worker, or it is not
    # A Ctrl-C is for the supervisor, which asks its workers in order.
    os.setsid()
    sockets = tuple(range(SOCKETS, SOCKETS + told["sockets"]))
    for descriptor in (TOLD, *sockets):
        os.set_inheritable(descriptor, False)
    _place = Place(told["index"], sockets, Counts(COUNTS, told["workers"]))
    os.close(COUNTS)
    sys.argv = ["twistd", *told["words"]]
    # Importing it would install a reactor before --reactor is read.
    from twisted.scripts.twistd import run  # noqa: PLC0415 - as the line above says

    run()


@implementer(IReadDescriptor)
class _SupervisorsEnd:
    """
    Reads what nobody writes, and so learns that the supervisor has ended.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def fileno(self) -> int:
        return STDIN

    def logPrefix(self) -> str:
        return "supervisor"

    def doRead(self) -> None:
        if not os.read(STDIN, 4096):
            self._reactor.removeReader(self)
            self._ended()

    def connectionLost(self, reason: Failure) -> None:
        # Some reactors notice the end of a pipe themselves; at their own end they
        # give another reason.
        if reason.check(ConnectionDone):
            self._ended()

    def _ended(self) -> None:
        signal.raise_signal(signal.SIGTERM)


class Reporting(Service):
    """
    Tells the supervisor that the worker is ready, and from then on its figures.
    """

    def __init__(self, server: Server, reactor: Any, here: Place) -> None:
        self._server = server
        self._here = here
        self._reactor = reactor
        self._told: Any = None
        self._timer: Any = None

    def ready(self, _: Sequence[IListeningPort]) -> None:
        """
        The worker listens.
        """
        self._here.has(0)
        self._server.factory.shared.counted = self._here.has
        self._tell({"ready": True})

    def startService(self) -> None:
        """
        Begin to tell, and to look after the supervisor.
        """
        super().startService()
        self._reactor.addReader(_SupervisorsEnd(self._reactor))
        self._tell_figures()
        # Calls that the drain lets end count too.
        self._reactor.addSystemEventTrigger("after", "shutdown", self._finish)

    def _tell_figures(self) -> None:
        self._timer = self._reactor.callLater(INTERVAL, self._tell_figures)
        figures = {"done": self._server.counters(), "now": self._server.gauges()}
        if figures != self._told:
            self._told = figures
            self._tell(figures)

    def _finish(self) -> None:
        self._tell_figures()
        self._timer.cancel()

    def _tell(self, what: Mapping[str, Any]) -> None:
        try:
            os.write(TOLD, json.dumps(what).encode() + b"\n")
        except OSError:
            # Nobody is there to be told, which ends this process soon.
            pass
