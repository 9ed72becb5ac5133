# -*- test-case-name: tests.idl.test_meaning -*-
"""
Reading IDL: from a path or a text to a checked L{model.File}.

The way: L{tokens<twisted_rpc.idl.syntax.tokens>}, L{tree<twisted_rpc.idl.syntax.parser>},
L{meaning<twisted_rpc.idl.semantics.meaning>}.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from twisted_rpc.errors import IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.digest import digest
from twisted_rpc.idl.imports import Files, Library
from twisted_rpc.idl.syntax.source import MAX_BYTES, Source, too_long

__all__ = ["digest", "read_file", "read_text"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_file(
    path: str | os.PathLike[str],
    include: Sequence[str | os.PathLike[str]] = (),
    files: Files | None = None,
) -> model.File:
    """
    Read a file and those it imports.

    @param include: directories to look for imported files in, after that of the
        importing file.
    @param files: where the files are; C{None}: on this machine.

    @raise IDLError: there are faults; all of them, those of imported files
        first, each file's in the order of its text.
    """
    return _library(include, files).load(os.fspath(path))


def read_text(
    text: str, path: str = "<text>", include: Sequence[str | os.PathLike[str]] = ()
) -> model.File:
    """
    Read a text as if it were in a file called C{path}.

    @raise IDLError: as L{read_file}.
    """
    source = Source(path, text)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise too_long(path, size)
    half = _SURROGATE.search(source.text)
    if half is not None:
        message = "half of a surrogate pair is no character"
        raise IDLError([source.fault(half.start(), half.end(), message)])
    return _library(include).understand(source)


def _library(
    include: Sequence[str | os.PathLike[str]], files: Files | None = None
) -> Library:
    folders = [os.fspath(directory) for directory in include]
    return Library(folders) if files is None else Library(folders, files)
