# -*- test-case-name: tests.idl.test_meaning -*-
"""
Files and the files they import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from twisted_rpc.errors import Fault, IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.meaning import import_alias, understand
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import MAX_DEPTH
from twisted_rpc.idl.syntax.parser import parse
from twisted_rpc.idl.syntax.source import MAX_BYTES, Source, decode, too_long

_ALIAS_HINT = 'write import "%s" as name'


class Library:
    """
    Reads files, each once.

    @ivar include: directories to look for imported files in, after that of the
        importing file.
    """

    def __init__(self, include: Sequence[str]) -> None:
        self.include = include
        #: By real path; C{None} for a file with faults, which are told once.
        self._files: dict[str, model.File | None] = {}
        self._open: list[tuple[str, str]] = []

    def load(self, path: str) -> model.File:
        """
        @raise IDLError: the file, or one that it imports, has faults.
        """
        source = _read(path)
        self._open.append((os.path.realpath(path), path))
        try:
            return self.understand(source)
        finally:
            self._open.pop()

    def understand(self, source: Source) -> model.File:
        """
        @raise IDLError: the text, or a file that it imports, has faults; those
            of imported files come first.
        """
        document = parse(source)
        faults: list[Fault] = []
        imports: dict[str, model.File | None] = {}
        for node in document.definitions:
            if isinstance(node, tree.Import):
                file = self._imported(source, node, faults)
                imports.setdefault(import_alias(node), file)
        try:
            file = understand(source, document, imports)
        except IDLError as error:
            raise IDLError(_in_order(source, [*faults, *error.faults])) from error
        if faults:
            raise IDLError(_in_order(source, faults))
        return file

    def _imported(
        self, source: Source, node: tree.Import, faults: list[Fault]
    ) -> model.File | None:
        """
        @return: the file, or C{None} if C{faults} tell why not.
        """

        def refuse(message: str, hint: str = "") -> None:
            at = node.path
            faults.append(source.fault(at.start, at.end, message, hint))

        if not import_alias(node).isidentifier() or not import_alias(node).isascii():
            message = f"'{import_alias(node)}' cannot be the name of an import"
            refuse(message, _ALIAS_HINT % node.path.text)
        path = self._find(source.path, node.path.text)
        if not path:
            looked = ", ".join(self._directories(source.path))
            refuse(f"there is no file '{node.path.text}'", f"looked in {looked}")
            return None
        real = os.path.realpath(path)
        if real in self._files:
            return self._files[real]
        opened = [each for each, _ in self._open]
        if real in opened:
            circle = [name for _, name in self._open[opened.index(real) :]]
            refuse("files import each other", " -> ".join([*circle, circle[0]]))
            return None
        if len(self._open) >= MAX_DEPTH:
            refuse(f"files import others at most {MAX_DEPTH} deep")
            return None
        try:
            self._files[real] = self.load(path)
        except IDLError as error:
            self._files[real] = None
            faults.extend(error.faults)
        return self._files[real]

    def _directories(self, path: str) -> list[str]:
        return [str(Path(path).parent), *self.include]

    def _find(self, importing: str, path: str) -> str:
        """
        @return: the first file of that name, or C{""}.
        """
        if "\0" in path:
            return ""
        for directory in self._directories(importing):
            found = Path(directory, path)
            if found.is_file():
                return str(found)
        return ""


def _in_order(source: Source, faults: list[Fault]) -> list[Fault]:
    """
    @return: the faults of imported files first, then this file's in the order
        of the text.
    """
    return [
        *(fault for fault in faults if fault.path != source.path),
        *sorted(
            (fault for fault in faults if fault.path == source.path),
            key=lambda fault: (fault.line, fault.column),
        ),
    ]


def _read(path: str) -> Source:
    """
    @raise IDLError: there is no such file, or it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            # One more than is allowed tells that there are too many.
            data = file.read(MAX_BYTES + 1)
            size = max(len(data), os.fstat(file.fileno()).st_size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IDLError([Fault(path, 1, 1, 1, f"cannot be read: {reason}")]) from error
    if size > MAX_BYTES:
        raise too_long(path, size)
    return decode(path, data)
