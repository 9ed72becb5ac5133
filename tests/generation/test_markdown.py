"""
Tests for reference pages, which a real parser of Markdown reads.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from twisted.trial.unittest import SynchronousTestCase

from tests.generation.programs import CLASHES
from tests.idl.texts import BANK
from twisted_rpc.generation.markdown import markdown
from twisted_rpc.idl import model
from twisted_rpc.idl.reader import read_file, read_text


class PageTests(SynchronousTestCase):
    """
    The pages are what a parser makes of them.
    """

    def parse(self, file: model.File) -> list[Any]:
        """
        @return: the tokens of a page, inner ones too.
        """
        self.page = markdown(file)
        tokens = MarkdownIt("commonmark").enable("table").parse(self.page)
        return [each for token in tokens for each in (token, *(token.children or ()))]

    def headings(self, file: model.File) -> list[str]:
        """
        @return: the headings of a page, with a sign for the level.
        """
        tokens = self.parse(file)
        return [
            f"{token.markup} {''.join(each.content for each in after.children)}"
            for token, after in pairwise(tokens)
            if token.type == "heading_open"
        ]

    def test_headings(self) -> None:
        """
        Each service, method, type and exception has a heading, others' too that
        are needed.
        """
        headings = self.headings(read_file(BANK))
        self.assertEqual(
            headings[:4],
            ["# example.bank", "## Bank", "### Bank.audit_log", "### Bank.transfer"],
        )
        for expected in (
            *("## Calculator", "### Calculator.add", "## Types", "### Money"),
            *("### common.AuditEntry", "## Exceptions", "### NoSuchAccount"),
            *("## Unions", "### Target", "## Enums", "### Currency", "## Constants"),
        ):
            self.assertIn(expected, headings)
        self.assertEqual(len(headings), len(set(headings)))

    def test_links(self) -> None:
        """
        Each link leads to a heading.
        """
        for file in (read_file(BANK), read_text(CLASHES)):
            anchors = {
                re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower())
                for heading in self.headings(file)
            }
            links = {
                each.attrs["href"].removeprefix("#")
                for each in self.parse(file)
                if each.type == "link_open"
            }
            self.assertGreater(len(links), 5)
            self.assertLessEqual(links, anchors)

    def test_tables(self) -> None:
        """
        What bars, code and line ends do in a table, they do not do here.
        """
        nasty = 'a | b `c|d` <b> & "e"'
        tokens = self.parse(
            read_text(
                f"service A {{ /** {nasty}\n\n second */ int f(\n/** {nasty}\n more */"
                ' @pattern("[a-z|`]*") string s = "x|y``" ) }'
            )
        )
        rows = self.page.splitlines()
        self.assertEqual(sum(each.type == "tr_open" for each in tokens), 4)
        self.assertEqual(sum(each.type == "td_open" for each in tokens), 2 + 4)
        cells = [each.content for each in tokens if each.type == "code_inline"]
        self.assertIn('"x|y``"', cells)
        self.assertIn('@pattern(pattern="[a-z|`]*")', cells)
        self.assertIn("&lt;b>", "\n".join(rows))
        self.assertFalse([each for each in tokens if "html" in each.type])

    def test_docs(self) -> None:
        """
        Doc comments keep their paragraphs; they make no headings and no HTML.
        """
        text = "/// One *two*\n///\n/// # three\n/// four\n/// ---\n/// <script>\n struct S { }"
        headings = self.headings(read_text(text, "a/shop.idl"))
        self.assertEqual(headings, ["# shop", "## Types", "### S"])
        tokens = self.parse(read_text(text))
        self.assertIn("em_open", [each.type for each in tokens])
        self.assertFalse([each for each in tokens if "html" in each.type])

    def test_code(self) -> None:
        """
        Code that is not ended in a doc comment ends with the comment.
        """
        text = "/** a\n```\n# code */ struct S { } service A { int f(string s = '```\\n```') }"
        headings = self.headings(read_text(text, "shop.idl"))
        self.assertEqual(headings, ["# shop", "## A", "### A.f", "## Types", "### S"])
        fences = [
            each.content for each in self.parse(read_text(text)) if each.type == "fence"
        ]
        self.assertEqual(len(fences), 2)
        self.assertEqual(fences[1], "# code\n")

    def test_facts(self) -> None:
        """
        What a caller must know is told: how often, how long, who, what fails.
        """
        self.parse(read_file(BANK))
        for said in (
            "`@transactional`: runs exactly once. Timeout 2 s.",
            "Throws [`InsufficientFunds`](#insufficientfunds), [`NoSuchAccount`](#nosuchaccount).",
            "Returns list&lt;[`Money`](#money)&gt;.",
            '`@http(get="/accounts/{id}")`.',
            '`@auth(role="teller")`.',
            '`@cache(ttl=30s, vary=["id"])`.',
            "`@rate_limit(calls=100, per=1s)`.",
            "Code `NOT_FOUND`.",
            "Oneway: the caller learns only that it was sent.",
            "| `limit` | int32 | `100` | `@range(min=1, max=1000)`. |",
            "| `dem` | **Deprecated** since 1.2: use EUR. |",
            "| `MAX_BATCH` | int32 | `100` |  |",
            "One of [`Card`](#card), [`Iban`](#iban), [`Internal`](#internal), told apart",
            "Extends Auditable. Version 1.4.",
            "Open: other values are accepted too.",
            "void audit(string event, map<string,any> fields);",
        ):
            self.assertIn(said, self.page)

    def test_empty(self) -> None:
        """
        An empty file is a page with a title.
        """
        self.assertEqual(self.headings(read_text("", "shop.idl")), ["# shop"])
