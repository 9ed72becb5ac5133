# -*- test-case-name: tests.tools.test_format -*-
"""
The files that commands are given: how they are named, read and written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from twisted_rpc.idl.syntax.source import MAX_BYTES, decode, too_long
from twisted_rpc.tools.subcommand import MistakeError

#: How the standard input is called.
STANDARD: Final = "-"


def add_files(parser: argparse.ArgumentParser, help: str) -> None:
    """
    Let a command be given any number of IDL files.
    """
    parser.add_argument("files", nargs="+", metavar="FILE", help=help)


def add_idl_path(parser: argparse.ArgumentParser) -> None:
    """
    Let a command be told where imported files are.
    """
    parser.add_argument(
        "--idl-path",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where imported IDL files are searched, after the folder of the file "
        "that imports them; repeatable",
    )


def read(path: str) -> str:
    """
    @param path: of a file, or L{STANDARD}.
    @return: its text, ends of lines as they are.
    @raise MistakeError: it cannot be read.
    @raise IDLError: it is no text, or too long.
    """
    name = shown(path)
    try:
        if path == STANDARD:
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise MistakeError(f"{name}: cannot be read: {reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise too_long(name, len(data))
    return decode(name, data).text


def shown(path: str) -> str:
    """
    @return: what a file is called in messages.
    """
    return "<stdin>" if path == STANDARD else path


def write(path: str, text: str) -> None:
    """
    Replace what is in a file, wholly or not at all.

    @raise MistakeError: it cannot be written.
    """
    target = os.path.realpath(path)
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            newline="\n",
            dir=Path(target).parent,
            prefix=f".{Path(target).name}.",
            delete=False,
        ) as file:
            file.write(text)
        _replace(file.name, target)
    except OSError as error:
        raise MistakeError(f"{path}: cannot be written: {reason(error)}") from error


def _replace(written: str, target: str) -> None:
    try:
        if Path(target).exists():
            shutil.copymode(target, written)
        else:
            umask = os.umask(0)
            os.umask(umask)
            Path(written).chmod(0o666 & ~umask)
        Path(written).replace(target)
    except OSError:
        Path(written).unlink(missing_ok=True)
        raise


def reason(error: Exception) -> str:
    """
    @return: why something of the file system failed, in a few words.
    """
    return getattr(error, "strerror", None) or str(error)
