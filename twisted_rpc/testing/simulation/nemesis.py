# -*- test-case-name: tests.testing.test_simulation -*-
"""
Who sees to it that things go wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted_rpc.testing.simulation.nodes import ServerNode
    from twisted_rpc.testing.simulation.simulation import Simulation


@dataclass(frozen=True, kw_only=True)
class Nemesis:
    """
    What goes wrong in a simulation, and how often.

    Each is a weight: how often it is chosen among the others; 0: never.

    @ivar every: seconds from one misfortune to the next, on average.
    @ivar cuts: a connection is cut in the middle of what is on its way.
    @ivar partitions: nothing passes between two machines, or between one and
        all others, for up to ten seconds.
    @ivar crashes: a server ends at once, and starts again.
    @ivar drains: a server is told to stop, and starts again.
    @ivar stalls: a server does nothing for up to five seconds.
    @ivar delays: everything takes up to a second longer, for a while.
    @ivar deaths: a client ends at once, and another one in its place begins its
        work anew.  Not unless it is asked for, because the work has to be fit for
        that: what identifies an entry needs C{caller.life} too.
    """

    every: float = 1.0
    cuts: float = 6.0
    partitions: float = 2.0
    crashes: float = 1.0
    drains: float = 1.0
    stalls: float = 1.0
    delays: float = 1.0
    deaths: float = 0.0

    def __post_init__(self) -> None:
        """
        Refuse what means nothing.
        """
        if self.every <= 0:
            raise ValueError(f"every is {self.every}: seconds, above 0")
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(
                    f"{field.name} is {getattr(self, field.name)}: 0 or more"
                )


#: Nothing goes wrong.
PEACE = Nemesis(cuts=0, partitions=0, crashes=0, drains=0, stalls=0, delays=0)


class Misfortunes:
    """
    A nemesis at work.
    """

    def __init__(self, simulation: Simulation, nemesis: Nemesis) -> None:
        self._simulation = simulation
        self._nemesis = nemesis
        self._random = Random(f"{simulation.seed}/nemesis")
        self._at_work = False
        choices = {
            self._cut: nemesis.cuts,
            self._part: nemesis.partitions,
            self._crash: nemesis.crashes,
            self._drain: nemesis.drains,
            self._stall: nemesis.stalls,
            self._delay: nemesis.delays,
            self._die: nemesis.deaths,
        }
        self._choices = [choice for choice, weight in choices.items() if weight]
        self._weights = [weight for weight in choices.values() if weight]

    def begin(self) -> None:
        """
        Let things go wrong from now on.
        """
        self._at_work = bool(self._choices)
        self._next()

    def end(self) -> None:
        """
        Let nothing go wrong any more, and put right what can be.
        """
        self._at_work = False
        network = self._simulation.network
        network.spread = 0.002
        network.heal()

    def _next(self) -> None:
        if self._at_work:
            wait = self._random.expovariate(1 / self._nemesis.every)
            self._simulation.clock.callLater(wait, self._strike)

    def _strike(self) -> None:
        if self._at_work:
            (choice,) = self._random.choices(self._choices, self._weights)
            choice()
            self._next()

    # -- what goes wrong ----------------------------------------------------------------

    def _cut(self) -> None:
        network = self._simulation.network
        ends = list(network.transports)
        if ends:
            end = self._random.choice(ends)
            network.trace.note(f"cut {end.name}")
            end.sever(self._random)

    def _part(self) -> None:
        simulation, random = self._simulation, self._random
        one = random.choice([*simulation.servers, *simulation.callers])
        others = [
            node
            for node in (*simulation.servers, *simulation.callers)
            if node is not one
        ]
        if random.random() < 0.5:
            others = [random.choice(others)]
        for other in others:
            simulation.network.divide(one.host, other.host)
        names = ", ".join(node.name for node in others)
        simulation.trace.note(f"{one.name} is apart from {names}")
        simulation.clock.callLater(random.uniform(0.2, 10.0), simulation.network.heal)

    def _up(self) -> ServerNode | None:
        up = [
            server for server in self._simulation.servers if server.server is not None
        ]
        return self._random.choice(up) if up else None

    def _restart(self, server: ServerNode) -> None:
        wait = self._random.uniform(0.05, 3.0)
        self._simulation.clock.callLater(wait, self._simulation.revive, server)

    def _crash(self) -> None:
        server = self._up()
        if server is not None:
            server.crash(power=self._random.random() < 0.3)
            self._restart(server)

    def _die(self) -> None:
        callers = [each for each in self._simulation.callers if each.working]
        if callers:
            caller = self._random.choice(callers)
            caller.crash(power=self._random.random() < 0.3)
            wait = self._random.uniform(0.05, 3.0)
            self._simulation.clock.callLater(wait, caller.revive)

    def _drain(self) -> None:
        server = self._up()
        if server is not None and server.host in self._simulation.network.listening:
            stopped: Deferred[None] = server.drain()
            stopped.addCallback(lambda _: self._restart(server))

    def _stall(self) -> None:
        server = self._up()
        if server is not None:
            server.stall(self._random.uniform(0.1, 5.0))

    def _delay(self) -> None:
        network = self._simulation.network
        network.spread = self._random.uniform(0.05, 1.0)
        network.trace.note(f"delays up to {network.spread:.3f} s")

        def over() -> None:
            network.spread = 0.002

        self._simulation.clock.callLater(self._random.uniform(0.5, 5.0), over)
