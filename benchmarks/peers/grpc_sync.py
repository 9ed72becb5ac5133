"""
grpcio with its threads: calls block one at a time, and are futures otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from threading import Event
from typing import Any

import grpc

from benchmarks import blocking, futures
from benchmarks.load import Load, Measurement
from benchmarks.peers.protobuf import METHODS, Order, Sum, Terms, Text

DISTRIBUTION = "grpcio"


def _add(request: Any, _: Any) -> Any:
    return Sum(sum=request.a + request.b)


def _same(request: Any, _: Any) -> Any:
    return request


FUNCTIONS = {"add": _add, "echo": _same, "store": _same}


def handlers(functions: dict[str, Any]) -> Any:
    """
    @return: what a server of gRPC is given.
    """
    return grpc.method_handlers_generic_handler(
        "Benchmark",
        {
            name: grpc.unary_unary_rpc_method_handler(
                function,
                request_deserializer=METHODS[name][0].FromString,
                response_serializer=METHODS[name][1].SerializeToString,
            )
            for name, function in functions.items()
        },
    )


def stub(channel: Any, name: str) -> Any:
    """
    @return: what calls a method.
    """
    takes, returns = METHODS[name]
    return channel.unary_unary(
        f"/Benchmark/{name}",
        request_serializer=takes.SerializeToString,
        response_deserializer=returns.FromString,
    )


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    server = grpc.server(ThreadPoolExecutor(10))
    server.add_generic_rpc_handlers((handlers(FUNCTIONS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ready(port)
    Event().wait()


def _channel(port: int) -> Any:
    # A pool of its own, so that several channels are several connections.
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{port}", options)


class Blocking:
    """Calls that return the value."""

    def __init__(self, port: int) -> None:
        channel = _channel(port)
        self._add, self._echo = stub(channel, "add"), stub(channel, "echo")
        self.store = stub(channel, "store")
        self.order = Order

    def add(self, a: int, b: int) -> Any:
        """C{a + b}."""
        return self._add(Terms(a=a, b=b)).sum

    def echo(self, text: str) -> Any:
        """C{text}."""
        return self._echo(Text(text=text)).text


class Read:
    """A future of gRPC's whose result is taken out of the message."""

    def __init__(self, future: Any, read: Callable[[Any], Any]) -> None:
        self._future = future
        self._read = read

    def result(self) -> Any:
        """The value."""
        return self._read(self._future.result())

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        """Call C{function} when it is there."""
        self._future.add_done_callback(lambda _: function(self))


class Futures:
    """Calls that return futures."""

    def __init__(self, port: int) -> None:
        channel = _channel(port)
        self._add, self._echo = stub(channel, "add"), stub(channel, "echo")
        self.store = stub(channel, "store").future
        self.order = Order

    def add(self, a: int, b: int) -> Any:
        """C{a + b}."""
        return Read(self._add.future(Terms(a=a, b=b)), attrgetter("sum"))

    def echo(self, text: str) -> Any:
        """C{text}."""
        return Read(self._echo.future(Text(text=text)), attrgetter("text"))


def drive(load: Load, port: int, start: Callable[[], None]) -> Measurement:
    """Make the calls."""
    if load.connections * load.in_flight == 1:
        return blocking.measure([Blocking(port)], load, start)
    connections = list(map(Futures, [port] * load.connections))
    return futures.measure(connections, load, start)
