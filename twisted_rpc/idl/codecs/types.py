# -*- test-case-name: tests.idl.test_types -*-
"""
From a type of the IDL to the type that msgspec decodes.

Constraints become one L{msgspec.Meta}: two with the same bound are a TypeError,
so those of the type and those of its annotations are intersected.  What a Meta
cannot say (bounds outside int64, bounds of decimals) is checked after decoding,
by L{twisted_rpc.idl.codecs.checks}.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Optional, Union
from uuid import UUID

from msgspec import Meta

from twisted_rpc.errors import RPCError
from twisted_rpc.idl.codecs.facts import uuid_limit
from twisted_rpc.idl.model import Annotations, Enum, Struct, Type, Union_

INT64: Final = (-(2**63), 2**63 - 1)

#: The sized integers, both bounds included.
INTEGERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "int": (None, None),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": INT64,
    "uint64": (0, 2**64 - 1),
}

_SCALARS: Final[dict[str, Any]] = {
    "float": float,
    "bool": bool,
    "string": str,
    "bytes": bytes,
    "decimal": Decimal,
    "timestamp": Annotated[datetime, Meta(tz=True)],
    "date": date,
    "duration": timedelta,
    "uuid": UUID,
    "any": Any,
    "void": None,
}

_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")


class Types:
    """
    The Python types of one or more files.

    @ivar classes: enums and structs that are built, by the C{id} of their
        definition; of an exception, the struct of its members.
    @ivar exceptions: the classes of exceptions, likewise.
    """

    def __init__(self) -> None:
        self.classes: dict[int, Any] = {}
        self.exceptions: dict[int, type[RPCError]] = {}

    def class_of(self, definition: Enum | Struct) -> Any:
        """
        @return: the class that was built for it.
        """
        return self.classes[id(definition)]

    def annotation(
        self, type_: Type, annotations: Annotations, *, key: bool = False
    ) -> Any:
        """
        @param annotations: those of the parameter or member.
        @param key: whether it is a key, or the element of a set.
        @return: what msgspec decodes.
        """
        result = self._required(type_, annotations, key=key)
        # The operators have no form for classes that are values here.
        return Optional[result] if type_.optional else result  # noqa: UP045

    def union(self, union: Union_) -> Any:
        """
        @return: the classes of its structs, any of which will do.
        """
        return Union[tuple(map(self.class_of, union.structs))]  # noqa: UP007

    def _required(self, type_: Type, annotations: Annotations, *, key: bool) -> Any:
        definition = type_.definition
        if isinstance(definition, Union_):
            return self.union(definition)
        if definition is not None:
            return self.class_of(definition)
        if type_.name in INTEGERS:
            return _integer(type_, annotations, key=key)
        return _constrained(self._builtin(type_), meta_of(type_, annotations))

    def _builtin(self, type_: Type) -> Any:
        if type_.name == "list":
            item = self.annotation(type_.args[0], {})
            return list[item]  # type: ignore[valid-type]
        if type_.name == "set":
            return set[self.annotation(type_.args[0], {}, key=True)]  # type: ignore[misc]
        if type_.name == "map":
            key, value = type_.args
            return dict[self.annotation(key, {}, key=True), self.annotation(value, {})]  # type: ignore[misc]
        return _SCALARS[type_.name]


def integer_bounds(
    type_: Type, annotations: Annotations
) -> tuple[int | None, int | None]:
    """
    @return: the lowest and the highest value, C{None} for no bound.
    """
    low, high = INTEGERS[type_.name]
    least, most = range_of(annotations)
    if least is not None:
        least = math.ceil(least)
        low = least if low is None else max(low, least)
    if most is not None:
        most = math.floor(most)
        high = most if high is None else min(high, most)
    return low, high


def range_of(annotations: Annotations) -> tuple[Any, Any]:
    """
    @return: the bounds of C{@range}, C{None} for no bound.
    """
    found = annotations.get("range")
    return (
        (None, None)
        if found is None
        else (found.args.get("min"), found.args.get("max"))
    )


def _integer(type_: Type, annotations: Annotations, *, key: bool) -> Any:
    low, high = integer_bounds(type_, annotations)
    if key:
        # Chosen integers make hashing quadratic: 100,000 of any size take 59
        # seconds, of 64 bits 35 milliseconds.
        low = INT64[0] if low is None else low
        high = INT64[1] if high is None else high
    return _constrained(int, {"ge": low, "le": high})


def meta_of(type_: Type, annotations: Annotations) -> dict[str, Any]:
    """
    @return: the arguments of L{Meta}; C{None} for no bound.
    """
    meta: dict[str, Any] = {}
    if type_.name == "float":
        low, high = range_of(annotations)
        meta["ge"] = None if low is None else float(low)
        meta["le"] = None if high is None else float(high)
    if "length" in annotations:
        length = annotations["length"].args
        meta["min_length"], meta["max_length"] = length.get("min"), length.get("max")
    if type_.name in {"set", "map"} and type_.args[0].name == "uuid":
        meta["max_length"] = uuid_limit(annotations)
    if "pattern" in annotations:
        meta["pattern"] = whole(pattern_of(annotations))
    return meta


def pattern_of(annotations: Annotations) -> str:
    """
    @return: the regular expression of C{@pattern}, as it is written.
    """
    return str(next(iter(annotations["pattern"].args.values())))


def whole(pattern: str) -> str:
    r"""
    Let a pattern match the whole text only.

    msgspec searches, and C{$} matches before a final newline.  Global flags
    must stay in front.
    """
    flags, rest = split_flags(pattern)
    end = "\n" if "x" in flags else ""
    return rf"{flags}\A(?:{rest}{end})\Z"


def split_flags(pattern: str) -> tuple[str, str]:
    """
    @return: the global flags of a pattern, and the rest.
    """
    found = _FLAGS.match(pattern)
    return (found[0], pattern[found.end() :]) if found else ("", pattern)


def _constrained(type_: Any, meta: dict[str, Any]) -> Any:
    low, high = INT64
    fits = {
        name: value
        for name, value in meta.items()
        # A bound outside int64 is a ValueError when the decoder is made.
        if value is not None and (not isinstance(value, int) or low <= value <= high)
    }
    return Annotated[type_, Meta(**fits)] if fits else type_
