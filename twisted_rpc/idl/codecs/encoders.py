# -*- test-case-name: tests.idl.test_codec -*-
"""
The sender's fast path: encoders for scalars of exactly the declared type.

Their values need no decoding to be checked.  Each encoder is a closure for one
shape of arguments, because a loop over the parameters would cost more than the
encoding itself: C{add(5, 3)} takes 0.17 microseconds, by way of a loop 0.4.  What
an encoder is not sure of goes to the careful one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from twisted_rpc.idl.codecs.facts import Typed
from twisted_rpc.idl.codecs.types import INTEGERS, integer_bounds, range_of
from twisted_rpc.idl.model import Annotations, Type

write: Final = msgspec.json.Encoder().encode

Encode = Callable[[Any], bytes]

#: The position of a number, and its lowest and highest value.
Bound = tuple[int, float, float]

_EXACT: Final[dict[str, type]] = {
    "float": float,
    "bool": bool,
    "string": str,
    "bytes": bytes,
    **dict.fromkeys(INTEGERS, int),
}


def exact_type(type_: Type, constraints: Annotations) -> type | None:
    """
    @return: the type whose values need no decoding to be checked, or C{None}.
    """
    if type_.optional or "pattern" in constraints or "length" in constraints:
        return None
    return _EXACT.get(type_.name)


def bound_of(index: int, type_: Type, constraints: Annotations) -> Bound | None:
    """
    @param index: where the value stands.
    @return: the bounds of a number.  A float must be finite; C{NaN} is within no
        bounds.
    """
    low: Any
    high: Any
    if type_.name == "float":
        low, high = range_of(constraints)
        most = sys.float_info.max
        return index, -most if low is None else low, most if high is None else high
    if type_.name not in INTEGERS:
        return None
    low, high = integer_bounds(type_, constraints)
    if low is None and high is None:
        return None
    infinity = float("inf")
    return index, -infinity if low is None else low, infinity if high is None else high


def encoder_of_value(type_: Type, constraints: Annotations, careful: Encode) -> Encode:
    """
    @param careful: encodes anything, or raises InvalidValue.
    @return: what encodes one value.
    """
    if type_.name == "void":
        return _nothing(None, b"null", careful)
    exact = exact_type(type_, constraints)
    if exact is None:
        return careful
    bound = bound_of(0, type_, constraints)
    return _exact(exact, careful) if bound is None else _number(exact, bound, careful)


def encoder_of_list(fields: Sequence[Typed], careful: Encode) -> Encode:
    """
    @param careful: encodes any arguments, or raises InvalidValue.
    @return: what encodes a tuple with a value for each field.
    """
    exact = tuple(exact_type(*field) for field in fields)
    bounds = tuple(
        bound
        for index, field in enumerate(fields)
        if (bound := bound_of(index, *field)) is not None
    )
    if not exact:
        return _nothing((), b"[]", careful)
    if None in exact:
        return careful
    if bounds or len(exact) > 2:
        return _many(exact, bounds, careful)
    return _two(*exact, careful) if len(exact) == 2 else _many(exact, (), careful)


def _nothing(empty: Any, encoded: bytes, careful: Encode) -> Encode:
    # Of the empty tuple there is only one.
    return lambda value: encoded if value is empty else careful(value)


def _exact(exact: type, careful: Encode) -> Encode:
    def encode_exact(value: Any) -> bytes:
        if type(value) is exact:
            try:
                return write(value)
            except Exception:  # noqa: BLE001, S110 - a surrogate, or too many digits
                pass
        return careful(value)

    return encode_exact


def _number(exact: Any, bound: Bound, careful: Encode) -> Encode:
    _, low, high = bound

    def encode_number(value: Any) -> bytes:
        if type(value) is exact and low <= value <= high:
            try:
                return write(value)
            except Exception:  # noqa: BLE001, S110 - too many digits
                pass
        return careful(value)

    return encode_number


def _two(first: Any, second: Any, careful: Encode) -> Encode:
    def encode_two(args: Any) -> bytes:
        try:
            a, b = args
            if type(a) is first and type(b) is second:
                return write(args)
        except Exception:  # noqa: BLE001, S110 - one left out, or a surrogate
            pass
        return careful(args)

    return encode_two


def _many(
    exact: tuple[type | None, ...], bounds: tuple[Bound, ...], careful: Encode
) -> Encode:
    def encode_many(args: Any) -> bytes:
        if tuple(map(type, args)) == exact:
            for index, low, high in bounds:
                if not low <= args[index] <= high:
                    return careful(args)
            try:
                return write(args)
            except Exception:  # noqa: BLE001, S110 - a surrogate, or too many digits
                pass
        return careful(args)

    return encode_many
