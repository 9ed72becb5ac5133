"""
Tests for L{benchmarks.idle}.
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from benchmarks import idle


class IdleTests(TestCase):
    """
    Tests for what connections cost that say nothing.
    """

    def test_rows(self) -> None:
        """
        Each peer is a row for each number of connections, with figures.
        """
        self.patch(idle, "COUNTS", (12,))
        self.patch(idle, "FIRST", 2)
        self.patch(idle, "IDLE", 0.01)
        self.patch(idle, "SETTLE", 0.0)
        found = idle.rows()
        self.assertEqual(
            [row[:2] for row in found], [[name, "12"] for name in idle.FIRST_WORDS]
        )
        for row in found:
            self.assertGreater(float(row[3]), 0)
        self.assertIn("| twisted_rpc | 12 |", idle.markdown(found))

    def test_refused(self) -> None:
        """
        A server that refuses is a row with the reason.
        """
        self.patch(idle, "FIRST_WORDS", {"twisted_rpc": idle.framed({"hello": 1})})
        (row,) = idle.rows()
        self.assertIn("Invalid request", row[1])
