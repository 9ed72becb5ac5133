"""
grpcio on asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio

from benchmarks.aio import driving
from benchmarks.peers.grpc_sync import handlers, stub
from benchmarks.peers.protobuf import Order, Sum, Terms, Text

DISTRIBUTION = "grpcio"


async def _add(request: Any, _: Any) -> Any:
    return Sum(sum=request.a + request.b)


async def _same(request: Any, _: Any) -> Any:
    return request


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""

    async def run() -> None:
        server = grpc.aio.server()
        functions = {"add": _add, "echo": _same, "store": _same}
        server.add_generic_rpc_handlers((handlers(functions),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ready(port)
        await server.wait_for_termination()

    asyncio.run(run())


class Client:
    """Calls that are coroutines."""

    def __init__(self, port: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
        self._add, self._echo = stub(channel, "add"), stub(channel, "echo")
        self.store = stub(channel, "store")
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
