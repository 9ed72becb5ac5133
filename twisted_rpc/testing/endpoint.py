# -*- test-case-name: tests.testing.test_network -*-
"""
Where clients connect, in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from twisted_rpc.testing.network import MemoryNetwork


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
