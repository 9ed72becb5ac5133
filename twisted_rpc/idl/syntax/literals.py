# -*- test-case-name: tests.idl.test_tokens -*-
"""
What the literals of the language stand for: strings, and numbers with units.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

import msgspec

#: What a duration's units are, in seconds.
SECONDS: Final = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
#: What a size's units are, in bytes.
FACTORS: Final = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

#: Python reads and writes no longer ones either, by default.
MAX_DIGITS: Final = 4300
UNIT_HINT: Final = "units are ms s m h d (durations) and KiB MiB GiB (sizes)"
ESCAPE_HINT: Final = "escapes are \\\" \\' \\\\ \\n \\r \\t and \\uXXXX"

_NUMBER = re.compile(
    r"([+-]?)(?:(0x[0-9A-Fa-f]+)|([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))(.*)"
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
_SIMPLE = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class LiteralFault(Exception):
    """
    A literal is wrong.

    @ivar offset: where in the literal.
    @ivar length: how much of it.
    """

    def __init__(self, offset: int, length: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.length = length
        self.message = message
        self.hint = hint


class Number(msgspec.Struct, frozen=True):
    """
    @ivar digits: the number in decimal notation as it was written, without its
        unit, e.g. C{"-1.50"}.
    @ivar unit: C{""}, C{"ms"}, ..., C{"KiB"}, ...
    """

    digits: str
    unit: str

    @property
    def is_whole(self) -> bool:
        """Whether it is written without a point and without an exponent."""
        return self.digits.lstrip("+-").isdigit()


def read_number(text: str) -> Number:
    """
    @raise LiteralFault: an unknown unit, or leading zeros.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:  # the expression that found the token is narrower
        raise LiteralFault(0, len(text), f"'{text}' is not a number", "")
    if len(text) > MAX_DIGITS:
        message = f"a number has at most {MAX_DIGITS} digits"
        raise LiteralFault(0, len(text), message, "")
    sign, hexadecimal, digits, unit = match.groups()
    if unit and unit not in SECONDS and unit not in FACTORS:
        raise LiteralFault(0, len(text), f"unknown unit '{unit}'", UNIT_HINT)
    if hexadecimal:
        return Number(f"{sign}{int(hexadecimal, 16)}", unit)
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        raise LiteralFault(0, len(text), "a number has no leading zeros", "")
    return Number(sign + digits, unit)


def read_string(text: str) -> str:
    """
    @param text: the literal, with its quotes.

    @raise LiteralFault: an unknown escape, or half of a surrogate pair.
    """
    body = text[1:-1]
    if "\\" not in body:
        return body
    said = _ESCAPE.sub(_unescape, body)
    if _SURROGATE.search(said) is None:
        return said
    try:
        return said.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        message = "half of a surrogate pair is no character"
        hint = "write both halves, or the character itself"
        raise LiteralFault(0, len(text), message, hint) from error


def _unescape(match: re.Match[str]) -> str:
    escape = match[1]
    if escape in _SIMPLE:
        return _SIMPLE[escape]
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    # One further for the quote that begins the literal.
    raise LiteralFault(
        match.start() + 1, 2, f"unknown escape '\\{escape}'", ESCAPE_HINT
    )
