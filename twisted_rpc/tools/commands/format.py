# -*- test-case-name: tests.tools.test_format -*-
"""
C{twisted-rpc format}: gives IDL files the one layout.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from twisted_rpc.idl.formatting.format import format_text
from twisted_rpc.tools.files import STANDARD, add_files, read, shown, write
from twisted_rpc.tools.subcommand import FINE, FOUND, TOLD, Subcommand, failure


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_files(parser, "IDL file to rewrite; - is standard input, to standard output")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; name the files that would change, with exit status 1",
    )


def format_files(args: argparse.Namespace) -> int:
    """
    Format each file; one that cannot be read does not keep the others back.

    @return: the exit status, that of the worst.
    """
    return max(_format(path, check=args.check) for path in args.files)


def _format(path: str, *, check: bool) -> int:
    try:
        text = read(path)
        formatted = format_text(text, shown(path))
        if check:
            return _would_change(path, changed=formatted != text)
        if path == STANDARD:
            sys.stdout.write(formatted)
        elif formatted != text:
            write(path, formatted)
            print(f"{path}: formatted")
    except TOLD as error:
        return failure(error)
    return FINE


def _would_change(path: str, *, changed: bool) -> int:
    if changed:
        print(f"{shown(path)}: would be formatted")
    return FOUND if changed else FINE


FORMAT: Final = Subcommand(
    name="format",
    summary="give IDL files the one layout, in place",
    add_arguments=_add_arguments,
    run=format_files,
    details="""\
Four spaces, one member a line, ';' after members and methods; comments stay
where they are.  Formatting again changes nothing, and no digest changes.  What
the files mean is not asked, so imported files need not be there.""",
    examples="""\
  twisted-rpc format bank.idl common.idl
  twisted-rpc format --check *.idl
  twisted-rpc format - <bank.idl
""",
)
