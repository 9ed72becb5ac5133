# -*- test-case-name: tests.services.test_calculator -*-
"""
Calls each method of the calculator and prints what it answers::

    python -m services.calculator.client [ENDPOINT]
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from twisted.internet.task import react

from twisted_rpc import Client, Code, RPCError, load_idl

idl = load_idl(Path(__file__).with_name("calculator.idl"))


async def show(call: str, answer: Awaitable[object]) -> None:
    """
    Print a call beside its answer, or beside the error it ended with.

    @raise RPCError: the server was not reached; the next calls will not be either.
    """
    try:
        print(f"{call} = {await answer!r}")
    except RPCError as error:
        if error.code is Code.UNAVAILABLE:
            raise
        print(f"{call} failed: {error}")


async def main(reactor: Any, endpoint: str = "tcp:127.0.0.1:5000") -> None:
    """
    Call the calculator at C{endpoint}.
    """
    try:
        client = Client(endpoint, reactor=reactor)
    except ValueError as error:
        sys.exit(f"{error}\nusage: python -m services.calculator.client [ENDPOINT]")
    async with client:
        calculator = client.proxy(idl.ICalculator)
        try:
            await show("add(5, 3)", calculator.add(5, 3))
            await show("subtract(a=5, b=3)", calculator.subtract(a=5, b=3))
            await show("multiply(5, b=3)", calculator.multiply(5, b=3))
            await show("divide(7, 2)", calculator.divide(7, 2))
            await show("divide(1, 0)", calculator.divide(1, 0))
            await show("greet('Ada')", calculator.greet("Ada"))
        except RPCError as error:
            sys.exit(f"{endpoint}: {error}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
