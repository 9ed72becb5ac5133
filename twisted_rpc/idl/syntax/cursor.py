# -*- test-case-name: tests.idl.test_parser -*-
"""
Going through the tokens of a file, and saying what was expected of them.
"""

from __future__ import annotations

from typing import NoReturn

from twisted_rpc.errors import Fault
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import Token
from twisted_rpc.idl.syntax.tree import Name

#: Deeper types and values are no interface; and Python's stack ends somewhere.
MAX_DEPTH = 32


class SyntaxFault(Exception):
    """
    The text does not follow the grammar.

    @ivar fault: what to tell.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Cursor:
    """
    A place among the tokens.

    @ivar token: the one that is next.
    """

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.index = 0
        self.token = tokens[0]
        self._last = len(tokens) - 1

    def peek(self, ahead: int = 1) -> Token:
        """
        @return: the token that comes C{ahead} after the next, or the end.
        """
        return self.tokens[min(self.index + ahead, self._last)]

    def go_to(self, index: int) -> None:
        """
        Make another token the next one.
        """
        self.index = min(index, self._last)
        self.token = self.tokens[self.index]

    def advance(self) -> Token:
        """
        @return: the next token, which is passed.
        """
        token = self.token
        if self.index < self._last:
            self.index += 1
            self.token = self.tokens[self.index]
        return token

    def take(self, kind: str) -> bool:
        """
        Pass the next token if it is of a kind.
        """
        if self.token.kind != kind:
            return False
        self.advance()
        return True

    def need(self, kind: str, hint: str = "") -> Token:
        """
        Pass a mark that must be next.
        """
        if self.token.kind != kind:
            self.expected(f"'{kind}'", hint)
        return self.advance()

    def need_name(self, what: str, hint: str = "") -> Name:
        """
        Pass a word that must be next.
        """
        if self.token.kind != "word":
            if self.token.kind == "number":
                hint = "names begin with a letter"
            self.expected(what, hint)
        token = self.advance()
        return Name(token.start, token.end, token.text)

    def is_word(self, text: str) -> bool:
        """
        Whether a certain word is next.
        """
        return self.token.text == text and self.token.kind == "word"

    @property
    def passed(self) -> int:
        """Where the last passed token has ended."""
        return self.tokens[self.index - 1].end if self.index else 0

    def where(self, token: Token) -> str:
        """
        @return: line and column of a token, for a hint.
        """
        line, column = self.source.position(token.start)
        return f"{line}:{column}"

    def expected(self, what: str, hint: str = "") -> NoReturn:
        """
        @raise SyntaxFault: always, about the next token.
        """
        self.refuse(self.token, f"expected {what}, found {described(self.token)}", hint)

    def refuse(self, token: Token, message: str, hint: str = "") -> NoReturn:
        """
        @raise SyntaxFault: always, about a token; if that is a bad one, then
            what is wrong with it, since nothing better can be said.
        """
        if token.kind == "bad":
            message, hint = token.text, token.hint
        fault = self.source.fault(token.start, token.end, message, hint)
        raise SyntaxFault(fault)


def described(token: Token) -> str:
    """
    @return: a token as a person would name it.
    """
    if token.kind == "word":
        return f"the word '{token.text}'"
    if token.kind == "end":
        return "the end of the file"
    text = token.text if len(token.text) <= 40 else token.text[:37] + "..."
    if token.kind == "number":
        return f"the number {text}"
    if token.kind == "string":
        return f"the string {text}"
    return f"'{text}'"
