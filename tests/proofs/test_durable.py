"""
A few seeds of the simulation over SQLite files that outlive their servers;
C{python -m tests.proofs simulation --durable} has more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.proofs.durable import quick_folder, simulate_durably
from twisted_rpc.delivery.sql.transitions import Transitions
from twisted_rpc.testing.simulation import Simulation, Violation, for_each_seed

#: Seeds that each run of the tests simulates.
SEEDS = 6

#: Seeds within which a mutant is found.
ENOUGH = 60


def simulate(seed: int) -> Simulation:
    """One seed, in a folder of its own."""
    with quick_folder() as folder:
        return simulate_durably(seed, Path(folder))


class DurableTests(SynchronousTestCase):
    """
    The invariants hold over a store that outlives its server.
    """

    def test_invariants(self) -> None:
        """
        Calls once, effects and answers in one transaction, whatever crashes.
        """
        for_each_seed(simulate, SEEDS)

    def test_same_seed_same_trace(self) -> None:
        """
        The thread of the store changes no order.
        """
        one, again = simulate(4), simulate(4)
        self.assertEqual(one.trace.digest, again.trace.digest)


class DurableMutantTests(SynchronousTestCase):
    """
    Faults in the real store are seen.
    """

    def finds(self, *invariants: str, first: int = 0) -> None:
        """One of the invariants is found broken before long."""
        for seed in range(first, first + ENOUGH):
            try:
                simulate(seed)
            except Violation as violation:
                found = str(violation).partition("seed ")[2] or f"x: {violation}"
                self.assertIn(found.split(": ")[1], invariants, str(violation)[:200])
                return
        self.fail(f"no violation in {ENOUGH} seeds")

    def test_start_that_forgets_what_ran(self) -> None:
        """
        What a crash cut in half runs again.
        """

        def settle(_: Any, tx: Any, owner: str) -> None:
            tx.execute(
                "DELETE FROM rpc_records WHERE state = 'IN_PROGRESS' AND owner = ?",
                (owner,),
            )
            tx.execute("DELETE FROM rpc_owners WHERE owner = ?", (owner,))

        self.patch(Transitions, "settle", settle)
        # The seeds before make no such crash, which takes a while to see.
        self.finds("I1", "I2", "I3", first=14)

    def test_answer_that_is_not_recorded(self) -> None:
        """
        A transaction commits the effect and leaves no answer.
        """
        transact = Transitions.transact

        def forgetful(it: Transitions, tx: Any, claim: Any, run: Any) -> Any:
            found = transact(it, tx, claim, run)
            tx.execute("DELETE FROM rpc_records WHERE state = 'DONE'")
            return found

        self.patch(Transitions, "transact", forgetful)
        self.finds("I1", "I3", "I4")
