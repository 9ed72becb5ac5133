# -*- test-case-name: tests.idl.test_lint -*-
"""
C{deprecated-use}: what is not deprecated itself needs nothing that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted_rpc.idl import model
from twisted_rpc.idl.lint.subject import Remark, Subject, about
from twisted_rpc.idl.syntax import tree


def deprecated_use(subject: Subject) -> Iterator[Remark]:
    """
    Something deprecated, needed by what is not.
    """
    for node in _live(subject.document.definitions):
        if isinstance(node, tree.Type):
            yield from _used(subject, node, node.name)
        elif isinstance(node, tree.Value) and node.kind == "name":
            yield from _used(subject, node, node.text)
        else:
            for name in _named(node):
                yield from _used(subject, name, name.text)
    yield from _defaults(subject)


def _live(nodes: Any) -> Iterator[tree.Node]:
    """
    @return: all nodes but those of what is deprecated.
    """
    if isinstance(nodes, list):
        for node in nodes:
            yield from _live(node)
    elif isinstance(nodes, tree.Node) and not _is_deprecated(nodes):
        yield nodes
        for name in nodes.__struct_fields__:
            yield from _live(getattr(nodes, name))


def _is_deprecated(node: tree.Node) -> bool:
    return isinstance(node, tree.Definition) and any(
        each.name == "deprecated" for each in node.annotations
    )


def _named(node: tree.Node) -> list[tree.Name]:
    """
    @return: the names by which a definition needs others.
    """
    if isinstance(node, tree.Struct):
        return [] if node.base is None else [node.base]
    if isinstance(node, tree.Union):
        return node.structs
    if isinstance(node, tree.Method):
        return node.throws
    return node.bases if isinstance(node, tree.Service) else []


def _used(subject: Subject, node: tree.Node, name: str) -> Iterator[Remark]:
    found = subject.find(name)
    if found is not None and "deprecated" in found.annotations:
        yield _remark(node, name, found.annotations["deprecated"])


def _remark(node: tree.Node, name: str, annotation: model.Annotation) -> Remark:
    reason, since = (annotation.args.get(key) for key in ("reason", "since"))
    when = f" since {since}" if since else ""
    return about(node, f"'{name}' is deprecated{when}", reason or "")


def _defaults(subject: Subject) -> Iterator[Remark]:
    """
    Values of enums, which are found by the type of what they are the default of.
    """
    live = {id(node) for node in _live(subject.document.definitions)}
    typed: list[tuple[tree.Value | None, model.Type, tree.Node]] = [
        (node.default, field.type, node) for node, field in subject.fields()
    ]
    typed += [
        (node.value, meant.type, node)
        for node, meant in subject.definitions()
        if isinstance(node, tree.Const)
    ]
    for value, type_, node in typed:
        if value is not None and id(node) in live:
            yield from _values(value, type_)


def _values(value: tree.Value, type_: model.Type) -> Iterator[Remark]:
    definition = type_.definition
    if isinstance(definition, model.Enum) and value.kind == "name":
        name = value.text.rpartition(".")[2]
        for each in definition.values:
            if each.name == name and "deprecated" in each.annotations:
                yield _remark(value, value.text, each.annotations["deprecated"])
    for index, item in enumerate(value.items if type_.args else ()):
        of = index % 2 if type_.name == "map" else 0
        yield from _values(item, type_.args[of])
