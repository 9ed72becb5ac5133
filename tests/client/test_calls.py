"""
Tests for L{twisted_rpc.client.calls}: what becomes of a call, whatever a server
does.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from tests.client.scripted import (
    Message,
    Outcome,
    Scripted,
    ScriptedCase,
    answered,
    idl,
)
from twisted_rpc import Limits, RetryPolicy, RPCError, with_options
from twisted_rpc.client.calls import Target

#: No pause between attempts, so that a test has no time to let pass.
AT_ONCE = RetryPolicy(chance=lambda: 0.0)


class AnswerTests(ScriptedCase):
    """
    What the caller gets.
    """

    def test_result(self) -> None:
        """
        A call fires with its result.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        (call,) = connection.calls
        self.assertEqual(
            call,
            {
                "request_id": "s1:1",
                "service": "Shop",
                "method": "buy",
                "params": [5],
                "timestamp": self.clock.seconds(),
                "ext": {"timeout": 30000, "ack": 1},
            },
        )
        connection.reply(call, 3)
        self.pump()
        self.ended(outcome, 3)

    def test_kept(self) -> None:
        """
        Who keeps what fired does not keep the arguments.
        """
        connection = self.started()
        kept: Any = self.shop.buy(5)
        self.assertEqual(kept.params, b"[5]")
        self.pump()
        connection.reply(connection.calls[0], 3)
        self.pump()
        self.assertEqual((kept.result, kept.params), (3, b""))

    def test_result_of_another_type(self) -> None:
        """
        A result that is not what the IDL says fails with INTERNAL: it ran.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        connection.reply(connection.calls[0], "three")
        self.pump()
        error = self.told(outcome, "INTERNAL", "yes")
        self.assertIn("the reply does not fit the IDL", error.message)

    def test_declared_exception(self) -> None:
        """
        An exception of the IDL arrives as its class, with its members.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        connection.refuse(
            connection.calls[0],
            "FAILED_PRECONDITION",
            "yes",
            "3 too few",
            type="Broke",
            data={"missing": 3},
            replayed=True,
        )
        self.pump()
        error: Any = self.told(outcome, "FAILED_PRECONDITION", "yes")
        self.assertIsInstance(error, idl.Broke)
        self.assertEqual((error.missing, error.message), (3, "3 too few"))
        self.assertTrue(error.remote and error.replayed)

    def test_declared_exception_of_another_version(self) -> None:
        """
        One that this side does not know, or that does not fit, arrives with its
        name and members.
        """
        for name, data in (("Bankrupt", {"since": 1}), ("Broke", {"missing": "much"})):
            connection = self.started()
            outcome = self.watch(self.shop.buy(5))
            connection.refuse(
                connection.calls[0], "FAILED_PRECONDITION", "yes", type=name, data=data
            )
            self.pump()
            error = self.told(outcome, "FAILED_PRECONDITION", "yes")
            self.assertEqual((error.type, error.data), (name, data))

    def test_unknown_code(self) -> None:
        """
        A code of a newer server is UNKNOWN, and its words of whether it ran that
        are none are "unknown".
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        connection.refuse(connection.calls[0], "TEAPOT", "perhaps", "short and stout")
        self.pump()
        error = self.told(outcome, "UNKNOWN", "unknown")
        self.assertEqual(error.message, "short and stout")

    def test_error_without_ext(self) -> None:
        """
        An error that says nothing of itself is UNKNOWN.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        connection.say(connection.calls[0], "oh")
        self.pump()
        self.told(outcome, "UNKNOWN", "unknown")

    def test_internal_error(self) -> None:
        """
        The id of the server's log entry arrives.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        connection.refuse(connection.calls[0], "INTERNAL", "yes", error_id="9c1f")
        self.pump()
        self.assertEqual(self.told(outcome, "INTERNAL", "yes").error_id, "9c1f")

    def test_oneway(self) -> None:
        """
        A oneway call ends when it is written, and is marked.
        """
        connection = self.started()
        outcome = self.watch(self.shop.note("hi"))
        self.ended(outcome, None)
        (call,) = connection.calls
        self.assertIs(call["ext"]["oneway"], True)
        self.assertFalse(self.client.pool.links[0].busy)

    def test_oneway_is_sent_once(self) -> None:
        """
        A oneway call is not sent again after the connection is lost.
        """
        connection = self.started()
        self.watch(self.shop.note("hi"))
        connection.drop()
        self.advance(1)
        self.assertEqual(len(self.server.frames), 1)


class AttemptTests(ScriptedCase):
    """
    Attempts of one call.
    """

    def attempts(self) -> list[Message]:
        """
        Refuse a call twice and answer it; its attempts.
        """
        connection = self.started(retry=AT_ONCE)
        outcome = self.watch(self.shop.buy(5))
        for _ in range(2):
            connection.refuse(connection.calls[-1], "RESOURCE_EXHAUSTED")
            self.advance(0.1)
        connection.drop()
        self.advance(1)
        self.server.here.reply(self.server.here.calls[-1])
        self.pump()
        self.ended(outcome, 7)
        return self.server.calls

    def test_c1_same_id_same_bytes_same_timestamp(self) -> None:
        """
        All attempts have the same id, parameters and timestamp.
        """
        calls = self.attempts()
        self.assertEqual(len(calls), 4)
        starts = {frame[: frame.index(b'"ext"')] for frame in self.server.frames}
        self.assertEqual(len(starts), 1)

    def test_c1_attempt_counts(self) -> None:
        """
        C{attempt} counts them.
        """
        numbers = [call["ext"].get("attempt", 1) for call in self.attempts()]
        self.assertEqual(numbers, [1, 2, 3, 4])

    def test_c3_the_wire_carries_what_remains(self) -> None:
        """
        Each attempt says how much time is left when it is written.
        """
        connection = self.started(timeout=10)
        outcome = self.watch(self.shop.buy(5))
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=2000)
        self.advance(3)
        connection.reply(connection.calls[1])
        self.pump()
        self.ended(outcome, 7)
        first, second = (call["ext"]["timeout"] for call in connection.calls)
        self.assertEqual(first, 10000)
        self.assertTrue(7590 <= second <= 8000, second)

    def test_c3_waiting_for_a_connection_counts(self) -> None:
        """
        A call that waited for hello says what remains after it.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        self.watch(self.shop.buy(5))
        self.advance(2)
        self.server.here.welcome()
        self.pump()
        (call,) = self.server.calls
        self.assertIn(call["ext"]["timeout"], (27999, 28000, 28001))

    def test_c3_one_deadline_over_all_attempts(self) -> None:
        """
        However the server refuses, the call ends at its deadline, with what was
        said last.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED", retry_after=400
        )
        self.started(retry=RetryPolicy(max_attempts=5))
        start = self.clock.seconds()
        outcome = self.watch(with_options(self.shop, timeout=1).buy(5))
        self.advance(2)
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        assert outcome.at is not None
        self.assertLessEqual(outcome.at - start, 1.05)
        self.quiet_after_close()

    def test_c4_four_attempts(self) -> None:
        """
        A call is attempted four times, and fails as the last attempt did.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "IN_PROGRESS", "unknown"
        )
        self.started()
        outcome = self.watch(self.shop.buy(5))
        self.advance(10)
        self.told(outcome, "IN_PROGRESS", "unknown")
        self.assertEqual(len(self.server.frames), 4)

    def test_c4_five_at_most(self) -> None:
        """
        A policy that never gives up is stopped after five attempts.
        """

        class Stubborn:
            def delay(self, attempt: int, error: RPCError) -> float:
                return 0.0

        self.server.on_call = lambda connection, call: connection.refuse(
            call, "UNAVAILABLE"
        )

        class Endless:
            def success(self) -> None:
                pass

            def failure(self) -> bool:
                return True

            def allows(self) -> bool:
                return True

        self.started(retry=Stubborn(), retry_budget=Endless())
        outcome = self.watch(self.shop.buy(5))
        self.advance(2)
        self.told(outcome, "UNAVAILABLE", "no")
        self.assertEqual(len(self.server.frames), 5)

    def test_c4_jitter(self) -> None:
        """
        An attempt comes when the policy says.
        """
        connection = self.started(retry=RetryPolicy(chance=lambda: 0.9))
        self.watch(self.shop.buy(5))
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED")
        self.advance(0.044, step=0.001)
        self.assertEqual(len(connection.calls), 1)
        self.advance(0.002, step=0.001)
        self.assertEqual(len(connection.calls), 2)

    def test_c4_not_without_the_time_for_it(self) -> None:
        """
        No attempt is started with less than the median time left.
        """
        connection = self.started(retry=AT_ONCE)
        shop = with_options(self.shop, timeout=10)
        shop._rpc_targets["look"].median = 4.0
        outcome = self.watch(shop.look(1))
        self.advance(7)
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED")
        self.pump()
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(len(connection.calls), 1)

    def test_c4_not_resent_without_the_time_for_it(self) -> None:
        """
        Nor is a call sent again over a new connection then.
        """
        connection = self.started()
        shop = with_options(self.shop, timeout=10)
        shop._rpc_targets["buy"].median = 4.0
        outcome = self.watch(shop.buy(1))
        self.advance(7)
        connection.drop()
        self.advance(1)
        self.told(outcome, "OUTCOME_UNKNOWN", "unknown")
        self.assertEqual(len(self.server.frames), 1)

    def test_c5_unavailable_is_repeated_once_at_once_free(self) -> None:
        """
        A call that is answered UNAVAILABLE, executed no, is repeated at once,
        without a token of the budget, and counts for C{attempt} alone.
        """
        connection = self.started(retry=RetryPolicy(max_attempts=1))
        budget = self.client.pool.budget
        outcome = self.watch(self.shop.buy(5))
        connection.refuse(connection.calls[0], "UNAVAILABLE", retry_after=0)
        self.pump()
        self.assertEqual(budget.tokens, budget.size)
        first, second = connection.calls
        self.assertEqual(second["request_id"], first["request_id"])
        self.assertEqual(second["ext"]["attempt"], 2)
        connection.refuse(second, "UNAVAILABLE")
        self.advance(5)
        self.told(outcome, "UNAVAILABLE", "no")
        self.assertEqual(len(connection.calls), 2)

    def test_c5_nothing_is_free_when_the_budget_is_spent(self) -> None:
        """
        A server that refuses everything is not asked twice as much: the free
        repetition takes no token, but ends with the budget.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "UNAVAILABLE"
        )
        self.started(retry=AT_ONCE)
        for _ in range(100):
            outcome = self.watch(self.shop.buy(5))
            self.told(outcome, "UNAVAILABLE", "no")
        self.assertLess(len(self.server.frames), 115)

    def test_c6_wins_over_the_free_repetition(self) -> None:
        """
        UNAVAILABLE with a C{retry_after} is not repeated before that.
        """
        connection = self.started(retry=AT_ONCE)
        self.watch(self.shop.buy(5))
        connection.refuse(connection.calls[0], "UNAVAILABLE", retry_after=1000)
        self.advance(0.99)
        self.assertEqual(len(connection.calls), 1)
        self.advance(0.02)
        self.assertEqual(len(connection.calls), 2)

    def test_c6_minus_one(self) -> None:
        """
        -1 means do not retry, not even once and free.
        """
        connection = self.started()
        for code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
            outcome = self.watch(self.shop.look(5))
            connection.refuse(connection.calls[-1], code, retry_after=-1)
            self.advance(1)
            self.assertEqual(self.told(outcome, code, "no").retry_after, -1.0)
        self.assertEqual(len(connection.calls), 2)

    def test_c7_budget(self) -> None:
        """
        While every call is refused, three retries are made in all, and then each
        call has one attempt: the last failure of a call counts too.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.started(retry=AT_ONCE)
        outcomes = [self.watch(self.shop.look(n)) for n in range(20)]
        self.advance(1)
        for outcome in outcomes:
            self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(len(self.server.frames), 23)

    def test_c7_answers_fill_the_budget(self) -> None:
        """
        Results and errors of the implementation are successes.
        """
        connection = self.started()
        budget = self.client.pool.budget
        budget.tokens = 5.0
        for n in range(10):
            outcome = self.watch(self.shop.buy(n))
            if n % 2:
                connection.reply(connection.calls[-1])
            else:
                connection.refuse(connection.calls[-1], "INTERNAL", "yes")
            self.pump()
            self.assertEqual(len(outcome.results), 1)
        self.assertAlmostEqual(budget.tokens, 6.0)

    def test_d20_two_minutes(self) -> None:
        """
        An id is not sent again more than 120 s after the first time.
        """
        connection = self.started(timeout=1000, retry=AT_ONCE)
        early, late = (self.watch(self.shop.buy(n)) for n in (1, 2))
        self.advance(119, step=1)
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED")
        self.pump()
        self.assertEqual(len(connection.calls), 3)
        self.advance(2)
        connection.drop()
        self.advance(1)
        self.told(early, "OUTCOME_UNKNOWN", "unknown")
        self.told(late, "OUTCOME_UNKNOWN", "unknown")

    def test_a_bigger_attempt_is_measured_again(self) -> None:
        """
        An attempt that no longer fits, because it has a number, is not sent.
        """
        connection = self.started()
        link = self.client.pool.links[0]
        outcome = self.watch(self.shop.buy(5))
        link.max_frame = len(self.server.frames[0])
        connection_protocol: Any = link.protocol
        connection_protocol.connection.max_frame = link.max_frame
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=10)
        self.advance(0.1)
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(len(connection.calls), 1)

    def quiet_after_close(self) -> None:
        """
        Check that nothing is left once the client is closed.
        """
        self.client.close()
        self.pump()
        self.quiet()


class IdentityTests(ScriptedCase):
    """
    When a call gets a second id, and when it must not.
    """

    def forgotten(self, name: str, code: str, executed: str = "unknown") -> Outcome:
        """
        Answer every attempt of a call with C{code}.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, code, executed
        )
        self.started(retry=AT_ONCE)
        outcome = self.watch(getattr(self.shop, name)(5))
        self.advance(1)
        return outcome

    def test_c2_once_never_gets_a_second_id(self) -> None:
        """
        A once or transactional call that the server has forgotten ends, with
        what the server said.
        """
        for name in ("buy", "pay"):
            for code in ("OUTCOME_UNKNOWN", "STALE_REQUEST"):
                outcome = self.forgotten(name, code)
                self.told(outcome, code, "unknown")
                self.assertEqual(len(self.server.frames), 1)
                self.server.frames.clear()

    def test_c2_result_not_cached(self) -> None:
        """
        A once call whose answer is gone ends: it ran.
        """
        outcome = self.forgotten("buy", "RESULT_NOT_CACHED", "yes")
        self.told(outcome, "RESULT_NOT_CACHED", "yes")
        self.assertEqual(len(self.server.frames), 1)

    def test_repeatable_calls_are_made_anew_once(self) -> None:
        """
        A readonly or idempotent call that the server has forgotten is made once
        more, under another id.
        """
        for name in ("look", "put"):
            outcome = self.forgotten(name, "RESULT_NOT_CACHED", "yes")
            self.told(outcome, "RESULT_NOT_CACHED", "yes")
            self.assertEqual(self.ids(), ["s1:1", "s1:2"])
            self.server.frames.clear()
            self.server._sessions = 0

    def test_anew_is_an_attempt(self) -> None:
        """
        A call that may have one attempt is not made anew.
        """
        connection = self.started(retry=RetryPolicy(max_attempts=1))
        outcome = self.watch(self.shop.look(5))
        connection.refuse(connection.calls[0], "STALE_REQUEST", "unknown")
        self.pump()
        self.told(outcome, "STALE_REQUEST", "unknown")
        self.assertEqual(len(connection.calls), 1)

    def test_session_unknown(self) -> None:
        """
        A server that has lost the session gets no more calls of it: the next go
        into a new one, a call that may run twice included.
        """
        connection = self.started()
        buy, look = self.watch(self.shop.buy(1)), self.watch(self.shop.look(2))
        for call in list(connection.calls):
            connection.refuse(call, "SESSION_UNKNOWN", "unknown")
        self.advance(1)
        self.told(buy, "SESSION_UNKNOWN", "unknown")
        self.assertTrue(connection.lost)
        self.assertNotIn("session", self.server.here.hello or {})
        (again,) = self.server.here.calls
        self.assertEqual(again["request_id"], "s2:1")
        self.server.here.reply(again)
        self.pump()
        self.ended(look, 7)

    def test_session_unknown_for_a_call_that_waits_to_be_retried(self) -> None:
        """
        A call of the lost session that was refused unrun keeps its pause, and
        gets a new id then.
        """
        connection = self.started(retry=AT_ONCE)
        waits, lost = self.watch(self.shop.buy(1)), self.watch(self.shop.buy(2))
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=1000)
        connection.refuse(connection.calls[1], "SESSION_UNKNOWN", "unknown")
        self.advance(0.9)
        self.told(lost, "SESSION_UNKNOWN", "unknown")
        self.assertEqual(self.server.here.calls, [])
        self.advance(0.2)
        self.assertEqual(self.ids(), ["s1:1", "s1:2", "s2:1"])
        self.server.here.reply(self.server.here.calls[0])
        self.pump()
        self.ended(waits, 7)

    def test_d8_every_attempt_must_be_refused(self) -> None:
        """
        After one attempt without an answer, a refusal of the next does not say
        that the call did not run.
        """
        connection = self.started(retry=RetryPolicy(max_attempts=2))
        outcome = self.watch(self.shop.buy(5))
        connection.drop()
        self.advance(0.5)
        self.server.here.refuse(self.server.here.calls[0], "RESOURCE_EXHAUSTED")
        self.advance(0.5)
        self.told(outcome, "OUTCOME_UNKNOWN", "unknown")

    def test_d8_codes_are_shown_as_they_are(self) -> None:
        """
        A code that ends the call is shown, but C{executed} speaks of all
        attempts.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(5))
        connection.drop()
        self.advance(0.5)
        self.server.here.refuse(self.server.here.calls[0], "PERMISSION_DENIED")
        self.pump()
        self.told(outcome, "PERMISSION_DENIED", "unknown")

    def test_d8_all_refused(self) -> None:
        """
        If every attempt was refused, the call did not run.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.started(retry=AT_ONCE)
        outcome = self.watch(self.shop.buy(5))
        self.advance(1)
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(len(set(self.ids())), 1)

    def test_new_session_after_a_loss(self) -> None:
        """
        After C{resumed: false} once calls that were written end with
        OUTCOME_UNKNOWN, those that may run twice are made anew, and those that
        were refused unrun get a new id.
        """
        connection = self.started(retry=AT_ONCE)
        buy, look = self.watch(self.shop.buy(1)), self.watch(self.shop.look(2))
        refused = self.watch(self.shop.buy(3))
        connection.refuse(connection.calls[2], "RESOURCE_EXHAUSTED", retry_after=500)
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        self.pump()
        connection.drop()
        self.advance(1)
        self.assertEqual((self.server.here.hello or {})["session"], "s1")
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")
        first, second = self.server.here.calls
        self.assertEqual([first["params"], second["params"]], [[2], [3]])
        self.assertEqual(
            [first["request_id"], second["request_id"]], ["other:1", "other:2"]
        )
        for call in (first, second):
            self.server.here.reply(call)
        self.pump()
        self.ended(look, 7)
        self.ended(refused, 7)

    def test_a_call_in_the_middle_of_a_new_session(self) -> None:
        """
        A caller that calls again at once when told OUTCOME_UNKNOWN does so in
        the new session, with an C{ack} of that.
        """
        connection = self.started()
        for n in range(20):
            self.watch(self.shop.look(n))
            connection.reply(connection.calls[-1])
            self.pump()
        again: list[Outcome] = []
        self.shop.buy(1).addErrback(
            lambda failure: again.append(Outcome(self.shop.buy(2), self.clock))
        )
        self.pump()
        connection.drop()
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        self.server.on_call = answered
        self.advance(1)
        self.ended(again[0], 7)
        (call,) = self.server.here.calls
        self.assertEqual(call["request_id"], "other:1")
        self.assertEqual(call["ext"]["ack"], 1)

    def test_no_ack_of_the_session_before(self) -> None:
        """
        A new session begins with no word of what was answered in the one before
        it: the server would take it for calls that were not made yet.
        """
        connection = self.started()
        self.watch(self.shop.look(1))
        connection.reply(connection.calls[0])
        self.advance(1)
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        connection.drop()
        self.watch(self.shop.look(2))
        self.advance(1)
        here = self.server.here
        self.assertEqual([call["request_id"] for call in here.calls], ["other:1"])
        acks = [each for each in here.controls if each["method"] == "ack"]
        self.assertEqual(acks, [])

    def test_no_second_run_while_the_first_goes_on_elsewhere(self) -> None:
        """
        A server goes away and finishes what it runs, and the next does not know
        its sessions: a once call that runs there is answered there, and not made
        a second time here.
        """
        old = self.started()
        buy, put = self.watch(self.shop.buy(1)), self.watch(self.shop.put(2))
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        old.go_away()
        self.advance(1)
        new = self.server.here
        self.assertIsNot(new, old)
        self.assertEqual(new.calls, [])
        self.watch(self.shop.buy(3))
        self.assertEqual([call["request_id"] for call in new.calls], ["other:1"])
        self.assertEqual(new.calls[0]["ext"]["ack"], 1)
        old.reply(old.calls[0], 1)
        self.pump()
        self.ended(buy, 1)
        self.assertFalse(old.lost)
        old.reply(old.calls[1], 2)
        self.pump()
        self.ended(put, 2)
        self.assertTrue(old.lost)

    def test_a_session_that_ends_during_a_wait(self) -> None:
        """
        A call that may have run, and waits to be attempted again, is made anew
        at once when its session has ended.
        """
        connection = self.started(retry=AT_ONCE)
        outcome = self.watch(self.shop.look(1))
        connection.refuse(
            connection.calls[0], "IN_PROGRESS", "unknown", retry_after=5000
        )
        self.pump()
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        self.server.on_call = answered
        connection.drop()
        self.advance(1)
        self.ended(outcome, 7)
        self.client.close()
        self.advance(2)
        self.quiet()

    def test_a_session_left_behind(self) -> None:
        """
        If that server then dies, its once calls end with OUTCOME_UNKNOWN and the
        others are made anew; if it refuses them unrun, all are.
        """
        old = self.started(retry=AT_ONCE)
        buy, look = self.watch(self.shop.buy(1)), self.watch(self.shop.look(2))
        refused, running = self.watch(self.shop.buy(3)), self.watch(self.shop.put(4))
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        old.go_away()
        self.advance(1)
        new = self.server.here
        old.refuse(old.calls[2], "UNAVAILABLE", retry_after=0)
        old.refuse(old.calls[3], "IN_PROGRESS", "unknown")
        self.pump()
        self.assertEqual([call["params"] for call in new.calls], [[3], [4]])
        old.drop()
        self.advance(1)
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")
        self.assertEqual([call["params"] for call in new.calls], [[3], [4], [2]])
        for call in new.calls:
            new.reply(call)
        self.pump()
        for outcome in (look, refused, running):
            self.ended(outcome, 7)


class CancelTests(ScriptedCase):
    """
    Callers that give up.
    """

    def test_c12_cancel_tells_the_server(self) -> None:
        """
        Cancelling a call sends C{$rpc.cancel} with its id, and leaves nothing.
        """
        connection = self.started()
        deferred = self.shop.buy(5)
        outcome = self.watch(deferred)
        deferred.cancel()
        self.pump()
        self.assertEqual(len(outcome.results), 1)
        outcome.results[0].trap(CancelledError)
        (control,) = connection.controls
        self.assertEqual((control["method"], control["params"]), ("cancel", ["s1:1"]))
        self.client.close()
        self.pump()
        self.quiet()

    def test_c12_the_reply_to_a_cancelled_call_is_dropped(self) -> None:
        """
        It is counted and nobody is told.
        """
        connection = self.started()
        deferred = self.shop.buy(5)
        outcome = self.watch(deferred)
        deferred.cancel()
        connection.refuse(connection.calls[0], "CANCELLED", "unknown")
        self.pump()
        self.assertEqual(len(outcome.results), 1)
        self.assertEqual(self.client.pool.counters.strays, 1)

    def test_c12_cancel_stops_retries(self) -> None:
        """
        A cancelled call that waits to be retried is not, and leaves no timer.
        """
        connection = self.started()
        deferred = self.shop.buy(5)
        self.watch(deferred)
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=1000)
        self.pump()
        deferred.cancel()
        self.advance(1.9)
        self.assertEqual(len(connection.calls), 1)
        self.assertEqual(connection.controls, [])
        self.client.close()
        self.pump()
        self.quiet()

    def test_cancel_while_it_waits_for_a_connection(self) -> None:
        """
        A call that was not written is never sent.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        deferred = self.shop.buy(5)
        outcome = self.watch(deferred)
        deferred.cancel()
        outcome.results[0].trap(CancelledError)
        self.server.here.welcome()
        self.advance(1)
        self.assertEqual(self.server.frames, [])
        self.assertEqual(self.client.pool.queue.size, 0)

    def test_cancel_while_the_connection_is_lost(self) -> None:
        """
        A call that would be sent again is not.
        """
        connection = self.started()
        deferred = self.shop.buy(5)
        self.watch(deferred)
        connection.drop()
        self.pump()
        deferred.cancel()
        self.advance(2)
        self.assertEqual(len(self.server.frames), 1)

    def test_cancel_after_goaway(self) -> None:
        """
        Cancelling the last call of a connection that goes away closes it.
        """
        connection = self.started()
        deferred = self.shop.buy(5)
        self.watch(deferred)
        connection.go_away()
        self.pump()
        self.assertFalse(connection.lost)
        deferred.cancel()
        self.pump()
        self.assertEqual([each["method"] for each in connection.controls], ["cancel"])
        self.assertTrue(connection.lost)

    def test_cancel_makes_room(self) -> None:
        """
        A call that waits for room is sent when another is cancelled.
        """
        self.server.on_hello = lambda each: each.welcome(limits__max_inflight=1)
        connection = self.started()
        first = self.shop.buy(1)
        self.watch(first)
        self.watch(self.shop.buy(2))
        self.assertEqual(len(connection.calls), 1)
        first.addErrback(lambda _: None)
        first.cancel()
        self.pump()
        self.assertEqual(len(connection.calls), 2)

    def test_cancel_twice(self) -> None:
        """
        Cancelling what has ended does nothing.
        """
        connection = self.started()
        deferred = self.shop.buy(5)
        outcome = self.watch(deferred)
        connection.reply(connection.calls[0])
        self.pump()
        deferred.cancel()
        self.pump()
        self.ended(outcome, 7)
        self.assertEqual(connection.controls, [])


class DeadlineTests(ScriptedCase):
    """
    Calls end on time.
    """

    def test_no_answer(self) -> None:
        """
        A call that is not answered ends at its deadline: it may have run.
        """
        self.started()
        outcome = self.watch(with_options(self.shop, timeout=1).buy(5))
        self.advance(1.05)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")

    def test_late_reply(self) -> None:
        """
        A reply after that is counted and dropped.
        """
        connection = self.started()
        outcome = self.watch(with_options(self.shop, timeout=1).buy(5))
        self.advance(1.05)
        connection.reply(connection.calls[0])
        self.pump()
        self.assertEqual(len(outcome.results), 1)
        self.assertEqual(self.client.pool.counters.strays, 1)

    def test_a_call_that_waited_for_its_connection(self) -> None:
        """
        A call that was written long after it was made ends on time too.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        start = self.clock.seconds()
        outcome = self.watch(with_options(self.shop, timeout=2).buy(5))
        self.advance(1)
        self.server.here.welcome()
        self.advance(3)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")
        assert outcome.at is not None
        self.assertLessEqual(outcome.at - start, 2.05)

    def test_nothing_was_written(self) -> None:
        """
        A call that waits for a connection until its deadline did not run.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        outcome = self.watch(with_options(self.shop, timeout=1).buy(5))
        self.advance(1.05)
        self.told(outcome, "UNAVAILABLE", "no")

    def test_i13_nothing_is_sent_after_the_deadline(self) -> None:
        """
        A call whose deadline passes at the moment when it could be written is
        not, and neither is a retry.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        outcome = self.watch(with_options(self.shop, timeout=1).buy(5))
        self.advance(0.99)
        self.server.here.welcome()
        self.clock.advance(0.011)
        self.pump()
        self.assertEqual(self.server.frames, [])
        self.told(outcome, "UNAVAILABLE", "no")

    def test_i13_a_stalled_process_sends_no_late_retry(self) -> None:
        """
        A retry whose time came while the process stood still is not sent after
        the deadline.
        """
        connection = self.started(retry=AT_ONCE)
        outcome = self.watch(with_options(self.shop, timeout=1).buy(5))
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=970)
        self.pump()
        pool = self.client.pool
        (call,) = pool.links[0].pending.values()
        # Only the retry comes, and late.
        retry = call.retry
        retry.cancel()
        call.retry = None
        call.deadline = self.clock.seconds()
        pool.links[0].retrying.again(call)
        self.pump()
        self.assertEqual(len(connection.calls), 1)
        self.advance(1.05)
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")

    def test_expiry_makes_room(self) -> None:
        """
        A call that waits for room is sent when another runs out of time.
        """
        self.server.on_hello = lambda each: each.welcome(limits__max_inflight=1)
        connection = self.started()
        self.watch(with_options(self.shop, timeout=1).buy(1))
        self.watch(self.shop.buy(2))
        self.advance(1.05)
        self.assertEqual(len(connection.calls), 2)

    def test_expiry_after_goaway(self) -> None:
        """
        The connection that goes away is closed when its last call runs out of
        time.
        """
        connection = self.started()
        self.watch(with_options(self.shop, timeout=1).buy(1))
        connection.go_away()
        self.advance(1.05)
        self.assertTrue(connection.lost)


class ScriptTests(ScriptedCase):
    """
    Whatever a server does, every call ends exactly once and on time.
    """

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    ["drop", "answer", "double", "garbage", "goaway", "quiet"]
                ),
                st.tuples(
                    st.sampled_from(
                        [
                            "UNAVAILABLE",
                            "RESOURCE_EXHAUSTED",
                            "IN_PROGRESS",
                            "SESSION_UNKNOWN",
                            "OUTCOME_UNKNOWN",
                            "INTERNAL",
                            "TEAPOT",
                        ]
                    ),
                    st.sampled_from(["no", "yes", "unknown"]),
                    st.sampled_from([None, -1, 0, 100, 700]),
                ),
                st.floats(0.0, 0.4),
            ),
            max_size=12,
        ),
        st.lists(
            st.tuples(
                st.sampled_from(["look", "put", "buy", "pay"]), st.floats(0.05, 2.0)
            ),
            min_size=1,
            max_size=6,
        ),
        st.lists(st.booleans(), max_size=6),
        st.booleans(),
    )
    def test_every_call_ends_once_and_on_time(
        self,
        script: list[Any],
        calls: list[tuple[str, float]],
        resumes: list[bool],
        ready: bool,
    ) -> None:
        """
        After any script of answers, errors, drops and delays each call has ended
        once, at most 50 ms after its deadline; a once call was sent under one id
        unless all its attempts were refused unrun; no attempts are above five;
        nothing was sent after a deadline.
        """
        self.setUp()
        steps, sessions = iter(script), iter(resumes)
        refused: dict[str, list[bool]] = {}
        sent_at: dict[str, list[float]] = {}

        def on_hello(connection: Scripted) -> None:
            resume = next(sessions, True)
            connection.welcome(None if resume else self.server.next_session())

        def on_call(connection: Scripted, call: Message) -> None:
            refused.setdefault(call["request_id"], []).append(False)
            sent_at.setdefault(str(call["params"][0]), []).append(self.clock.seconds())
            step = next(steps, "quiet")
            if isinstance(step, float):
                self.clock.callLater(step, connection.reply, call)
            elif step == "drop":
                connection.drop()
            elif step in {"answer", "double"}:
                for _ in range(1 + (step == "double")):
                    connection.reply(call)
            elif step == "garbage":
                connection.send_raw(b"{")
            elif step == "goaway":
                connection.go_away()
            elif isinstance(step, tuple):
                code, executed, after = step
                ext = {} if after is None else {"retry_after": after}
                refused[call["request_id"]][-1] = executed == "no"
                connection.refuse(call, code, executed, **ext)

        self.server.on_hello, self.server.on_call = on_hello, on_call
        client = self.start(wait_for_ready=ready)
        start = self.clock.seconds()
        outcomes = []
        for n, (name, timeout) in enumerate(calls):
            shop = with_options(self.shop, timeout=timeout)
            outcomes.append((n, name, timeout, self.watch(getattr(shop, name)(n))))
        self.advance(2.2)
        for n, name, timeout, outcome in outcomes:
            self.assertEqual(len(outcome.results), 1, (name, timeout))
            assert outcome.at is not None
            self.assertLessEqual(outcome.at - start, timeout + 0.0501)
            times = sent_at.get(str(n), [])
            self.assertLessEqual(len(times), 5)
            # What was written within the deadline arrives at the end of the step.
            self.assertTrue(all(at <= start + timeout + 0.0101 for at in times))
            if name in {"buy", "pay"}:
                ids = dict.fromkeys(
                    call["request_id"]
                    for call in self.server.calls
                    if call["params"] == [n]
                )
                for old in list(ids)[:-1]:
                    self.assertTrue(all(refused[old]), "a second id after an ambiguity")
                result = outcome.results[0]
                if isinstance(result, Failure) and outcome.error.executed == "no":
                    self.assertTrue(all(all(refused[each]) for each in ids))
        client.close()
        self.pump()
        self.advance(1.1)
        self.quiet()


class MedianTests(ScriptedCase):
    """
    How long answers take.
    """

    def target(self) -> Target:
        """
        A target that has not seen an answer.
        """
        return Target(
            idl.Shop.by_name["look"], 30.0, AT_ONCE, None, wait_for_ready=False
        )

    def test_the_first(self) -> None:
        """
        The first duration is taken as it is.
        """
        target = self.target()
        target.took(0.2)
        self.assertEqual(target.median, 0.2)

    @given(st.floats(0.001, 1), st.floats(0.001, 1))
    @settings(max_examples=30)
    def test_it_settles(self, first: float, then: float) -> None:
        """
        It settles at what most answers take, and never falls below nothing.
        """
        target = self.target()
        target.took(first)
        for _ in range(300):
            target.took(then)
        self.assertTrue(abs(target.median - then) <= then * 0.06, target.median)

    def test_it_is_measured(self) -> None:
        """
        One answer in sixteen is measured.
        """
        connection = self.started()
        for n in range(16):
            self.watch(self.shop.look(n))
            self.advance(0.1)
            connection.reply(connection.calls[-1])
            self.pump()
        self.assertAlmostEqual(self.shop._rpc_targets["look"].median, 0.1, places=5)


class FrameTests(ScriptedCase):
    """
    Frames that a server does not take.
    """

    def test_w4_too_big(self) -> None:
        """
        A request above what the server takes fails here, unsent, and names both
        figures.
        """
        self.server.on_hello = lambda each: each.welcome(limits__max_frame=200)
        connection = self.started()
        outcome = self.watch(self.shop.name("x" * 300))
        error = self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(error.retry_after, -1.0)
        self.assertRegex(
            error.message, r"^frame of 4\d\d bytes exceeds the limit of 200 bytes$"
        )
        self.assertEqual(connection.calls, [])
        self.ended(self.watch_answered(connection), 7)

    def watch_answered(self, connection: Scripted) -> Outcome:
        """
        One more call, answered.
        """
        outcome = self.watch(self.shop.buy(1))
        connection.reply(connection.calls[-1])
        self.pump()
        return outcome

    def test_w4_own_limit(self) -> None:
        """
        The client's own limit counts too.
        """
        self.started(limits=Limits(max_frame=1024))
        outcome = self.watch(self.shop.name("x" * 2000))
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(self.server.frames, [])

    def test_w4_oneway(self) -> None:
        """
        A oneway call that is too big fails as well.
        """
        self.server.on_hello = lambda each: each.welcome(limits__max_frame=200)
        self.started()
        outcome = self.watch(self.shop.note("x" * 300))
        self.told(outcome, "RESOURCE_EXHAUSTED", "no")

    def test_sentences_are_json(self) -> None:
        """
        Whatever is in a text, the frame is legal JSON.
        """
        connection = self.started()
        text = 'a "quoted" \\ %b %d \n \u2028 \U0001f600'
        self.watch(self.shop.name(text))
        self.assertEqual(json.loads(self.server.frames[0])["params"], [text])
        self.assertEqual(connection.calls[0]["params"], [text])
