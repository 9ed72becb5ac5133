"""
Tests for equal questions at the same time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from tests.client.interceptors.asked import AskedCase
from tests.client.scripted import Outcome, answered
from twisted_rpc import RetryPolicy, RPCError, with_options
from twisted_rpc.client import pool


class _Own:
    """
    A policy that is not ours.
    """

    def delay(self, attempt: int, error: RPCError) -> float | None:
        """None."""
        return None


class CoalescingTests(AskedCase):
    """
    Calls that wait for the answer to another.
    """

    def test_asked_once(self) -> None:
        """
        Equal calls at the same time are one for the server; each caller gets
        the answer.
        """
        connection = self.started(coalesce=True)
        outcomes = [self.watch(self.shop.look2(1)) for _ in range(5)]
        other = self.watch(self.shop.look2(2))
        self.assertEqual([call["params"] for call in connection.calls], [[1], [2]])
        connection.reply(connection.calls[0])
        self.pump()
        for outcome in outcomes:
            self.ended(outcome, 7)
        self.assertEqual(other.results, [])
        self.assertEqual(self.client.pool.counters.coalesced, 4)

    def test_asked_again(self) -> None:
        """
        When it is answered, the next call is sent; so is one that a caller makes
        as he gets the answer.
        """
        connection = self.started(coalesce=True)
        again: list[Any] = []
        self.shop.look2(1).addCallback(lambda _: again.append(self.shop.look2(1)))
        self.pump()
        connection.reply(connection.calls[0])
        self.pump()
        self.assertEqual(len(connection.calls), 2)
        connection.reply(connection.calls[1], 8)
        self.pump()
        self.assertEqual(self.successResultOf(again[0]), 8)

    def test_off(self) -> None:
        """
        By default every call is sent, since one that joins a call that began
        before a write would read what was true before it; but for methods with
        C{@cache}, whose answers may be old.
        """
        connection = self.started()
        for _ in range(3):
            self.watch(self.shop.look2(1))
        self.assertEqual(len(connection.calls), 3)
        for _ in range(3):
            self.watch(self.shop.price(1))
        self.assertEqual(len(connection.calls), 4)

    def test_only_readonly(self) -> None:
        """
        A call that does something is never joined.
        """
        connection = self.started(coalesce=True)
        for method in (self.shop.buy, self.shop.put):
            for _ in range(2):
                self.watch(method(1))
        self.assertEqual(len(connection.calls), 4)

    def test_errors(self) -> None:
        """
        An error is everybody's.
        """
        connection = self.started(coalesce=True)
        outcomes = [self.watch(self.shop.look2(1)) for _ in range(3)]
        connection.refuse(connection.calls[0], "NOT_FOUND", "yes")
        self.pump()
        for outcome in outcomes:
            self.told(outcome, "NOT_FOUND", "yes")

    def test_deadlines(self) -> None:
        """
        Each has a deadline of his own; who has more time than the call under way
        makes another.
        """
        connection = self.started(coalesce=True)
        first = self.watch(with_options(self.shop, timeout=2.0).look2(1))
        brief = self.watch(with_options(self.shop, timeout=0.5).look2(1))
        long = self.watch(with_options(self.shop, timeout=5.0).look2(1))
        joins = self.watch(with_options(self.shop, timeout=4.0).look2(1))
        self.assertEqual(len(connection.calls), 2)
        start = self.clock.seconds()
        self.advance(0.6)
        self.told(brief, "DEADLINE_EXCEEDED", "unknown")
        assert brief.at is not None
        self.assertLessEqual(brief.at - start, 0.55)
        self.advance(1.5)
        self.told(first, "DEADLINE_EXCEEDED", "unknown")
        connection.reply(connection.calls[1], 9)
        self.pump()
        self.ended(long, 9)
        self.ended(joins, 9)

    def test_given_up(self) -> None:
        """
        Who gives up does not end what others wait for; the last does.
        """
        connection = self.started(coalesce=True)
        deferreds = [self.shop.look2(1) for _ in range(3)]
        outcomes = [Outcome(each, self.clock) for each in deferreds]
        self.pump()
        deferreds[0].cancel()
        deferreds[1].cancel()
        self.pump()
        self.assertEqual(connection.controls, [])
        deferreds[2].cancel()
        self.pump()
        self.assertEqual([each["method"] for each in connection.controls], ["cancel"])
        for outcome in outcomes:
            self.assertEqual(len(outcome.results), 1)
            outcome.results[0].trap(CancelledError)
        self.watch(self.shop.look2(1))
        self.assertEqual(len(connection.calls), 2)

    def test_given_up_by_who_is_told(self) -> None:
        """
        A caller may give another one up as he gets the answer.
        """
        connection = self.started(coalesce=True)
        second: list[Any] = []
        first = self.shop.look2(1).addCallback(lambda _: second[0].cancel())
        second.append(self.shop.look2(1))
        outcome = self.watch(second[0])
        connection.reply(connection.calls[0])
        self.pump()
        self.assertIsNone(self.successResultOf(first))
        self.assertEqual(len(outcome.results), 1)
        outcome.results[0].trap(CancelledError)

    def test_given_up_by_who_is_late(self) -> None:
        """
        Or as his time is up, when that of the other is up as well; or the client
        may be closed then.  Whoever else waits is told in time all the same.
        """
        for does in ("cancel", "close"):
            self.started(coalesce=True)
            brief = with_options(self.shop, timeout=0.5)
            self.watch(self.shop.look2(1))
            first, second = brief.look2(1), brief.look2(1)
            outcome = Outcome(second, self.clock)
            third = Outcome(with_options(self.shop, timeout=0.6).look2(1), self.clock)
            ends = second.cancel if does == "cancel" else self.client.close
            first.addErrback(lambda _, ends=ends: ends() and None)
            self.advance(1)
            self.successResultOf(first)
            self.assertEqual([len(each.results) for each in (outcome, third)], [1, 1])

    def test_given_up_by_who_came_behind(self) -> None:
        """
        Or as the call that nobody waits for any more makes room for another, which
        has no time left.
        """
        self.server.on_hello = lambda connection: connection.welcome(
            limits__max_inflight=1
        )
        self.started(coalesce=True)
        first = self.shop.look2(1)
        late = Outcome(with_options(self.shop, timeout=0.5).look2(1), self.clock)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        hurried = with_options(self.shop, timeout=0.6)
        hurried._rpc_targets["buy"].median = 1.0
        behind = hurried.buy(1)
        behind.addErrback(lambda _: late.deferred.cancel())
        third = Outcome(with_options(self.shop, timeout=0.7).look2(2), self.clock)
        self.advance(1)
        self.told(late, "DEADLINE_EXCEEDED", "unknown")
        self.successResultOf(behind)
        self.assertEqual(len(third.results), 1)

    def test_other_patience(self) -> None:
        """
        A call that is to be attempted again, or to wait for a connection, does not
        fail with one that is not.
        """
        self.started(coalesce=True)
        connection = self.server.here
        impatient = with_options(self.shop, retry=RetryPolicy(max_attempts=1))
        own = with_options(self.shop, retry=_Own())
        shops = [impatient, impatient, self.shop, own, own, with_options(own)]
        outcomes = [Outcome(shop.look2(1), self.clock) for shop in shops]
        self.pump()
        self.assertEqual(len(connection.calls), 3)
        for call in list(connection.calls):
            connection.refuse(call, "RESOURCE_EXHAUSTED")
        self.advance(0.2)
        for call in connection.calls[3:]:
            connection.reply(call, 8)
        self.pump()
        for outcome in outcomes[:2]:
            self.told(outcome, "RESOURCE_EXHAUSTED", "no")
        self.ended(outcomes[2], 8)
        connection.drop()
        self.endpoint.factory = None
        self.pump()
        fails = Outcome(self.shop.look2(2), self.clock)
        waits = Outcome(
            with_options(self.shop, wait_for_ready=True).look2(2), self.clock
        )
        self.advance(0.5)
        self.told(fails, "UNAVAILABLE", "no")
        self.endpoint.factory = self.server
        self.server.on_call = answered
        self.advance(0.5)
        self.ended(waits, 7)

    def test_closed(self) -> None:
        """
        Closing ends them all, and leaves no timer.
        """
        self.started(coalesce=True)
        outcomes = [self.watch(self.shop.look2(1)) for _ in range(3)]
        self.client.close()
        self.pump()
        for outcome in outcomes:
            self.told(outcome, "UNAVAILABLE", "unknown")
        self.advance(2)
        self.quiet()

    def test_fork(self) -> None:
        """
        A fork does not wait for what its parent asked.
        """
        self.started(coalesce=True)
        parents = self.watch(self.shop.look2(1))
        # As the fork sees it.
        self.patch(pool, "_forks", [pool._forks[0] + 1])
        outcome = self.watch(self.shop.look2(1))
        new = self.server.here
        new.reply(new.calls[0])
        self.pump()
        self.ended(outcome, 7)
        self.assertEqual(parents.results, [])

    def test_with_the_cache(self) -> None:
        """
        A stampede for what is not in the cache is one call; then it is.
        """
        connection = self.started()
        outcomes = [self.watch(self.shop.price(1)) for _ in range(10)]
        (call,) = connection.calls
        connection.reply(call, 5)
        self.pump()
        for outcome in outcomes:
            self.ended(outcome, 5)
        self.ended(self.watch(self.shop.price(1)), 5)
        self.assertEqual(len(connection.calls), 1)
