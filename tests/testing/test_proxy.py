"""
A proxy that does to connections what networks do.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from twisted_rpc.testing import (
    FaultProxy,
    Faults,
    MemoryClock,
    MemoryEndpoint,
    MemoryNetwork,
)

reactor: Any = _reactor


class Peer(Protocol):
    """
    Keeps what comes.
    """

    transport: Any

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.end = ""
        self.ended: Deferred[str] = Deferred()

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.came)

    def dataReceived(self, data: bytes) -> None:
        self.came.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.end = type(reason.value).__name__
        self.ended.callback(self.end)


@implementer(IHalfCloseableProtocol)
class HalfPeer(Peer):
    """
    Goes on writing when it has read everything.
    """

    half = False

    def readConnectionLost(self) -> None:
        self.half = True

    def writeConnectionLost(self) -> None:
        pass


class MemoryProxyTests(SynchronousTestCase):
    """
    In memory, where time is exact.
    """

    def setUp(self) -> None:
        """A client and a server that know only how to keep bytes."""
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.server: Peer = Peer()
        listening = MemoryEndpoint(
            self.network, Factory.forProtocol(lambda: self.server)
        )
        self.proxy = FaultProxy(self.clock, listening, chance=lambda: 0.5)

    def pump(self, seconds: float = 0.0) -> None:
        """Let things happen."""
        self.clock.advance(seconds)
        for _ in range(50):
            self.network.deliver()
            self.clock.advance(0)

    def connect(self, peer: Peer | None = None) -> Peer:
        """A client, connected through the proxy."""
        client = peer if peer is not None else Peer()
        endpoint = MemoryEndpoint(self.network, self.proxy.factory)
        self.successResultOf(endpoint.connect(Factory.forProtocol(lambda: client)))
        self.pump()
        return client

    def test_passes(self) -> None:
        """
        Without faults everything passes, both ways.
        """
        client = self.connect()
        client.transport.write(b"question")
        self.pump()
        self.server.transport.write(b"answer")
        self.pump()
        self.assertEqual((self.server.data, client.data), (b"question", b"answer"))

    def test_latency(self) -> None:
        """
        Bytes are late by the latency and the jitter, in one direction only.
        """
        self.proxy.to_server.latency = 1.0
        self.proxy.to_server.jitter = 1.0
        client = self.connect()
        client.transport.write(b"question")
        self.server.transport.write(b"answer")
        self.pump()
        self.pump(1.4)
        self.assertEqual((self.server.data, client.data), (b"", b"answer"))
        self.pump(0.2)
        self.assertEqual(self.server.data, b"question")

    def test_order(self) -> None:
        """
        Jitter overtakes nothing.
        """
        self.proxy.to_server.jitter = 1.0
        client = self.connect()
        chances = iter([1.0, 0.0])
        for direction in self.proxy.connections:
            assert direction.to_server is not None
            direction.to_server._chance = lambda: next(chances)
        client.transport.write(b"first ")
        self.pump()
        client.transport.write(b"second")
        self.pump(2.0)
        self.assertEqual(self.server.data, b"first second")

    def test_bandwidth(self) -> None:
        """
        So many bytes a second pass, and no more.
        """
        self.proxy.to_server.bandwidth = 100
        self.proxy.to_server.slice = 10
        client = self.connect()
        client.transport.write(bytes(100))
        for _ in range(10):
            self.pump(0.05)
        self.assertIn(len(self.server.data), range(40, 61))
        for _ in range(12):
            self.pump(0.05)
        self.assertEqual(len(self.server.data), 100)

    def test_slices(self) -> None:
        """
        Bytes arrive in pieces.
        """
        self.proxy.to_server.slice = 3
        client = self.connect()
        client.transport.write(b"question")
        for _ in range(9):
            self.pump(0.000_001)
        self.assertEqual(self.server.came, [b"que", b"sti", b"on"])

    def test_cut(self) -> None:
        """
        After so many bytes both ends are told of a reset, in either direction.
        """
        for byte in range(9):
            self.server = Peer()
            self.proxy.to_server.cut_at = byte
            client = self.connect()
            client.transport.write(b"question")
            self.pump()
            self.pump(0.001)
            self.assertEqual(self.server.data, b"question"[:byte])
            self.assertEqual(self.server.end, "ConnectionLost")
            self.assertEqual(client.end, "ConnectionLost")
        self.proxy.to_server.cut_at = None
        self.proxy.to_client.cut_at = 2
        self.server = Peer()
        client = self.connect()
        self.server.transport.write(b"answer")
        self.pump()
        self.pump(0.001)
        self.assertEqual((client.data, client.end), (b"an", "ConnectionLost"))
        self.assertEqual(self.proxy.connections, [])

    def test_cut_by_closing(self) -> None:
        """
        The ends see a connection that was closed.
        """
        self.proxy.to_server = Faults(cut_at=4, cut="close")
        client = self.connect()
        client.transport.write(b"question")
        self.pump()
        self.assertEqual(
            (self.server.data, self.server.end), (b"ques", "ConnectionDone")
        )
        self.assertEqual(client.end, "ConnectionDone")

    def test_cut_in_silence(self) -> None:
        """
        Nothing more comes, and nobody is told.
        """
        self.proxy.to_server = Faults(cut_at=4, cut="silence")
        client = self.connect()
        client.transport.write(b"question")
        self.server.transport.write(b"answer")
        self.pump(1000)
        self.assertEqual((self.server.data, client.data), (b"ques", b"answer"))
        self.assertEqual((self.server.end, client.end), ("", ""))

    def test_cut_in_half(self) -> None:
        """
        The receiver sees the end, and may go on sending.
        """
        self.server = server = HalfPeer()
        self.proxy.to_server = Faults(cut_at=4, cut="half")
        client = self.connect()
        client.transport.write(b"question")
        self.pump()
        self.assertTrue(server.half)
        server.transport.write(b"answer")
        self.pump()
        self.assertEqual((server.data, client.data), (b"ques", b"answer"))

    def test_half_close_passes(self) -> None:
        """
        A client that will write no more still reads.
        """
        self.server = server = HalfPeer()
        client = self.connect(HalfPeer())
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        self.pump()
        self.assertEqual((server.data, server.half), (b"question", True))
        server.transport.write(b"answer")
        server.transport.loseConnection()
        self.pump()
        self.assertEqual((client.data, client.end), (b"answer", "ConnectionDone"))

    def test_partition(self) -> None:
        """
        What is sent while nothing passes comes afterwards.
        """
        client = self.connect()
        self.proxy.pause()
        client.transport.write(b"question")
        self.pump(10)
        self.assertEqual(self.server.data, b"")
        self.proxy.resume()
        self.pump()
        self.assertEqual(self.server.data, b"question")

    def test_refusing(self) -> None:
        """
        New connections may be reset; and so are those to a server that is not
        there.
        """
        self.proxy.refusing = True
        self.assertEqual(self.connect().end, "ConnectionLost")
        self.proxy.refusing = False
        self.proxy.server = MemoryEndpoint(self.network, None)
        self.assertEqual(self.connect().end, "ConnectionLost")

    def test_backpressure(self) -> None:
        """
        Whoever sends into a proxy that passes nothing on is no longer read.
        """
        self.proxy.to_server.stopped = True
        client = self.connect()
        for _ in range(100):
            client.transport.write(bytes(64 * 1024))
            self.pump()
        (connection,) = self.proxy.connections
        assert connection.to_server is not None
        self.assertLess(connection.to_server.waiting, 1_200_000)
        self.proxy.resume()
        for _ in range(10):
            self.pump()
        self.assertEqual(len(self.server.data), 6_553_600)

    def test_ends_pass(self) -> None:
        """
        A reset at one end is one at the other, a close a close.
        """
        client = self.connect()
        client.transport.abortConnection()
        self.pump()
        self.assertEqual(self.server.end, "ConnectionLost")
        self.server = Peer()
        client = self.connect()
        self.server.transport.write(b"answer")
        self.server.transport.loseConnection()
        self.pump()
        self.assertEqual((client.data, client.end), (b"answer", "ConnectionDone"))

    def test_nonsense(self) -> None:
        """
        Faults that mean nothing are refused.
        """
        for options in (
            {"latency": -1},
            {"jitter": -1},
            {"bandwidth": 0},
            {"slice": 0},
            {"cut_at": -1},
            {"cut": "scissors"},
        ):
            with self.assertRaises(ValueError, msg=str(options)) as caught:
                Faults(**options)
            self.assertIn(next(iter(options)), str(caught.exception))


class SocketProxyTests(TestCase):
    """
    On sockets.
    """

    async def connect(self, **faults: Any) -> tuple[FaultProxy, Peer, Peer]:
        """A server, a proxy and a client of it."""
        server, client = Peer(), Peer()
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(lambda: server)
        )
        self.addCleanup(port.stopListening)
        proxy = FaultProxy(
            reactor,
            TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port),
            **faults,
        )
        front: Any = await proxy.listen()
        self.addCleanup(proxy.stop)
        await TCP4ClientEndpoint(reactor, "127.0.0.1", front.getHost().port).connect(
            Factory.forProtocol(lambda: client)
        )
        return proxy, client, server

    async def test_cut(self) -> None:
        """
        Exactly so many bytes arrive before the reset.
        """
        _, client, server = await self.connect(to_server=Faults(cut_at=100_000))
        client.transport.write(bytes(300_000))
        await client.ended
        await server.ended
        self.assertEqual(len(server.data), 100_000)
        self.assertEqual(client.end, "ConnectionLost")

    async def test_slices_and_bandwidth(self) -> None:
        """
        Everything arrives in its order, in pieces and at its pace.
        """
        sent = bytes(range(250)) * 20
        _, client, server = await self.connect(
            to_server=Faults(slice=1000, bandwidth=100_000)
        )
        began = reactor.seconds()
        client.transport.write(sent)
        client.transport.loseWriteConnection()
        await client.ended
        self.assertEqual(server.data, sent)
        self.assertGreater(reactor.seconds() - began, 0.03)

    async def test_reset(self) -> None:
        """
        Every connection can be reset.
        """
        proxy, client, _ = await self.connect()
        while not proxy.connections or proxy.connections[0].to_client is None:
            await _turn()
        proxy.reset()
        self.assertEqual(await client.ended, "ConnectionLost")
        self.assertEqual(proxy.accepted, 1)


def _turn() -> Deferred[None]:
    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)
    return turn
