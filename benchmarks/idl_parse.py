"""
How long the IDL reader takes for a file of about 2,000 lines.

Run as C{python benchmarks/idl_parse.py [ROUNDS]}; prints the fastest of the
rounds, 20 by default, in milliseconds, by step.  The aim is 60 ms for all of
reading, and 200 ms is the limit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from twisted_rpc.idl.formatting.format import format_text
from twisted_rpc.idl.reader import digest, read_text
from twisted_rpc.idl.syntax.parser import parse
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import tokenize

SAMPLES = Path(__file__).parents[1] / "tests" / "idl" / "samples"
COPIES = 27


def big_text() -> str:
    """
    @return: the sample many times over, with other names in each copy.
    """
    bank = (SAMPLES / "bank.idl").read_text("utf-8")
    start = bank.index("const int32")
    head, body = bank[:start], bank[start:]
    names = (
        *("MAX_BATCH", "PATIENCE", "LIMITS", "Currency", "Money", "Card", "Iban"),
        *("Internal", "Target", "Node", "BankError", "InsufficientFunds"),
        *("NoSuchAccount", "Bank", "Calculator"),
    )
    copies: list[str] = []
    for number in range(COPIES):
        copy = body
        for name in names:
            for mark in " ;,>(?)":
                copy = copy.replace(f"{name}{mark}", f"{name}{number}{mark}")
        copies.append(format_text(copy))
    return head + "\n".join(copies)


def fastest(function: Callable[[], Any], rounds: int) -> float:
    """
    @return: the shortest of the rounds, in milliseconds.
    """
    times = []
    for _ in range(rounds):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return min(times) * 1000


def main() -> None:
    """
    Measure, and print a line a step.
    """
    rounds = int(sys.argv[1]) if sys.argv[1:] else 20
    text = big_text()
    path = str(SAMPLES / "big.idl")
    source = Source(path, text)
    file = read_text(text, path)
    count = len(tokenize(source)[0])
    print(f"{text.count(chr(10))} lines, {len(text)} characters, {count} tokens")
    steps: dict[str, Callable[[], Any]] = {
        "tokens": lambda: tokenize(source),
        "tree": lambda: parse(source),
        "meaning and all before": lambda: read_text(text, path),
        "digests": lambda: [digest(each) for each in file.services.values()],
        "format": lambda: format_text(text),
    }
    for name, step in steps.items():
        print(f"{fastest(step, rounds):8.1f} ms  {name}")


if __name__ == "__main__":
    main()
