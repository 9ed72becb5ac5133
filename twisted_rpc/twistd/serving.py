# -*- test-case-name: tests.test_serving -*-
"""
The service that C{twistd rpc} runs: a server, its log and its signals.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from twisted_rpc.server import Server
from twisted_rpc.twistd.listening import CannotListenError, why
from twisted_rpc.twistd.logfile import Log
from twisted_rpc.twistd.logs import Figures
from twisted_rpc.twistd.signals import Signals

_log = Logger(namespace="twisted_rpc.server")


def freeze() -> None:
    """
    Let the garbage collector leave what there is to itself: modules, interfaces,
    codecs, most of what a server consists of.  A full collection looks at 100,000
    objects without it, and holds the reactor for 20 ms (benchmarks/RELIABILITY.md,
    rows 18 and 26).
    """
    gc.collect()
    gc.freeze()


class TwistdService(MultiService):
    """
    What C{twistd} runs, be it a server or several processes of it: one that
    listens or ends, obeys signals, and tells its figures.
    """

    def __init__(self, reactor: Any, log: Log) -> None:
        """
        @param log: is opened when the application is made.
        """
        super().__init__()
        self._reactor = reactor
        self.log = log

    def setServiceParent(self, parent: Any) -> None:
        """
        Become part of the application, which is where C{twistd} looks for an
        observer of its log.
        """
        super().setServiceParent(parent)
        observer = self.log.observer()
        if observer is not None and hasattr(parent, "setComponent"):
            parent.setComponent(ILogObserver, observer)

    def listens(
        self,
        listening: Deferred[list[IListeningPort]],
        announce: Callable[[list[IListeningPort]], object],
    ) -> None:
        """
        Announce the ports.

        @raise CannotListenError: there are none, and that is known at once.
        """
        starting = [True]
        failures: list[Failure] = []

        def succeeded(ports: list[IListeningPort]) -> list[IListeningPort]:
            announce(ports)
            return ports

        def failed(failure: Failure) -> None:
            if starting:
                failures.append(failure)
            else:
                self._failed_late(failure)

        listening.addCallbacks(succeeded, failed)
        starting.clear()
        if failures:
            raise CannotListenError(f"twistd rpc: {why(failures[0])}")

    def startService(self) -> None:
        """
        Start, and once the reactor runs take over the signals.
        """
        super().startService()
        self._reactor.callWhenRunning(freeze)
        signals = Signals(self._reactor, self._abort, self.tell_figures)
        self._reactor.callWhenRunning(signals.install)

    def abort(self) -> None:
        """
        End at once.
        """
        raise NotImplementedError

    def figures(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """
        @return: what was done, and what goes on now, by name.
        """
        raise NotImplementedError

    def tell_figures(self) -> None:
        """
        Write the figures into the log.
        """
        done, now = self.figures()
        _log.info("in all: {done}; now: {now}", done=Figures(done), now=Figures(now))

    def _abort(self) -> None:
        _log.warn("asked a second time: ending at once, calls in progress are given up")
        self.abort()

    def _failed_late(self, failure: Failure) -> None:
        self.give_up(why(failure))

    def give_up(self, reason: str) -> None:
        """
        End, because it could not begin.
        """
        _log.critical("{why}; stopping", why=reason)
        # The clean end whose exit status is not 0.
        self._reactor.callWhenRunning(signal.raise_signal, signal.SIGTERM)


class ServingRPC(TwistdService):
    """
    A server under C{twistd}.

    @ivar server: the server.
    """

    def __init__(
        self,
        server: Server,
        reactor: Any,
        log: Log,
        announce: Callable[[list[IListeningPort]], object],
    ) -> None:
        """
        @param log: is opened when the application is made.
        @param announce: is told the ports.
        """
        super().__init__(reactor, log)
        self.server = server
        self._announce = announce
        server.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotListenError: it does not work, and that is known at once.
        """
        super().privilegedStartService()
        assert self.server.listening is not None
        self.listens(self.server.listening, self._announce)

    def stopService(self) -> Deferred[None]:
        """
        Let the server drain, and tell its figures.

        @return: fires when it has stopped.
        """
        stopped: Deferred[Any] = maybeDeferred(super().stopService)
        return stopped.addBoth(lambda _: self.tell_figures())

    def abort(self) -> None:
        """
        End every connection.
        """
        self.server.abort()

    def figures(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """
        @return: the server's.
        """
        return self.server.counters(), self.server.gauges()
