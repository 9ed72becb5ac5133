"""
Tests for the rule that looks for slow patterns.
"""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.idl.lint.lint import lint
from twisted_rpc.idl.lint.patterns import slowness
from twisted_rpc.idl.reader import read_text

#: They double their time with each character.
EXPONENTIAL: Final = (
    r"(a+)+$",
    r"(a*)*",
    r"(?:a+b?)+",
    r"(\w+\s?)*",
    r"(x+x+)+y",
    r"((ab)*)*",
    r"(?:[a-z0-9]+[.-]?)*[a-z]",
    r"(a|b|ab)*c",
    r"(a?){30}",
    r"([^,]*,?)*",
    r"(?i)(aB|Ab)+x",
    r"(?i:(aB|Ab)+)x",
    r"((?P<q>'?)\w+(?(q)'|))*",
    "(\u00e9|[^a])*b",
    r"(.\s?)*(\D|\S)x",
    r"(\W\S*)+(\s|[\r\n])*x",
)
#: They take four times as long for twice the text.
QUADRATIC: Final = (r".*.*=", r"\d+\d+", r"\w+\s*\w+", r"[a-f]*[0-9]*[e-z]*")
FAST: Final = (
    r"[0-9]{12,19}",
    r"(\w+\s)*",
    r"[a-z]+(-[a-z]+)*",
    r"([^@]+)@([^@]+)",
    r"(?:a|b|c)+",
    r"(a{1,3}){1,3}",
    r"(?>a+)+b",
    r"(a++)+b",
    r"(a+b)+",
    r"(aB|Ab)+x",
    r"(?i)(?-i:(aB|Ab)+)x",
    r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}",
    r"\A(?=x)(?!y)x+\b\Z",
    r"",
    r"(x)\1*(?:\1)+",
    r"(a?b?c?d?){2}" * 20,  # too long to be looked at
)


class PatternTests(SynchronousTestCase):
    def test_exponential(self) -> None:
        """
        Patterns that can take for ever are told.
        """
        for pattern in EXPONENTIAL:
            self.assertIn("for ever", slowness(pattern), pattern)

    def test_quadratic(self) -> None:
        """
        Patterns that take long for long texts are told, if the text may be long.
        """
        for pattern in QUADRATIC:
            self.assertIn("can take long", slowness(pattern), pattern)
            self.assertEqual(slowness(pattern, 140), "", pattern)

    def test_fast(self) -> None:
        """
        All others are not.
        """
        for pattern in FAST:
            self.assertEqual(slowness(pattern), "", pattern)

    def test_rule(self) -> None:
        """
        The rule tells the annotation, and knows the length.
        """
        for annotated, expected in (
            ('@pattern("(a+)+")', ["1:12"]),
            ('@pattern(".*.*x")', ["1:12"]),
            ('@length(max=140) @pattern(".*.*x")', []),
            ('@length(min=1) @pattern(".*.*x")', ["1:27"]),
        ):
            text = f"struct S {{ {annotated} string a; }}"
            warned = lint(read_text(text), {"pattern-backtracking"})
            self.assertEqual(
                [f"{each.fault.line}:{each.fault.column}" for each in warned], expected
            )
