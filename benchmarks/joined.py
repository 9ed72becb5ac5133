# -*- test-case-name: tests.benchmarks.test_joined -*-
"""
A server and a client in one process, joined by lists of bytes: what each end
takes for a call, without sockets and a reactor's turns.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from benchmarks.cases import placements
from benchmarks.endpoint import pin
from benchmarks.idle import resident
from twisted_rpc.client import Client
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import Session
from twisted_rpc.idl import load_idl_text
from twisted_rpc.server import Registry, Server
from twisted_rpc.wire.limits import MIB

#: Calls in flight: fewer than a server takes in one turn, because there is no
#: reactor to begin another.
IN_FLIGHT: Final = 60

#: Calls that one figure is the mean of.
CALLS: Final = 6_400

#: How often a figure is taken; the lowest counts.
TIMES: Final = 7


class Wire:
    """
    One end of a connection: keeps what is written.
    """

    connected, disconnecting = True, False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep it."""
        self._written.append(data)

    def take(self) -> bytes:
        """What was written since."""
        data = b"".join(self._written)
        self._written.clear()
        return data

    def getPeer(self) -> IPv4Address:
        """Somebody."""
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """It is never full."""

    def unregisterProducer(self) -> None:
        """It is never full."""

    def pauseProducing(self) -> None:
        """It reads when it is told to."""

    resumeProducing = loseConnection = abortConnection = pauseProducing


class Pair:
    """
    A server and a client of a service with C{methods} methods that add, the last
    of which is called, or C{each}.

    @ivar proxy: of the service.
    """

    def __init__(
        self,
        methods: int = 1,
        *,
        each: bool = False,
        store: MemoryStore | None = None,
    ) -> None:
        names = [f"add{number}" for number in range(methods)]
        lines = [f"    int {name}(int a, int b)" for name in (*names, "wait")]
        idl = load_idl_text("service Adding {\n" + "\n".join(lines) + "\n}")
        functions: dict[str, Any] = {name: lambda self, a, b: a + b for name in names}
        functions["wait"] = lambda self, a, b: Deferred()
        registry = Registry()
        registry.register(idl.IAdding, type("Adding", (), functions)())
        server = Server(registry, reactor=reactor, drain=0, dedup=store)
        self._wires = Wire(), Wire()
        factory: Any = server.factory
        self._factory = factory
        self._server = factory.buildProtocol(self._wires[0].getPeer())
        self._server.makeConnection(self._wires[0])
        self._client: Any = None
        client = Client(self, reactor=reactor, timeout=100_000.0)  # type: ignore[arg-type]
        self._endpoint_client = client
        self.proxy: Any = client.proxy(idl.IAdding)
        called = names if each else names[-1:]
        self._adders = [getattr(self.proxy, name) for name in called]
        self._next = self._answered = 0
        self._wrong: list[object] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        """
        What an endpoint does.
        """
        self._client = factory.buildProtocol(None)
        self._client.makeConnection(self._wires[1])
        return succeed(self._client)

    def turn(self) -> tuple[float, float]:
        """
        Carry what is written to the other end, once each way.

        @return: seconds of CPU of the server, and of the client.
        """
        data = self._wires[1].take()
        began = process_time()
        self._server.dataReceived(data)
        server = process_time() - began
        data = self._wires[0].take()
        began = process_time()
        self._client.dataReceived(data)
        return server, process_time() - began

    def close(self) -> None:
        """
        Leave no timer, and no failure that nobody hears of.
        """
        self._wrong = []
        self._adders = []
        self._call = lambda: None  # type: ignore[method-assign]
        self._endpoint_client.close().addErrback(lambda _: None)
        self._client.connectionLost(Failure(ConnectionDone()))
        self._server.connectionLost(Failure(ConnectionDone()))
        self._factory.stop()

    def begin(self) -> None:
        """
        Have L{IN_FLIGHT} calls in flight from now on: an answer makes the next.
        """
        for _ in range(IN_FLIGHT):
            self._call()
        # hello and its answer come first.
        self.turn()

    def _call(self) -> None:
        self._next = (self._next + 1) % len(self._adders)
        self._adders[self._next](5, 3).addCallbacks(self._again, self._wrong.append)

    def _again(self, result: int) -> None:
        if result != 8:
            self._wrong.append(result)
        self._answered += 1
        self._call()

    def wait(self) -> Session:
        """
        Make a call without an end: everything after it stays remembered.

        @return: where.
        """
        self.proxy.wait(1, 2).addErrback(lambda _: None)
        session: Session = self._server.session
        return session

    def cost(self, calls: int = 0) -> tuple[float, float]:
        """
        @param calls: how many are made, L{CALLS} if that is 0.

        @return: microseconds of CPU a call, of the server and of the client.
        """
        calls = calls or CALLS
        server = client = 0.0
        before = self._answered
        while self._answered - before < calls:
            one, other = self.turn()
            server += one
            client += other
            if self._wrong:
                raise ValueError(f"not 8 but {self._wrong[0]}")
        made = (self._answered - before) * 1e-6
        return server / made, client / made


Point = tuple[int, float, float]


def least(pair: Pair, times: int) -> tuple[float, float]:
    """
    @return: the lowest costs of several.
    """
    found = [pair.cost() for _ in range(times)]
    return min(one for one, _ in found), min(other for _, other in found)


def methods(counts: list[int], *, each: bool = False) -> list[Point]:
    """
    @param each: call all of them, one after the other.

    @return: the costs of calling the last method of services with so many.
    """
    pairs = []
    for count in counts:
        pair = Pair(count, each=each)
        pair.begin()
        # Each method more than once, before anything counts.
        pair.cost(max(CALLS, 2 * count))
        pairs.append(pair)
    # In turns, so that what slows the machine for a while slows all of them.
    found = [[least(pair, 1) for pair in pairs] for _ in range(TIMES)]
    return [
        (
            count,
            min(row[index][0] for row in found),
            min(row[index][1] for row in found),
        )
        for index, count in enumerate(counts)
    ]


def _store(window: int) -> MemoryStore:
    most = 256 * MIB
    return MemoryStore(window=window, session_bytes=most, total_bytes=most)


def remembered(counts: list[int]) -> list[Point]:
    """
    @return: the costs while the server remembers so many calls, because the
        client waits for an older one.
    """
    pair = Pair(store=_store(max(counts) + 10 * CALLS))
    pair.begin()
    pair.cost()
    session = pair.wait()
    found = []
    for count in counts:
        short = count - len(session.records)
        if short > 0:
            pair.cost(short)
        costs = least(pair, 3)
        found.append((count, *costs))
    return found


def memory(count: int) -> float:
    """
    @return: bytes of memory that a remembered call takes.
    """
    pair = Pair(store=_store(count + 10 * CALLS))
    pair.begin()
    session = pair.wait()
    # Until what is older is released.
    pair.cost(max(CALLS, 4 * IN_FLIGHT))
    before, known = resident(), len(session.records)
    pair.cost(count)
    return (resident() - before) / (len(session.records) - known)


MEASURES: Final[dict[str, Callable[[Any], Any]]] = {
    "methods": methods,
    "methods in turn": partial(methods, each=True),
    "remembered": remembered,
    "memory": memory,
}


def main() -> None:
    """
    Take the measure that the first argument names, of what the second says, and
    print what was found; both are JSON.
    """
    pin(next(iter(placements().values()))[0])
    print(json.dumps(MEASURES[sys.argv[1]](json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
