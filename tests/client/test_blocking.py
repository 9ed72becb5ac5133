"""
Tests for a client of programs that run no reactor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from twisted_rpc import BlockingClient, Registry, RPCError, Server, with_options
from twisted_rpc.errors import DeadlineExceeded, NotFound, OutcomeUnknown, Unavailable
from twisted_rpc.idl import load_idl_text

ROOT = Path(__file__).parent.parent.parent

IDL = """
service Work {
    int double(int a);
    int never();
    int fails();
}
"""
idl = load_idl_text(IDL)


class Work:
    """
    The implementation.
    """

    def __init__(self) -> None:
        self.begun: list[Deferred[int]] = []
        self.cancelled = 0

    def double(self, a: int) -> int:
        return 2 * a

    def never(self) -> Deferred[int]:
        deferred: Deferred[int] = Deferred(self._cancel)
        self.begun.append(deferred)
        return deferred

    def _cancel(self, _: Deferred[int]) -> None:
        self.cancelled += 1

    def fails(self) -> int:
        raise NotFound(message="nothing here")


class ServedCase(TestCase):
    """
    A server on a real socket.
    """

    async def serve(self) -> None:
        """
        Serve.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        self.work = Work()
        registry = Registry()
        registry.register(idl.IWork, self.work)
        self.server = Server(
            registry, listen=["tcp:0:interface=127.0.0.1"], reactor=reactor, drain=0.1
        )
        self.server.startService()
        assert self.server.listening is not None
        (port,) = await self.server.listening
        address: Any = port.getHost()
        self.port = address.port
        self.endpoint = f"tcp:127.0.0.1:{self.port}"
        self.addCleanup(self.server.stopService)


class BlockingTests(ServedCase):
    """
    Calls from threads, while the tests' reactor runs.
    """

    async def using(self, use: Callable[[Any, Any], Any]) -> Any:
        """
        Call C{use} with a client and a proxy, in a thread.
        """
        await self.serve()

        def run() -> Any:
            with BlockingClient(self.endpoint) as client:
                return use(client, client.proxy(idl.IWork))

        return await deferToThread(run)

    async def test_results(self) -> None:
        """
        Methods return values, and the proxy provides the interface.
        """

        def use(client: Any, work: Any) -> Any:
            self.assertTrue(verifyObject(idl.IWork, work))
            self.assertEqual(work.double.__name__, "double")
            self.assertIn("blocking", repr(work))
            self.assertIn(self.endpoint, repr(client))
            return [work.double(n) for n in range(5)], work.double(a=7)

        self.assertEqual(await self.using(use), ([0, 2, 4, 6, 8], 14))

    async def test_errors(self) -> None:
        """
        And raise what a Deferred would fail with; wrong arguments too.
        """

        def use(_: Any, work: Any) -> None:
            with self.assertRaises(NotFound):
                work.fails()
            with self.assertRaises(TypeError):
                work.double()
            with self.assertRaises(RPCError):
                work.double("one")

        await self.using(use)

    async def test_options(self) -> None:
        """
        C{with_options} works as on other proxies.
        """

        def use(_: Any, work: Any) -> None:
            quick = with_options(work, timeout=0.1)
            self.assertTrue(verifyObject(idl.IWork, quick))
            with self.assertRaises(DeadlineExceeded):
                quick.never()
            self.assertEqual(work.double(1), 2)

        await self.using(use)

    async def test_questions(self) -> None:
        """
        Questions are answered at once too.
        """

        def use(client: Any, _: Any) -> Any:
            self.assertIsNone(client.ping())
            client.reflect("Work")
            with self.assertRaises(NotFound):
                client.health("Other")
            with self.assertRaises(RPCError):
                client.resolve("unknown:1")
            return client.health(), list(client.reflect()["services"])

        self.assertEqual(await self.using(use), ({"status": "SERVING"}, ["Work"]))

    async def test_many_threads(self) -> None:
        """
        Any number of threads may use a client at the same time.
        """

        def use(_: Any, work: Any) -> Any:
            sums: list[int] = []

            def some(base: int) -> None:
                sums.append(sum(work.double(base + n) for n in range(20)))

            threads = [threading.Thread(target=some, args=(n,)) for n in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sorted(sums)

        expected = [sum(2 * (base + n) for n in range(20)) for base in range(5)]
        self.assertEqual(await self.using(use), expected)

    async def test_closed(self) -> None:
        """
        Closing ends the calls of other threads; those that come later fail.
        """

        def use(client: Any, work: Any) -> None:
            ended: list[BaseException] = []

            def waiting() -> None:
                try:
                    work.never()
                except RPCError as error:
                    ended.append(error)

            thread = threading.Thread(target=waiting)
            thread.start()
            while not self.work.begun:
                work.double(1)
            client.close()
            thread.join()
            self.assertIsInstance(ended[0], OutcomeUnknown)
            with self.assertRaises(Unavailable):
                work.double(1)

        await self.using(use)

    async def test_in_the_reactors_thread(self) -> None:
        """
        There it would wait for itself, and says so.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        # Now it runs, and this is its thread.
        await deferLater(cast("IReactorTime", reactor), 0.0)
        with self.assertRaises(RuntimeError) as caught:
            BlockingClient("tcp:127.0.0.1:1")
        self.assertIn("the reactor's thread", str(caught.exception))


SCRIPT = """
import os, signal, sys, threading
from twisted_rpc import BlockingClient
from twisted_rpc.idl import load_idl_text
idl = load_idl_text({idl!r})
client = BlockingClient("tcp:127.0.0.1:{port}")
work = client.proxy(idl.IWork)
print(work.double(4))

child = os.fork()
if not child:
    for attempt in (lambda: work.double(1), lambda: BlockingClient("tcp:127.0.0.1:1")):
        try:
            attempt()
        except RuntimeError as error:
            print("after the fork" in str(error), flush=True)
    os._exit(0)
os.waitpid(child, 0)

threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    work.never()
except KeyboardInterrupt:
    print("interrupted")
print(work.double(5))

from twisted.internet import reactor
reactor.callFromThread(reactor.stop)
try:
    while True:
        work.double(6)
except RuntimeError as error:
    print(error)
"""


class ScriptTests(ServedCase):
    """
    A program that runs no reactor.
    """

    async def test_script(self) -> None:
        """
        The reactor runs in a thread of its own.  A fork is refused, Ctrl-C ends
        a call and cancels it, and a reactor that has been stopped is noticed.
        """
        await self.serve()
        done = await deferToThread(
            subprocess.run,
            [sys.executable, "-c", SCRIPT.format(idl=IDL, port=self.port)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:5], ["8", "True", "True", "interrupted", "10"])
        self.assertIn("the reactor has been stopped", lines[5])
        self.assertEqual(self.work.cancelled, 1)


class UseTests(SynchronousTestCase):
    """
    How it is made.
    """

    def test_documented(self) -> None:
        """
        Every method says what it does.
        """
        for name in dir(BlockingClient):
            if not name.startswith("_"):
                self.assertTrue(getattr(BlockingClient, name).__doc__, name)
