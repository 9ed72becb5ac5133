"""
Pyro5: Python remote objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import Pyro5.api

from benchmarks.blocking import driving

DISTRIBUTION = "Pyro5"


@Pyro5.api.expose
class Benchmark:
    """The service."""

    def add(self, a: int, b: int) -> int:
        """C{a + b}."""
        return a + b

    def echo(self, text: str) -> str:
        """C{text}."""
        return text

    def store(self, order: dict[str, Any]) -> dict[str, Any]:
        """C{order}."""
        return order


class Client:
    """Calls that block."""

    def __init__(self, port: int) -> None:
        self._uri = f"PYRO:benchmark@127.0.0.1:{port}"
        self._made: Any = None

    @property
    def _proxy(self) -> Any:
        # It belongs to the thread that makes it, and there is a thread a connection.
        if self._made is None:
            self._made = Pyro5.api.Proxy(self._uri)
        return self._made

    def add(self, a: int, b: int) -> Any:
        """C{a + b}."""
        return self._proxy.add(a, b)

    def echo(self, text: str) -> Any:
        """C{text}."""
        return self._proxy.echo(text)

    def order(self, **members: Any) -> dict[str, Any]:
        """The struct."""
        return members

    def store(self, order: dict[str, Any]) -> Any:
        """C{order}."""
        return self._proxy.store(order)


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    daemon = Pyro5.api.Daemon(host="127.0.0.1", port=0)
    daemon.register(Benchmark, "benchmark")
    ready(int(daemon.locationStr.rpartition(":")[2]))
    daemon.requestLoop()


drive = driving(Client)
