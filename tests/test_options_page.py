"""
The reference pages of options and of arguments say what the program does.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Client, Server
from twisted_rpc._tap import Options

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"

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
