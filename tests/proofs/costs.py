"""
What the record of calls costs, beside calls that have none: rows 8 and 9.

The servers are those of L{benchmarks.stores}, a process each, and each kind of call
is measured in turns with calls of the same server that have no record.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from benchmarks.stores import ACCOUNTS, calls_of, databases, idl, measure, serving
from benchmarks.twistd import pin
from tests.proofs.load import Load
from tests.proofs.probing import milliseconds, on_reactor, quantile, sleep
from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc import Client

Call = Callable[[], Deferred[Any]]

#: Calls a second that row 9 offers.
OFFERED = 3_000


async def one_by_one(call: Call, seconds: float) -> float:
    """
    @return: the median of what calls take, in seconds, when there is one at a time.
    """
    end = time.perf_counter() + seconds
    took = []
    while (began := time.perf_counter()) < end:
        await call()
        took.append(time.perf_counter() - began)
    return median(took)


async def in_memory(
    client: Client, rounds: int, seconds: float, progress: Progress
) -> Figure:
    """
    Row 8: calls with a record in memory beside calls without.
    """
    read, once = (calls_of(client, name) for name in ("read", "once"))
    rates: list[float] = []
    waits: list[float] = []
    lows: dict[Call, float] = {}
    for number in range(rounds):
        progress(f"memory, round {number + 1} of {rounds}")
        rate: dict[Call, float] = {}
        wait: dict[Call, float] = {}
        for call in (read, once) if number % 2 else (once, read):
            rate[call], _ = await measure(call, seconds)
            wait[call] = await one_by_one(call, seconds)
            lows[call] = min(lows.get(call, wait[call]), wait[call])
        rates.append(rate[once] / rate[read])
        waits.append(wait[once] / wait[read])
    slower, longer = 1 - median(rates), median(waits) - 1
    return Figure(
        row=8,
        measured=f"memory store, beside calls without a record in {rounds} turns on one"
        f" core: {-slower:+.1%} of throughput with 64 in flight, {longer:+.1%} of p50"
        f" one by one ({lows[read] * 1e6:.0f} and {lows[once] * 1e6:.0f} us at best)",
        met=slower <= 0.10 and longer <= 0.05,
    )


async def offered(reactor: Any, call: Call, rate: float, seconds: float) -> float:
    """
    Make so many calls a second, whether they are answered or not.

    @return: the 99th percentile of what they take, in seconds.

    @raise AssertionError: one failed.
    """
    load = Load(reactor, call)
    load.start(rate)
    await sleep(reactor, seconds)
    await load.stop()
    failed = [how for _, _, how in load.ended if how != "OK"]
    if failed:
        raise AssertionError(f"{len(failed)} calls failed: {failed[0]}")
    return quantile([took for _, took, _ in load.ended], 0.99)


async def durable(
    reactor: Any,
    clients: dict[str, Client],
    rounds: int,
    seconds: float,
    progress: Progress,
) -> Figure:
    """
    Row 9: calls whose record is in a database.
    """
    rates: dict[tuple[str, str], list[float]] = {}
    tails: dict[tuple[str, str], list[float]] = {}
    late: list[float] = []
    for client in clients.values():
        await client.proxy(idl.IMoving).prepare(ACCOUNTS)
    for number in range(rounds):
        for store, client in clients.items():
            for name in ("read", "once", "transfer"):
                progress(f"{store} {name}, round {number + 1} of {rounds}")
                call = calls_of(client, name)
                await measure(call, seconds / 5)
                rate, tail = await measure(call, seconds)
                rates.setdefault((store, name), []).append(rate)
                tails.setdefault((store, name), []).append(tail)
            if store == "sqlite":
                call = calls_of(client, "transfer")
                late.append(await offered(reactor, call, OFFERED, seconds))
    rate_of = {key: median(each) for key, each in rates.items()}
    tail_of = {key: median(each) for key, each in tails.items()}
    tail = median(late)
    parts = [
        f"sqlite: {OFFERED:,} @transactional calls/s offered: p99 {milliseconds(tail)}"
    ]
    parts += [
        f"{store}, 64 in flight: @transactional {rate_of[store, 'transfer']:,.0f}/s"
        f" (p99 {tail_of[store, 'transfer']:.1f} ms), @once"
        f" {rate_of[store, 'once']:,.0f}/s, no record {rate_of[store, 'read']:,.0f}/s"
        for store in clients
    ]
    return Figure(
        row=9,
        measured="; ".join(parts),
        met=tail <= 0.020
        and rate_of["sqlite", "transfer"] >= 3_000
        and rate_of["sqlite", "once"] >= 10_000
        and rate_of.get(("postgresql", "transfer"), 1_500) >= 1_500,
    )


@contextmanager
def servers(names: Sequence[str], cores: Sequence[int]) -> Iterator[dict[str, int]]:
    """
    Serve from each of these stores, on these cores; yields the ports.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        folder.chmod(0o755)
        was = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(folder)
        stack.callback(_restore, was)
        yield {
            name: stack.enter_context(serving(text, cores))
            for name, text in databases(stack, names, folder).items()
        }


def _restore(folder: str | None) -> None:
    if folder is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = folder


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=7, help="turns (7)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of each measurement (1)"
    )
    parser.add_argument(
        "--no-postgresql", action="store_true", help="the stores without a server only"
    )


def _run(options: Any, progress: Progress) -> list[Figure]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    rounds, seconds = options.rounds, options.seconds
    stores = ["sqlite"] if options.no_postgresql else ["sqlite", "postgresql"]

    async def main(reactor: Any) -> list[Figure]:
        figures = []
        try:
            with servers(["memory"], cores[:1]) as ports:
                pin(0, cores[:1])
                client = Client(f"tcp:127.0.0.1:{ports['memory']}", reactor=reactor)
                figures.append(await in_memory(client, rounds, seconds / 2, progress))
                await client.close()
            pin(0, cores)
            with servers(stores, cores[:1]) as ports:
                pin(0, cores[1:2])
                clients = {
                    name: Client(f"tcp:127.0.0.1:{port}", reactor=reactor)
                    for name, port in ports.items()
                }
                few = (rounds + 1) // 2
                figures.append(await durable(reactor, clients, few, seconds, progress))
                for client in clients.values():
                    await client.close()
        finally:
            pin(0, cores)
        return figures

    if not cores:
        raise SkipTest("processes cannot be given a core here")
    return on_reactor(main)


PROOF = Proof(
    name="costs",
    what="what the record of calls costs",
    rows=(8, 9),
    run=_run,
    options=_options,
)
