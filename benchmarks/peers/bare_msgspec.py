"""
The floor: what one writes by hand, with msgspec.

C{Int32StringReceiver} on both ends, a dict of functions, a dict of Deferreds.
It has no deadlines, no deduplication, no limit on what it buffers, and no types
but those that the functions check for themselves.  Both ends of
L{benchmarks.peers.bare_json} are the same with the standard library's C{json};
they share no code, so that neither pays for being general.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import time
from typing import Any, Final
from uuid import uuid4

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from benchmarks.deferreds import driving, serve_factory

DISTRIBUTION = "msgspec"

MAX_LENGTH: Final = 16 * 1024 * 1024


class Request(msgspec.Struct):
    """Asks for a call."""

    request_id: str
    service: str
    method: str
    params: list[Any]
    timestamp: float


class Reply(msgspec.Struct):
    """Answers it."""

    request_id: str
    result: Any
    error: str | None
    timestamp: float


class Order(msgspec.Struct):
    """The struct that C{store} takes and returns."""

    number: int
    customer: str
    note: str
    total: float
    paid: bool
    placed: int
    articles: list[str]
    quantities: list[int]


def _add(a: int, b: int) -> int:
    return a + b


def _echo(text: str) -> str:
    return text


def _store(order: Any) -> Order:
    return msgspec.convert(order, Order)


FUNCTIONS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("Benchmark", "add"): _add,
    ("Benchmark", "echo"): _echo,
    ("Benchmark", "store"): _store,
}

_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(Request).decode
_decode_reply = msgspec.json.Decoder(Reply).decode


class Server(Int32StringReceiver):
    """Answers each request when it comes."""

    MAX_LENGTH = MAX_LENGTH

    def stringReceived(self, string: bytes) -> None:
        """Look the function up, call it, send what it returned."""
        request = _decode_request(string)
        try:
            result = FUNCTIONS[request.service, request.method](*request.params)
        except Exception as e:  # noqa: BLE001 (any)
            reply = Reply(request.request_id, None, str(e), time())
        else:
            reply = Reply(request.request_id, result, None, time())
        self.sendString(_encode(reply))


class Client(Int32StringReceiver):
    """Calls, and remembers who waits."""

    MAX_LENGTH = MAX_LENGTH

    def __init__(self) -> None:
        self._waiting: dict[str, Deferred[Any]] = {}
        self._prefix = uuid4().hex[:8]
        self._numbers = count()

    def call(self, method: str, *params: Any) -> Deferred[Any]:
        """
        @return: fires with the result, or fails with C{RuntimeError}.
        """
        request_id = f"{self._prefix}{next(self._numbers)}"
        request = Request(request_id, "Benchmark", method, list(params), time())
        self.sendString(_encode(request))
        waiting = self._waiting[request_id] = Deferred()
        return waiting

    def stringReceived(self, string: bytes) -> None:
        """Fire the Deferred that waits for this reply."""
        reply = _decode_reply(string)
        waiting = self._waiting.pop(reply.request_id)
        if reply.error is None:
            waiting.callback(reply.result)
        else:
            waiting.errback(RuntimeError(reply.error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all that wait."""
        waiting, self._waiting = self._waiting, {}
        for deferred in waiting.values():
            deferred.errback(reason)

    def add(self, a: int, b: int) -> Deferred[int]:
        """C{a + b}."""
        return self.call("add", a, b)

    def echo(self, text: str) -> Deferred[str]:
        """C{text}."""
        return self.call("echo", text)

    def order(self, **members: Any) -> Order:
        """The struct."""
        return Order(**members)

    def store(self, order: Order) -> Deferred[Order]:
        """C{order}."""
        return self.call("store", order).addCallback(msgspec.convert, Order)


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    serve_factory(ServerFactory.forProtocol(Server), ready)


def connect(port: int) -> Deferred[Client]:
    """Connect to the server on C{port}."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    connecting: Deferred[Client] = connectProtocol(endpoint, Client())
    return connecting


drive = driving(connect)
