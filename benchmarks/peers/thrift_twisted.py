"""
Thrift on Twisted, with the same framing as this framework.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
from thrift.transport.TTwisted import ThriftClientProtocol, ThriftServerFactory
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from zope.interface import implementer

from benchmarks.deferreds import driving, serve_factory
from benchmarks.peers.thrift_code import Implementation, generated

DISTRIBUTION = "thrift"

service, types = generated("py:twisted")

MAX_LENGTH = 16 * 1024 * 1024


class Client(ThriftClientProtocol):  # type: ignore[misc]
    """A connection."""

    MAX_LENGTH = MAX_LENGTH

    def __init__(self) -> None:
        super().__init__(service.Client, TBinaryProtocolAcceleratedFactory())
        self.order = types.Order

    def connectionMade(self) -> None:
        """Take the methods of the client that belongs to it."""
        super().connectionMade()
        self.add, self.echo = self.client.add, self.client.echo
        self.store = self.client.store


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    declare: Any = implementer(service.Iface)
    factory = ThriftServerFactory(
        service.Processor(declare(Implementation)()),
        TBinaryProtocolAcceleratedFactory(),
    )
    factory.protocol.MAX_LENGTH = MAX_LENGTH
    serve_factory(factory, ready)


def connect(port: int) -> Deferred[Client]:
    """Connect to the server on C{port}."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    connecting: Deferred[Client] = connectProtocol(endpoint, Client())
    return connecting


drive = driving(connect)
