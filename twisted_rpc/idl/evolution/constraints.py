# -*- test-case-name: tests.idl.test_evolution -*-
"""
C{@length}, C{@range} and C{@pattern}, tightened or loosened.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from twisted_rpc.idl.codecs.facts import uuid_limit
from twisted_rpc.idl.codecs.types import pattern_of
from twisted_rpc.idl.evolution.changes import Journal, Use, Verdict
from twisted_rpc.idl.model import Annotations, Place, Type

Typed = tuple[Type, Annotations]


def compare_constraints(
    journal: Journal, use: Use, what: str, old: Typed, new: Typed
) -> None:
    """
    Note how the constraints of something have changed.

    @param what: what has them, C{"parameter 'id' of 'Bank.balance'"}.
    """
    words = journal.words
    for name, before, after, tighter, looser in _changed(old, new):
        journal.judge(
            use,
            (
                Verdict.WIRE if tighter else None,
                Verdict.WIRE if looser else None,
            ),
            (_place(old, name), _place(new, name)),
            f"@{name} of {what} {words.became(before, after)}",
            (
                f"{words.servers} refuse what {words.clients} may send",
                f"{words.clients} refuse what {words.servers} may send",
            ),
        )


def _place(typed: Typed, name: str) -> Place | None:
    annotation = typed[1].get(name)
    return typed[0].place if annotation is None else annotation.place


def _changed(old: Typed, new: Typed) -> Iterator[tuple[str, str, str, bool, bool]]:
    """
    @return: for each that changed its name, both as texts, and whether less and
        whether more is allowed.
    """
    for name in ("length", "range"):
        before, after = _bounds(old, name), _bounds(new, name)
        tighter = _above(after[0], before[0]) or _below(after[1], before[1])
        looser = _above(before[0], after[0]) or _below(before[1], after[1])
        if tighter or looser:
            yield name, _written(before), _written(after), tighter, looser
    one, other = _pattern(old), _pattern(new)
    if one != other:
        # Of two patterns nobody can say which matches more.
        yield "pattern", one or "none", other or "none", bool(other), bool(one)


Bounds = tuple[Any, Any]


def _bounds(typed: Typed, name: str) -> Bounds:
    type_, annotations = typed
    found = annotations.get(name)
    args = {} if found is None else found.args
    low, high = (_number(args.get(it)) for it in ("min", "max"))
    if name == "length":
        if type_.name in {"set", "map"} and type_.args[0].name == "uuid":
            high = uuid_limit(annotations)
        low = low or None
    return low, high


def _number(bound: Any) -> Any:
    return Decimal(str(bound)) if isinstance(bound, str | float) else bound


def _above(one: Any, other: Any) -> bool:
    return one is not None and (other is None or one > other)


def _below(one: Any, other: Any) -> bool:
    return one is not None and (other is None or one < other)


def _written(bounds: Bounds) -> str:
    low, high = bounds
    if low is None and high is None:
        return "none"
    return f"{'' if low is None else low}..{'' if high is None else high}"


def _pattern(typed: Typed) -> str:
    return pattern_of(typed[1]) if "pattern" in typed[1] else ""
