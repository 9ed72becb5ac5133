"""
Tests for a server as a service: it starts, drains and stops, alone or among
others, on sockets and on whichever reactor runs the tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.raw import RawPeer
from twisted_rpc import (
    Client,
    Limits,
    MemoryStore,
    Registry,
    Server,
    with_options,
)
from twisted_rpc.delivery.steps import MemorySteps
from twisted_rpc.errors import Unavailable
from twisted_rpc.idl import load_idl_text
from twisted_rpc.server.coroutines import asyncio_loop

IDL = """
service Work {
    int direct(int a);
    int later(int a);
    int awaited(int a);
    @threaded int blocking(int a);
    string big(int size);
    int asyncio_sleep(int a);
}
"""

idl = load_idl_text(IDL)


class Work:
    """
    One method for each way of running, ended by the tests.
    """

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []
        self.gate = threading.Event()
        self.threads = 0

    def direct(self, a: int) -> int:
        """At once."""
        return a

    def later(self, a: int) -> Deferred[int]:
        """A Deferred."""
        self.waiting.append(Deferred())
        return self.waiting[-1].addCallback(lambda _: a)

    async def awaited(self, a: int) -> int:
        """A coroutine."""
        self.waiting.append(Deferred())
        await self.waiting[-1]
        return a

    def blocking(self, a: int) -> int:
        """In a thread."""
        self.threads += 1
        self.gate.wait(30)
        return a

    def big(self, size: int) -> str:
        """So many letters."""
        return "x" * size

    async def asyncio_sleep(self, a: int) -> int:
        """With asyncio's own timer, task and timeout."""
        async with asyncio.timeout(10):
            await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0.002))
        return await asyncio.create_task(asyncio.sleep(0.001, result=a))

    def end(self) -> None:
        """End all that runs."""
        self.gate.set()
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(None)


class Silent(Protocol):
    """
    A peer that does not read.
    """

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Begin so."""
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Note it."""
        self.lost.callback(None)


class ServiceTests(TestCase):
    """
    A server on sockets.
    """

    def setUp(self) -> None:
        """
        An implementation.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        self.reactor: Any = reactor
        self.work = Work()
        self.addCleanup(self.work.gate.set)

    async def start(
        self, listen: str = "tcp:0:interface=127.0.0.1", parent: Any = None, **more: Any
    ) -> Server:
        """
        @return: a server that listens.
        """
        registry = Registry()
        registry.register(idl.IWork, self.work)
        server = Server(registry, listen=[listen], reactor=self.reactor, **more)
        if parent is None:
            server.privilegedStartService()
            server.startService()
        else:
            server.setServiceParent(parent)
        assert server.listening is not None
        await server.listening
        self.addCleanup(lambda: server.stopService() if server.running else None)
        return server

    def where(self, server: Server) -> str:
        """
        @return: where a client connects.
        """
        host: Any = server.ports[0].getHost()
        return f"tcp:127.0.0.1:{host.port}"

    def client(self, where: str) -> Any:
        """
        @return: a proxy.
        """
        client = Client(where, reactor=self.reactor)
        self.addCleanup(client.close)
        return client.proxy(idl.IWork)

    async def peer(self, where: str, make: Any = RawPeer) -> Any:
        """
        @return: a peer that sends frames by hand.
        """
        endpoint = clientFromString(self.reactor, where)
        peer = await endpoint.connect(Factory.forProtocol(make))
        self.addCleanup(peer.transport.abortConnection)
        return peer

    def say(self, peer: Any, method: str, a: int) -> None:
        """
        Send a request of the plain profile.
        """
        message = {
            "request_id": os.urandom(8).hex(), "service": "Work", "method": method,
            "params": [a], "timestamp": time.time(),
        }  # fmt: skip
        body = json.dumps(message).encode()
        peer.transport.write(len(body).to_bytes(4, "big") + body)

    async def until(self, condition: Any) -> None:
        """
        Let things happen until C{condition} is true.
        """
        end = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), end, "nothing happened")
            await deferLater(self.reactor, 0.002)

    async def test_one_endpoint(self) -> None:
        """
        One endpoint need not be in a list, as text or as it is.
        """
        text = "tcp:0:interface=127.0.0.1"
        for one in (text, serverFromString(self.reactor, text)):
            server = Server(Registry(), listen=one, reactor=self.reactor)
            server.startService()
            assert server.listening is not None
            self.assertEqual(len(await server.listening), 1)
            await server.stopService()

    async def test_drain(self) -> None:
        """
        In a service of the user's own, as alone: what runs is answered, however
        it runs; what comes later is refused; signals are left alone.
        """
        # The reactor takes some for itself when it runs.
        await deferLater(self.reactor, 0)
        handlers = [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)]
        parent = MultiService()
        parent.startService()
        server = await self.start(parent=parent)
        where = self.where(server)
        calls = self.client(where)
        plain = await self.peer(where)
        answers = [calls.later(1), calls.awaited(2), calls.blocking(3)]
        self.say(plain, "later", 4)
        self.say(plain, "direct", 5)
        await self.until(lambda: len(self.work.waiting) == 3 and self.work.threads)
        stopped = parent.stopService()
        self.assertIsInstance(stopped, Deferred)
        late = with_options(calls, timeout=0.3)
        error = await self.assertFailure(late.direct(6), Unavailable)
        self.assertEqual(error.executed, "no")
        self.assertFalse(stopped.called)
        self.work.end()
        self.assertEqual([await each for each in answers], [1, 2, 3])
        await self.until(lambda: plain.lost)
        # The second of its requests was not started, and gets no answer (W14).
        self.assertEqual([each["result"] for each in plain.frames], [4])
        await stopped
        self.assertEqual(
            [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)], handlers
        )

    async def test_peer_that_does_not_read(self) -> None:
        """
        A peer that does not take its answers is not waited for longer than the
        drain and the time that a close may take.
        """
        server = await self.start(drain=0.2, limits=Limits(close=0.1))
        peer = await self.peer(self.where(server), Silent)
        for _ in range(40):
            self.say(peer, "big", 1_000_000)
        await self.until(
            lambda: any(each.paused for each in server.factory.shared.connections)
        )
        began = time.monotonic()
        await server.stopService()
        self.assertLess(time.monotonic() - began, 2)
        peer.transport.resumeProducing()
        await peer.lost

    async def test_abort(self) -> None:
        """
        An abort ends the drain that goes on, calls in flight or not.
        """
        server = await self.start()
        calls = self.client(self.where(server))
        answers = [calls.later(1), calls.blocking(2)]
        await self.until(lambda: self.work.waiting and self.work.threads)
        stopped = server.stopService()
        again = server.factory.drain(9)
        server.abort()
        await stopped
        await again
        for answer in answers:
            answer.addErrback(lambda _: None)
            answer.cancel()

    async def test_starts_again(self) -> None:
        """
        A server that was stopped can be started, and serves.
        """
        server = await self.start()
        await server.stopService()
        server.startService()
        assert server.listening is not None
        await server.listening
        calls = self.client(self.where(server))
        self.assertEqual(await calls.direct(1), 1)
        await server.stopService()
        self.assertEqual(server.ports, [])

    async def test_unix(self) -> None:
        """
        On a Unix socket it is the same, and all its peers are one address.
        """
        # Relative, because 107 bytes are all that a socket's name may have.
        path = self.mktemp()
        server = await self.start(f"unix:{path}")
        calls = self.client(f"unix:{path}")
        self.assertEqual(await calls.direct(1), 1)
        self.assertEqual(dict(server.factory.shared.addresses), {"local": 1})

    async def test_asyncio(self) -> None:
        """
        On asyncio's reactor an C{async def} may await what asyncio has.
        """
        if asyncio_loop(self.reactor) is None:
            raise SkipTest("run the tests with --reactor=asyncio too")
        server = await self.start()
        calls = self.client(self.where(server))
        self.assertEqual(await calls.asyncio_sleep(3), 3)

    async def test_port_taken(self) -> None:
        """
        Where one of several ports cannot be had, none stays open.
        """
        taken = self.reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(taken.stopListening)
        number = taken.getHost().port
        opened = Remembering(self.reactor)
        server = Server(
            Registry(),
            listen=[opened, f"tcp:{number}:interface=127.0.0.1"],
            reactor=self.reactor,
        )
        server.startService()
        assert server.listening is not None
        with self.assertRaises(CannotListenError):
            await server.listening
        await server.stopService()
        self.assertFalse(opened.port.connected)


@implementer(IStreamServerEndpoint)
class Remembering:
    """
    Listens on a free port, which it keeps.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.port: Any = None

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """Listen."""
        self.port = self._reactor.listenTCP(0, protocolFactory, interface="127.0.0.1")
        return succeed(self.port)


@implementer(IStreamServerEndpoint)
class Slow:
    """
    Takes its time to listen.
    """

    def __init__(self) -> None:
        self.done: Deferred[Any] = Deferred()
        self.closed = 0

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """Later."""
        return self.done

    def stopListening(self) -> None:
        """It is its own port."""
        self.closed += 1


class EndpointTests(SynchronousTestCase):
    """
    A server whose endpoints are somebody else's.
    """

    def test_stopped_before_it_listens(self) -> None:
        """
        A port that opens after the server has stopped is closed.
        """
        slow = Slow()
        server = Server(Registry(), listen=[slow], reactor=Clock())
        server.startService()
        stopped = server.stopService()
        self.assertNoResult(stopped)
        slow.done.callback(slow)
        self.successResultOf(stopped)
        self.assertEqual(slow.closed, 1)

    def test_stopped_after_it_failed(self) -> None:
        """
        A failure to listen that nobody looked at does not fail the stop.
        """
        slow = Slow()
        slow.done = fail(CannotListenError(None, 1, OSError("no")))
        server = Server(Registry(), listen=[slow], reactor=Clock())
        server.startService()
        self.successResultOf(server.stopService())

    def test_store_that_cannot_start(self) -> None:
        """
        A store that cannot be started, whatever way it says so, is why nothing is
        listened on; and the server can be stopped.
        """

        def raises(_: Any) -> Deferred[None]:
            raise ZeroDivisionError

        for start in (raises, lambda _: fail(ZeroDivisionError())):
            slow, clock = Slow(), Clock()
            store = MemorySteps(MemoryStore(), clock.seconds, clock.seconds)
            self.patch(store, "start", start)
            server = Server(Registry(), listen=[slow], reactor=clock, dedup=store)
            server.startService()
            assert server.listening is not None
            self.failureResultOf(server.listening, ZeroDivisionError)
            stopped = server.stopService()
            clock.advance(0)
            self.successResultOf(stopped)
            self.assertEqual((server.ports, slow.closed), ([], 0))

    def test_store_that_cannot_start_elsewhere(self) -> None:
        """
        Who listens by himself finds in the log why calls are refused.
        """
        clock = Clock()
        store = MemorySteps(MemoryStore(), clock.seconds, clock.seconds)
        self.patch(store, "start", lambda _: fail(ZeroDivisionError()))
        Server(Registry(), reactor=clock, dedup=store).factory.doStart()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_no_connections_while_it_drains(self) -> None:
        """
        Who listens by himself may still accept: those are closed.
        """
        server = Server(Registry(), reactor=Clock())
        server.factory.doStart()
        self.assertIsNotNone(server.factory.buildProtocol(None))
        self.successResultOf(server.stopService())
        self.assertIsNone(server.factory.buildProtocol(None))
