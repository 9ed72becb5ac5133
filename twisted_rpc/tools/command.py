# -*- test-case-name: tests.tools.test_command -*-
"""
The command line of C{twisted-rpc}: the table of its subcommands.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from twisted_rpc._version import __version__
from twisted_rpc.printing import to_whoever_reads
from twisted_rpc.tools.commands.breaking import BREAKING
from twisted_rpc.tools.commands.call import CALL
from twisted_rpc.tools.commands.check import CHECK
from twisted_rpc.tools.commands.describe import DESCRIBE
from twisted_rpc.tools.commands.digest import DIGEST
from twisted_rpc.tools.commands.format import FORMAT
from twisted_rpc.tools.commands.generate import GENERATE
from twisted_rpc.tools.commands.list import LIST
from twisted_rpc.tools.commands.records import RECORDS
from twisted_rpc.tools.commands.sessions import SESSIONS
from twisted_rpc.tools.subcommand import FOUND, TOLD, failure

#: In the order in which C{--help} lists them.
COMMANDS: Final = (
    CALL,
    LIST,
    DESCRIBE,
    CHECK,
    FORMAT,
    DIGEST,
    GENERATE,
    BREAKING,
    SESSIONS,
    RECORDS,
)

_EXAMPLES = """\
examples:
  twisted-rpc list tcp:127.0.0.1:5000
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.add a=5 b=3

twisted-rpc COMMAND --help says more.  The exit status is 0, or 1 if a call failed
or something was found, or 2 if the command is wrong.
"""


def parser() -> argparse.ArgumentParser:
    """
    What the command line may say.
    """
    top = argparse.ArgumentParser(
        prog="twisted-rpc",
        description="Ask a server, and work on IDL files.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--version", action="version", version=f"twisted_rpc {__version__}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run C{twisted-rpc}.

    @param argv: the words after the command's name; C{None}: those of this
        process.

    @return: the exit status.
    """
    status: int = FOUND
    with to_whoever_reads():
        args = parser().parse_args(argv)
        try:
            status = args.run(args)
        except TOLD as error:
            status = failure(error)
    return status
