# -*- test-case-name: tests.idl.test_meaning -*-
"""
Defaults, constants and arguments of annotations as JSON values of their type.
"""

from __future__ import annotations

from typing import Any, Final

from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.constants import (
    BUDGET,
    Budget,
    as_number,
    is_number,
    same_type,
)
from twisted_rpc.idl.semantics.scalars import Misfit, from_number, from_string
from twisted_rpc.idl.semantics.scope import Scope, kind_of
from twisted_rpc.idl.semantics.usage import UNKNOWN
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import MAX_DEPTH
from twisted_rpc.idl.syntax.literals import read_number
from twisted_rpc.idl.syntax.words import did_you_mean

#: What L{Values.read} gives where there is a fault, which it has noted.
INVALID: Final[Any] = type("Invalid", (), {"__repr__": lambda self: "INVALID"})()

_INT64: Final = model.Type("int64")
_WORDS: Final = {"true": True, "false": False, "null": None}
_OTHER_WORDS: Final = {"none": "null", "nil": "null", "undefined": "null"}


class Values:
    """
    Reads values; those of constants when they are first asked for, since they
    may stand in any order.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._pending: dict[int, tree.Const] = {}
        self._open: list[model.Const] = []
        self._budget = Budget()

    def announce(self, const: model.Const, node: tree.Const) -> None:
        """
        Make a constant known that is read later.
        """
        self._pending[id(const)] = node

    def finish(self, const: model.Const) -> None:
        """
        Read the value of a constant, if that was not done yet.
        """
        node = self._pending.pop(id(const), None)
        if node is None:
            return
        self._open.append(const)
        const.value = self.read(node.value, const.type)
        self._open.pop()

    def read(self, node: tree.Value, type: model.Type) -> Any:
        """
        @return: the JSON value, or L{INVALID}.
        """
        if type.name == UNKNOWN:
            return INVALID
        if node.kind == "name":
            return self._name(node, type)
        if node.kind == "list" and type.name in ("list", "set", "any"):
            return self._list(node, type)
        if node.kind == "map" and type.name in ("map", "any"):
            return self._map(node, type)
        if type.definition is not None or node.kind in ("list", "map"):
            return self._misfit(node, type)
        return self._scalar(node, type)

    def _scalar(self, node: tree.Value, type: model.Type) -> Any:
        try:
            if node.kind == "number":
                return from_number(read_number(node.text), type.name)
            return from_string(node.text, type.name)
        except Misfit as misfit:
            if not misfit.message:
                return self._misfit(node, type, misfit.hint)
            self.scope.faults.add(node, misfit.message, misfit.hint)
            return INVALID

    def _misfit(self, node: tree.Value, type: model.Type, hint: str = "") -> Any:
        definition = type.definition
        if isinstance(definition, model.Struct | model.Union_):
            message = f"a value of type '{type}' can only be null"
            hint = "" if type.optional else f"write '{type}?' and null"
        else:
            message = f"expected a value of type '{type}', found {_described(node)}"
        if isinstance(definition, model.Enum) and node.kind == "string":
            wires = {value.wire_value: value.name for value in definition.values}
            name = wires.get(node.text)
            hint = f"write {name}, without quotes" if name else hint
        self.scope.faults.add(node, message, hint)
        return INVALID

    def _list(self, node: tree.Value, type: model.Type) -> Any:
        element = type if type.name == "any" else type.args[0]
        if type.name == "set":
            element = _as_key(element)
        values = [self.read(item, element) for item in node.items]
        if any(value is INVALID for value in values):
            return INVALID
        if type.name == "set":
            seen: set[Any] = set()
            for item, value in zip(node.items, values, strict=True):
                if value in seen:
                    self.scope.faults.add(item, "this element is repeated in a set")
                    return INVALID
                seen.add(value)
        return values

    def _map(self, node: tree.Value, type: model.Type) -> Any:
        if type.name == "any":
            key_type, value_type = model.Type("string"), type
        else:
            key_type, value_type = _as_key(type.args[0]), type.args[1]
        found: dict[str, Any] = {}
        valid = True
        for at, item in zip(node.items[::2], node.items[1::2], strict=True):
            key, value = self.read(at, key_type), self.read(item, value_type)
            if key is INVALID or value is INVALID:
                valid = False
                continue
            if str(key) in found:
                self.scope.faults.add(at, "this key is repeated in a map")
                valid = False
            found[str(key)] = value
        return found if valid else INVALID

    def _name(self, node: tree.Value, type: model.Type) -> Any:
        name = node.text
        if isinstance(type.definition, model.Enum):
            for value in type.definition.values:
                if value.name == name:
                    return value.wire_value
        const = self.scope.find(name)
        if isinstance(const, model.Const):
            return self._constant(node, const, type)
        if name in _WORDS:
            return self._word(node, type)
        if "." in name:
            owner, _, last = name.rpartition(".")
            enum = self.scope.find(owner)
            if isinstance(enum, model.Enum):
                return self._enum_value(node, enum, last, type)
        if self.scope.is_lost(name):
            return INVALID
        return self._unknown(node, const, type)

    def _word(self, node: tree.Value, type: model.Type) -> Any:
        value = _WORDS[node.text]
        if type.name == "any" or (value is None and type.optional):
            return value
        if value is not None and type.name == "bool":
            return value
        hint = f"only '{type}?' can be null" if value is None else ""
        return self._misfit(node, type, hint)

    def _enum_value(
        self, node: tree.Value, enum: model.Enum, name: str, type: model.Type
    ) -> Any:
        known = {value.name: value.wire_value for value in enum.values}
        if type.definition is not enum and type.name != "any":
            return self._misfit(node, type)
        if name not in known:
            self.scope.faults.add(
                node,
                f"'{name}' is not a value of '{enum.name}'",
                lambda: did_you_mean(name, known),
            )
            return INVALID
        return known[name]

    def _unknown(
        self, node: tree.Value, found: model.Definition | None, type: model.Type
    ) -> Any:
        name = node.text
        faults = self.scope.faults
        if found is not None:
            faults.add(node, f"'{name}' is {kind_of(found)}, not a value")
        elif isinstance(type.definition, model.Enum):
            known = [value.name for value in type.definition.values]
            message = f"'{name}' is not a value of '{type.definition.name}'"
            faults.add(node, message, lambda: did_you_mean(name, known))
        else:
            faults.add(node, f"unknown constant '{name}'", lambda: self._hint(name))
        return INVALID

    def _hint(self, name: str) -> str:
        other = _OTHER_WORDS.get(name.lower())
        if other:
            return f"did you mean '{other}'?"
        return did_you_mean(name, [*_WORDS, *self.scope.known(name, model.Const)])

    def _constant(self, node: tree.Value, const: model.Const, type: model.Type) -> Any:
        if const in self._open or len(self._open) >= MAX_DEPTH:
            names = [*(each.name for each in self._open), const.name]
            message = f"constants refer to others at most {MAX_DEPTH} deep"
            if const in self._open:
                message = f"constant '{const.name}' needs its own value"
                names = names[self._open.index(const) :]
            self.scope.faults.add(node, message, " -> ".join(names))
            return INVALID
        self.finish(const)
        if const.value is INVALID or UNKNOWN in (type.name, const.type.name):
            return INVALID
        if not self._budget.allows(const.value):
            message = f"the constants used in this file amount to more than {BUDGET}"
            self.scope.faults.add(node, message)
            return INVALID
        if type.name == "any" or (const.value is None and type.optional):
            return const.value
        if const.value is not None and same_type(const.type, type):
            return const.value
        if const.value is not None and is_number(const.type) and is_number(type):
            return self.read(as_number(node, const.value), type)
        wanted = f"expected a value of type '{type}'"
        message = f"{wanted}, found the constant '{node.text}' of '{const.type}'"
        self.scope.faults.add(node, message)
        return INVALID


def _as_key(type: model.Type) -> model.Type:
    """
    @return: the type of a key or element: integers there have 64 bits.
    """
    return _INT64 if type.name == "int" else type


def _described(node: tree.Value) -> str:
    if node.kind in ("list", "map"):
        return f"a {node.kind}"
    text = node.text if len(node.text) <= 40 else node.text[:37] + "..."
    return f'the string "{text}"' if node.kind == "string" else text
