"""
The decisions of L{twisted_rpc.delivery.table} keep the promises of delivery in
every order of events, and each of them is needed.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.exploring import (
    Exploration,
    FreeWorld,
    Scenario,
    SessionWorld,
    explore,
)
from tests.delivery.mutants import MUTANTS


class SpecificationTests(SynchronousTestCase):
    """
    I1 to I8 and I15 to I17 hold in every state.
    """

    def holds(self, world: type[Exploration], least: int, **options: Any) -> None:
        """No invariant is broken in any of at least so many states."""
        found = explore(world(Scenario(**options)))
        self.assertEqual(found.broken, "", " > ".join(found.trace))
        self.assertGreater(found.states, least)

    def test_memory_store(self) -> None:
        """
        A store in memory that is restarted twice, and evicts.
        """
        self.holds(SessionWorld, 900, durable=False, crashes=2, evicts=1, attempts=3)

    def test_memory_store_with_acks(self) -> None:
        """
        Two calls, the second of which releases the first, over a restart.
        """
        self.holds(
            SessionWorld, 10_000, durable=False, crashes=1, evicts=1, second=True
        )

    def test_acks_and_the_end_of_a_session(self) -> None:
        """
        Two calls, eviction, and the session ends.
        """
        self.holds(SessionWorld, 5_000, evicts=1, ends=1, second=True)

    def test_other_parameters_and_principals(self) -> None:
        """
        The id comes with other parameters, and from another principal.
        """
        self.holds(SessionWorld, 500, reused=True, stranger=True, evicts=1)
        self.holds(SessionWorld, 500, reused=True, crashes=1, leases=1, replicas=2)

    def test_refusals(self) -> None:
        """
        Any attempt may be refused under overload.
        """
        self.holds(
            SessionWorld,
            500,
            overload=True,
            crashes=1,
            leases=1,
            replicas=2,
            attempts=3,
        )

    def test_replicas(self) -> None:
        """
        Two replicas, one of which crashes or loses its lease while it runs.
        """
        for delivery in ("once", "transactional", "idempotent"):
            self.holds(
                SessionWorld,
                400,
                delivery=delivery,
                replicas=2,
                crashes=1,
                leases=1,
                evicts=1,
                ends=1,
                attempts=3,
            )

    def test_sessionless_memory_store(self) -> None:
        """
        Requests without a session, forgotten, over two restarts.
        """
        self.holds(
            FreeWorld, 5_000, durable=False, crashes=2, forgets=1, ticks=1, attempts=3
        )

    def test_sessionless_two_calls(self) -> None:
        """
        Two of them under one floor, forgotten in any order.
        """
        self.holds(FreeWorld, 5_000, durable=False, forgets=2, ticks=1, second=True)

    def test_sessionless_others(self) -> None:
        """
        The id comes with other parameters, and from another principal.
        """
        self.holds(FreeWorld, 2_000, reused=True, stranger=True, forgets=1, evicts=1)

    def test_sessionless_replicas(self) -> None:
        """
        Two replicas and a durable store, with refusals.
        """
        for delivery in ("once", "transactional"):
            self.holds(
                FreeWorld,
                500,
                delivery=delivery,
                replicas=2,
                crashes=1,
                leases=1,
                forgets=1,
                ticks=1,
                overload=True,
            )


class MutantTests(SynchronousTestCase):
    """
    What each rule is for: without it, an invariant is broken.
    """

    def test_each_is_found(self) -> None:
        """
        Each of the 27 mistakes breaks an invariant that it is known to break,
        and the same is not broken without it.
        """
        self.assertEqual(len({mutant.name for mutant in MUTANTS}), 27)
        for mutant in MUTANTS:
            found = mutant.found()
            self.assertIn(found.broken.split(":")[0], mutant.breaks, mutant.name)
            self.assertEqual(mutant.right_found().broken, "", mutant.name)
