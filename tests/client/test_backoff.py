"""
Tests for L{twisted_rpc.client.backoff}.
"""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.client.backoff import Backoff

chances = st.floats(0, 1, exclude_max=True)


class BackoffTests(SynchronousTestCase):
    """
    L{Backoff}: C9.
    """

    def test_c9_delays_grow_from_100_ms_by_1_6_to_30_s(self) -> None:
        """
        Without jitter the delays are 100 ms, 160 ms, 256 ms ... and 30 s from the
        14th on.
        """
        backoff = Backoff(lambda: 0.5)
        delays = [backoff.failed() for _ in range(200)]
        for n, delay in enumerate(delays):
            self.assertAlmostEqual(delay, min(30.0, 0.1 * 1.6**n))
        self.assertEqual(delays.index(30.0), 13)

    @given(st.lists(chances, min_size=31))
    def test_c9_jitter_is_a_fifth(self, drawn: list[float]) -> None:
        """
        Each delay is within a fifth of what it would be without jitter, whatever
        is drawn.
        """
        draws = iter(drawn)
        backoff = Backoff(lambda: next(draws))
        for n in range(30):
            middle = min(30.0, 0.1 * 1.6**n)
            self.assertTrue(0.8 * middle <= backoff.failed() <= 1.2 * middle)

    def test_one_draw_an_outage(self) -> None:
        """
        All delays of an outage have the same jitter, those of the next another.
        """
        backoff = Backoff(iter([0.0, 1.0, 0.5]).__next__)
        self.assertAlmostEqual(backoff.dropped(), 0.0)
        self.assertAlmostEqual(backoff.failed(), 0.08)
        self.assertAlmostEqual(backoff.failed(), 0.128)
        backoff.worked()
        self.assertAlmostEqual(backoff.failed(), 0.12)
        self.assertAlmostEqual(backoff.dropped(), 0.05)

    @settings(max_examples=20)
    @given(st.floats(0.05, 3.0), st.integers(0, 1000))
    def test_row_19_a_restart(self, outage: float, seed: int) -> None:
        """
        Of 200 clients that lost a server at one moment, not many more than twice
        the mean come back in any tenth of a second, and all within 5 s.
        """
        chance = random.Random(seed).random
        back = []
        for _ in range(200):
            backoff = Backoff(chance)
            at = backoff.dropped()
            while at < outage:
                at += backoff.failed()
            back.append(at - outage)
        bins = Counter(int(10 * each) for each in back)
        mean = 200 / (int(10 * max(back)) + 1)
        self.assertLessEqual(max(back), 2.0)
        # Some chance is left: twice the mean, and three times its deviation.
        self.assertLessEqual(max(bins.values()), 2 * mean + 3 * mean**0.5)

    def test_the_whole_fifth_is_used(self) -> None:
        """
        The bounds of the jitter are reached.
        """
        self.assertAlmostEqual(Backoff(lambda: 0.0).failed(), 0.08)
        self.assertAlmostEqual(Backoff(lambda: 1.0).failed(), 0.12)

    def test_only_hello_resets(self) -> None:
        """
        A connection that was lost does not reset the delays, one that said hello
        does.
        """
        backoff = Backoff(lambda: 0.5)
        backoff.failed()
        backoff.dropped()
        self.assertAlmostEqual(backoff.failed(), 0.16)
        backoff.worked()
        self.assertAlmostEqual(backoff.failed(), 0.1)

    @given(chances)
    def test_clients_that_lost_a_server_come_back_spread(self, drawn: float) -> None:
        """
        After a connection that worked the first attempt comes within 100 ms, at
        any moment of them.
        """
        self.assertAlmostEqual(Backoff(lambda: drawn).dropped(), 0.1 * drawn)

    def test_chance_is_real_by_default(self) -> None:
        """
        Two clients do not draw the same.
        """
        self.assertNotEqual(
            [Backoff().dropped() for _ in range(4)],
            [Backoff().dropped() for _ in range(4)],
        )
