# -*- test-case-name: tests.idl.test_meaning -*-
"""
Numbers and strings of the text as JSON values of a built-in type.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from twisted_rpc.idl.syntax.literals import FACTORS, MAX_DIGITS, SECONDS, Number
from twisted_rpc.idl.syntax.words import INTEGERS

#: A decimal's exponent lies within this, as that of IEEE 754's decimal128 does.
MAX_EXPONENT: Final = 6144

#: Python writes no integers of more digits, by default.
_TOO_LONG: Final = 10**MAX_DIGITS

_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Misfit(Exception):
    """
    A literal is no value of a type.

    @ivar message: C{""} if there is no more to say than that.
    """

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def from_number(number: Number, type: str) -> Any:
    """
    @param type: the name of a built-in type.

    @return: the JSON value.

    @raise Misfit: there is none.
    """
    if number.unit in SECONDS:
        if type != "duration":
            raise Misfit("", "it has the unit of a duration")
        return _duration(number)
    if type == "duration":
        raise Misfit("", f"write its unit: {number.digits}s")
    if type in INTEGERS:
        return _integer(number, type)
    if type == "float":
        return _float(number)
    if type == "decimal":
        return decimal(str(_integer(number, "int")) if number.unit else number.digits)
    if type == "any":
        return _integer(number, "int") if number.is_whole else _float(number)
    raise Misfit


def from_string(text: str, type: str) -> Any:
    """
    @param type: the name of a built-in type.

    @return: the JSON value.

    @raise Misfit: there is none.
    """
    if type in ("string", "any"):
        return text
    if type == "decimal":
        return decimal(text)
    if type not in _WRITTEN:
        raise Misfit
    python, example = _WRITTEN[type]
    try:
        return msgspec.to_builtins(msgspec.convert(text, python))
    except (msgspec.ValidationError, OverflowError) as error:
        raise Misfit("", f"it is written {example}") from error


#: Types whose values are strings in JSON, and what they look like.
_WRITTEN: Final[dict[str, tuple[Any, str]]] = {
    "bytes": (bytes, 'in base64: "aGVsbG8="'),
    "timestamp": (
        Annotated[datetime, msgspec.Meta(tz=True)],
        'with an offset: "2026-11-22T10:00:00Z"',
    ),
    "date": (date, '"2026-11-22"'),
    "duration": (timedelta, '30s or "PT30S"'),
    "uuid": (UUID, '"123e4567-e89b-12d3-a456-426614174000"'),
}


def seconds(json: str) -> float:
    """
    @return: a duration's JSON value in seconds.
    """
    return msgspec.convert(json, timedelta).total_seconds()


def decimal(text: str) -> str:
    """
    @return: the JSON value of a decimal, its scale kept.

    @raise Misfit: C{text} is no number, or beyond the limits.
    """
    if not _DECIMAL.fullmatch(text) or len(text) > MAX_DIGITS:
        raise Misfit
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Misfit from error
    if abs(value.adjusted()) > MAX_EXPONENT:
        message = f"{_cut(text)} is out of range for decimal"
        raise Misfit(message, f"exponents are within {MAX_EXPONENT} of 0")
    return str(value)


def _scaled(number: Number) -> Fraction:
    """
    @return: the number with its unit, exactly; a duration in seconds.

    @raise Misfit: the number is beyond anything that is counted.
    """
    try:
        digits = Decimal(number.digits)
    except InvalidOperation:
        digits = Decimal("Infinity")
    if abs(digits.adjusted()) > MAX_EXPONENT or not digits.is_finite():
        raise Misfit(f"{_cut(number.digits)} is out of range")
    factor = SECONDS.get(number.unit) or FACTORS.get(number.unit, 1)
    return Fraction(digits) * factor


def _integer(number: Number, type: str) -> int:
    if number.is_whole and not number.unit:
        value = int(number.digits)
    elif number.unit:
        scaled = _scaled(number)
        if scaled.denominator != 1:
            raise Misfit("", "it is not a whole number of bytes")
        value = int(scaled)
        if abs(value) >= _TOO_LONG:
            raise Misfit(f"{_cut(number.digits)}{number.unit} is out of range")
    else:
        raise Misfit("", "it is written without a point and an exponent")
    low, high = INTEGERS[type]
    if (low is not None and value < low) or (high is not None and value > high):
        message = f"{_cut(str(value))} is out of range for {type}"
        raise Misfit(message, f"from {low} to {high}")
    return value


def _float(number: Number) -> float:
    try:
        value = float(_scaled(number)) if number.unit else float(number.digits)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Misfit(f"{_cut(number.digits)} is out of range for float")
    return value


def _duration(number: Number) -> str:
    micro = _scaled(number) * 1_000_000
    if micro.denominator != 1:
        raise Misfit("", "durations are whole microseconds")
    try:
        value = timedelta(microseconds=int(micro))
    except OverflowError as error:
        message = f"{_cut(number.digits)}{number.unit} is out of range for duration"
        raise Misfit(message) from error
    json: str = msgspec.to_builtins(value)
    return json


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
