"""
Tests for the process that keeps workers serving, with processes that only seem
to be.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    CannotListenError,
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.twistd import listening, serving
from twisted_rpc.twistd.logfile import Log
from twisted_rpc.twistd.logs import read_levels
from twisted_rpc.twistd.workers import supervisor as supervising
from twisted_rpc.twistd.workers.balance import Counts
from twisted_rpc.twistd.workers.process import Command, WorkerProcess
from twisted_rpc.twistd.workers.supervisor import PATIENCE, Supervisor
from twisted_rpc.twistd.workers.worker import SOCKETS, TOLD


class Process:
    """
    A process that does what the test says.
    """

    def __init__(self, protocol: WorkerProcess, pid: int, sockets: list[int]) -> None:
        self.protocol = protocol
        self.pid = pid
        self.sockets = sockets
        self.signals: list[str] = []
        self.lives = True
        protocol.makeConnection(self)

    def signalProcess(self, name: str) -> None:
        """Note it."""
        if not self.lives:
            raise ProcessExitedAlready
        self.signals.append(name)

    def tells(self, **what: Any) -> None:
        """It tells the supervisor something, in two pieces."""
        line = json.dumps(what).encode() + b"\n"
        self.protocol.childDataReceived(TOLD, line[:5])
        self.protocol.childDataReceived(TOLD, line[5:])

    def ends(self, reason: Exception | None = None) -> None:
        """It ends."""
        self.lives = False
        self.protocol.processEnded(Failure(reason or ProcessDone(0)))


class Reactor(Clock):
    """
    Starts processes that only seem to be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.when_running: list[Any] = []

    def callWhenRunning(self, function: Any) -> None:
        """It does not run yet."""
        self.when_running.append(function)

    def run(self) -> None:
        """It runs."""
        for function in self.when_running:
            function()

    def spawnProcess(self, protocol: Any, *_: Any, childFDs: Any, **__: Any) -> None:
        """Start one."""
        sockets = [childFDs[fd] for fd in sorted(childFDs) if fd >= SOCKETS]
        self.processes.append(Process(protocol, 100 + len(self.processes), sockets))


class Port:
    """
    A port that nobody connects to.

    @ivar state: what was done to it.
    """

    def __init__(self) -> None:
        self.state = "accepting"

    def fileno(self) -> int:
        """A number."""
        return 77

    def getHost(self) -> IPv4Address:
        """Where it is."""
        return IPv4Address("TCP", "127.0.0.1", 5000)

    def stopReading(self) -> None:
        """Accept nothing."""
        self.state = "open"

    def stopListening(self) -> None:
        """Close."""
        self.state = "closed"


class Endpoint:
    """
    Listens, or does not.
    """

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def listen(self, _: Any) -> Deferred[Any]:
        """The outcome."""
        if isinstance(self.outcome, Exception):
            return fail(self.outcome)
        return succeed(self.outcome)


class SupervisorTests(SynchronousTestCase):
    """
    A supervisor of two workers.
    """

    def setUp(self) -> None:
        self.events: list[str] = []
        publisher = LogPublisher(self.observe)  # type: ignore[arg-type]  # any function will do
        for module in (supervising, serving, listening):
            self.patch(module._log, "observer", publisher)
        self.reactor = Reactor()
        self.counts = Counts.create(2)
        self.addCleanup(os.close, self.counts)
        self.port = Port()
        self.announced: list[Any] = []
        self.lines: list[str] = []
        self.supervisor = self.make(self.port)
        self.patch(self.supervisor.log, "write", self.lines.append)

    def observe(self, event: LogEvent) -> None:
        """
        Keep a message.
        """
        self.events.append(event["log_format"].format(**event))

    def make(self, outcome: Any) -> Supervisor:
        """
        @return: one that has not started.
        """
        return Supervisor(
            [Endpoint(outcome)],  # type: ignore[list-item]
            Command(["rpc"], ".", 2, self.counts),
            reactor=self.reactor,
            log=Log({"syslog": True}, read_levels([]), "text"),
            announce=self.announced.append,
            drain=25.0,
            chance=lambda: 0.5,
        )

    def start(self) -> list[Process]:
        """
        @return: the two processes, which serve.
        """
        self.supervisor.privilegedStartService()
        self.reactor.run()
        for process in self.reactor.processes:
            process.tells(ready=True)
        return self.reactor.processes

    def test_start(self) -> None:
        """
        Workers inherit the sockets, on which the supervisor accepts nothing; when
        both serve, that is announced.
        """
        self.supervisor.privilegedStartService()
        self.assertEqual(self.reactor.processes, [])
        self.reactor.run()
        first, second = self.reactor.processes
        self.assertEqual((first.sockets, second.sockets), ([77], [77]))
        self.assertEqual(self.port.state, "open")
        first.tells(ready=True)
        self.assertEqual(self.announced, [])
        second.tells(ready=True)
        self.assertEqual(self.announced, [[self.port]])
        self.assertIn("worker 2 serves, pid 101", self.events)

    def test_cannot_listen(self) -> None:
        """
        A port that is taken ends it before there is any worker.
        """
        taken = CannotListenError("127.0.0.1", 5000, OSError(98, "in use"))
        error = self.assertRaises(
            listening.CannotListenError, self.make(taken).privilegedStartService
        )
        self.assertEqual(
            str(error), "twistd rpc: cannot listen on 127.0.0.1:5000: in use"
        )
        self.assertEqual(self.reactor.processes, [])

    def test_replaced(self) -> None:
        """
        A worker that ends is replaced, each time later, until one has lived for a
        while.
        """
        self.start()
        for delay in (0.1, 0.16, 0.256):
            process = self.reactor.processes[-1]
            count = len(self.reactor.processes)
            process.ends(ProcessTerminated(signal=9))
            self.assertIn(
                f"worker 2, pid {process.pid}, has ended: signal 9; another is started"
                f" in {delay:.1f} s",
                self.events,
            )
            self.reactor.advance(delay - 0.01)
            self.assertEqual(len(self.reactor.processes), count)
            self.reactor.advance(0.01)
            self.assertEqual(len(self.reactor.processes), count + 1)
        self.reactor.advance(10)
        self.reactor.processes[-1].ends(ProcessTerminated(exitCode=3))
        self.assertIn("exit status 3; another is started in 0.1 s", self.events[-1])
        self.assertEqual([each.pid for each in self.supervisor.workers.values()], [100])

    def test_none_can_serve(self) -> None:
        """
        A worker that ends before any has served ends all: nobody would ever answer
        on the ports.
        """
        signals: list[int] = []
        self.patch(signal, "raise_signal", signals.append)
        self.supervisor.privilegedStartService()
        self.reactor.run()
        first, second = self.reactor.processes
        self.reactor.callWhenRunning = lambda function, *args: function(*args)  # type: ignore[method-assign]  # it runs
        second.ends(ProcessTerminated(exitCode=1))
        self.assertEqual(
            self.events[-1],
            "worker 2, pid 101, has ended before any served: exit status 1; stopping",
        )
        self.assertEqual(signals, [signal.SIGTERM])
        stopped = self.supervisor.stopService()
        first.ends(ProcessTerminated(exitCode=1))
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_none_can_serve_at_once(self) -> None:
        """
        Others that end before that has begun do not end all at once, and are not
        replaced.
        """
        signals: list[int] = []
        self.patch(signal, "raise_signal", signals.append)
        self.supervisor.privilegedStartService()
        self.reactor.run()
        self.reactor.callWhenRunning = lambda function, *args: function(*args)  # type: ignore[method-assign]  # it runs
        for process in self.reactor.processes:
            process.ends(ProcessTerminated(exitCode=1))
        self.assertEqual(signals, [signal.SIGTERM])
        self.successResultOf(self.supervisor.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_one_cannot_serve(self) -> None:
        """
        One that ends when others serve is replaced, although it never did.
        """
        self.supervisor.privilegedStartService()
        self.reactor.run()
        first, second = self.reactor.processes
        first.tells(ready=True)
        second.ends(ProcessTerminated(exitCode=1))
        self.reactor.advance(0.1)
        self.assertEqual(len(self.reactor.processes), 3)

    def test_drain(self) -> None:
        """
        To stop is to ask each worker once, and to wait for all of them.
        """
        first, second = self.start()
        stopped = self.supervisor.stopService()
        self.assertEqual(self.port.state, "closed")
        self.assertEqual((first.signals, second.signals), (["TERM"], ["TERM"]))
        first.ends(ProcessTerminated(signal=15))
        self.assertNoResult(stopped)
        second.ends(ProcessTerminated(signal=15))
        self.successResultOf(stopped)
        self.assertEqual(len(self.reactor.processes), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_late(self) -> None:
        """
        Workers that do not end in time are killed.
        """
        first, second = self.start()
        stopped = self.supervisor.stopService()
        first.ends()
        self.reactor.advance(25 + PATIENCE)
        self.assertEqual((first.signals, second.signals), (["TERM"], ["TERM", "KILL"]))
        second.ends()
        self.successResultOf(stopped)

    def test_stopped_while_one_is_missing(self) -> None:
        """
        One that is about to be replaced is not, any more.
        """
        first, second = self.start()
        first.ends()
        second.ends()
        self.successResultOf(self.supervisor.stopService())
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_abort(self) -> None:
        """
        To abort is to kill; one that has ended by itself is no fault.
        """
        first, second = self.start()
        first.lives = False
        self.supervisor.abort()
        self.assertEqual(second.signals, ["KILL"])

    def test_figures(self) -> None:
        """
        What workers tell is one set of figures; of one that has ended, what it did
        remains.
        """
        first, second = self.start()
        first.tells(done={"requests": 5, "errors": 1}, now={"connections_open": 2})
        second.tells(done={"requests": 7}, now={"connections_open": 1})
        second.tells(done={"requests": 8}, now={"connections_open": 1})
        self.assertEqual(
            self.supervisor.figures(),
            ({"requests": 13, "errors": 1}, {"workers": 2, "connections_open": 3}),
        )
        second.ends()
        self.supervisor.tell_figures()
        self.assertEqual(
            self.events[-1],
            "in all: requests 13, errors 1; now: workers 1, connections_open 2",
        )

    def test_log(self) -> None:
        """
        What a worker writes to its log is added to the supervisor's as it is; what
        it writes beside it is told with its name; a last line may have no end.
        """
        first, _ = self.start()
        first.protocol.childDataReceived(1, b"[worker 1] one\n[worker 1] t")
        first.protocol.childDataReceived(1, b"wo\n[worker 1] three")
        first.protocol.childDataReceived(2, b"Segmentation \xff fault\n")
        self.assertEqual(self.lines, ["[worker 1] one", "[worker 1] two"])
        self.assertEqual(self.events[-1], r"worker 1 wrote: Segmentation \xff fault")
        first.ends()
        self.assertEqual(self.lines[-1], "[worker 1] three")
