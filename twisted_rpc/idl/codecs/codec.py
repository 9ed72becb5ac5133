# -*- test-case-name: tests.idl.test_codec -*-
"""
Typed codecs: from Python values to JSON bytes and back, checked on both sides.

Each is put together once from the facts about its type, so that a call pays
only for the checks that its own types need.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.checks import Check, Checks
from twisted_rpc.idl.codecs.decimals import inspection
from twisted_rpc.idl.codecs.encoders import Encode, encoder_of_value, write
from twisted_rpc.idl.codecs.facts import Facts, Typed, facts_of
from twisted_rpc.idl.codecs.hostile import Guard
from twisted_rpc.idl.codecs.reading import Read, Reader
from twisted_rpc.idl.codecs.reasons import invalid
from twisted_rpc.idl.codecs.sending import Walk
from twisted_rpc.idl.codecs.types import Types
from twisted_rpc.idl.model import Annotations, Type


class _Made(Protocol):
    facts: Facts


_T = TypeVar("_T", bound=_Made)


class Codecs:
    """
    Makes codecs, one for all values that are alike: of a service with 1,000 methods
    that take and return the same types, codecs of their own would not stay in the
    processor's cache (0.9 us a call more, if they are called in turn).

    One whose guard is ever asked is a method's own, since its bounds can be changed.

    @ivar types: the types they are for.
    """

    def __init__(self, types: Types) -> None:
        self.types = types
        self.checks = Checks(types)
        self._made: dict[Hashable, Any] = {}
        self._walks = {quote: Walk(types, quote=quote) for quote in (True, False)}

    def walk(self, *, quote: bool) -> Walk:
        """
        @param quote: whether what it says may have parts of values in it.
        """
        return self._walks[quote]

    def value(
        self, type_: Type, annotations: Annotations, *, root: str, reply: bool
    ) -> Codec:
        """
        @param root: what the value is called in errors.
        @param reply: whether a server sends it, so that enum values which this
            side does not know are kept.
        """
        return self.once(
            (signature(type_, annotations), root, reply),
            lambda: Codec(self, type_, annotations, root=root, reply=reply),
        )

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """
        @param key: tells what is made.
        @param make: makes it, the first time.
        @return: what it made; of what has bounds, each time anew.
        """
        made: _T | None = self._made.get(key)
        if made is None:
            made = make()
            # Texts with decimals are looked at too, see L{inspection}.
            if not (made.facts.guarded or made.facts.decimals):
                self._made[key] = made
        return made


def signature(type_: Type, annotations: Annotations) -> Hashable:
    """
    @return: the same for two values of which one codec does for the other.
    """
    return _of_type(type_), tuple(
        (name, repr(each.args)) for name, each in annotations.items()
    )


def _of_type(type_: Type) -> Hashable:
    return (
        type_.name,
        type_.optional,
        type_.definition,
        tuple(map(_of_type, type_.args)),
    )


class Codec:
    """
    The codec of one value.

    @ivar facts: about its type.
    @ivar guard: what is refused before decoding.
    @ivar encode: value to bytes; raises InvalidValue.
    @ivar decode: bytes to value; raises InvalidValue.
    @ivar read: the same, which raises anything: for most types msgspec's own,
        without a function of ours around it (0.1 us).
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
        reader = Reader(
            codecs.types.annotation(type_, annotations),
            self.facts,
            self.guard,
            after=_after(codecs.checks.of(type_, annotations), root),
            reply=reply,
        )
        quote = not self.facts.sensitive
        inspect = inspection(
            ((root, fields[0]),), self.facts, self.guard, is_list=False
        )
        self.decode: Read = reader.decoder(
            lambda _, error: invalid(error, root, quote=quote), inspect
        )
        # Both are the same function where size does no harm.
        swift = inspect is None and reader.swift is reader.careful
        self.read: Read = reader.swift if swift else self.decode
        careful = _careful(codecs.walk(quote=quote), type_, reader, root, quote=quote)
        self.encode: Encode = encoder_of_value(type_, annotations, careful)
        if type_.name == "void":
            self.decode = self.read = _ignore


def _ignore(raw: bytes) -> None:
    """
    Decode C{void}: whatever an older or newer peer returns is of no interest.
    """


def _after(check: Check | None, root: str) -> Callable[[Any], Any] | None:
    if check is None:
        return None

    def check_value(value: Any) -> Any:
        check(value, root)
        return value

    return check_value


def _careful(
    walk: Walk, type_: Type, reader: Reader, root: str, *, quote: bool
) -> Encode:
    """
    The whole check of the sender: encode, decode as the peer will, compare.
    """
    swift, harmless, careful = reader.swift, reader.harmless, reader.careful

    def encode_carefully(value: Any) -> bytes:
        try:
            raw = write(value)
            if (swift(raw) if len(raw) <= harmless else careful(raw)) == value:
                return raw
        except Exception:  # noqa: BLE001, S110 - the walk below finds the reason
            pass
        try:
            meant = walk.meant(type_, value, root)
            raw = write(meant)
            if careful(raw) == meant:
                return raw
        except Exception as error:  # noqa: BLE001 - whatever user types raise
            raise invalid(error, root, quote=quote) from None
        raise InvalidValue(root, "the peer would read another value")

    return encode_carefully


def typed(fields: Sequence[Any]) -> tuple[Typed, ...]:
    """
    @param fields: of the model.
    @return: their types and constraints.
    """
    return tuple((each.type, each.annotations) for each in fields)
