"""
What a proof is: a name, what it measures, and how that is done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True, kw_only=True)
class Figure:
    """
    What was measured for a row of the scorecard (delivery.md, section 10).

    @ivar row: its number.
    @ivar measured: in words and figures.
    @ivar met: whether the target is.
    """

    row: int
    measured: str
    met: bool


class Progress:
    """
    Says how far a proof has come: on a terminal in one line that changes,
    elsewhere in a line every few seconds.
    """

    def __init__(
        self, name: str, out: TextIO = sys.stderr, every: float = 10.0
    ) -> None:
        self._name = name
        self._out = out
        self._every = 0.2 if out.isatty() else every
        self._last = time.monotonic()

    def __call__(self, text: str, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._last >= self._every:
            self._last = now
            end = "\n" if always or not self._out.isatty() else ""
            start = "\r\x1b[K" if self._out.isatty() else ""
            self._out.write(f"{start}{self._name}: {text}{end}")
            self._out.flush()


@dataclass(frozen=True, kw_only=True)
class Proof:
    """
    A proof that can be run by its name.

    @ivar name: as in C{python -m tests.proofs NAME}.
    @ivar what: what is shown, in a sentence.
    @ivar rows: of the scorecard.
    @ivar run: does it; raises C{AssertionError} with what is wrong.
    @ivar options: adds arguments to the command.
    """

    name: str
    what: str
    rows: Sequence[int]
    run: Callable[[Any, Progress], list[Figure]]
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
