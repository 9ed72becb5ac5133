# -*- test-case-name: tests.idl.test_types -*-
"""
What is checked in a value after it is decoded.

Bounds outside int64 and bounds of decimals, which msgspec cannot check, and
decimals that are no finite number of reasonable size.  Most types need none of
it: L{Checks.of} returns C{None} for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.types import (
    INT64,
    INTEGERS,
    Types,
    integer_bounds,
    range_of,
)
from twisted_rpc.idl.model import Annotations, Struct, Type, Union_
from twisted_rpc.idl.names import python_name

#: Raises InvalidValue if the value, which stands at the path, does not do.
Check = Callable[[Any, str], None]

MAX_DIGITS = 4300
MAX_EXPONENT = 6144


class Checks:
    """
    Makes the checks of types.

    @param types: to tell apart the structs of a union.
    """

    def __init__(self, types: Types) -> None:
        self._types = types
        self._structs: dict[int, _StructCheck] = {}

    def of(self, type_: Type, annotations: Annotations) -> Check | None:
        """
        @return: the check of a parameter or member, or C{None} if it needs none.
        """
        return (
            self._of(type_, annotations) if _needed(type_, annotations, set()) else None
        )

    def _of(self, type_: Type, annotations: Annotations) -> Check:
        check = self._required(type_, annotations)
        return _unless_none(check) if type_.optional else check

    def _required(self, type_: Type, annotations: Annotations) -> Check:
        definition = type_.definition
        if isinstance(definition, Struct):
            return self._struct(definition)
        if isinstance(definition, Union_):
            return self._union(definition)
        if type_.name == "decimal":
            return _decimal_check(*range_of(annotations))
        if type_.name in INTEGERS:
            return _integer_check(type_, *integer_bounds(type_, annotations))
        if type_.name == "map":
            return self._map(type_)
        return _each(self._of(type_.args[0], {}))

    def _map(self, type_: Type) -> Check:
        check = self._of(type_.args[1], {})

        def check_map(value: Any, path: str) -> None:
            for item in value.values():
                check(item, f"{path}[...]")

        return check_map

    def _union(self, union: Union_) -> Check:
        checks = {
            self._types.class_of(struct): self._struct(struct)
            for struct in union.structs
            if any(
                _needed(each.type, each.annotations, set())
                for each in struct.all_fields
            )
        }

        def check_union(value: Any, path: str) -> None:
            check = checks.get(type(value))
            if check is not None:
                check(value, path)

        return check_union

    def _struct(self, struct: Struct) -> Check:
        check = self._structs.get(id(struct))
        if check is None:
            # Entered before its members are looked at: it may hold itself.
            check = self._structs[id(struct)] = _StructCheck()
            for member in struct.all_fields:
                found = self.of(member.type, member.annotations)
                if found is not None:
                    attribute = python_name(member.name)
                    check.members.append((attribute, member.wire_name, found))
        return check


class _StructCheck:
    """@ivar members: attribute, name on the wire and check of each."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: list[tuple[str, str, Check]] = []

    def __call__(self, value: Any, path: str) -> None:
        for attribute, name, check in self.members:
            check(getattr(value, attribute), f"{path}.{name}")


def _needed(type_: Type, annotations: Annotations, seen: set[int]) -> bool:
    definition = type_.definition
    if isinstance(definition, Struct | Union_):
        if id(definition) in seen:
            return False
        seen.add(id(definition))
        structs = [definition] if isinstance(definition, Struct) else definition.structs
        return any(
            _needed(member.type, member.annotations, seen)
            for struct in structs
            for member in struct.all_fields
        )
    if type_.name in INTEGERS:
        return _outside_int64(integer_bounds(type_, annotations))
    return type_.name == "decimal" or any(
        _needed(each, {}, seen) for each in type_.args
    )


def _outside_int64(bounds: Iterable[int | None]) -> bool:
    low, high = INT64
    return any(bound is not None and not low <= bound <= high for bound in bounds)


def _unless_none(check: Check) -> Check:
    def check_optional(value: Any, path: str) -> None:
        if value is not None:
            check(value, path)

    return check_optional


def _each(check: Check) -> Check:
    def check_list(value: Any, path: str) -> None:
        for index, item in enumerate(value):
            check(item, f"{path}[{index}]")

    return check_list


def _integer_check(type_: Type, low: int | None, high: int | None) -> Check:
    def check_integer(value: Any, path: str) -> None:
        if high is not None and value > high:
            raise InvalidValue(path, f"expected {type_.name} <= {high}")
        if low is not None and value < low:
            raise InvalidValue(path, f"expected {type_.name} >= {low}")

    return check_integer


def _decimal_check(least: Any, most: Any) -> Check:
    low, high = (
        None if bound is None else Decimal(str(bound)) for bound in (least, most)
    )

    def check_decimal(value: Any, path: str) -> None:
        check_size(value, path)
        if high is not None and value > high:
            raise InvalidValue(path, f"expected decimal <= {high}")
        if low is not None and value < low:
            raise InvalidValue(path, f"expected decimal >= {low}")

    return check_decimal


def check_size(value: Decimal, path: str) -> None:
    """
    Refuse a decimal that is no finite number of reasonable size: C{int()} of
    C{1E+1000000000} would exhaust the memory.
    """
    if not value.is_finite():
        raise InvalidValue(path, "expected a finite decimal")
    _, digits, exponent = value.as_tuple()
    if len(digits) > MAX_DIGITS:
        raise InvalidValue(path, f"expected decimal of at most {MAX_DIGITS} digits")
    if abs(int(exponent)) > MAX_EXPONENT:
        raise InvalidValue(
            path, f"expected decimal with an exponent within {MAX_EXPONENT}"
        )
