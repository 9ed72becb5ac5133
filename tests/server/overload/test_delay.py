"""
Tests for telling a queue that stands from one that is worked off.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.server.overload.delay import StandingDelay


class StandingDelayTests(SynchronousTestCase):
    """
    L{StandingDelay}, with 50 ms and 100 ms.
    """

    def setUp(self) -> None:
        """
        One that has seen nothing.
        """
        self.delay = StandingDelay(0.05, 0.1)

    def test_burst(self) -> None:
        """
        Calls that were late for less than the interval are not too many.
        """
        for now in (0.0, 0.05, 0.099):
            self.assertFalse(self.delay.judge(0.06, now))
            self.assertTrue(self.delay.suspected)
        self.assertFalse(self.delay.judge(0.049, 0.1))
        self.assertFalse(self.delay.suspected)
        self.assertFalse(self.delay.judge(0.06, 0.11))

    def test_standing(self) -> None:
        """
        From then on each late one is, until one is not late.
        """
        self.delay.judge(0.06, 0.0)
        self.delay.judge(0.06, 0.05)
        self.assertTrue(self.delay.judge(0.06, 0.1))
        self.assertTrue(self.delay.judge(3.0, 0.2))
        self.assertFalse(self.delay.judge(0.0, 0.21))

    def test_again(self) -> None:
        """
        For a while after that a late one shows at once that it stands again.
        """
        self.delay.judge(0.06, 0.0)
        self.delay.judge(0.06, 0.05)
        self.assertTrue(self.delay.judge(0.06, 0.1))
        self.assertFalse(self.delay.judge(0.0, 0.11))
        self.assertTrue(self.delay.judge(0.06, 1.0))
        self.assertFalse(self.delay.judge(0.0, 1.1))
        self.assertFalse(self.delay.judge(0.06, 2.1))

    def test_long_ago(self) -> None:
        """
        What was late before a pause says nothing about what comes after it.
        """
        self.delay.judge(0.06, 0.0)
        self.assertFalse(self.delay.judge(0.06, 3600.0))
        self.assertFalse(self.delay.judge(0.06, 3600.06))
        self.assertTrue(self.delay.judge(0.06, 3600.12))

    def test_off(self) -> None:
        """
        Without a bound nothing is late.
        """
        delay = StandingDelay(float("inf"), 0.1)
        for now in range(9):
            self.assertFalse(delay.judge(1e9, now))

    @given(st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.09)), max_size=40))
    def test_as_written(self, calls: list[tuple[float, float]]) -> None:
        """
        A call is one too many if it and all in the 100 ms before it were late, or
        if there was one too many in the second before it.
        """
        delay = StandingDelay(0.05, 0.1)
        now, since, stood = 0.0, None, -9.0
        for age, pause in calls:
            now += pause
            if age < 0.05:
                since = None
            elif since is None:
                since = now
            long = since is not None and now - since >= 0.1
            expected = long or (age >= 0.05 and now - stood < 1.0)
            if expected:
                stood = now
            self.assertIs(delay.judge(age, now), expected)
