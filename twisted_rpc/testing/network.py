# -*- test-case-name: tests.testing.test_network -*-
"""
Connections in memory.
"""

# The two ends of a connection in memory know each other.
# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.testing.clock import MemoryClock

#: What a socket takes before it says that it is full, and what one read returns.
BUFFER = 64 * 1024


@implementer(ITransport)
class MemoryTransport:
    """
    One end of a connection in memory.

    @ivar protocol: who writes to it and is given what the peer wrote.
    @ivar inbox: what the peer wrote and the protocol has not been given.
    @ivar written: all bytes this end has written, counted.
    """

    def __init__(self, network: MemoryNetwork, name: str, port: int) -> None:
        self._network = network
        self._address = IPv4Address("TCP", "127.0.0.1", port)
        self.name = name
        self.protocol: IProtocol | None = None
        self.peer: MemoryTransport | None = None
        self.inbox = bytearray()
        self.written = 0
        self.connected = True
        self.disconnecting = False
        self._eof = False
        self._half_closed = False
        self._aborted = False
        self._reading = True
        self._producer: Any = None
        self._producer_paused = False

    # -- what a protocol uses -----------------------------------------------------------

    def write(self, data: bytes) -> None:
        """
        Send, at the next delivery.
        """
        peer = self.peer
        if not self.connected or self._half_closed or peer is None or not data:
            return
        self.written += len(data)
        peer.inbox += data
        if (
            self._producer is not None
            and not self._producer_paused
            and len(peer.inbox) > BUFFER
        ):
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send the pieces.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Close, once what was written has been delivered.
        """
        self.disconnecting = True
        self._half_closed = True

    def loseWriteConnection(self) -> None:
        """
        Write no more; the peer is told when it has read everything.  Unless it
        provides C{IHalfCloseableProtocol} the connection ends then.
        """
        self._half_closed = True

    def abortConnection(self) -> None:
        """
        Reset: what was not delivered is lost.
        """
        self._aborted = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Tell C{producer} when the peer does not read.
        """
        self._producer = producer

    def unregisterProducer(self) -> None:
        """
        Tell it no more.
        """
        self._producer = None

    def pauseProducing(self) -> None:
        """
        Deliver nothing to this end.
        """
        self._reading = False

    def resumeProducing(self) -> None:
        """
        Deliver again.
        """
        self._reading = True

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        """
        @return: the other end's address.
        """
        assert self.peer is not None
        return self.peer._address

    def getHost(self) -> IPv4Address:
        """
        @return: this end's address.
        """
        return self._address

    # -- what the network does ----------------------------------------------------------

    def deliver(self) -> bool:
        """
        Give the protocol what has come for it, as one read of a socket would.

        @return: whether anything happened.
        """
        peer = self.peer
        if not self.connected or self.protocol is None or peer is None:
            return False
        if self._aborted or peer._aborted:
            self._end(ConnectionLost("the connection was reset"))
            peer._end(ConnectionLost("the connection was reset"))
            return True
        if self._reading and self.inbox:
            data = bytes(self.inbox[:BUFFER])
            del self.inbox[:BUFFER]
            self.protocol.dataReceived(data)
            peer._drained()
            return True
        if self._reading and peer._half_closed and not self._eof:
            self._eof = True
            protocol: Any = self.protocol
            if not self._half_closed and IHalfCloseableProtocol.providedBy(protocol):
                protocol.readConnectionLost()
                return True
            self._end(ConnectionDone())
            peer._end(ConnectionDone())
            return True
        return False

    def _drained(self) -> None:
        """
        The peer has read: below half of the buffer there is room again.
        """
        peer = self.peer
        if (
            self._producer_paused
            and self._producer is not None
            and peer is not None
            and not peer.inbox
        ):
            self._producer_paused = False
            self._producer.resumeProducing()

    def _end(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self._network.transports.discard(self)
            if self.protocol is not None:
                self.protocol.connectionLost(Failure(reason))


class MemoryNetwork:
    """
    The connections of a test.

    @ivar transports: the ends that are open.
    """

    def __init__(self) -> None:
        self.transports: set[MemoryTransport] = set()
        self._ports = 40_000

    def connect(
        self, client: IProtocol, server: IProtocol
    ) -> tuple[MemoryTransport, MemoryTransport]:
        """
        Join two protocols.

        @return: the client's end and the server's.
        """
        self._ports += 1
        ends = (
            MemoryTransport(self, "client", self._ports),
            MemoryTransport(self, "server", 5000),
        )
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        for end, protocol in zip(ends, (client, server), strict=True):
            end.protocol = protocol
            self.transports.add(end)
        server.makeConnection(ends[1])
        client.makeConnection(ends[0])
        return ends

    def deliver(self) -> bool:
        """
        Deliver once to each end, in the order in which the connections were
        made.

        @return: whether anything happened.
        """
        ends = sorted(
            self.transports, key=lambda end: (end.getHost().port, end.getPeer().port)
        )
        happened = [end.deliver() for end in ends]
        return any(happened)

    def break_all(self) -> None:
        """
        Reset every connection.
        """
        for end in list(self.transports):
            end.abortConnection()


def settle(network: MemoryNetwork, clock: MemoryClock) -> None:
    """
    Deliver everything, and make the calls that are due, until nothing happens any
    more without time passing.
    """
    busy = True
    while busy:
        busy = clock.take_calls()
        busy = network.deliver() or busy
        now = clock.seconds()
        if any(call.getTime() <= now for call in clock.getDelayedCalls()):
            clock.advance(0)
            busy = True
