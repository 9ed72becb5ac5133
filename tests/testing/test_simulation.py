"""
Simulations, as users write them.
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Registry, RetryPolicy, current_call
from twisted_rpc.delivery import deduplicate
from twisted_rpc.delivery.table import Verdict
from twisted_rpc.errors import RPCError
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing.simulation import (
    PEACE,
    Caller,
    Nemesis,
    ServerNode,
    Simulation,
    Violation,
    for_each_seed,
)
from twisted_rpc.testing.simulation.clock import SimulatedClock
from twisted_rpc.testing.simulation.oracle import DIED

IDL = load_idl_text(
    """
    service Counter {
        int increment(int by);
        @threaded
        int block(int by);
    }
    """
)

#: Everything but that connections are cut.
CUTS = Nemesis(every=0.3, partitions=0, crashes=0, drains=0, stalls=0, delays=0)


class Counter:
    """
    Takes a tenth of a second to count.
    """

    def __init__(self, node: ServerNode) -> None:
        self._node = node
        self.value = 0

    def increment(self, by: int) -> Deferred[int]:
        def counted(_: Any) -> int:
            self.value += by
            return self.value

        slept: Deferred[Any] = self._node.sleep(0.1)
        return slept.addCallback(counted)

    def block(self, by: int) -> int:
        time.sleep(0.001)
        self.value += by
        return self.value


def serve(node: ServerNode) -> Registry:
    """What each server serves."""
    registry = Registry()
    registry.register(IDL.ICounter, Counter(node))
    return registry


async def work(caller: Caller) -> list[str]:
    """Twenty calls, and how they ended."""
    counter = caller.client.proxy(IDL.ICounter)
    ended = []
    for _ in range(20):
        try:
            ended.append(str(await counter.increment(1)))
        except RPCError as error:
            ended.append(error.code.value)
        await caller.sleep(caller.random.random())
    return ended


class SimulationTests(SynchronousTestCase):
    """
    L{Simulation}.
    """

    def test_peace(self) -> None:
        """
        If nothing goes wrong every call succeeds.
        """
        simulation = Simulation(serve, clients=3, nemesis=PEACE)
        results = simulation.run(work, seconds=5)
        self.assertEqual(
            sorted(int(each) for one in results for each in one), [*range(1, 61)]
        )
        self.assertEqual(simulation.oracle.outcomes, {"OK": 60})
        self.assertGreater(simulation.passed, 5)

    def test_same_seed_same_trace(self) -> None:
        """
        A seed determines all that happens, and another seed something else.
        """
        digests = [
            Simulation(serve, seed=seed, servers=2, nemesis=Nemesis(every=0.4))
            for seed in (1, 1, 2)
        ]
        for simulation in digests:
            simulation.run(work, seconds=20)
        one, again, other = [simulation.trace.digest for simulation in digests]
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)

    def test_each_misfortune(self) -> None:
        """
        Each kind happens, and the calls end all the same.
        """
        for kind, sign in (
            ("cuts", "cut "),
            ("partitions", " is apart from "),
            ("crashes", " crashes"),
            ("drains", " drains"),
            ("stalls", " stalls for "),
            ("delays", "delays up to "),
        ):
            weights = dict.fromkeys(
                ("cuts", "partitions", "crashes", "drains", "stalls", "delays"), 0.0
            )
            nemesis = Nemesis(every=0.5, **{**weights, kind: 1.0})
            simulation = Simulation(serve, servers=2, nemesis=nemesis, keep=0)
            simulation.run(work, seconds=15)
            self.assertIn(sign, "\n".join(simulation.trace.last))
            self.assertEqual(sum(simulation.oracle.outcomes.values()), 60)

    def test_deaths(self) -> None:
        """
        A client dies in the middle, and a new one does its work from the
        beginning: nothing is said of what the dead one asked for, but that it ran
        once at most.  The same seed makes the same deaths.
        """
        quiet = {"cuts": 0, "partitions": 0, "crashes": 0, "stalls": 0, "delays": 0}
        nemesis = Nemesis(every=1.0, drains=0, deaths=1, **quiet)
        simulations = [
            Simulation(serve, seed=5, nemesis=nemesis, keep=0) for _ in range(2)
        ]
        results = [each.run(work, seconds=8) for each in simulations]
        one, again = [each.trace.digest for each in simulations]
        self.assertEqual(one, again)
        for came in results:
            self.assertEqual([len(ended) for ended in came], [20] * 3)
        lines = "\n".join(simulations[0].trace.last)
        self.assertIn("client-1 dies", lines)
        self.assertIn("client-1 starts life 2", lines)
        outcomes = simulations[0].oracle.outcomes
        self.assertGreater(outcomes["died"], 0)
        self.assertGreaterEqual(outcomes["OK"], 60)
        dead = [it for it in simulations[0].oracle.calls if it.outcome is DIED]
        self.assertTrue(all(each.runs <= 1 for each in dead))

    def test_end_of_a_dead_client(self) -> None:
        """
        Who is dead at the end comes back and finishes; and one whose work is done
        does not die.
        """
        simulation = Simulation(serve, clients=2, nemesis=PEACE)
        one, other = simulation.callers
        simulation.clock.callLater(1.0, one.crash)
        simulation.clock.callLater(1.1, other.crash, power=True)
        results = simulation.run(work, seconds=2)
        self.assertEqual([len(each) for each in results], [20, 20])
        self.assertEqual((one.life, other.life), (2, 2))
        self.assertFalse(one.working)

    def test_double_run(self) -> None:
        """
        A server that runs a call a second time is found, and told with its seed
        and what happened before.
        """
        with patch.object(deduplicate, "judge_session", lambda **_: Verdict.RUN):
            found = self.assertRaises(
                Violation, Simulation(serve, seed=3, nemesis=CUTS).run, work
            )
        self.assertTrue(str(found).startswith("seed 3: I1: call "), str(found)[:100])
        self.assertIn("cut ", str(found))

    def test_claim_of_not_having_run(self) -> None:
        """
        A client that says that a call did not run, and it did, is found.
        """
        forgetful = property(lambda call: False, lambda call, ambiguous: None)
        with patch("twisted_rpc.client.calls.Call.ambiguous", forgetful):
            simulation = Simulation(
                serve, nemesis=CUTS, client={"retry": RetryPolicy(max_attempts=1)}
            )
            found = self.assertRaises(Violation, simulation.run, work)
        self.assertIn("I6: ", str(found))

    def test_hanging_call(self) -> None:
        """
        A call that does not end by its deadline is found.
        """
        with patch("twisted_rpc.client.link.Link.expire", lambda self, now: None):
            simulation = Simulation(
                serve, nemesis=Nemesis(cuts=0), client={"timeout": 0.05}
            )
            found = self.assertRaises(Violation, simulation.run, work)
        self.assertIn("I15: ", str(found))

    def test_work_that_does_not_end(self) -> None:
        """
        Work has to end by itself.
        """

        async def wait(_: Caller) -> None:
            await Deferred()

        simulation = Simulation(serve, clients=1, nemesis=PEACE)
        found = self.assertRaises(Violation, simulation.run, wait)
        self.assertIn("the work has not ended within 600 s", str(found))

    def test_work_that_fails(self) -> None:
        """
        What work raises comes out of the simulation.
        """

        async def fail(_: Caller) -> None:
            raise ZeroDivisionError

        simulation = Simulation(serve, clients=1, nemesis=PEACE)
        self.assertRaises(ZeroDivisionError, simulation.run, fail)

    def test_threads(self) -> None:
        """
        Time stands still while threads work, so that they change no order.
        """

        async def block(caller: Caller) -> None:
            counter = caller.client.proxy(IDL.ICounter)
            for _ in range(5):
                await counter.block(1)

        simulations = [Simulation(serve, nemesis=PEACE) for _ in range(2)]
        for simulation in simulations:
            simulation.run(block, seconds=1)
        one, other = [simulation.trace.digest for simulation in simulations]
        self.assertEqual(one, other)
        self.assertEqual(simulations[0].oracle.outcomes, {"OK": 15})

    def test_threads_together(self) -> None:
        """
        Calls in threads that come together begin when all have come, and end in
        their order, whichever takes longest.
        """
        took = [0.02, 0.01, 0.0]
        ended: list[int] = []
        came: list[int] = []

        def takes_time(_: Counter, by: int) -> int:
            came.append(current_call().origin.shared.threads.outstanding)
            time.sleep(took[by])
            return by

        async def block(caller: Caller) -> None:
            counter = caller.client.proxy(IDL.ICounter)
            for call in [
                counter.block(by).addCallback(ended.append) for by in range(3)
            ]:
                await call

        with patch.object(Counter, "block", takes_time):
            Simulation(serve, clients=1, nemesis=PEACE).run(block, seconds=1)
        self.assertEqual((ended, came), ([0, 1, 2], [3, 2, 1]))

    def test_nonsense(self) -> None:
        """
        What cannot be simulated is refused.
        """
        self.assertRaises(ValueError, Simulation, serve, servers=0)
        self.assertRaises(ValueError, Nemesis, every=0)
        self.assertRaises(ValueError, Nemesis, cuts=-1)


class SeedTests(SynchronousTestCase):
    """
    L{for_each_seed}.
    """

    def test_many(self) -> None:
        """
        Each seed is checked.
        """
        seen: list[int] = []
        for_each_seed(seen.append, 3, first=5, environment={})
        self.assertEqual(seen, [5, 6, 7])

    def test_one(self) -> None:
        """
        The environment names a single one.
        """
        seen: list[int] = []
        for_each_seed(seen.append, 3, environment={"TWISTED_RPC_SEED": "17"})
        self.assertEqual(seen, [17])
        for wrong in ("-1", "x", ""):
            with self.assertRaises(ValueError):
                for_each_seed(seen.append, 3, environment={"TWISTED_RPC_SEED": wrong})

    def test_failure(self) -> None:
        """
        A seed that fails says how to see it again.
        """

        def check(seed: int) -> None:
            if seed == 2:
                raise AssertionError("I1")

        found = self.assertRaises(
            AssertionError, for_each_seed, check, 5, environment={}
        )
        self.assertIn("to see it again: TWISTED_RPC_SEED=2 ", str(found))


class ClockTests(SynchronousTestCase):
    """
    L{SimulatedClock} does what a reactor does with calls that wait.
    """

    def setUp(self) -> None:
        """A clock, and what was called."""
        self.clock = SimulatedClock(100.0)
        self.called: list[tuple[float, str]] = []

    def call(self, name: str) -> None:
        """Note it."""
        self.called.append((self.clock.seconds(), name))

    def run_to(self, end: float) -> None:
        """Until then."""
        while self.clock.step(end):
            pass

    def test_order(self) -> None:
        """
        In the order of their times, and then of their coming.
        """
        for delay, name in ((2, "c"), (1, "a"), (1, "b")):
            self.clock.callLater(delay, self.call, name)
        self.run_to(110)
        self.assertEqual(self.called, [(101, "a"), (101, "b"), (102, "c")])
        self.assertEqual(self.clock.seconds(), 110)

    def test_cancelled(self) -> None:
        """
        What is cancelled is not called.
        """
        call = self.clock.callLater(1, self.call, "a")
        self.assertEqual(self.clock.getDelayedCalls(), [call])
        call.cancel()
        self.run_to(110)
        self.assertEqual((self.called, self.clock.getDelayedCalls()), ([], []))

    def test_put_off(self) -> None:
        """
        A call may be moved, to an earlier time or a later one, and is made once.
        """
        late = self.clock.callLater(1, self.call, "late")
        early = self.clock.callLater(5, self.call, "early")
        late.reset(7)
        early.reset(2)
        self.run_to(103)
        self.assertEqual(self.called, [(102, "early")])
        self.run_to(120)
        self.assertEqual(self.called[1:], [(107, "late")])
