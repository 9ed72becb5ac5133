"""
The checker of histories, and a few histories;
C{python -m tests.proofs histories} has 200.
"""

from __future__ import annotations

from functools import partial
from itertools import permutations
from math import inf
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.proofs.histories import (
    MortalPostgresStore,
    history,
    in_postgres,
    in_sqlite,
)
from tests.proofs.linearizable import Operation, count, linearizable
from tests.proofs.mutants import DURABLE
from tests.servers import postgres
from twisted_rpc.delivery import deduplicate
from twisted_rpc.delivery.table import Verdict, judge_session
from twisted_rpc.testing.simulation import Violation


def add(begun: float, ended: float, by: int, result: int | None = None) -> Operation:
    """An addition."""
    return Operation(begun, ended, ("add", by), result)


def read(begun: float, ended: float, result: int) -> Operation:
    """A look."""
    return Operation(begun, ended, ("read", 0), result)


def open_files() -> int:
    """How many files and connections this process has."""
    return len([*Path("/proc/self/fd").iterdir()])


def explained(operations: list[Operation]) -> bool:
    """
    The definition, tried out: any order, of any that are not known.
    """
    known = [each for each in operations if each.known]
    unknown = [each for each in operations if not each.known]
    for mask in range(1 << len(unknown)):
        chosen = known + [each for n, each in enumerate(unknown) if mask >> n & 1]
        if any(fits(order) for order in permutations(chosen)):
            return True
    return False


def fits(order: tuple[Operation, ...]) -> bool:
    """Whether an order keeps to the times, and gives the answers."""
    state = 0
    for number, each in enumerate(order):
        if any(later.ended < each.begun for later in order[number + 1 :]):
            return False
        state, answer = count(state, each.what)
        if each.known and answer != each.result:
            return False
    return True


class CheckerTests(SynchronousTestCase):
    """
    L{linearizable}.
    """

    def check(self, right: bool, *operations: Operation) -> None:
        """A history is, or is not."""
        self.assertEqual(linearizable(operations, count, 0), right)

    def test_one_after_the_other(self) -> None:
        """
        Each sees what came before.
        """
        self.check(True, add(0, 1, 2, 2), add(2, 3, 3, 5), read(4, 5, 5))
        self.check(False, add(0, 1, 2, 2), read(2, 3, 0))

    def test_at_the_same_time(self) -> None:
        """
        Those that overlap come in either order, but all see the same one.
        """
        self.check(True, add(0, 3, 2, 5), add(1, 2, 3, 3), read(1, 3, 3))
        self.check(False, add(0, 3, 2, 5), add(1, 2, 3, 5))

    def test_unknown(self) -> None:
        """
        What nobody knows of may have happened, late or never.
        """
        self.check(True, add(0, inf, 2), read(1, 2, 0), read(3, 4, 2))
        self.check(True, add(0, inf, 2), read(1, 2, 0))
        self.check(False, add(0, inf, 2), read(1, 2, 2), read(3, 4, 0))

    def test_twice(self) -> None:
        """
        What happened twice is seen.
        """
        self.check(False, add(0, 1, 2, 2), read(2, 3, 4))

    times = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)
    operations = st.builds(
        lambda span, what, result, known: Operation(
            span[0], span[1] + 0.5 if known else inf, what, result if known else None
        ),
        times,
        st.sampled_from([("add", 1), ("add", 2), ("read", 0)]),
        st.integers(0, 4),
        st.sampled_from([True, True, True, False]),
    )

    @settings(max_examples=150, deadline=None)
    @given(history=st.lists(operations, max_size=5))
    def test_definition(self, history: list[Operation]) -> None:
        """
        It says what trying all orders says.
        """
        self.assertEqual(linearizable(history, count, 0), explained(history))


class HistoryTests(SynchronousTestCase):
    """
    Histories of the real client and the real server.
    """

    def test_linearizable(self) -> None:
        """
        They are.
        """
        for seed in range(2):
            history(seed)

    def test_double_execution(self) -> None:
        """
        A server that runs some calls twice is found within ten histories.
        """

        def judge(**known: Any) -> Verdict:
            verdict = judge_session(**known)
            twice = verdict in {Verdict.JOIN, Verdict.REPLAY}
            return Verdict.RUN if twice else verdict

        self.patch(deduplicate, "judge_session", judge)

        def ten() -> None:
            for seed in range(10):
                history(seed)

        found = self.assertRaises(Violation, ten)
        self.assertIn("is not linearizable", str(found))


class DurableHistoryTests(SynchronousTestCase):
    """
    Histories over stores that outlive their servers, half of their keys in the
    rows of the database.
    """

    def test_sqlite(self) -> None:
        """
        They are linearizable over a file, of one server and of two.
        """
        for seed in range(2):
            operations, _ = history(seed, in_sqlite)
            self.assertGreater(operations, 1000)

    def test_postgresql(self) -> None:
        """
        They are over PostgreSQL, of servers that end and leave no connection.
        """
        places = partial(in_postgres, postgres().url)
        made: list[MortalPostgresStore] = []
        begin = MortalPostgresStore.start

        def start(store: MortalPostgresStore, reactor: Any) -> Any:
            made.append(store)
            return begin(store, reactor)

        self.patch(MortalPostgresStore, "start", start)
        # What the first has opened, as a reactor does, stays.
        history(0, places, clients=1, operations=1)
        before = open_files()
        operations, _ = history(1, places, clients=3, operations=100)
        self.assertGreater(operations, 100)
        self.assertGreater(len(made), 3)
        self.assertEqual(open_files(), before)

    def finds(self, name: str) -> None:
        """A mistake in the store is found within ten histories."""

        def ten() -> None:
            for seed in range(10):
                history(seed, in_sqlite)

        for where, attribute, mistake in DURABLE[name]:
            self.patch(where, attribute, mistake)
        found = self.assertRaises(Violation, ten)
        self.assertIn("is not linearizable", str(found))

    def test_call_that_runs_again(self) -> None:
        """
        What was cut in half by a crash runs again.
        """
        self.finds("takeover_reexecutes")

    def test_answer_that_is_not_recorded(self) -> None:
        """
        An effect is committed without its answer.
        """
        self.finds("two_commits")
