# -*- test-case-name: tests.idl.test_meaning -*-
"""
From the tree of a file to what it means, with everything wrong said at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from twisted_rpc.idl import model
from twisted_rpc.idl.names import python_name
from twisted_rpc.idl.semantics.annotations import check
from twisted_rpc.idl.semantics.bases import BaseMembers, check_base, set_base
from twisted_rpc.idl.semantics.building import check_buildable
from twisted_rpc.idl.semantics.constraints import check_constant
from twisted_rpc.idl.semantics.datatypes import (
    annotate_enum,
    check_tags,
    fill_enum,
    fill_struct,
    fill_union,
    type_const,
)
from twisted_rpc.idl.semantics.inheritance import Inheritance
from twisted_rpc.idl.semantics.members import Names
from twisted_rpc.idl.semantics.scope import Scope
from twisted_rpc.idl.semantics.services import fill_service
from twisted_rpc.idl.semantics.usage import UNKNOWN
from twisted_rpc.idl.semantics.values import Values
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.words import RESERVED

_Meant = TypeVar("_Meant")
_Written = TypeVar("_Written", bound=tree.Node)


def understand(
    source: Source, document: tree.Document, imports: Mapping[str, model.File | None]
) -> model.File:
    """
    @param imports: by alias; C{None} for a file that could not be read.

    @raise IDLError: with every fault, in the order of the text.
    """
    scope = Scope(source, imports)
    _Meaning(scope, document).fill()
    scope.faults.raise_any()
    return scope.file


class _Meaning:
    """
    The passes over a document.

    Every definition exists first, empty; then types are resolved, then values
    read, then what needs all of a definition is checked.
    """

    def __init__(self, scope: Scope, document: tree.Document) -> None:
        self.scope = scope
        self.values = Values(scope)
        self._pairs: list[tuple[Any, Any]] = []
        self._names = Names(scope, "")
        self._first: dict[str, tree.Name] = {}
        for index, node in enumerate(document.definitions):
            self._declare(node, index)
        self._check_derived()

    def _of(
        self, meant: type[_Meant], written: type[_Written]
    ) -> list[tuple[_Meant, _Written]]:
        return [pair for pair in self._pairs if type(pair[1]) is written]

    def fill(self) -> None:
        """
        Fill in all definitions.
        """
        values, scope = self.values, self.scope
        enums = self._of(model.Enum, tree.Enum)
        consts = self._of(model.Const, tree.Const)
        services = self._of(model.Service, tree.Service)
        for enum, enum_node in enums:
            fill_enum(values, enum, enum_node)
        for const, const_node in consts:
            type_const(values, const, const_node)
        for const, const_node in consts:
            values.finish(const)
            check_constant(scope.faults, const_node.value, const.type, const.value)
            const.annotations = check(values, const_node.annotations, "constant")
        for enum, enum_node in enums:
            annotate_enum(values, enum, enum_node)
        self._fill_structs()
        for service, service_node in services:
            fill_service(values, service, service_node)
        Inheritance(scope, services).join()
        self._check_wire_names(services)

    def _fill_structs(self) -> None:
        values, scope = self.values, self.scope
        structs = self._of(model.Struct, tree.Struct)
        for struct, node in structs:
            set_base(scope, struct, node)
        for struct, node in structs:
            check_base(scope, struct, node)
        for struct, node in structs:
            fill_struct(values, struct, node)
        members = BaseMembers(scope)
        for struct, node in structs:
            members.check(struct, node)
        unions = self._of(model.Union_, tree.Union)
        for union, union_node in unions:
            fill_union(values, union, union_node)
        check_tags(scope, structs, unions)
        check_buildable(scope, structs)

    def _declare(self, node: tree.AnyDefinition, index: int) -> None:
        if isinstance(node, tree.Namespace):
            self._namespace(node, index)
            return
        name = node.name
        if isinstance(node, tree.Import):
            check(self.values, node.annotations, "import")
            name = tree.Name(name.start, name.end, import_alias(node))
            self._names.add(name, python_name(name.text))
        else:
            meant = self._shell(node)
            self._pairs.append((meant, node))
            if self._names.add(name, python_name(name.text)):
                self.scope.file.definitions[name.text] = meant
        self._first.setdefault(name.text, name)

    def _namespace(self, node: tree.Namespace, index: int) -> None:
        file = self.scope.file
        if index:
            message = "the namespace comes first, and only once"
            self.scope.faults.add(node.name, message)
        file.namespace = node.name.text
        file.doc = node.doc
        file.annotations = check(self.values, node.annotations, "namespace")

    def _shell(self, node: tree.AnyDefinition) -> model.Definition:
        name, doc, file = node.name.text, node.doc, self.scope.file
        place = self.scope.place(node.name)
        if isinstance(node, tree.Service):
            return model.Service(name, name, [], [], {}, doc, {}, place, file)
        if isinstance(node, tree.Const):
            return model.Const(name, model.Type(UNKNOWN), None, doc, {}, place)
        if name in RESERVED:
            message = f"'{name}' is a word of the language"
            hint = "choose another name for the type"
            self.scope.faults.add(node.name, message, hint)
        if isinstance(node, tree.Enum):
            return model.Enum(name, name, [], False, doc, {}, place, file)
        if isinstance(node, tree.Union):
            return model.Union_(name, [], doc, {}, place, file)
        if not isinstance(node, tree.Struct):
            raise TypeError(type(node))
        exception = node.word == "exception"
        return model.Struct(name, name, None, [], exception, "", doc, {}, place, file)

    def _check_derived(self) -> None:
        """
        Whether a name is also that of a class made of a service.
        """
        for service, _ in self._of(model.Service, tree.Service):
            name = service.name
            for derived in (f"I{name}", f"{name}Client", f"{name}Server"):
                node = self._first.get(derived)
                if node is not None:
                    message = f"'{derived}' is also made from service '{name}'"
                    hint = f"'{name}' is at {self.scope.near(service.place)}"
                    self.scope.faults.add(node, message, hint)

    def _check_wire_names(
        self, services: list[tuple[model.Service, tree.Service]]
    ) -> None:
        first: dict[str, model.Service] = {}
        for service, node in services:
            if self.scope.file.definitions.get(service.name) is not service:
                continue  # a second one of that name, which was told of
            aliases = service.annotations.get("aliases")
            others = () if aliases is None else aliases.args["names"]
            for name in dict.fromkeys((service.wire_name, *others)):
                other = first.setdefault(name, service)
                if other is not service:
                    hint = f"first at {self.scope.near(other.place)}"
                    message = f"'{name}' is used twice on the wire"
                    self.scope.faults.add(node.name, message, hint)


def import_alias(node: tree.Import) -> str:
    """
    @return: the name by which an imported file is known: the one given, else
        the file's without its ending.
    """
    if node.alias:
        return node.name.text
    last = node.path.text.rpartition("/")[2]
    return last.partition(".")[0]
