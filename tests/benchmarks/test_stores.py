"""
Tests for L{benchmarks.stores}.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.internet.defer import ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.pair import ROOT
from benchmarks.stores import measure, table


class StoresTests(SynchronousTestCase):
    """
    What the record of calls costs.
    """

    def test_run(self) -> None:
        """
        Every class of method is measured in each store that is asked for.
        """
        words = ["--rounds", "1", "--seconds", "0.05", "--store", "sqlite"]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.stores", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        rows = done.stdout.splitlines()[2:]
        self.assertEqual(
            [row.split(" | ")[1] for row in rows],
            ["no record", "`@idempotent`", "`@once`", "`@transactional`"],
        )

    def test_no_time(self) -> None:
        """
        Where a machine has no time for a measurement there are calls still.
        """
        measured = ensureDeferred(measure(lambda: succeed(7), 0.0))
        rate, late = self.successResultOf(measured)
        self.assertGreater(rate, 0)
        self.assertGreater(late, 0)

    def test_table(self) -> None:
        """
        Rates stand beside those of calls without a record.
        """
        text = table(
            {
                ("memory", "read"): [(1000.0, 1.0), (2000.0, 2.0), (3000.0, 3.0)],
                ("memory", "once"): [(1500.0, 2.5)],
            }
        )
        self.assertIn(
            "| memory | `@once` | 1,500 (1,500-1,500) | 75.0 % | 2.50 (2.50-2.50) |",
            text,
        )
