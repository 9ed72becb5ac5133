"""
Tests for L{benchmarks.report}.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cases import CASES
from benchmarks.pair import Sample
from benchmarks.peers import AMP, BARE
from benchmarks.report import (
    COLUMNS,
    Spread,
    as_json,
    figure,
    markdown,
    ratio,
    shown,
)
from benchmarks.rounds import Outcome, Plan

RATE = COLUMNS["calls/s"]


def sample(rate: float, server: float = 1.0) -> Sample:
    """A sample of these figures."""
    return Sample(10, rate, server, 2.0)


class FigureTests(SynchronousTestCase):
    """
    Tests for how figures look.
    """

    def test_digits(self) -> None:
        """
        Three digits that count are shown, and all that stand before the point.
        """
        found = [figure(value) for value in (0.123, 1.0, 12.34, 123.4, 12345.6)]
        self.assertEqual(found, ["0.12", "1.00", "12.3", "123", "12,346"])

    def test_spread(self) -> None:
        """
        A cell is the median, with the lowest and the highest.
        """
        self.assertEqual(shown(Spread.of([3.0, 1.0, 2.0])), "2.00 (1.00-3.00)")

    def test_nothing(self) -> None:
        """
        A cell without figures is a dash.
        """
        self.assertEqual(shown(Spread.of([])), "-")


class RatioTests(SynchronousTestCase):
    """
    Tests for L{ratio}.
    """

    def test_within_a_round(self) -> None:
        """
        Ratios are between figures of one round: a slow round slows both.
        """
        mine = {0: sample(200), 1: sample(20)}
        other = {0: sample(100), 1: sample(10)}
        self.assertEqual(ratio(RATE, mine, other), Spread(2.0, 2.0, 2.0))

    def test_missing_round(self) -> None:
        """
        A round that one of the two lacks does not count.
        """
        mine = {0: sample(200), 1: sample(20)}
        self.assertEqual(ratio(RATE, mine, {1: sample(10)}), Spread(2.0, 2.0, 2.0))
        self.assertIsNone(ratio(RATE, mine, {}))


class ReportTests(SynchronousTestCase):
    """
    Tests for L{markdown} and L{as_json}.
    """

    def setUp(self) -> None:
        case = CASES["sequential"]
        self.plan = Plan([BARE, AMP, "gone"], [case], {"one": (0, 0)}, 2, 0.1, 0.2)
        self.outcome = Outcome(
            {
                ("one", case.name, BARE): {0: sample(300, 1.0), 1: sample(100, 2.0)},
                ("one", case.name, AMP): {0: sample(100, 4.0)},
            },
            {
                ("one", case.name, AMP): "TooLong",
                ("one", case.name, "gone"): "not installed: a | b",
            },
        )

    def test_rows(self) -> None:
        """
        Each peer has a row, of figures or with the reason why there are none.
        """
        found = markdown(self.plan, self.outcome, {"Python": "3"}).splitlines()
        self.assertIn("- Python: 3", found)
        bare, amp, gone = found[-3:]
        self.assertEqual(
            bare,
            "| bare msgspec | 200 (100-300) | 1.50 (1.00-2.00) | 2.00 (2.00-2.00)"
            " | 3.00 (3.00-3.00) | 1.00 (1.00-1.00) | 1.00 (1.00-1.00) |",
        )
        self.assertEqual(
            amp,
            "| AMP (1 of 2 rounds) | 100 (100-100) | 4.00 (4.00-4.00)"
            " | 2.00 (2.00-2.00) | 1.00 (1.00-1.00) | 4.00 (4.00-4.00)"
            " | 1.00 (1.00-1.00) |",
        )
        self.assertEqual(gone, "| gone | not installed: a \\| b | - | - | - | - | - |")

    def test_json(self) -> None:
        """
        The JSON holds every sample by round, and says why others are missing.
        """
        found = as_json(self.plan, self.outcome, {})
        bare, amp, gone = json.loads(json.dumps(found))["rows"]
        self.assertEqual([each["round"] for each in bare["samples"]], [0, 1])
        self.assertEqual(bare["figures"]["calls/s"]["median"], 200)
        self.assertEqual(amp["reason"], "TooLong")
        self.assertIsNone(gone["figures"]["calls/s"])
