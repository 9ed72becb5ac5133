"""
Tests for C{twisted-rpc check}.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.tools.commanding import CommandTestCase

SERVICES = Path(__file__).parents[2] / "services"
RIGHT = "/** a */ service A { /** f */ int f() }"
LINTED = "/** a */ service A { int f() }"
WRONG = "service A { strng f() }"


class CheckTests(CommandTestCase):
    """
    Errors and warnings of files.
    """

    def test_examples(self) -> None:
        """
        Nothing is found in the example services, which have the one layout.
        """
        paths = sorted(str(path) for path in SERVICES.glob("*/*.idl"))
        self.assertTrue(paths)
        self.assertEqual(self.run_command("check", *paths), (0, "", ""))
        self.assertEqual(self.run_command("format", "--check", *paths), (0, "", ""))

    def test_right(self) -> None:
        """
        Of a file in which nothing is found nothing is said.
        """
        path = self.write("a.idl", RIGHT)
        self.assertEqual(self.run_command("check", path), (0, "", ""))
        self.assertEqual(
            self.run_command("check", "--format", "json", path), (0, "[]\n", "")
        )

    def test_findings(self) -> None:
        """
        Errors and warnings are shown with their lines, and counted; the status
        is 1.
        """
        wrong, linted = self.write("a.idl", WRONG), self.write("b.idl", LINTED)
        status, out, err = self.run_command("check", wrong, linted)
        self.assertEqual((status, err), (1, ""))
        self.assertEqual(
            out,
            "a.idl:1:13: unknown type 'strng'\n"
            "    1 | service A { strng f() }\n"
            "                    ^^^^^\n"
            "  did you mean 'string'?\n"
            "b.idl:1:26: warning: method 'f' has no doc comment [missing-doc]\n"
            "    1 | /** a */ service A { int f() }\n"
            "                                 ^\n"
            "1 error, 1 warning\n",
        )

    def test_json(self) -> None:
        """
        The same as JSON, for programs.
        """
        wrong, linted = self.write("a.idl", WRONG), self.write("b.idl", LINTED)
        status, out, _ = self.run_command("check", "--format=json", wrong, linted)
        self.assertEqual(status, 1)
        error, warning = json.loads(out)
        self.assertEqual(
            error,
            {
                "path": "a.idl",
                "line": 1,
                "column": 13,
                "length": 5,
                "severity": "error",
                "rule": None,
                "message": "unknown type 'strng'",
                "hint": "did you mean 'string'?",
            },
        )
        self.assertEqual(
            [warning["path"], warning["severity"], warning["rule"]],
            ["b.idl", "warning", "missing-doc"],
        )

    def test_unreadable(self) -> None:
        """
        A file that is not there is one line, the others are checked, and the
        status is 2.
        """
        path = self.write("a.idl", LINTED)
        status, out, err = self.run_command("check", f"{path}.not", path)
        self.assertEqual(status, 2)
        self.assertIn("0 errors, 1 warning", out)
        self.assertEqual(
            err,
            "twisted-rpc: a.idl.not: cannot be read: No such file or directory\n",
        )

    def test_imports(self) -> None:
        """
        A faulty file that two files import is told once.
        """
        self.write("bad.idl", WRONG)
        paths = [
            self.write(name, 'import "bad.idl"; struct S { bad.T? t; }')
            for name in ("a.idl", "b.idl")
        ]
        status, out, _ = self.run_command("check", *paths)
        self.assertEqual(status, 1)
        self.assertEqual(out.count("unknown type 'strng'"), 1)
        self.assertIn("1 error, 0 warnings", out)

    def test_rules(self) -> None:
        """
        Rules are switched by name, several at a time, or all.
        """
        path = self.write("a.idl", "service a { @once any? f() int g() }")

        def rules(*words: str) -> list[str]:
            _, out, _ = self.run_command("check", "--format=json", path, *words)
            return sorted({each["rule"] for each in json.loads(out)})

        self.assertEqual(rules(), ["missing-doc", "name-style", "optional-any"])
        self.assertEqual(rules("--disable", "missing-doc,name-style"), ["optional-any"])
        self.assertEqual(
            rules("--disable", "all", "--enable", "once-implicit"), ["once-implicit"]
        )
        self.assertEqual(
            rules("--enable", "all", "--disable", "classic-compatible"),
            ["missing-doc", "name-style", "once-implicit", "optional-any"],
        )

    def test_wrong_rules(self) -> None:
        """
        A rule that does not exist is told with the one that may be meant.
        """
        path = self.write("a.idl", RIGHT)
        for words, said in (
            (
                ["--disable", "missing-docs"],
                "no rule 'missing-docs'; did you mean 'missing-doc'?",
            ),
            (["--enable", "quux"], "no rule 'quux'; there is name-style, missing-doc"),
            (
                ["--enable", "missing-doc", "--disable", "missing-doc"],
                "the rule 'missing-doc' is enabled and disabled",
            ),
        ):
            status, out, err = self.run_command("check", path, *words)
            self.assertEqual((status, out), (2, ""))
            self.assertIn(said, err)
