# -*- test-case-name: tests.twistd.test_inherited -*-
"""
Ports that another process has opened.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from twisted_rpc.endpoints import server_endpoint
from twisted_rpc.twistd.workers.balance import FairAcceptor


class InheritingReactor:
    """
    A reactor whose ports are there already: who asks to listen gets the next of
    the sockets.

    So endpoints that wrap others, with TLS or the PROXY protocol, need not know.
    """

    def __init__(
        self, reactor: Any, sockets: Sequence[int], is_ahead: Callable[[], bool]
    ) -> None:
        """
        @param sockets: descriptors that are listened on, in the order of the
            endpoints; they are closed when they are used.
        @param is_ahead: whether other processes have fewer connections.
        """
        self._reactor = reactor
        self._is_ahead = is_ahead
        self._sockets: Iterator[int] = iter(sockets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, *_: Any, **__: Any) -> IListeningPort:
        """
        Adopt the next socket.
        """
        return self.adopt(factory)

    def listenUNIX(self, path: str, factory: Any, *_: Any, **__: Any) -> IListeningPort:
        """
        Adopt the next socket.
        """
        return self.adopt(factory)

    def adopt(self, factory: IProtocolFactory) -> IListeningPort:
        """
        Accept connections from the next socket, as other processes do.
        """
        descriptor = next(self._sockets)
        # The reactor takes a duplicate; no other process is to inherit this one.
        with socket.socket(fileno=descriptor) as listened:
            # Another process may have taken what woke this one.
            listened.setblocking(False)
            port: Any = self._reactor.adoptStreamPort(
                listened.fileno(), listened.family, factory
            )
            # When this process stops to listen, others go on: it must neither
            # shut the socket down, nor remove its path, which a name of the
            # abstract kind does not have.  Twisted has no other way to say so.
            port._shouldShutdown = False  # noqa: SLF001 - as above
            if listened.family == socket.AF_UNIX:
                port._bindPath = b"\0"  # noqa: SLF001 - as above
        FairAcceptor(port, self._reactor, self._is_ahead)
        made: IListeningPort = port
        return made


@implementer(IStreamServerEndpoint)
class _Adopted:
    def __init__(self, reactor: InheritingReactor) -> None:
        self._reactor = reactor

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return execute(self._reactor.adopt, protocolFactory)


def inherited_endpoints(
    reactor: Any,
    texts: Sequence[str],
    sockets: Sequence[int],
    is_ahead: Callable[[], bool],
) -> list[IStreamServerEndpoint]:
    """
    The endpoints in C{texts}, on sockets that are open already.
    """
    inheriting = InheritingReactor(reactor, sockets, is_ahead)
    return [
        # Of systemd's sockets only the process knows that systemd started.
        _Adopted(inheriting)
        if text.startswith("systemd:")
        else server_endpoint(inheriting, text)
        for text in texts
    ]
