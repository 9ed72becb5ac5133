"""
A million calls, and nothing that grows: rows 7 and 29.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from twisted.internet.defer import ensureDeferred, gatherResults

from tests.proofs.probing import IDL, ServerProcess, on_reactor, sleep
from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc import Client
from twisted_rpc.errors import RPCError

_MB = 1_000_000

#: Calls in flight.
CALLERS = 64


class Soak:
    """
    Calls of every class, one after the other.

    @ivar made: how many have ended.
    @ivar failed: of them.
    @ivar wrong: those whose answer was that to another.
    """

    def __init__(self, client: Client, calls: int) -> None:
        self.made = 0
        self.failed = 0
        self.wrong = 0
        self._probe = client.proxy(IDL.IProbe)
        self._left = calls

    async def call(self) -> None:
        """
        Until it is enough.
        """
        probe = self._probe
        while self._left > 0:
            self._left -= 1
            number = self._left
            entry = number % 1000
            right: Any = True
            try:
                if number % 4 == 0:
                    text = f"a text of some length, {number}"
                    right = await probe.echo(text) == text
                elif number % 1001 == 0:
                    right = await probe.slow(entry, 1 + number % 4) == 1 + number % 4
                elif number % 101 == 0:
                    right = await probe.block(0) == 0
                else:
                    right = 0 < await probe.count(entry) <= 1000
            except RPCError:
                self.failed += 1
            self.wrong += not right
            self.made += 1


async def soak(reactor: Any, progress: Progress, calls: int) -> list[Figure]:
    """
    So many calls, the first tenth of which is not counted.
    """
    server = ServerProcess(limits={"max_connections_per_address": 100})
    try:
        client = Client(f"tcp:127.0.0.1:{server.port}", reactor=reactor)
        warm = Soak(client, calls // 10)
        await gatherResults([ensureDeferred(warm.call()) for _ in range(CALLERS)])
        await sleep(reactor, 1.0)
        before = server.memory(), server.descriptors(), server.holds()
        timers = len(reactor.getDelayedCalls())
        running = Soak(client, calls)
        began = time.monotonic()
        done = gatherResults([ensureDeferred(running.call()) for _ in range(CALLERS)])
        most = before[0]
        while not done.called:
            await sleep(reactor, 0.5)
            most = max(most, server.memory())
            rate = running.made / (time.monotonic() - began)
            grown = (server.memory() - before[0]) / _MB
            progress(f"{running.made:,} calls, {rate:,.0f}/s, {grown:+.1f} MB")
        await done
        took = time.monotonic() - began
        await sleep(reactor, 2.5)
        after = server.memory(), server.descriptors(), server.holds()
        timers_after = len(reactor.getDelayedCalls())
        await client.close()
        grown = (after[0] - before[0]) / _MB
        slope = (after[0] - before[0]) / before[0]
        fewer = after[2].pop("timers") <= before[2].pop("timers")
        same = before[1:] == after[1:] and fewer and timers_after <= timers
        return [
            Figure(
                row=7,
                measured=f"{calls:,} calls: {grown:+.2f} MB"
                f" ({grown / calls * 1_000_000:+.2f} MB per million), at most"
                f" {most / _MB:.0f} MB",
                met=grown / calls * 1_000_000 < 1 and most < 64 * 1.1 * _MB + before[0],
            ),
            Figure(
                row=29,
                measured=f"{calls:,} calls at {calls / took:,.0f}/s: {running.failed}"
                f" failures, {running.wrong} answers of others, memory {slope:+.2%},"
                f" descriptors {before[1]} and {after[1]}, timers, sessions and connections"
                f" {'as at the start' if same else f'{before[2]} and {after[2]}'}",
                met=not running.failed and not running.wrong and slope <= 0.01 and same,
            ),
        ]
    finally:
        server.stop()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calls", type=int, default=1_000_000, help="how many (1000000)"
    )


def _run(options: Any, progress: Progress) -> list[Figure]:
    async def main(reactor: Any) -> list[Figure]:
        return await soak(reactor, progress, options.calls)

    return on_reactor(main)


PROOF = Proof(
    name="soak",
    what="a million calls leave nothing behind",
    rows=(7, 29),
    run=_run,
    options=_options,
)
