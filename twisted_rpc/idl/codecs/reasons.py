# -*- test-case-name: tests.idl.test_codec -*-
"""
What went wrong in decoding, in the framework's own words.

msgspec says C{Expected `int` >= 1 - at `$[2]`}; the caller is told
C{limit: expected int >= 1}.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from twisted_rpc.errors import InvalidValue

#: Code points of a quoted text that are shown.
SHOWN: Final = 200

_PLACE = re.compile(r"(?s)(.*) - at `(key` in `)?\$([^`]*)`\Z")
_FIRST = re.compile(r"\[(\d+)\](.*)\Z", re.DOTALL)
_QUOTED = re.compile(r"(?s)\AInvalid (enum value|value) '?(.*?)'?\Z")
_REGEX = re.compile(r"(?s)\A(Expected .*) matching regex .*\Z")


def invalid(
    error: Exception,
    root: str = "",
    names: Sequence[str] | None = None,
    *,
    quote: bool = True,
) -> InvalidValue:
    """
    Put any error of a codec into words.

    @param root: what the whole value is called, e.g. C{"result"}.
    @param names: if the value is a list of parameters, what they are called.
    @param quote: whether values may be quoted.
    @return: the error to raise.
    """
    if isinstance(error, InvalidValue):
        return error
    if isinstance(error, msgspec.ValidationError):
        text, path = _split(_shorter(str(error)), root, names)
        return InvalidValue(path, _reason(text, quote=quote))
    return InvalidValue(root, _other(error))


def _shorter(text: str) -> str:
    """
    A value of megabytes would stand in the middle, and cost as much again.
    """
    return text if len(text) <= 8000 else text[:4000] + text[-4000:]


def _split(text: str, root: str, names: Sequence[str] | None) -> tuple[str, str]:
    found = _PLACE.match(text)
    if found is None:
        return text, root
    text, key, path = found.groups()
    if key:
        text = f"a key: {text[:1].lower()}{text[1:]}"
    first = None if names is None else _FIRST.match(path)
    if first is not None and names is not None and int(first[1]) < len(names):
        return text, names[int(first[1])] + first[2]
    return text, root + path if root else path.removeprefix(".")


def _reason(text: str, *, quote: bool) -> str:
    quoted = _QUOTED.match(text)
    if quoted is not None:
        text = f"unknown {'value' if quoted[1] == 'enum value' else 'type'}"
        if quote:
            text = f"{text} '{cut(quoted[2])}'"
        return text
    text = _REGEX.sub(r"\1 that matches its pattern", text).replace("`", "")
    text = text.replace("Object missing required field", "missing required member")
    return text[:1].lower() + text[1:]


def _other(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeError):
        return "not valid UTF-8"
    if isinstance(error, msgspec.DecodeError):
        text = str(error).replace("JSON is malformed: ", "")
        return f"bad JSON: {cut(text)}"
    # A type of user code may raise anything; its text might hold a value.
    return f"it can be neither read nor written ({type(error).__name__})"


def cut(text: str) -> str:
    """
    @return: at most L{SHOWN} code points, and C{...} if some are left out.
    """
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
