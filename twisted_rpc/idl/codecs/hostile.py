# -*- test-case-name: tests.idl.test_hostile -*-
"""
What is looked for in the bytes before they are decoded.

Short JSON can be made to cost much: deep nesting exhausts the stack, a megabyte
of C{[],} becomes 35 megabytes of lists, UUIDs can be chosen to collide in a
set, and a float with an extreme exponent takes msgspec 10 microseconds.  A type
gets only the checks that it needs, and messages of usual size cost one
comparison.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.facts import Facts, Typed, uuid_limit
from twisted_rpc.idl.model import Annotations, Struct, Type, Union_
from twisted_rpc.structure import MAX_STRUCTURE, STRING, is_bomb, too_deep

MAX_DEPTH = 64
MAX_EXTREME_NUMBERS = 1_000

# Other runs of digits are passed over whole: looked at from each of their digits,
# 4 MiB of numbers with 299 digits cost 0.7 s.  (Beside its compiling: pydoctor
# cannot read it.)
_NUMBER = rb"([eE][+-]?[0-9]{3,}|[0-9.]{300,})|[0-9.]++"
_EXTREME = re.compile(_NUMBER)


class Guard:
    """
    Refuses bytes that would cost too much to decode.

    @ivar max_depth: levels of nesting.
    @ivar max_structure: brackets, braces, colons and commas in one message, outside strings.
    @ivar harmless: bytes; what is not longer needs no look.
    """

    __slots__ = ("_facts", "_fields", "harmless", "max_depth", "max_structure")

    def __init__(self, facts: Facts, fields: Iterable[Typed]) -> None:
        self._facts = facts
        self._fields = tuple(fields)
        self.max_depth = MAX_DEPTH
        self.max_structure: float = MAX_STRUCTURE
        self.harmless = MAX_EXTREME_NUMBERS * 4
        if facts.uuid_keys:
            self.harmless = min(self.harmless, facts.uuid_keys)
        if facts.deep:
            self.harmless = min(self.harmless, MAX_DEPTH)

    def check(self, raw: bytes, *, is_list: bool) -> bool:
        """
        @param is_list: whether the value is a list with one element for each
            field, and not that of the only field.
        @return: whether to read it with L{read_slowly}.
        @raise InvalidValue: if it would cost too much.
        """
        facts, size = self._facts, len(raw)
        if size > self.max_structure and (facts.wide or facts.deep):
            self.check_structure(raw)
        if facts.deep and too_deep(raw, self.max_depth):
            raise InvalidValue("", f"nested more than {self.max_depth} deep")
        if facts.uuid_keys and raw.count(b",") >= facts.uuid_keys:
            self._check_keys(raw, is_list=is_list)
        if size <= MAX_EXTREME_NUMBERS * 4 or not facts.wide:
            return False
        return (facts.floats or facts.decimals) and self._has_extremes(raw)

    def check_structure(self, raw: bytes) -> None:
        """
        @raise InvalidValue: to read it into Python would cost too much.
        """
        if is_bomb(raw, self.max_structure):
            raise InvalidValue("", f"more than {self.max_structure} of '[{{:,'")

    def _has_extremes(self, raw: bytes) -> bool:
        runs = _EXTREME.findall(STRING.sub(b"", raw))
        if len(runs) - runs.count(b"") <= MAX_EXTREME_NUMBERS:
            return False
        if self._facts.decimals:
            raise InvalidValue("", f"more than {MAX_EXTREME_NUMBERS} extreme numbers")
        return True

    def _check_keys(self, raw: bytes, *, is_list: bool) -> None:
        value = msgspec.json.decode(raw)
        values = value if is_list and isinstance(value, list) else [value]
        for (type_, constraints), item in zip(self._fields, values, strict=False):
            _count_keys(type_, constraints, item)


def _count_keys(type_: Type, annotations: Annotations, value: Any) -> None:
    """
    Count the elements of sets and maps with C{uuid} keys in a value that is
    decoded without types: their keys are still texts, which nobody can choose
    to collide.
    """
    definition = type_.definition
    if isinstance(value, dict) and isinstance(definition, Struct | Union_):
        for member in members_of(definition, value):
            _count_keys(member.type, member.annotations, value.get(member.wire_name))
    elif isinstance(value, dict | list) and type_.args:
        if type_.args[0].name == "uuid" and type_.name in {"set", "map"}:
            limit = uuid_limit(annotations)
            if len(value) > limit:
                raise InvalidValue("", f"a {type_.name} of more than {limit} uuids")
        for item in value.values() if isinstance(value, dict) else value:
            _count_keys(type_.args[-1], {}, item)


def members_of(definition: Struct | Union_, value: dict[str, Any]) -> list[Any]:
    """
    @param value: decoded without types.
    @return: the members of the struct that it is.
    """
    structs = [definition] if isinstance(definition, Struct) else definition.structs
    for struct in structs:
        if len(structs) == 1 or value.get("type") == struct.wire_name:
            return struct.all_fields
    return []


def read_slowly(annotation: Any, raw: bytes, *, strict: bool = True) -> Any:
    """
    Read a message with many extreme numbers: the standard library takes 0.2
    microseconds for each of them, msgspec 10.
    """
    msgspec.json.decode(raw, type=msgspec.Raw)  # All of its checks of the text.
    value = json.loads(bytes(raw).decode(), parse_float=_finite)
    return msgspec.convert(value, annotation, strict=strict, str_keys=True)


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise InvalidValue("", "number out of range")
    return number
