# -*- test-case-name: tests.benchmarks.test_guard -*-
"""
The guard against becoming slower: C{python -m benchmarks.guard}.

CPU per call relative to the bare pair in the same run, both ends on one core,
against the ratios that are recorded in C{guard.json}.  It takes half a minute, and
two where the machine is busy; C{--record} writes the file.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.cases import CASES, placements
from benchmarks.load import Load
from benchmarks.pair import Sample, measure
from benchmarks.peers import BARE

RECORDED: Final = Path(__file__).with_name("guard.json")

#: How much more than the recorded ratio is too much.
ALLOWED: Final = 1.25

#: How often what seems to have risen is measured again.
AGAIN: Final = 3

OURS: Final = "twisted_rpc"
ROUNDS: Final = 5
GUARDED: Final = ("pipelined", "sequential")

Ratios = dict[str, float]


def ratios(measure: Callable[[str, Load], Sample], rounds: int = ROUNDS) -> Ratios:
    """
    @return: CPU per call of the server and of the client to the bare pair's, the
        median of the rounds, by case and end.
    """
    found: dict[str, list[float]] = {}
    for turn in range(rounds):
        for name in GUARDED:
            load = CASES[name].load(0.2, 0.4)
            peers = (BARE, OURS) if turn % 2 else (OURS, BARE)
            samples = {peer: measure(peer, load) for peer in peers}
            ours, bare = samples[OURS], samples[BARE]
            for end in ("server", "client"):
                ratio = getattr(ours, end) / getattr(bare, end)
                found.setdefault(f"{name}, {end}", []).append(ratio)
    return {name: median(values) for name, values in found.items()}


def risen(found: Ratios, recorded: Ratios) -> list[str]:
    """
    @return: a sentence for each ratio that is too high.
    """
    return [
        f"{name}: {ratio:.2f} times the bare pair's CPU, recorded {recorded[name]:.2f}:"
        f" more than {ALLOWED} times as much"
        for name, ratio in found.items()
        if name in recorded and ratio > recorded[name] * ALLOWED
    ]


def _measure(peer: str, load: Load) -> Sample:
    cores = next(iter(placements().values()))
    return measure(peer, load, cores)


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Measure and compare; what seems to have risen is measured again, because a
    machine may be busy with something else for a while.

    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard")
    parser.add_argument(
        "--record", action="store_true", help="write the ratios of this run"
    )
    record = parser.parse_args(arguments).record
    recorded: dict[str, Any] = (
        json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    )
    found = ratios(_measure)
    if record:
        recorded[_python()] = {name: round(ratio, 2) for name, ratio in found.items()}
        RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
        return 0
    known = recorded.get(_python())
    if known is None:
        print(f"no ratios are recorded for Python {_python()}: --record writes them")
        return 0
    for _ in range(AGAIN):
        if not risen(found, known):
            break
        again = ratios(_measure)
        found = {name: min(ratio, again[name]) for name, ratio in found.items()}
    for name, ratio in found.items():
        print(
            f"{name}: {ratio:.2f} times the bare pair's CPU, recorded {known[name]:.2f}"
        )
    wrong = risen(found, known)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
