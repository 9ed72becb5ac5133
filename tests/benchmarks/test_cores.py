"""
Tests for the measurement of several processes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks import cores
from benchmarks.cores import UnavailableError, Window, build, markdown, serving, window


class CoresTests(SynchronousTestCase):
    """
    A client in C, and what is made of its figures.
    """

    def test_window(self) -> None:
        """
        The client, compiled here, measures a server, and refuses what is wrong.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        try:
            program = build(folder)
        except UnavailableError as error:
            raise SkipTest(str(error)) from error
        with serving(1) as port:
            found = window(program, port, connections=3, warm=0.02, seconds=0.05)
        self.assertGreater(found.calls, 0)
        self.assertGreaterEqual(found.seconds, 0.05)
        self.assertTrue(0 < found.load < 1.5, found)
        wrong = subprocess.run(
            [program.absolute(), "x"], capture_output=True, text=True, check=False
        )
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("usage: load HOST PORT", wrong.stderr)

    def test_no_compiler(self) -> None:
        """
        Without a compiler there is a reason instead of a table.
        """
        self.patch(shutil, "which", lambda _: None)
        text, found = cores.table(1, lambda _: None)
        self.assertIsNone(found)
        self.assertIn("not measured", text)

    def test_markdown(self) -> None:
        """
        Ratios are those of one round.
        """
        found = {
            1: [Window(100, 1.0, 0.1), Window(200, 1.0, 0.1)],
            2: [Window(180, 1.0, 0.2), Window(400, 1.0, 0.2)],
        }
        text = markdown(found)
        self.assertIn(
            "| 2 | 290 (180-400) | 1.90 (1.80-2.00) | 0.20 (0.20-0.20) |", text
        )
