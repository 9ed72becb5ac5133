# -*- test-case-name: tests.idl.test_meaning -*-
"""
Files and the files they import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from twisted_rpc.errors import Fault, IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.meaning import import_alias, understand
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import MAX_DEPTH
from twisted_rpc.idl.syntax.parser import parse
from twisted_rpc.idl.syntax.source import MAX_BYTES, Source, decode, too_long

_ALIAS_HINT = 'write import "%s" as name'


class Files(Protocol):
    """
    Where files are; their paths are texts, whatever they say.
    """

    def read(self, path: str) -> bytes:
        """
        @return: what is in a file.

        @raise OSError: it cannot be read.

        @raise IDLError: it is too long.
        """

    def real(self, path: str) -> str:
        """
        @return: the same text for each path of one file.
        """

    def folder(self, path: str) -> str:
        """
        @return: the folder that a file is in.
        """

    def find(self, folder: str, path: str) -> str:
        """
        @return: the path of a file below a folder, or C{""} if there is none.
        """


class Disk:
    """
    The files of this machine.
    """

    def read(self, path: str) -> bytes:
        """
        @return: what is in a file.
        """
        with Path(path).open("rb") as file:
            # One more than is allowed tells that there are too many.
            data = file.read(MAX_BYTES + 1)
            size = max(len(data), os.fstat(file.fileno()).st_size)
        if size > MAX_BYTES:
            raise too_long(path, size)
        return data

    def real(self, path: str) -> str:
        """
        @return: the path without links.
        """
        return os.path.realpath(path)

    def folder(self, path: str) -> str:
        """
        @return: the folder that a file is in.
        """
        return str(Path(path).parent)

    def find(self, folder: str, path: str) -> str:
        """
        @return: the path of a file below a folder, or C{""} if there is none.
        """
        found = Path(folder, path)
        return str(found) if found.is_file() else ""


_DISK: Final = Disk()


class Library:
    """
    Reads files, each once.

    @ivar include: directories to look for imported files in, after that of the
        importing file.
    @ivar files: where the files are.
    """

    def __init__(self, include: Sequence[str], files: Files = _DISK) -> None:
        self.include = include
        self.files = files
        #: By real path; C{None} for a file with faults, which are told once.
        self._files: dict[str, model.File | None] = {}
        self._open: list[tuple[str, str]] = []

    def load(self, path: str) -> model.File:
        """
        @raise IDLError: the file, or one that it imports, has faults.
        """
        source = self._read(path)
        self._open.append((self.files.real(path), path))
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
        real = self.files.real(path)
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
        return [self.files.folder(path), *self.include]

    def _find(self, importing: str, path: str) -> str:
        """
        @return: the first file of that name, or C{""}.
        """
        if "\0" in path:
            return ""
        for directory in self._directories(importing):
            found = self.files.find(directory, path)
            if found:
                return found
        return ""

    def _read(self, path: str) -> Source:
        """
        @raise IDLError: there is no such file, or it cannot be read.
        """
        try:
            data = self.files.read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"cannot be read: {reason}"
            raise IDLError([Fault(path, 1, 1, 1, message)]) from error
        return decode(path, data)


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
