# -*- test-case-name: tests.idl.test_meaning -*-
"""
Types where they are used: what they name, and whether they may stand there.
"""

from __future__ import annotations

from typing import Final

from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.scope import Scope, kind_of
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.words import (
    GENERICS,
    KEYS,
    SCALARS,
    did_you_mean,
    type_hint,
)

#: The name of a type about which a fault was found; nothing more is said of it.
UNKNOWN: Final = "unknown"

_STREAM = "a stream can only be the whole result or the last parameter of a method"
_KEY_HINT = f"use {', '.join(KEYS)} or an enum"


def resolve(
    scope: Scope, use: tree.Type, *, void: bool = False, stream: bool = False
) -> model.Type:
    """
    @param void: whether C{void} may stand here.
    @param stream: whether C{stream<T>} may stand here.

    @return: what the type is; called L{UNKNOWN} if that cannot be said.
    """
    name = use.name
    if name in GENERICS:
        return _generic(scope, use, stream=stream)
    if name in SCALARS:
        return _scalar(scope, use, void=void)
    definition = _definition(scope, use)
    if definition is None:
        return model.Type(UNKNOWN, place=_place(scope, use))
    if use.args:
        _fault(scope, use, f"'{name}' takes no types between '<' and '>'")
    return model.Type("", (), use.optional, definition, _place(scope, use))


def _place(scope: Scope, use: tree.Type) -> model.Place:
    return scope.source.place(use.start, use.end)


def _fault(scope: Scope, use: tree.Type, message: str, hint: str = "") -> None:
    scope.faults.add(use, message, hint, len(use.name))


def _scalar(scope: Scope, use: tree.Type, *, void: bool) -> model.Type:
    if use.args:
        _fault(scope, use, f"'{use.name}' takes no types between '<' and '>'")
    if use.name == "void" and not void:
        _fault(scope, use, "'void' can only be the result of a method")
        return model.Type(UNKNOWN, place=_place(scope, use))
    if use.name == "void" and use.optional:
        _fault(scope, use, "'void' cannot be optional")
    return model.Type(use.name, (), use.optional, None, _place(scope, use))


def _generic(scope: Scope, use: tree.Type, *, stream: bool) -> model.Type:
    name = use.name
    spelling, count = GENERICS[name]
    if name == "stream" and not stream:
        _fault(scope, use, _STREAM)
        return model.Type(UNKNOWN, place=_place(scope, use))
    if name == "stream" and use.optional:
        _fault(scope, use, "a stream cannot be optional")
    args = tuple(resolve(scope, arg) for arg in use.args)
    if name == "list" and not args:
        args = (model.Type("any"),)
    elif len(args) != count:
        _fault(scope, use, f"'{name}' needs its types", f"write {spelling}")
        return model.Type(UNKNOWN, place=_place(scope, use))
    if name in ("map", "set"):
        _check_key(scope, use, args[0])
    return model.Type(name, args, use.optional, None, _place(scope, use))


def _check_key(scope: Scope, use: tree.Type, key: model.Type) -> None:
    if key.name == UNKNOWN:
        return
    allowed = key.name in KEYS or isinstance(key.definition, model.Enum)
    if not allowed or key.optional:
        role = "the key of a map" if use.name == "map" else "an element of a set"
        scope.faults.add(use.args[0], f"'{key}' cannot be {role}", _KEY_HINT)


def _definition(
    scope: Scope, use: tree.Type
) -> model.Enum | model.Struct | model.Union_ | None:
    found = scope.find(use.name)
    if found is None:
        if not scope.is_lost(use.name):
            _unknown(scope, use)
        return None
    if isinstance(found, model.Struct) and found.is_exception:
        message = f"'{use.name}' is an exception, which cannot be a type here"
        _fault(scope, use, message, "exceptions are listed after 'throws'")
        return None
    if isinstance(found, model.Const | model.Service):
        _fault(scope, use, f"'{use.name}' is {kind_of(found)}, not a type")
        return None
    return found


def _unknown(scope: Scope, use: tree.Type) -> None:
    def hint() -> str:
        if use.name == "oneway":
            return "write 'oneway void'"
        known = scope.known(use.name, model.Enum, model.Struct, model.Union_)
        if "." in use.name:
            return did_you_mean(use.name, known)
        return type_hint(use.name, known)

    scope.faults.add(use, f"unknown type '{use.name}'", hint, len(use.name))
