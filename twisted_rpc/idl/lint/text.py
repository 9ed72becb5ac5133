# -*- test-case-name: tests.idl.test_lint -*-
"""
C{bidi-control}: characters that make a text look like another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from twisted_rpc.idl.lint.subject import Remark, Subject

#: Marks, embeddings, overrides and isolates of U{the bidirectional algorithm
#: <https://www.unicode.org/reports/tr9/>}.
_BIDI: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def bidi_control(subject: Subject) -> Iterator[Remark]:
    """
    A character that changes the order in which others are shown.

    @see: U{Trojan Source <https://trojansource.codes>}
    """
    for match in _BIDI.finditer(subject.source.text):
        message = f"U+{ord(match[0]):04X} changes the order in which text is shown"
        yield Remark(match.start(), match.end(), message, "write it as \\uXXXX")
