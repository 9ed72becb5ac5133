"""
Tests for L{benchmarks.rounds}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cases import CASES, Cores
from benchmarks.load import Load
from benchmarks.pair import Failed, Sample
from benchmarks.rounds import Plan, run


def plan(rounds: int = 3) -> Plan:
    """Three peers, one case, one placement."""
    case = CASES["sequential"]
    return Plan(["a", "b", "c"], [case], {"one": (0, 0)}, rounds, 0.1, 0.2)


class RunTests(SynchronousTestCase):
    """
    Tests for L{run}.
    """

    def setUp(self) -> None:
        self.measured: list[str] = []
        self.lines: list[str] = []

    def measure(self, peer: str, load: Load, cores: Cores) -> Sample:
        self.measured.append(peer)
        if peer == "c":
            raise Failed("not installed: c")
        return Sample(10, 1000.0, 1.0, 2.0)

    def test_interleaved(self) -> None:
        """
        Each round measures every peer once, and begins with another one.
        """
        found = [peer for *_, peer in plan().steps()]
        self.assertEqual("".join(found), "abcbcacab")
        self.assertEqual(len(plan()), 9)

    def test_failed(self) -> None:
        """
        A peer that fails has a reason, and is not tried again.
        """
        outcome = run(plan(), self.measure, self.lines.append)
        self.assertEqual(self.measured.count("c"), 1)
        key = ("one", "sequential", "c")
        self.assertEqual(outcome.reasons, {key: "not installed: c"})
        self.assertNotIn(key, outcome.samples)

    def test_samples(self) -> None:
        """
        Samples are kept by round.
        """
        outcome = run(plan(), self.measure, self.lines.append)
        self.assertEqual(list(outcome.samples["one", "sequential", "a"]), [0, 1, 2])

    def test_progress(self) -> None:
        """
        Progress says which measurement of how many comes next.
        """
        run(plan(), self.measure, self.lines.append)
        self.assertEqual(self.lines[0], "[1/9] round 1, one, sequential, a")
