# -*- test-case-name: tests.testing.test_simulation -*-
"""
The processes of a simulation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred

from twisted_rpc.client import Client, RetryPolicy
from twisted_rpc.server import Server
from twisted_rpc.testing.simulation.clock import HeldThreads, NodeClock
from twisted_rpc.testing.simulation.network import Host, SimulatedEndpoint

if TYPE_CHECKING:
    from twisted_rpc.testing.simulation.simulation import Simulation


class Node:
    """
    A process: it has a clock of its own, which is wrong.

    @ivar name: C{"server-1"}.
    @ivar random: of this process alone.
    @ivar clock: its reactor; of a server another in each life.
    @ivar skew: seconds its wall clock is ahead.
    """

    def __init__(self, simulation: Simulation, name: str, number: int) -> None:
        self.simulation = simulation
        self.name = name
        self.random = Random(f"{simulation.seed}/{name}")
        self.clock = NodeClock(simulation.clock)
        self.host = Host(name, number, self.clock)
        self.skew = simulation.skew * (2 * self.random.random() - 1)

    def wall(self) -> float:
        """
        @return: what its wall clock says, in Unix seconds.
        """
        return self.simulation.clock.seconds() + self.skew

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        @return: fires in so many seconds.
        """
        slept: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.clock.callLater(seconds, slept.callback, None)
        return slept

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class ServerNode(Node):
    """
    A server, which may crash and start again.

    @ivar life: 1 in its first life.
    @ivar disk: what outlives a crash; yours to use.
    @ivar server: of the present life; C{None} while it is down.
    """

    life = 0
    server: Server | None = None

    def __init__(self, simulation: Simulation, name: str, number: int) -> None:
        super().__init__(simulation, name, number)
        self.disk: dict[str, Any] = {}

    def start(self) -> None:
        """
        Begin a life.
        """
        simulation = self.simulation
        self.life += 1
        clock = self.clock = self.host.clock = NodeClock(simulation.clock)
        registry = simulation.registry(self)
        simulation.oracle.watch(
            f"{self.name} life {self.life}", registry, lambda: clock.alive
        )
        options = dict(simulation.server_options)
        if simulation.store is not None:
            options["dedup"] = simulation.store(self)
        self.server = Server(registry, reactor=clock, wall=self.wall, **options)
        threads: Any = self.server.factory.shared.threads
        threads._pool = HeldThreads(clock)  # noqa: SLF001 - else it makes its own
        self.server.factory.doStart()
        self.server.startService()
        # The store begins with the moment: what is asked from now on is later.
        clock.callLater(0.001, self._listen)
        simulation.trace.note(f"{self.name} starts life {self.life}")

    def _listen(self) -> None:
        if self.server is not None:
            self.simulation.network.listening[self.host] = self.server.factory

    def crash(self, *, power: bool = False) -> None:
        """
        End at once.

        @param power: nobody is told, as when the machine loses power.
        """
        server, self.server = self.server, None
        if server is not None:
            self.simulation.trace.note(f"{self.name} crashes{', no power' * power}")
            self.clock.alive = False
            self.simulation.network.crash(self.host, power=power)
            self.simulation.oracle.restarted(server.store)
            die = getattr(server.store, "die", None)
            if die is not None:
                die()

    def drain(self) -> Deferred[None]:
        """
        Stop as a server does that is told to.

        @return: fires when it has.
        """
        server = self.server
        assert server is not None
        self.simulation.trace.note(f"{self.name} drains")
        self.simulation.network.listening.pop(self.host, None)

        def stopped(_: Any) -> None:
            if self.server is server:
                self.crash()

        return server.stopService().addCallback(stopped)

    def stall(self, seconds: float) -> None:
        """
        Do nothing for a while, and then all that was left.
        """
        self.simulation.trace.note(f"{self.name} stalls for {seconds:.3f} s")
        clock = self.clock
        clock.stalled_until = clock.seconds() + seconds
        self.simulation.clock.callLater(
            seconds, self.simulation.network.wake, self.host
        )

    def threads(self) -> int:
        """
        @return: how many calls and steps of the store wait for threads, or are
            in them.
        """
        if self.server is None:
            return 0
        shared = self.server.factory.shared
        steps: int = getattr(shared.store, "outstanding", 0)
        more: int = getattr(self.server.store, "busy", 0)
        return shared.threads.outstanding + steps + more


class Caller(Node):
    """
    A process that calls, which may die and come back as a new one.

    @ivar client: the real client of the present life.
    @ivar number: 0 for the first.
    @ivar principal: who it is, to servers that authenticate.
    @ivar life: 1 in its first life; with C{number} it tells processes apart.
    """

    life = 0

    def __init__(self, simulation: Simulation, name: str, number: int) -> None:
        super().__init__(simulation, name, 100 + number)
        self.number = number
        self.principal = self.host.principal = simulation.principal(number)
        self._work: Callable[[Caller], Awaitable[Any]] | None = None
        self._done: Deferred[Any] = Deferred()
        # What dead lives wait for is kept, so that no chance of the interpreter's
        # lets it be closed before the end.
        self._lives: list[Any] = []
        self._start()

    def _start(self) -> None:
        """
        Begin a life.
        """
        simulation = self.simulation
        self.life += 1
        self.clock = self.host.clock = NodeClock(simulation.clock)
        chance = self.random.random
        options: dict[str, Any] = {
            "retry": RetryPolicy(chance=chance),
            "chance": chance,
            **simulation.client_options,
        }
        if simulation.authenticated:
            options["auth"] = {"scheme": "bearer", "token": self.principal}
            options["auth_in_clear"] = True
        first = self.number % len(simulation.servers)
        servers = [*simulation.servers[first:], *simulation.servers[:first]]
        self.client = Client(
            [
                SimulatedEndpoint(simulation.network, self.host, server.host)
                for server in servers
            ],
            reactor=self.clock,
            wall=self.wall,
            **options,
        )
        pool = self.client.pool
        pool.start = self._watched(pool.start)  # type: ignore[method-assign]  # to see its calls

    def _watched(self, ask: Any) -> Any:
        def asked(target: Any, params: bytes) -> Deferred[Any]:
            call: Deferred[Any] = ask(target, params)
            if not call.called and not target.oneway:
                called = self.simulation.oracle.calling(self.name, call)
                self.simulation.trace.note(f"{self.name} makes {called}")
            return call

        return asked

    @property
    def working(self) -> bool:
        """
        Whether it lives, and its work is not done.
        """
        return self.clock.alive and not self._done.called

    def begin(self, work: Callable[[Caller], Awaitable[Any]]) -> Deferred[Any]:
        """
        Do what this process is for.

        @return: fires with what that came to, in the life that finished it.
        """
        self._work = work
        self._go()
        return self._done

    def _go(self) -> None:
        assert self._work is not None
        doing: Any = self._work(self)
        alive = self.clock
        done: Deferred[Any] = ensureDeferred(doing)
        self._lives.append(done)

        def ended(result: Any) -> None:
            if alive.alive:
                self._done.callback(result)

        done.addBoth(ended)

    def crash(self, *, power: bool = False) -> None:
        """
        End at once, in the middle of its work.

        @param power: nobody is told, as when the machine loses power.
        """
        self.simulation.trace.note(f"{self.name} dies{', no power' * power}")
        self.clock.alive = False
        self._lives.append(self.client)
        self.simulation.network.crash(self.host, power=power)
        self.simulation.oracle.died(self.name)

    def revive(self) -> None:
        """
        Come back, if it is dead: a new client, which begins its work anew.
        """
        if not self.clock.alive:
            self._start()
            self.simulation.trace.note(f"{self.name} starts life {self.life}")
            self._go()
