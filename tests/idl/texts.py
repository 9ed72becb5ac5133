"""
Texts of the language made by chance, from a number, for tests.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import tokenize

SAMPLES: Final = Path(__file__).with_name("samples")
BANK: Final = SAMPLES / "bank.idl"

#: What may stand between two tokens.
GAPS: Final = (
    *(" ", "\n", "\r\n", "\t", "\n\n\n", "  ", "\f"),
    *(" // a } in a comment\n", " # see foo bar(int x)\r\n", " /* a { b */ "),
    *("\n/// said\n/// further\n", "\n/** said */ ", " /**\n * a\n *   b\n */\n"),
    *("\n/* a\n     b\n   c */\n", "/**/", "\n//// a\n", "\n/// a\n\n/// b\n"),
    *(" /// a\n/* b */ /// c\n", "/** a **/", "/*\n\tx\n*/", " /// */ x\r"),
)
WORDS: Final = (
    *("a", "b1", "C_d", "service", "struct", "enum", "union", "exception", "const"),
    *("import", "namespace", "oneway", "throws", "extends", "stream", "map", "list"),
    *("int", "true", "null", "as", "void", "longer_than_the_others_are_by_far"),
)
NUMBERS: Final = ("0", "-1", "+7", "3.25", "1e9", "2.5E-3", "0xFf", "30s", "4KiB")
STRINGS: Final = ('""', "''", '"a\\n\\u0041"', "'\"'", '"}"', '"// no"')


class Texts:
    """
    Makes lists of tokens that follow the grammar.

    @param seed: equal numbers make equal texts.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def document(self) -> list[str]:
        """
        A few definitions.
        """
        return self.many(self.definition, 4)

    def many(self, make: object, most: int, between: str = "") -> list[str]:
        """
        None to C{most} of something.
        """
        assert callable(make)
        found: list[str] = []
        for _ in range(self.random.randint(0, most)):
            if found and between:
                found.append(self.random.choice(between))
            found += make()
        return found

    def maybe(self, *tokens: str) -> list[str]:
        """
        Something or nothing.
        """
        return list(tokens) if self.random.random() < 0.4 else []

    def word(self) -> str:
        """
        Any word: all are contextual.
        """
        return self.random.choice(WORDS)

    def qname(self) -> list[str]:
        """
        One word or two.
        """
        return [self.word(), *self.maybe(".", self.word())]

    def type(self, depth: int = 0) -> list[str]:
        """
        A type of any name.
        """
        args: list[str] = []
        if depth < 3 and self.random.random() < 0.3:
            args = ["<", *self.type(depth + 1)]
            args = [*args, *self.maybe(",", *self.type(depth + 1)), ">"]
        return [*self.qname(), *args, *self.maybe("?")]

    def value(self, depth: int = 0) -> list[str]:
        """
        A value of any kind.
        """
        kind = self.random.randrange(5 if depth < 3 else 3)
        if kind == 0:
            return [self.random.choice(NUMBERS)]
        if kind == 1:
            return [self.random.choice(STRINGS)]
        if kind == 2:
            return self.qname()
        if kind == 3:
            items = self.many(lambda: self.value(depth + 1), 3, ",")
            return ["[", *items, *(self.maybe(",") if items else ()), "]"]
        items = self.many(
            lambda: [*self.value(depth + 1), ":", *self.value(depth + 1)], 2, ","
        )
        return ["{", *items, *(self.maybe(",") if items else ()), "}"]

    def annotation(self) -> list[str]:
        """
        Any annotation.
        """
        args = self.many(
            lambda: [*self.maybe(self.word(), "="), *self.value(2)], 2, ","
        )
        tail = self.maybe(",") if args else []
        return ["@", *self.qname(), *self.maybe("(", *args, *tail, ")")]

    def annotations(self) -> list[str]:
        """
        None mostly.
        """
        return self.many(self.annotation, 2) if self.random.random() < 0.3 else []

    def field(self) -> list[str]:
        """
        A member or parameter.
        """
        default = self.maybe("=", *self.value())
        return [*self.annotations(), *self.type(), self.word(), *default]

    def method(self) -> list[str]:
        """
        A method, with all that it may have.
        """
        # Without these, a type called oneway begins the method's text.
        words = [*self.annotations(), *self.maybe("oneway"), "int", self.word()]
        params = self.many(self.field, 4, ",")
        tail = self.maybe(",") if params else []
        throws = self.maybe("throws", *self.qname())
        if throws and self.random.random() < 0.5:
            throws = ["throws", "(", *throws[1:], ",", *self.qname(), ")"]
        end = [";"] * self.random.randint(1 if throws else 0, 2)
        return [*words, "(", *params, *tail, ")", *throws, *end]

    def definition(self) -> list[str]:
        """
        Any definition.
        """
        name = self.random.choice(("A", "B", "enum", "service"))
        body: list[str]
        kind = self.random.choice(
            ("namespace", "import", "const", "enum", "struct", "union", "service")
        )
        if kind == "namespace":
            body = [kind, *self.qname()]
        elif kind == "import":
            body = [kind, '"common.idl"', *self.maybe("as", self.word())]
        elif kind == "const":
            body = [kind, *self.type(), self.word(), "=", *self.value()]
        elif kind == "enum":
            values = self.many(
                lambda: [*self.annotations(), self.word(), *self.maybe("=", "'x'")],
                *(4, ",;"),
            )
            tail = self.maybe(";") if values else []
            body = [kind, name, "{", *values, *tail, "}"]
        elif kind == "struct":
            kind = self.random.choice(("struct", "exception"))
            head = [kind, name, *self.maybe("extends", *self.qname()), "{"]
            members = self.many(
                lambda: [*self.field(), self.random.choice(",;"), *self.maybe(";")], 4
            )
            body = [*head, *members, "}"]
        elif kind == "union":
            body = [kind, name, "{", *self.many(self.qname, 3, ",;"), "}"]
        else:
            bases = self.maybe("extends", *self.qname(), ",", *self.qname())
            body = [kind, name, *bases, "{", *self.many(self.method, 3), "}"]
        return [*self.annotations(), *body, *self.maybe(";", ";")]

    def laid_out(self, tokens: list[str]) -> str:
        """
        The tokens with anything between them.
        """
        text = self.random.choice(("", *GAPS))
        for token in tokens:
            plain = self.random.random() < 0.6
            text += token + (" " if plain else self.random.choice(GAPS))
        return text.rstrip() if self.random.random() < 0.2 else text

    def mutated(self, text: str) -> str:
        """
        The text with a few places spoilt.
        """
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randrange(len(text) + 1)
            end = at + self.random.choice((0, 0, 1, 1, 2, 5, 40))
            other = self.random.choice(
                (
                    *("", "", *WORDS, *NUMBERS, *STRINGS, "{", "}", "(", ")", "@"),
                    *("<", ">", ",", ";", "=", '"', "/*", "\n", "ö", "\0", "?", "["),
                    text[at // 2 : at // 2 + 30],
                )
            )
            text = text[:at] + other + text[end:]
        return text


def tokens_of(text: str) -> list[str]:
    """
    @return: the tokens of a text, without its comments.
    """
    tokens, _ = tokenize(Source("", text))
    return [token.text for token in tokens[:-1]]
