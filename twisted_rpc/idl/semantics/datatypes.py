# -*- test-case-name: tests.idl.test_meaning -*-
"""
The meaning of constants, enums, structs, exceptions and unions.

Each exists from the beginning, empty, so that they can name each other in any
order; here they are filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

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

#: The member by which the structs of a union are told apart.
_TAG: Final = "type"
_TAG_HINT: Final = "the tag of a union has that name; use @name"


def fill_enum(values: Values, enum: model.Enum, node: tree.Enum) -> None:
    """
    Its values; their annotations come later, by L{annotate_enum}, because they
    may use constants, and constants enums.
    """
    if not node.values:
        # No decoder can be made for it.
        values.scope.faults.add(node.name, f"enum '{enum.name}' lists no value")
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
        if member.wire_name == _TAG:
            message = f"'{name.text}' cannot be in a union: it has a member '{_TAG}'"
            scope.faults.add(name, message, _TAG_HINT)
    union.structs.append(struct)
    struct.unions.append(union)


def check_tags(
    scope: Scope,
    structs: Sequence[tuple[model.Struct, tree.Struct]],
    unions: Sequence[tuple[model.Union_, tree.Union]],
) -> None:
    """
    Note members that are called like the tag, in structs that extend one of a
    union: they have a tag too.
    """
    for struct, node in structs:
        if not struct.unions:  # else it was told already
            names = {each.name.text: each.name for each in node.fields}
            for member, tagged in _like_tags(struct):
                message = (
                    f"'{_TAG}' cannot be a member of '{struct.name}', "
                    f"which extends '{tagged.name}' of a union"
                )
                scope.faults.add(names[member.name], message, _TAG_HINT)
    here = {id(union): node.name for union, node in unions}
    for struct in _imported_structs(scope.file):
        for member, tagged in _like_tags(struct):
            at = next((here[id(it)] for it in tagged.unions if id(it) in here), None)
            if at is not None:
                message = (
                    f"'{tagged.name}' cannot be in a union: '{struct.name}', "
                    f"which extends it, has a member '{_TAG}'"
                )
                hint = f"at {scope.near(member.place)}"
                scope.faults.add(at, message, hint)


def _like_tags(struct: model.Struct) -> Iterator[tuple[model.Field, model.Struct]]:
    """
    @return: own members called like the tag that a base gives the struct, and
        that base.
    """
    tagged = struct.base
    while tagged is not None and not tagged.unions:
        tagged = tagged.base
    if tagged is not None:
        for member in struct.fields:
            if member.wire_name == _TAG:
                yield member, tagged


def _imported_structs(file: model.File) -> Iterator[model.Struct]:
    seen = {id(file)}
    unread = [*file.imports.values()]
    while unread:
        imported = unread.pop()
        if id(imported) not in seen:
            seen.add(id(imported))
            unread += imported.imports.values()
            for definition in imported.definitions.values():
                if isinstance(definition, model.Struct):
                    yield definition
