# -*- test-case-name: tests.idl.test_meaning -*-
"""
Members of structs, parameters of methods, and names that occur only once.
"""

from __future__ import annotations

from typing import Any

from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.annotations import check
from twisted_rpc.idl.semantics.constraints import check_constraints, check_default
from twisted_rpc.idl.semantics.scope import Scope
from twisted_rpc.idl.semantics.usage import resolve
from twisted_rpc.idl.semantics.values import Values
from twisted_rpc.idl.syntax import tree


def field(
    values: Values, node: tree.Field, *, member: bool, last: bool = False
) -> model.Field:
    """
    A member, or a parameter.

    @param last: whether it is the last parameter, which may be a stream.
    """
    scope = values.scope
    type = resolve(scope, node.type, stream=last)
    annotations = check(
        values, node.annotations, "member" if member else "parameter", type
    )
    check_constraints(scope.faults, node.annotations, annotations)
    default = _default(values, node, type)
    if node.default is not None:
        check_default(scope.faults, node.default, type, default, annotations)
    name = node.name.text
    wire_name = wire(annotations, name) if member else name
    place = scope.place(node.name)
    return model.Field(name, wire_name, type, default, node.doc, annotations, place)


def _default(values: Values, node: tree.Field, type: model.Type) -> Any:
    if node.default is None:
        return None if type.optional else model.REQUIRED
    if type.name == "stream":
        values.scope.faults.add(node.default, "a stream has no default")
        return model.REQUIRED
    return values.read(node.default, type)


def wire(annotations: model.Annotations, name: str) -> str:
    """
    @return: the name on the wire.
    """
    if "name" not in annotations:
        return name
    given: str = annotations["name"].args["name"]
    return given


class Names:
    """
    The names in one body, of which none may occur twice or be reserved.

    @param noun: what they name, e.g. C{"member"}, or C{""}.
    @param reserved: the names of C{@reserved}, and where it stands.
    """

    def __init__(
        self,
        scope: Scope,
        noun: str,
        reserved: dict[str, model.Place] | None = None,
    ) -> None:
        self.scope = scope
        self.noun = noun
        self.reserved = reserved or {}
        self._names: dict[str, tree.Name] = {}
        self._wire: dict[str, tree.Name] = {}

    def add(self, node: tree.Name, python: str, *wire_names: str) -> bool:
        """
        Note a name; and a fault if it cannot be had.

        @param python: what it is called in Python.

        @return: whether it can.
        """
        check_name(self.scope, node)
        first = self._names.setdefault(python, node)
        if first is not node:
            self._refuse_twin(node, first, python)
            return False
        for other in (node.text, *wire_names):
            if other in self.reserved:
                hint = f"at {self.scope.near(self.reserved[other])}"
                self.scope.faults.add(node, f"'{other}' is reserved", hint)
                break
        for other in dict.fromkeys(wire_names):
            first = self._wire.setdefault(other, node)
            if first is not node:
                message = f"'{other}' is used twice on the wire"
                self.scope.faults.add(node, message, self._where(first))
        return True

    def _refuse_twin(self, node: tree.Name, first: tree.Name, python: str) -> None:
        name = node.text
        message = f"{self.noun} '{name}' is defined twice".lstrip()
        if first.text != name:
            message = f"'{first.text}' and '{name}' are both '{python}' in Python"
        self.scope.faults.add(node, message, self._where(first))

    def _where(self, first: tree.Name) -> str:
        line, column = self.scope.source.position(first.start)
        return f"first at {line}:{column}"


def check_name(scope: Scope, node: tree.Name) -> None:
    """
    Note a name that begins with C{_}, as the framework's own do.
    """
    if node.text.startswith("_"):
        scope.faults.add(node, f"'{node.text}' begins with '_'", "names never do")


def reserved_names(annotations: model.Annotations) -> dict[str, model.Place]:
    """
    @return: the names of C{@reserved}, and where it stands.
    """
    found = annotations.get("reserved")
    return {} if found is None else dict.fromkeys(found.args["names"], found.place)
