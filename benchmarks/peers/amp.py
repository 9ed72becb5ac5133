"""
Twisted's AMP: typed commands over boxes of at most 65,535 bytes a value.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import ServerFactory
from twisted.protocols import amp

from benchmarks.deferreds import driving, serve_factory

DISTRIBUTION = "Twisted"

Members = list[tuple[bytes, amp.Argument]]

TERMS: Final[Members] = [(b"a", amp.Integer()), (b"b", amp.Integer())]
SUM: Final[Members] = [(b"sum", amp.Integer())]
TEXT: Final[Members] = [(b"text", amp.Unicode())]
MEMBERS: Final[Members] = [
    (b"number", amp.Integer()),
    (b"customer", amp.Unicode()),
    (b"note", amp.Unicode()),
    (b"total", amp.Float()),
    (b"paid", amp.Boolean()),
    (b"placed", amp.Integer()),
    (b"articles", amp.ListOf(amp.Unicode())),
    (b"quantities", amp.ListOf(amp.Integer())),
]

ORDERS: Final[Members] = [(b"orders", amp.AmpList(MEMBERS))]


class Add(amp.Command):
    """C{a + b}."""

    arguments = TERMS
    response = SUM


class Echo(amp.Command):
    """C{text}."""

    arguments = TEXT
    response = TEXT


class Store(amp.Command):
    """
    The struct, as C{AmpList} has it: AMP has no other type of many members.
    """

    arguments = ORDERS
    response = ORDERS


class Server(amp.AMP):
    """Answers the commands."""

    @Add.responder
    def add(self, a: int, b: int) -> dict[str, int]:
        """C{a + b}."""
        return {"sum": a + b}

    @Echo.responder
    def echo(self, text: str) -> dict[str, str]:
        """C{text}."""
        return {"text": text}

    @Store.responder
    def store(self, orders: list[dict[str, Any]]) -> dict[str, Any]:
        """C{orders}."""
        return {"orders": orders}


class Client(amp.AMP):
    """Sends the commands; each method returns a Deferred."""

    def add(self, a: int, b: int) -> Any:
        """C{a + b}."""
        return self.callRemote(Add, a=a, b=b).addCallback(itemgetter("sum"))

    def echo(self, text: str) -> Any:
        """C{text}."""
        return self.callRemote(Echo, text=text).addCallback(itemgetter("text"))

    def order(self, **members: Any) -> dict[str, Any]:
        """The struct: AMP has dicts and no types of one's own."""
        return members

    def store(self, order: dict[str, Any]) -> Any:
        """C{order}."""
        return self.callRemote(Store, orders=[order]).addCallback(_only_order)


def _only_order(response: dict[str, Any]) -> Any:
    (order,) = response["orders"]
    return order


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    serve_factory(ServerFactory.forProtocol(Server), ready)


def connect(port: int) -> Deferred[Client]:
    """Connect to the server on C{port}."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    connecting: Deferred[Client] = connectProtocol(endpoint, Client())
    return connecting


drive = driving(connect)
