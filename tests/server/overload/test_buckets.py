"""
Tests for the rates of callers.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.server.overload.buckets import Buckets


class BucketsTests(SynchronousTestCase):
    """
    L{Buckets}.
    """

    def test_so_many(self) -> None:
        """
        At first a bucket is full; then tokens come back one by one, and the
        caller is told when the next does.
        """
        buckets = Buckets(4, 1.0, 10, Counter())
        self.assertEqual([buckets.take("ann", 0.0) for _ in range(4)], [0.0] * 4)
        self.assertAlmostEqual(buckets.take("ann", 0.0), 0.25)
        self.assertAlmostEqual(buckets.take("ann", 0.1), 0.15)
        self.assertEqual(buckets.take("ann", 0.25), 0.0)
        self.assertGreater(buckets.take("ann", 0.25), 0.0)

    def test_each_their_own(self) -> None:
        """
        One caller's calls take no other's tokens.
        """
        buckets = Buckets(1, 1.0, 10, Counter())
        self.assertEqual(buckets.take("ann", 0.0), 0.0)
        self.assertEqual(buckets.take("bob", 0.0), 0.0)
        self.assertGreater(buckets.take("ann", 0.0), 0.0)

    def test_bounded(self) -> None:
        """
        No more callers are kept than is said, and none for whom there is nothing
        to keep; those forgotten before their time are counted.
        """
        ended: Counter[str] = Counter()
        buckets = Buckets(1, 1.0, 100, ended)
        for number in range(1000):
            buckets.take(f"caller {number}", number * 1e-6)
            self.assertLessEqual(len(buckets), 100)
        self.assertEqual(ended, {"max_buckets": 900})
        for second in range(2, 200):
            buckets.take("ann", second)
        self.assertEqual(len(buckets), 1)

    @given(
        st.integers(1, 20),
        st.floats(0.01, 100),
        st.lists(st.floats(0, 10), max_size=100),
    )
    def test_never_more(self, calls: int, per: float, pauses: list[float]) -> None:
        """
        In no time are more let through than a full bucket and what flows in.
        """
        buckets = Buckets(calls, per, 10, Counter())
        now, taken = 0.0, []
        for pause in pauses:
            now += pause * per / 100
            if not buckets.take("ann", now):
                taken.append(now)
        for i, start in enumerate(taken):
            for j in range(i, len(taken)):
                most = calls + (taken[j] - start) * calls / per
                self.assertLessEqual(j - i + 1, most + 0.02)
