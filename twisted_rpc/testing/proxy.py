# -*- test-case-name: tests.testing.test_proxy -*-
"""
A proxy between a client and a server that does to their connections what
networks do.

@see: U{Toxiproxy <https://github.com/Shopify/toxiproxy>}, whose toxics these are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.testing.faults import Cut, Direction, Faults


class FaultProxy:
    """
    Passes connections on to a server, with faults::

        proxy = FaultProxy(reactor, clientFromString(reactor, "tcp:127.0.0.1:5000"))
        port = await proxy.listen()
        client = Client(f"tcp:127.0.0.1:{port.getHost().port}", reactor=reactor)
        proxy.to_client.latency = 0.2
        proxy.to_server.cut_at = 17

    In memory, C{MemoryEndpoint(network, proxy.factory)} is where the client
    connects, and the server's own L{MemoryEndpoint
    <twisted_rpc.testing.MemoryEndpoint>} where the proxy does.

    @ivar to_server: what befalls what clients send.
    @ivar to_client: what befalls what the server sends.
    @ivar refusing: new connections are reset.
    @ivar connections: those that are open, the oldest first.
    @ivar accepted: how many there were.
    @ivar factory: of the clients' side.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        server: IStreamClientEndpoint,
        *,
        to_server: Faults | None = None,
        to_client: Faults | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param server: where the server listens.
        @param chance: evenly from 0 to 1; jitter is made of it.
        """
        self.to_server = to_server if to_server is not None else Faults()
        self.to_client = to_client if to_client is not None else Faults()
        self.refusing = False
        self.connections: list[Proxied] = []
        self.accepted = 0
        self.chance = chance
        self.clock = reactor
        self.server = server
        self.factory = _Factory(self)
        self._port: IListeningPort | None = None

    def listen(self, interface: str = "127.0.0.1") -> Deferred[IListeningPort]:
        """
        Listen on a free port.

        @return: fires with the port.
        """

        def listening(port: IListeningPort) -> IListeningPort:
            self._port = port
            return port

        endpoint = TCP4ServerEndpoint(self.clock, 0, interface=interface)
        port: Deferred[IListeningPort] = endpoint.listen(self.factory)
        return port.addCallback(listening)

    def stop(self) -> Deferred[None]:
        """
        Listen no more, and reset every connection.

        @return: fires when no connection is left.
        """
        self.reset()
        gone: Deferred[Any] = Deferred()
        port, self._port = self._port, None

        def closed(_: Any) -> None:
            self.factory.when_empty(lambda: gone.callback(None))

        if port is None:
            closed(None)
        else:
            stopped: Any = port.stopListening()
            if isinstance(stopped, Deferred):
                stopped.addCallback(closed)
            else:
                closed(None)
        return gone

    def reset(self) -> None:
        """
        Reset every connection.
        """
        for connection in list(self.connections):
            connection.reset()

    def close(self) -> None:
        """
        Close every connection.
        """
        for connection in list(self.connections):
            connection.close()

    def pause(self) -> None:
        """
        Let nothing pass, and tell nobody, until L{resume}: a partition.
        """
        self.to_server.stopped = self.to_client.stopped = True

    def resume(self) -> None:
        """
        Let everything pass again, what waits first.
        """
        self.to_server.stopped = self.to_client.stopped = False
        for connection in list(self.connections):
            connection.go_on()


class Proxied:
    """
    One connection through a proxy.

    @ivar to_server: the bytes of the client.
    @ivar to_client: the bytes of the server; C{None} until it is connected.
    """

    def __init__(self, proxy: FaultProxy, front: _End) -> None:
        self.to_server: Direction | None = None
        self.to_client: Direction | None = None
        self._proxy = proxy
        self._ends = [front]

    def connected(self, back: _End) -> None:
        """
        The server's side is connected too.
        """
        proxy, (front,) = self._proxy, self._ends
        self._ends.append(back)
        if front.lost:
            back.transport.abortConnection()
            return
        self.to_server = Direction(
            proxy.clock,
            lambda: proxy.to_server,
            front.transport,
            back.transport,
            self._cut,
            chance=proxy.chance,
        )
        self.to_client = Direction(
            proxy.clock,
            lambda: proxy.to_client,
            back.transport,
            front.transport,
            self._cut,
            chance=proxy.chance,
        )
        front.into, back.into = self.to_server, self.to_client
        front.transport.resumeProducing()

    def _cut(self, direction: Direction, cut: Cut) -> None:
        if cut == "close":
            self.close()
        elif cut == "half":
            end = self._ends[1 if direction is self.to_server else 0]
            end.transport.loseWriteConnection()
        elif cut == "reset":
            # A little later: a reset would overtake what has passed.
            self._proxy.clock.callLater(0.001, self.reset)

    def reset(self) -> None:
        """
        Reset it, at both ends.
        """
        for end in self._ends:
            if not end.lost:
                end.transport.abortConnection()

    def close(self) -> None:
        """
        Close it, at both ends.
        """
        for end in self._ends:
            if not end.lost:
                end.transport.loseConnection()

    def go_on(self) -> None:
        """
        Look at what waits.
        """
        for direction in (self.to_server, self.to_client):
            if direction is not None:
                direction.go_on()

    def lost(self) -> None:
        """
        One end is gone: so is the other, once what waits for it has passed.
        """
        for end in self._ends:
            other = self._ends[1 - self._ends.index(end)] if self._ends[1:] else None
            if end.lost and other is not None and not other.lost:
                if end.into is None or end.reset:
                    other.transport.abortConnection()
                else:
                    end.into.finish(gone=True)
        if all(end.lost for end in self._ends):
            for direction in (self.to_server, self.to_client):
                if direction is not None:
                    direction.lost()
            self._proxy.factory.ended(self)


@implementer(IHalfCloseableProtocol)
class _End(Protocol):
    """
    One of the two transports of a proxied connection.
    """

    transport: Any

    def __init__(self) -> None:
        self.proxied: Proxied | None = None
        self.into: Direction | None = None
        self.lost = False
        self.reset = False

    def dataReceived(self, data: bytes) -> None:
        if self.into is not None:
            self.into.take(data)

    def readConnectionLost(self) -> None:
        if self.into is not None:
            self.into.finish()
        else:
            self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """What was to be written was; the other direction goes on."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = True
        self.reset = not reason.check(ConnectionDone)
        if self.proxied is not None:
            self.proxied.lost()


class _Front(_End):
    """
    The client's side.
    """

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__()
        self._proxy = proxy

    def connectionMade(self) -> None:
        proxy = self._proxy
        if proxy.refusing:
            self.transport.abortConnection()
            return
        self.transport.pauseProducing()
        proxied = self.proxied = Proxied(proxy, self)
        proxy.connections.append(proxied)
        proxy.accepted += 1
        back = _Back(proxied)
        connecting = proxy.server.connect(Factory.forProtocol(lambda: back))
        connecting.addErrback(lambda _: self.transport.abortConnection())


class _Back(_End):
    """
    The server's side.
    """

    def __init__(self, proxied: Proxied) -> None:
        super().__init__()
        self.proxied = proxied

    def connectionMade(self) -> None:
        assert self.proxied is not None
        self.proxied.connected(self)


class _Factory(Factory):
    noisy = False

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._waiting: list[Callable[[], None]] = []

    def buildProtocol(self, addr: IAddress | None) -> _Front:
        """
        @return: the client's side of a new connection.
        """
        return _Front(self._proxy)

    def ended(self, proxied: Proxied) -> None:
        """
        A connection is gone at both ends.
        """
        if proxied in self._proxy.connections:
            self._proxy.connections.remove(proxied)
        self._tell()

    def when_empty(self, told: Callable[[], None]) -> None:
        """
        Call C{told} when no connection is left.
        """
        self._waiting.append(told)
        self._tell()

    def _tell(self) -> None:
        if not self._proxy.connections:
            waiting, self._waiting = self._waiting, []
            for told in waiting:
                told()
