"""
Tests for what commands print into a pipe that nobody reads to its end.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK
from tests.pages import ROOT
from twisted_rpc import _tap
from twisted_rpc.printing import to_whoever_reads
from twisted_rpc.tools import main, subcommand
from twisted_rpc.tools.subcommand import FINE, FOUND, in_reactor


class BrokenPipeTests(SynchronousTestCase):
    """
    The reader has gone before anything was written.
    """

    def setUp(self) -> None:
        """
        A pipe without a reader for the standard output.
        """
        reader, writer = os.pipe()
        os.close(reader)
        self.broken = os.dup(writer)
        self.addCleanup(os.close, self.broken)
        self.out = os.fdopen(writer, "w", encoding="utf-8")
        # What is left in it goes out without a complaint, too.
        self.addCleanup(self.out.close)
        self.err = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_little(self) -> None:
        """
        What fits the buffer is written at the end, and the status is what it was.
        """
        self.assertEqual(main(["digest", str(BANK)]), FINE)
        self.assertEqual(self.err.getvalue(), "")

    def test_much(self) -> None:
        """
        More than that ends the command.
        """
        after: list[int] = []
        with to_whoever_reads():
            sys.stdout.write("x" * 1_000_000)
            sys.stdout.write("x" * 1_000_000)
            after.append(1)
        self.assertEqual(after, [])
        with to_whoever_reads():
            sys.stdout.write("x" * 1_000_000)
            after.append(2)
        self.assertEqual(after, [2])

    def test_help(self) -> None:
        """
        So is C{--help}.
        """
        self.assertEqual(main(["--help"]), FOUND)
        self.assertEqual(self.err.getvalue(), "")

    def test_in_the_reactor(self) -> None:
        """
        What is printed while the reactor runs, too.
        """

        def react(start: Any) -> None:
            done: Deferred[None] = start(Clock())
            self.assertIsNone(self.successResultOf(done))

        async def prints(*_: Any) -> int:
            sys.stdout.write("x" * 1_000_000)
            return FINE

        self.patch(subcommand, "react", react)
        run = in_reactor(prints)
        self.assertEqual(run(argparse.Namespace()), FOUND)
        self.assertEqual(self.err.getvalue(), "")

    def test_check(self) -> None:
        """
        And what C{twistd rpc --check} prints.
        """
        options = _tap.Options()
        # It puts the folder of the implementation there.
        self.addCleanup(sys.path.__setitem__, slice(None), sys.path[:])
        idl, impl = ROOT / "services/calculator/calculator.idl", "calc.Calc"
        words = ["--idl", str(idl), "--impl", impl, "--app-dir", str(idl.parent)]
        error = self.assertRaises(SystemExit, options.parseOptions, [*words, "--check"])
        self.assertFalse(error.code)

    def test_told(self) -> None:
        """
        And its help and its version.
        """
        for tell in (_tap.Options().opt_help, _tap.Options().opt_version):
            # What is written after the first goes nowhere.
            os.dup2(self.broken, self.out.fileno())
            error = self.assertRaises(SystemExit, tell)
            self.assertFalse(error.code)
