# -*- test-case-name: tests.idl.test_format -*-
"""
The one layout of IDL files.

Four spaces, one member a line, C{;} after members and methods, an empty line
between definitions; what does not fit on a line of 88 characters gets its
annotations on a line of their own, then its parameters on one each.  Comments
stay: at the end of the line they follow, or before what they precede.  The
tokens are written as they were read, but for separators, so a digest cannot
change.
"""

from __future__ import annotations

from twisted_rpc.idl.formatting.layout import WIDTH, Layout, Line
from twisted_rpc.idl.formatting.pieces import Note, Piece, cut
from twisted_rpc.idl.syntax.parser import Parser
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import tokenize

_INDENT = " " * 4
#: No space stands before these,
_CLOSING = frozenset(",;)]>?.:}")
#: and none after these.
_OPENING = frozenset("([<.@{")


def format_text(text: str, path: str = "<text>") -> str:
    """
    @return: the text in the one layout; the same text, if it has it already.

    @raise IDLError: the text does not follow the grammar.  What it means is not
        asked.
    """
    source = Source(path, text)
    tokens, comments = tokenize(source)
    document = Parser(source, tokens).document()
    layout = Layout(tokens, comments, document)
    pieces = cut(source, tokens, comments, layout.dropped)
    return Writer(layout, pieces).text()


class Writer:
    """
    Writes lines.
    """

    def __init__(self, layout: Layout, pieces: dict[int, Piece]) -> None:
        self.layout = layout
        self.pieces = pieces
        self._done: list[str] = []
        self._now = ""

    def text(self) -> str:
        """
        @return: the whole text.
        """
        for line in self.layout.lines:
            self._write(line)
        self._new_line(0)
        return "\n".join(self._done).strip("\n") + "\n" if any(self._done) else ""

    def _write(self, line: Line) -> None:
        """
        Write a line, as several if it has to be.
        """
        first, last, indent = line.first, line.last, line.indent
        room = WIDTH - len(_INDENT) * indent - len(line.end)
        self._begin(first, line)
        start = first
        while start in self.layout.after:
            start = self.layout.after[start]
        if start > first and not self._fits(first, last, room):
            self._go_on(first + 1, start - 1, indent)
            # Its comments were told of by the parser as those of the line.
            self._begin(start, Line(start, last, indent, "no", ""))
            first = start
        if line.params and not self._fits(first, last, room):
            self._write_params(first, line)
        else:
            self._go_on(first + 1, last, indent)
        self._now += line.end
        for index in line.kept:
            self._go_on(index, index, indent)

    def _write_params(self, first: int, line: Line) -> None:
        indent = line.indent
        opened = line.params[0][0] - 1
        self._go_on(first + 1, opened, indent)
        closing = line.params[-1][1] + 1
        while closing in self.layout.dropped:
            closing += 1
        starts = [start for start, _ in line.params]
        ends = [start - 1 for start in starts[1:]] + [closing - 1]
        for start, end in zip(starts, ends, strict=True):
            self._begin(start, Line(start, end, indent + 1, "no", ""))
            self._go_on(start + 1, end, indent + 1)
        self._begin(closing, Line(closing, closing, indent, "no", "", closes=True))
        self._go_on(closing + 1, line.last, indent)

    def _fits(self, first: int, last: int, room: int) -> bool:
        """
        Whether tokens go on one line of a length.  The comments before the first
        are not on it.
        """
        length = 0
        for index in range(first, last + 1):
            piece = self.pieces.get(index)
            if piece is None:
                continue
            for note in piece.notes if index > first else ():
                if note.is_line or len(note.lines) > 1:
                    return False
                length += len(note.lines[0]) + 1
            length += len(piece.text) + (len(self._gap(index)) if index > first else 0)
            if length > room:
                return False
        return True

    def _begin(self, index: int, line: Line) -> None:
        """
        Begin a new line with a token, and with the comments before it.
        """
        piece = self.pieces[index]
        count = _trailing(piece) if self._done or self._now else 0
        for note in piece.notes[:count]:
            self._now += " "
            self._add(note, line.indent)
        notes = piece.notes[count:]
        indent = line.indent + (line.closes and bool(self.layout.tokens[index].text))
        ends = notes[0].ends if notes else piece.ends
        empty = line.blank == "must" or (line.blank == "may" and ends > 1)
        for position, note in enumerate(notes):
            if position and note.ends == 0:
                self._now += " "
            else:
                self._new_line(indent, empty=note.ends > 1 if position else empty)
            self._add(note, indent)
        last = notes[-1] if notes else None
        if last and not (piece.ends or last.is_line or last.is_doc or line.closes):
            self._now += " "
        elif last:
            wide = piece.ends > 1 and not last.is_doc and not line.closes
            self._new_line(line.indent, empty=wide)
        else:
            self._new_line(line.indent, empty=empty)
        self._now += piece.text

    def _go_on(self, first: int, last: int, indent: int) -> None:
        """
        Write tokens on the line, broken only by comments.
        """
        for index in range(first, last + 1):
            piece = self.pieces.get(index)
            if piece is None:
                continue
            gap = self._gap(index)
            if piece.notes:
                gap = self._write_notes(piece, gap, indent + 1)
            self._now += gap + ("," if index in self.layout.commas else piece.text)

    def _write_notes(self, piece: Piece, gap: str, indent: int) -> str:
        """
        @return: what is to be written between them and the token.
        """
        if gap or self._now[-1:] not in _OPENING:
            self._now += " "
        for position, note in enumerate(piece.notes):
            if position and note.ends:
                self._new_line(indent, empty=note.ends > 1)
            elif position:
                self._now += " "
            self._add(note, indent)
        if piece.notes[-1].is_line:
            self._new_line(indent)
            return ""
        return "" if piece.text in _CLOSING else " "

    def _gap(self, index: int) -> str:
        """
        @return: what stands between a token and the one before it.
        """
        layout = self.layout
        before = index - 1
        while before in layout.dropped:
            before -= 1
        kind, last = layout.tokens[index].kind, layout.tokens[before].kind
        if index in layout.spaced or before in layout.spaced:
            return " "
        if index in layout.close_set or kind in _CLOSING or last in _OPENING:
            return ""
        return "" if kind == "<" else " "

    def _add(self, note: Note, indent: int) -> None:
        self._now += note.lines[0]
        for line in note.lines[1:]:
            self._new_line(indent if line else 0)
            self._now += line

    def _new_line(self, indent: int, *, empty: bool = False) -> None:
        if self._now or self._done:
            self._done.append(self._now.rstrip())
            if empty and self._done[-1]:
                self._done.append("")
        self._now = _INDENT * indent


def _trailing(piece: Piece) -> int:
    """
    @return: how many of the comments before a token belong to the end of the
        line before: those that begin on it, unless the token does too.
    """
    count = 0
    for note in piece.notes:
        if note.is_doc or (note.ends and not note.trails):
            break
        count += 1
    following = [*(note.ends for note in piece.notes[1:]), piece.ends]
    while count and not following[count - 1]:
        note = piece.notes[count - 1]
        if note.trails or note.is_line:
            break
        count -= 1
    return count
