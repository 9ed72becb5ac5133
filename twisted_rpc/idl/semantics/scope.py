# -*- test-case-name: tests.idl.test_meaning -*-
"""
What the names in one file stand for, and what was found wrong in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted_rpc.errors import Fault, IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.source import Source

#: Hints that cost time to find are found for so many faults; fewer are shown.
_HINTED = 50


class Faults:
    """
    Everything wrong with one file.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found: list[tuple[int, Fault]] = []

    def add(
        self,
        node: tree.Node,
        message: str,
        hint: str | Callable[[], str] = "",
        length: int | None = None,
    ) -> None:
        """
        Note a fault.

        @param node: where it is.
        @param hint: or what finds the hint, if that takes long.
        @param length: how much of the node, if not all of it.
        """
        if not isinstance(hint, str):
            hint = hint() if len(self._found) < _HINTED else ""
        end = node.end if length is None else node.start + length
        fault = self.source.fault(node.start, end, message, hint)
        self._found.append((node.start, fault))

    def raise_any(self) -> None:
        """
        @raise IDLError: there are any; in the order of the text.
        """
        if self._found:
            self._found.sort(key=lambda entry: entry[0])
            raise IDLError([fault for _, fault in self._found])


class Scope:
    """
    @ivar file: what is being made of the document; its definitions are there
        from the beginning, and filled one after another.
    @ivar imports: by alias; C{None} for a file that could not be read, about
        which enough was said.
    """

    def __init__(
        self, source: Source, imports: Mapping[str, model.File | None]
    ) -> None:
        self.source = source
        self.faults = Faults(source)
        self.imports = imports
        found = {alias: file for alias, file in imports.items() if file is not None}
        self.file = model.File(source.path, source.text, "", found, {})

    def place(self, node: tree.Node) -> model.Place:
        """
        @return: where a node stands.
        """
        return self.source.place(node.start, node.end)

    def find(self, name: str) -> model.Definition | None:
        """
        @param name: C{"X"}, or C{"alias.X"}.

        @return: what it names, or C{None}.
        """
        if "." not in name:
            return self.file.definitions.get(name)
        alias, _, rest = name.partition(".")
        file = self.imports.get(alias)
        return file.definitions.get(rest) if file is not None else None

    def is_lost(self, name: str) -> bool:
        """
        Whether nothing can be said about a name, because its file could not be
        read.
        """
        alias = name.partition(".")[0]
        return alias in self.imports and self.imports[alias] is None

    def known(self, name: str, *kinds: type[model.Definition]) -> list[str]:
        """
        @return: every name of a kind that could stand where C{name} does.
        """
        alias, dot, _ = name.partition(".")
        file = self.imports.get(alias) if dot else self.file
        found = {} if file is None else file.definitions
        names = [f"{alias}.{key}" if dot else key for key in _of(found, kinds)]
        if not dot:
            for other, imported in self.file.imports.items():
                names += [f"{other}.{key}" for key in _of(imported.definitions, kinds)]
        return names

    def near(self, place: model.Place) -> str:
        """
        @return: an earlier place for a hint, without the path if it is here.
        """
        here = place.path == self.source.path
        return f"{place.line}:{place.column}" if here else str(place)


def _of(
    definitions: Mapping[str, model.Definition], kinds: tuple[type, ...]
) -> list[str]:
    return [key for key, it in definitions.items() if isinstance(it, kinds)]


def kind_of(definition: model.Definition) -> str:
    """
    @return: what it is, with its article.
    """
    if isinstance(definition, model.Struct):
        return "an exception" if definition.is_exception else "a struct"
    return _KINDS[type(definition)]


_KINDS: dict[type, str] = {
    model.Const: "a constant",
    model.Enum: "an enum",
    model.Union_: "a union",
    model.Service: "a service",
}
