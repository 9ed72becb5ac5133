# -*- test-case-name: tests.idl.test_meaning -*-
"""
The meaning of constants, enums, structs, exceptions and unions.

Each exists from the beginning, empty, so that they can name each other in any
order; here they are filled.
"""

from __future__ import annotations

from twisted_rpc.idl import model
from twisted_rpc.idl.names import enum_value_name
from twisted_rpc.idl.semantics.annotation_table import EXCEPTION_CODES
from twisted_rpc.idl.semantics.annotations import check
from twisted_rpc.idl.semantics.bases import in_python, unknown_struct
from twisted_rpc.idl.semantics.members import Names, field, reserved_names, wire
from twisted_rpc.idl.semantics.scope import Scope, kind_of
from twisted_rpc.idl.semantics.usage import UNKNOWN, resolve
from twisted_rpc.idl.semantics.values import Values
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.words import did_you_mean


def fill_enum(values: Values, enum: model.Enum, node: tree.Enum) -> None:
    """
    Its values; their annotations come later, by L{annotate_enum}, because they
    may use constants, and constants enums.
    """
    for each in node.values:
        text = each.name.text if each.wire is None else each.wire.text
        place = values.scope.place(each.name)
        value = model.EnumValue(each.name.text, text, (), each.doc, {}, place)
        enum.values.append(value)


def annotate_enum(values: Values, enum: model.Enum, node: tree.Enum) -> None:
    """
    Its annotations and those of its values, and whether its names differ.
    """
    enum.annotations = check(values, node.annotations, "enum")
    enum.open = "open" in enum.annotations
    reserved = reserved_names(enum.annotations)
    names = Names(values.scope, "value", reserved)
    for value, each in zip(enum.values, node.values, strict=True):
        value.annotations = check(values, each.annotations, "value")
        if "aliases" in value.annotations:
            value.aliases = tuple(value.annotations["aliases"].args["names"])
        names.add(
            each.name, enum_value_name(value.name), value.wire_value, *value.aliases
        )


def type_const(values: Values, const: model.Const, node: tree.Const) -> None:
    """
    Its type; the value comes later.
    """
    const.type = resolve(values.scope, node.type)
    if isinstance(const.type.definition, model.Struct | model.Union_):
        message = f"a constant cannot be {kind_of(const.type.definition)}"
        values.scope.faults.add(node.type, message)
        const.type = model.Type(UNKNOWN)
    values.announce(const, node)


def fill_struct(values: Values, struct: model.Struct, node: tree.Struct) -> None:
    """
    Its annotations and members.
    """
    where = "exception" if struct.is_exception else "struct"
    struct.annotations = check(
        values, node.annotations, "exception" if struct.is_exception else "struct"
    )
    struct.wire_name = wire(struct.annotations, struct.name)
    if "code" in struct.annotations:
        struct.code = _code(values.scope, struct, node)
    elif struct.base is None and where == "exception":
        struct.code = "FAILED_PRECONDITION"
    reserved = reserved_names(struct.annotations)
    names = Names(values.scope, "member", reserved)
    for each in node.fields:
        member = field(values, each, member=True)
        if names.add(each.name, in_python(struct, member), member.wire_name):
            struct.fields.append(member)


def _code(scope: Scope, struct: model.Struct, node: tree.Struct) -> str:
    code: str = struct.annotations["code"].args["code"]
    if code not in EXCEPTION_CODES:
        at = next(each for each in node.annotations if each.name == "code")
        hint = did_you_mean(code, EXCEPTION_CODES)
        hint = hint or f"one of {', '.join(EXCEPTION_CODES)}"
        scope.faults.add(at, f"'{code}' cannot be the code of an exception", hint)
    return code


def fill_union(values: Values, union: model.Union_, node: tree.Union) -> None:
    """
    Its annotations and structs, after all structs are filled.
    """
    scope = values.scope
    union.annotations = check(values, node.annotations, "union")
    tags: dict[str, tree.Name] = {}
    if not node.structs:
        scope.faults.add(node.name, f"union '{union.name}' lists no struct")
    for name in node.structs:
        found = scope.find(name.text)
        if isinstance(found, model.Struct) and not found.is_exception:
            _join(scope, union, found, name, tags)
        elif found is not None:
            message = f"'{name.text}' is {kind_of(found)}, not a struct"
            scope.faults.add(name, message)
        elif not scope.is_lost(name.text):
            unknown_struct(scope, name, "struct", is_exception=False)


def _join(
    scope: Scope,
    union: model.Union_,
    struct: model.Struct,
    name: tree.Name,
    tags: dict[str, tree.Name],
) -> None:
    first = tags.setdefault(struct.wire_name, name)
    if first is not name:
        line, column = scope.source.position(first.start)
        message = f"two structs of '{union.name}' have the tag '{struct.wire_name}'"
        scope.faults.add(name, message, f"first at {line}:{column}")
        return
    for member in struct.all_fields:
        if member.wire_name == "type":
            message = f"'{name.text}' cannot be in a union: it has a member 'type'"
            hint = "the tag of a union has that name; use @name"
            scope.faults.add(name, message, hint)
    union.structs.append(struct)
    struct.unions.append(union)
