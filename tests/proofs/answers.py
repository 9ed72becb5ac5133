"""
Whatever callers and servers do, each caller gets the answer to his own call.
"""

from __future__ import annotations

import argparse
from typing import Any

from tests.client.answering import faults_of, random_steps
from tests.proofs.proof import Figure, Progress, Proof


def _run(args: Any, progress: Progress) -> list[Figure]:
    for seed in range(args.first, args.first + args.worlds):
        steps, options = random_steps(seed)
        faults = faults_of(steps, **options)
        assert not faults, f"seed {seed}: {faults}"
        progress(f"{seed - args.first + 1} worlds")
    progress(f"{args.worlds} worlds", always=True)
    return []


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--worlds", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--first", type=int, default=0, help="the first's number (0)")


PROOF = Proof(
    name="answers",
    what="each caller of a client gets the answer to his own call, once and in time",
    rows=(),
    run=_run,
    options=_options,
)
