# -*- test-case-name: tests.benchmarks.test_growth -*-
"""
What a call costs as everything around it grows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks import cores
from benchmarks.cases import Cores, placements
from benchmarks.load import Load
from benchmarks.pair import ROOT, Failed, Sample, measure
from benchmarks.peers import BARE
from benchmarks.report import figure, table

CONNECTIONS: Final = (50, 100, 200, 500, 1_000)
PAYLOADS: Final = (1_000, 10_000, 100_000, 1_000_000, 4_000_000)
METHODS: Final = (1, 10, 100, 1_000)
REMEMBERED: Final = (1_000, 10_000, 50_000, 100_000, 200_000)

#: How often a figure between processes is taken; the lowest counts.
ROUNDS: Final = 3

#: The pair in C, and how many calls it makes.
FLOOR: Final = Path(__file__).with_name("floor.c")
FLOOR_CALLS: Final = 100_000

OURS: Final = "twisted_rpc"

Point = tuple[int, float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """
    A line of a plot.

    @ivar title: what grows.
    @ivar unit: what a figure is.
    @ivar points: how much of it, and the figures of the server and the client.
    """

    title: str
    unit: str
    points: Sequence[Point]

    @property
    def growth(self) -> tuple[float, float]:
        """
        The highest figure of each end to its first.
        """
        _, server, client = self.points[0]
        return (
            max(one for _, one, _ in self.points) / server,
            max(other for _, _, other in self.points) / client,
        )


def _least(loads: Sequence[Load], measure: Callable[[Load], Sample]) -> list[Sample]:
    """
    @return: for each load the lowest figures of several rounds; the loads behind
        one that a busy machine makes the server refuse are left out.
    """
    rounds = [[measure(loads[0])] for _ in range(ROUNDS)]
    try:
        for load in loads[1:]:
            found = [measure(load) for _ in range(ROUNDS)]
            for row, sample in zip(rounds, found, strict=True):
                row.append(sample)
    except Failed:
        if len(rounds[0]) < 2:
            raise
    return [
        Sample(
            calls=samples[0].calls,
            rate=max(each.rate for each in samples),
            server=min(each.server for each in samples),
            client=min(each.client for each in samples),
        )
        for samples in zip(*rounds, strict=True)
    ]


def connections(
    measure: Callable[[Load], Sample],
    title: str = "connections, one call at a time on each",
) -> Series:
    """
    @return: calls one at a time on each of more and more connections.
    """
    loads = [Load("add", 0, count, 1, 0.4, 0.6) for count in CONNECTIONS]
    found = _least(loads, measure)
    points = [
        (count, each.server, each.client)
        for count, each in zip(CONNECTIONS, found, strict=False)
    ]
    return Series(title, "µs of CPU a call", points)


def floor(core: int) -> Series:
    """
    @return: the same in C, on C{core}: what the kernel takes, and the machine's
        caches.

    @raise Failed: there is no compiler, or no Linux.
    """
    points: list[Point] = []
    with TemporaryDirectory() as folder:
        try:
            program = cores.build(Path(folder), FLOOR)
        except cores.UnavailableError as error:
            raise Failed(str(error)) from error
        for count in CONNECTIONS:
            command = [str(program), str(core), str(count), str(FLOOR_CALLS)]
            rounds = [
                json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)
            ]
            server, client = (
                min(each[end] for each in rounds) for end in ("server", "client")
            )
            points.append((count, server, client))
    return Series("connections, a pair in C", "µs of CPU a call", points)


def payloads(measure: Callable[[Load], Sample]) -> Series:
    """
    @return: longer and longer strings there and back, for each kilobyte beyond
        what a call without any costs.
    """
    loads = [Load("echo", size, 1, 1, 0.4, 0.6) for size in (1, *PAYLOADS)]
    empty, *found = _least(loads, measure)
    points = [
        (
            size,
            max(0.01, each.server - empty.server) / (size / 1_000),
            max(0.01, each.client - empty.client) / (size / 1_000),
        )
        for size, each in zip(PAYLOADS, found, strict=False)
    ]
    return Series("bytes of a string there and back", "µs of CPU a kB", points)


def joined(name: str, argument: Any) -> Any:
    """
    @return: what L{benchmarks.joined} finds, in a process of its own.
    """
    command = [sys.executable, "-m", "benchmarks.joined", name, json.dumps(argument)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _in_memory(title: str, name: str, counts: Sequence[int]) -> Series:
    return Series(title, "µs of CPU a call", joined(name, list(counts)))


def run(progress: Callable[[str], None]) -> tuple[list[Series], float, dict[str, str]]:
    """
    @return: the series; bytes of memory of a remembered call; and what could not
        be measured, with the reason.
    """
    placement: Cores = next(iter(placements().values()))

    def pairs(load: Load, peer: str = OURS) -> Sample:
        return measure(peer, load, placement)

    parts: dict[str, Callable[[], Series]] = {
        "connections": lambda: connections(pairs),
        "connections, bare": lambda: connections(
            lambda load: pairs(load, BARE), f"connections, {BARE}"
        ),
        "connections, in C": lambda: floor(placement[0] or 0),
        "payloads": lambda: payloads(pairs),
        "methods": lambda: _in_memory(
            "methods of a service, one of them called", "methods", METHODS
        ),
        "methods in turn": lambda: _in_memory(
            "methods of a service, called in turn", "methods in turn", METHODS
        ),
        "remembered": lambda: _in_memory(
            "calls that the server remembers", "remembered", REMEMBERED
        ),
    }
    found: list[Series] = []
    reasons: dict[str, str] = {}
    for name, part in parts.items():
        progress(f"growth: {name}")
        try:
            found.append(part())
        except Failed as error:
            reasons[name] = str(error)
    progress("growth: memory of a remembered call")
    return found, joined("memory", 20_000), reasons


def markdown(found: Sequence[Series], memory: float, reasons: dict[str, str]) -> str:
    """
    @return: a table for each series.
    """
    lines = ["## Work as it grows", ""]
    lines += [
        "CPU of each end; the lowest of several. `connections` and `bytes` are two",
        "processes on one core, the others both ends in one process, pipelined.",
    ]
    for series in found:
        server, client = series.growth
        lines += ["", f"### {series.title[0].upper()}{series.title[1:]}", ""]
        rows = [
            [f"{count:,}", figure(one), figure(other)]
            for count, one, other in series.points
        ]
        rows.append(["highest to first", f"{server:.2f}", f"{client:.2f}"])
        heads = ["", f"server, {series.unit}", f"client, {series.unit}"]
        lines += table(heads, rows)
    lines += ["", f"A remembered call takes {memory:.0f} bytes of server memory."]
    lines += [f"\n{name}: {reason}" for name, reason in reasons.items()]
    return "\n".join(lines) + "\n"


def as_json(found: Sequence[Series], memory: float) -> dict[str, Any]:
    """
    @return: the same as JSON values.
    """
    return {
        "series": [
            {"title": each.title, "unit": each.unit, "points": list(each.points)}
            for each in found
        ],
        "memory": memory,
    }
