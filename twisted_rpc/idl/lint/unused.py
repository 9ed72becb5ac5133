# -*- test-case-name: tests.idl.test_lint -*-
"""
What nobody needs: C{unused-import}, C{unused-type} and C{empty-service}.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from twisted_rpc.idl import model
from twisted_rpc.idl.lint.subject import Remark, Subject, about, walk
from twisted_rpc.idl.semantics.meaning import import_alias
from twisted_rpc.idl.semantics.scope import kind_of
from twisted_rpc.idl.syntax import tree

#: A definition of any file, however often the file was read.
_Key = tuple[str, str]


def unused_import(subject: Subject) -> Iterator[Remark]:
    """
    An import of which nothing is used.
    """
    used = {
        text.partition(".")[0]
        for definition in subject.document.definitions
        if not isinstance(definition, tree.Import)
        for node in walk(definition)
        if "." in (text := _name(node))
    }
    for node in subject.document.definitions:
        if isinstance(node, tree.Import) and import_alias(node) not in used:
            alias = import_alias(node)
            yield about(node.path, f"nothing of the import '{alias}' is used")


def _name(node: tree.Node) -> str:
    """
    @return: the name that a node is, or uses; or C{""}.
    """
    if isinstance(node, tree.Name):
        return node.text
    if isinstance(node, tree.Type):
        return node.name
    return node.text if isinstance(node, tree.Value) and node.kind == "name" else ""


def unused_type(subject: Subject) -> Iterator[Remark]:
    """
    A type that no method needs, of this file or of those checked together.  A
    file without services is for others to import.
    """
    if not subject.file.services:
        return
    used: set[_Key] = set()
    for file in subject.others:
        for service in file.services.values():
            _reach(service, used)
    for node, meant in subject.definitions():
        if isinstance(meant, model.Enum | model.Struct | model.Union_) and not (
            _derives_from(meant, used)
        ):
            noun = kind_of(meant).partition(" ")[2]
            yield about(node.name, f"no method needs {noun} '{meant.name}'")


def _derives_from(meant: Any, used: set[_Key]) -> bool:
    """
    Whether it is used; or is an exception that may be raised for one that is.
    """
    while meant is not None:
        if _key(meant) in used:
            return True
        is_exception = isinstance(meant, model.Struct) and meant.is_exception
        meant = meant.base if is_exception else None
    return False


def _key(definition: Any) -> _Key:
    return os.path.realpath(definition.file.path), definition.name


def _reach(service: model.Service, used: set[_Key]) -> None:
    found: list[Any] = []
    for method in service.methods.values():
        found += method.throws
        for type_ in (method.result, *(each.type for each in method.params)):
            found += _in(type_)
    while found:
        definition = found.pop()
        if _key(definition) in used:
            continue
        used.add(_key(definition))
        if isinstance(definition, model.Union_):
            found += definition.structs
        elif isinstance(definition, model.Struct):
            found += [] if definition.base is None else [definition.base]
            for field in definition.fields:
                found += _in(field.type)


def _in(type_: model.Type) -> list[Any]:
    own = [] if type_.definition is None else [type_.definition]
    return own + [found for arg in type_.args for found in _in(arg)]


def empty_service(subject: Subject) -> Iterator[Remark]:
    """
    A service without methods.
    """
    for node, service in subject.services():
        if not service.methods:
            yield about(node.name, f"service '{service.name}' has no methods")
