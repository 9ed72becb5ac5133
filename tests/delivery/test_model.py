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
    Rules,
    Scenario,
    SessionWorld,
    explore,
)
from twisted_rpc.delivery.table import State, Verdict, judge_session, judge_sessionless


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


def judging(**changes: Any) -> Any:
    """C{judge_session}, with some of what it is told replaced."""
    return staticmethod(lambda **known: judge_session(**{**known, **changes}))


def mistaken(old: Verdict, new: Verdict) -> Any:
    """C{judge_session} with one verdict for another."""

    def judge(**known: Any) -> Verdict:
        verdict = judge_session(**known)
        return new if verdict is old else verdict

    return staticmethod(judge)


class MutantTests(SynchronousTestCase):
    """
    What each decision is for: without it, an invariant is broken.
    """

    def dies(
        self, invariant: str, world: type[Exploration], rules: Any, **options: Any
    ) -> None:
        """C{invariant} is broken by these rules, and by no others."""
        scenario = Scenario(**options)
        self.assertEqual(explore(world(scenario)).broken, "")
        found = explore(world(scenario, type("Mutant", (Rules,), rules)))
        self.assertEqual(found.broken.split(":")[0], invariant, found)

    def test_no_join(self) -> None:
        """
        I1: a duplicate of a running call has to join it.
        """
        rules = {"judge_session": mistaken(Verdict.JOIN, Verdict.RUN)}
        self.dies("I1", SessionWorld, rules)

    def test_no_wait(self) -> None:
        """
        I1: nor may it run beside the run of another replica.
        """
        rules = {"judge_session": mistaken(Verdict.WAIT, Verdict.RUN)}
        self.dies("I1", SessionWorld, rules, replicas=2)

    def test_evicted_is_absent(self) -> None:
        """
        I1: what was evicted leaves a tombstone.
        """
        rules = {"judge_session": mistaken(Verdict.NOT_CACHED, Verdict.RUN)}
        self.dies("I1", SessionWorld, rules, evicts=1)

    def test_doubt_runs(self) -> None:
        """
        I1: what may have run is not run again.
        """
        rules = {"judge_session": mistaken(Verdict.IN_DOUBT, Verdict.RUN)}
        self.dies("I1", SessionWorld, rules, leases=1)

    def test_settled_to_run_again(self) -> None:
        """
        I1: a crash leaves C{once} calls in doubt.
        """
        rules = {"settled": staticmethod(lambda delivery: State.RECLAIMABLE)}
        self.dies("I1", SessionWorld, rules, crashes=1)

    def test_floor_of_a_session(self) -> None:
        """
        I1: what was acknowledged never runs again.
        """

        def judge(**known: Any) -> Verdict:
            return judge_session(**{**known, "floor": 0})

        rules = {"judge_session": staticmethod(judge)}
        self.dies("I1", SessionWorld, rules, second=True)

    def test_implicit_session(self) -> None:
        """
        I8: a session is not made by its use.
        """
        rules = {"judge_session": judging(live=True)}
        self.dies("I8", SessionWorld, rules, durable=False, crashes=1)

    def test_sessions_of_others(self) -> None:
        """
        I5: a session serves its principal only.
        """
        rules = {"judge_session": judging(live=True)}
        self.dies("I5", SessionWorld, rules, stranger=True)

    def test_no_fingerprint(self) -> None:
        """
        I4: other parameters get nothing of an id.
        """
        rules = {"judge_session": judging(same=True)}
        self.dies("I4", SessionWorld, rules, reused=True)

    def test_lost_fingerprint(self) -> None:
        """
        I4: nor while the id may run again.
        """

        def judge(**known: Any) -> Verdict:
            if known["state"] is State.RECLAIMABLE:
                known["same"] = True
            return judge_session(**known)

        rules = {"judge_session": staticmethod(judge)}
        self.dies(
            "I4",
            SessionWorld,
            rules,
            delivery="transactional",
            replicas=2,
            crashes=1,
            leases=1,
            reused=True,
            attempts=3,
        )

    def test_no_fence(self) -> None:
        """
        I3: a run that was taken over does not write its answer.
        """
        rules = {"may_complete": staticmethod(lambda state, mine, fence: True)}
        self.dies(
            "I3",
            SessionWorld,
            rules,
            delivery="idempotent",
            replicas=2,
            leases=1,
            attempts=3,
        )

    def test_no_floor(self) -> None:
        """
        I1: with a record goes a floor.
        """
        rules = {"floor_after": staticmethod(lambda floor, timestamp: floor)}
        self.dies("I1", FreeWorld, rules, forgets=1)

    def test_floor_assigned(self) -> None:
        """
        I7: a floor is raised, never set.
        """
        rules = {"floor_after": staticmethod(lambda floor, timestamp: timestamp)}
        self.dies("I7", FreeWorld, rules, forgets=2, ticks=1, second=True)

    def test_floor_is_strict(self) -> None:
        """
        I1: what is exactly at the floor may be what was forgotten.
        """

        def judge(**known: Any) -> Verdict:
            return judge_sessionless(**{**known, "floor": known["floor"] - 1})

        self.dies(
            "I1", FreeWorld, {"judge_sessionless": staticmethod(judge)}, forgets=1
        )

    def test_floor_before_record(self) -> None:
        """
        I17: a record wins over the floor.
        """

        def judge(**known: Any) -> Verdict:
            if known["timestamp"] <= known["floor"]:
                return Verdict.STALE
            return judge_sessionless(**known)

        rules = {"judge_sessionless": staticmethod(judge)}
        self.dies("I17", FreeWorld, rules, forgets=1, second=True)

    def test_restart_without_floor(self) -> None:
        """
        I1: a memory store that starts knows nothing, so nothing older runs.
        """
        rules = {"floor_after": staticmethod(lambda floor, timestamp: floor)}
        self.dies("I1", FreeWorld, rules, durable=False, crashes=1)
