# -*- test-case-name: tests.idl.test_plain -*-
"""
Parameters from plain peers, which were written for a server that converts.

Only methods whose parameters are all of the five classic types are decoded like
this: C{"5"} and C{2.0} are integers, C{1} and C{"true"} are booleans.  Nothing is
lost in silence: C{2.9} is no integer, and C{"inf"} no float.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.hostile import Guard, read_slowly
from twisted_rpc.idl.model import Field

#: The types that a plain server of the classic kind knows.
CLASSIC: Final = frozenset({"int", "string", "float", "bool", "list"})

Arguments = tuple[Any, ...]
Decode = Callable[[bytes], Arguments]
Check = Callable[[Arguments], None]

_read_parts: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def is_classic(field: Field) -> bool:
    """
    @return: whether a plain server of the classic kind knows the type.
    """
    type_ = field.type
    return (
        type_.name in CLASSIC
        and not type_.optional
        and all(each.name == "any" and not each.optional for each in type_.args)
    )


def lenient(
    fields: Sequence[Field],
    *,
    list_type: Any,
    guard: Guard,
    strict: Decode,
    fault: Callable[[bytes, Exception], InvalidValue],
    check: Check | None,
) -> Decode:
    """
    @param list_type: what msgspec decodes.
    @param strict: the usual decoder, which is tried first.
    @param fault: makes the error to raise.
    @param check: what is checked after decoding.
    @return: the decoder for plain peers.
    """
    read = msgspec.json.Decoder(list_type, strict=False).decode

    def decode_lenient(raw: bytes) -> Arguments:
        raw = bytes(raw)
        extreme = guard.check(raw, is_list=True)
        values = read_slowly(list_type, raw, strict=False) if extreme else read(raw)
        arguments: Arguments = values if type(values) is tuple else astuple(values)
        for field, value, part in zip(
            fields, arguments, _read_parts(raw), strict=False
        ):
            _check_exact(field.name, value, part)
        if check is not None:
            check(arguments)
        return arguments

    def decode_plain(raw: bytes) -> Arguments:
        try:
            return strict(raw)
        except InvalidValue:
            pass
        try:
            return decode_lenient(raw)
        except Exception as error:  # noqa: BLE001 - hostile bytes raise anything
            raise fault(raw, error) from None

    return decode_plain


def _check_exact(name: str, value: Any, part: msgspec.Raw) -> None:
    """
    Refuse what the lenient mode changes: it reads C{"inf"} as a float, and
    integers written with a fraction by way of a float.
    """
    if isinstance(value, float) and value - value != 0.0:
        raise InvalidValue(name, "expected a finite float")
    if type(value) is int:
        written = json.loads(bytes(part), parse_float=str)
        if Decimal(written) != value:
            raise InvalidValue(name, "expected int, got a number that is not exact")
