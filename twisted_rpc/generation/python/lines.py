# -*- test-case-name: tests.generation.test_python -*-
"""
Lines of Python text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: What a text of Python cannot hold, or does not show.
_HIDDEN: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")

#: A text as lines, without their ends.
Lines = list[str]


def indented(lines: Iterable[str]) -> Lines:
    """
    @return: the lines four columns further right.
    """
    return [f"    {line}" if line else "" for line in lines]


def docstring(doc: str) -> Lines:
    """
    @return: a doc comment as a docstring; nothing for none.
    """
    if not doc.strip():
        return []
    text = doc.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    lines = [line.rstrip() for line in text.split("\n")]
    if len(lines) == 1 and not text.endswith('"'):
        return [f'"""{text}"""']
    return ['"""', *lines, '"""']


def block(head: str, body: Iterable[Iterable[str]]) -> Lines:
    """
    @param body: groups of lines, between which there is an empty line.
    @return: a compound statement.
    """
    inner: Lines = []
    for group in body:
        lines = list(group)
        inner += ["", *lines] if inner and lines else lines
    return [head, *indented(inner or ["..."])]
