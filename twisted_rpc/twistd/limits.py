# -*- test-case-name: tests.test_tap -*-
"""
C{--limit NAME=VALUE}: the limits of a server, as a person writes them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from twisted_rpc.quantities import duration, size
from twisted_rpc.wire.limits import DURATIONS, OFF, SIZES, SWITCHABLE, Limits

_NAMES: Final = tuple(field.name for field in fields(Limits))


def read_limits(texts: Iterable[str], **given: Any) -> Limits:
    """
    Understand C{--limit}.

    @param given: limits that have options of their own.

    @raise ValueError: no such limit, or not a value that it can have.
    """
    values = dict(given)
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in _NAMES:
            close = difflib.get_close_matches(name, _NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else "see docs/reference/limits"
            raise ValueError(f"there is no limit {name!r}; {hint}")
        if not equals:
            raise ValueError(f"{text!r} has no value; write {name}=...")
        values[name] = _value(name, value.strip())
    return Limits(**values)


def _value(name: str, text: str) -> float:
    if text == "off":
        if name not in SWITCHABLE:
            raise ValueError(f"{name} cannot be switched off")
        return OFF
    try:
        if name in SIZES:
            return size(text)
        if name in DURATIONS:
            return duration(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not text.isdecimal():
        raise ValueError(f"{name}: {text!r} is not a whole number")
    return int(text)
