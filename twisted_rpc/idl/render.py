# -*- test-case-name: tests.idl.test_render -*-
"""
The text of a service, put together again from what it means.

Reflection answers with it: one document without imports that defines the
service and everything it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from twisted_rpc.idl.codecs.types import INTEGERS
from twisted_rpc.idl.model import (
    Annotation,
    Annotations,
    Enum,
    Field,
    Method,
    Service,
    Struct,
    Type,
    Union_,
)
from twisted_rpc.idl.semantics.annotation_table import SHAPES

Definition = Enum | Struct | Union_ | Service


def render(service: Service) -> str:
    """
    @return: IDL text.
    """
    rendering = _Rendering()
    rendering.need_service(service)
    return rendering.text()


def render_types(methods: Iterable[Method]) -> str:
    """
    @return: IDL text of the types that C{methods} take, return and raise, and of
        those that these need.
    """
    rendering = _Rendering()
    for method in methods:
        rendering.need_method(method)
    return rendering.text()


class _Rendering:
    """
    @ivar found: what is defined, in the order in which it is needed.
    """

    def __init__(self) -> None:
        self.found: dict[int, Definition] = {}
        self._names: dict[int, str] = {}

    def text(self) -> str:
        """
        The whole text, definitions with an empty line between them.
        """
        self._names = _unique_names(self.found.values())
        return "\n".join(map(self._define, self.found.values()))

    def need_service(self, service: Service) -> None:
        """
        Define a service, and before it what it needs.
        """
        for base in service.bases:
            self.need_service(base)
        for method in service.own_methods:
            self.need_method(method)
        self.found[id(service)] = service

    def need_method(self, method: Method) -> None:
        """
        Define what a method needs.
        """
        self._type(method.result)
        for field in method.params:
            self._type(field.type)
        for struct in method.throws:
            self._definition(struct)

    def _type(self, type_: Type) -> None:
        if type_.definition is not None:
            self._definition(type_.definition)
        for argument in type_.args:
            self._type(argument)

    def _definition(self, definition: Enum | Struct | Union_) -> None:
        if id(definition) in self.found:
            return
        self.found[id(definition)] = definition
        if isinstance(definition, Union_):
            for struct in definition.structs:
                self._definition(struct)
        elif isinstance(definition, Struct):
            if definition.base is not None:
                self._definition(definition.base)
            for member in definition.fields:
                self._type(member.type)
            # Without its union, the struct would be written without its tag.
            for union in definition.unions:
                self._definition(union)

    def _define(self, definition: Definition) -> str:
        annotations = dict(definition.annotations)
        name = self._names[id(definition)]
        if name != definition.name and not isinstance(definition, Enum | Union_):
            place = definition.place
            annotations.setdefault(
                "name", Annotation("name", {"name": definition.wire_name}, place)
            )
        head = _doc(definition.doc) + _annotations(annotations)
        if isinstance(definition, Enum):
            values = _block(map(_enum_value, definition.values))
            return f"{head}enum {name} {{\n{values}}}\n"
        if isinstance(definition, Union_):
            structs = ", ".join(self._names[id(each)] for each in definition.structs)
            return f"{head}union {name} {{ {structs} }}\n"
        return f"{head}{self._record(definition, name)}"

    def _record(self, definition: Struct | Service, name: str) -> str:
        if isinstance(definition, Struct):
            word = "exception" if definition.is_exception else "struct"
            bases = [] if definition.base is None else [definition.base]
            lines = [f"{self._field(each)};" for each in definition.fields]
            extends = "".join(f" extends {self._names[id(each)]}" for each in bases)
        else:
            word = "service"
            lines = list(map(self._method, definition.own_methods))
            listed = ", ".join(self._names[id(each)] for each in definition.bases)
            extends = f" extends {listed}" if listed else ""
        return f"{word} {name}{extends} {{\n{_block(lines)}}}\n"

    def _method(self, method: Method) -> str:
        head = _doc(method.doc) + _annotations(method.annotations)
        oneway = "oneway " if method.oneway else ""
        params = ", ".join(
            self._field(each).replace("\n", " ") for each in method.params
        )
        throws = ", ".join(self._names[id(each)] for each in method.throws)
        tail = f" throws ({throws})" if throws else ""
        return (
            f"{head}{oneway}{self._text(method.result)} {method.name}({params}){tail};"
        )

    def _field(self, field: Field) -> str:
        head = _doc(field.doc) + _annotations(field.annotations, " ")
        implied = field.type.optional and field.default is None
        default = (
            ""
            if field.required or implied
            else f" = {_value(field.type, field.default)}"
        )
        return f"{head}{self._text(field.type)} {field.name}{default}"

    def _text(self, type_: Type) -> str:
        name = type_.name
        if type_.definition is not None:
            name = self._names[id(type_.definition)]
        args = ", ".join(map(self._text, type_.args))
        return f"{name}<{args}>"[: None if args else len(name)] + "?" * type_.optional


def _unique_names(definitions: Iterable[Definition]) -> dict[int, str]:
    """
    Two files may have one name each for different things.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    for definition in definitions:
        name, number = definition.name, 1
        while name in taken:
            number += 1
            name = f"{definition.name}_{number}"
        taken.add(name)
        names[id(definition)] = name
    return names


def _block(lines: Iterable[str]) -> str:
    return "".join(f"    {line}\n" for text in lines for line in text.split("\n"))


def _doc(doc: str) -> str:
    """
    Three slashes, since the text may hold the end of a longer comment.
    """
    return (
        "".join(f"/// {line}".rstrip() + "\n" for line in doc.splitlines())
        if doc
        else ""
    )


def _enum_value(value: Any) -> str:
    wire = "" if value.wire_value == value.name else f" = {_string(value.wire_value)}"
    head = _doc(value.doc) + _annotations(value.annotations, " ")
    return f"{head}{value.name}{wire},"


def _annotations(annotations: Annotations, end: str = "\n") -> str:
    return "".join(_annotation(each) + end for each in annotations.values())


def _annotation(annotation: Annotation) -> str:
    shape = SHAPES.get(annotation.name)
    kinds = {} if shape is None else shape.params
    args = ", ".join(
        (f"{name} = " if not name.isdecimal() else "")
        + _argument(value, kinds.get(name, ""))
        for name, value in annotation.args.items()
        if value is not None
    )
    return f"@{annotation.name}" + (f"({args})" if args else "")


def _argument(value: Any, kind: str) -> str:
    return f"{value * 1000:.15g}ms" if kind == "duration" else _json(value)


def _value(type_: Type, value: Any) -> str:
    """
    @param value: of the type, as a JSON value.
    """
    definition = type_.definition
    if isinstance(definition, Enum) and value is not None:
        return next(each.name for each in definition.values if each.wire_value == value)
    if isinstance(value, dict) and type_.name == "map":
        items = ", ".join(
            f"{_key(type_.args[0], key)}: {_value(type_.args[1], item)}"
            for key, item in value.items()
        )
        return f"{{{items}}}"
    if isinstance(value, list) and type_.name in {"list", "set"}:
        return f"[{', '.join(_value(type_.args[0], item) for item in value)}]"
    return _json(value)


def _key(type_: Type, key: str) -> str:
    return key if type_.name in INTEGERS else _value(type_, key)


def _json(value: Any) -> str:
    """
    @return: a value of the language; it is that of JSON but for some escapes.
    """
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_json(k)}: {_json(v)}' for k, v in value.items())}}}"
    return json.dumps(value, default=str)


def _string(text: str) -> str:
    quoted = "".join(_escape(character) for character in text)
    return f'"{quoted}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    plain = character.isprintable() or ord(character) > 0xFFFF
    return character if plain else f"\\u{ord(character):04x}"
