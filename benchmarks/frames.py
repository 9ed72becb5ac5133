# -*- test-case-name: tests.benchmarks.test_frames -*-
"""
What it takes to receive one large frame in small pieces.

Both receivers get the same pieces, as a slow network would bring them, and only
their C{dataReceived} is timed: no sockets, no JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from struct import pack
from time import perf_counter
from typing import Any, Final

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import Int32StringReceiver

from benchmarks.cases import placements
from benchmarks.endpoint import pin
from benchmarks.report import table
from twisted_rpc.transport import FrameProtocol
from twisted_rpc.wire.limits import Limits

KIB: Final = 1024
MIB: Final = 1024 * KIB
PIECE: Final = 16 * KIB
SIZES: Final = (MIB, 2 * MIB, 4 * MIB)

Received = list[int]


@dataclass(frozen=True, slots=True)
class Reception:
    """
    How a frame was received.

    @ivar total: seconds in C{dataReceived}, of all pieces together.
    @ivar longest: seconds of the longest of them: so long nothing else runs.
    """

    total: float
    longest: float


def plain(received: Received) -> Any:
    """
    @return: Twisted's own receiver, which notes the length of each frame.
    """

    class Plain(Int32StringReceiver):
        MAX_LENGTH = 2 * max(SIZES)

        def stringReceived(self, string: bytes) -> None:
            received.append(len(string))

    return Plain()


def ours(received: Received) -> Any:
    """
    @return: this framework's receiver, which does the same.
    """

    class Ours(FrameProtocol):
        def stringReceived(self, string: bytes) -> None:
            received.append(len(string))

    return Ours(Clock(), Limits(max_frame=2 * max(SIZES)))


RECEIVERS: Final[dict[str, Callable[[Received], Any]]] = {
    "Int32StringReceiver": plain,
    "twisted_rpc.transport": ours,
}


def receive(make: Callable[[Received], Any], size: int) -> Reception:
    """
    Feed one frame of C{size} bytes, its length among them, in pieces of L{PIECE}.
    """
    received: Received = []
    protocol = make(received)
    protocol.makeConnection(StringTransport())
    data = pack("!I", size - 4) + bytes(size - 4)
    pieces = [data[start : start + PIECE] for start in range(0, size, PIECE)]
    held = []
    for piece in pieces:
        began = perf_counter()
        protocol.dataReceived(piece)
        held.append(perf_counter() - began)
    if received != [size - 4]:
        raise ValueError(f"received frames of {received} bytes, not one of {size - 4}")
    return Reception(sum(held), max(held))


def measure(rounds: int) -> Iterator[list[str]]:
    """
    @return: a row for each receiver: milliseconds for each of L{SIZES}, how
        many times the first the last is, and the longest hold of the last.
    """
    for name, make in RECEIVERS.items():
        receive(make, max(SIZES))  # the first pays for memory that others find
        found = [[receive(make, size) for size in SIZES] for _ in range(rounds)]
        totals = [
            median(each.total for each in size) * 1e3
            for size in zip(*found, strict=True)
        ]
        longest = median(row[-1].longest for row in found) * 1e3
        growth = totals[-1] / totals[0]
        yield [name, *(f"{ms:.2f}" for ms in totals), f"{growth:.1f}", f"{longest:.2f}"]


def markdown(rows: list[list[str]]) -> str:
    """
    @return: the table of L{measure}'s rows.
    """
    first, last = SIZES[0] // MIB, SIZES[-1] // MIB
    titles = [
        "receiver",
        *(f"{size // MIB} MiB, ms" for size in SIZES),
        f"{last} MiB to {first} MiB",
        f"longest hold of {last} MiB, ms",
    ]
    heading = f"## One frame in pieces of {PIECE // KIB} KiB"
    note = (
        f"In memory; linear is {last // first} times, quadratic {(last // first) ** 2}."
    )
    return "\n".join([heading, "", note, "", *table(titles, rows)]) + "\n"


def main() -> None:
    """
    Measure as often as the only argument says, and print the rows as JSON.
    """
    pin(next(iter(placements().values()))[0])
    print(json.dumps(list(measure(int(sys.argv[1])))))


if __name__ == "__main__":
    main()
