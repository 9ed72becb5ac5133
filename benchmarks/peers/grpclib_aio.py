"""
grpclib: gRPC on asyncio, in Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from benchmarks.aio import driving
from benchmarks.peers.protobuf import METHODS, Order, Sum, Terms, Text

DISTRIBUTION = "grpclib"


async def _add(stream: Stream[Any, Any]) -> None:
    request = await stream.recv_message()
    assert request is not None  # a call has one
    await stream.send_message(Sum(sum=request.a + request.b))


async def _same(stream: Stream[Any, Any]) -> None:
    request = await stream.recv_message()
    await stream.send_message(request)


class Benchmark:
    """The service."""

    def __mapping__(self) -> dict[str, Handler]:
        functions = {"add": _add, "echo": _same, "store": _same}
        return {
            f"/Benchmark/{name}": Handler(
                function, Cardinality.UNARY_UNARY, *METHODS[name]
            )
            for name, function in functions.items()
        }


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""

    async def run() -> None:
        server = Server([Benchmark()])
        await server.start("127.0.0.1", 0)
        sockets: Any = server._server.sockets  # noqa: SLF001 - it does not tell its port
        ready(sockets[0].getsockname()[1])
        await server.wait_closed()

    asyncio.run(run())


class Client:
    """Calls that are coroutines."""

    def __init__(self, port: int) -> None:
        channel = Channel("127.0.0.1", port)
        self._add, self._echo, self.store = (
            UnaryUnaryMethod(channel, f"/Benchmark/{name}", *METHODS[name])
            for name in METHODS
        )
        self.close = channel.close
        self.order = Order

    async def add(self, a: int, b: int) -> Any:
        """C{a + b}."""
        return (await self._add(Terms(a=a, b=b))).sum

    async def echo(self, text: str) -> Any:
        """C{text}."""
        return (await self._echo(Text(text=text))).text


async def connect(port: int) -> Client:
    """Connect to the server on C{port}."""
    return Client(port)


drive = driving(connect)
