"""
Tests for L{twisted_rpc.delivery.sql.usage}.
"""

from __future__ import annotations

import sys
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.delivery.sql.usage import Usage


class UsageTests(SynchronousTestCase):
    """
    What holders have.
    """

    def setUp(self) -> None:
        self.usage = Usage()

    def commit(self, grown: dict[str, int]) -> None:
        """A transaction is committed."""
        self.usage.committing()(grown)

    def counted(self, holder: str) -> int:
        """What is known of one, without asking the database."""

        def unknown() -> int:
            raise AssertionError("it is not known")

        return self.usage.of(holder, unknown)

    def test_counted_once(self) -> None:
        """
        The database is asked once, and what is committed afterwards is added; so it
        is for one that is new, which it is not asked about.
        """
        self.assertEqual(self.usage.of("a", lambda: 7), 7)
        self.usage.add("b")
        self.commit({"a": 2, "b": 5, "c": 1})
        self.assertEqual((self.counted("a"), self.counted("b")), (9, 5))
        self.assertEqual(self.usage.total, 8)
        self.usage.forget("a")
        self.usage.forget("a")
        self.assertEqual(self.usage.of("a", lambda: 3), 3)

    def test_committed_while_it_counts(self) -> None:
        """
        What other threads commit while the database counts is not left out.
        """

        def count() -> int:
            self.commit({"a": 5})
            return 10

        self.assertEqual(self.usage.of("a", count), 15)
        self.assertEqual(self.counted("a"), 15)
        self.usage.look(count)
        self.assertEqual(self.usage.total, 15)
        self.assertEqual(self.usage.of("a", lambda: 1), 1)

    def test_freed_while_it_counts(self) -> None:
        """
        What others free at that time may be missing already from what the database
        says, and is not subtracted again; nor is what they had begun to commit.
        """
        self.commit({"a": 100})
        slow = self.usage.committing()

        def count() -> int:
            self.commit({"a": -60})
            return 30

        self.assertEqual(self.usage.of("a", count), 30)
        self.usage.look(count)
        self.assertEqual(self.usage.of("a", lambda: 30), 30)
        slow({"a": -10})
        self.assertEqual((self.usage.total, self.counted("a")), (30, 30))
        self.commit({"a": -10})
        self.assertEqual((self.usage.total, self.counted("a")), (20, 20))

    def test_counted_by_two(self) -> None:
        """
        If two threads count the same at once, one of them is believed.
        """

        def count() -> int:
            self.assertEqual(self.usage.of("a", lambda: 10), 10)
            self.commit({"a": 1})
            return 10

        self.assertEqual(self.usage.of("a", count), 10)
        self.assertEqual(self.counted("a"), 11)

    def test_count_that_fails(self) -> None:
        """
        What could not be counted is not known.
        """
        self.assertRaises(ZeroDivisionError, self.usage.of, "a", lambda: 1 // 0)
        self.commit({"a": 5})
        self.assertEqual(self.usage.of("a", lambda: 7), 7)

    def test_threads(self) -> None:
        """
        However many threads commit, nothing is lost.
        """
        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-6)
        self.usage.add("a")

        def commit() -> None:
            for _ in range(2_000):
                self.commit({"a": 1, "b": 1})
                self.usage.evict()

        threads = [Thread(target=commit) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertEqual(self.usage.total, 32_000)
        self.assertEqual(self.counted("a"), 16_000)
        self.assertEqual(self.usage.evicted, 16_000)
