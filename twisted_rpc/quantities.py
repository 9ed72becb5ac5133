# -*- test-case-name: tests.test_quantities -*-
"""
Durations and sizes, as a person writes them on a command line: C{500ms},
C{4MiB}.  The units are those of the IDL.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from twisted_rpc.idl.syntax.literals import FACTORS, SECONDS

_QUANTITY: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)")


def duration(text: str) -> float:
    """
    Seconds: C{"30s"}, C{"500ms"}, C{"2m"}, or without a unit C{"1.5"}.

    @raise ValueError: it is not a duration; the text says what one is.
    """
    number, unit = _split(text)
    if number is None or unit not in {"", *SECONDS}:
        raise ValueError(
            f"{text!r} is not a duration; write 500ms, 30s, 2m, 1h or a number of seconds"
        )
    return float(number * SECONDS[unit or "s"])


def size(text: str) -> int:
    """
    Bytes: C{"64KiB"}, C{"4MiB"}, or without a unit C{"65536"}.

    @raise ValueError: it is not a size; the text says what one is.
    """
    number, unit = _split(text)
    total = None if number is None else number * FACTORS.get(unit, 1)
    if total is None or unit not in {"", *FACTORS} or total.denominator != 1:
        raise ValueError(
            f"{text!r} is not a size; write 64KiB, 4MiB, 1GiB or a number of bytes"
        )
    return int(total)


def shown_duration(seconds: float) -> str:
    """
    Seconds as a person reads them, C{"500 ms"} or C{"30 s"}.
    """
    return f"{seconds * 1000:g} ms" if 0 < seconds < 1 else f"{seconds:g} s"


def shown_size(size: int) -> str:
    """
    Bytes as a person reads them, C{"4 MiB"} or C{"1000 bytes"}.
    """
    for unit, factor in sorted(FACTORS.items(), key=lambda it: -it[1]):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} bytes"


def _split(text: str) -> tuple[Fraction | None, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None, ""
    return Fraction(match[1]), match[2]
