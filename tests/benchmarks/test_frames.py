"""
Tests for L{benchmarks.frames}.
"""

from __future__ import annotations

from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.frames import KIB, RECEIVERS, markdown, receive


class ReceiveTests(SynchronousTestCase):
    """
    Tests for L{receive}.
    """

    def test_each(self) -> None:
        """
        Each receiver gets the frame, and no piece takes longer than all.
        """
        for make in RECEIVERS.values():
            found = receive(make, 100 * KIB)
            self.assertGreater(found.longest, 0)
            self.assertLessEqual(found.longest, found.total)

    def test_lost(self) -> None:
        """
        A receiver that loses the frame is not measured.
        """
        with self.assertRaises(ValueError):
            receive(lambda received: Protocol(), KIB)

    def test_table(self) -> None:
        """
        The table names what linear growth would be.
        """
        found = markdown([["a", "1.00", "2.00", "4.00", "4.0", "0.10"]])
        self.assertIn("linear is 4 times, quadratic 16. ", found)
        self.assertIn("| a | 1.00 | 2.00 | 4.00 | 4.0 | 0.10 |", found)
