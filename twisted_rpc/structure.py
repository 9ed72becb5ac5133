# -*- test-case-name: tests.test_structure -*-
"""
What is told of a JSON text before it is read: whether that would cost too much.

Marks of structure are brackets, braces, colons and commas.  All of it takes time
linear in the length of the text, and none of it minds a text that is not legal.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

# A string, or what one that never ends leaves: else each quote in that would be
# tried anew, 8 s for 40 kB.  Possessive, so that no way back is remembered: 4 MiB
# of escapes took 94 MB.  (Beside its compiling: pydoctor cannot read it.)
_STRING_PATTERN = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
STRING: Final = re.compile(_STRING_PATTERN, re.DOTALL)

#: Marks in one message (delivery.md, X6).
MAX_STRUCTURE: Final = 50_000


def too_deep(text: bytes, limit: int) -> bool:
    """
    Whether C{text} nests deeper than C{limit}: to read it would end in a
    RecursionError, at a depth that differs with every Python.

    Counting the brackets that open settles nearly every message at once.
    """
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for match in re.finditer(rb"[\[\]{}]", STRING.sub(b"", text)):
        if match.group() in b"[{":
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False


def too_wide(text: bytes, limit: float) -> bool:
    """
    Whether C{text} holds more than C{limit} marks of structure, which is what untyped
    values cost: 4 MiB of them take 0.7 s and 150 MB.  Those in strings count.
    """
    return len(text) > limit and sum(map(text.count, (b"[", b"{", b":", b","))) > limit


def is_bomb(text: bytes, limit: float) -> bool:
    """
    The same, but for those in strings: a table in a string is no bomb.

    There are at most C{limit} strings in what is none, since a mark stands between
    any two.  Not to ask that first cost 255 ms and 231 MB for 4 MiB of C{"",},
    whose strings were all taken out.
    """
    if not too_wide(text, limit):
        return False
    if next(islice(STRING.finditer(text), int(limit) + 1, None), None) is not None:
        return True
    return too_wide(STRING.sub(b"", text), limit)
