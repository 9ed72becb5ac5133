"""
Tests for asking less of a server that refuses.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.client.interceptors.asked import AskedCase
from tests.client.scripted import answered
from twisted_rpc.client.interceptors.throttling import AdaptiveThrottle, Recent
from twisted_rpc.client.retry import NO_RETRY


class RecentTests(SynchronousTestCase):
    """
    Figures that are forgotten.
    """

    def test_window(self) -> None:
        """
        What is older than the window does not count.
        """
        recent = Recent(120.0)
        for second in range(0, 240, 10):
            recent.add(second)
            recent.add(second)
        self.assertEqual(recent.total(239), 24)
        self.assertEqual(recent.total(300), 10)
        self.assertEqual(recent.total(1000), 0)

    def test_bounded(self) -> None:
        """
        It keeps a few figures, whatever happens.
        """
        recent = Recent(120.0)
        for n in range(100_000):
            recent.add(n / 10)
            recent.total(n / 10)
        self.assertLessEqual(len(recent._pieces), 13)


class ThrottlingTests(AskedCase):
    """
    A client with the adaptive throttle (C11).
    """

    def throttled(self, **rules: Any) -> None:
        """
        Make one, whose chance is always the same.
        """
        chance = random.Random(5).random
        self.start(throttle=AdaptiveThrottle(chance=chance, **rules), retry=NO_RETRY)

    def test_a_server_that_serves(self) -> None:
        """
        Nothing is refused while calls are served, or fail by themselves.
        """
        self.throttled()
        for n in range(100):
            self.server.on_call = (
                answered
                if n % 2
                else lambda connection, call: connection.refuse(call, "INTERNAL", "yes")
            )
            self.watch(self.shop.buy(n))
        self.assertEqual(self.asked(), 100)
        self.assertEqual(self.client.pool.counters.throttled, 0)

    def test_a_server_that_refuses(self) -> None:
        """
        When the server refuses everything, nearly nothing is sent; what is not,
        fails with RESOURCE_EXHAUSTED and has not run.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.throttled()
        for n in range(1000):
            error = self.told(self.watch(self.shop.buy(n)), "RESOURCE_EXHAUSTED", "no")
        self.assertFalse(error.remote)
        self.assertLess(self.asked(), 30)
        self.assertEqual(self.client.pool.counters.throttled, 1000 - self.asked())

    def test_as_much_as_it_serves(self) -> None:
        """
        Of a server that serves a quarter, about twice that is asked.
        """
        served = [0]

        def some(connection: Any, call: Any) -> None:
            served[0] += 1
            if served[0] % 4:
                connection.refuse(call, "RESOURCE_EXHAUSTED")
            else:
                connection.reply(call)

        self.server.on_call = some
        self.throttled()
        for n in range(4000):
            self.watch(self.shop.buy(n))
        part = self.asked() / 4000
        # Half of what is sent would be served if it could choose; a quarter is.
        self.assertLess(part, 0.2)

    def test_it_recovers(self) -> None:
        """
        When the server serves again, so does the client, within the window.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.throttled(window=12.0)
        for n in range(100):
            self.watch(self.shop.buy(n))
        self.server.on_call = answered
        self.advance(13, step=0.5)
        for n in range(20):
            self.ended(self.watch(self.shop.buy(n)), 7)

    def test_given_up(self) -> None:
        """
        What callers give up is no refusal.
        """
        self.throttled()
        for n in range(50):
            deferred = self.shop.buy(n)
            self.watch(deferred)
            deferred.cancel()
        self.pump()
        self.assertEqual(self.asked(), 50)

    def test_two_minutes(self) -> None:
        """
        It looks at the last two minutes, unless told otherwise.
        """
        self.assertEqual((AdaptiveThrottle().k, AdaptiveThrottle().window), (2, 120))

    def test_rules(self) -> None:
        """
        Rules that cannot work are refused by name.
        """
        for name, value in (("k", 0.5), ("window", 0)):
            rules: dict[str, Any] = {name: value}
            with self.assertRaises(ValueError) as caught:
                AdaptiveThrottle(**rules)
            self.assertIn(name, str(caught.exception))
