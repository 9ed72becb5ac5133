"""
The reference page of limits says what the program does.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Client, Limits, MemoryStore, Server
from twisted_rpc._tap import Options
from twisted_rpc.client.counters import Counters
from twisted_rpc.errors import Code
from twisted_rpc.wire.limits import DURATIONS, SIZES, SWITCHABLE

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "limits.md"
SOURCES = ROOT / "twisted_rpc"


def rows() -> list[dict[str, str]]:
    """
    @return: the rows of the tables about a server, by the names of their columns.
    """
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## Of a server") : text.index("## The record of calls")]
    found: list[dict[str, str]] = []
    heads: list[str] = []
    for line in section.splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not heads:
            heads = cells
        elif not set(line) <= set("|-") and "name" in heads:
            found.append(dict(zip(heads, cells, strict=True)))
    return found


class PageTests(SynchronousTestCase):
    """
    What the tables say.
    """

    def setUp(self) -> None:
        """
        Read them.
        """
        self.rows = {row["name"].strip("`"): row for row in rows()}

    def test_every_limit(self) -> None:
        """
        Each limit stands there once, with its unit, its default, and whether it
        can be switched off.
        """
        self.assertEqual(len(self.rows), len(rows()))
        for field in fields(Limits):
            row = self.rows[field.name]
            self.assertEqual(row["default"].split()[0], str(field.default), field.name)
            self.assertEqual(row["off"] == "yes", field.name in SWITCHABLE, field.name)
            self.assertEqual(row["unit"] == "bytes", field.name in SIZES, field.name)
            self.assertEqual(
                row["unit"] == "seconds", field.name in DURATIONS, field.name
            )
            self.assertTrue(row["bounds"] and row["beyond it"], field.name)

    def test_arguments(self) -> None:
        """
        The others are arguments of a server, and options of C{twistd rpc} whose
        defaults are the same.
        """
        signature = inspect.signature(Server)
        defaults = {each[0]: each[2] for each in Options.optParameters}
        others = set(self.rows) - {field.name for field in fields(Limits)}
        self.assertEqual(len(others), 4)
        for name in others:
            row = self.rows[name]
            self.assertEqual(row["default"], str(signature.parameters[name].default))
            option = row["option"].strip("`-")
            self.assertEqual(
                float(row["default"]), float(defaults[option].removesuffix("s")), name
            )

    def test_every_cell(self) -> None:
        """
        Each row says everything: its unit, its default, how it is switched off
        or why it is not, what happens beyond it, and what counts that.
        """
        heads: list[str] = []
        found = 0
        for line in PAGE.read_text(encoding="utf-8").splitlines():
            if not line.startswith("|"):
                heads = []
                continue
            cells = [cell.strip() for cell in line[1:-1].split("|")]
            if not heads:
                heads = cells
                self.assertLessEqual(
                    {"unit", "off", "beyond it", "counter"}, set(heads), line
                )
            elif not set(line) <= set("|-"):
                found += 1
                self.assertEqual(len(cells), len(heads), line)
                self.assertTrue(all(cells), line)
        self.assertGreater(found, 60)

    def test_record(self) -> None:
        """
        The bounds of the record of calls are arguments of its store, with their
        defaults; those that can be switched off accept it, the others say that
        they cannot.
        """
        text = PAGE.read_text(encoding="utf-8")
        section = text[text.index("## The record of calls") : text.index("## Clients")]
        signature = inspect.signature(MemoryStore).parameters
        lines = [it for it in section.splitlines() if it.startswith("| `")]
        self.assertEqual(len(lines), len(signature))
        for line in lines:
            name, _, default, off, *_ = (cell.strip() for cell in line[1:-1].split("|"))
            name = name.strip("`")
            self.assertEqual(float(default), signature[name].default, name)
            options: dict[str, Any] = {name: inf}
            if off == "`math.inf`":
                MemoryStore(**options)
            else:
                self.assertRaises(ValueError, MemoryStore, **options)

    def test_clients(self) -> None:
        """
        What is said of clients are arguments that there are, with their defaults,
        and figures that they count.
        """
        text = PAGE.read_text(encoding="utf-8")
        section = text[text.index("## Clients") :]
        known = {
            name: each.default
            for name, each in inspect.signature(Client).parameters.items()
        }
        counted = set(vars(Counters())) | {"errors"}
        lines = [it for it in section.splitlines() if it.startswith("| `")]
        self.assertGreater(len(lines), 10)
        for line in lines:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            name = re.findall(r"`([a-z_]+)`", cells[0])
            if name:
                default = known[name[0]]
                if isinstance(default, float | int) and not isinstance(default, bool):
                    self.assertEqual(float(cells[2]), default, name)
            for counter in re.findall(r"`(\w+)", cells[-1]):
                self.assertIn(counter, counted)

    def test_counters(self) -> None:
        """
        Each counter is one that the program counts.
        """
        text = PAGE.read_text(encoding="utf-8")
        source = "".join(each.read_text() for each in SOURCES.rglob("*.py"))
        named = set(re.findall(r"`limits\.(\w+)`", text))
        self.assertGreater(len(named), 15)
        for name in named:
            self.assertIn(f'"{name}"', source, name)
        for name in set(re.findall(r"`errors\.([A-Z_]{5,})`", text)):
            self.assertIn(name, Code.__members__)

    def test_counted_limits_are_named(self) -> None:
        """
        Each limit that the program counts stands on the page.
        """
        source = "".join(
            each.read_text() for each in (SOURCES / "server").rglob("*.py")
        )
        counted = re.findall(
            r"(?:refused\[|limits\[|_reached\(|_exhausted\(\s*|_refusal\(\s*|"
            r'refuse_connection\()"(\w+)"',
            source,
        )
        self.assertGreater(len(counted), 15)
        text = PAGE.read_text(encoding="utf-8")
        for name in counted:
            self.assertIn(f"`limits.{name}`", text)
