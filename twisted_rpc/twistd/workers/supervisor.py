# -*- test-case-name: tests.twistd.test_supervisor -*-
"""
The process that opens the ports, and keeps so many workers serving on them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.client.backoff import Backoff
from twisted_rpc.twistd.logfile import Log
from twisted_rpc.twistd.serving import TwistdService
from twisted_rpc.twistd.workers.balance import NOBODY, Counts
from twisted_rpc.twistd.workers.process import Command, WorkerProcess
from twisted_rpc.twistd.workers.totals import Totals

_log = Logger(namespace="twisted_rpc.server")

#: Seconds that a worker must have lived for its end to count as the first one.
LIVED: Final = 10.0

#: Seconds that workers have, beyond their drain, to end by themselves.
PATIENCE: Final = 5.0


class _Opening(ServerFactory):
    """
    Opens ports; it is the workers that accept.
    """

    noisy = False


class Supervisor(TwistdService):
    """
    Runs workers: each serves on the same sockets, one that dies is replaced,
    and all end together.

    @ivar workers: those that live, by index.
    """

    def __init__(
        self,
        endpoints: Sequence[IStreamServerEndpoint],
        command: Command,
        *,
        reactor: Any,
        log: Log,
        announce: Callable[[list[IListeningPort]], object],
        drain: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param announce: is told the ports when all of them serve.
        @param drain: seconds that calls have to end.
        @param chance: evenly from 0 to 1; spreads the delays of replacements.
        """
        super().__init__(reactor, log)
        self.workers: dict[int, WorkerProcess] = {}
        self._endpoints = endpoints
        self._command = command
        self._announce = announce
        self._drain = drain
        self._ports: list[IListeningPort] = []
        self._totals = Totals()
        self._counts = Counts(command.counts, command.workers)
        self._backoffs = {
            index: Backoff(chance) for index in range(1, command.workers + 1)
        }
        self._unready = set(self._backoffs)
        self._restarts: dict[int, Any] = {}
        self._gone: Deferred[None] | None = None
        self._given_up = False

    # -- the beginning ------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Open the ports.

        @raise CannotListenError: it does not work, and that is known at once.
        """
        super().privilegedStartService()
        opening: Deferred[list[IListeningPort]] = gatherResults(
            [endpoint.listen(_Opening()) for endpoint in self._endpoints],
            consumeErrors=True,
        )
        # gatherResults wraps what failed first.
        opening.addErrback(lambda it: getattr(it.value, "subFailure", it))
        self.listens(opening, self._opened)

    def _opened(self, ports: list[IListeningPort]) -> None:
        self._ports = ports
        for port in ports:
            port.stopReading()  # type: ignore[attr-defined]  # of all of Twisted's
        # Not before: until then the process may still become a daemon.
        self._reactor.callWhenRunning(self._start_all)

    def _start_all(self) -> None:
        for index in self._backoffs:
            self._start(index)

    def _start(self, index: int) -> None:
        self._restarts.pop(index, None)
        worker = WorkerProcess(index, self._reactor.seconds(), self)
        self.workers[index] = worker
        sockets = [port.fileno() for port in self._ports]  # type: ignore[attr-defined]
        self._command.spawn(self._reactor, worker, index, sockets)

    # -- what workers tell ----------------------------------------------------------------

    def ready(self, worker: WorkerProcess) -> None:
        """
        A worker serves.
        """
        _log.info(
            "worker {index} serves, pid {pid}", index=worker.index, pid=worker.pid
        )
        if worker.index in self._unready:
            self._unready.remove(worker.index)
            if not self._unready:
                self._announce(self._ports)

    def told(
        self, worker: WorkerProcess, done: Mapping[str, int], now: Mapping[str, int]
    ) -> None:
        """
        A worker tells its figures.
        """
        self._totals.told(worker, done, now)

    def wrote(self, worker: WorkerProcess, line: str, *, error: bool) -> None:
        """
        A worker has written a line, to its log or beside it.
        """
        if error:
            _log.error("worker {index} wrote: {line}", index=worker.index, line=line)
        else:
            self.log.write(line)

    def ended(self, worker: WorkerProcess, reason: Failure) -> None:
        """
        A worker has ended; unless all are to end, another takes its place.  But what
        keeps the first one from serving keeps others too, such as a store that
        cannot be used.
        """
        self._totals.ended(worker)
        self._counts[worker.index] = NOBODY
        del self.workers[worker.index]
        if self._gone is not None:
            if not self.workers:
                self._gone.callback(None)
            return
        if self._given_up:
            # Once: to be told twice to end is to end at once.
            return
        if self._unready == self._backoffs.keys():
            self._given_up = True
            self.give_up(
                f"worker {worker.index}, pid {worker.pid}, has ended before any"
                f" served: {_how(reason)}"
            )
        else:
            self._replace(worker, reason)

    def _replace(self, worker: WorkerProcess, reason: Failure) -> None:
        backoff = self._backoffs[worker.index]
        if self._reactor.seconds() - worker.started >= LIVED:
            backoff.worked()
        delay = backoff.failed()
        _log.error(
            "worker {index}, pid {pid}, has ended: {why}; another is started in"
            " {delay:.1f} s",
            index=worker.index,
            pid=worker.pid,
            why=_how(reason),
            delay=delay,
        )
        self._restarts[worker.index] = self._reactor.callLater(
            delay, self._start, worker.index
        )

    def figures(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """
        @return: those of all workers together, and how many there are.
        """
        return self._totals.done(), {"workers": len(self.workers), **self._totals.now()}

    # -- the end --------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """
        Let all workers drain, and close the ports.

        @return: fires when no worker is left.
        """
        stopped = super().stopService()
        for restart in self._restarts.values():
            restart.cancel()
        self._restarts.clear()
        closing = [maybeDeferred(port.stopListening) for port in self._ports]
        self._gone = Deferred() if self.workers else succeed(None)
        for worker in self.workers.values():
            worker.signal("TERM")
        late = self._reactor.callLater(self._drain + PATIENCE, self._kill)
        done: Deferred[Any] = gatherResults(
            [*closing, self._gone, maybeDeferred(lambda: stopped)], consumeErrors=True
        )
        return done.addBoth(self._stopped, late)

    def _stopped(self, _: Any, late: Any) -> None:
        if late.active():
            late.cancel()
        self.tell_figures()

    def _kill(self) -> None:
        _log.error(
            "{count} workers have not ended in time and are killed",
            count=len(self.workers),
        )
        self.abort()

    def abort(self) -> None:
        """
        End all workers at once.
        """
        for worker in self.workers.values():
            worker.signal("KILL")


def _how(reason: Failure) -> str:
    value: Any = reason.value
    if value.signal is not None:
        return f"signal {value.signal}"
    return f"exit status {value.exitCode}"
