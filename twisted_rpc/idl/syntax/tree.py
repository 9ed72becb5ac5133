# -*- test-case-name: tests.idl.test_parser -*-
"""
The syntax tree: what was written, before anybody asks what it means.

Every node knows where it stands: the text from C{start} to before C{end}.
msgspec's Structs, because dataclasses doubled the time of import and parsing.
"""

from __future__ import annotations

from typing import Any

import msgspec


# A tree has no cycles, so the collector need not look for them: it took a fifth
# of the time of parsing.
class Node(msgspec.Struct, gc=False):
    """
    @ivar start: where it begins in the text.
    @ivar end: where it has ended.
    """

    start: int
    end: int


class Name(Node):
    """@ivar text: one word, or several with dots between."""

    text: str


class Type(Node):
    """@ivar name: with dots, if it is another file's."""

    name: str
    args: list[Type]
    optional: bool


class Value(Node):
    """
    @ivar kind: C{number}, C{string}, C{name} (C{true}, C{false} and C{null}
        too), C{list} or C{map}.
    @ivar text: of a number, as written; of a string, what it says; of a name,
        with dots.
    @ivar items: of a list, its values; of a map, keys and values in turn.
    """

    kind: str
    text: str
    items: list[Value]


class Argument(Node):
    """@ivar name: C{""} if it goes by position."""

    name: str
    value: Value


class Annotation(Node):
    """
    C{@name(args)}.

    @ivar end: where the name has ended.
    @ivar args: C{None} without parentheses.
    """

    name: str
    args: list[Argument] | None


class Definition(Node):
    """
    Anything with a name, a doc comment and annotations.

    @ivar doc: the cleaned doc comment, or C{""}.
    """

    doc: str
    annotations: list[Annotation]
    name: Name


class Field(Definition):
    """A member or a parameter."""

    type: Type
    default: Value | None


class Namespace(Definition):
    """C{namespace a.b}."""


class Import(Definition):
    """
    C{import "path" as alias}.

    @ivar name: the alias, or the path if none was written.
    """

    path: Value
    alias: bool


class Const(Definition):
    """C{const T NAME = value}."""

    type: Type
    value: Value


class EnumValue(Definition):
    """@ivar wire: the string given, or C{None}."""

    wire: Value | None


class Enum(Definition):
    """C{enum E { A, B = "b" }}."""

    values: list[EnumValue]


class Struct(Definition):
    """@ivar word: C{struct} or C{exception}."""

    word: str
    base: Name | None
    fields: list[Field]


class Union(Definition):
    """C{union U { A, B }}."""

    structs: list[Name]


class Method(Definition):
    """C{oneway T name(params) throws E}."""

    oneway: bool
    result: Type
    params: list[Field]
    throws: list[Name]


class Service(Definition):
    """C{service S extends A, B { ... }}."""

    bases: list[Name]
    methods: list[Method]


AnyDefinition = Namespace | Import | Const | Enum | Struct | Union | Service


class Document(Node):
    """A whole file."""

    definitions: list[AnyDefinition]


def outline(node: Any) -> Any:
    """
    @return: what C{node} says without where it stands, so that the trees of two
        layouts of one text are equal.
    """
    if isinstance(node, Node):
        fields = (name for name in node.__struct_fields__ if name not in _PLACE)
        return (
            type(node).__name__,
            *(outline(getattr(node, name)) for name in fields),
        )
    if isinstance(node, list):
        return [outline(item) for item in node]
    return node


_PLACE = ("start", "end")
