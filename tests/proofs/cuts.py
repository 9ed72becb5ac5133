"""
A connection cut at every byte, in both directions and in every way: row 14.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests.proofs.probing import IDL, Serving, milliseconds, on_reactor
from tests.proofs.proof import Figure, Progress, Proof
from tests.taken import Taken
from twisted_rpc import Client
from twisted_rpc.errors import RPCError
from twisted_rpc.testing import Cut, FaultProxy, Faults

#: Seconds a call has.
DEADLINE = 1.0

#: Calls that are made together, so that one read of the server has them all.
BATCH = 9

CUTS: tuple[Cut, ...] = ("reset", "close", "half", "silence")


class Attempt:
    """
    A client whose connections are all cut at one byte.

    @ivar calls: how many it makes together.
    @ivar late: seconds after its deadline that the call ended.
    """

    def __init__(
        self, reactor: Any, serving: Serving, entry: int, calls: int = 1
    ) -> None:
        self._reactor = reactor
        self._serving = serving
        self._entry = entry
        self.calls = calls
        self.late = 0.0
        self.size = 0

    async def __call__(self, direction: str, byte: int | None, cut: Cut) -> list[str]:
        """
        @return: how the calls ended.
        """
        reactor = self._reactor
        server = TCP4ClientEndpoint(reactor, "127.0.0.1", self._serving.port)
        proxy = FaultProxy(reactor, server)
        setattr(proxy, direction, Faults(cut_at=byte, cut=cut))
        port: Any = await proxy.listen()
        client = Client(f"tcp:127.0.0.1:{port.getHost().port}", reactor=reactor)
        probe = client.proxy(IDL.IProbe, timeout=DEADLINE)
        began = reactor.seconds()
        entries = [self._entry * BATCH + number for number in range(self.calls)]
        waiting = [
            Deferred.fromCoroutine(self._ended(entry, probe.count(entry)))
            for entry in entries
        ]
        ended = [await each for each in waiting]
        self.late = reactor.seconds() - began - DEADLINE
        for entry, how in zip(entries, ended, strict=True):
            runs = self._serving.probe.runs.get(entry, 0)
            if runs > 1 or (how == "OK" and runs != 1):
                raise AssertionError(f"{direction} {byte} {cut}: {how} and {runs} runs")
        for connection in proxy.connections:
            passed = getattr(connection, direction)
            self.size = passed.passed if passed is not None else 0
        await client.close()
        await proxy.stop()
        return ended

    async def _ended(self, entry: int, call: Deferred[int]) -> str:
        try:
            await call
        except RPCError as error:
            if error.executed == "no" and self._serving.probe.runs.get(entry):
                raise AssertionError(f"entry {entry} ran, and {error}") from error
            return error.code.value
        return "OK"


async def cut_everywhere(
    reactor: Any, progress: Progress | None = None, every: int = 1, together: int = 16
) -> Figure:
    """
    Row 14.

    @param every: only each so-manieth byte.
    """
    serving = await Serving(reactor).start()
    ended: Counter[str] = Counter()
    worst = -DEADLINE
    entry = straight = 0
    for direction, calls in (("to_server", 1), ("to_client", 1), ("to_server", BATCH)):
        entry += 1
        whole = Attempt(reactor, serving, entry, calls)
        with Taken() as taken:
            await whole(direction, None, "reset")
        straight += taken.frames
        # One byte more than there is: nothing is cut.
        places = [
            (byte, cut) for cut in CUTS for byte in range(0, whole.size + 2, every)
        ]
        for start in range(0, len(places), together):
            attempts = []
            for byte, cut in places[start : start + together]:
                entry += 1
                attempt = Attempt(reactor, serving, entry, calls)
                attempts.append(
                    (attempt, Deferred.fromCoroutine(attempt(direction, byte, cut)))
                )
            outcomes: Any = await gatherResults([each for _, each in attempts])
            ended.update(how for each in outcomes for how in each)
            worst = max(worst, *(attempt.late for attempt, _ in attempts))
            if progress is not None:
                progress(
                    f"{direction}, {calls}, {start} of {len(places)}: {dict(ended)}"
                )
    await serving.stop()
    assert straight, "no call of a batch went the straight way"
    how = ", ".join(f"{name} {count:,}" for name, count in ended.most_common())
    return Figure(
        row=14,
        measured=f"{sum(ended.values()):,} calls cut at every byte offset, both"
        f" directions, and in a batch of {BATCH}, four ways ({how}): 0 hung, 0 untyped, 0 doubled,"
        f" the latest {milliseconds(worst)} after its deadline",
        met=worst <= 0.1,
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", type=int, default=1, help="each so-manieth byte (1)")


def _run(options: Any, progress: Progress) -> list[Figure]:
    async def main(reactor: Any) -> list[Figure]:
        return [await cut_everywhere(reactor, progress, options.every)]

    return on_reactor(main)


PROOF = Proof(
    name="cuts",
    what="a connection cut at every byte, in both directions",
    rows=(14,),
    run=_run,
    options=_options,
)
