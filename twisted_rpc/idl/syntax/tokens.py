# -*- test-case-name: tests.idl.test_tokens -*-
"""
Text to tokens, by one regular expression.

What is no token becomes a token too, of the kind C{bad}, that says what is
wrong; nothing in the grammar takes one, so it is told of where the parser meets
it.  Comments go to a list of their own, and doc comments also to the token that
follows them.
"""

from __future__ import annotations

import re

import msgspec

from twisted_rpc.idl.syntax.source import Source

_TOKEN = re.compile(
    r"""[ \t\r\n\f\v]*(?:
      (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>[{}()<>\[\],;:=?.@])
    | (?P<comment>//[^\r\n]*|\#[^\r\n]*|/\*[\s\S]*?\*/)
    | (?P<number>[+-]?(?:0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
        [A-Za-z0-9_]*)
    | (?P<string>"(?:[^"\\\r\n]|\\[^\r\n])*"|'(?:[^'\\\r\n]|\\[^\r\n])*')
    | (?P<bad>["'][^\r\n]*|/\*[\s\S]*|[\s\S])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_LINE_END = re.compile(r"\r\n|\r|\n")


class Token(msgspec.Struct, gc=False):
    """
    @ivar kind: C{word}, C{number}, C{string}, C{bad}, C{end}, or of a mark the
        mark itself.
    @ivar text: as it is written; of a bad token, what is wrong with it.
    @ivar start: where it begins in the text.
    @ivar end: where it has ended.
    @ivar doc: the doc comment before it, cleaned, or C{""}.
    @ivar hint: of a bad token: what to do, or C{""}.
    """

    kind: str
    text: str
    start: int
    end: int
    doc: str = ""
    hint: str = ""


class Comment(msgspec.Struct, gc=False):
    """
    @ivar text: all of it, with the marks that make it a comment.
    @ivar before: the index of the token it stands before.
    """

    text: str
    start: int
    end: int
    before: int

    @property
    def is_doc(self) -> bool:
        """Whether it documents what follows."""
        if self.text.startswith("///"):
            return not self.text.startswith("////")
        return self.text.startswith("/**") and len(self.text) > len("/**/")

    @property
    def is_line(self) -> bool:
        """Whether it goes on to the end of its line."""
        return not self.text.startswith("/*")


def tokenize(source: Source) -> tuple[list[Token], list[Comment]]:
    """
    @return: the tokens, of which the last is of the kind C{end}, and all
        comments.  Both in the order of the text.
    """
    tokens: list[Token] = []
    comments: list[Comment] = []
    fresh = 0  # the first comment that no token follows yet
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup or ""
        text = match[kind]
        start, end = match.span(kind)
        if kind == "comment":
            comments.append(Comment(text, start, end, len(tokens)))
            continue
        if kind == "mark":
            kind = text
        token = Token(kind, text, start, end)
        if kind == "bad":
            token.text, token.hint = _blame(text)
            if text.startswith("/*"):  # not all the rest of the file
                token.end = start + 2
        if fresh < len(comments):
            token.doc = _doc(comments[fresh:], source)
            fresh = len(comments)
        tokens.append(token)
        if kind == "end":
            break
    return tokens, comments


def _blame(text: str) -> tuple[str, str]:
    """
    @return: what is wrong with C{text}, which is no token, and a hint.
    """
    if text[0] in "\"'":
        return "unterminated string", "a string ends on the line it begins on"
    if text.startswith("/*"):
        return "unterminated comment", "it ends with '*/'"
    shown = f"'{text}'" if text.isprintable() else f"U+{ord(text):04X}"
    hint = "names are ASCII letters, digits and '_'" if text.isalpha() else ""
    return f"unexpected character {shown}", hint


def _doc(comments: list[Comment], source: Source) -> str:
    """
    @return: the text of the last doc comment among those before a token.
    """
    docs = [comment for comment in comments if comment.is_doc]
    if not docs:
        return ""
    last = docs.pop()
    if not last.is_line:
        return clean_block(last.text)
    lines = [last]
    while (
        docs
        and docs[-1].is_line
        and source.line_of(docs[-1].start) + 1 == source.line_of(lines[-1].start)
    ):
        lines.append(docs.pop())
    return _dedent([line.text[3:] for line in reversed(lines)]).strip("\n")


def clean_block(text: str) -> str:
    """
    @return: the text of C{/** ... */}, without the stars that begin its lines
        and without their common indentation.
    """
    first, *rest = _LINE_END.split(text[3:-2].lstrip("*").rstrip("*"))
    told = [line for line in rest if line.strip()]
    if told and all(line.lstrip().startswith("*") for line in told):
        rest = [line.lstrip()[1:] for line in rest]
    return "\n".join([first.strip(), _dedent(rest)]).strip("\n")


def _dedent(lines: list[str]) -> str:
    """
    @return: the lines without their common indentation.
    """
    told = [line for line in lines if line.strip()]
    common = min((len(line) - len(line.lstrip()) for line in told), default=0)
    return "\n".join(line[common:].rstrip() for line in lines)
