"""
Tests for giving up, from one end to the other.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Client, Registry
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, connect

idl = load_idl_text(
    """
    service Work {
        int deferred(int a);
        int coroutine(int a);
        int further(int a);
        @readonly int shared(int a);
    }
    """,
    name="work.idl",
)


class Work:
    """
    Runs until it is cancelled, and notes that.
    """

    def __init__(self) -> None:
        self.running: list[Deferred[int]] = []
        self.cancelled: list[str] = []
        self.behind: Any = None

    def deferred(self, a: int) -> Deferred[int]:
        """A Deferred."""
        self.running.append(Deferred(lambda _: self.cancelled.append("deferred")))
        return self.running[-1]

    shared = deferred

    async def coroutine(self, a: int) -> int:
        """A coroutine."""
        try:
            return await self.deferred(a)
        except CancelledError:
            self.cancelled.append("coroutine")
            raise

    async def further(self, a: int) -> int:
        """Another server's."""
        result: int = await self.behind.coroutine(a)
        return result


class CancellingTests(SynchronousTestCase):
    """
    A client that gives up, and a server that notices.
    """

    def setUp(self) -> None:
        """
        Join them.
        """
        self.work = Work()
        registry = Registry()
        registry.register(idl.IWork, self.work)
        self.pair = connect(registry, clock=MemoryClock(), client={"coalesce": True})
        self.addCleanup(self.pair.close)
        self.proxy = self.pair.client.proxy(idl.IWork)

    def give_up(self, waiting: Deferred[Any]) -> None:
        """
        Cancel what runs at the other end.
        """
        self.pair.pump()
        self.assertEqual(self.work.cancelled, [])
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.pair.pump()
        self.assertEqual(self.pair.server.gauges()["calls_running"], 0)

    def test_deferred(self) -> None:
        """
        Cancelling the Deferred of a call cancels the Deferred of its run.
        """
        self.give_up(self.proxy.deferred(1))
        self.assertEqual(self.work.cancelled, ["deferred"])

    def test_coroutine(self) -> None:
        """
        Cancelling a coroutine cancels the call that it awaits, and the coroutine
        that runs for it.
        """

        async def ask() -> Any:
            return await self.proxy.coroutine(1)

        self.give_up(Deferred.fromCoroutine(ask()))
        self.assertEqual(self.work.cancelled, ["deferred", "coroutine"])

    def test_further(self) -> None:
        """
        So it goes on, to the server that the server asks.
        """
        behind = Work()
        registry = Registry()
        registry.register(idl.IWork, behind)
        pair = connect(registry, clock=self.pair.clock)
        endpoint = MemoryEndpoint(self.pair.network, pair.server.factory)
        clock = self.pair.clock
        client = Client(endpoint, reactor=clock, wall=clock.seconds)
        self.work.behind = client.proxy(idl.IWork)
        self.give_up(self.proxy.further(1))
        self.assertEqual(behind.cancelled, ["deferred", "coroutine"])
        client.close()
        pair.close()

    def test_shared(self) -> None:
        """
        A run that several wait for goes on until the last has given up.
        """
        first, second = self.proxy.shared(1), self.proxy.shared(1)
        self.pair.pump()
        self.assertEqual(len(self.work.running), 1)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.pair.pump()
        self.assertEqual(self.work.cancelled, [])
        self.give_up(second)
        self.assertEqual(self.work.cancelled, ["deferred"])

    def test_stubborn(self) -> None:
        """
        What does not stop when it is told to counts as long as it runs.
        """

        async def stubborn(a: int) -> int:
            try:
                await self.work.running[0]
            except CancelledError:
                return int(await self.work.running[1])
            return a

        self.work.running = [Deferred(), Deferred()]
        self.work.coroutine = stubborn  # type: ignore[method-assign]
        registry = Registry()
        registry.register(idl.IWork, self.work)
        pair = connect(registry, clock=MemoryClock())
        self.addCleanup(pair.close)
        waiting = pair.client.proxy(idl.IWork).coroutine(1)
        pair.pump()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        pair.pump()
        self.assertEqual(pair.server.gauges()["calls_running"], 1)
        self.work.running[1].callback(2)
        pair.pump()
        self.assertEqual(pair.server.gauges()["calls_running"], 0)
