# -*- test-case-name: tests.idl.test_format -*-
"""
The tokens that the formatter writes, each with the comments before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import Comment, Token

_LINE_END = re.compile(r"\r\n|\r|\n")


class Note(msgspec.Struct, frozen=True):
    """
    A comment.

    @ivar lines: its lines, without the indentation that the file gave them.
    @ivar ends: how many ends of lines are before it, since what comes before.
    @ivar is_line: whether it goes on to the end of its line.
    @ivar is_doc: whether it documents what follows.
    @ivar trails: whether it stood before a separator that is not written, so
        belongs to what comes before.
    """

    lines: list[str]
    ends: int
    is_line: bool
    is_doc: bool
    trails: bool


class Piece(msgspec.Struct, frozen=True):
    """
    A token.

    @ivar ends: how many ends of lines are before it, since what comes before.
    """

    text: str
    notes: list[Note]
    ends: int


def cut(
    source: Source,
    tokens: Sequence[Token],
    comments: Sequence[Comment],
    dropped: AbstractSet[int],
) -> dict[int, Piece]:
    """
    @return: by index, all tokens but the dropped ones.
    """
    pieces: dict[int, Piece] = {}
    before: dict[int, list[Comment]] = {}
    for comment in comments:
        before.setdefault(comment.before, []).append(comment)
    notes: list[Note] = []
    line = 1
    for index, token in enumerate(tokens):
        for comment in before.get(index, ()):
            # A separator between that is not written may have hidden an end.
            least = 1 if notes and notes[-1].is_line else 0
            ends = max(least, source.line_of(comment.start) - line)
            notes.append(_note(comment, ends, trails=index in dropped))
            line = source.line_of(comment.end)
        ends = source.line_of(token.start) - line
        line = source.line_of(token.end)
        if index not in dropped:
            pieces[index] = Piece(token.text, notes, ends)
            notes = []
    return pieces


def _note(comment: Comment, ends: int, *, trails: bool) -> Note:
    lines = [line.rstrip() for line in _LINE_END.split(comment.text)]
    if len(lines) > 1:
        lines = [lines[0], *_continued(lines[1:])]
    trails = trails and ends == 0
    return Note(lines, ends, comment.is_line, comment.is_doc, trails)


def _continued(lines: list[str]) -> list[str]:
    """
    @return: the further lines of a C{/* */} comment, to be written under its
        star: those that begin with stars themselves there, others as they are
        to each other.
    """
    inner = [line for line in lines if line.strip()]
    closes = not lines[-1].removesuffix("*/").strip(" \t*")
    if closes:
        inner = inner[:-1]
    if all(line.lstrip().startswith("*") for line in inner):
        return [f" {line.lstrip()}" if line.strip() else "" for line in lines]
    common = min(len(line) - len(line.lstrip()) for line in inner)
    moved = [f"   {line[common:]}" if line.strip() else "" for line in lines]
    if closes:
        moved[-1] = lines[-1].lstrip()
    return moved
