# -*- test-case-name: tests.tools.test_asking -*-
"""
Questions to a server: what C{call}, C{list} and C{describe} have in common.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Iterable
from difflib import get_close_matches
from typing import Any

from twisted_rpc.client import Client
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl import MethodSchema, ServiceSchema, load_idl_text
from twisted_rpc.quantities import duration
from twisted_rpc.tools.subcommand import (
    FINE,
    TOLD,
    MistakeError,
    Run,
    failure,
    in_reactor,
)

#: Asks a server, and gives what is to be printed.
Question = Callable[[Client, argparse.Namespace], Awaitable[str]]


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """
    Let a command be told whom to ask, and for how long.
    """
    parser.add_argument(
        "endpoint",
        metavar="ENDPOINT",
        help="where the server is, a Twisted client endpoint: "
        "tcp:HOST:PORT, unix:PATH, tls:HOST:PORT",
    )
    add_timeout(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """
    Let a command be told how long to wait.
    """
    parser.add_argument(
        "--timeout",
        type=_duration,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for the answer: 500ms, 30s, 2m (default: 10s)",
    )


def _duration(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not seconds:
        raise argparse.ArgumentTypeError("it must be above 0")
    return seconds


def asking(question: Question) -> Run:
    """
    @return: connects, asks, and prints the answer.
    """

    async def main(reactor: Any, args: argparse.Namespace) -> int:
        async with _client(reactor, args) as client:
            return await answer(client, question, args)

    return in_reactor(main)


def _client(reactor: Any, args: argparse.Namespace) -> Client:
    try:
        return Client(args.endpoint, reactor=reactor, timeout=args.timeout, ping=0)
    except ValueError as error:
        raise MistakeError(str(error)) from error


async def answer(client: Client, question: Question, args: argparse.Namespace) -> int:
    """
    Ask, and print the answer, or one line that says why there is none.

    @return: the exit status.
    """
    try:
        text = await question(client, args)
    except RPCError as error:
        unreached = error.code is Code.UNAVAILABLE and not error.remote
        return failure(error, f"{client.peer}: " if unreached else "")
    except TOLD as error:
        return failure(error)
    sys.stdout.write(text + "\n")
    return FINE


async def services_of(client: Client) -> dict[str, str]:
    """
    @return: the digests of what the server serves, by name.
    """
    found: dict[str, str] = (await client.reflect())["services"]
    return found


async def reflected(client: Client, name: str) -> ServiceSchema:
    """
    @return: the service as the server tells it.
    """
    try:
        told = await client.reflect(name)
    except RPCError as error:
        if error.code is Code.NOT_FOUND:
            known = await services_of(client)
            raise MistakeError(
                f"the server has no service {name!r}{hint(name, known)}"
            ) from error
        raise
    schema = load_idl_text(told["idl"], name=f"<{name}>")
    by_wire_name = {each.wire_name: each for each in schema.__idl__.services.values()}
    service: ServiceSchema = by_wire_name[name]
    return service


def method_of(service: ServiceSchema, name: str) -> MethodSchema:
    """
    @raise MistakeError: there is none of that name; the text has a hint.
    """
    found = service.by_name.get(name) or service.methods.get(name)
    if found is None:
        raise MistakeError(
            f"{service.wire_name} has no method {name!r}{hint(name, service.by_name)}"
        )
    return found


def hint(name: str, known: Iterable[str]) -> str:
    """
    @return: what may be meant, as the end of a sentence.
    """
    names = list(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(sorted(names))}" if names else ""
