"""
A few seeds of the simulation; C{python -m tests.proofs simulation} has 10,000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.proofs.simulated import simulate
from tests.taken import taken
from twisted_rpc.client.calls import Call
from twisted_rpc.client.link import Link
from twisted_rpc.delivery import deduplicate
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import Record
from twisted_rpc.delivery.table import Verdict, judge_session
from twisted_rpc.server.straight import StraightProtocol
from twisted_rpc.testing.simulation import Violation, for_each_seed
from twisted_rpc.wire.alike import BEGINNING, PARAMS
from twisted_rpc.wire.messages import REPLY_RESULT, CallTemplate

#: Seeds that each run of the tests simulates.
SEEDS = 30

#: Seeds within which a mutant is found.
ENOUGH = 60


class SimulatedTests(SynchronousTestCase):
    """
    I1 to I18, over everything that may happen.
    """

    def test_invariants(self) -> None:
        """
        They hold, also of calls that come together.
        """
        counter = taken(self)
        for_each_seed(simulate, SEEDS)
        self.assertGreater(counter.frames, 100)

    def test_same_seed_same_trace(self) -> None:
        """
        Each seed makes the same events again.
        """
        for seed in range(0, 60, 12):
            one, again = simulate(seed), simulate(seed)
            self.assertEqual(one.trace.digest, again.trace.digest, seed)


class MutantTests(SynchronousTestCase):
    """
    Faults in the real code are seen.
    """

    def finds(self, *invariants: str) -> None:
        """One of the invariants is found broken before long."""
        for seed in range(ENOUGH):
            try:
                simulate(seed)
            except Violation as violation:
                found = str(violation).split(": ")[1]
                self.assertIn(found, invariants, str(violation)[:200])
                return
        self.fail(f"no violation in {ENOUGH} seeds")

    def mistake(self, old: Verdict, new: Verdict) -> None:
        """One verdict for another."""

        def mistaken(**known: Any) -> Verdict:
            verdict = judge_session(**known)
            return new if verdict is old else verdict

        self.patch(deduplicate, "judge_session", mistaken)

    def test_no_join(self) -> None:
        """
        A duplicate runs beside the first.
        """
        self.mistake(Verdict.JOIN, Verdict.RUN)
        self.finds("I1", "I3")

    def test_no_replay(self) -> None:
        """
        A duplicate runs after the first.
        """
        self.mistake(Verdict.REPLAY, Verdict.RUN)
        self.finds("I1", "I3")

    def test_no_floor(self) -> None:
        """
        What was acknowledged runs again.
        """
        self.mistake(Verdict.STALE, Verdict.RUN)
        self.finds("I1", "I4", "I7")

    def test_no_fingerprint(self) -> None:
        """
        Other parameters get the answer of an id.
        """
        self.patch(Record, "same", lambda *_: True)
        self.finds("I4")

    def test_sessions_of_everybody(self) -> None:
        """
        A session may be resumed by whoever knows it.
        """
        attach = MemoryStore.attach

        def any_principal(store: MemoryStore, principal: str, wanted: Any) -> Any:
            session = store.sessions.get(wanted)
            return attach(store, session.principal if session else principal, wanted)

        self.patch(MemoryStore, "attach", any_principal)
        self.finds("I4", "I5")

    def test_floor_that_starts_at_nothing(self) -> None:
        """
        A restarted store runs what is older than itself.
        """
        self.patch(MemoryStore, "start", lambda *_: None)
        self.finds("I1", "I3")

    def test_second_id(self) -> None:
        """
        The client makes a call anew that may have run.
        """
        self.patch(Call, "repeatable", True)
        self.finds("I1", "I14")

    def test_early_ack(self) -> None:
        """
        The client acknowledges what it may still send again.
        """
        refresh = Link._refresh

        def early(link: Link) -> None:
            refresh(link)
            link._ack = link._next_seq

        self.patch(Link, "_refresh", early)
        self.finds("I7", "I16")

    def test_straight_way_forgets(self) -> None:
        """
        What came with other calls is run, and not kept.
        """
        go = StraightProtocol._go_straight

        def forgetting(protocol: StraightProtocol, *some: Any) -> Any:
            gone = go(protocol, *some)
            assert protocol.session is not None
            protocol.session.noted.clear()
            return gone

        self.patch(StraightProtocol, "_go_straight", forgetting)
        self.finds("I1", "I3")

    def straight(self, mistake: Callable[[StraightProtocol, bytes, Any], Any]) -> None:
        """What the loop over frames comes to is changed."""
        go = StraightProtocol._go_straight

        def mistaken(protocol: StraightProtocol, *some: Any) -> Any:
            return mistake(protocol, some[3], go(protocol, *some))

        self.patch(StraightProtocol, "_go_straight", mistaken)

    def test_method_of_the_call_before(self) -> None:
        """
        A call that goes the long way, behind one that does not, runs the method of
        that one: the text that names its own is taken for known.
        """

        def mistake(protocol: StraightProtocol, data: bytes, gone: Any) -> Any:
            taken, offset, rest, (_, method, tail) = gone
            connection = protocol.connection
            begin = BEGINNING + f"{connection.prefix}{connection.seq + 1}".encode()
            start = offset + 4 + len(begin)
            middle = data[start : data.find(PARAMS, start) + len(PARAMS)]
            return taken, offset, rest, (middle, method, tail)

        self.straight(mistake)
        self.finds("I4")

    def test_answer_of_the_call_before(self) -> None:
        """
        Two calls get each other's answers.
        """

        def mistake(protocol: StraightProtocol, _: bytes, gone: Any) -> Any:
            out = protocol._out
            if len(out) >= 10 and out[-8] == out[-3] == REPLY_RESULT:
                out[-7], out[-2] = out[-2], out[-7]
            return gone

        self.straight(mistake)
        self.finds("I2")

    def test_record_of_the_call_before(self) -> None:
        """
        A call is kept under the number of the next one.
        """

        def mistake(protocol: StraightProtocol, _: bytes, gone: Any) -> Any:
            assert protocol.session is not None
            noted, seq = protocol.session.noted, protocol.connection.seq
            if seq in noted:
                noted[seq + 1] = noted.pop(seq)
            return gone

        self.straight(mistake)
        self.finds("I1", "I2", "I3", "I4")

    def test_parameters_of_the_call_before(self) -> None:
        """
        A client writes the parameters of one call under the id of the next.
        """
        first = CallTemplate.first
        before = [b"[]"]

        def mistaken(
            template: Any, request_id: bytes, params: bytes, *more: Any
        ) -> Any:
            before.append(params)
            return first(template, request_id, before[-2], *more)

        self.patch(CallTemplate, "first", mistaken)
        self.finds("I13")

    def test_result_of_the_call_before(self) -> None:
        """
        A client takes the answer to one call for that to another.
        """
        answered = Call.answered
        before: list[Any] = []

        def mistaken(call: Call, message: Any) -> None:
            before.append(message)
            answered(call, before[-2:][0])

        self.patch(Call, "answered", mistaken)
        self.finds("I2", "I13")
