"""
Tests for the questions of C{twisted-rpc}, put to a real server in memory.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.plain_peer import CALCULATOR, PlainServer
from twisted_rpc import Client, Registry, current_call
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
    @readonly string told(string name);
    @readonly void never();
}
service Other { oneway void note(list items) }
enum Size { SMALL, LARGE = "large" }
struct Box { Size size; list<Colour> colours; Box? inside = null }
@open enum Colour { RED }
/** Nothing like it. */
exception Sold { @sensitive string buyer; list<Size> left; }
service Shop {
    @readonly int price(Size size, int count = 1) throws Sold;
    @readonly int weight(list<Box> boxes) throws Sold;
}
"""


class Implementation:
    """All services."""

    def __init__(self, idl: Any) -> None:
        self.idl = idl

    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b

    def greet(self, name: str, times: int) -> str:
        """A greeting."""
        return f"Hello, {name}!" * times

    def maybe(self, text: str | None) -> str | None:
        """What it was given."""
        return text

    def told(self, name: str) -> str:
        """What goes with the call under a name."""
        return current_call().metadata[name]

    def never(self) -> Deferred[None]:
        """Runs until it is cancelled."""
        return Deferred()

    def price(self, size: Any, count: int) -> int:
        """Sold out, but for one."""
        if count > 1:
            raise self.idl.Sold(buyer="Ann", left=[self.idl.Size.LARGE])
        return 3

    def weight(self, boxes: list[Any]) -> int:
        """No."""
        raise self.idl.Sold(buyer="", left=[], message="Never\nmind.")

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
        for interface in (self.idl.ICalculator, self.idl.IOther, self.idl.IShop):
            registry.register(interface, Implementation(self.idl))
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
            (["Calculator.add", "1", "x"], "b: expected int, got 'x'\n"),
            (["Calculator.add", "1"], "the argument 'b' is missing"),
            (["Calculator.add", "a=1"], "the argument 'b' is missing"),
            (["Calculator.add", "--json", "[1]"], "the argument 'b' is missing"),
            (["Calculator.add", "--json", "[1,2,3]"], "takes 2 arguments, 3 are given"),
            (["Calculator.add", "--json", "[1,"], "is not JSON: Expecting value"),
            (["Calculator.add", "1", "NaN"], "not JSON compliant"),
            (
                ["Calculator.add", "1", "2", "--metadata", "A B=x"],
                "--metadata: metadata 'A B'",
            ),
            (["Other.note", "[1"], "items: expected list<any>, got '[1': Expecting"),
            (["Other.note", "[" * 100_000], "items: expected list<any>"),
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

    def test_metadata(self) -> None:
        """
        --metadata reaches the implementation.
        """
        given = ["--metadata", "user=Ann", "--metadata", "trace=a=b"]
        out = self.ask("call", "Calculator.told", "user", *given)[1]
        self.assertEqual(out, '"Ann"\n')
        out = self.ask("call", "Calculator.told", "trace", *given)[1]
        self.assertEqual(out, '"a=b"\n')

    def test_silent_server(self) -> None:
        """
        A server that does not tell what it serves is called with the IDL file.
        """
        self.pair.server.factory.shared.reflection = False
        status, _, err = self.ask("call", "Calculator.add", "5", "3")
        self.assertEqual(status, 2)
        self.assertIn("reflection is switched off", err)
        self.assertIn("name its IDL file with --idl", err)
        self.assertEqual(self.ask("list")[0], 1)

    def test_unreachable(self) -> None:
        """
        A server that cannot be reached is named, and the status is 1.
        """
        self.pair.endpoint.factory = None
        self.pair.client.peer = "tcp:127.0.0.1:5000"
        status, out, err = self.ask("call", "Calculator.add", "5", "3")
        self.assertEqual((status, out), (1, ""))
        self.assertTrue(
            err.startswith("twisted-rpc: tcp:127.0.0.1:5000: UNAVAILABLE: "), err
        )
        self.assertEqual(err.count("\n"), 1)

    def test_late(self) -> None:
        """
        An answer that does not come in time is one line, and status 1.
        """
        status, _, err = self.ask("call", "Calculator.never")
        self.assertEqual(status, 1)
        self.assertIn("DEADLINE_EXCEEDED", err)
        self.assertEqual(err.count("\n"), 1)

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

    def test_declared(self) -> None:
        """
        An exception that the IDL declares is told with its name and its members,
        from a file too that does not know it.
        """
        status, out, err = self.ask("call", "Shop.price", "large", "2")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(
            err,
            'twisted-rpc: FAILED_PRECONDITION: Sold {"buyer":"Ann","left":["large"]}:'
            " Nothing like it.\n",
        )
        path = self.mktemp()
        Path(path).write_text(
            "service Shop { @readonly int weight(list boxes); }", encoding="utf-8"
        )
        _, _, err = self.ask("call", "Shop.weight", "[]", "--idl", path)
        self.assertEqual(
            err,
            'twisted-rpc: FAILED_PRECONDITION: Sold {"buyer": "", "left": []}:'
            " Never mind.\n",
        )

    def test_unknown_value(self) -> None:
        """
        A value that an enum does not have is told with those it has, wherever in
        an argument it stands.
        """
        box = '{"size": "%s", "colours": ["BLUE"], "inside": {"size": "%s"}}'
        sizes = "Size has SMALL, large"
        for words, said in (
            (["Shop.price", "LARGE"], f"size: unknown value 'LARGE'; {sizes}"),
            (["Shop.price", "--json", '["x"]'], f"size: unknown value 'x'; {sizes}"),
            (
                ["Shop.weight", f"[{box % ('SMALL', 'y')}]"],
                f"boxes[0].inside.size: unknown value 'y'; {sizes}",
            ),
        ):
            status, _, err = self.ask("call", *words)
            self.assertEqual(status, 2)
            self.assertIn(said, err)
            self.assertEqual(err.count("\n"), 1)

    def test_list(self) -> None:
        """
        A line for each service.
        """
        status, out, _ = self.ask("list")
        self.assertEqual(status, 0)
        self.assertEqual(
            [line.split()[0] for line in out.splitlines()],
            ["Calculator", "Other", "Shop"],
        )

    def test_describe_types(self) -> None:
        """
        What structs, enums and exceptions are is shown after the methods that name
        them, with what those need.
        """
        _, out, _ = self.ask("describe", "Shop")
        methods, _, types = out.partition("\n\nenum ")
        self.assertIn("    int weight(list<Box> boxes)", methods)
        self.assertEqual(
            "enum " + types,
            """\
enum Size {
    SMALL,
    LARGE = "large",
}

// Nothing like it.
exception Sold {
    @sensitive string buyer;
    list<Size> left;
}

struct Box {
    Size size;
    list<Colour> colours;
    Box? inside;
}

@open
enum Colour {
    RED,
}
""",
        )
        _, out, _ = self.ask("describe", "Shop.price")
        self.assertIn("enum Size", out)
        self.assertNotIn("Box", out)
        _, out, _ = self.ask("describe", "Calculator.add")
        self.assertTrue(out.endswith("runs at most once\n"), out)

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


class PlainServerTests(TestCase):
    """
    A server that knows the plain profile only.
    """

    def setUp(self) -> None:
        self.path = self.mktemp()
        Path(self.path).write_text(IDL, encoding="utf-8")

    async def ask(self, *words: str) -> tuple[int, str, str]:
        """
        Run a command against it.

        @return: its status, what it printed, and what it complained of.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        args = parser().parse_args([words[0], "plain", *words[1:]])
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        with PlainServer({"Calculator": CALCULATOR}) as server:
            endpoint = f"tcp:127.0.0.1:{server.port}"
            async with Client(endpoint, reactor=reactor, ping=0) as client:
                status = await answer(client, QUESTIONS[args.command], args)
        return status, out.getvalue(), err.getvalue()

    async def test_call(self) -> None:
        """
        It is called with the IDL file, and cannot be asked for it.
        """
        call = ["call", "Calculator.add", "5", "3"]
        self.assertEqual(await self.ask(*call, "--idl", self.path), (0, "8\n", ""))
        status, _, err = await self.ask(*call)
        self.assertEqual(status, 2)
        self.assertIn("name its IDL file with --idl", err)
        self.assertEqual(err.count("\n"), 1)
        for question in ("list", "describe"):
            status, _, err = await self.ask(question)
            self.assertEqual(status, 1)
            self.assertIn("the server speaks the plain profile", err)
