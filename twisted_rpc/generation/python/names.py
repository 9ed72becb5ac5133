# -*- test-case-name: tests.generation.test_python -*-
"""
What things are called in a generated module, where the IDL may have any name for
a member: C{date date}, C{list list(string int)}.

A name that a class has hides the same name outside.  A hidden name of Python is
used with a C{_} before, which no name of an IDL begins with, and one of the IDL
with a C{_} on each side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from twisted_rpc.idl import model
from twisted_rpc.idl.names import (
    enum_value_name,
    exception_attribute,
    python_name,
)

_BUILTINS: Final = "builtins"


class Names:
    """
    The names of one module.

    @ivar files: the file and all that it imports, those first which others need.
    """

    def __init__(self, file: model.File) -> None:
        self._paths: dict[int, tuple[str, ...]] = {id(file): ()}
        self.files: list[model.File] = []
        self._place(file)
        self._hiding = set(_names_in_classes(self.files))
        self._declared = {name for each in self.files for name in _names_of(each)}
        self._imports: dict[str, dict[str, str]] = {}
        self._aliases: dict[str, str] = {}

    def _place(self, file: model.File) -> None:
        """
        Say where each file's names are: the first alias on the way counts.
        """
        for alias, imported in file.imports.items():
            if id(imported) not in self._paths:
                inner = (*self._paths[id(file)], python_name(alias))
                self._paths[id(imported)] = inner
                self._place(imported)
        self.files.append(file)

    def path(self, file: model.File) -> tuple[str, ...]:
        """
        @return: the aliases that lead to a file; none for the main one.
        """
        return self._paths[id(file)]

    def imported(self, module: str, name: str) -> str:
        """
        @return: what C{name} of a Python module is called here.
        """
        hidden = name in self._hiding or name in self._declared
        local = f"_{name}" if hidden else name
        if module != _BUILTINS or hidden:
            self._imports.setdefault(module, {})[name] = local
        return local

    def builtin(self, name: str) -> str:
        """
        @return: what a name that Python knows without an import is called here.
        """
        return self.imported(_BUILTINS, name)

    def imports(self) -> Iterator[str]:
        """
        @return: the lines that import what was asked for.
        """
        for module, names in sorted(self._imports.items()):
            told = [
                name if name == local else f"{name} as {local}"
                for name, local in sorted(names.items())
            ]
            yield f"from {module} import {', '.join(told)}"

    def used(self, definition: Any, suffix: str = "", prefix: str = "") -> str:
        """
        @return: the name of a definition in an annotation.
        """
        first, *rest = (*self.path(definition.file), _name(definition, suffix, prefix))
        whole = ".".join([first, *rest])
        if first not in self._hiding:
            return whole
        alias = f"_{'_'.join([first, *rest])}_"
        self._aliases[alias] = whole
        return alias

    def near(
        self, definition: Any, file: model.File, suffix: str = "", prefix: str = ""
    ) -> str:
        """
        @param file: the file that it is used in.
        @return: the name of a definition where it is needed at once: as a base,
            or in a value.  An outer class does not have its name yet.
        """
        path, here = self.path(definition.file), self.path(file)
        common = len(here) if path[: len(here)] == here else 0
        return ".".join([*path[common:], _name(definition, suffix, prefix)])

    def aliases(self) -> Iterator[tuple[str, str]]:
        """
        @return: names with C{_}, and what they stand for.
        """
        yield from sorted(self._aliases.items())


def _name(definition: Any, suffix: str, prefix: str) -> str:
    if prefix or suffix:
        return f"{prefix}{definition.name}{suffix}"
    return python_name(definition.name)


def _names_of(file: model.File) -> Iterator[str]:
    """
    @return: the names that a file declares, those made of services too.
    """
    for alias in file.imports:
        yield python_name(alias)
    for name in file.definitions:
        yield python_name(name)
        yield f"I{name}"
        yield f"{name}Client"
        yield f"{name}Server"


def _names_in_classes(files: Iterable[model.File]) -> Iterator[str]:
    """
    @return: the names that classes have: members, methods and values.
    """
    for file in files:
        for definition in file.definitions.values():
            if isinstance(definition, model.Enum):
                yield from (enum_value_name(each.name) for each in definition.values)
            elif isinstance(definition, model.Struct):
                rename = exception_attribute if definition.is_exception else _member
                yield from map(rename, definition.fields)
            elif isinstance(definition, model.Service):
                yield from map(_member, definition.own_methods)


def _member(named: Any) -> str:
    return python_name(named.name)
