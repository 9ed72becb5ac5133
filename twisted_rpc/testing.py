# -*- test-case-name: tests.test_testing -*-
"""
The real client and the real server, joined in memory and driven by a clock::

    pair = connect(registry)
    calculator = pair.client.proxy(idl.ICalculator)
    assert pair.result(calculator.add(5, 3)) == 8

Nothing is faked but the wire and the time, so that what passes here passes on
sockets; no reactor runs, and nothing sleeps.

@see: U{treq.testing <https://treq.readthedocs.io/en/latest/testing.html>}, whose
    idea it is.
"""

# The two ends of a connection in memory know each other.
# ruff: noqa: SLF001

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorFromThreads,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.client import Client
from twisted_rpc.server import Server

_T = TypeVar("_T")

#: What a socket takes before it says that it is full, and what one read returns.
BUFFER = 64 * 1024

#: When the clocks of this module start, in Unix seconds.
EPOCH = 1_800_000_000.0


@implementer(IReactorFromThreads)
class MemoryClock(Clock):
    """
    A reactor of nothing but time, and calls that threads leave for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = EPOCH
        self._left: deque[Callable[[], object]] = deque()
        self._woken = threading.Event()

    def callFromThread(
        self, callable: Callable[..., object], *args: Any, **kwargs: Any
    ) -> None:
        """
        Call C{callable} when the clock is advanced next.
        """
        self._left.append(lambda: callable(*args, **kwargs))
        self._woken.set()

    def take_calls(self) -> bool:
        """
        Make the calls that threads left.

        @return: whether there were any.
        """
        self._woken.clear()
        any_left = bool(self._left)
        while self._left:
            self._left.popleft()()
        return any_left

    def wait_for_thread(self, seconds: float) -> bool:
        """
        Wait until a thread leaves a call.

        @return: whether one did.
        """
        return self._woken.wait(seconds)


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
        Write no more; the peer is told when it has read everything.
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
        if self._reading and not self.inbox and peer._half_closed:
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


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    Connects to a factory in memory.

    @ivar factory: of the server; C{None}: nothing listens, and connections are
        refused.
    @ivar connected: how often somebody connected.
    """

    def __init__(
        self, network: MemoryNetwork, factory: IProtocolFactory | None
    ) -> None:
        self._network = network
        self.factory = factory
        self.connected = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        @return: fires with the client's protocol.
        """
        if self.factory is None:
            return fail(RefusedError("nothing listens in memory"))
        address = IPv4Address("TCP", "127.0.0.1", 5000)
        server = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 0))
        client = protocolFactory.buildProtocol(address)
        if server is None or client is None:
            return fail(ConnectionLost("the server closed the connection"))
        self.connected += 1
        self._network.connect(client, server)
        return succeed(client)


class Pair:
    """
    A client and a server in memory.

    @ivar clock: the time of both.
    @ivar network: their connections.
    @ivar endpoint: where the client connects.
    """

    def __init__(
        self,
        clock: MemoryClock,
        network: MemoryNetwork,
        endpoint: MemoryEndpoint,
        server: Server,
        client: Client,
    ) -> None:
        self.clock = clock
        self.network = network
        self.endpoint = endpoint
        self.server = server
        self.client = client

    def pump(self) -> None:
        """
        Deliver everything, until nothing happens any more without time passing.
        """
        busy = True
        while busy:
            busy = self.clock.take_calls()
            busy = self.network.deliver() or busy
            now = self.clock.seconds()
            due = any(call.getTime() <= now for call in self.clock.getDelayedCalls())
            if due:
                self.clock.advance(0)
                busy = True

    def advance(self, seconds: float, step: float = 0.025) -> None:
        """
        Let time pass, in steps between which everything is delivered.
        """
        self.pump()
        end = self.clock.seconds() + seconds
        while (left := end - self.clock.seconds()) > 1e-9:
            self.clock.advance(min(step, left))
            self.pump()

    def result(self, deferred: Deferred[_T], seconds: float = 60.0) -> _T:
        """
        Let things happen until C{deferred} has its result, at most so many
        seconds of the clock; threads get as many real seconds.

        @return: the result.

        @raise Exception: what it failed with; C{AssertionError}, nothing came.
        """
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.pump()
        threads = self.server.factory.shared.threads
        while not results and threads.outstanding:
            self.clock.wait_for_thread(seconds)
            self.pump()
        end = self.clock.seconds() + seconds
        while not results and self.clock.seconds() < end:
            self.advance(0.025)
        if not results:
            raise AssertionError(f"no result after {seconds:g} s of the clock")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        result: _T = results[0]
        return result

    def close(self) -> None:
        """
        Stop both, and let it happen.
        """
        self.client.close()
        self.pump()
        self.server.stopService()
        self.advance(2.0)


def connect(
    registry: Any,
    *,
    clock: MemoryClock | None = None,
    server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
) -> Pair:
    """
    A server of C{registry} and a client of it, joined in memory.

    @param clock: C{None}: one of their own.
    @param server: arguments of L{Server}.
    @param client: arguments of L{Client}.
    """
    clock = clock if clock is not None else MemoryClock()
    network = MemoryNetwork()
    made = Server(registry, reactor=clock, wall=clock.seconds, **(server or {}))
    made.factory.doStart()
    made.startService()
    # The store begins at the epoch; requests that are dated then came after.
    clock.advance(0.001)
    endpoint = MemoryEndpoint(network, made.factory)
    return Pair(
        clock,
        network,
        endpoint,
        made,
        Client(endpoint, reactor=clock, wall=clock.seconds, **(client or {})),
    )
