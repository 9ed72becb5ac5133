"""
Tests for how old what is read may be.
"""

from __future__ import annotations

from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_rpc.pulse import BEAT, FRESH, REST, Pulse
from twisted_rpc.testing import MemoryClock
from twisted_rpc.transport import READ, FrameProtocol, _waiting
from twisted_rpc.wire.limits import Limits


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


class FullReadTests(SynchronousTestCase):
    """
    A peer that sends more than one read takes.
    """

    def test_more_in_the_kernel(self) -> None:
        """
        After a read that was full the rest has waited since then, until a read
        that was not.
        """
        clock = Clock()
        protocol = Dated(clock)
        protocol.transport = _Transport()
        protocol.connectionMade()
        frame = b"\0\0\xff\xfc" + bytes(65532)
        protocol.dataReceived(frame)
        clock.advance(0.2)
        protocol.dataReceived(frame)
        clock.advance(0.2)
        protocol.dataReceived(b"\0\0\0\1x")
        clock.advance(0.2)
        protocol.dataReceived(b"\0\0\0\1x")
        self.assertEqual([round(age, 3) for age in protocol.ages], [0.0, 0.2, 0.4, 0.0])
        self.assertEqual([round(age, 3) for age in protocol.old], [0.2, 0.4])


class _Transport:
    TLS = False

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing is produced."""


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
        peer.write(b"\0\0\0\1x")
        while not _waiting(protocol.transport.fileno()):
            await self._turn()
        clock.advance(0.1)
        protocol.start_frames()
        await protocol.next()
        protocol.stop_frames()
        clock.advance(0.1)
        protocol.start_frames()
        peer.write(b"\0\0\0\1x")
        await protocol.next()
        self.assertEqual([round(age, 3) for age in protocol.ages], [0.1, 0.0])

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
