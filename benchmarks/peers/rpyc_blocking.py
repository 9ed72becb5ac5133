"""
RPyC: objects of another process, transparently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rpyc
from rpyc.utils.server import ThreadedServer

from benchmarks.blocking import driving

DISTRIBUTION = "rpyc"


class Benchmark(rpyc.Service):  # type: ignore[misc]
    """The service."""

    def exposed_add(self, a: int, b: int) -> int:
        """C{a + b}."""
        return a + b

    def exposed_echo(self, text: str) -> str:
        """C{text}."""
        return text

    def exposed_store(self, order: tuple[Any, ...]) -> tuple[Any, ...]:
        """C{order}: by value, which RPyC does with tuples."""
        return order


class Client:
    """Calls that block."""

    def __init__(self, port: int) -> None:
        root = rpyc.connect("127.0.0.1", port).root
        self.add, self.echo, self.store = root.add, root.echo, root.store

    def order(self, **members: Any) -> tuple[Any, ...]:
        """The struct: a dict would stay here, and each look at it be a call."""
        return tuple(
            tuple(each) if isinstance(each, list) else each for each in members.values()
        )


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    server = ThreadedServer(Benchmark, hostname="127.0.0.1", port=0)
    ready(server.port)
    server.start()


drive = driving(Client)
