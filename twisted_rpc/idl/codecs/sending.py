# -*- test-case-name: tests.idl.test_codec -*-
"""
The slow half of the sender's check: a walk that knows what can be sent.

Usually a value is encoded, decoded as the peer will, and compared.  Where that
says no, this walk finds the place and the reason, or accepts what differs in
nothing that matters: a tuple for a list, a list, tuple or frozenset for a set,
a time that is equal only in another time zone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.hostile import MAX_DEPTH
from twisted_rpc.idl.codecs.types import INTEGERS, Types
from twisted_rpc.idl.model import Enum, Struct, Type, Union_
from twisted_rpc.idl.names import python_name

#: An integer with more digits than this is not sent; about 14,280 bits.
_TOO_LONG: Final = 10**4300

_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "float": (float, int),
    "bool": (bool,),
    "string": (str,),
    "bytes": (bytes, bytearray, memoryview),
    "decimal": (Decimal, int, float),
    "timestamp": (datetime,),
    "date": (date,),
    "duration": (timedelta,),
    "uuid": (UUID,),
}


class Walk:
    """
    Finds what cannot be sent.

    @param types: the classes of structs and enums.
    @param quote: whether paths may have the keys of maps.
    """

    def __init__(self, types: Types, *, quote: bool = True) -> None:
        self._types = types
        self._quote = quote
        self._builtin: dict[str, Callable[[Type, Any, str, int], Any]] = {
            "list": self._list,
            "set": self._set,
            "map": self._map,
        }

    def meant(self, type_: Type, value: Any, path: str, depth: int = 1) -> Any:
        """
        @param depth: how deep the value lies, from 1.
        @return: what the peer must read, if the value may be sent.
        @raise InvalidValue: with the path to what may not.
        """
        if depth > MAX_DEPTH:
            raise InvalidValue(path, f"nested more than {MAX_DEPTH} deep")
        if value is None and (type_.optional or type_.name in {"void", "any"}):
            return None
        definition = type_.definition
        if isinstance(definition, Enum):
            return self._enum(definition, value, path)
        if definition is not None:
            return self._struct(type_, value, path, depth)
        if type_.name == "any":
            return self._any(value, path, depth)
        if type_.name in self._builtin:
            return self._builtin[type_.name](type_, value, path, depth)
        return _scalar(type_, value, path)

    def _list(self, type_: Type, value: Any, path: str, depth: int) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise _unexpected(type_, value, path)
        item = type_.args[0]
        return [
            self.meant(item, each, f"{path}[{index}]", depth + 1)
            for index, each in enumerate(value)
        ]

    def _set(self, type_: Type, value: Any, path: str, depth: int) -> set[Any]:
        if not isinstance(value, list | tuple | set | frozenset):
            raise _unexpected(type_, value, path)
        return {
            self.meant(type_.args[0], each, f"{path}[...]", depth + 1) for each in value
        }

    def _map(self, type_: Type, value: Any, path: str, depth: int) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise _unexpected(type_, value, path)
        key, item = type_.args
        return {
            self.meant(key, name, f"{path}[a key]", depth + 1): self.meant(
                item, each, f"{path}[{self._key(name)}]", depth + 1
            )
            for name, each in value.items()
        }

    def _key(self, name: Any) -> str:
        if not self._quote:
            return "..."
        # Half of a surrogate pair can be sent in no error either.
        return f"{name!s:.40}".encode("utf-8", "backslashreplace").decode()

    def _any(self, value: Any, path: str, depth: int) -> Any:
        """
        Walk a JSON value: what C{json.loads} could have made, and tuples.
        """
        if depth > MAX_DEPTH:
            raise InvalidValue(path, f"nested more than {MAX_DEPTH} deep")
        if isinstance(value, list | tuple):
            return [
                self._any(each, f"{path}[{index}]", depth + 1)
                for index, each in enumerate(value)
            ]
        if isinstance(value, dict):
            return {
                _any_key(name, path): self._any(
                    each, f"{path}[{self._key(name)}]", depth + 1
                )
                for name, each in value.items()
            }
        if isinstance(value, float):
            _check_finite(value, path)
        elif isinstance(value, str):
            _check_text(value, path)
        elif isinstance(value, int):
            _check_digits(value, path)
        elif value is not None:
            raise InvalidValue(path, f"expected a JSON value, got {_kind(value)}")
        return value

    def _enum(self, enum: Enum, value: Any, path: str) -> Any:
        if type(value) is not self._types.class_of(enum):
            kind = _kind(value)
            if kind == self._types.class_of(enum).__name__:
                kind = f"the {kind} of an IDL that was loaded another time"
            raise InvalidValue(path, f"expected {enum.name}, got {kind}")
        return value

    def _struct(self, type_: Type, value: Any, path: str, depth: int) -> Any:
        definition = type_.definition
        structs: list[Any] = (
            definition.structs if isinstance(definition, Union_) else [definition]
        )
        for struct in structs:
            if type(value) is self._types.class_of(struct):
                return self._members(struct, value, path, depth)
        text = str(type_)
        if any(isinstance(value, self._types.class_of(each)) for each in structs):
            kind = _kind(value)
            raise InvalidValue(
                path,
                f"expected {text}, got {kind}, whose further members would be sent",
            )
        kind = _kind(value)
        if any(kind == self._types.class_of(each).__name__ for each in structs):
            kind = f"the {kind} of an IDL that was loaded another time"
        raise InvalidValue(path, f"expected {text}, got {kind}")

    def _members(self, struct: Struct, value: Any, path: str, depth: int) -> Any:
        members = {}
        for member in struct.all_fields:
            name = python_name(member.name)
            place = f"{path}.{member.wire_name}" if path else member.wire_name
            given = getattr(value, name, _MISSING)
            if given is _MISSING:
                raise InvalidValue(place, "has no value")
            members[name] = self.meant(member.type, given, place, depth + 1)
        return type(value)(**members)


_MISSING: Final = object()


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _unexpected(type_: Type, value: Any, path: str) -> InvalidValue:
    return InvalidValue(path, f"expected {type_}, got {_kind(value)}")


def _scalar(type_: Type, value: Any, path: str) -> Any:
    if type_.name == "void":
        raise InvalidValue(path, f"expected nothing, got {_kind(value)}")
    expected = (int,) if type_.name in INTEGERS else _PYTHON[type_.name]
    is_bool = isinstance(value, bool) and type_.name != "bool"
    if is_bool or not isinstance(value, expected):
        raise _unexpected(type_, value, path)
    if isinstance(value, float | Decimal):
        _check_finite(value, path)
    elif isinstance(value, datetime):
        return _instant(value, path)
    elif isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, int):
        _check_digits(value, path)
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _any_key(name: Any, path: str) -> str:
    if not isinstance(name, str):
        raise InvalidValue(path, f"expected string as a key, got {_kind(name)}")
    _check_text(name, path)
    return name


def _check_finite(value: float | Decimal, path: str) -> None:
    # Not by comparing, at which a signalling NaN raises.
    if isinstance(value, Decimal):
        is_nan, is_infinite = value.is_nan(), value.is_infinite()
    else:
        is_nan, is_infinite = math.isnan(value), math.isinf(value)
    if is_nan:
        raise InvalidValue(path, "NaN cannot be sent")
    if is_infinite:
        raise InvalidValue(path, "infinity cannot be sent")


def _check_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValue(path, "half of a surrogate pair cannot be sent") from None


def _check_digits(value: int, path: str) -> None:
    if abs(value) >= _TOO_LONG:
        raise InvalidValue(path, "an integer of more than 4300 digits cannot be sent")


def _instant(value: datetime, path: str) -> datetime:
    """
    @return: the same with a fixed offset: in the hour that daylight saving
        repeats, a time in a named zone equals no time of another zone.
    """
    offset = value.utcoffset()
    if offset is None:
        raise InvalidValue(path, "a time without a time zone cannot be sent")
    if offset.total_seconds() % 60:
        raise InvalidValue(path, "a time zone with seconds cannot be sent")
    return value.replace(tzinfo=timezone(offset), fold=0)
