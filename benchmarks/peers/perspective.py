"""
Twisted's Perspective Broker: remote objects, strings of at most 640 KiB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.spread import pb

from benchmarks.deferreds import driving, serve_factory

DISTRIBUTION = "Twisted"


@dataclass(eq=False)
class Order(pb.Copyable, pb.RemoteCopy):
    """The struct that C{store} takes and returns."""

    number: int = 0
    customer: str = ""
    note: str = ""
    total: float = 0.0
    paid: bool = False
    placed: int = 0
    articles: list[str] | None = None
    quantities: list[int] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order) and vars(self) == vars(other)

    # Jelly keys what it has copied by identity.
    __hash__ = object.__hash__


pb.setUnjellyableForClass(Order, Order)


class Root(pb.Root):
    """The object that answers."""

    def remote_add(self, a: int, b: int) -> int:
        """C{a + b}."""
        return a + b

    def remote_echo(self, text: str) -> str:
        """C{text}."""
        return text

    def remote_store(self, order: Order) -> Order:
        """C{order}."""
        return order


class Client:
    """Calls the object; each method returns a Deferred."""

    def __init__(self, root: Any) -> None:
        self._call = root.callRemote

    def add(self, a: int, b: int) -> Any:
        """C{a + b}."""
        return self._call("add", a, b)

    def echo(self, text: str) -> Any:
        """C{text}."""
        return self._call("echo", text)

    def order(self, **members: Any) -> Order:
        """The struct."""
        return Order(**members)

    def store(self, order: Order) -> Any:
        """C{order}."""
        return self._call("store", order)


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    serve_factory(pb.PBServerFactory(Root()), ready)


def connect(port: int) -> Deferred[Client]:
    """Connect to the server on C{port}."""
    factory: Any = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", port, factory)
    connecting: Deferred[Any] = factory.getRootObject()
    return connecting.addCallback(Client)


drive = driving(connect)
