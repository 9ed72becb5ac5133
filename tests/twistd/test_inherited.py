"""
Tests for ports that another process has opened.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from twisted_rpc.twistd.workers.inherited import inherited_endpoints


class Hears(Protocol):
    """
    Says that it is there.
    """

    def __init__(self) -> None:
        self.heard: Deferred[bytes] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """Enough."""
        self.heard.callback(data)
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone."""
        self.gone.callback(None)


class Greets(Protocol):
    """
    Says who has accepted it.
    """

    factory: Any

    def connectionMade(self) -> None:
        """Say it."""
        assert self.transport is not None
        self.transport.write(self.factory.name)


def greeting(name: bytes) -> Factory:
    """
    @return: a factory that greets with C{name}.
    """
    factory: Any = Factory.forProtocol(Greets)
    factory.name = name
    made: Factory = factory
    return made


class InheritedTests(TestCase):
    """
    Endpoints whose sockets are open before they listen.
    """

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "s"
        tcp = socket.create_server(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(self.path))
        unix.listen()
        for each in (tcp, unix):
            self.addCleanup(each.close)
        self.port = tcp.getsockname()[1]
        self.sockets = (tcp, unix)

    async def heard(self, text: str) -> bytes:
        """
        @return: who has accepted a connection.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        endpoint = clientFromString(reactor, text)
        connecting: Any = endpoint.connect(Factory.forProtocol(Hears))
        protocol = await connecting
        greeting = await protocol.heard
        await protocol.gone
        found: bytes = greeting
        return found

    async def test_order(self) -> None:
        """
        Endpoints get the sockets in their order, whatever they say themselves; one
        of systemd needs nothing of systemd.  When one process stops to listen,
        the path of a Unix socket stays, and others go on.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        listening = []
        for who in (b"first", b"second"):
            endpoints = inherited_endpoints(
                reactor,
                ["systemd:domain=INET:index=0", "unix:/no/such/path"],
                [os.dup(each.fileno()) for each in self.sockets],
                lambda: False,
            )
            ports = [await each.listen(greeting(who)) for each in endpoints]
            listening.append(ports)
            for port in ports:
                self.addCleanup(port.stopListening)
        texts = [f"tcp:127.0.0.1:{self.port}", f"unix:{self.path}"]
        for text in texts:
            self.assertIn(await self.heard(text), (b"first", b"second"))
        for port in listening[0]:
            await maybeDeferred(port.stopListening)
        self.assertTrue(self.path.exists())
        for text in texts:
            self.assertEqual(await self.heard(text), b"second")
