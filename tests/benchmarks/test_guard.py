"""
Tests for L{benchmarks.guard}.
"""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import guard
from benchmarks.guard import ALLOWED, GUARDED, OURS, ratios, risen
from benchmarks.load import Load
from benchmarks.pair import Sample


class GuardTests(SynchronousTestCase):
    """
    Tests for what is compared.
    """

    def test_ratios(self) -> None:
        """
        Ratios are taken within a round, and the median of the rounds counts.
        """
        # One round of three is slow for both, and one for ours alone.
        speeds = iter([1.0, 1.0, 100.0, 100.0, 3.0, 1.0] * len(GUARDED))

        def measure(peer: str, _: Load) -> Sample:
            cpu = next(speeds) * (3.0 if peer == OURS else 2.0)
            return Sample(1, 1.0, cpu, cpu)

        found = ratios(measure, 3)
        self.assertEqual(len(found), 2 * len(GUARDED))
        self.assertEqual(set(found.values()), {1.5})

    def test_risen(self) -> None:
        """
        What is above the recorded ratio by more than is allowed is named.
        """
        recorded = {"a": 1.0, "b": 2.0}
        self.assertEqual(risen({"a": ALLOWED, "b": 1.0, "new": 9.0}, recorded), [])
        (sentence,) = risen({"a": 1.3, "b": 2.0}, recorded)
        self.assertIn("a: 1.30 times", sentence)
        self.assertIn("recorded 1.00", sentence)

    def main(self, found: list[dict[str, float]], *arguments: str) -> int:
        """Run the command with these ratios."""
        answers = iter(found)
        self.patch(guard, "ratios", lambda _: next(answers))
        file = self.mktemp()
        self.path = Path(file)
        self.path.write_text(json.dumps({guard._python(): {"a": 1.0}}))
        self.patch(guard, "RECORDED", self.path)
        return guard.main(arguments)

    def test_passes(self) -> None:
        """
        A ratio as recorded passes, and one that was as recorded when it was measured
        again.
        """
        self.assertEqual(self.main([{"a": 1.1}]), 0)
        high = {"a": 9.0}
        self.assertEqual(self.main([high] * guard.AGAIN + [{"a": 1.0}]), 0)

    def test_fails(self) -> None:
        """
        One that is high each time fails.
        """
        self.assertEqual(self.main([{"a": 1.4}] * (1 + guard.AGAIN)), 1)

    def test_record(self) -> None:
        """
        The ratios are recorded for this Python when that is asked for, and
        without a record there is nothing to compare with.
        """
        self.assertEqual(self.main([{"a": 1.404}], "--record"), 0)
        self.assertEqual(json.loads(self.path.read_text())[guard._python()], {"a": 1.4})

    def test_no_record(self) -> None:
        """
        Where nothing is recorded for this Python, there is nothing to compare.
        """
        self.patch(guard, "_python", lambda: "2.7")
        self.patch(guard, "RECORDED", Path(self.mktemp()))
        self.patch(guard, "ratios", lambda _: {"a": 9.0})
        self.assertEqual(guard.main([]), 0)
