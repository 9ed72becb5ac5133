# -*- test-case-name: tests.testing.test_simulation -*-
"""
Many clients and servers, one clock, and a seed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.interfaces import IAuthenticator
from twisted_rpc.testing.clock import EPOCH
from twisted_rpc.testing.simulation.clock import SimulatedClock
from twisted_rpc.testing.simulation.nemesis import Misfortunes, Nemesis
from twisted_rpc.testing.simulation.network import (
    SimulatedNetwork,
    SimulatedTransport,
)
from twisted_rpc.testing.simulation.nodes import Caller, ServerNode
from twisted_rpc.testing.simulation.oracle import Oracle, Violation
from twisted_rpc.testing.simulation.trace import Trace
from twisted_rpc.testing.simulation.watch import Frames

_NEMESIS = Nemesis()

#: Seconds between two looks into the stores.
_LOOK: float = 0.5

#: Seconds of simulated time, after which what was to be done must be.
_PATIENCE: float = 600.0


@implementer(IAuthenticator)
class Tokens:
    """
    Takes a bearer token for the name of its bearer; who has none is anonymous.
    """

    required = False

    def authenticate(
        self, transport: Any, auth: Mapping[str, str] | None
    ) -> Deferred[str]:
        """
        @return: fires with the principal.
        """
        return succeed("anonymous" if auth is None else auth["token"])


class Simulation:
    """
    Real servers and real clients in memory, to which everything happens that
    may happen to processes and networks, as a seed says::

        def registry(server):
            registry = Registry()
            registry.register(idl.ICounter, Counter())
            return registry

        async def work(caller):
            counter = caller.client.proxy(idl.ICounter)
            for _ in range(100):
                try:
                    await counter.increment()
                except RPCError:
                    pass
                await caller.sleep(caller.random.random())

        Simulation(registry, seed=17, clients=5).run(work)

    L{run} ends with L{Violation} if anything happened that delivery.md rules
    out.  The same seed makes the same simulation, as long as the code under test
    takes its time and its chance from the nodes it is given.

    @ivar seed: what all chance comes from.
    @ivar clock: the one clock.
    @ivar servers: the L{ServerNode}s.
    @ivar callers: the L{Caller}s.
    @ivar network: what joins them.
    @ivar oracle: what was seen: C{oracle.calls}, for questions of your own.
    @ivar trace: what happened.
    """

    def __init__(
        self,
        registry: Callable[[ServerNode], Any],
        *,
        seed: int = 0,
        servers: int = 1,
        clients: int = 3,
        store: Callable[[ServerNode], Any] | None = None,
        server: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        nemesis: Nemesis = _NEMESIS,
        skew: float = 2.0,
        principals: int = 0,
        keep: int = 60,
    ) -> None:
        """
        @param registry: makes what a server serves, at the start of each of its
            lives.
        @param store: makes where it records calls, at the same time; C{None}: in
            memory.  If it has a method C{die}, that is called when the server
            crashes; while it has an attribute C{busy} above 0, its threads are
            waited for.
        @param server: more arguments of L{Server<twisted_rpc.Server>}.
        @param client: more arguments of L{Client<twisted_rpc.Client>}.
        @param nemesis: what goes wrong.
        @param skew: seconds that wall clocks are wrong, at most.
        @param principals: the clients are so many different principals; 0: all
            are C{anonymous}.
        @param keep: lines of the trace that are kept; 0: all.
        """
        if servers < 1 or clients < 0 or principals < 0:
            raise ValueError(
                "there is at least one server, and no fewer clients than 0"
            )
        self.seed = seed
        self.registry = registry
        self.store = store
        self.skew = skew
        self.authenticated = principals > 0
        self._principals = principals
        self.server_options = dict(server or {})
        if principals:
            self.server_options.setdefault("authenticator", Tokens())
        self.client_options = dict(client or {})
        self.clock = SimulatedClock(EPOCH)
        self.trace = Trace(self.clock.seconds, keep)
        self.oracle = Oracle(self.clock.seconds)
        self.network = SimulatedNetwork(
            self.clock, Random(f"{seed}/network"), self.trace, self._wrote
        )
        self.servers: list[ServerNode] = []
        self.callers: list[Caller] = []
        for number in range(servers):
            self.servers.append(ServerNode(self, f"server-{number}", number + 1))
        for node in self.servers:
            node.start()
        for number in range(clients):
            self.callers.append(Caller(self, f"client-{number}", number))
        # They listen.
        self.advance(0.01)
        self._misfortunes = Misfortunes(self, nemesis)
        self._reviving = False
        self.clock.callLater(_LOOK, self._look)

    @property
    def passed(self) -> float:
        """
        Seconds that were simulated.
        """
        return self.clock.seconds() - EPOCH

    def principal(self, number: int) -> str:
        """
        @return: who the client of that number is.
        """
        if not self._principals:
            return "anonymous"
        return f"principal-{number % self._principals}"

    def run(
        self, work: Callable[[Caller], Awaitable[Any]], seconds: float = 30.0
    ) -> list[Any]:
        """
        Let every client work, and things go wrong for so many seconds; then put
        everything right, and let the work end.

        @param work: what a client does; it must come to an end by itself.  A
            client that dies begins it anew in its next life.

        @return: what the work of each client came to.

        @raise Violation: what must never be was seen.
        """
        try:
            return self._run(work, seconds)
        except Violation as violation:
            lines = "\n".join(self.trace.last)
            raise Violation(
                f"seed {self.seed}: {violation}\nwhat happened before:\n{lines}"
            ) from violation

    def _run(
        self, work: Callable[[Caller], Awaitable[Any]], seconds: float
    ) -> list[Any]:
        done = gatherResults(
            [caller.begin(work) for caller in self.callers], consumeErrors=True
        )
        came: list[Any] = []
        done.addBoth(came.append)
        self._misfortunes.begin()
        self.advance(seconds)
        self._misfortunes.end()
        self._reviving = True
        for node in self.servers:
            self.revive(node)
        for caller in self.callers:
            caller.revive()
        end = self.clock.seconds() + _PATIENCE
        while not came and self.clock.seconds() < end:
            self.advance(0.1)
        if not came:
            raise Violation(f"the work has not ended within {_PATIENCE:g} s")
        if isinstance(came[0], Failure):
            # gatherResults wraps what failed first.
            failed: Failure = getattr(came[0].value, "subFailure", came[0])
            failed.raiseException()
        # What is on its way arrives.
        self.advance(10.0)
        self._close()
        results: list[Any] = came[0]
        return results

    def _close(self) -> None:
        intact = {
            end.number
            for end in self.network.transports
            if not end.severed and end.peer.connected
        }
        self.oracle.close(intact)
        if self.oracle.violation is not None:
            raise self.oracle.violation
        for caller in self.callers:
            caller.client.close()
        for server in self.servers:
            if server.server is not None:
                server.drain()
        self.advance(5.0)

    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        end = self.clock.seconds() + seconds
        step = self.clock.step
        oracle = self.oracle
        while step(end):
            if oracle.violation is not None:
                raise oracle.violation
            for server in self.servers:
                if server.threads() or server.clock.left:
                    server.clock.settle(server.threads)

    def revive(self, server: ServerNode) -> None:
        """
        Start a server that is down.
        """
        if server.server is None:
            server.start()

    def _look(self) -> None:
        for node in self.servers:
            if node.server is not None:
                self.oracle.look_at(node.server.store)
        self.clock.callLater(_LOOK, self._look)

    def _wrote(self, end: SimulatedTransport, data: bytes) -> None:
        frames = end.watched
        if frames is None:
            frames = end.watched = Frames(requests=end.calling)
        for message in frames.take(data):
            if end.calling:
                self.oracle.requested(end.host, end.number, message)
            else:
                self.oracle.replied(end.peer.host, end.number, message)


__all__ = ["Simulation"]
