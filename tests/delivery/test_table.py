"""
Tests for L{twisted_rpc.delivery.table}: every input, against the rows of the
specification written down a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.requests import Caller, FakeMethod
from twisted_rpc.delivery.deduplicate import deduplicating
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import Record
from twisted_rpc.delivery.table import (
    Owner,
    State,
    Verdict,
    floor_after,
    judge_session,
    judge_sessionless,
    may_complete,
    settled,
)
from twisted_rpc.errors import Code, RPCError

DELIVERIES = ("readonly", "idempotent", "once", "transactional")


class Case(NamedTuple):
    """What is known when a request comes."""

    live: bool
    seq: int
    floor: int
    window: int
    state: State
    same: bool
    delivery: str
    owner: Owner

    @property
    def record(self) -> bool:
        """There is a record, and this class of method has one at all."""
        return self.delivery != "readonly" and self.state is not State.ABSENT

    @property
    def running(self) -> bool:
        """A record says that it runs."""
        return self.record and self.state is State.IN_PROGRESS


Row = tuple[str, Callable[[Case], bool], Verdict]

#: Rows that are the same for requests with and without a session.
COMMON: list[Row] = [
    ("forgotten", lambda c: c.record and c.state is State.FORGOTTEN, Verdict.STALE),
    ("5", lambda c: c.record and not c.same, Verdict.ID_REUSED),
    ("6", lambda c: c.record and c.state is State.DONE, Verdict.REPLAY),
    ("7", lambda c: c.record and c.state is State.TOMBSTONE, Verdict.NOT_CACHED),
    ("8", lambda c: c.record and c.state is State.IN_DOUBT, Verdict.IN_DOUBT),
    ("9", lambda c: c.running and c.owner is Owner.HERE, Verdict.JOIN),
    ("10", lambda c: c.running and c.owner is Owner.ELSEWHERE, Verdict.WAIT),
    ("11", lambda c: c.running and c.delivery == "once", Verdict.IN_DOUBT),
]

OF_A_SESSION: list[Row] = [
    ("2", lambda c: not c.live, Verdict.SESSION_UNKNOWN),
    ("3", lambda c: c.seq <= c.floor, Verdict.STALE),
    ("4", lambda c: c.seq - c.floor > c.window, Verdict.BEYOND_WINDOW),
    *COMMON,
    ("15", lambda c: True, Verdict.RUN),
]

WITHOUT_ONE: list[Row] = [
    *COMMON,
    (
        "12",
        lambda c: c.delivery != "readonly" and not c.record and c.seq <= c.floor,
        Verdict.STALE,
    ),
    ("15", lambda c: True, Verdict.RUN),
]


def cases() -> Iterator[Case]:
    """Every combination of small values."""
    everything = product(
        (True, False),
        range(1, 7),
        range(4),
        (1, 2),
        State,
        (True, False),
        DELIVERIES,
        Owner,
    )
    return (Case(*each) for each in everything)


def first(rows: list[Row], case: Case) -> Verdict:
    """The first row that applies answers."""
    return next(verdict for _, applies, verdict in rows if applies(case))


class TableTests(SynchronousTestCase):
    """
    The decision table.
    """

    def test_session(self) -> None:
        """
        A request of a session is judged by the first row that applies.
        """
        for case in cases():
            self.assertIs(
                judge_session(**case._asdict()), first(OF_A_SESSION, case), case
            )

    def test_sessionless(self) -> None:
        """
        A request without a session is judged by the first row that applies, and
        its record wins over the floor.
        """
        for case in cases():
            verdict = judge_sessionless(
                timestamp=float(case.seq),
                floor=float(case.floor),
                state=case.state,
                same=case.same,
                delivery=case.delivery,
                owner=case.owner,
            )
            self.assertIs(verdict, first(WITHOUT_ONE, case), case)

    def test_every_row_is_used(self) -> None:
        """
        No row of the statement above is dead, and every verdict is given.
        """
        used: set[str] = set()
        given: set[Verdict] = set()
        for case in cases():
            for rows in (OF_A_SESSION, WITHOUT_ONE):
                name, _, verdict = next(row for row in rows if row[1](case))
                used.add(name)
                given.add(verdict)
        self.assertEqual(used, {row[0] for row in OF_A_SESSION + WITHOUT_ONE})
        self.assertEqual(given, set(Verdict))

    def test_owner_gone(self) -> None:
        """
        A call that may have run once never runs again; others may.
        """
        self.assertEqual(
            [settled(each) for each in DELIVERIES],
            [State.RECLAIMABLE, State.RECLAIMABLE, State.IN_DOUBT, State.RECLAIMABLE],
        )

    def test_completion(self) -> None:
        """
        Only the claim that holds the record writes its answer, also late, while
        it is only in doubt.
        """
        able = {
            (state, mine, fence)
            for state, mine, fence in product(State, range(1, 4), range(1, 4))
            if may_complete(state, mine, fence)
        }
        open_states = (State.IN_PROGRESS, State.IN_DOUBT)
        self.assertEqual(able, {(s, f, f) for s in open_states for f in range(1, 4)})

    def test_floor(self) -> None:
        """
        A floor never falls, and covers what is dropped.
        """
        for floor, timestamp in product(range(4), range(4)):
            after = floor_after(floor, timestamp)
            self.assertGreaterEqual(after, floor)
            self.assertGreaterEqual(after, timestamp)
            self.assertIn(after, (floor, timestamp))


#: How each verdict that is no run shows in the answer.
SHOWN = {
    Verdict.STALE: Code.STALE_REQUEST,
    Verdict.BEYOND_WINDOW: Code.RESOURCE_EXHAUSTED,
    Verdict.ID_REUSED: Code.ID_REUSED,
    Verdict.NOT_CACHED: Code.RESULT_NOT_CACHED,
    Verdict.IN_DOUBT: Code.OUTCOME_UNKNOWN,
    Verdict.JOIN: Code.IN_PROGRESS,
}


class FastPathTests(SynchronousTestCase):
    """
    The shortcut that most requests of a session take.
    """

    def outcome(self, case: Case) -> Verdict:
        """What L{deduplicating} does with a request."""
        store = MemoryStore(window=case.window)
        caller = Caller(store)
        ran: list[Any] = []

        def run(request: Any) -> bytes:
            ran.append(request)
            return b"1"

        respond = deduplicating(store)(run)
        session = caller.session
        assert session is not None
        session.floor = case.floor
        method = FakeMethod(delivery=case.delivery)
        if case.state is not State.ABSENT:
            record = Record(method.full_name, b"[1]" if case.same else b"[2]")
            record.state = case.state
            record.outcome = b"0"
            session.records[case.seq] = record
        request = caller.request(case.seq, "[1]", method=method)
        try:
            answer = respond(request)
        except RPCError as error:
            self.assertEqual(ran, [])
            return next(
                verdict for verdict, code in SHOWN.items() if code is error.code
            )
        self.assertEqual(answer, b"1" if ran else b"0")
        return Verdict.RUN if ran else Verdict.REPLAY

    def test_agrees(self) -> None:
        """
        For all small values a request runs if and only if the table says so, and
        gets the table's answer if not.
        """
        checked = 0
        for case in cases():
            if (
                case.live
                and case.owner is Owner.HERE
                # Those have no record, and do not come this way.
                and case.delivery != "readonly"
            ):
                self.assertIs(self.outcome(case), judge_session(**case._asdict()), case)
                checked += 1
        self.assertGreater(checked, 500)
