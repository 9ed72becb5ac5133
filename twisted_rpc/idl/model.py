# -*- test-case-name: tests.idl.test_meaning -*-
"""
What an IDL file means, after its names are resolved and all of it is checked.

The reader makes it from text (L{twisted_rpc.idl.syntax.parser}, then
L{twisted_rpc.idl.semantics.meaning}); the Python side is built from it
(L{twisted_rpc.idl.python.build}), and so are digests, reference pages and the
comparison of two versions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

#: The class of a method: how often it may run (delivery.md, section 1).
Delivery = Literal["readonly", "idempotent", "once", "transactional"]


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where something stands.

    @ivar path: the file, as it was named.
    @ivar line: from 1.
    @ivar column: in code points, from 1.
    @ivar length: code points, at least 1.
    """

    path: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(slots=True, eq=False)
class Type:
    """
    A type in use.

    @ivar name: C{"int"}, ..., C{"list"}, C{"set"}, C{"map"}, C{"stream"},
        C{"void"}, C{"any"}, or C{""} if C{definition} says what it is.
    @ivar args: of list, set and stream one, of map two (key and value).
    @ivar optional: C{T?}.
    @ivar definition: the enum, struct, union it names, or C{None}.
    """

    name: str
    args: tuple[Type, ...] = ()
    optional: bool = False
    definition: Enum | Struct | Union_ | None = None
    place: Place | None = None

    def __str__(self) -> str:
        text = self.definition.name if self.definition is not None else self.name
        if self.args and not (self.name == "list" and self.args[0].name == "any"):
            text += "<" + ",".join(map(str, self.args)) + ">"
        elif self.args:
            text = "list<any>"
        return text + ("?" if self.optional else "")


@dataclass(slots=True)
class Annotation:
    """
    C{@name(args)}, checked; arguments bound to the names of its parameters.

    @ivar args: argument name to value; durations are C{float} seconds, sizes
        C{int} bytes.  For free annotations (a dot in the name) positional
        arguments are C{"0"}, C{"1"}, ...
    """

    name: str
    args: dict[str, Any]
    place: Place


#: By the annotation's name without C{@}.
Annotations = dict[str, Annotation]

#: No default: the member or parameter is required.
REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()


@dataclass(slots=True, eq=False)
class Field:
    """
    A parameter of a method, or a member of a struct or exception.

    @ivar wire_name: what stands in JSON (C{@name}); parameters go by position.
    @ivar default: L{REQUIRED}, or the default as a JSON value (a decimal is its
        string, an enum value its wire value, a map a C{dict} with string keys);
        C{T?} without one has C{None}.
    """

    name: str
    wire_name: str
    type: Type
    default: Any
    doc: str
    annotations: Annotations
    place: Place

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED


@dataclass(slots=True, eq=False)
class Const:
    """C{const T NAME = value}; the value as a JSON value, as for defaults."""

    name: str
    type: Type
    value: Any
    doc: str
    annotations: Annotations
    place: Place


@dataclass(slots=True, eq=False)
class EnumValue:
    """
    @ivar wire_value: the name, or the STRING given.
    @ivar aliases: further texts that a reader accepts.
    """

    name: str
    wire_value: str
    aliases: tuple[str, ...]
    doc: str
    annotations: Annotations
    place: Place


@dataclass(slots=True, eq=False)
class Enum:
    """@ivar open: unknown values are accepted in requests too."""

    name: str
    wire_name: str
    values: list[EnumValue]
    open: bool
    doc: str
    annotations: Annotations
    place: Place
    file: File


@dataclass(slots=True, eq=False)
class Struct:
    """
    A struct, or an exception if C{is_exception}.

    @ivar base: what it extends, or C{None}.
    @ivar fields: its own; L{all_fields} has the base's in front.
    @ivar unions: the unions it belongs to.
    @ivar code: of an exception: the name of its code.
    """

    name: str
    wire_name: str
    base: Struct | None
    fields: list[Field]
    is_exception: bool
    code: str
    doc: str
    annotations: Annotations
    place: Place
    file: File
    unions: list[Union_] = field(default_factory=list)

    @property
    def all_fields(self) -> list[Field]:
        """Every member, those of the bases first."""
        return [*(self.base.all_fields if self.base else ()), *self.fields]


@dataclass(slots=True, eq=False)
class Union_:  # noqa: N801 - typing has a Union
    """A tagged union of structs; the tag is the struct's wire name."""

    name: str
    structs: list[Struct]
    doc: str
    annotations: Annotations
    place: Place
    file: File


@dataclass(slots=True, eq=False)
class Method:
    """
    @ivar wire_name: what stands in C{"method"} (C{@name}).
    @ivar aliases: further names a server answers to.
    @ivar params: in order; the streamed one, if any, is the last.
    @ivar result: C{void}, a type, or C{stream<T>}.
    @ivar timeout: C{@timeout} of the method, else of the service, in seconds.
    @ivar threaded: C{@threaded}, of the method or its service.
    @ivar declared_in: the service whose text it stands in.
    """

    name: str
    wire_name: str
    aliases: tuple[str, ...]
    params: list[Field]
    result: Type
    throws: list[Struct]
    delivery: Delivery
    oneway: bool
    timeout: float | None
    threaded: bool
    doc: str
    annotations: Annotations
    place: Place
    declared_in: Service

    @property
    def streams_result(self) -> bool:
        """Whether the result is C{stream<T>}."""
        return self.result.name == "stream"

    @property
    def streams_parameter(self) -> bool:
        """Whether the last parameter is C{stream<T>}."""
        return bool(self.params) and self.params[-1].type.name == "stream"


@dataclass(slots=True, eq=False)
class Service:
    """
    @ivar bases: the services it extends.
    @ivar own_methods: those of its own text, in order.
    @ivar methods: all, by name, inherited ones first.
    """

    name: str
    wire_name: str
    bases: list[Service]
    own_methods: list[Method]
    methods: dict[str, Method]
    doc: str
    annotations: Annotations
    place: Place
    file: File


def annotation_of(service: Service, method: Method, name: str) -> Annotation | None:
    """
    @param service: under which the method is called.
    @return: the method's own, else the service's, else that of the service in
        whose text the method stands.
    """
    return (
        method.annotations.get(name)
        or service.annotations.get(name)
        or method.declared_in.annotations.get(name)
    )


Definition = Const | Enum | Struct | Union_ | Service


@dataclass(slots=True, eq=False)
class File:
    """
    A file that was read and found right.

    @ivar path: as it was named.
    @ivar text: the whole text.
    @ivar namespace: C{"a.b"}, or C{""}.
    @ivar imports: by alias, only what this file itself imports.
    @ivar definitions: by name, in the order of the text.
    @ivar doc: the doc comment of its namespace.
    @ivar annotations: those of its namespace.
    """

    path: str
    text: str
    namespace: str
    imports: dict[str, File]
    definitions: dict[str, Definition]
    doc: str = ""
    annotations: Annotations = field(default_factory=dict)

    @property
    def services(self) -> dict[str, Service]:
        """The services declared here, by name."""
        return {
            name: definition
            for name, definition in self.definitions.items()
            if isinstance(definition, Service)
        }
