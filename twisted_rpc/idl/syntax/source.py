# -*- test-case-name: tests.idl.test_tokens -*-
"""
The text of an IDL file, and where things stand in it.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from twisted_rpc.errors import Fault, IDLError
from twisted_rpc.idl.model import Place

_LINE_END = re.compile(r"\r\n|\r|\n")

#: More is not an interface any more, and would be read for seconds.
MAX_BYTES = 1024 * 1024


class Source:
    """
    One file's text.

    Inside the reader a place is an offset into the text; lines and columns are
    only counted for what is shown or kept.

    @ivar path: the file, as it was named.
    @ivar text: the text without a leading byte order mark.
    """

    __slots__ = ("_shown", "_starts", "path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text.removeprefix("\ufeff")
        self._shown: dict[int, str] = {}
        self._starts = [0]
        self._starts += [end.end() for end in _LINE_END.finditer(self.text)]

    def position(self, offset: int) -> tuple[int, int]:
        """
        @return: line and column, both from 1, of an offset.
        """
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_of(self, offset: int) -> int:
        """
        @return: the line, from 1, of an offset.
        """
        return bisect_right(self._starts, offset)

    def place(self, start: int, end: int) -> Place:
        """
        @return: where the text from C{start} to before C{end} stands.
        """
        line, column = self.position(start)
        return Place(self.path, line, column, max(1, end - start))

    def line_text(self, line: int) -> str:
        """
        @return: a line, counted from 1, without its end.
        """
        # One string a line, however many faults it has: a file may be one line.
        if line not in self._shown:
            last = line == len(self._starts)
            stop = len(self.text) if last else self._starts[line]
            shown = self.text[self._starts[line - 1] : stop]
            self._shown[line] = shown.rstrip("\r\n")
        return self._shown[line]

    def fault(self, start: int, end: int, message: str, hint: str = "") -> Fault:
        """
        @return: what is wrong with the text from C{start} to before C{end}.
        """
        line, column = self.position(start)
        text = self.line_text(line)
        return Fault(self.path, line, column, max(1, end - start), message, hint, text)


def decode(path: str, data: bytes) -> Source:
    """
    @raise IDLError: C{data} is no UTF-8.
    """
    try:
        return Source(path, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        source = Source(path, before)
        line, column = source.position(len(source.text))
        message = f"this is not UTF-8: byte 0x{data[error.start]:02x}"
        fault = Fault(path, line, column, 1, message, "save the file in UTF-8")
        raise IDLError([fault]) from error


def too_long(path: str, size: int) -> IDLError:
    """
    @return: what to say of C{size} bytes.
    """
    message = f"the file has {size} bytes; more than 1 MiB is not read"
    return IDLError([Fault(path, 1, 1, 1, message)])
