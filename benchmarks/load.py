"""
What a client does in one measurement, and what it found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter, process_time
from typing import Any, Final, Protocol, cast

#: Calls of the first batch on each lane.  Each later one is twice as large, until
#: the warm-up has lasted long enough to tell how many calls fill the window.
FIRST_BATCH: Final = 4

#: The eight members of the struct, two of them lists.
ORDER: Final[dict[str, Any]] = {
    "number": 4_711_001,
    "customer": "Ada Lovelace",
    "note": "leave it with the neighbour, please",
    "total": 1234.5,
    "paid": True,
    "placed": 1_760_000_000,
    "articles": ["kettle", "tea, green", "tea, black", "cup"],
    "quantities": [1, 3, 2, 4],
}


@dataclass(frozen=True, slots=True)
class Load:
    """
    One case, and how long to measure it.

    @ivar method: C{"add"}, C{"echo"} or C{"store"}.
    @ivar size: characters of the string that C{echo} sends; 0 for the others.
    @ivar connections: how many connections the client opens.
    @ivar in_flight: calls that wait at a time on each connection.
    @ivar warm: seconds of calls before the window, at least.
    @ivar seconds: how long the window lasts, about.
    """

    method: str
    size: int
    connections: int
    in_flight: int
    warm: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    What the client saw in the window.

    @ivar calls: how many were made and answered.
    @ivar seconds: from the first call to the last answer.
    @ivar cpu: seconds of CPU of this process, user and system.
    """

    calls: int
    seconds: float
    cpu: float

    def as_message(self) -> dict[str, Any]:
        """The measurement as JSON values."""
        return asdict(self)


class Unsupported(Exception):
    """
    A peer cannot do this case; the text says why.
    """


class Calls(Protocol):
    """
    A connection, as drivers see it.  What each method returns (a Deferred, a
    Future, the value) is between a peer and its driver.
    """

    def add(self, a: int, b: int, /) -> Any:
        """C{a + b}, computed by the server."""


class MoreCalls(Calls, Protocol):
    """
    What a connection should have besides; a case whose method is absent is a row
    that says so.
    """

    def echo(self, text: str, /) -> Any:
        """C{text}, from the server."""

    def order(self, **members: Any) -> Any:
        """The struct in the peer's own form, from members like L{ORDER}."""

    def store(self, order: Any, /) -> Any:
        """C{order}, from the server, which has seen it as the peer's type."""


def calling(calls: Calls, load: Load) -> tuple[Callable[[], Any], Any]:
    """
    @return: what makes one call of C{load}, and what it must be answered.
    """
    if load.method == "add":
        return partial(calls.add, 5, 3), 8
    if getattr(calls, load.method, None) is None:
        raise Unsupported(f"the peer has no {load.method}")
    more = cast("MoreCalls", calls)
    if load.method == "echo":
        text = "x" * load.size
        return partial(more.echo, text), text
    order = more.order(**ORDER)
    return partial(more.store, order), order


def window(
    run: Callable[[int], None], lanes: int, load: Load, start: Callable[[], None]
) -> Measurement:
    """
    Warm up, and make as many calls as fill the window.

    @param run: makes so many calls, and returns when all are answered.
    @param lanes: calls that are in flight at a time.
    """
    total = FIRST_BATCH * lanes
    began = perf_counter()
    while True:
        batch = perf_counter()
        run(total)
        now = perf_counter()
        if now - began >= load.warm:
            break
        total *= 2
    total = max(lanes, int(total * load.seconds / (now - batch)))
    start()
    cpu, wall = process_time(), perf_counter()
    run(total)
    return Measurement(total, perf_counter() - wall, process_time() - cpu)


def check(result: Any, expected: Any) -> None:
    """
    @raise ValueError: the answer is not what it must be.
    """
    if result != expected:
        raise ValueError(f"answered {result!r:.80}")
