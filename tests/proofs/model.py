"""
Every state of the rules, decided by the real functions: row 10.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from typing import Any

from tests.delivery.exploring import (
    Exploration,
    Explored,
    FreeWorld,
    Scenario,
    SessionWorld,
    explore,
)
from tests.delivery.mutants import MUTANTS
from tests.proofs.proof import Figure, Progress, Proof

#: The scenarios of the design's model, and what they are called.
SCENARIOS: tuple[tuple[str, type[Exploration], dict[str, Any]], ...] = (
    ("once: two replicas, crashes, zombie, eviction", SessionWorld, {"replicas": 2, "crashes": 2, "leases": 1, "evicts": 1, "attempts": 3}),
    ("once: the session ends, crash", SessionWorld, {"replicas": 2, "crashes": 1, "leases": 1, "evicts": 1, "ends": 1, "attempts": 3}),
    ("once: other parameters, other principal", SessionWorld, {"replicas": 2, "crashes": 1, "evicts": 1, "reused": True, "stranger": True}),
    ("once: refusals under overload", SessionWorld, {"replicas": 2, "crashes": 1, "leases": 1, "overload": True, "attempts": 3}),
    ("once: two calls with acks", SessionWorld, {"crashes": 1, "evicts": 1, "ends": 1, "second": True}),
    ("once: memory store, restarts", SessionWorld, {"durable": False, "crashes": 2, "evicts": 1, "attempts": 3}),
    ("once: memory store, two calls, restart", SessionWorld, {"durable": False, "crashes": 1, "evicts": 1, "second": True, "ends": 1}),
    ("transactional: two replicas, crashes, zombies, end", SessionWorld, {"delivery": "transactional", "replicas": 2, "crashes": 2, "leases": 2, "evicts": 1, "ends": 1, "attempts": 3}),
    ("transactional: other parameters, other principal", SessionWorld, {"delivery": "transactional", "replicas": 2, "crashes": 1, "leases": 1, "evicts": 1, "reused": True, "stranger": True}),
    ("idempotent: two replicas, crash, zombie, end", SessionWorld, {"delivery": "idempotent", "replicas": 2, "crashes": 1, "leases": 1, "evicts": 1, "ends": 1}),
    ("once: everything at once", SessionWorld, {"replicas": 2, "crashes": 2, "leases": 1, "evicts": 1, "ends": 1, "attempts": 3, "reused": True, "stranger": True, "overload": True}),
    ("transactional: everything at once", SessionWorld, {"delivery": "transactional", "replicas": 2, "crashes": 2, "leases": 1, "evicts": 1, "ends": 1, "attempts": 3, "reused": True, "stranger": True, "overload": True}),
    ("once: three replicas", SessionWorld, {"replicas": 3, "crashes": 2, "leases": 1, "evicts": 1, "ends": 1, "attempts": 3, "reused": True}),
    ("transactional: two calls with acks", SessionWorld, {"delivery": "transactional", "replicas": 2, "crashes": 1, "leases": 1, "ends": 1, "evicts": 1, "second": True}),
    ("idempotent: two calls with acks", SessionWorld, {"delivery": "idempotent", "replicas": 2, "leases": 1, "evicts": 1, "second": True}),
    ("sessionless once: two replicas, crash, zombie, forgetting", FreeWorld, {"replicas": 2, "crashes": 1, "leases": 1, "evicts": 1, "forgets": 2, "ticks": 2, "attempts": 3}),
    ("sessionless once: memory store, restarts, forgetting", FreeWorld, {"durable": False, "crashes": 2, "evicts": 1, "forgets": 2, "ticks": 2, "attempts": 3}),
    ("sessionless once: two calls, memory store", FreeWorld, {"durable": False, "crashes": 1, "evicts": 1, "forgets": 2, "ticks": 1, "second": True}),
    ("sessionless once: other parameters, other principal", FreeWorld, {"crashes": 1, "evicts": 1, "forgets": 1, "ticks": 1, "reused": True, "stranger": True}),
    ("sessionless once: refusals under overload", FreeWorld, {"replicas": 2, "crashes": 1, "leases": 1, "forgets": 1, "ticks": 1, "overload": True}),
    ("sessionless transactional: two replicas, forgetting", FreeWorld, {"delivery": "transactional", "replicas": 2, "crashes": 1, "leases": 1, "evicts": 1, "forgets": 2, "ticks": 2, "attempts": 3}),
    ("sessionless transactional: two calls, two replicas", FreeWorld, {"delivery": "transactional", "replicas": 2, "crashes": 1, "leases": 1, "forgets": 2, "ticks": 1, "second": True}),
    ("sessionless idempotent: two replicas, forgetting", FreeWorld, {"delivery": "idempotent", "replicas": 2, "crashes": 1, "leases": 1, "evicts": 1, "forgets": 1, "ticks": 1}),
)  # fmt: skip

#: Above so many states a scenario is too big for what it is.
MOST = 3_000_000


def scenario(number: int) -> tuple[int, Explored]:
    """One of L{SCENARIOS}."""
    _, world, options = SCENARIOS[number]
    return number, explore(world(Scenario(**options)), MOST)


def mutant(number: int) -> tuple[int, Explored]:
    """One of the mutants."""
    return number, MUTANTS[number].found()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="at the same time"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="how mutants die")


def _run(options: Any, progress: Progress) -> list[Figure]:
    began = time.monotonic()
    states = killed = 0
    with multiprocessing.Pool(options.processes) as pool:
        for number, found in pool.imap_unordered(scenario, range(len(SCENARIOS))):
            name = SCENARIOS[number][0]
            if found.broken:
                trace = " > ".join(found.trace)
                raise AssertionError(f"{name}: {found.broken}: {trace}")
            states += found.states
            progress(f"{name}: {found.states:,} states, no violation", always=True)
        for number, found in pool.imap_unordered(mutant, range(len(MUTANTS))):
            each = MUTANTS[number]
            dead = found.broken.split(":")[0] in each.breaks
            killed += dead
            how = found.broken or "NOTHING BROKEN"
            progress(f"mutant {each.name} ({each.what}): {how}", always=True)
            if options.verbose:
                progress(" > ".join(found.trace), always=True)
    took = time.monotonic() - began
    measured = (
        f"{states:,} states of {len(SCENARIOS)} scenarios, no violation;"
        f" {killed} of {len(MUTANTS)} mutants killed; {took:.0f} s"
    )
    met = states >= 1_000_000 and killed == len(MUTANTS) == 27
    return [Figure(row=10, measured=measured, met=met)]


PROOF = Proof(
    name="model",
    what="every state of the rules of delivery, decided by the real functions",
    rows=(10,),
    run=_run,
    options=_options,
)
