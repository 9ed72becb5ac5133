"""
What is measured, and on which cores.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from benchmarks.load import Load

#: The core of the server and of the client; C{None}: wherever there is room.
Cores = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Case:
    """
    A way to call.

    @ivar name: what the command line calls it.
    @ivar title: what a table calls it.
    @ivar method: C{"add"}, C{"echo"} or C{"store"}.
    @ivar size: characters of C{echo}'s string.
    @ivar connections: of the client.
    @ivar in_flight: calls that wait at a time on each connection.
    @ivar quick: it is in the short version too.
    """

    name: str
    title: str
    method: str = "add"
    size: int = 0
    connections: int = 1
    in_flight: int = 1
    quick: bool = False

    def load(self, warm: float, seconds: float) -> Load:
        """
        The case as a client gets it.
        """
        return Load(
            self.method, self.size, self.connections, self.in_flight, warm, seconds
        )


CASES: Final[dict[str, Case]] = {
    case.name: case
    for case in (
        Case("sequential", "`add`, one call at a time", quick=True),
        Case("pipelined", "`add`, 64 in flight", in_flight=64, quick=True),
        Case("connections", "`add`, 50 connections", connections=50, quick=True),
        Case("string-100", "string of 100 B, 64 in flight", "echo", 100, in_flight=64),
        Case(
            "string-10k", "string of 10 kB, 64 in flight", "echo", 10_000, in_flight=64
        ),
        Case("string-1M", "string of 1 MB, one call at a time", "echo", 1_000_000),
        Case("struct", "struct of eight members, 64 in flight", "store", in_flight=64),
    )
}


def placements() -> dict[str, Cores]:
    """
    @return: the cores by the name of the placement: C{"one"}, both ends on one
        core; C{"two"}, a core each, if there are two; C{"free"} alone where
        processes cannot be pinned.
    """
    if not hasattr(os, "sched_setaffinity"):
        return {"free": (None, None)}
    cores = sorted(os.sched_getaffinity(0))
    # The last ones: the first serves most interrupts.
    found: dict[str, Cores] = {"one": (cores[-1], cores[-1])}
    if len(cores) > 1:
        found["two"] = (cores[-1], cores[-2])
    return found
