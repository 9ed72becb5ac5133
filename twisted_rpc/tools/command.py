# -*- test-case-name: tests.tools.test_main -*-
"""
The command line of C{twisted-rpc}: its subcommands, and how each ends.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from twisted_rpc._version import __version__
from twisted_rpc.client import Client
from twisted_rpc.errors import IDLError, InvalidValue, RPCError
from twisted_rpc.quantities import duration
from twisted_rpc.tools.asking import MistakeError, call, describe, list_services

#: What a subcommand does: with a client, what was asked for, and where the
#: answer is printed.
Command = Callable[[Client, argparse.Namespace], Awaitable[str]]

_EXAMPLES = """\
examples:
  twisted-rpc list tcp:127.0.0.1:5000
  twisted-rpc describe tcp:127.0.0.1:5000 Calculator.add
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.add a=5 b=3
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.add 5 3
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.greet --json '["Ann"]'

ENDPOINT is a Twisted client endpoint: tcp:HOST:PORT, unix:PATH, tls:HOST:PORT.
The exit status is 0, or 1 if the call failed, or 2 if the command is wrong.
"""


def parser() -> argparse.ArgumentParser:
    """
    What the command line may say.
    """
    top = argparse.ArgumentParser(
        prog="twisted-rpc",
        description="Ask a server: what it serves, and to run something.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--version", action="version", version=f"twisted_rpc {__version__}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_call(
        _subparser(commands, "call", "call a method and print its result as JSON", call)
    )
    _subparser(commands, "list", "list the services of a server", list_services)
    described = _subparser(
        commands,
        "describe",
        "show the methods of services, with their documentation",
        describe,
    )
    described.add_argument(
        "name",
        nargs="?",
        metavar="SERVICE[.METHOD]",
        help="only this; everything if left out",
    )
    return top


def _subparser(
    commands: Any, name: str, text: str, command: Command
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("endpoint", metavar="ENDPOINT", help="where the server is")
    made.add_argument(
        "--timeout",
        type=_duration,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for the answer: 500ms, 30s, 2m (default: 10s)",
    )
    made.set_defaults(run=command)
    return made


def _add_call(made: argparse.ArgumentParser) -> None:
    made.add_argument("method", metavar="SERVICE.METHOD", help="what to call")
    made.add_argument(
        "arguments",
        nargs="*",
        metavar="ARGUMENT",
        help="NAME=VALUE, or values in order",
    )
    made.add_argument(
        "--json", metavar="TEXT", help="all arguments, as a JSON array or object"
    )
    made.add_argument(
        "--idl",
        metavar="FILE",
        help="read the service here, instead of asking the server",
    )
    made.add_argument(
        "--idl-path",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where imported IDL files are searched; repeatable",
    )


def _duration(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not seconds:
        raise argparse.ArgumentTypeError("it must be above 0")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run C{twisted-rpc}.

    @param argv: the words after the command's name; C{None}: those of this
        process.

    @return: the exit status.
    """
    args = parser().parse_args(argv)
    status: list[int] = []

    def run(reactor: Any) -> Deferred[None]:
        return ensureDeferred(_run(reactor, args, status))

    try:
        react(run)
    except SystemExit as ended:
        if ended.code:
            return 1
    return status[0] if status else 1


async def _run(reactor: Any, args: argparse.Namespace, status: list[int]) -> None:
    try:
        client = Client(args.endpoint, reactor=reactor, timeout=args.timeout, ping=0)
    except (ValueError, TypeError, KeyError) as error:
        _complain(
            f"{args.endpoint!r} is not an endpoint ({error}); write for example tcp:127.0.0.1:5000"
        )
        status.append(2)
        return
    async with client:
        status.append(await answer(client, args))


async def answer(client: Client, args: argparse.Namespace) -> int:
    """
    Do what was asked for, and print the answer, or one line that says why not.

    @return: the exit status.
    """
    try:
        text = await args.run(client, args)
    except RPCError as error:
        _complain(" ".join(str(error).split()))
        return 1
    except (MistakeError, IDLError, InvalidValue) as error:
        _complain(str(error))
        return 2
    sys.stdout.write(text + "\n")
    return 0


def _complain(text: str) -> None:
    sys.stderr.write(f"twisted-rpc: {text}\n")
