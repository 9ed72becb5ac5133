"""
Tests for second calls where the first takes long.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.client.interceptors.asked import AskedCase
from tests.client.scripted import Outcome, Scripted
from twisted_rpc import Request
from twisted_rpc.call import Answer
from twisted_rpc.client.interceptors.hedging import Hedging
from twisted_rpc.client.interceptors.latency import KEPT, NEEDED, Latency

#: Nobody here looks at it.
REQUEST: Any = None


class LatencyTests(SynchronousTestCase):
    """
    Quantiles.
    """

    def test_unknown(self) -> None:
        """
        Of few calls nothing is said.
        """
        latency = Latency(0.95)
        for _ in range(NEEDED - 1):
            latency.took(1.0)
            self.assertIsNone(latency.value)
        latency.took(1.0)
        self.assertEqual(latency.value, 1.0)

    def test_it_follows(self) -> None:
        """
        It is that of the last calls.
        """
        latency = Latency(0.95)
        for seconds in (1.0, 2.0):
            for _ in range(KEPT):
                latency.took(seconds)
            self.assertEqual(latency.value, seconds)

    @given(st.lists(st.floats(0, 100), min_size=NEEDED, max_size=KEPT), st.floats(0, 1))
    def test_quantile(self, durations: list[float], quantile: float) -> None:
        """
        So great a part of them is not longer.
        """
        latency = Latency(quantile)
        for each in durations:
            latency.took(each)
        value = latency.value
        assert value is not None
        within = sum(each <= value for each in durations)
        self.assertGreaterEqual(within, quantile * (len(durations) - 1))


class HedgingTests(AskedCase):
    """
    C{@hedge} of the IDL (C10).
    """

    def known(self, method: str = "find", calls: int = 40, **options: Any) -> Scripted:
        """
        Make a client that knows that C{method} takes up to 20 ms.
        """
        connection = self.started(**options)
        for n in range(calls):
            outcome = self.watch(getattr(self.shop, method)(n))
            self.advance(0.02 if n < 20 else 0.015, step=0.005)
            connection.reply(connection.calls[-1])
            self.pump()
            self.ended(outcome, 7)
        connection.calls.clear()
        self.server.frames.clear()
        return connection

    def test_after_the_quantile(self) -> None:
        """
        A call without an answer in the time that others take gets a copy, with
        a second id; the first answer is the call's, and the other is cancelled.
        """
        connection = self.known()
        outcome = self.watch(self.shop.find(5))
        self.advance(0.019, step=0.001)
        self.assertEqual(len(connection.calls), 1)
        self.advance(0.002, step=0.001)
        first, second = connection.calls
        self.assertNotEqual(first["request_id"], second["request_id"])
        self.assertEqual(first["params"], second["params"])
        self.assertNotIn("attempt", second["ext"])
        connection.reply(second, 9)
        self.pump()
        self.ended(outcome, 9)
        (cancel,) = connection.controls
        self.assertEqual(
            (cancel["method"], cancel["params"]), ("cancel", [first["request_id"]])
        )
        figures = self.client.counters()
        self.assertEqual((figures["hedges"], figures["hedges_won"]), (1, 1))

    def test_the_first_wins(self) -> None:
        """
        If the first is answered after all, the copy is cancelled.
        """
        connection = self.known()
        outcome = self.watch(self.shop.find(5))
        self.advance(0.03)
        first, second = connection.calls
        connection.reply(first, 9)
        self.pump()
        self.ended(outcome, 9)
        self.assertEqual(connection.controls[0]["params"], [second["request_id"]])
        self.assertEqual(self.client.pool.counters.hedges_won, 0)

    def test_in_time(self) -> None:
        """
        A call that is answered in time has no copy, and leaves no timer.
        """
        connection = self.known()
        outcome = self.watch(self.shop.find(5))
        connection.reply(connection.calls[0])
        self.pump()
        self.ended(outcome, 7)
        self.client.close()
        self.advance(2)
        self.assertEqual(self.asked(), 1)
        self.quiet()

    def test_idempotent(self) -> None:
        """
        An idempotent method may be hedged: under a second id.
        """
        connection = self.known("put")
        self.watch(self.shop.put(5))
        self.advance(0.03)
        self.assertEqual(len({call["request_id"] for call in connection.calls}), 2)

    def test_one_copy(self) -> None:
        """
        There is one copy, however long it takes.
        """
        connection = self.known()
        self.watch(self.shop.find(5))
        self.advance(5)
        self.assertEqual(len(connection.calls), 2)

    def test_not_before_it_is_known(self) -> None:
        """
        While little is known of the method, nothing is hedged.
        """
        connection = self.known(calls=10)
        self.watch(self.shop.find(5))
        self.advance(5)
        self.assertEqual(len(connection.calls), 1)

    def test_at_most_a_twentieth(self) -> None:
        """
        If all calls take long, at most 5 % have a copy.
        """
        connection = self.known()
        outcomes = []
        for n in range(400):
            outcomes.append(self.watch(self.shop.find(n)))
            self.advance(0.05)
            for call in connection.calls:
                connection.reply(call)
            connection.calls.clear()
            self.pump()
        for outcome in outcomes:
            self.ended(outcome, 7)
        copies = self.asked() - 400
        self.assertEqual(copies, self.client.pool.counters.hedges)
        self.assertLessEqual(copies, 0.05 * 440)
        self.assertGreater(copies, 5)

    def test_five_at_once(self) -> None:
        """
        However many calls there were without a copy, at most five come together.
        """
        self.known(calls=200)
        for n in range(40):
            self.watch(self.shop.find(n))
        self.advance(5, step=0.1)
        self.assertEqual(self.client.counters()["hedges"], 5)

    def test_within_the_budget(self) -> None:
        """
        While the retry budget is spent, nothing is hedged.
        """
        connection = self.known()
        self.client.pool.budget.tokens = 4.0
        self.watch(self.shop.find(5))
        self.advance(1)
        self.assertEqual(len(connection.calls), 1)

    def test_without_a_connection(self) -> None:
        """
        Nor while there is no connection: a copy would wait for it as well.
        """
        connection = self.known()
        self.watch(self.shop.find(5))
        self.endpoint.factory = None
        connection.drop()
        self.advance(1)
        self.assertEqual(self.client.pool.counters.hedges, 0)

    def test_one_fails(self) -> None:
        """
        If one of the two is refused, the other may still be answered; if both
        are, the call fails.
        """
        for last_fails in (False, True):
            connection = self.known(retry_budget=None)
            outcome = self.watch(self.shop.find(5))
            self.advance(0.03)
            first, second = connection.calls
            connection.refuse(first, "PERMISSION_DENIED")
            self.pump()
            self.assertEqual(outcome.results, [])
            if last_fails:
                connection.refuse(second, "PERMISSION_DENIED")
                self.pump()
                self.told(outcome, "PERMISSION_DENIED", "no")
            else:
                connection.reply(second, 9)
                self.pump()
                self.ended(outcome, 9)

    def test_one_may_have_run(self) -> None:
        """
        If one of the two may have run, so may the call, whichever failed last.
        """
        for first_ran in (True, False):
            connection = self.known()
            outcome = self.watch(self.shop.find(5))
            self.advance(0.03)
            first, second = connection.calls
            connection.refuse(first, "DATA_LOSS", "unknown" if first_ran else "no")
            self.pump()
            connection.refuse(second, "ABORTED", "no" if first_ran else "unknown")
            self.pump()
            self.told(outcome, "DATA_LOSS" if first_ran else "ABORTED", "unknown")

    def knowing(self) -> Hedging:
        """
        @return: one that has seen enough calls, which took no time.
        """
        hedging = Hedging(self.client.pool, 0.5)
        for _ in range(NEEDED):
            hedging(lambda _: b"1")(REQUEST)
        return hedging

    def test_given_up_as_it_is_copied(self) -> None:
        """
        If the call is given up by somebody who is told as the copy is made, the
        copy is given up too.
        """
        self.started()
        hedging = self.knowing()
        first: Deferred[bytes] = Deferred()
        second: Deferred[bytes] = Deferred()
        legs = iter([first, second])

        def respond(_: Request) -> Answer:
            leg = next(legs)
            if leg is second:
                race.cancel()
            return leg

        race: Any = hedging(respond)(REQUEST)
        self.advance(0.1)
        self.failureResultOf(race, CancelledError)
        # Whose failures nobody needs any more.
        self.assertEqual([first.called, second.called], [True, True])
        self.assertIsNone(self.successResultOf(second))

    def test_given_up_as_the_loser_ends(self) -> None:
        """
        Who is told as the loser makes room for others may give the call up: it has
        its answer.
        """
        self.started()
        hedging = self.knowing()
        second: Deferred[bytes] = Deferred()
        answers = iter([Deferred(lambda _: race.cancel()), second])
        race: Any = hedging(lambda _: next(answers))(REQUEST)
        self.advance(0.1)
        second.callback(b"2")
        self.assertEqual(self.successResultOf(race), b"2")
        self.assertIsNone(self.successResultOf(second))

    def test_the_implementation_fails(self) -> None:
        """
        What the implementation answers is the answer, errors too.
        """
        connection = self.known()
        outcome = self.watch(self.shop.find(5))
        self.advance(0.03)
        connection.refuse(connection.calls[0], "NOT_FOUND", "yes")
        self.pump()
        self.told(outcome, "NOT_FOUND", "yes")
        self.assertEqual([each["method"] for each in connection.controls], ["cancel"])

    def test_cancelled(self) -> None:
        """
        Giving the call up cancels both.
        """
        connection = self.known()
        deferred = self.shop.find(5)
        outcome = self.watch(deferred)
        self.advance(0.03)
        deferred.cancel()
        self.pump()
        outcome.results[0].trap(CancelledError)
        self.assertEqual(len(connection.controls), 2)
        self.client.close()
        self.advance(2)
        self.quiet()

    def test_deadline(self) -> None:
        """
        Both end with the call's deadline.
        """
        connection = self.known(timeout=1.0)
        start = self.clock.seconds()
        outcome = self.watch(self.shop.find(5))
        self.advance(1.2)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")
        assert outcome.at is not None
        self.assertLessEqual(outcome.at - start, 1.05)
        self.assertLessEqual(connection.calls[1]["ext"]["timeout"], 981)

    def test_off(self) -> None:
        """
        A client may do without; then nothing stands in the way of a call.
        """
        self.start(hedge=False)
        target: Any = self.shop._rpc_targets["find"]
        self.assertEqual(target.ask, self.client.pool.start)

    def test_at_once(self) -> None:
        """
        A call that ends as it is made needs no copy.
        """
        self.known()
        self.client.close()
        self.pump()
        outcome = Outcome(self.shop.find(5), self.clock)
        self.told(outcome, "UNAVAILABLE", "no")
        self.advance(2)
        self.quiet()
