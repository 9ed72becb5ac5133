"""
Tests for the command line of C{twisted-rpc}: its table, its words, its ends.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.tools import subcommand
from twisted_rpc.tools.command import COMMANDS, main

OPTIONS = Path(__file__).parents[2] / "docs" / "reference" / "options.md"


class MainTests(SynchronousTestCase):
    """
    The command line itself.
    """

    def complaint(self, *words: str) -> str:
        """
        @return: what a wrong command line is answered.
        """
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        self.assertEqual(self.assertRaises(SystemExit, main, list(words)).code, 2)
        return err.getvalue()

    def test_usage(self) -> None:
        """
        A wrong command line says what is wrong, and the status is 2.
        """
        self.assertIn("required: COMMAND", self.complaint())
        said = self.complaint("call")
        self.assertIn("required: ENDPOINT, SERVICE.METHOD\n", said)
        self.assertIn(
            "is not a duration", self.complaint("list", "tcp:x:1", "--timeout", "soon")
        )
        self.assertIn("above 0", self.complaint("list", "tcp:x:1", "--timeout", "0"))

    def test_endpoint(self) -> None:
        """
        What is no endpoint is said in one line, and the status is 2.
        """
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        self.patch(subcommand, "react", lambda run: run(MemoryReactorClock()))
        self.assertEqual(main(["list", "nonsense:x"]), 2)
        self.assertIn("write, for example, tcp:127.0.0.1:5000", err.getvalue())
        self.assertEqual(err.getvalue().count("\n"), 1)

    def test_help(self) -> None:
        """
        Each command has its own help, with an example, and an entry in the
        reference.
        """
        reference = OPTIONS.read_text()
        for command in COMMANDS:
            out = io.StringIO()
            self.patch(sys, "stdout", out)
            ended = self.assertRaises(SystemExit, main, [command.name, "--help"])
            self.assertEqual(ended.code, 0)
            said = out.getvalue()
            self.assertIn(command.summary[1:], said.replace("\n", " "))
            self.assertIn(f"  twisted-rpc {command.name} ", said)
            self.assertIn(f"| `twisted-rpc {command.name} ", reference)
