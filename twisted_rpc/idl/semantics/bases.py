# -*- test-case-name: tests.idl.test_meaning -*-
"""
What structs and exceptions extend.
"""

from __future__ import annotations

from twisted_rpc.idl import model
from twisted_rpc.idl.names import exception_attribute, python_name
from twisted_rpc.idl.semantics.members import reserved_names
from twisted_rpc.idl.semantics.scope import Scope, kind_of
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import MAX_DEPTH
from twisted_rpc.idl.syntax.words import did_you_mean


def set_base(scope: Scope, struct: model.Struct, node: tree.Struct) -> None:
    """
    What it extends.
    """
    if node.base is None:
        return
    name = node.base.text
    found = scope.find(name)
    if isinstance(found, model.Struct) and found.is_exception == struct.is_exception:
        struct.base = found
    elif found is not None:
        message = f"'{name}' is {kind_of(found)}, not {kind_of(struct)}"
        scope.faults.add(node.base, message)
    elif not scope.is_lost(name):
        unknown_struct(scope, node.base, node.word, is_exception=struct.is_exception)


def unknown_struct(
    scope: Scope, name: tree.Name, noun: str, *, is_exception: bool
) -> None:
    """
    Note that there is no such struct or exception.
    """

    def hint() -> str:
        known = scope.known(name.text, model.Struct)
        found = [(each, scope.find(each)) for each in known]
        return did_you_mean(
            name.text,
            [
                each
                for each, struct in found
                if isinstance(struct, model.Struct)
                and struct.is_exception == is_exception
            ],
        )

    scope.faults.add(name, f"unknown {noun} '{name.text}'", hint)


def check_base(scope: Scope, struct: model.Struct, node: tree.Struct) -> None:
    """
    Whether the bases come to an end; if not, this one is left out.
    """
    names = [struct.name]
    base = struct.base
    while base is not None and base is not struct and len(names) <= MAX_DEPTH:
        names.append(base.name)
        base = base.base
    if base is None or node.base is None:
        return
    if base is struct:
        message = f"'{struct.name}' extends itself"
        scope.faults.add(node.base, message, " -> ".join([*names, struct.name]))
    else:
        message = f"'{struct.name}' has more than {MAX_DEPTH} bases"
        scope.faults.add(node.base, message)
    struct.base = None


def in_python(struct: model.Struct, member: model.Field) -> str:
    """
    @return: what a member is called in Python.
    """
    return (
        exception_attribute(member) if struct.is_exception else python_name(member.name)
    )


class BaseMembers:
    """
    Whether structs declare what their bases have.

    Own members are looked up in each base, not all collected in each struct: a
    thousand structs may extend one with a thousand members.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._own: dict[int, dict[tuple[str, str], model.Field]] = {}

    def check(self, struct: model.Struct, node: tree.Struct) -> None:
        """
        Note members that a base has, or has reserved; and inherit the code.
        """
        ancestors: list[model.Struct] = []
        base = struct.base
        while base is not None:
            ancestors.append(base)
            base = base.base
        if not struct.code:
            struct.code = next((each.code for each in ancestors if each.code), "")
        nodes = {each.name.text: each.name for each in node.fields}
        for ancestor in ancestors:
            for member in struct.fields:
                self._check(member, nodes[member.name], ancestor)

    def _check(
        self, member: model.Field, name: tree.Name, ancestor: model.Struct
    ) -> None:
        own = self._own.get(id(ancestor))
        if own is None:
            fields = ancestor.fields
            own = {("name", in_python(ancestor, each)): each for each in fields}
            own |= {("wire", each.wire_name): each for each in fields}
            self._own[id(ancestor)] = own
        first = own.get(("name", in_python(ancestor, member)))
        first = first or own.get(("wire", member.wire_name))
        near = self.scope.near
        if first is not None:
            message = (
                f"member '{name.text}' is already inherited from '{ancestor.name}'"
            )
            hint = f"declared at {near(first.place)}; a member cannot be redeclared"
            self.scope.faults.add(name, message, hint)
        for other in reserved_names(ancestor.annotations):
            if other in (member.name, member.wire_name):
                hint = f"at {near(ancestor.annotations['reserved'].place)}"
                self.scope.faults.add(name, f"'{other}' is reserved", hint)
