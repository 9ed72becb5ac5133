"""
Tests for L{benchmarks.pair}, with two processes and real sockets.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cases import CASES
from benchmarks.load import Load
from benchmarks.pair import Failed, measure
from benchmarks.peers import AMP, BARE

FREE = (None, None)


class MeasureTests(SynchronousTestCase):
    """
    Tests for L{measure}.
    """

    def test_sample(self) -> None:
        """
        A sample has the calls of the window and the CPU of both ends.
        """
        found = measure(BARE, CASES["pipelined"].load(0.01, 0.02), FREE)
        self.assertGreaterEqual(found.calls, 64)
        self.assertGreater(min(found.rate, found.server, found.client), 0)

    def test_reason(self) -> None:
        """
        A case that a peer cannot do fails with the peer's own reason, soon.
        """
        load = Load("echo", 100_000, 1, 1, 0.01, 0.02)
        error = self.assertRaises(Failed, measure, AMP, load, FREE)
        self.assertEqual(str(error), "TooLong")
