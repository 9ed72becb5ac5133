"""
Tests for L{twisted_rpc.client.retry}: what is decided, without carrying it out.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_rpc.client.retry import (
    FORGOTTEN,
    NO_RETRY,
    RETRIABLE,
    RetryBudget,
    RetryPolicy,
    Step,
    after_answer,
    final_error,
    full_jitter,
)
from twisted_rpc.errors import Code, Executed, RPCError
from twisted_rpc.interfaces import IRetryBudget, IRetryPolicy

CLASSES = ("readonly", "idempotent", "once", "transactional")
LOST = RPCError(Code.UNAVAILABLE, "lost", executed="unknown")


class PolicyTests(SynchronousTestCase):
    """
    L{RetryPolicy}.
    """

    def test_interface(self) -> None:
        """
        It is what the seam asks for.
        """
        verifyObject(IRetryPolicy, RetryPolicy())

    @given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
    def test_c4_full_jitter(self, attempt: int, drawn: float) -> None:
        """
        The delay after attempt n is drawn evenly from 0 to 50 ms * 2^(n-1).
        """
        policy = RetryPolicy(chance=lambda: drawn)
        delay = policy.delay(attempt, LOST)
        assert delay is not None
        self.assertAlmostEqual(delay, drawn * 0.05 * 2 ** (attempt - 1))

    @given(st.integers(1, 4))
    def test_c4_at_most_2_s(self, attempt: int) -> None:
        """
        No delay is above 2 s.
        """
        policy = RetryPolicy(max_attempts=5, multiplier=100, chance=lambda: 1.0)
        delay = policy.delay(attempt, LOST)
        assert delay is not None
        self.assertLessEqual(delay, 2.0)

    def test_c4_four_attempts(self) -> None:
        """
        After the fourth attempt there is no other.
        """
        self.assertIsNotNone(RetryPolicy().delay(3, LOST))
        self.assertIsNone(RetryPolicy().delay(4, LOST))

    def test_c4_never_more_than_five(self) -> None:
        """
        A policy of six attempts is refused, and one of none.
        """
        for wrong in (0, 6, -1):
            error = self.assertRaises(ValueError, RetryPolicy, max_attempts=wrong)
            self.assertEqual(str(error), f"max_attempts is {wrong}: from 1 to 5")

    @given(st.floats(0, 3600), st.floats(0, 1))
    def test_c6_retry_after_wins(self, after: float, drawn: float) -> None:
        """
        What the server asks for is waited, and 0 to 20 % more, however long it
        is.
        """
        error = RPCError(Code.RESOURCE_EXHAUSTED, executed="no", retry_after=after)
        delay = RetryPolicy(chance=lambda: drawn).delay(1, error)
        assert delay is not None
        self.assertAlmostEqual(delay, after * (1 + 0.2 * drawn))

    def test_c6_minus_one_means_no(self) -> None:
        """
        A server that says -1 is not asked again.
        """
        error = RPCError(Code.UNAVAILABLE, executed="no", retry_after=-1.0)
        self.assertIsNone(RetryPolicy().delay(1, error))

    def test_only_what_may_pass(self) -> None:
        """
        Other codes than those of the policy end the call.
        """
        policy = RetryPolicy(on=frozenset({Code.UNAVAILABLE}))
        self.assertIsNone(policy.delay(1, RPCError(Code.RESOURCE_EXHAUSTED)))
        self.assertIsNone(RetryPolicy().delay(1, RPCError(Code.INTERNAL)))

    def test_codes_by_name(self) -> None:
        """
        Codes may be given as the IDL writes them.
        """
        policy = RetryPolicy(on=["IN_PROGRESS"])  # type: ignore[arg-type]
        self.assertEqual(policy.on, frozenset({Code.IN_PROGRESS}))

    def test_refusals(self) -> None:
        """
        What cannot work is refused when the policy is made, by name.
        """
        for options, text in (
            ({"initial": -1.0}, "initial is -1.0, maximum 2.0: seconds, 0 <= initial"),
            ({"initial": 3.0}, "initial is 3.0, maximum 2.0: seconds, 0 <= initial"),
            ({"multiplier": 0.5}, "multiplier is 0.5: 1 or more"),
            ({"on": ["INTERNAL", "ABORTED"]}, "ABORTED, INTERNAL cannot be retried"),
        ):
            error = self.assertRaises(ValueError, RetryPolicy, **options)
            self.assertIn(text, str(error))

    def test_no_retry(self) -> None:
        """
        L{NO_RETRY} gives up after the first attempt.
        """
        self.assertIsNone(NO_RETRY.delay(1, LOST))

    def test_jitter_of_its_own(self) -> None:
        """
        Without a source of chance two delays differ.
        """
        self.assertNotEqual(
            [full_jitter(1.0) for _ in range(4)], [full_jitter(1.0) for _ in range(4)]
        )


class BudgetTests(SynchronousTestCase):
    """
    L{RetryBudget}: C7.
    """

    def test_interface(self) -> None:
        """
        It is what the seam asks for.
        """
        verifyObject(IRetryBudget, RetryBudget())

    def test_c7_only_above_half(self) -> None:
        """
        Of ten tokens four pay for retries; with five left there are none.
        """
        budget = RetryBudget()
        self.assertEqual([budget.failure() for _ in range(6)], [True] * 4 + [False] * 2)

    def test_c7_a_success_gives_a_tenth_back(self) -> None:
        """
        Eleven successes after that make room for one retry.
        """
        budget = RetryBudget()
        for _ in range(5):
            budget.failure()
        for _ in range(10):
            budget.success()
        self.assertFalse(budget.failure())
        for _ in range(11):
            budget.success()
        self.assertTrue(budget.failure())

    @given(st.lists(st.booleans(), max_size=200))
    def test_c7_bounds(self, events: list[bool]) -> None:
        """
        The bucket never holds less than nothing or more than its size, and
        never lets retries pass at half or below.
        """
        budget = RetryBudget()
        for success in events:
            if success:
                budget.success()
            else:
                self.assertEqual(budget.failure(), budget.tokens > 5)
            self.assertTrue(0 <= budget.tokens <= 10)

    @given(st.integers(1, 400))
    def test_c7_amplification(self, failures: int) -> None:
        """
        While everything fails, at most four retries are made in all.
        """
        budget = RetryBudget()
        self.assertLessEqual(sum(budget.failure() for _ in range(failures)), 4)


def error(code: Code, executed: Executed) -> RPCError:
    """
    An answer of a server.
    """
    return RPCError(code, executed=executed)


class StepTests(SynchronousTestCase):
    """
    L{after_answer}: the table of codes, its column for clients.
    """

    def step(self, code: Code, executed: Executed, delivery: str = "once") -> Step:
        """
        What is done after an answer.
        """
        return after_answer(error(code, executed), delivery, anew=False)

    def test_answers_of_the_implementation(self) -> None:
        """
        Any code that the implementation chose is its answer, never retried.
        """
        for code in Code:
            if code is not Code.RESULT_NOT_CACHED:
                for delivery in CLASSES:
                    self.assertIs(self.step(code, "yes", delivery), Step.FAIL)

    def test_what_may_pass(self) -> None:
        """
        UNAVAILABLE, IN_PROGRESS and refused overload are attempted again, for
        every class, under the same id.
        """
        for delivery in CLASSES:
            self.assertIs(self.step(Code.UNAVAILABLE, "no", delivery), Step.RETRY)
            self.assertIs(self.step(Code.UNAVAILABLE, "unknown", delivery), Step.RETRY)
            self.assertIs(self.step(Code.IN_PROGRESS, "unknown", delivery), Step.RETRY)
            self.assertIs(
                self.step(Code.RESOURCE_EXHAUSTED, "no", delivery), Step.RETRY
            )
        self.assertIs(self.step(Code.RESOURCE_EXHAUSTED, "unknown"), Step.FAIL)

    def test_what_stays(self) -> None:
        """
        The other codes end the call, unrun or not.
        """
        for code in set(Code) - RETRIABLE - FORGOTTEN:
            for executed in ("no", "unknown"):
                self.assertIs(self.step(code, executed), Step.FAIL, code)

    def test_c2_once_is_never_made_anew(self) -> None:
        """
        A once or transactional call that the server no longer knows ends.
        """
        for code in FORGOTTEN:
            for delivery in ("once", "transactional"):
                self.assertIs(self.step(code, "unknown", delivery), Step.FAIL)

    def test_repeatable_calls_are_made_anew_once(self) -> None:
        """
        A readonly or idempotent call that the server no longer knows is made
        anew, and the second time ends.
        """
        for code in FORGOTTEN:
            executed: Executed = "yes" if code is Code.RESULT_NOT_CACHED else "unknown"
            for delivery in ("readonly", "idempotent"):
                self.assertIs(self.step(code, executed, delivery), Step.ANEW)
                again = after_answer(error(code, executed), delivery, anew=True)
                self.assertIs(again, Step.FAIL)


class FinalTests(SynchronousTestCase):
    """
    L{final_error}: C14.
    """

    def final(
        self,
        delivery: str = "once",
        *,
        late: bool = False,
        ambiguous: bool = False,
        last: RPCError | None = None,
    ) -> tuple[str, str]:
        """
        The code of the end, and whether it ran.
        """
        found = final_error(delivery, late=late, ambiguous=ambiguous, last=last)
        return found.code.value, found.executed

    def test_c14_the_last_refusal(self) -> None:
        """
        If D8 shows that it did not run, the last refusal is the end, in time or
        late.
        """
        last = RPCError(Code.RESOURCE_EXHAUSTED, executed="no")
        for late in (False, True):
            found = final_error("once", late=late, ambiguous=False, last=last)
            self.assertIs(found, last)

    def test_c14_nothing_was_written(self) -> None:
        """
        UNAVAILABLE, executed no, if nothing was written.
        """
        for delivery in CLASSES:
            for late in (False, True):
                self.assertEqual(self.final(delivery, late=late), ("UNAVAILABLE", "no"))

    def test_c14_time_is_up(self) -> None:
        """
        DEADLINE_EXCEEDED, executed unknown, if it may have run and is late.
        """
        for delivery in CLASSES:
            self.assertEqual(
                self.final(delivery, late=True, ambiguous=True),
                ("DEADLINE_EXCEEDED", "unknown"),
            )

    def test_c14_it_may_have_run(self) -> None:
        """
        OUTCOME_UNKNOWN for once and transactional, UNAVAILABLE for the others.
        """
        for delivery, code in zip(
            CLASSES, ["UNAVAILABLE"] * 2 + ["OUTCOME_UNKNOWN"] * 2, strict=True
        ):
            self.assertEqual(self.final(delivery, ambiguous=True), (code, "unknown"))

    def test_d8_one_refusal_is_not_enough(self) -> None:
        """
        A refusal of the last attempt does not make it "no" if one before it may
        have run.
        """
        last = RPCError(Code.RESOURCE_EXHAUSTED, executed="no")
        self.assertEqual(
            self.final(ambiguous=True, last=last), ("OUTCOME_UNKNOWN", "unknown")
        )
