# -*- test-case-name: tests.tools.test_command -*-
"""
What a subcommand of C{twisted-rpc} is, and how it ends.

Each stands in a file of L{twisted_rpc.tools.commands}; the table in
L{twisted_rpc.tools.command} lists them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from twisted_rpc.errors import IDLError, InvalidValue, RPCError
from twisted_rpc.printing import to_whoever_reads

#: Does what was asked for, and gives the exit status.
Run = Callable[[argparse.Namespace], int]

#: The exit statuses: fine; something was found, or a call failed; what was asked
#: cannot be done as it was asked.
FINE: Final = 0
FOUND: Final = 1
WRONG: Final = 2


@dataclass(frozen=True)
class Subcommand:
    """
    One command.

    @ivar name: how it is called.
    @ivar summary: what it does, in a line that begins small and has no stop.
    @ivar add_arguments: tells a parser what it takes.
    @ivar run: does it; may raise what L{failure} knows.
    @ivar details: what more its C{--help} says.
    @ivar examples: command lines.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Run
    details: str = ""
    examples: str = ""

    def add_to(self, commands: Any) -> None:
        """
        Add it to the subparsers of a parser.
        """
        sentence = self.summary[0].upper() + self.summary[1:] + "."
        parser = commands.add_parser(
            self.name,
            help=self.summary,
            description="\n\n".join(filter(None, [sentence, self.details.strip()])),
            epilog=self.examples and "examples:\n" + self.examples.rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_arguments(parser)
        parser.set_defaults(run=self.run)


class MistakeError(Exception):
    """
    What was written on the command line cannot be meant; the text says why.
    """


#: What a subcommand may raise: everything else is a fault of the program.
TOLD: Final = (RPCError, MistakeError, IDLError, InvalidValue)


def failure(error: Exception, where: str = "") -> int:
    """
    Say on the standard error why something was not done.

    @param error: one of L{TOLD}.
    @param where: what comes before a call's error.
    @return: the exit status.
    """
    if isinstance(error, RPCError):
        complain(where + " ".join(str(error).split()))
        return FOUND
    complain(str(error))
    return WRONG


def complain(text: str) -> None:
    """
    Say something on the standard error.
    """
    sys.stderr.write(f"twisted-rpc: {text}\n")


def in_reactor(main: Callable[[Any, argparse.Namespace], Any]) -> Run:
    """
    @param main: a coroutine function that takes the reactor and what was asked
        for, and gives the exit status.
    @return: runs it.
    """

    def run(args: argparse.Namespace) -> int:
        status: list[int] = []

        async def until_done(reactor: Any) -> None:
            with to_whoever_reads():
                try:
                    status.append(await main(reactor, args))
                except TOLD as error:
                    status.append(failure(error))

        def start(reactor: Any) -> Deferred[None]:
            return ensureDeferred(until_done(reactor))

        try:
            react(start)
        except SystemExit as ended:
            if ended.code:
                return FOUND
        return status[0] if status else FOUND

    return run
