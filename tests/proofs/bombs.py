"""
Frames that are too big, and messages that are made to cost much: rows 22 and 23.
"""

from __future__ import annotations

import json
import tracemalloc
from time import process_time
from typing import Any

from twisted.internet.address import IPv4Address

from tests.fuzz.cases import bombs, framed, invalid, valid
from tests.fuzz.targets import Fuzz, Sink, idl
from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc import Limits, Registry, Server
from twisted_rpc.testing import MemoryClock

MIB = 1024 * 1024

#: How a big frame comes.
PIECE = 16 * 1024


class _Peer:
    """
    A connection of its own to a server of its own.
    """

    def __init__(self, limits: Limits) -> None:
        clock = MemoryClock()
        registry = Registry()
        registry.register(idl.IFuzz, Fuzz(clock))
        self._server = Server(
            registry, reactor=clock, wall=clock.seconds, limits=limits
        )
        self._server.factory.doStart()
        self._server.startService()
        clock.advance(1)
        protocol: Any = self._server.factory.buildProtocol(
            IPv4Address("TCP", "127.0.0.1", 1)
        )
        self.protocol = protocol
        self.sink = Sink()
        self.protocol.makeConnection(self.sink)

    def ask(self, frame: bytes) -> tuple[float, Any]:
        """
        @return: seconds of CPU, and the reply.
        """
        data = len(frame).to_bytes(4, "big") + frame
        began = process_time()
        for at in range(0, len(data), PIECE):
            self.protocol.dataReceived(data[at : at + PIECE])
        taken = process_time() - began
        return taken, json.loads(bytes(self.sink.written[4:]) or b"null")


def _typed() -> Figure:
    right = 0
    for number, text in enumerate([*valid(), *invalid()]):
        peer = _Peer(Limits())
        _, reply = peer.ask(framed(text, f"{number}"))
        fine = reply["error"] is None
        if fine is (number < len(valid())) and (fine or ": " in reply["error"]):
            right += 1
    most = len(valid()) + len(invalid())
    return Figure(row=23, measured=f"{right} of {most} cases typed", met=right == most)


def _dearest(progress: Progress) -> Figure:
    worst, which, growth = 0.0, "", 0.0
    for name, text, refused in bombs():
        progress(name)
        frame = framed(text, "1", b"take")
        taken = min(_Peer(Limits()).ask(frame)[0] for _ in range(3))
        peer = _Peer(Limits())
        tracemalloc.start()
        _, reply = peer.ask(frame)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (reply["error"] is not None) is refused, (name, reply["error"])
        growth = max(growth, peak / len(frame))
        if taken > worst:
            worst, which = taken, name
    return Figure(
        row=23,
        measured=f"the dearest message of 4 MiB takes {worst * 1000:.0f} ms ({which});"
        f" none takes more than {growth:.1f} times its bytes",
        met=worst <= 0.1 and growth <= 25,
    )


def _big() -> Figure:
    limits = Limits(max_frame=17 * MIB)
    taken = {
        size: min(
            _Peer(limits).ask(framed(b'"' + b"x" * (size * MIB) + b'"', "1", b"note"))[
                0
            ]
            for _ in range(3)
        )
        for size in (4, 16)
    }
    growth = taken[16] / taken[4]
    return Figure(
        row=22,
        measured=f"a frame of 16 MiB takes {taken[16] * 1000:.0f} ms,"
        f" {growth:.1f} times one of 4 MiB",
        met=taken[16] <= 0.1,
    )


def _oversize() -> Figure:
    held = 0
    for length in (0, 4 * MIB + 1, 2**31, 2**32 - 1):
        peer = _Peer(Limits())
        for byte in length.to_bytes(4, "big"):
            peer.protocol.dataReceived(bytes([byte]))
        assert b"frame of" in peer.sink.written or not length, peer.sink.written
        for _ in range(100):
            peer.protocol.dataReceived(b"x" * 65_536)
        held = max(held, sum(map(len, peer.protocol._held)))
    return Figure(
        row=22,
        measured=f"what is too big is refused on its 4 bytes, {held} bytes are held",
        met=held <= 64 * 1024,
    )


def prove(_: Any, progress: Progress) -> list[Figure]:
    """
    All four.
    """
    return [_oversize(), _big(), _typed(), _dearest(progress)]


PROOF = Proof(
    name="bombs",
    what="Frames and messages that are made to cost much cost little",
    rows=(22, 23),
    run=prove,
)
