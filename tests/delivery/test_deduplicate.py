"""
Tests for L{twisted_rpc.delivery.deduplicate}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.requests import START, Caller, FakeMethod
from twisted_rpc.call import Answer, Request
from twisted_rpc.delivery.deduplicate import deduplicating
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.limits import KIB


class DeduplicationTestCase(SynchronousTestCase):
    """
    What tests of L{deduplicating} need.

    @ivar ran: the requests that reached the implementation.
    @ivar answers: what it answers, in order; a Deferred that has not fired
        when there are no more.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.use(MemoryStore())

    def use(self, store: MemoryStore) -> None:
        """Record calls there."""
        self.store = store
        self.ran: list[Request] = []
        self.answers: list[Any] = []
        self.running: list[Deferred[bytes]] = []
        self.respond = deduplicating(store)(self.run_it)
        self.caller = self.connect()

    def connect(self, principal: str = "ada", *, plain: bool = False) -> Caller:
        """A connection."""
        return Caller(self.store, principal=principal, plain=plain, clock=self.clock)

    def run_it(self, request: Request) -> Answer:
        """The implementation."""
        self.ran.append(request)
        if not self.answers:
            self.running.append(Deferred())
            return self.running[-1]
        answer: Answer | BaseException = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask(self, call: int | str = 1, params: str = "[1]", **options: Any) -> Answer:
        """A request on the caller's connection."""
        return self.respond(self.caller.request(call, params, **options))

    def later(self, *args: Any, **options: Any) -> Deferred[bytes]:
        """One that has to wait."""
        answer = self.ask(*args, **options)
        assert isinstance(answer, Deferred)
        self.assertNoResult(answer)
        return answer

    def refused(self, code: Code, *args: Any, **options: Any) -> RPCError:
        """One that fails at once with this code, without a run."""
        before = len(self.ran)
        error: RPCError = self.assertRaises(RPCError, self.ask, *args, **options)
        self.assertIs(error.code, code, error)
        self.assertEqual(len(self.ran), before)
        return error

    def failed(self, answer: Deferred[bytes]) -> RPCError:
        """How it failed."""
        error: RPCError = self.failureResultOf(answer, RPCError).value
        return error


class RunningTests(DeduplicationTestCase):
    """
    A duplicate of a call that runs.
    """

    def test_joins(self) -> None:
        """
        It joins the run, and all get its bytes.
        """
        answers = [self.later() for _ in range(10)]
        self.assertEqual(len(self.ran), 1)
        self.running[0].callback(b'"ok"')
        self.assertEqual(
            [self.successResultOf(each) for each in answers], [b'"ok"'] * 10
        )
        self.assertEqual(len(self.ran), 1)

    def test_joins_from_another_connection(self) -> None:
        """
        Also where the session has moved to another connection.
        """
        first = self.later()
        again = self.connect()
        again.session = self.caller.session
        self.caller = again
        second = self.later()
        self.running[0].callback(b"1")
        self.assertEqual(self.successResultOf(second), b"1")
        self.assertEqual(self.successResultOf(first), b"1")
        self.assertEqual(len(self.ran), 1)

    def test_all_fail(self) -> None:
        """
        If the run fails, all who wait get errors of their own.
        """
        answers = [self.later() for _ in range(3)]
        self.running[0].errback(RPCError(Code.ABORTED, "no", error_id="e1"))
        errors = [self.failed(each) for each in answers]
        self.assertEqual([each.error_id for each in errors], ["e1"] * 3)
        self.assertEqual(len({id(each) for each in errors}), 3)

    def test_bound_of_waiters(self) -> None:
        """
        So many may wait; one more is told that it runs, and when to come again.
        """
        self.use(MemoryStore(waiters=3))
        answers = [self.later() for _ in range(3)]
        error = self.refused(Code.IN_PROGRESS)
        self.assertEqual((error.executed, error.retry_after), ("unknown", 0.1))
        answers[1].cancel()
        self.failureResultOf(answers[1], CancelledError)
        last = self.later()
        self.running[0].callback(b"1")
        self.assertEqual(self.successResultOf(last), b"1")
        self.assertEqual(len(self.ran), 1)

    def test_other_parameters(self) -> None:
        """
        With other parameters it is refused, and learns nothing of the run.
        """
        first = self.later(1, "[1]")
        error = self.refused(Code.ID_REUSED, 1, "[2]")
        self.assertEqual((error.executed, error.data), ("no", None))
        self.running[0].callback(b"1")
        self.assertEqual(self.successResultOf(first), b"1")

    def test_within_the_implementation(self) -> None:
        """
        A duplicate that an implementation itself brings about, before it has
        returned, is told that the call runs.
        """
        seen: list[RPCError] = []

        def run_it(_: Request) -> Answer:
            seen.append(self.assertRaises(RPCError, self.ask))
            return b"1"

        self.respond = deduplicating(self.store)(run_it)
        self.assertEqual(self.ask(), b"1")
        self.assertEqual([each.code for each in seen], [Code.IN_PROGRESS])


class LeavingTests(DeduplicationTestCase):
    """
    Who waits may leave.
    """

    def test_one_leaves(self) -> None:
        """
        The run goes on for the others.
        """
        first, second = self.later(), self.later()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertFalse(self.ran[0].cancelled)
        self.running[0].callback(b"1")
        self.assertEqual(self.successResultOf(second), b"1")

    def test_all_leave(self) -> None:
        """
        When the last has left, the run is cancelled; how it ends is recorded.
        """
        run: Deferred[bytes] = Deferred()
        run.addErrback(lambda _: _raise(RPCError(Code.CANCELLED, "gone")))
        self.answers = [run]
        first, second = self.later(), self.later()
        for each in (second, first):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertTrue(self.ran[0].cancelled)
        error = self.refused(Code.CANCELLED)
        self.assertEqual((error.executed, error.replayed), ("yes", True))

    def test_run_that_is_not_stopped(self) -> None:
        """
        An implementation that cannot be cancelled runs to its end; that is
        recorded, and whoever asks meanwhile joins.
        """
        stubborn: Deferred[bytes] = Deferred()
        stubborn.cancel = lambda: None  # type: ignore[method-assign]
        self.answers = [stubborn]
        first = self.later()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        again = self.later()
        stubborn.callback(b"7")
        self.assertEqual(self.successResultOf(again), b"7")
        self.assertEqual((self.ask(), len(self.ran)), (b"7", 1))

    def test_ends_while_cancelled(self) -> None:
        """
        An implementation that answers its cancellation with a result has that
        recorded.
        """
        answer: Deferred[bytes] = Deferred(lambda it: it.callback(b"3"))
        self.answers = [answer]
        first = self.later()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual((self.ask(), len(self.ran)), (b"3", 1))

    def test_nobody_waits(self) -> None:
        """
        A run whose waiters' connection is gone is recorded all the same (D11).
        """
        self.later()
        self.running[0].callback(b"1")
        self.assertEqual((self.ask(), len(self.ran)), (b"1", 1))


class AfterwardsTests(DeduplicationTestCase):
    """
    A duplicate of a call that has ended.
    """

    def test_same_bytes(self) -> None:
        """
        It gets the recorded bytes, marked as a repetition, and runs nothing.
        """
        self.answers = [b'{"sum":  8}']
        self.assertEqual(self.ask(), b'{"sum":  8}')
        for _ in range(5):
            request = self.caller.request(1)
            self.assertEqual(self.respond(request), b'{"sum":  8}')
            self.assertTrue(request.replayed)
        self.assertEqual(len(self.ran), 1)
        self.assertFalse(self.ran[0].replayed)

    def test_after_a_deferred(self) -> None:
        """
        So does one of a call that took its time.
        """
        self.later()
        self.running[0].callback(b"8")
        self.assertEqual((self.ask(), len(self.ran)), (b"8", 1))

    def test_errors_are_results(self) -> None:
        """
        An error that an implementation raised is recorded and repeated, and
        holds nothing of the implementation.
        """
        error = RPCError(Code.NOT_FOUND, "no account", type="NoAccount", data={"id": 1})
        self.answers = [error]
        self.assertIs(self.assertRaises(RPCError, self.ask), error)
        again = self.refused(Code.NOT_FOUND)
        self.assertEqual(
            (again.message, again.executed, again.type, again.data, again.replayed),
            ("no account", "yes", "NoAccount", {"id": 1}, True),
        )
        record = self.caller.session.records[1]  # type: ignore[union-attr]
        self.assertIsNone(record.outcome.__traceback__)
        self.assertFalse(record.outcome.replayed)

    def test_late_errors_are_results(self) -> None:
        """
        Also one that comes later.
        """
        first = self.later()
        self.running[0].errback(RPCError(Code.ABORTED, "conflict"))
        self.failed(first)
        self.assertTrue(self.refused(Code.ABORTED).replayed)

    def test_other_parameters(self) -> None:
        """
        With other parameters it is refused, nothing of the answer leaks, and
        the record is untouched.
        """
        self.answers = [b'"secret"']
        self.ask(1, "[1]")
        for params in ("[2]", "[1, 2]", "[]", "[" + "1" * 100 + "]"):
            error = self.refused(Code.ID_REUSED, 1, params)
            self.assertNotIn("secret", str(error))
            self.assertEqual(error.executed, "no")
        self.assertEqual(self.ask(1, "[1]"), b'"secret"')

    def test_another_method(self) -> None:
        """
        Another method under the same id is refused alike.
        """
        self.answers = [b"1"]
        self.ask()
        self.refused(Code.ID_REUSED, method=FakeMethod(wire_name="refund"))
        self.refused(Code.ID_REUSED, method=FakeMethod(service="Shop"))

    def test_large_parameters(self) -> None:
        """
        Of long parameters every byte counts.
        """
        self.answers = [b"1"]
        text = '["' + "x" * 10_000 + '"]'
        self.ask(1, text)
        self.refused(Code.ID_REUSED, 1, text.replace("x" * 9 + '"', "x" * 8 + 'y"'))
        self.assertEqual(self.ask(1, text), b"1")

    def test_refusals_are_not_recorded(self) -> None:
        """
        A refusal leaves nothing: the same id may run afterwards, with any
        parameters.
        """
        self.answers = [refusal(Code.RESOURCE_EXHAUSTED, "busy"), b"1"]
        self.assertRaises(RPCError, self.ask)
        self.assertEqual(self.caller.session.records, {})  # type: ignore[union-attr]
        before = self.store.bytes
        self.assertEqual(self.ask(1, "[2]"), b"1")
        self.assertEqual(len(self.ran), 2)
        self.assertGreater(self.store.bytes, before)

    def test_late_refusals_are_not_recorded(self) -> None:
        """
        Nor does one that comes later, when the call leaves a queue; all who
        wait are told that it did not run.
        """
        first, second = self.later(), self.later()
        before = self.store.bytes
        self.running[0].errback(refusal(Code.DEADLINE_EXCEEDED, "in the queue"))
        for each in (first, second):
            self.assertEqual(self.failed(each).executed, "no")
        self.assertLess(self.store.bytes, before)
        self.answers = [b"1"]
        self.assertEqual((self.ask(), len(self.ran)), (b"1", 2))

    def test_tombstone(self) -> None:
        """
        When the answer is no longer kept, the caller is told that it ran; with
        other parameters it is not told that.
        """
        self.use(MemoryStore(session_bytes=2_000))
        self.answers = [b"x" * 1500, b"y" * 1500]
        self.ask(1)
        self.ask(2)
        error = self.refused(Code.RESULT_NOT_CACHED, 1)
        self.assertEqual(error.executed, "yes")
        self.refused(Code.ID_REUSED, 1, "[2]")

    def test_stale(self) -> None:
        """
        At or below the floor nothing runs.
        """
        self.answers = [b"1"] * 3
        for seq in (1, 2, 3):
            self.ask(seq)
        assert self.caller.session is not None
        self.store.release(self.caller.session, 3)
        for seq in (1, 2):
            self.assertEqual(self.refused(Code.STALE_REQUEST, seq).executed, "unknown")
        self.assertEqual(self.ask(3), b"1")
        self.assertEqual(len(self.ran), 3)

    def test_stale_while_it_runs(self) -> None:
        """
        Also while it runs, acknowledged by mistake: the run ends, its waiter is
        answered, and the record goes.
        """
        first = self.later(1)
        assert self.caller.session is not None
        self.store.release(self.caller.session, 2)
        self.refused(Code.STALE_REQUEST, 1)
        self.running[0].callback(b"1")
        self.assertEqual(self.successResultOf(first), b"1")
        self.assertEqual(self.caller.session.records, {})

    def test_window(self) -> None:
        """
        Beyond the window nothing runs, and the caller may come again.
        """
        self.use(MemoryStore(window=4))
        self.answers = [b"1"] * 2
        self.ask(4)
        error = self.refused(Code.RESOURCE_EXHAUSTED, 5)
        self.assertEqual((error.executed, error.retry_after), ("no", 0.1))
        assert self.caller.session is not None
        self.store.release(self.caller.session, 2)
        self.assertEqual(self.ask(5), b"1")

    def test_interrupted(self) -> None:
        """
        If something other than an error of a call passes through, the call has
        been begun, and does not run again.
        """
        self.answers = [KeyboardInterrupt(), b"1"]
        self.assertRaises(KeyboardInterrupt, self.ask)
        self.assertEqual(self.refused(Code.INTERNAL).executed, "yes")
        self.answers = []
        first = self.later(2)
        self.running[0].errback(ValueError("a secret"))
        self.assertEqual(self.failed(first).message, "Internal error")
        self.refused(Code.INTERNAL, 2)


class FullTests(DeduplicationTestCase):
    """
    A store that is full.
    """

    def test_refuses(self) -> None:
        """
        Full with what runs, it refuses new calls, unrun; those it knows are
        answered; and there is room again when some have ended.
        """
        self.use(MemoryStore(total_bytes=64 * KIB, window=1000))
        seq = 0
        while self.store.bytes < self.store.full:
            seq += 1
            self.later(seq)
        self.assertLessEqual(self.store.bytes, 64 * KIB)
        error = self.refused(Code.RESOURCE_EXHAUSTED, seq + 1)
        self.assertEqual((error.executed, error.retry_after), ("no", 1.0))
        joined = self.later(1)
        self.running[0].callback(b"1")
        self.assertEqual(self.successResultOf(joined), b"1")
        self.assertEqual(self.ask(1), b"1")
        self.refused(Code.RESOURCE_EXHAUSTED, seq + 1)
        self.refused(Code.ID_REUSED, 2, "[2]")
        assert self.caller.session is not None
        self.store.release(self.caller.session, 2)
        self.later(seq + 1)
        plain = self.caller = self.connect(plain=True)
        self.refused(Code.RESOURCE_EXHAUSTED, "a")
        self.assertEqual(self.store.ledger(plain.principal).records, {})

    def test_within_bounds(self) -> None:
        """
        Whatever is answered, the bytes counted stay within the cap.
        """
        self.use(MemoryStore(total_bytes=64 * KIB, window=1000))
        self.answers = [
            b"x" * size for size in (10, 30_000, 70_000, 30_000, 60_000, 20)
        ]
        for seq in range(1, 7):
            self.ask(seq)
            self.assertLessEqual(self.store.bytes, 64 * KIB)
        self.assertEqual(len(self.ran), 6)

    def test_full_and_synchronous(self) -> None:
        """
        A call that evicts to be remembered, and answers at once, is recorded.
        """
        self.use(MemoryStore(total_bytes=64 * KIB, window=1000))
        self.answers = [b"x" * (64 * KIB - 2000), b"1", RPCError(Code.ABORTED, "no")]
        self.ask(1)
        seq = 1
        while self.store.bytes < self.store.full:
            seq += 1
            if len(self.answers) == 2:
                self.answers.insert(0, b"")
            self.ask(seq)
        self.assertEqual(self.ask(seq + 1), b"1")
        self.refused(Code.RESULT_NOT_CACHED, 1)
        self.assertRaises(RPCError, self.ask, seq + 2)
        self.assertTrue(self.refused(Code.ABORTED, seq + 2).replayed)


class SessionlessTests(DeduplicationTestCase):
    """
    Requests without a session.
    """

    def setUp(self) -> None:
        super().setUp()
        self.store.start(START - 1)
        self.caller = self.connect(plain=True)

    def test_same_bytes(self) -> None:
        """
        The same id again gets the recorded bytes.
        """
        self.answers = [b"8"]
        self.assertEqual(self.ask("a", timestamp=START), b"8")
        request = self.caller.request("a", timestamp=START)
        self.assertEqual(self.respond(request), b"8")
        self.assertTrue(request.replayed)
        self.assertEqual(len(self.ran), 1)

    def test_joins(self) -> None:
        """
        While it runs the duplicate joins, from any connection of the principal.
        """
        first = self.later("a")
        self.caller = self.connect(plain=True)
        second = self.later("a")
        self.running[0].callback(b"8")
        self.assertEqual(
            [self.successResultOf(each) for each in (first, second)], [b"8"] * 2
        )
        self.assertEqual(len(self.ran), 1)

    def test_other_parameters(self) -> None:
        """
        Other parameters under the id are refused.
        """
        self.answers = [b"8"]
        self.ask("a")
        self.refused(Code.ID_REUSED, "a", "[2]")

    def test_of_another_principal(self) -> None:
        """
        The id of another principal is another id.
        """
        self.answers = [b"1", b"2"]
        self.ask("a")
        self.caller = self.connect("eve", plain=True)
        self.assertEqual(self.ask("a"), b"2")
        self.assertEqual(len(self.ran), 2)

    def test_id_of_a_session(self) -> None:
        """
        An id that looks like a session's has nothing to do with that session.
        """
        ada = self.connect()
        self.answers = [b"1", b"2"]
        self.respond(ada.request(1))
        assert ada.session is not None
        self.assertEqual(self.ask(f"{ada.session.id}:1"), b"2")

    def test_before_the_start(self) -> None:
        """
        What was asked before the server started never runs; the sentence says
        how far the clocks are apart.
        """
        self.clock.advance(5)
        error = self.refused(Code.STALE_REQUEST, "a", timestamp=START - 1)
        self.assertEqual(error.executed, "unknown")
        self.assertEqual(
            error.message,
            "STALE_REQUEST: this call may have run; its record is gone; the caller's"
            " clock is 6 s behind the server's; see --sessionless-clock",
        )

    def test_stale_by_less(self) -> None:
        """
        Clocks that agree are not blamed.
        """
        self.store.start(START)
        error = self.refused(Code.STALE_REQUEST, "a", timestamp=START)
        self.assertNotIn("clock", error.message)

    def test_forgotten(self) -> None:
        """
        What was forgotten never runs again; what is younger does.
        """
        self.answers = [b"1", b"2"]
        self.ask("a", timestamp=START + 1)
        self.clock.advance(1000)
        self.store.expire(self.clock.seconds(), self.caller.wall())
        self.refused(Code.STALE_REQUEST, "a", timestamp=START + 1)
        self.assertEqual(self.ask("b", timestamp=START + 2), b"2")

    def test_record_wins_over_floor(self) -> None:
        """
        A request with a record is answered from it, also below the floor.
        """
        self.answers = [b"1", b"2"]
        self.ask("old", timestamp=START + 1)
        ledger = self.store.ledger("ada")
        ledger.floor = START + 5
        self.assertEqual(self.ask("old", timestamp=START + 1), b"1")
        self.refused(Code.STALE_REQUEST, "new", timestamp=START + 1)
        first = self.later_below(ledger, START + 9)
        self.assertEqual(self.successResultOf(first), b"3")

    def later_below(self, ledger: Any, timestamp: float) -> Deferred[bytes]:
        """A call above the floor, joined when it is below."""
        self.answers = []
        self.later("slow", timestamp=timestamp)
        ledger.floor = timestamp + 1
        joined = self.later("slow", timestamp=timestamp)
        self.running[0].callback(b"3")
        return joined

    def test_refusals(self) -> None:
        """
        A refusal leaves neither a record nor a higher floor.
        """
        self.answers = [refusal(Code.UNAVAILABLE, "draining"), b"1"]
        self.assertRaises(RPCError, self.ask, "a", timestamp=START)
        ledger = self.store.ledger("ada")
        self.assertEqual((ledger.records, ledger.floor), ({}, START - 1))
        self.assertEqual(self.ask("a", timestamp=START), b"1")

    def test_tombstone(self) -> None:
        """
        Under pressure the answers go first.
        """
        self.use(MemoryStore(principal_bytes=3_000))
        self.caller = self.connect(plain=True)
        self.answers = [b"x" * 1500, b"y" * 1500]
        self.ask("a")
        self.ask("b")
        self.refused(Code.RESULT_NOT_CACHED, "a")
        self.assertIs(self.store.ledger("ada").records["a"].state, State.TOMBSTONE)


def _raise(error: BaseException) -> Any:
    raise error
