# -*- test-case-name: tests.idl.test_types -*-
"""
Decimals in JSON texts: digits and nothing else.

msgspec gives a text to L{Decimal<decimal.Decimal>}, which also reads spaces around a number, C{_}
between its digits, and the digits of every script.  Of the value nobody can see
any more how it was written, so the bytes are looked at; hardly ever is there more
to do than one search.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.facts import Facts, Typed
from twisted_rpc.idl.codecs.hostile import Guard, members_of
from twisted_rpc.idl.model import Struct, Type, Union_

# Strings that Python may take for numbers although they are not in plain digits.
# Dates are none of them.  What has an escape is looked at without further ado.  In
# names of their own, because pydoctor cannot read possessive patterns.
_PLAIN = rb"[+-]?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_ODD = rb"[ _\x80-\xff]*+"
_DIGITS = rb"[0-9 _\x80-\xff]*+"
_NUMBER = _ODD + rb"[+-]?" + _DIGITS + rb"[.]?" + _DIGITS
_EXPONENT = rb"(?:[eE]" + _ODD + rb"[+-]?" + _DIGITS + rb")?+"
_ESCAPE = rb"\\(?:[fnrt]|u[0-9A-Fa-f]{4})"
_BROAD = rb"[-+0-9.eE_ \x80-\xff]"
_ESCAPED = _BROAD + rb"*+" + _ESCAPE + rb"(?:" + _BROAD + rb"|" + _ESCAPE + rb")*+"
_EITHER = rb"(?:" + _NUMBER + _EXPONENT + rb"|" + _ESCAPED + rb")"
_LAX = rb'"(?=[-+.0-9 _\\\x80-\xff])(?!' + _PLAIN + rb'")' + _EITHER + rb'"'
_SUSPECT: Final = re.compile(_LAX)
_WRITTEN: Final = re.compile(_PLAIN.decode())

#: What one value, or one of a list of parameters, is called and is.
Named = tuple[str, Typed]


def inspection(
    named: Sequence[Named], facts: Facts, guard: Guard, *, is_list: bool
) -> Callable[[bytes], None] | None:
    """
    @param named: the parameters, or the only value.
    @param guard: what else a text must not be, before it is read again.
    @param is_list: whether the text is a list with one element for each.
    @return: raises InvalidValue if a decimal in a text, which has been decoded and
        found good, is written otherwise; C{None} if there are no decimals.
    """
    if not facts.decimals:
        return None

    def check(raw: bytes) -> None:
        if _SUSPECT.search(raw) is None:
            return
        raw = bytes(raw)
        guard.check_structure(raw)
        # The numbers do not matter, and may be long or many.
        value = json.loads(raw, parse_int=str, parse_float=str)
        for (name, (type_, _)), item in zip(
            named, value if is_list else [value], strict=False
        ):
            _walk(type_, item, name)

    return check


def _walk(type_: Type, value: Any, path: str) -> None:
    definition = type_.definition
    if isinstance(definition, Struct | Union_):
        if value is not None:
            for member in members_of(definition, value):
                _walk(
                    member.type,
                    value.get(member.wire_name),
                    f"{path}.{member.wire_name}",
                )
    elif type_.name == "decimal":
        if value is not None and not _WRITTEN.fullmatch(value):
            raise InvalidValue(path, 'expected decimal in plain digits, as "12.30"')
    elif type_.args and value is not None:
        items = value.values() if isinstance(value, dict) else value
        for index, item in enumerate(items):
            place = "..." if isinstance(value, dict) else index
            _walk(type_.args[-1], item, f"{path}[{place}]")
