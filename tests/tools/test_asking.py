"""
Tests for the questions of C{twisted-rpc}, put to a real server in memory.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Registry
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import connect
from twisted_rpc.tools.asking import Question, answer
from twisted_rpc.tools.command import parser
from twisted_rpc.tools.commands.call import call
from twisted_rpc.tools.commands.describe import describe
from twisted_rpc.tools.commands.list import list_services

QUESTIONS: dict[str, Question] = {
    "call": call,
    "list": list_services,
    "describe": describe,
}

IDL = """
/** Sums and greetings. */
service Calculator {
    /** a and b together. */
    int add(int a, int b);
    @readonly @timeout(2s) string greet(string name, int times = 1);
    string? maybe(string? text = null);
}
service Other { oneway void note(list items) }
"""


class Implementation:
    """Both services."""

    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b

    def greet(self, name: str, times: int) -> str:
        """A greeting."""
        return f"Hello, {name}!" * times

    def maybe(self, text: str | None) -> str | None:
        """What it was given."""
        return text

    def note(self, items: list[Any]) -> None:
        """Nothing."""


class AskingTests(SynchronousTestCase):
    """
    Each command prints its answer and says by its status how it went.
    """

    def setUp(self) -> None:
        """
        A server in memory.
        """
        self.idl = load_idl_text(IDL)
        registry = Registry()
        registry.register(self.idl.ICalculator, Implementation())
        registry.register(self.idl.IOther, Implementation())
        self.pair = connect(registry)
        self.addCleanup(self.pair.close)

    def ask(self, *words: str) -> tuple[int, str, str]:
        """
        Run a command.

        @return: its status, what it printed, and what it complained of.
        """
        args = parser().parse_args([words[0], "memory", *words[1:]])
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        question = QUESTIONS[args.command]
        asked = answer(self.pair.client, question, args)
        status = self.pair.result(ensureDeferred(asked))
        return status, out.getvalue(), err.getvalue()

    def test_call_by_name_and_in_order(self) -> None:
        """
        Arguments are named, in order, or JSON, and the result is JSON.
        """
        for words in (
            ["a=5", "b=3"],
            ["5", "3"],
            ["--json", "[5,3]"],
            ["--json", '{"b":3,"a":5}'],
        ):
            self.assertEqual(self.ask("call", "Calculator.add", *words), (0, "8\n", ""))

    def test_texts_need_no_quotes(self) -> None:
        """
        A text is taken as it is written, and defaults may be left out.
        """
        self.assertEqual(
            self.ask("call", "Calculator.greet", "Ann")[1], '"Hello, Ann!"\n'
        )
        self.assertEqual(
            self.ask("call", "Calculator.greet", "name=Ann", "times=2")[1],
            '"Hello, Ann!Hello, Ann!"\n',
        )
        self.assertEqual(self.ask("call", "Calculator.maybe", "null")[1], "null\n")
        self.assertEqual(self.ask("call", "Calculator.maybe", "text")[1], '"text"\n')

    def test_mistakes(self) -> None:
        """
        What cannot be meant is one line, with a hint, and status 2.
        """
        for words, said in (
            (["add", "1", "2"], "not of the form SERVICE.METHOD"),
            (["Calculater.add", "1", "2"], "did you mean 'Calculator'?"),
            (["Calculator.ad", "1", "2"], "did you mean 'add'?"),
            (["Calculator.add", "a=1", "c=2"], "no parameter 'c'"),
            (["Calculator.add", "a=1", "2"], "name all the arguments, or none"),
            (["Calculator.add", "a=1", "a=2"], "given twice"),
            (["Calculator.add", "b=2"], "the argument 'a' is missing"),
            (["Calculator.add", "1", "2", "3"], "takes 2 arguments, 3 are given"),
            (["Calculator.add", "1", "x"], "'x' is not JSON"),
            (["Calculator.add", "1"], "Parameter count mismatch: got 1, expected 2"),
            (["Calculator.add", "1", "2.5"], "b: expected int"),
            (["Calculator.add", "1", "--json", "[1]"], "not both"),
            (["Calculator.add", "--json", "3"], "an array, or an object"),
            (["Calculator.add", "--json", '{"x": 1}'], "no parameter 'x'"),
        ):
            status, out, err = self.ask("call", *words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertIn(said, err)
            self.assertEqual(err.count("\n"), 1)

    def test_call_with_a_file(self) -> None:
        """
        With --idl the server is not asked what it serves.
        """
        path = self.mktemp()
        Path(path).write_text(IDL, encoding="utf-8")
        self.assertEqual(
            self.ask("call", "Calculator.add", "5", "3", "--idl", path), (0, "8\n", "")
        )
        status, _, err = self.ask("call", "Calculation.add", "5", "3", "--idl", path)
        self.assertEqual(status, 2)
        self.assertIn("did you mean 'Calculator'?", err)

    def test_failure(self) -> None:
        """
        A call that fails is one line with its code, and status 1.
        """
        path = self.mktemp()
        Path(path).write_text(
            "service Calculator { int subtract(int a, int b) }", encoding="utf-8"
        )
        status, out, err = self.ask(
            "call", "Calculator.subtract", "5", "3", "--idl", path
        )
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(
            err, "twisted-rpc: UNIMPLEMENTED: Method not found: Calculator.subtract\n"
        )

    def test_list(self) -> None:
        """
        A line for each service.
        """
        status, out, _ = self.ask("list")
        self.assertEqual(status, 0)
        self.assertEqual(
            [line.split()[0] for line in out.splitlines()], ["Calculator", "Other"]
        )

    def test_describe(self) -> None:
        """
        Methods are shown with their documentation, class and timeout.
        """
        _, out, _ = self.ask("describe", "Calculator")
        self.assertIn("// Sums and greetings.", out)
        self.assertIn("    int add(int a, int b)", out)
        self.assertIn("@readonly, timeout 2 s: changes nothing", out)
        self.assertNotIn("Other", out)
        _, out, _ = self.ask("describe", "Calculator.greet")
        self.assertTrue(
            out.startswith("string greet(string name, int times = 1)\n"), out
        )
        _, out, _ = self.ask("describe")
        self.assertIn("service Other", out)
        self.assertIn("@once, oneway", out)
