# -*- test-case-name: tests.benchmarks.test_frames -*-
"""
What it takes to receive one large frame in small pieces.

The receivers get frames of one size in the same pieces, as a slow network would
bring them, and only their C{dataReceived} is timed: no sockets.  The first is
the floor.  The last is a whole server: the frame is a call with a large string,
which the server decodes, checks, runs, records and answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from struct import pack
from time import process_time, time
from typing import Any, Final
from uuid import uuid4

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import Int32StringReceiver

from benchmarks.cases import placements
from benchmarks.endpoint import pin
from benchmarks.peers.framework import idl
from benchmarks.report import Spread, shown, table
from twisted_rpc.server import Registry, Server
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

    @ivar total: seconds of CPU in C{dataReceived}, of all pieces together.
    @ivar longest: of the longest of them: so long nothing else runs.
    """

    total: float
    longest: float


class Sink(StringTransport):
    """
    A transport that keeps nothing: what a buffer in memory costs as it grows is
    not what is measured.
    """

    def write(self, data: bytes) -> None:
        """Forget it."""


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


class Joined(Protocol):
    """
    The least that can be done: join the pieces once, and cut the frame out.

    What it takes more than in proportion is the allocator's: beyond some size
    memory comes fresh from the kernel each time.
    """

    def __init__(self, received: Received) -> None:
        self._received = received
        self._pieces: list[bytes] = []
        self._missing = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep the piece, or, with the last, note the frame."""
        if not self._pieces:
            self._missing = 4 + int.from_bytes(data[:4])
        self._pieces.append(data)
        self._missing -= len(data)
        if not self._missing:
            self._received.append(len(b"".join(self._pieces)[4:]))


class Echo:
    """
    Notes how large the call's frame must have been, and answers with what it got.
    """

    def __init__(self, received: Received) -> None:
        self._received = received

    def add(self, a: int, b: int) -> int:
        """C{a + b}."""
        return a + b

    def echo(self, text: str) -> str:
        """C{text}."""
        self._received.append(len(request(0)) + len(text))
        return text

    def store(self, order: Any) -> Any:
        """C{order}."""
        return order


def served(received: Received) -> Any:
    """
    @return: the server's end of a connection.
    """
    registry = Registry()
    registry.register(idl.IBenchmark, Echo(received))
    server = Server(
        registry, reactor=Clock(), limits=Limits(max_frame=2 * max(SIZES)), drain=0
    )
    return server.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))


def request(size: int) -> bytes:
    """
    @return: a request to echo C{size} characters.
    """
    message = {
        "request_id": uuid4().hex,
        "service": "Benchmark",
        "method": "echo",
        "params": ["x" * size],
        # Of the length that it always has.
        "timestamp": int(time()),
    }
    return json.dumps(message).encode()


RECEIVERS: Final[dict[str, Callable[[Received], Any]]] = {
    "pieces joined once": Joined,
    "Int32StringReceiver": plain,
    "twisted_rpc.transport": ours,
    "twisted_rpc.server, a call": served,
}


def receive(make: Callable[[Received], Any], size: int) -> Reception:
    """
    Feed one frame of C{size} bytes, its length among them, in pieces of L{PIECE}.

    @raise ValueError: it was not received as it was sent.
    """
    received: Received = []
    protocol = make(received)
    protocol.makeConnection(Sink())
    data = pack("!I", size - 4) + request(size - 4 - len(request(0)))
    pieces = [data[start : start + PIECE] for start in range(0, size, PIECE)]
    held = []
    for piece in pieces:
        began = process_time()
        protocol.dataReceived(piece)
        held.append(process_time() - began)
    if received != [size - 4]:
        raise ValueError(f"received frames of {received} bytes, not one of {size - 4}")
    return Reception(sum(held), max(held))


def measure(rounds: int) -> Iterator[list[str]]:
    """
    @return: a row for each receiver: milliseconds for each of L{SIZES}, how
        many times the first the last is (medians), and the longest hold of the
        last, as median (lowest-highest) of the rounds.
    """
    for name, make in RECEIVERS.items():
        found = [_again(make, size, rounds) for size in SIZES]
        totals = [median(each.total for each in size) * 1e3 for size in found]
        holds = Spread.of(each.longest * 1e3 for each in found[-1])
        growth = totals[-1] / totals[0]
        yield [name, *(f"{ms:.2f}" for ms in totals), f"{growth:.1f}", shown(holds)]


def _again(make: Callable[[Received], Any], size: int, rounds: int) -> list[Reception]:
    # The first frame of a size pays for memory from the kernel that others find.
    receive(make, size)
    return [receive(make, size) for _ in range(rounds)]


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
        " What the first row grows beyond that is the allocator's."
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
