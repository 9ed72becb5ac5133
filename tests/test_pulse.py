"""
Tests for how old what is read may be.
"""

from __future__ import annotations

from socket import SO_RCVBUF, SOL_SOCKET, socket, socketpair
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_rpc.piled import waiting
from twisted_rpc.pulse import BEAT, FRESH, REST, Pulse
from twisted_rpc.testing import MemoryClock
from twisted_rpc.transport import READ, FrameProtocol
from twisted_rpc.wire.limits import Limits

#: A frame.
SMALL = b"\0\0\0\1x"


class PulseTests(SynchronousTestCase):
    """
    L{Pulse}.
    """

    def setUp(self) -> None:
        """
        One that rests.
        """
        self.clock = MemoryClock()
        self.pulse = Pulse(self.clock)

    def age(self) -> float:
        """
        @return: how old what is read now may be.
        """
        now = self.clock.seconds()
        return 0.0 if now < self.pulse.fresh else now - self.pulse.looked(now)

    def test_awake(self) -> None:
        """
        What comes first is new, and so is what comes later to a reactor that
        nothing holds.
        """
        for _ in range(50):
            self.assertLess(self.age(), FRESH)
            self.clock.advance(0.007)

    def test_stall(self) -> None:
        """
        After a stall what is read may be as old as the stall, until every socket
        was looked at again.
        """
        self.age()
        self.clock.advance(0.1)
        self.clock.stall(3.0)
        self.assertTrue(3.0 <= self.age() <= 3.0 + 2 * BEAT, self.age())
        self.clock.advance(BEAT / 2)
        self.assertGreater(self.age(), 3.0)
        self.clock.advance(BEAT)
        self.assertLess(self.age(), FRESH)

    def test_rest(self) -> None:
        """
        It rests when nothing was read for a while, but not because it was held.
        """
        heard = self.clock.seconds()
        self.age()
        self.clock.advance(REST / 2)
        self.pulse.rest_after(heard, self.clock.seconds())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.stall(3.0)
        self.pulse.rest_after(heard, self.clock.seconds())
        self.assertGreater(self.age(), 3.0)
        self.clock.advance(0.1)
        self.pulse.rest_after(heard, self.clock.seconds())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(60)
        self.assertEqual(self.age(), 0.0)
        self.pulse.rest()


class Dated(FrameProtocol):
    """
    Keeps when frames came.
    """

    def __init__(self, clock: IReactorTime, pulse: Pulse | None = None) -> None:
        super().__init__(clock, Limits(), pulse)
        self.ages: list[float] = []
        self.old: list[float] = []
        self._came: Deferred[None] = Deferred()

    def stringReceived(self, string: bytes) -> None:
        """Note it."""
        self.ages.append(self._seconds() - self.arrived)
        came, self._came = self._came, Deferred()
        came.callback(None)

    def next(self) -> Deferred[None]:
        """
        @return: fires when a frame has come.
        """
        return self._came

    def aged(self, age: float) -> None:
        """Note it."""
        self.old.append(age)


class PiecesTests(SynchronousTestCase):
    """
    A transport that stands above a socket, as TLS does, and hands on in pieces what
    one read gets.
    """

    def setUp(self) -> None:
        """
        A connection, and what its kernel holds.
        """
        self.peer, self.kernel = socketpair()
        self.addCleanup(self.peer.close)
        self.addCleanup(self.kernel.close)
        self.clock = MemoryClock()
        self.pulse = Pulse(self.clock)
        self.addCleanup(self.pulse.rest)
        self.protocol = Dated(self.clock, self.pulse)
        self.protocol.transport = _Transport(self.kernel)
        self.protocol.connectionMade()
        self.protocol.dataReceived(SMALL)
        self.clock.advance(0.1)
        self.protocol.ages.clear()

    def ages(self) -> list[float]:
        """
        @return: how old each frame was since the last look.
        """
        found = [round(age, 1) for age in self.protocol.ages]
        self.protocol.ages.clear()
        return found

    def test_stalled(self) -> None:
        """
        After a stall, each piece is as old as that, while the kernel holds more and
        over a pause; what comes then is new.
        """
        self.peer.send(b"x" * 1000)
        self.clock.stall(3.0)
        self.protocol.dataReceived(SMALL)
        self.protocol.dataReceived(SMALL * 70)
        self.assertEqual(self.ages(), [3.0] * 65)
        for _ in range(3):
            self.clock.advance(0.1)
        self.assertEqual(self.ages(), [3.0] * 6)
        self.protocol.dataReceived(SMALL)
        self.assertEqual(self.ages(), [3.3])
        self.kernel.recv(1000)
        self.clock.advance(0.1)
        self.protocol.dataReceived(SMALL)
        self.assertEqual(self.ages(), [0.0])

    def test_lost(self) -> None:
        """
        A connection that is lost leaves no timer.
        """
        self.clock.stall(3.0)
        self.protocol.dataReceived(SMALL)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.pulse.rest()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed(self) -> None:
        """
        A socket that is being closed holds nothing.
        """
        self.kernel.close()
        self.assertEqual(waiting(self.protocol.transport), 0)


class _Transport:
    TLS = False

    def __init__(self, kernel: socket) -> None:
        self.fileno = kernel.fileno

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing is produced."""

    def pauseProducing(self) -> None:
        """Nothing is read by itself."""

    resumeProducing = pauseProducing


class SocketTests(TestCase):
    """
    A connection that was not read for a while.
    """

    async def test_paused(self) -> None:
        """
        What came meanwhile is as old as the pause; what comes after it is not.
        """
        clock = Clock()
        protocol, peer = await self._connect(clock)
        protocol.stop_frames()
        peer.write(SMALL)
        while not waiting(protocol.transport):
            await self._turn()
        clock.advance(0.1)
        protocol.start_frames()
        await protocol.next()
        protocol.stop_frames()
        clock.advance(0.1)
        protocol.start_frames()
        peer.write(SMALL)
        await protocol.next()
        self.assertEqual([round(age, 3) for age in protocol.ages], [0.1, 0.0])

    async def test_exactly_full(self) -> None:
        """
        After a read that was full and left nothing, what comes next is new.
        """
        clock = Clock()
        protocol, peer = await self._connect(clock)
        peer.write(b"\0\0\xff\xfc" + bytes(READ - 4))
        await protocol.next()
        clock.advance(2)
        peer.write(SMALL)
        await protocol.next()
        self.assertEqual(protocol.ages[-1], 0.0)

    async def test_never_empty(self) -> None:
        """
        From a peer that always has more to send each read is full, and yet none
        is older than what the kernel can hold.
        """
        clock = Clock()
        protocol, peer = await self._connect(clock)
        protocol.transport.getHandle().setsockopt(SOL_SOCKET, SO_RCVBUF, 4 * READ)
        peer.write((b"\0\0\xff\xfc" + bytes(READ - 4)) * 200)
        for _ in range(200):
            await protocol.next()
            clock.advance(0.01)
        self.assertTrue(0.02 < max(protocol.ages) < 0.5, max(protocol.ages))

    async def _connect(self, clock: Clock) -> tuple[Dated, Any]:
        """
        @return: one end, and the transport of the other.
        """
        accepted: list[Dated] = []

        class Accepting(Factory):
            def buildProtocol(self, addr: object) -> Dated:
                accepted.append(Dated(clock))
                return accepted[-1]

        reactor = _reactor()
        server = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: Any = await server.listen(Accepting())
        self.addCleanup(port.stopListening)
        client = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        peer: Any = await client.connect(Factory.forProtocol(Protocol))
        self.addCleanup(peer.transport.abortConnection)
        while not accepted or accepted[0].transport is None:
            await self._turn()
        self.addCleanup(accepted[0].abort)
        return accepted[0], peer.transport

    async def _turn(self) -> None:
        await deferLater(_reactor(), 0.001)


def _reactor() -> Any:
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

    return reactor
