# -*- test-case-name: tests.testing.test_network -*-
"""
A client and a server, joined in memory.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.client import Client
from twisted_rpc.server import Server
from twisted_rpc.testing.clock import MemoryClock
from twisted_rpc.testing.endpoint import MemoryEndpoint
from twisted_rpc.testing.network import MemoryNetwork, settle

_T = TypeVar("_T")


#: Real seconds that a step of a store may take.
_STORE: Final = 5.0


class Pair:
    """
    A client and a server in memory.

    @ivar clock: the time of both.
    @ivar network: their connections.
    @ivar endpoint: where the client connects.
    """

    def __init__(
        self,
        clock: MemoryClock,
        network: MemoryNetwork,
        endpoint: MemoryEndpoint,
        server: Server,
        client: Client,
    ) -> None:
        self.clock = clock
        self.network = network
        self.endpoint = endpoint
        self.server = server
        self.client = client

    def pump(self) -> None:
        """
        Deliver everything, until nothing happens any more without time passing.
        """
        settle(self.network, self.clock)

    def advance(self, seconds: float, step: float = 0.025) -> None:
        """
        Let time pass, in steps between which everything is delivered.
        """
        self.pump()
        end = self.clock.seconds() + seconds
        while (left := end - self.clock.seconds()) > 1e-9:
            self.clock.advance(min(step, left))
            self.pump()
            self._wait_for_store()

    def _wait_for_store(self) -> None:
        """
        A store in a database takes no time of the clock.
        """
        shared = self.server.factory.shared
        while shared.store_outstanding and self.clock.wait_for_thread(_STORE):
            self.pump()

    def result(self, deferred: Deferred[_T], seconds: float = 60.0) -> _T:
        """
        Let things happen until C{deferred} has its result, at most so many
        seconds of the clock; threads get as many real seconds.

        @return: the result.

        @raise Exception: what it failed with; C{AssertionError}, nothing came.
        """
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.pump()
        shared = self.server.factory.shared
        end = self.clock.seconds() + seconds
        while not results and self.clock.seconds() < end:
            if shared.threads.outstanding or shared.store_outstanding:
                if not self.clock.wait_for_thread(seconds):
                    break
                self.pump()
            else:
                self.advance(0.025)
        if not results:
            raise AssertionError(f"no result after {seconds:g} s of the clock")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        result: _T = results[0]
        return result

    def close(self) -> None:
        """
        Stop both, and let it happen.
        """
        self.client.close()
        self.pump()
        self.server.stopService()
        self.advance(2.0)


def connect(
    registry: Any,
    *,
    clock: MemoryClock | None = None,
    server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
) -> Pair:
    """
    A server of C{registry} and a client of it, joined in memory.

    @param clock: C{None}: one of their own.
    @param server: arguments of L{Server}.
    @param client: arguments of L{Client}.
    """
    clock = clock if clock is not None else MemoryClock()
    network = MemoryNetwork()
    made = Server(registry, reactor=clock, wall=clock.seconds, **(server or {}))
    made.factory.doStart()
    made.startService()
    # The store begins at the epoch; requests that are dated then came after.
    clock.advance(0.001)
    endpoint = MemoryEndpoint(network, made.factory)
    return Pair(
        clock,
        network,
        endpoint,
        made,
        Client(endpoint, reactor=clock, wall=clock.seconds, **(client or {})),
    )
