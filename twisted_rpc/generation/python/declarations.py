# -*- test-case-name: tests.generation.test_python -*-
"""
Constants, enums, structs, unions and exceptions in a generated module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted_rpc.generation.python.lines import Lines, block, docstring
from twisted_rpc.generation.python.names import Names
from twisted_rpc.generation.python.types import is_simple, quoted, type_name, value_text
from twisted_rpc.idl import model
from twisted_rpc.idl.names import (
    enum_value_name,
    exception_attribute,
    python_name,
)

IDL: Final = "twisted_rpc.idl"


def constant(names: Names, const: model.Const, file: model.File) -> Lines:
    """
    @return: C{MAX_BATCH: Final = 100}.
    """
    final = names.imported("typing", "Final")
    value = value_text(names, const.type, const.value, file)
    if not is_simple(const.type, const.value) or const.value is None:
        final = f"{final}[{type_name(names, const.type)}]"
    lines = [f"{python_name(const.name)}: {final} = {value}"]
    return lines + docstring(const.doc)


def enum(names: Names, definition: model.Enum) -> Lines:
    """
    @return: its class.
    """
    values: Lines = []
    for each in definition.values:
        values.append(f"{enum_value_name(each.name)} = {quoted(each.wire_value)}")
        values += docstring(each.doc)
    base = names.imported(IDL, "Enumeration")
    head = f"class {python_name(definition.name)}({base}):"
    body = block(head, [docstring(definition.doc), values])
    return deprecated(names, definition.annotations) + body


def struct(names: Names, definition: model.Struct) -> Lines:
    """
    @return: its class.
    """
    members: Lines = []
    for each in definition.fields:
        line = f"{python_name(each.name)}: {type_name(names, each.type)}"
        members.append(line + _default(names, each))
        members += docstring(each.doc)
    base = (
        names.imported(IDL, "Struct")
        if definition.base is None
        else names.near(definition.base, definition.file)
    )
    head = f"class {python_name(definition.name)}({base}, kw_only=True):"
    body = block(head, [docstring(definition.doc), members])
    return deprecated(names, definition.annotations) + body


def _default(names: Names, field: model.Field) -> str:
    """
    @return: the default of a member, made when it is needed.
    """
    if field.required:
        return ""
    value = value_text(names, field.type, field.default)
    if is_simple(field.type, field.default):
        return f" = {value}"
    make = names.imported("msgspec", "field")
    return f" = {make}(default_factory=lambda: {value})"


def union(names: Names, definition: model.Union_) -> Lines:
    """
    @return: an alias of its structs.
    """
    structs = " | ".join(
        names.near(each, definition.file) for each in definition.structs
    )
    alias = names.imported("typing", "TypeAlias")
    lines = [f"{python_name(definition.name)}: {alias} = {structs}"]
    return lines + docstring(definition.doc)


def exception(names: Names, definition: model.Struct) -> Lines:
    """
    @return: its class, with what its arguments are.
    """
    members: Lines = []
    for each in definition.fields:
        members.append(f"{exception_attribute(each)}: {type_name(names, each.type)}")
        members += docstring(each.doc)
    base = (
        names.imported(IDL, "DeclaredException")
        if definition.base is None
        else names.near(definition.base, definition.file)
    )
    head = f"class {python_name(definition.name)}({base}):"
    made = _initializer(names, definition.all_fields)
    body = block(head, [docstring(definition.doc), members, made])
    return deprecated(names, definition.annotations) + body


def _initializer(names: Names, fields: Sequence[model.Field]) -> Lines:
    params = {
        exception_attribute(each): type_name(names, each.type) + argument(names, each)
        for each in fields
    }
    text, number = names.builtin("str"), names.builtin("float")
    params.setdefault("message", f"{text} | None = None")
    params.setdefault("retry_after", f"{number} | None = None")
    return [
        "def __init__(",
        "    self,",
        "    *,",
        *(f"    {name}: {written}," for name, written in params.items()),
        ") -> None: ...",
    ]


def argument(names: Names, field: model.Field) -> str:
    """
    @return: the default of an argument, as C{...} if it needs a name.
    """
    if field.required:
        return ""
    if is_simple(field.type, field.default):
        return f" = {value_text(names, field.type, field.default)}"
    return " = ..."


def deprecated(names: Names, annotations: model.Annotations) -> Lines:
    """
    @return: the decorator of what is deprecated.
    """
    if "deprecated" not in annotations:
        return []
    args = annotations["deprecated"].args
    since = f"since {args['since']}" if args.get("since") else ""
    told = ": ".join(filter(None, [since, args.get("reason")])) or "deprecated"
    return [f"@{names.imported('typing_extensions', 'deprecated')}({quoted(told)})"]
