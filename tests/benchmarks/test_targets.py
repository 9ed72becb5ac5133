"""
Tests for L{benchmarks.targets} and L{benchmarks.start}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import start, targets
from benchmarks.pair import Failed, Sample
from benchmarks.peers import AMP, BARE
from benchmarks.report import Spread
from benchmarks.rounds import Outcome
from benchmarks.targets import OURS, TARGETS


class TargetsTests(SynchronousTestCase):
    """
    Tests for what is compared with the targets.
    """

    def test_nothing(self) -> None:
        """
        What was not measured is neither reached nor missed.
        """
        found = targets.rows(Outcome(), {})
        self.assertEqual(len(found), len(TARGETS))
        self.assertEqual({row[-1] for row in found}, {"not measured"})

    def test_found(self) -> None:
        """
        A figure is compared with its bound, in the direction that is good.
        """
        outcome = Outcome()
        figures = {OURS: (10.0, 1.3, 1.1), BARE: (10.0, 1.0, 1.0), AMP: (1.0, 9.0, 9.0)}
        for peer, figures_of in figures.items():
            for placement in ("one", "two"):
                outcome.samples[placement, "pipelined", peer] = {
                    0: Sample(1, *figures_of)
                }
        found = {
            "idle": [[OURS, "10,000", "2,500", "1", "1"]],
            "cores": {
                1: [{"calls": 100, "seconds": 1.0}, {"calls": 50, "seconds": 1.0}],
                2: [{"calls": 180, "seconds": 1.0}, {"calls": 85, "seconds": 1.0}],
            },
            "start": [["twistd", 1200.0], ["import", 5.0]],
        }
        rows = {row[1]: row[2:] for row in targets.rows(outcome, found)}
        server = "server: at most 1.2 times the bare pair's CPU a call"
        client = server.replace("server", "client")
        self.assertEqual(rows[server], ["1.30", "-", "**not reached**"])
        self.assertEqual(rows[client], ["1.10", "-", "reached"])
        self.assertEqual(
            rows["5 times AMP's calls a second"], ["10.0", "6.92", "reached"]
        )
        idle = "at most 4,096 bytes of server memory each"
        self.assertEqual(rows[idle], ["2,500", "-", "reached"])
        cores = "1.6 times one worker's calls a second"
        self.assertEqual(rows[cores], ["1.75", "-", "reached"])
        text = targets.markdown(targets.rows(outcome, found))
        self.assertIn("at most 1,000 ms | 1,200 | - | **not reached** |", text)


class StartTests(SynchronousTestCase):
    """
    Tests for how long it takes to start.
    """

    def test_served(self) -> None:
        """
        C{twistd rpc} is started, and answers.
        """
        self.assertGreater(start.served(), 0)

    def test_failed(self) -> None:
        """
        A server that ends instead of answering is a failure.
        """
        self.patch(start, "_TWISTD", "raise SystemExit(1)")
        self.assertRaises(Failed, start.served)

    def test_imports(self) -> None:
        """
        An import is timed where the reactor is imported already.
        """
        self.assertLess(start.imported("import twisted.internet.reactor"), 0.1)

    def test_table(self) -> None:
        """
        The table shows the spread of each.
        """
        text = start.markdown([("`x`", Spread(2.0, 1.0, 3.0))])
        self.assertIn("| `x` | 2.00 (1.00-3.00) |", text)
