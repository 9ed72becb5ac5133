# -*- test-case-name: tests.idl.test_codec_properties -*-
"""
Properties of the codecs, for types and values that hypothesis makes up.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl import MethodSchema, Schema, load_idl_text
from twisted_rpc.idl.model import Enum, Struct, Type, Union_
from twisted_rpc.idl.names import python_name

DEFINITIONS: Final = """
enum Colour { RED, GREEN = "green", name }
@open enum Size { S, M }
struct Point { int32 x; float y = 1.5; string? class }
struct Tree { @name("from") decimal value; list<Tree> children = []; map<Colour, Tree?> by = {} }
struct Leaf extends Tree { uint64 big; set<uuid> ids }
struct Mixed { any a; bytes b; timestamp t; duration d; set<date> s; Shape? shape }
union Shape { Point, Leaf, Mixed }
"""

CHECKED: Final = settings(
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

KEYS: Final = (
    "string",
    "int",
    "int32",
    "int64",
    "uint32",
    "uuid",
    "date",
    "Colour",
    "Size",
)
SCALARS: Final = (
    *KEYS,
    "uint64",
    "float",
    "bool",
    "bytes",
    "decimal",
    "timestamp",
    "duration",
    "any",
    "Point",
    "Tree",
    "Leaf",
    "Mixed",
    "Shape",
)


def wrap(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """
    @return: types that hold others.
    """
    keys = st.sampled_from(KEYS)
    return st.one_of(
        inner.map(lambda item: f"list<{item}>"),
        keys.map(lambda key: f"set<{key}>"),
        st.tuples(keys, inner).map(lambda pair: f"map<{pair[0]}, {pair[1]}>"),
        inner.map(lambda item: item.removesuffix("?") + "?"),
    )


TYPES: Final = st.recursive(st.sampled_from(SCALARS), wrap, max_leaves=3)

TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=8)
OFFSETS: Final = st.integers(-14 * 60, 14 * 60).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)

JSON: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=5,
)

#: Anything, much of which cannot be sent.
THINGS: Final = st.recursive(
    st.one_of(
        JSON,
        st.floats(),
        st.integers(),
        st.text(max_size=4),
        st.binary(max_size=4),
        st.decimals(),
        st.datetimes(),
        st.datetimes(timezones=OFFSETS),
        st.dates(),
        st.timedeltas(),
        st.uuids(),
        st.builds(object),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.frozensets(st.one_of(st.integers(), TEXT, st.uuids()), max_size=3),
        st.dictionaries(st.one_of(TEXT, st.integers()), inner, max_size=3),
    ),
    max_leaves=4,
)

SIMPLE: Final[dict[str, st.SearchStrategy[Any]]] = {
    "int": st.integers(-(10**40), 10**40),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "string": TEXT,
    "bytes": st.binary(max_size=8),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False),
    "timestamp": st.datetimes(timezones=OFFSETS),
    "date": st.dates(),
    "duration": st.timedeltas(),
    "uuid": st.uuids(),
    "any": JSON,
}


def values(schema: Schema, type_: Type, depth: int = 0) -> st.SearchStrategy[Any]:
    """
    @return: values of a type; those that are deep have few members.
    """
    result = _required(schema, type_, depth)
    return st.one_of(st.none(), result) if type_.optional else result


def _required(schema: Schema, type_: Type, depth: int) -> st.SearchStrategy[Any]:
    definition = type_.definition
    if isinstance(definition, Enum):
        return st.sampled_from(list(schema[definition.name]))
    if isinstance(definition, Struct):
        return _struct(schema, definition, depth)
    if isinstance(definition, Union_):
        return st.one_of([_struct(schema, each, depth) for each in definition.structs])
    if type_.name in SIMPLE:
        return SIMPLE[type_.name]
    make = {"list": list, "set": set, "map": dict}[type_.name]
    if depth > 1:
        return st.builds(make)
    inner = [values(schema, each, depth + 1) for each in type_.args]
    if type_.args[0].name == "int" and make is not list:
        inner[0] = SIMPLE["int64"]
    if make is dict:
        return st.dictionaries(*inner, max_size=3)
    return (st.lists if make is list else st.sets)(inner[0], max_size=3)


def _struct(schema: Schema, struct: Struct, depth: int) -> st.SearchStrategy[Any]:
    members = {
        python_name(each.name): st.none()
        if each.type.optional and depth > 1
        else values(schema, each.type, depth + 1)
        for each in struct.all_fields
    }
    return st.builds(schema[struct.name], **members)


def load(type_: str) -> tuple[Schema, MethodSchema]:
    """
    @return: a schema, and a method that takes and returns the type.
    """
    signature = f"{type_} f({type_} x, int n = 1)"
    schema = load_idl_text(f"{DEFINITIONS} service Sample {{ {signature} }}")
    return schema, schema.Sample.by_name["f"]


class CodecProperties(SynchronousTestCase):
    """
    What is true of every codec.
    """

    @CHECKED
    @given(TYPES, st.data())
    def test_values_come_back(self, type_: str, data: st.DataObject) -> None:
        """Any value of any type is encoded and decoded to itself."""
        schema, method = load(type_)
        value = data.draw(values(schema, method.params[0].model.type))
        self.assertEqual(method.decode_result(method.encode_result(value)), value)
        raw = method.encode_params((value, 2))
        self.assertEqual(method.decode_params(raw), (value, 2))
        self.assertEqual(method.decode_params_plain(raw), (value, 2))
        short = method.encode_params((value,))
        self.assertEqual(method.decode_params(short), (value, 1))
        self.assertEqual(
            method.decode_params(method.complete_params(short)), (value, 1)
        )

    @CHECKED
    @given(TYPES, st.one_of(st.binary(), JSON.map(msgspec.json.encode)))
    def test_any_bytes(self, type_: str, raw: bytes) -> None:
        """Any bytes give a value that can be sent again, or InvalidValue."""
        _, method = load(type_)
        try:
            value = method.decode_result(raw)
        except InvalidValue:
            pass
        else:
            self.assertEqual(method.decode_result(method.encode_result(value)), value)
        try:
            args = method.decode_params(b"[" + raw + b"]")
        except InvalidValue:
            return
        self.assertEqual(method.decode_params(method.encode_params(args)), args)

    @CHECKED
    @given(st.text("0123456789.eE+-_ \n\t\u0661\u3000\xa0", max_size=6), st.booleans())
    def test_decimals_are_plain_digits(self, text: str, ascii: bool) -> None:
        """A decimal is read from what is a number to others than Python too."""
        _, method = load("decimal")
        raw = json.dumps(text, ensure_ascii=ascii).encode()
        plain = re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", text)
        if plain:
            self.assertEqual(method.decode_result(raw), Decimal(text))
        elif not re.fullmatch(r"[0-9+.-]+[eE][+-]?[0-9]{4}", text):
            self.assertRaises(InvalidValue, method.decode_result, raw)

    @CHECKED
    @given(TYPES, st.data())
    def test_damaged_values(self, type_: str, data: st.DataObject) -> None:
        """Encoded values with some bytes changed are read or refused."""
        schema, method = load(type_)
        value = data.draw(values(schema, method.params[0].model.type))
        raw = bytearray(method.encode_params((value,)))
        for _ in range(data.draw(st.integers(1, 4))):
            index = data.draw(st.integers(0, len(raw) - 1))
            raw[index : index + data.draw(st.integers(0, 2))] = data.draw(
                st.sampled_from(
                    [b"", b"0", b"null", b'"', b"[", b"}", b"\xff", b"-", b"e9"]
                )
            )
            if not raw:
                break
        for decode in (method.decode_params, method.decode_params_plain):
            try:
                args = decode(bytes(raw))
            except InvalidValue as error:
                self.assertLess(len(str(error)), 500)
            else:
                self.assertEqual(len(args), 2)

    @CHECKED
    @given(TYPES, THINGS)
    def test_what_is_sent_is_what_is_read(self, type_: str, thing: Any) -> None:
        """
        Anything at all is refused, or is read by the peer as what was meant.
        """
        _, method = load(type_)
        try:
            raw = method.encode_result(thing)
        except InvalidValue:
            return
        self.assertEqual(method.decode_result(raw), as_json(thing, type_))


def as_json(thing: Any, type_: str) -> Any:
    """
    @return: the thing with lists for tuples, and sets where sets are declared.
    """
    if isinstance(thing, tuple | list | frozenset) and type_.startswith("set<"):
        return set(thing)
    if isinstance(thing, tuple | list):
        return [as_json(each, type_[5:]) for each in thing]
    if isinstance(thing, dict):
        return {key: as_json(each, "") for key, each in thing.items()}
    return thing
