# -*- test-case-name: tests.testing.test_simulation -*-
"""
A network of connections that keep the order of their bytes, as TCP does, and
can do nothing else that one would wish for.
"""

# The two ends of a connection know each other.
# ruff: noqa: SLF001

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.testing.network import BUFFER
from twisted_rpc.testing.simulation.clock import NodeClock, SimulatedClock
from twisted_rpc.testing.simulation.trace import Trace

#: Seconds between two attempts of a kernel to connect.
SYN: float = 1.0

#: What stands for the end of the bytes, and for a reset.
_END = b"FIN"
_RESET = b"RST"

Watch = Callable[["SimulatedTransport", bytes], None]


class Host:
    """
    A machine: a name in the network, and the process that runs on it.

    @ivar clock: the reactor of the process, in its present life.
    @ivar principal: who calls from there.
    """

    def __init__(
        self, name: str, number: int, clock: NodeClock, principal: str = "anonymous"
    ) -> None:
        self.principal = principal
        self.name = name
        self.address = IPv4Address("TCP", f"10.0.0.{number}", 5000)
        self.clock = clock

    def __repr__(self) -> str:
        return f"<Host {self.name}>"


class SimulatedNetwork:
    """
    The connections of a simulation.

    @ivar listening: the factory that accepts connections, by host.
    @ivar transports: the ends that are open, the oldest first.
    @ivar latency: seconds that bytes are on their way, at least.
    @ivar spread: and at most so many more.
    """

    def __init__(
        self, clock: SimulatedClock, random: Random, trace: Trace, watch: Watch
    ) -> None:
        """
        @param watch: is told all that is written.
        """
        self.clock = clock
        self.trace = trace
        self.random = random
        self.latency = 0.0005
        self.spread = 0.002
        self.listening: dict[Host, IProtocolFactory] = {}
        self.transports: dict[SimulatedTransport, None] = {}
        self._watch = watch
        self._apart: set[frozenset[str]] = set()
        self._count = 0

    def delay(self) -> float:
        """
        @return: seconds, for what is sent now.
        """
        return self.latency + self.spread * self.random.random()

    # -- partitions ---------------------------------------------------------------------

    def divide(self, one: Host, other: Host) -> None:
        """
        Let nothing pass between two hosts.
        """
        self._apart.add(frozenset((one.name, other.name)))

    def heal(self) -> None:
        """
        Let everything pass again, what waits first.
        """
        self._apart.clear()
        for end in list(self.transports):
            self.clock.callLater(self.delay(), end.flush)

    def divided(self, one: Host, other: Host) -> bool:
        """
        @return: whether nothing passes between two hosts.
        """
        return bool(self._apart) and frozenset((one.name, other.name)) in self._apart

    # -- connections --------------------------------------------------------------------

    def connect(
        self, source: Host, target: Host, factory: IProtocolFactory
    ) -> Deferred[Any]:
        """
        Connect two hosts.

        @return: fires with the protocol of C{source}.
        """
        connected: Deferred[Any] = Deferred()
        life = source.clock

        def arrive() -> None:
            if connected.called or not life.alive:
                return
            if self.divided(source, target) or not target.clock.alive:
                self.clock.callLater(SYN, arrive)
                return
            accepting = self.listening.get(target)
            protocol = (
                accepting.buildProtocol(source.address)
                if accepting is not None
                else None
            )
            if protocol is None:
                self.clock.callLater(self.delay(), answer, None)
                return
            self._count += 1
            ends = (
                SimulatedTransport(self, source, self._count, calling=True),
                SimulatedTransport(self, target, self._count, calling=False),
            )
            ends[0].peer, ends[1].peer = ends[1], ends[0]
            self.transports.update(dict.fromkeys(ends))
            ends[1].start(protocol)
            self.clock.callLater(self.delay(), answer, ends[0])

        def answer(end: SimulatedTransport | None) -> None:
            if connected.called or not life.alive:
                if end is not None:
                    end.abortConnection()
            elif end is None:
                connected.errback(RefusedError("nobody listens there"))
            else:
                client: Any = factory.buildProtocol(target.address)
                end.start(client)
                connected.callback(client)
                end.flush_peer()

        self.clock.callLater(self.delay(), arrive)
        return connected

    def of(self, host: Host) -> list[SimulatedTransport]:
        """
        @return: the open ends at C{host}.
        """
        return [end for end in self.transports if end.host is host]

    def crash(self, host: Host, *, power: bool) -> None:
        """
        The process at C{host} ends at once.

        @param power: so does the machine: nobody is told.
        """
        self.listening.pop(host, None)
        for end in self.of(host):
            end.died(told=not power)

    def wake(self, host: Host) -> None:
        """
        The process at C{host} goes on after a stall: it is given what has come.
        """
        for end in self.of(host):
            end.flush_peer()

    def watch(self, end: SimulatedTransport, data: bytes) -> None:
        """
        Something was written.
        """
        self._watch(end, data)


@implementer(ITransport)
class SimulatedTransport:
    """
    One end of a connection.

    @ivar host: where it is.
    @ivar number: of the connection.
    @ivar name: the host and the number.
    @ivar calling: it is the client's end.
    @ivar severed: nothing passes any more.
    @ivar connected: C{False} once the protocol has been told, or is no more.
    """

    peer: SimulatedTransport

    def __init__(
        self, network: SimulatedNetwork, host: Host, number: int, *, calling: bool
    ) -> None:
        self.host = host
        self.number = number
        self.name = f"{host.name}#{number}"
        self.calling = calling
        self.protocol: IProtocol | None = None
        self.connected = True
        self.disconnecting = False
        self.watched: Any = None
        self._network = network
        self._life = host.clock
        # What is on its way to the peer, and how much of it has got there.
        self._flight: deque[bytes] = deque()
        self._arrived = 0
        self._due = 0.0
        self._size = 0
        self.severed = False
        self._closed = False
        self._ending = False
        self._reading = True
        self._producer: Any = None
        self._producer_paused = False

    def start(self, protocol: IProtocol) -> None:
        """
        The connection is made.
        """
        self.protocol = protocol
        protocol.makeConnection(self)

    # -- what a protocol uses -----------------------------------------------------------

    def write(self, data: bytes) -> None:
        """
        Send.
        """
        if not self._life.alive or not self.connected or self._closed or not data:
            return
        self._network.watch(self, data)
        if self.severed:
            # The kernel repeats it for a while, and gives up.
            self._lose_later(0.2 + self._network.random.random(), ConnectionLost())
            return
        self._size += len(data)
        self._send(data)
        if (
            self._size > BUFFER
            and self._producer is not None
            and not self._producer_paused
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
        Close.
        """
        self.loseWriteConnection()
        self.disconnecting = True
        self._lose_later(0.0, ConnectionDone())

    def loseWriteConnection(self) -> None:
        """
        Write no more.
        """
        if not self._closed and self.connected:
            self._closed = True
            self._send(_END)

    def abortConnection(self) -> None:
        """
        Reset.
        """
        if self.connected:
            self._closed = True
            self._send(_RESET)
            self._lose_later(0.0, ConnectionAborted())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Tell C{producer} when too much is on its way.
        """
        self._producer = producer

    def unregisterProducer(self) -> None:
        """
        Tell it no more.
        """
        self._producer = None

    def pauseProducing(self) -> None:
        """
        Read no more.
        """
        self._reading = False

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        self._reading = True
        self._network.clock.callLater(0, self.flush_peer)

    def stopProducing(self) -> None:
        """
        Close.
        """
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        """
        @return: the other end's address.
        """
        return self.peer.host.address

    def getHost(self) -> IPv4Address:
        """
        @return: this end's address.
        """
        return self.host.address

    # -- what the network does ----------------------------------------------------------

    def _send(self, data: bytes) -> None:
        network = self._network
        now = network.clock.seconds()
        # It overtakes nothing.
        self._due = max(self._due, now + network.delay())
        self._flight.append(data)
        network.clock.callLater(self._due - now, self._arrive)

    def _arrive(self) -> None:
        self._arrived += 1
        self.flush()

    def flush(self) -> None:
        """
        Give the peer what has arrived, as far as it can be given.
        """
        peer = self.peer
        network = self._network
        while self._arrived and self._flight and not self.severed:
            if network.divided(self.host, peer.host):
                return
            if not peer._life.alive or not peer.connected:
                self._refused()
                return
            if peer.protocol is None or not peer._reading:
                return
            if peer._life.stalled_until > network.clock.seconds():
                return
            self._arrived -= 1
            data = self._flight.popleft()
            if data is _RESET:
                peer._lose(ConnectionLost())
            elif data is _END:
                peer._ended()
            else:
                self._give(peer, data)

    def flush_peer(self) -> None:
        """
        Be given what has arrived.
        """
        self.peer.flush()

    def _give(self, peer: SimulatedTransport, data: bytes) -> None:
        self._network.trace.note(f"{peer.name} reads {len(data)}")
        assert peer.protocol is not None
        peer.protocol.dataReceived(data)
        self._size -= len(data)
        if self._producer_paused and not self._flight:
            self._network.clock.callLater(0, self._drained)

    def _drained(self) -> None:
        if self._producer_paused and self.connected and self._life.alive:
            self._producer_paused = False
            if self._producer is not None:
                self._producer.resumeProducing()

    def _refused(self) -> None:
        """
        Nobody is there who could be given anything.
        """
        self._flight.clear()
        self._arrived = 0
        if self.peer.host.clock.alive and self.connected and not self.severed:
            self._lose_later(self._network.delay(), ConnectionLost())

    def _ended(self) -> None:
        """
        The peer writes no more.
        """
        self.loseWriteConnection()
        self._lose(ConnectionDone())

    def _lose_later(self, delay: float, reason: Exception) -> None:
        if not self._ending:
            self._ending = True
            self._network.clock.callLater(delay, self._lose_when_awake, reason)

    def _lose_when_awake(self, reason: Exception) -> None:
        left = self._life.stalled_until - self._network.clock.seconds()
        if left > 0:
            self._network.clock.callLater(left, self._lose_when_awake, reason)
        else:
            self._lose(reason)

    def _lose(self, reason: Exception) -> None:
        if not self.connected:
            return
        self.connected = False
        self._network.transports.pop(self, None)
        if self._life.alive and self.protocol is not None:
            self._network.trace.note(f"{self.name} {type(reason).__name__}")
            self.protocol.connectionLost(Failure(reason))

    def died(self, *, told: bool) -> None:
        """
        The process of this end is no more.

        @param told: its kernel resets the connection.
        """
        self.connected = False
        self._network.transports.pop(self, None)
        if told:
            self._send(_RESET)

    def sever(self, random: Random) -> None:
        """
        The connection is cut: a part of what is on its way may arrive, and
        nothing more; each end learns of it sooner or later, or when it writes.
        """
        for end in (self, self.peer):
            piece = end._flight[0] if end._flight else b""
            part = piece[: random.randint(0, len(piece))]
            peer = end.peer
            if (
                part
                and piece is not _END
                and piece is not _RESET
                and peer.connected
                and peer._life.alive
                and peer.protocol is not None
            ):
                end._give(peer, part)
            end.severed = True
            end._flight.clear()
            end._arrived = 0
        for end in (self, self.peer):
            if random.random() < 0.7:
                end._lose_later(random.random() * 0.2, ConnectionLost())


@implementer(IStreamClientEndpoint)
class SimulatedEndpoint:
    """
    Connects one host to another.
    """

    def __init__(self, network: SimulatedNetwork, source: Host, target: Host) -> None:
        self._network = network
        self._source = source
        self._target = target

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        @return: fires with the protocol.
        """
        return self._network.connect(self._source, self._target, protocolFactory)
