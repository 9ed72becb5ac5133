# -*- test-case-name: tests.tools.test_generate -*-
"""
C{twisted-rpc generate}: makes something of an IDL file for others.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Final

from twisted_rpc.generation.json_schema import json_schema
from twisted_rpc.generation.markdown import markdown
from twisted_rpc.generation.openapi import openapi
from twisted_rpc.generation.python.module import (
    module_name,
    python_module,
    python_stub,
)
from twisted_rpc.idl import model
from twisted_rpc.idl.reader import read_file
from twisted_rpc.tools.files import STANDARD, add_files, add_idl_path, write
from twisted_rpc.tools.subcommand import FINE, FOUND, MistakeError, Subcommand

#: From what was read, where it is to be written, and what was asked for, to the
#: text.
Write = Callable[[model.File, str, argparse.Namespace], str]


def _python(file: model.File, target: str, args: argparse.Namespace) -> str:
    path = _from(target, file.path)
    if args.stub:
        return python_stub(file, path)
    return python_module(file, path, [_from(target, each) for each in args.idl_path])


def _from(target: str, path: str) -> str:
    """
    @return: the path from the folder of the target, as a module has it.
    """
    if target == STANDARD:
        return path
    folder = os.path.realpath(Path(target).parent)
    return Path(os.path.relpath(os.path.realpath(path), folder)).as_posix()


def _named(suffix: str) -> Callable[[str], str]:
    return lambda path: f"{PurePath(path).stem}.{suffix}"


#: What can be made, and how the file is called that it goes to.
_KINDS: Final[dict[str, tuple[Write, Callable[[str], str]]]] = {
    "python": (_python, lambda path: f"{module_name(path)}.py"),
    "json-schema": (lambda file, *_: json_schema(file), _named("schema.json")),
    "openapi": (lambda file, *_: openapi(file), _named("openapi.json")),
    "markdown": (lambda file, *_: markdown(file), _named("md")),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_files(parser, "IDL file")
    parser.add_argument(
        "--to",
        choices=list(_KINDS),
        default="python",
        help="python: a module for editors and type checkers (default); json-schema: "
        "of types, parameters and results; openapi: of the services over HTTP; "
        "markdown: reference pages",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE|FOLDER",
        help="where to write; - is standard output (default: beside the IDL file)",
    )
    parser.add_argument(
        "--stub",
        action="store_true",
        help="python: a .pyi beside a module of your own that loads the IDL",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; name what is missing or stale, with exit status 1",
    )
    add_idl_path(parser)


def generate(args: argparse.Namespace) -> int:
    """
    Make what was asked for of each file.

    @return: the exit status.
    """
    if args.stub and args.to != "python":
        raise MistakeError(f"--stub is for python, not for {args.to}")
    if args.check and args.output == STANDARD:
        raise MistakeError("--check compares with a file, and -o - names none")
    pairs = [(path, _target(path, args)) for path in args.files]
    targets = [target for _, target in pairs if target != STANDARD]
    if len(set(targets)) < len(targets):
        raise MistakeError("several IDL files would go to one file: -o FOLDER")
    return max(_generate(path, target, args) for path, target in pairs)


def _target(path: str, args: argparse.Namespace) -> str:
    name = _KINDS[args.to][1](path) + ("i" if args.stub else "")
    output: str | None = args.output
    if output is None:
        return str(Path(path).with_name(name))
    if output != STANDARD and Path(output).is_dir():
        return str(Path(output, name))
    if output != STANDARD and (output.endswith("/") or not PurePath(output).suffix):
        # A file called "app" is what nobody means by -o app.
        raise MistakeError(f"there is no folder {output}")
    return output


def _generate(path: str, target: str, args: argparse.Namespace) -> int:
    text = _KINDS[args.to][0](read_file(path, args.idl_path), target, args)
    if target == STANDARD:
        sys.stdout.write(text)
        return FINE
    current = _current(target) == text
    if args.check and not current:
        print(f"{target}: is not what {path} makes; generate it again")
        return FOUND
    if not args.check and not current:
        write(target, text)
        print(f"{target}: written")
    return FINE


def _current(target: str) -> str | None:
    """
    @return: what is in a file, or C{None} if there is no text to be had.
    """
    try:
        return Path(target).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


GENERATE: Final = Subcommand(
    name="generate",
    summary="make a typed Python module, schemas or reference pages of IDL files",
    add_arguments=_add_arguments,
    run=generate,
    details="""\
The module declares structs, enums, exceptions, constants, and for each service S
the interface IS, SClient, whose methods return Deferreds, SServer for
implementations, and S itself, which types client.proxy(S) and
registry.register(S, it).  At run time it loads the IDL file, so nothing gets old
but what editors and type checkers see: --check tells.

The files are called bank_idl.py, bank.schema.json, bank.openapi.json and bank.md.""",
    examples="""\
  twisted-rpc generate bank.idl
  twisted-rpc generate --check bank.idl
  twisted-rpc generate -o app/ idl/*.idl
  twisted-rpc generate --to openapi -o - bank.idl
""",
)
