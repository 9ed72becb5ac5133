# -*- test-case-name: tests.tools.test_storing -*-
"""
What the subcommands have in common that look into a store of calls.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from twisted_rpc.delivery.claims import Key, StoreError, Totals
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.quantities import shown_size
from twisted_rpc.stores import named_store
from twisted_rpc.tools.subcommand import FINE, MistakeError, Run, in_reactor

#: What is done with a store: the text that is printed.
Looking = Callable[[Any, argparse.Namespace], Awaitable[str]]

#: Rows that are shown at the very most.
MOST: Final = 1_000_000

#: Characters of a session's id that are shown: whoever knows it whole could ask
#: for its answers.
SHOWN: Final = 8


def add_store(parser: argparse.ArgumentParser) -> None:
    """
    The arguments that name the store, and how much of it is shown.
    """
    parser.add_argument(
        "store",
        metavar="STORE",
        help="as of twistd rpc --dedup: sqlite:PATH, postgresql://..., redis://...",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=50,
        metavar="N",
        help="rows that are shown at most (default: 50)",
    )


def looking(look: Looking) -> Run:
    """
    @return: a subcommand that opens the store, and prints what C{look} says.
    """

    async def main(reactor: Any, args: argparse.Namespace) -> int:
        if not 1 <= args.limit <= MOST:
            raise MistakeError(f"--limit must be from 1 to {MOST}")
        store = _named(args.store)
        try:
            await store.start(reactor)
            try:
                print(await look(store, args))
            finally:
                await store.stop()
        except StoreError as error:
            raise _told(error) from error
        return FINE

    return in_reactor(main)


def _named(text: str) -> Any:
    try:
        # Where there are no records, none are to be made by looking.
        store = named_store(text, create=False)
    except ValueError as error:
        raise _told(error) from error
    if isinstance(store, MemoryStore):
        raise MistakeError("the memory store is in its server, and nowhere else")
    return store


def _told(error: Exception) -> MistakeError:
    # It may quote what others have chosen.
    return MistakeError(clean(" ".join(str(error).split())))


def shown_id(key: Key) -> str:
    """
    The id of a call, as far as it may be shown.
    """
    if not key.seq:
        return key.name
    return f"{shown_session(key.holder)}:{key.seq}"


def shown_session(session: str) -> str:
    """
    The id of a session, as far as it may be shown.
    """
    return f"{session[:SHOWN]}..."


def shown_time(seconds: float) -> str:
    """
    A time span, as coarse as a person needs it: C{"42 s"}, C{"7 min"}.
    """
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def shown_totals(totals: Totals) -> str:
    """
    What is in a store, in two lines.
    """
    records = ", ".join(f"{count} {state}" for state, count in totals.records.items())
    size = shown_size(totals.size)
    return (
        f"{totals.sessions} sessions, {totals.attached} of them in use;"
        f" {totals.floors} principals without one; {size}\n"
        f"records: {records or 'none'}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> str:
    """
    Columns of text.

    @param total: how many rows there are, shown or not.
    """
    lines = [head, *rows] if rows else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(
            f"{clean(cell):{width}}" for cell, width in zip(row, widths, strict=True)
        )
        for row in lines
    ]
    if total > len(rows):
        shown.append(f"... and {total - len(rows)} more; see --limit")
    return "\n".join(line.rstrip() for line in shown)


def clean(text: str) -> str:
    """
    Ids and names come from callers, who may have put anything into them.
    """
    return "".join(it if it.isprintable() else "?" for it in text)
