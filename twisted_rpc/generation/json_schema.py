# -*- test-case-name: tests.generation.test_json_schema -*-
"""
JSON Schema, draft 2020-12: what the values of an IDL look like in messages.

What JSON Schema cannot say: C{2.0} is no integer, C{@range} of a decimal, which is a
string, and how many digits a number may have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, Final

from twisted_rpc.idl import model
from twisted_rpc.idl.codecs.facts import uuid_limit
from twisted_rpc.idl.codecs.types import (
    INT64,
    INTEGERS,
    integer_bounds,
    pattern_of,
    range_of,
    split_flags,
)

#: A schema, or any other JSON object.
Object = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NUMBER: Final = r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_DURATION: Final = (
    r"^[+-]?P(?=[0-9T])([0-9]+(\.[0-9]+)?D)?"
    r"(T(?=[0-9])([0-9]+(\.[0-9]+)?H)?([0-9]+(\.[0-9]+)?M)?([0-9]+(\.[0-9]+)?S)?)?$"
)
_SCALARS: Final[dict[str, Object]] = {
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "decimal": {"type": ["string", "number"], "pattern": f"^{_NUMBER}$"},
    "timestamp": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "duration": {"type": "string", "pattern": _DURATION},
    "uuid": {"type": "string", "format": "uuid"},
    "any": {},
    "void": {"type": "null"},
}


class Schemas:
    """
    The schemas of types.

    @ivar definitions: those that something refers to, by name.
    """

    def __init__(self, file: model.File, root: str) -> None:
        """
        @param root: where the definitions are to stand, as C{"#/$defs/"}.
        """
        self.root = root
        self.definitions: dict[str, Object] = {}
        self._names: dict[int, str] = {}
        self._name(file, "")

    def _name(self, file: model.File, prefix: str) -> None:
        for name, definition in file.definitions.items():
            self._names.setdefault(id(definition), prefix + name)
        for alias, imported in file.imports.items():
            self._name(imported, f"{prefix}{alias}.")

    def reference(self, definition: model.Enum | model.Struct | model.Union_) -> Object:
        """
        @return: a reference to a definition, which is added.
        """
        name = self._names[id(definition)]
        if name not in self.definitions:
            self.definitions[name] = {}  # it may hold itself
            self.definitions[name] = self._definition(definition)
        return {"$ref": self.root + name}

    def of(self, type_: model.Type, annotations: model.Annotations) -> Object:
        """
        @return: the schema of a type.
        """
        schema = self._required(type_, annotations)
        if not type_.optional or type_.name == "any":
            return schema
        if isinstance(schema.get("type"), str):
            return {**schema, "type": [schema["type"], "null"]}
        return {"anyOf": [schema, {"type": "null"}]}

    def field(self, field: model.Field) -> Object:
        """
        @return: the schema of a member or parameter.
        """
        type_ = field.type.args[0] if field.type.name == "stream" else field.type
        schema = {**self.of(type_, field.annotations), **described(field)}
        if not field.required:
            schema["default"] = field.default
        if "sensitive" in field.annotations:
            schema["x-sensitive"] = True
        return schema

    def parameters(self, fields: Iterable[model.Field]) -> Object:
        """
        @return: the schema of the list of parameters in a message.
        """
        listed = [each for each in fields if each.type.name != "stream"]
        items = [{"title": each.name, **self.field(each)} for each in listed]
        schema: Object = {"type": "array", "items": False}
        if items:
            schema["prefixItems"] = items
        return {**schema, "minItems": sum(each.required for each in listed)}

    def members(self, fields: Iterable[model.Field]) -> Object:
        """
        @return: the schema of an object with members.
        """
        fields = list(fields)
        schema: Object = {
            "type": "object",
            "properties": {each.wire_name: self.field(each) for each in fields},
        }
        required = [each.wire_name for each in fields if each.required]
        return {**schema, "required": required} if required else schema

    def _definition(
        self, definition: model.Enum | model.Struct | model.Union_
    ) -> Object:
        told = described(definition)
        if isinstance(definition, model.Enum):
            return {**_enum(definition), **told}
        if isinstance(definition, model.Union_):
            return {**self._union(definition), **told}
        schema = self.members(definition.all_fields)
        if _is_tagged(definition):
            tag = {"const": definition.wire_name}
            schema["properties"] = {"type": tag, **schema["properties"]}
        if definition.is_exception:
            schema["x-code"] = definition.code or "FAILED_PRECONDITION"
        return {**schema, **told}

    def _union(self, union: model.Union_) -> Object:
        references = [self.reference(each) for each in union.structs]
        tags = [each.wire_name for each in union.structs]
        mapping = {
            tag: each["$ref"] for tag, each in zip(tags, references, strict=True)
        }
        return {
            "oneOf": [{**each, "required": ["type"]} for each in references],
            "discriminator": {"propertyName": "type", "mapping": mapping},
        }

    def _required(self, type_: model.Type, annotations: model.Annotations) -> Object:
        if type_.definition is not None:
            return self.reference(type_.definition)
        if type_.name in INTEGERS:
            return {"type": "integer", **_bounds(*integer_bounds(type_, annotations))}
        if type_.name == "list":
            items = self.of(type_.args[0], {})
            return {"type": "array", "items": items, **_length(type_, annotations)}
        if type_.name == "set":
            schema = {"type": "array", "items": self._key(type_.args[0])}
            return {**schema, "uniqueItems": True, **_length(type_, annotations)}
        if type_.name == "map":
            return {
                "type": "object",
                "propertyNames": self._name_of(type_.args[0]),
                "additionalProperties": self.of(type_.args[1], {}),
                **_length(type_, annotations),
            }
        schema = dict(_SCALARS[type_.name])
        if type_.name == "float":
            schema |= _bounds(*range_of(annotations))
        if "pattern" in annotations:
            schema["pattern"] = _whole(pattern_of(annotations))
        return schema | _length(type_, annotations)

    def _key(self, type_: model.Type) -> Object:
        """
        @return: the schema of an element of a set.
        """
        if type_.name == "int":
            return {"type": "integer", **_bounds(*INT64)}
        return self.of(type_, {})

    def _name_of(self, type_: model.Type) -> Object:
        """
        @return: the schema of the key of a map, which is a string in JSON.
        """
        if type_.name in INTEGERS:
            return {"pattern": "^-?(0|[1-9][0-9]*)$"}
        return self._key(type_)


def described(thing: Any) -> Object:
    """
    @return: what is said of a definition, member or parameter.
    """
    told: Object = {}
    if thing.doc:
        told["description"] = thing.doc
    if "deprecated" in thing.annotations:
        told["deprecated"] = True
    return told


def _enum(enum: model.Enum) -> Object:
    values = [each.wire_value for each in enum.values]
    values += [alias for each in enum.values for alias in each.aliases]
    if enum.open:
        return {"type": "string", "anyOf": [{"enum": values}, {}]}
    return {"enum": values}


def _is_tagged(struct: model.Struct) -> bool:
    return bool(struct.unions) or (struct.base is not None and _is_tagged(struct.base))


def _bounds(low: Any, high: Any) -> Object:
    found = {"minimum": low, "maximum": high}
    return {name: bound for name, bound in found.items() if bound is not None}


def _length(type_: model.Type, annotations: model.Annotations) -> Object:
    limits: Object = {}
    if "length" in annotations:
        limits = dict(annotations["length"].args)
    if type_.name in {"set", "map"} and type_.args[0].name == "uuid":
        limits["max"] = uuid_limit(annotations)
    noun = {"list": "Items", "set": "Items", "map": "Properties"}
    counted = noun.get(type_.name, "Length")
    return {
        f"{word}{counted}": _base64(limit) if type_.name == "bytes" else limit
        for word in ("min", "max")
        if (limit := limits.get(word)) is not None
    }


def _base64(count: int) -> int:
    """
    @return: how many characters so many bytes are.
    """
    return -(-count // 3) * 4


def _whole(pattern: str) -> str:
    flags, rest = split_flags(pattern)
    return f"{flags}^(?:{rest})$"


def json_schema(file: model.File) -> str:
    """
    @return: a document with a definition for each type, and for the parameters
        and the result of each method.
    """
    schemas = Schemas(file, "#/$defs/")
    for definition in file.definitions.values():
        if isinstance(definition, model.Enum | model.Struct | model.Union_):
            schemas.reference(definition)
    for service in file.services.values():
        for method in service.methods.values():
            _add_method(schemas, f"{service.wire_name}.{method.wire_name}", method)
    document: Object = {"$schema": _DIALECT, "title": title(file)}
    if file.doc:
        document["description"] = file.doc
    return text({**document, "$defs": schemas.definitions})


def _add_method(schemas: Schemas, name: str, method: model.Method) -> None:
    definitions = schemas.definitions
    definitions[f"{name}.params"] = schemas.parameters(method.params)
    if method.streams_parameter:
        definitions[f"{name}.sent_item"] = schemas.field(method.params[-1])
    kind = "item" if method.streams_result else "result"
    definitions[f"{name}.{kind}"] = result(schemas, method)


def result(schemas: Schemas, method: model.Method) -> Object:
    """
    @return: the schema of a result, or of an item of it.
    """
    type_ = method.result.args[0] if method.streams_result else method.result
    return schemas.of(type_, {})


def title(file: model.File) -> str:
    """
    @return: what a file is called.
    """
    return file.namespace or PurePath(file.path).stem


def text(document: Object) -> str:
    """
    @return: a document as it is written to a file.
    """
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
