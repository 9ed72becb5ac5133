# -*- test-case-name: tests.idl.test_codec -*-
"""
The codec of a method's parameters: a tuple and a JSON array.

This is the hot path of every call, so the encoder is one of a few closures that
check the exact types of scalars and nothing else, and the decoder is msgspec's
own wherever no parameter may be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.checks import Check
from twisted_rpc.idl.codecs.codec import Codecs, signature, typed
from twisted_rpc.idl.codecs.decimals import inspection
from twisted_rpc.idl.codecs.encoders import Encode, encoder_of_list, write
from twisted_rpc.idl.codecs.facts import facts_of
from twisted_rpc.idl.codecs.hostile import Guard
from twisted_rpc.idl.codecs.plain import is_classic, lenient
from twisted_rpc.idl.codecs.reading import Reader
from twisted_rpc.idl.codecs.reasons import invalid
from twisted_rpc.idl.model import Field
from twisted_rpc.idl.python.defaults import default_factory

Arguments = tuple[Any, ...]

#: A parameter list with more commas is not counted to report a wrong number.
_COUNTED: Final = 50_000

_read_parts: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def params_of(codecs: Codecs, fields: Sequence[Field]) -> Params:
    """
    @return: the codec of a list of parameters, one for all lists that are alike and
        have no bounds.
    """
    key = tuple(
        (each.name, repr(each.default), signature(each.type, each.annotations))
        for each in fields
    )
    return codecs.once(("params", key), lambda: Params(codecs, fields))


class Params:
    """
    The codec of a list of parameters.

    @ivar names: as the IDL has them.
    @ivar required: how many come first that have no default.
    @ivar classic: whether all are of a classic type.
    @ivar factories: for each, what makes its default; C{None} if it has none.
    @ivar guard: what is refused before decoding.
    @ivar encode: see L{twisted_rpc.idl.python.schema.MethodSchema.encode_params}.
    @ivar decode: see L{twisted_rpc.idl.python.schema.MethodSchema.decode_params}.
    """

    def __init__(self, codecs: Codecs, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self.names = tuple(each.name for each in fields)
        self.required = sum(each.required for each in fields)
        self.classic = all(is_classic(each) for each in fields)
        self.facts = facts_of(typed(fields))
        self._walk = codecs.walk(quote=not self.facts.sensitive)
        self.guard = Guard(self.facts, typed(fields))
        annotations = [
            codecs.types.annotation(each.type, each.annotations) for each in fields
        ]
        self.factories = tuple(map(_factory, fields, annotations))
        self._list_type = self._make_list_type(annotations)
        self._check = _checks(codecs, fields)
        self._reader = self._make_reader()
        # A value of an enum that only a newer server knew may be sent back to it.
        self._sent = self._make_reader(reply=True)
        self.decode: Callable[[bytes], Arguments] = self._reader.decoder(
            self._fault,
            inspection(
                tuple(zip(self.names, typed(fields), strict=True)),
                self.facts,
                self.guard,
                is_list=True,
            ),
        )
        self.decode_plain = self.decode
        if self.classic:
            self.decode_plain = lenient(
                self._fields,
                list_type=self._list_type,
                guard=self.guard,
                strict=self.decode,
                fault=self._fault,
                check=self._check,
            )
        self.encode: Callable[[Arguments], bytes] = encoder_of_list(
            typed(fields), self._make_careful()
        )

    def _make_list_type(self, annotations: list[Any]) -> Any:
        if self.required == len(annotations):
            # Half the time of a Struct and astuple.
            return tuple[tuple(annotations)]  # type: ignore[misc]
        fields = [
            (f"p{index}", annotation)
            if factory is None
            else (f"p{index}", annotation, msgspec.field(default_factory=factory))
            for index, (annotation, factory) in enumerate(
                zip(annotations, self.factories, strict=True)
            )
        ]
        return msgspec.defstruct(
            "Parameters", fields, array_like=True, forbid_unknown_fields=True, gc=False
        )

    def _make_reader(self, *, reply: bool = False) -> Reader:
        is_struct = self.required < len(self._fields)
        check = self._check

        def checked(values: Any) -> Arguments:
            arguments: Arguments = astuple(values) if is_struct else values
            if check is not None:
                check(arguments)
            return arguments

        # Straight to C where there is nothing to check.
        after = checked if check is not None else astuple if is_struct else None
        return Reader(
            self._list_type,
            self.facts,
            self.guard,
            after=after,
            reply=reply,
            is_list=True,
        )

    def _fault(self, raw: bytes, error: Exception) -> InvalidValue:
        """
        Say what is wrong with parameters, a wrong number of them first.
        """
        got = _count(raw) if isinstance(error, msgspec.ValidationError) else None
        if got is not None and not self.required <= got <= len(self._fields):
            return self._mismatch(got)
        return invalid(error, "", self.names, quote=not self.facts.sensitive)

    def _mismatch(self, got: int) -> InvalidValue:
        most = len(self._fields)
        expected = f"{most}" if self.required == most else f"{self.required} to {most}"
        return InvalidValue(
            "", f"Parameter count mismatch: got {got}, expected {expected}"
        )

    def _make_careful(self) -> Encode:
        """
        The whole check of the sender: encode, decode as the peer will, compare.
        """
        reader, explain = self._sent, self._encode_what_is_meant
        swift, harmless, careful = reader.swift, reader.harmless, reader.careful

        def encode_carefully(args: Arguments) -> bytes:
            try:
                raw = write(args)
                read = swift(raw) if len(raw) <= harmless else careful(raw)
                if read == args or read[: len(args)] == args:
                    return raw
            except Exception:  # noqa: BLE001, S110 - what follows finds the reason
                pass
            return explain(tuple(args))

        return encode_carefully

    def _encode_what_is_meant(self, given: Arguments) -> bytes:
        if not self.required <= len(given) <= len(self._fields):
            raise self._mismatch(len(given))
        try:
            return self._written(self._meant(given))
        except Exception as error:  # noqa: BLE001 - whatever user types raise
            raise self._fault(b"", error) from None

    def _meant(self, given: Arguments) -> Arguments:
        return tuple(
            self._walk.meant(field.type, value, field.name, 2)
            for field, value in zip(self._fields, given, strict=False)
        )

    def _written(self, meant: Arguments) -> bytes:
        raw = write(meant)
        read = self._sent.careful(raw)
        for name, value, sent in zip(self.names, read, meant, strict=False):
            if value != sent:
                raise InvalidValue(name, "the peer would read another value")
        return raw

    def complete(self, encoded: bytes) -> bytes:
        """
        Append the defaults that were left out.

        @param encoded: what C{encode} returned.
        """
        if self.required == len(self._fields):
            return encoded
        parts = _read_parts(encoded)
        missing = self.factories[len(parts) :]
        if not missing:
            return encoded
        return write(
            [*parts, *(factory() for factory in missing if factory is not None)]
        )


def _factory(field: Field, annotation: Any) -> Callable[[], Any] | None:
    return None if field.required else default_factory(field.default, annotation)


def _checks(
    codecs: Codecs, fields: Sequence[Field]
) -> Callable[[Arguments], None] | None:
    checks: list[tuple[int, str, Check]] = [
        (index, field.name, check)
        for index, field in enumerate(fields)
        if (check := codecs.checks.of(field.type, field.annotations)) is not None
    ]

    def check_all(values: Arguments) -> None:
        for index, name, check in checks:
            check(values[index], name)

    return check_all if checks else None


def _count(raw: bytes) -> int | None:
    """
    @return: how many parameters there are, or C{None} if nobody can say.
    """
    raw = bytes(raw)
    if raw.count(b",") > _COUNTED:
        return None
    try:
        return len(_read_parts(raw))
    except Exception:  # noqa: BLE001 - hostile bytes raise anything
        return None
