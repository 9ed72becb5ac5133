"""
Deterministic simulation of many seeds: rows 1 and 12.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.proofs.durable import quick_folder, simulate_durably
from tests.proofs.proof import Figure, Progress, Proof
from tests.proofs.simulated import simulate
from twisted_rpc.testing.simulation import Simulation, Violation

#: What is told of a seed.
Seen = tuple[int, float, int, Counter[str], str]

#: Seeds that are simulated twice, to compare their traces.
TWICE = 100

#: Of so many seeds one is over SQLite files.
EVERY = 10


def durably(seed: int) -> Simulation:
    """A seed over SQLite files."""
    with quick_folder() as folder:
        return simulate_durably(seed, Path(folder))


def is_durable(seed: int) -> bool:
    """
    Whether a seed of the mix is over SQLite files.
    """
    return seed % EVERY == EVERY - 1


def one_durably(seed: int) -> Seen:
    """
    As L{one}, over SQLite files.
    """
    return one(seed, durably)


def one_of_mix(seed: int) -> Seen:
    """
    As L{one}, over what the seed is for.
    """
    return one(seed, durably if is_durable(seed) else simulate)


def one(seed: int, simulate: Callable[[int], Simulation]) -> Seen:
    """
    @return: the seed, simulated seconds, calls, how they ended, and what is
        wrong, or C{""}.
    """
    try:
        simulation = simulate(seed)
    except Violation as violation:
        return seed, 0.0, 0, Counter(), str(violation)
    wrong = ""
    if seed < TWICE and simulate(seed).trace.digest != simulation.trace.digest:
        wrong = f"seed {seed}: a second run has another trace"
    oracle = simulation.oracle
    return seed, simulation.passed, len(oracle.calls), oracle.outcomes, wrong


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument(
        "--durable",
        action="store_true",
        help=f"all over SQLite files, kept over crashes (one of {EVERY})",
    )
    parser.add_argument("--seed", type=int, help="this one only, with its trace")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="at the same time"
    )


def _again(seed: int, *, durable: bool) -> str:
    how = "--durable " if durable else ""
    return f"python -m tests.proofs simulation {how}--seed {seed}"


def _run(options: Any, progress: Progress) -> list[Figure]:
    if options.seed is not None:
        _show(durably if options.durable else simulate, options.seed)
        return []
    began = time.monotonic()
    passed = calls = seeds = 0
    ended: Counter[str] = Counter()
    cpu = 0.0
    what = one_durably if options.durable else one_of_mix
    with multiprocessing.Pool(options.processes) as pool:
        numbers = range(options.first, options.first + options.seeds)
        for seed, seconds, made, outcomes, wrong in pool.imap(what, numbers, 8):
            if wrong:
                durable = options.durable or is_durable(seed)
                again = _again(seed, durable=durable)
                raise AssertionError(f"{wrong}\n\nto see it again: {again}")
            seeds += 1
            passed += round(seconds)
            calls += made
            ended += outcomes
            cpu = time.monotonic() - began
            progress(f"{seeds} seeds, {calls} calls, {seeds / cpu:.0f} seeds/s")
    # What was simulated twice took twice the time.
    rate = passed / cpu * (1 + min(TWICE, seeds) / seeds)
    how = ", ".join(f"{name} {count:,}" for name, count in ended.most_common())
    doubled = Figure(
        row=1,
        measured=f"0 doubled in {calls:,} simulated calls, {seeds:,} seeds,"
        f" {'all' if options.durable else f'one of {EVERY}'} over SQLite ({how})",
        met=seeds >= 10_000 and calls >= 1_000_000,
    )
    if options.durable:
        return [doubled]
    return [
        doubled,
        Figure(
            row=12,
            measured=f"{rate:,.0f} x real time with {options.processes} processes,"
            f" {seeds / cpu:.0f} seeds/s;"
            f" same seed, same trace: {min(TWICE, seeds)} of {min(TWICE, seeds)}",
            met=rate >= 1000,
        ),
    ]


def _show(simulate: Callable[[int], Simulation], seed: int) -> None:
    simulation = simulate(seed)
    print("\n".join(simulation.trace.last))
    print(f"seed {seed}: {dict(simulation.oracle.outcomes)}, no violation")


PROOF = Proof(
    name="simulation",
    what="many clients and servers on one clock, and everything that may go wrong",
    rows=(1, 12),
    run=_run,
    options=_options,
)
