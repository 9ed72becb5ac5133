# -*- test-case-name: tests.idl.test_codec -*-
"""
Typed codecs: from Python values to JSON bytes and back, checked on both sides.

Each is put together once from the facts about its type, so that a call pays
only for the checks that its own types need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from twisted_rpc.errors import InvalidValue

from .checks import Check, Checks
from .encoders import Encode, encoder_of_value, write
from .enumeration import keeping_unknown
from .facts import Facts, Typed, facts_of
from .hostile import Guard, guarded
from .model import Annotations, Type
from .reasons import invalid
from .sending import Walk
from .types import Types

Read = Callable[[bytes], Any]


class Codecs:
    """
    Makes codecs.

    @ivar types: the types they are for.
    """

    def __init__(self, types: Types) -> None:
        self.types = types
        self.checks = Checks(types)
        self.walk = Walk(types)

    def value(
        self, type_: Type, annotations: Annotations, *, root: str, reply: bool
    ) -> Codec:
        """
        @param root: what the value is called in errors.
        @param reply: whether a server sends it, so that enum values which this
            side does not know are kept.
        """
        return Codec(self, type_, annotations, root=root, reply=reply)


class Codec:
    """
    The codec of one value.

    @ivar facts: about its type.
    @ivar guard: what is refused before decoding.
    @ivar encode: value to bytes; raises InvalidValue.
    @ivar decode: bytes to value; raises InvalidValue.
    """

    __slots__ = ("decode", "encode", "facts", "guard", "read")

    def __init__(
        self,
        codecs: Codecs,
        type_: Type,
        annotations: Annotations,
        *,
        root: str,
        reply: bool,
    ) -> None:
        if type_.name == "stream":
            type_ = type_.args[0]
        fields = ((type_, annotations),)
        self.facts = facts_of(fields)
        self.guard = Guard(self.facts, fields)
        annotation = codecs.types.annotation(type_, annotations)
        self.read = reader(
            annotation,
            self.facts,
            self.guard,
            check=_rooted(codecs.checks.of(type_, annotations), root),
            reply=reply,
        )
        self.decode: Read = _wrapped(self.read, root, quote=not self.facts.sensitive)
        careful = _careful(codecs.walk, type_, self.decode, root)
        self.encode: Encode = encoder_of_value(type_, annotations, careful)
        if type_.name == "void":
            self.decode = _ignore


def _ignore(raw: bytes) -> None:
    """
    Decode C{void}: whatever an older or newer peer returns is of no interest.
    """


def reader(
    annotation: Any,
    facts: Facts,
    guard: Guard,
    *,
    check: Callable[[Any], None] | None,
    reply: bool,
    is_list: bool = False,
) -> Read:
    """
    Put together a decoder with the checks that its type needs, and no more.

    @param check: what is checked after decoding.
    @return: bytes to value; raises anything.
    """
    read: Read = msgspec.json.Decoder(annotation).decode
    if facts.deep or facts.wide or facts.uuid_keys:
        read = guarded(annotation, read, guard, is_list=is_list)
    if check is not None:
        read = _then(read, check)
    return keeping_unknown(read) if reply and facts.closed else read


def _rooted(check: Check | None, root: str) -> Callable[[Any], None] | None:
    return None if check is None else lambda value: check(value, root)


def _then(read: Read, check: Callable[[Any], None]) -> Read:
    def read_and_check(raw: bytes) -> Any:
        value = read(raw)
        check(value)
        return value

    return read_and_check


def _wrapped(read: Read, root: str, *, quote: bool) -> Read:
    def decode(raw: bytes) -> Any:
        try:
            return read(raw)
        except Exception as error:  # noqa: BLE001 - hostile bytes raise anything
            raise invalid(error, root, quote=quote) from None

    return decode


def _careful(walk: Walk, type_: Type, decode: Read, root: str) -> Encode:
    """
    The whole check of the sender: encode, decode as the peer will, compare.
    """

    def encode_carefully(value: Any) -> bytes:
        try:
            raw = write(value)
            if decode(raw) == value:
                return raw
        except Exception:  # noqa: BLE001, S110 - the walk below finds the reason
            pass
        try:
            meant = walk.meant(type_, value, root)
            raw = write(meant)
            if decode(raw) == meant:
                return raw
        except Exception as error:  # noqa: BLE001 - whatever user types raise
            raise invalid(error, root) from None
        raise InvalidValue(root, "the peer would read another value")

    return encode_carefully


def typed(fields: Sequence[Any]) -> tuple[Typed, ...]:
    """
    @param fields: of the model.
    @return: their types and constraints.
    """
    return tuple((each.type, each.annotations) for each in fields)
