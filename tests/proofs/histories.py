"""
Histories of concurrent clients, under kills and resets: row 13.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import defaultdict
from math import inf
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from tests.proofs.linearizable import Operation, count, linearizable
from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc import Registry, load_idl
from twisted_rpc.errors import RPCError
from twisted_rpc.testing.simulation import (
    Caller,
    Nemesis,
    ServerNode,
    Simulation,
    Violation,
)

IDL: Final = load_idl(Path(__file__).with_name("counters.idl"))

CLIENTS: Final = 8
OPERATIONS: Final = 200
KEYS: Final = tuple("abcdefgh")

#: Connections that are reset, servers that are killed, and a slow network.
_NEMESIS: Final = Nemesis(
    every=0.7, cuts=6, crashes=2, delays=1, partitions=1, drains=1
)


class Counters:
    """
    Numbers that outlive the server they are on.
    """

    def __init__(self, node: ServerNode) -> None:
        self._node = node
        self._numbers = node.disk

    def add(self, key: str, by: int) -> Deferred[int]:
        # It takes a while to begin, so that duplicates come meanwhile.
        slept: Any = self._node.sleep(self._node.random.expovariate(50))
        added: Deferred[int] = slept.addCallback(lambda _: self._add(key, by))
        return added

    def _add(self, key: str, by: int) -> int:
        number: int = self._numbers.get(key, 0) + by
        self._numbers[key] = number
        return number

    def read(self, key: str) -> int:
        return int(self._numbers.get(key, 0))


async def work(caller: Caller) -> list[tuple[str, Operation]]:
    """
    What one client does.

    @return: its part of the history, by key.
    """
    random = caller.random
    counters = caller.client.proxy(IDL.ICounters, timeout=3.0)
    seen = []
    for _ in range(OPERATIONS):
        key = random.choice(KEYS)
        by = random.randint(1, 9) if random.random() < 0.6 else 0
        what = ("add", by) if by else ("read", 0)
        began = caller.clock.seconds()
        try:
            result = await (counters.add(key, by) if by else counters.read(key))
        except RPCError as error:
            if error.executed != "no" and by:
                seen.append((key, Operation(began, inf, what)))
        else:
            seen.append((key, Operation(began, caller.clock.seconds(), what, result)))
        if random.random() < 0.3:
            await caller.sleep(random.expovariate(10))
    return seen


def history(seed: int) -> tuple[int, int]:
    """
    Make a history, and check it.

    @return: its operations, and how many of them nobody knows about.

    @raise Violation: it is not linearizable.
    """

    def registry(node: ServerNode) -> Registry:
        made = Registry()
        made.register(IDL.ICounters, Counters(node))
        return made

    simulation = Simulation(registry, seed=seed, clients=CLIENTS, nemesis=_NEMESIS)
    # Here it is the history that says what is wrong.
    simulation.oracle.wrong = lambda *_: None  # type: ignore[method-assign]
    by_key = defaultdict(list)
    for part in simulation.run(work, seconds=40.0):
        for key, operation in part:
            by_key[key].append(operation)
    for key, operations in by_key.items():
        if not linearizable(operations, count, 0):
            raise Violation(
                f"seed {seed}: what was seen of {key!r} is not linearizable"
            )
    every = [each for operations in by_key.values() for each in operations]
    return len(every), sum(not each.known for each in every)


def _tried(seed: int) -> tuple[int, int, int, str]:
    try:
        operations, unknown = history(seed)
    except Violation as violation:
        return seed, 0, 0, str(violation)
    return seed, operations, unknown, ""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--histories", type=int, default=200, help="how many (200)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="at the same time"
    )


def _run(options: Any, progress: Progress) -> list[Figure]:
    total = open_ones = done = 0
    seeds = range(options.first, options.first + options.histories)
    with multiprocessing.Pool(options.processes) as pool:
        for seed, operations, unknown, wrong in pool.imap(_tried, seeds, 2):
            if wrong:
                again = f"python -m tests.proofs histories --first {seed} --histories 1"
                raise AssertionError(f"{wrong}\n\nto see it again: {again}")
            done += 1
            total += operations
            open_ones += unknown
            progress(f"{done} histories, {total:,} operations")
    return [
        Figure(
            row=13,
            measured=f"{done} histories of {CLIENTS} clients x {OPERATIONS} operations"
            f" under kill, reset and delay ({total:,}, of {open_ones:,} the outcome is"
            " unknown): 0 anomalies",
            met=done >= 200,
        )
    ]


PROOF = Proof(
    name="histories",
    what="histories of concurrent clients under kill and reset are linearizable",
    rows=(13,),
    run=_run,
    options=_options,
)
