"""
The reference pages of options, of arguments and of names say what the program does,
and two pages promise the same.
"""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted_rpc
from twisted_rpc import Client, Server, testing
from twisted_rpc._tap import Options
from twisted_rpc.tools.command import parser

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"

#: A row that begins with names in code, and a default.
_ROW = re.compile(r"^\| ((?:`[^`]+`(?:, )?)+) \|([^|]*)\|", re.MULTILINE)


def rows(page: str, start: str, end: str) -> list[tuple[list[str], str]]:
    """
    @return: the names of each row between two headings, and their default.
    """
    text = (REFERENCE / page).read_text(encoding="utf-8")
    section = text[text.index(start) : text.index(end)]
    return [
        (re.findall(r"`([^`]+)`", names), default.strip())
        for names, default in _ROW.findall(section.replace("\\|", "/"))
    ]


class OptionsTests(SynchronousTestCase):
    """
    C{twistd rpc}, its C{--help} and its page.
    """

    def setUp(self) -> None:
        """
        Read the page.
        """
        self.defaults = {
            name.split()[0].removeprefix("--"): (name, default.strip("`"))
            for names, default in rows("options.md", "## `twistd rpc`", "**Signals.**")
            for name, default in zip(names, default_of(names, default), strict=True)
            if name.startswith("--")
        }

    def test_every_option(self) -> None:
        """
        Each stands there once, and nothing else does.
        """
        options = {name.rstrip("=") for name in Options().longOpt}
        self.assertEqual(set(self.defaults), options - {"help", "version"})

    def test_values_and_defaults(self) -> None:
        """
        An option that takes a value has one on the page, and the default is the
        program's.
        """
        options = Options()
        for name in options.longOpt:
            if (bare := name.rstrip("=")) in self.defaults:
                written, default = self.defaults[bare]
                self.assertEqual(name.endswith("="), " " in written, written)
                if not name.endswith("="):
                    self.assertEqual(default, "off", written)
        for bare, _, default, _ in Options.optParameters:
            if default:
                self.assertEqual(self.defaults[bare][1], default, bare)

    def test_help(self) -> None:
        """
        C{--help} names each, and the stores there are.
        """
        text = Options().getUsage(100)
        for name in self.defaults:
            self.assertIn(f"--{name}", text)
        for store in ("memory", "sqlite:", "postgresql://", "redis://"):
            self.assertIn(store, text)
        self.assertNotIn("[default: ]", text)


class CommandsTests(SynchronousTestCase):
    """
    C{twisted-rpc}, its C{--help} and its page.
    """

    def setUp(self) -> None:
        """
        Read the page: the row of each command, and what is said of several.
        """
        text = (REFERENCE / "options.md").read_text(encoding="utf-8")
        self.section = text[text.index("## `twisted-rpc`") :]
        self.rows = {
            name: row
            for row, name in re.findall(
                r"^(\| `twisted-rpc (\w+) .*)$", self.section, re.MULTILINE
            )
        }
        (actions,) = (
            action
            for action in parser()._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        self.commands: dict[str, argparse.ArgumentParser] = dict(actions.choices)

    def test_every_command(self) -> None:
        """
        Each stands there once, in the order of C{--help}.
        """
        self.assertEqual(list(self.rows), list(self.commands))

    def test_every_option(self) -> None:
        """
        So does each option, in the row of its command or below, where it says
        which commands take it; and none is there that the command does not take.
        """
        option = re.compile(r"(?<=[` ])(--?[a-z][a-z-]*)")
        below = self.section.replace("\n".join(self.rows.values()), "")
        for name, command in self.commands.items():
            told = set(option.findall(self.rows[name]))
            for sentence in re.split(r"[.;]\s", below):
                if f"`{name}`" in sentence:
                    told.update(option.findall(sentence))
            for action in command._actions:
                if action.option_strings and action.dest != "help":
                    known = told & set(action.option_strings)
                    self.assertTrue(known, (name, action.option_strings))
                    told -= known
            self.assertEqual(told, set(), name)


class NamesTests(SynchronousTestCase):
    """
    The public names.
    """

    def test_every_name(self) -> None:
        """
        Each has a heading of its own on the page of the Python API, and nothing
        else does.
        """
        text = (REFERENCE / "api.md").read_text(encoding="utf-8")
        headed = re.findall(r"^### `(\w+)`$", text, re.MULTILINE)
        self.assertEqual(sorted([*headed, "__version__"]), sorted(twisted_rpc.__all__))

    def test_testing(self) -> None:
        """
        Each name of C{twisted_rpc.testing} stands somewhere.
        """
        words = {
            word
            for page in REFERENCE.parent.rglob("*.md")
            for word in re.findall(r"\w+", page.read_text(encoding="utf-8"))
        }
        self.assertEqual(set(testing.__all__) - words, set())


class PromisesTests(SynchronousTestCase):
    """
    What a call is promised.
    """

    def test_one_table(self) -> None:
        """
        The README promises what the page about it does.
        """
        pages = (
            ROOT / "README.md",
            ROOT / "docs" / "explanation" / "delivery.md",
        )
        one, other = (
            re.findall(
                r"^\| \| `@readonly` .*\n(?:\|.*\n)+",
                page.read_text(encoding="utf-8"),
                re.MULTILINE,
            )
            for page in pages
        )
        self.assertEqual(len(one), 1)
        self.assertEqual(one, other)


def default_of(names: list[str], default: str) -> list[str]:
    """
    @return: the defaults of a row, one for each name.
    """
    several = default.split(", ")
    return several if len(several) == len(names) else [default] * len(names)


class ArgumentsTests(SynchronousTestCase):
    """
    The arguments of a server and of a client.
    """

    def check(self, callee: type, start: str, end: str, hidden: set[str]) -> None:
        """
        Compare a signature with its table.
        """
        shown = {
            name: default
            for names, one in rows("api.md", start, end)
            for name, default in zip(names, default_of(names, one), strict=True)
        }
        parameters = inspect.signature(callee).parameters
        self.assertEqual(set(parameters) - hidden, set(shown))
        for name, text in shown.items():
            default = parameters[name].default
            if not (callable(default) or text.strip("`").endswith("()")):
                told = {"none": "None", "the installed one": "None"}.get(text, text)
                self.assertEqual(repr(default), told.strip("`").replace('"', "'"), name)

    def test_server(self) -> None:
        """
        Each argument of a server stands there, with its default; the clock on the
        wall is for tests.
        """
        self.check(Server, "### `Server`", "### `MemoryStore`", {"registry", "wall"})

    def test_client(self) -> None:
        """
        So do those of a client; clock and chance are for tests.
        """
        hidden = {"endpoint", "wall", "chance"}
        self.check(Client, "### `Client`", "### `BlockingClient`", hidden)
