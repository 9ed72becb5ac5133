"""
Whether what concurrent clients saw can be explained by their calls taking effect
one after the other, each at a moment between its beginning and its end.

@see: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), and Lowe,
    "Testing for linearizability" (2017), whose memory of what was tried this has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True)
class Operation:
    """
    One call, as its caller saw it.

    @ivar begun: when.
    @ivar ended: when; infinity, if what became of it is not known: it may take
        effect at any time, or never.
    @ivar what: what was asked.
    @ivar result: what was answered, if anything.
    """

    begun: float
    ended: float
    what: Any
    result: Any = None

    @property
    def known(self) -> bool:
        """Whether it has been answered."""
        return self.ended != inf


#: From a state and what is asked to the next state and the answer.
Model = Callable[[Any, Any], tuple[Any, Any]]


def linearizable(operations: Sequence[Operation], model: Model, initial: Any) -> bool:
    """
    @param model: what the object does when it is asked one thing at a time; its
        states are hashable.
    """
    ordered = sorted(operations, key=lambda each: each.begun)
    must = sum(1 << n for n, each in enumerate(ordered) if each.known)
    by_end = sorted(range(len(ordered)), key=lambda n: ordered[n].ended)
    tried: set[tuple[int, Any]] = set()
    waiting = [(0, initial)]
    while waiting:
        done, state = waiting.pop()
        if (done, state) in tried:
            continue
        tried.add((done, state))
        if done & must == must:
            return True
        # What begins after something open has ended cannot come before it.
        first_end = next(ordered[n].ended for n in by_end if not done >> n & 1)
        for number, each in enumerate(ordered):
            if each.begun > first_end:
                break
            if done >> number & 1:
                continue
            after, answer = model(state, each.what)
            if not each.known or answer == each.result:
                waiting.append((done | 1 << number, after))
    return False


def count(state: int, what: tuple[str, int]) -> tuple[int, int]:
    """
    A number that is added to (C{"add"}) and read.
    """
    kind, by = what
    after = state + by if kind == "add" else state
    return after, after
