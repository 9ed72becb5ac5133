# -*- test-case-name: tests.idl.test_build -*-
"""
From a file that was read to a module of Python types.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted_rpc.idl.codecs.codec import Codecs
from twisted_rpc.idl.codecs.types import Types
from twisted_rpc.idl.model import Const, Enum, File, Service, Struct, Union_
from twisted_rpc.idl.names import python_name
from twisted_rpc.idl.python.classes import StructBuilder, build_enum
from twisted_rpc.idl.python.defaults import default_factory
from twisted_rpc.idl.python.interfaces import (
    build_class,
    build_interface,
    class_bases,
)
from twisted_rpc.idl.python.schema import ServiceSchema


@dataclass(frozen=True, slots=True)
class Declarations:
    """
    What a file says, besides its Python types.

    @ivar files: the file and all that it imports, as they were named.
    @ivar model: the declarations, with their places.
    @ivar services: the services of this file, by name.
    """

    files: tuple[str, ...]
    model: File
    services: Mapping[str, ServiceSchema]

    @property
    def digests(self) -> dict[str, str]:
        """The digests of the services, by name."""
        return {name: each.digest for name, each in self.services.items()}


class Schema(ModuleType):
    """
    The types of a file: C{bank.Money}, C{bank.IBank}, C{bank.MAX_BATCH}.

    C{bank.Bank} is the L{ServiceSchema} of a service; files that are imported
    are attributes by their alias.
    """

    __idl__: Declarations

    def __getitem__(self, name: str) -> Any:
        """
        @raise KeyError: if the file declares no such thing.
        """
        try:
            return self.__dict__[name]
        except KeyError:
            raise KeyError(self._unknown(name)) from None

    def __getattr__(self, name: str) -> Any:
        """
        Only called for what is not there.
        """
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise AttributeError(self._unknown(name))

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - 2 ms, for who mistypes

        near = get_close_matches(
            name, [each for each in self.__dict__ if each[0] != "_"], 1
        )
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{self.__idl__.model.path} declares no {name!r}{hint}"

    def __repr__(self) -> str:
        return f"<IDL {self.__name__!r} from {self.__idl__.model.path!r}>"


def build(file: File, module: str | None = None) -> Schema:
    """
    @param module: what the module is called; it is then importable, and its
        values can be pickled.
    """
    return _Building(file, module).run()


class _Building:
    """
    The building of a file and of all that it imports.

    @ivar modules: a module for each file, by the C{id} of the file.
    """

    def __init__(self, file: File, module: str | None) -> None:
        self.file = file
        self.importable = module is not None
        self.types = Types()
        self.codecs = Codecs(self.types)
        self.files: list[File] = []
        self.modules: dict[int, Schema] = {}
        self._interfaces: dict[int, Any] = {}
        self._add(file, module or _module_name(file))

    def _add(self, file: File, name: str) -> None:
        if id(file) in self.modules:
            return
        self.modules[id(file)] = Schema(name, file.doc or None)
        for alias, imported in file.imports.items():
            inner = f"{name}.{alias}" if self.importable else _module_name(imported)
            self._add(imported, inner)
        self.files.append(file)

    def run(self) -> Schema:
        """
        Enums first, then structs, which may hold each other, then services.
        """
        self._build_types()
        for file in self.files:
            self._fill(file, self.modules[id(file)])
        if self.importable:
            for module in self.modules.values():
                _make_importable(module)
        return self.modules[id(self.file)]

    def _build_types(self) -> None:
        structs = StructBuilder(self.types, lambda struct: self._name(struct.file))
        for file in self.files:
            for definition in file.definitions.values():
                if isinstance(definition, Enum):
                    built = build_enum(definition, self._name(file))
                    self.types.classes[id(definition)] = built
        for file in self.files:
            for definition in file.definitions.values():
                if isinstance(definition, Struct):
                    structs.build(definition)
        structs.finish()

    def _name(self, file: File) -> str:
        return self.modules[id(file)].__name__

    def _fill(self, file: File, module: Schema) -> None:
        services: dict[str, ServiceSchema] = {}
        module.__idl__ = Declarations(
            tuple(each.path for each in self.files), file, services
        )
        for alias, imported in file.imports.items():
            setattr(module, python_name(alias), self.modules[id(imported)])
        for name, definition in file.definitions.items():
            if isinstance(definition, Service):
                services[name] = self._service(definition, module)
                setattr(module, python_name(name), services[name])
            else:
                setattr(module, python_name(name), self._value(definition))

    def _value(self, definition: Const | Enum | Struct | Union_) -> Any:
        if isinstance(definition, Const):
            annotation = self.types.annotation(definition.type, definition.annotations)
            return default_factory(definition.value, annotation)()
        if isinstance(definition, Union_):
            return self.types.union(definition)
        if isinstance(definition, Struct) and definition.is_exception:
            return self.types.exceptions[id(definition)]
        return self.types.class_of(definition)

    def _service(self, definition: Service, module: Schema) -> ServiceSchema:
        schema = ServiceSchema(definition, self.codecs)
        name, module_name = definition.name, module.__name__
        interfaces = [self._interface(base) for base in definition.bases]
        schema.interface = build_interface(schema, interfaces, module_name)
        self._interfaces[id(definition)] = schema.interface
        setattr(module, f"I{name}", schema.interface)
        for suffix, doc in (
            ("Server", f"An implementation of {name}; optional as a base class."),
            ("Client", f"A proxy of {name}."),
        ):
            bases = [
                getattr(self.modules[id(each.file)], each.name + suffix)
                for each in class_bases(definition)
            ]
            built = build_class(schema, suffix, doc, module_name, bases)
            setattr(module, name + suffix, built)
        schema.client_class = getattr(module, f"{name}Client")
        return schema

    def _interface(self, base: Service) -> Any:
        """
        @return: the interface of a base, which may stand further down.
        """
        if id(base) not in self._interfaces:
            module = self.modules[id(base.file)]
            services = module.__idl__.services
            built = self._service(base, module)
            assert isinstance(services, dict)
            services[base.name] = built
            setattr(module, python_name(base.name), built)
        return self._interfaces[id(base)]


def _module_name(file: File) -> str:
    return file.namespace or Path(file.path).stem or "idl"


def _make_importable(module: Schema) -> None:
    """
    Put a module where C{import} finds it; a generated file that is being
    imported is replaced, and leaves what the import system knows of it.
    """
    name = module.__name__
    before = sys.modules.get(name)
    for attribute in (
        "__spec__",
        "__file__",
        "__loader__",
        "__package__",
        "__cached__",
    ):
        if hasattr(before, attribute):
            setattr(module, attribute, getattr(before, attribute))
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent in sys.modules and not isinstance(sys.modules[parent], Schema):
        setattr(sys.modules[parent], last, module)
