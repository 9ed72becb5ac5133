"""
This framework, with everything that is on by default.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from benchmarks.deferreds import driving
from twisted_rpc.client import Client
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.idl import load_idl
from twisted_rpc.server import Server
from twisted_rpc.server.registry import Registry
from twisted_rpc.wire.limits import Limits

DISTRIBUTION = "twisted_rpc"

#: A thousand connections, or a machine that does something else too, make calls wait
#: for longer than a server lets them by default; what that costs is measured elsewhere.
_DEFAULT = Limits(delay=1.0)

idl = load_idl(Path(__file__).with_name("benchmark.idl"))


class Benchmark:
    """The implementation."""

    def add(self, a: int, b: int) -> int:
        """C{a + b}."""
        return a + b

    def echo(self, text: str) -> str:
        """C{text}."""
        return text

    def store(self, order: Any) -> Any:
        """C{order}."""
        return order


class Connected:
    """A client with a connection of its own."""

    def __init__(self, client: Client) -> None:
        proxy = client.proxy(idl.IBenchmark)
        self.add = proxy.add
        self.echo = proxy.echo
        self.store = proxy.store
        self.order = idl.Order


def serve(
    ready: Callable[[int], None],
    limits: Limits = _DEFAULT,
    store: MemoryStore | None = None,
) -> None:
    """Serve on a free port."""
    registry = Registry()
    registry.register(idl.IBenchmark, Benchmark())
    server = Server(
        registry,
        listen=["tcp:0:interface=127.0.0.1"],
        reactor=reactor,
        limits=limits,
        dedup=store,
    )
    server.privilegedStartService()
    server.startService()
    listening: Any = server.listening
    listening.addCallback(lambda ports: ready(ports[0].getHost().port))
    reactor.run()


def connect(port: int) -> Deferred[Connected]:
    """Connect to the server on C{port}, and make one call to see that it is there."""
    client = Client(f"tcp:127.0.0.1:{port}", reactor=reactor)
    client.startService()
    connected = Connected(client)
    answered: Deferred[int] = connected.add(0, 0)
    return answered.addCallback(lambda _: connected)


drive = driving(connect)
