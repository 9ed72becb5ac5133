# -*- test-case-name: tests.benchmarks.test_targets -*-
"""
What the framework is meant to reach, and what this run found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.pair import Sample
from benchmarks.peers import BARE
from benchmarks.report import COLUMNS, figure, ratio, table
from benchmarks.rounds import Outcome

OURS: Final = "twisted_rpc"


@dataclass(frozen=True, slots=True)
class Target:
    """
    A figure to reach, taken in one run.

    @ivar title: of the case.
    @ivar text: what is asked.
    @ivar find: the figure; C{None}: this run did not take it.
    @ivar bound: what it is to be, at least or at most.
    @ivar at_least: which of the two.
    @ivar by_cpu: the same by CPU alone, which other programs on the machine
        hardly change.
    """

    title: str
    text: str
    find: Callable[[Outcome, dict[str, Any]], float | None]
    bound: float
    at_least: bool
    by_cpu: Callable[[Outcome], float | None] | None = None

    def reached(self, value: float) -> bool:
        """
        Whether C{value} is good enough.
        """
        return value >= self.bound if self.at_least else value <= self.bound


def _to(case: str, placement: str, column: str, peer: str) -> Callable[..., Any]:
    """
    Ours to a peer's, the median of the rounds.
    """

    def find(outcome: Outcome, found: dict[str, Any]) -> float | None:
        del found
        mine = outcome.samples.get((placement, case, OURS), {})
        other = outcome.samples.get((placement, case, peer), {})
        spread = ratio(COLUMNS[column], mine, other)
        return spread.median if spread is not None else None

    return find


def _throughput(
    title: str, case: str, placement: str, peers: dict[str, float]
) -> Iterator[Target]:
    for peer, bound in peers.items():
        yield Target(
            title,
            f"{bound:g} times {peer}'s calls a second",
            _to(case, placement, "calls/s", peer),
            bound,
            at_least=True,
            by_cpu=_by_cpu(case, placement, peer),
        )


def _by_cpu(case: str, placement: str, peer: str) -> Callable[[Outcome], float | None]:
    """
    What a peer's calls cost to what ours do: of both ends where they share a
    core, else of the end that takes longer.
    """
    total: Callable[[Sample], float] = (
        (lambda sample: sample.server + sample.client)
        if placement == "one"
        else (lambda sample: max(sample.server, sample.client))
    )

    def find(outcome: Outcome) -> float | None:
        mine = outcome.samples.get((placement, case, OURS), {})
        other = outcome.samples.get((placement, case, peer), {})
        spread = ratio(total, other, mine)
        return spread.median if spread is not None else None

    return find


def _idle(outcome: Outcome, found: dict[str, Any]) -> float | None:
    del outcome
    for name, count, memory, *_ in found.get("idle", ()):
        if name == OURS and count == "10,000":
            return float(memory.replace(",", ""))
    return None


def _start(position: int) -> Callable[..., Any]:
    def find(outcome: Outcome, found: dict[str, Any]) -> float | None:
        del outcome
        rows = found.get("start")
        return rows[position][1] if rows else None

    return find


def _cores(outcome: Outcome, found: dict[str, Any]) -> float | None:
    del outcome
    windows = found.get("cores")
    if not windows:
        return None
    one, two = ([it["calls"] / it["seconds"] for it in windows[n]] for n in (1, 2))
    ratios: list[float] = [mine / other for mine, other in zip(two, one, strict=True)]
    return median(ratios)


TARGETS: Final[Sequence[Target]] = (
    *(
        Target(
            "pipelined add, one core",
            f"{end}: at most 1.2 times the bare pair's CPU a call",
            _to("pipelined", "one", f"{end} µs", BARE),
            1.2,
            at_least=False,
        )
        for end in ("server", "client")
    ),
    *_throughput(
        "pipelined add, two cores",
        "pipelined",
        "two",
        {"AMP": 5, "grpcio": 12, "grpc.aio": 20, "Thrift on Twisted": 3},
    ),
    *_throughput(
        "sequential add, one core",
        "sequential",
        "one",
        {
            "AMP": 3,
            "grpcio": 8,
            "Thrift on Twisted": 2.5,
            "Thrift, blocking": 0.9,
            BARE: 1.2,
        },
    ),
    *_throughput(
        "50 connections, two cores", "connections", "two", {"AMP": 1.7, "grpcio": 6}
    ),
    *_throughput(
        "struct, pipelined, two cores",
        "struct",
        "two",
        {"AMP": 15, "Thrift on Twisted": 2.5},
    ),
    # The pair's calls take no more than 1.5 times the processor.
    *_throughput("struct, pipelined, one core", "struct", "one", {BARE: 0.667}),
    *_throughput(
        "1 MB string, sequential, two cores",
        "string-1M",
        "two",
        {"grpcio": 1, BARE: 1},
    ),
    Target(
        "10,000 idle connections",
        "at most 4,096 bytes of server memory each",
        _idle,
        4096,
        at_least=False,
    ),
    Target(
        "two workers, two cores",
        "1.6 times one worker's calls a second",
        _cores,
        1.6,
        at_least=True,
    ),
    Target(
        "start",
        "`twistd rpc` to its first answer: at most 1,000 ms",
        _start(0),
        1000,
        at_least=False,
    ),
    Target(
        "start",
        "`import twisted_rpc`: at most 150 ms beyond Twisted's reactor",
        _start(1),
        150,
        at_least=False,
    ),
)


def rows(outcome: Outcome, found: dict[str, Any]) -> list[list[str]]:
    """
    @return: a row for each target.
    """
    lines = []
    for target in TARGETS:
        value = target.find(outcome, found)
        shown = "-" if value is None else figure(value)
        verdict = (
            "not measured"
            if value is None
            else ("reached" if target.reached(value) else "**not reached**")
        )
        cpu = target.by_cpu(outcome) if target.by_cpu is not None else None
        by_cpu = "-" if cpu is None else figure(cpu)
        lines.append([target.title, target.text, shown, by_cpu, verdict])
    return lines


def markdown(found: list[list[str]]) -> str:
    """
    @return: the table of L{rows}.
    """
    titles = ["case", "target", "measured", "by CPU alone", ""]
    return "\n".join(["## Targets", "", *table(titles, found)]) + "\n"
