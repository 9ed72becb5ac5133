# -*- test-case-name: tests.idl.test_lint -*-
"""
What the rules look at: a file as it was written, beside what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from twisted_rpc.idl import model
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.parser import Parser
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import tokenize


@dataclass(frozen=True)
class Remark:
    """
    What a rule has to say of a place.

    @ivar start: an offset into the text.
    @ivar end: where the place has ended.
    @ivar message: what is not as it should be.
    @ivar hint: what to do, or C{""}.
    """

    start: int
    end: int
    message: str
    hint: str = ""


def about(node: tree.Node, message: str, hint: str = "") -> Remark:
    """
    @return: a remark on a node of the tree.
    """
    return Remark(node.start, node.end, message, hint)


class Subject:
    """
    A file without faults.

    @ivar file: what it means.
    @ivar others: the files that are looked at together, this one included.
    @ivar source: its text.
    @ivar tokens: what it is written with.
    @ivar comments: all of its comments.
    @ivar document: what was written.
    """

    def __init__(self, file: model.File, others: Sequence[model.File] = ()) -> None:
        self.file = file
        self.others = others or (file,)
        self.source = Source(file.path, file.text)
        self.tokens, self.comments = tokenize(self.source)
        self.document = Parser(self.source, self.tokens).document()

    def definitions(self) -> Iterator[tuple[Any, Any]]:
        """
        @return: each definition as it was written, and what it means.
        """
        for node in self.document.definitions:
            if not isinstance(node, tree.Namespace | tree.Import):
                yield node, self.file.definitions[node.name.text]

    def services(self) -> Iterator[tuple[tree.Service, model.Service]]:
        """
        @return: the same of services alone.
        """
        for node, meant in self.definitions():
            if isinstance(node, tree.Service):
                yield node, meant

    def methods(self) -> Iterator[tuple[tree.Method, model.Method]]:
        """
        @return: the same of the methods of all services.
        """
        for node, meant in self.services():
            yield from zip(node.methods, meant.own_methods, strict=True)

    def members(self) -> Iterator[tuple[tree.Field, model.Field, model.Struct]]:
        """
        @return: the same of the members of all structs and exceptions, and
            which they are members of.
        """
        for node, meant in self.definitions():
            if isinstance(node, tree.Struct):
                for written, field in zip(node.fields, meant.fields, strict=True):
                    yield written, field, meant

    def parameters(self) -> Iterator[tuple[tree.Field, model.Field]]:
        """
        @return: the same of the parameters of all methods.
        """
        for node, meant in self.methods():
            yield from zip(node.params, meant.params, strict=True)

    def values(self) -> Iterator[tuple[tree.EnumValue, model.EnumValue]]:
        """
        @return: the same of the values of all enums.
        """
        for node, meant in self.definitions():
            if isinstance(node, tree.Enum):
                yield from zip(node.values, meant.values, strict=True)

    def fields(self) -> Iterator[tuple[tree.Field, model.Field]]:
        """
        @return: the same of members and parameters.
        """
        for written, field, _ in self.members():
            yield written, field
        yield from self.parameters()

    def find(self, name: str) -> model.Definition | None:
        """
        @param name: C{"X"}, or C{"alias.X"}.
        @return: what it names, or C{None}.
        """
        alias, dot, rest = name.partition(".")
        if not dot:
            return self.file.definitions.get(name)
        imported = self.file.imports.get(alias)
        return None if imported is None else imported.definitions.get(rest)


Rule = Callable[[Subject], Iterator[Remark]]


def walk(node: Any) -> Iterator[tree.Node]:
    """
    @return: a node of the tree, or of a list, and all nodes below.
    """
    if isinstance(node, list):
        for item in node:
            yield from walk(item)
    elif isinstance(node, tree.Node):
        yield node
        for name in node.__struct_fields__:
            yield from walk(getattr(node, name))
