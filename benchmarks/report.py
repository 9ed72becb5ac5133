# -*- test-case-name: tests.benchmarks.test_report -*-
"""
Tables, and JSON, of what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.load import Load
from benchmarks.pair import Sample
from benchmarks.peers import AMP, BARE
from benchmarks.rounds import Outcome, Plan

PLACEMENTS = {
    "one": "both ends on one core",
    "two": "a core for each end",
    "free": "not pinned",
}


@dataclass(frozen=True, slots=True)
class Spread:
    """
    Some figures in short: the median, the lowest and the highest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """
        @return: the spread of C{values}, or C{None} if there are none.
        """
        found = sorted(values)
        return cls(median(found), found[0], found[-1]) if found else None


def figure(value: float) -> str:
    """
    @return: C{value} with three digits that count, or all before the point.
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def shown(spread: Spread | None) -> str:
    """
    @return: C{spread} as a cell of a table.
    """
    if spread is None:
        return "-"
    low, high = figure(spread.low), figure(spread.high)
    return f"{figure(spread.median)} ({low}-{high})"


Column = Callable[[Sample], float]
Samples = dict[int, Sample]

COLUMNS: dict[str, Column] = {
    "calls/s": lambda sample: sample.rate,
    "server µs": lambda sample: sample.server,
    "client µs": lambda sample: sample.client,
}

RATIOS: dict[str, tuple[Column, str]] = {
    "calls/s to AMP": (COLUMNS["calls/s"], AMP),
    "server to bare": (COLUMNS["server µs"], BARE),
    "client to bare": (COLUMNS["client µs"], BARE),
}


def ratio(column: Column, mine: Samples, other: Samples) -> Spread | None:
    """
    @return: how many times the other's figure mine is, each pair of figures
        from one round; C{None} if they share no round.
    """
    rounds = sorted(mine.keys() & other.keys())
    return Spread.of(column(mine[turn]) / column(other[turn]) for turn in rounds)


def cells(
    outcome: Outcome, placement: str, case: str, peer: str
) -> dict[str, Spread | None]:
    """
    @return: a row, by the titles of its columns.
    """
    samples = outcome.samples.get((placement, case, peer), {})
    row = {
        title: Spread.of(column(sample) for sample in samples.values())
        for title, column in COLUMNS.items()
    }
    for title, (column, name) in RATIOS.items():
        other = outcome.samples.get((placement, case, name), {})
        row[title] = ratio(column, samples, other)
    return row


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """
    The lines of a table in Markdown.  The first column is text, the others are
    figures.
    """
    heads = list(titles)
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "--:|" * (len(heads) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _row(
    plan: Plan, outcome: Outcome, placement: str, case: str, peer: str
) -> list[str]:
    reason = outcome.reasons.get((placement, case, peer))
    if reason is not None and not outcome.samples.get((placement, case, peer)):
        escaped = " ".join(reason.split()).replace("|", "\\|")
        return [peer, escaped, *["-"] * (len(COLUMNS) + len(RATIOS) - 1)]
    row = cells(outcome, placement, case, peer)
    name = peer
    if reason is not None:
        rounds = len(outcome.samples[placement, case, peer])
        name = f"{peer} ({rounds} of {plan.rounds} rounds)"
    return [name, *map(shown, row.values())]


def markdown(plan: Plan, outcome: Outcome, machine: dict[str, str]) -> str:
    """
    @param machine: facts about where it was measured, by what they are.

    @return: the report.
    """
    lines = ["## Where", ""]
    lines += [f"- {what}: {fact}" for what, fact in machine.items()]
    lines.append(
        f"- Figures: median (lowest-highest) of {plan.rounds} rounds, each with new"
        f" processes, {plan.seconds:g} s after {plan.warm:g} s of warm-up; µs: CPU a"
        " call, user and system; ratios are taken within a round"
    )
    titles = ["peer", *COLUMNS, *RATIOS]
    for case in plan.cases:
        for placement in plan.placements:
            rows = [
                _row(plan, outcome, placement, case.name, peer) for peer in plan.peers
            ]
            lines += ["", f"## {case.title}; {PLACEMENTS[placement]}", ""]
            lines += table(titles, rows)
    return "\n".join(lines) + "\n"


def as_json(plan: Plan, outcome: Outcome, machine: dict[str, str]) -> dict[str, Any]:
    """
    @return: each sample, and each row's figures, as JSON values.
    """
    found = []
    for placement in plan.placements:
        for case in plan.cases:
            load: Load = case.load(plan.warm, plan.seconds)
            for peer in plan.peers:
                key = (placement, case.name, peer)
                samples = outcome.samples.get(key, {})
                row = cells(outcome, *key)
                found.append(
                    {
                        "case": case.name,
                        "placement": placement,
                        "peer": peer,
                        "load": asdict(load),
                        "reason": outcome.reasons.get(key),
                        "figures": {k: v and asdict(v) for k, v in row.items()},
                        "samples": [
                            {"round": turn, **asdict(sample)}
                            for turn, sample in sorted(samples.items())
                        ],
                    }
                )
    return {"machine": machine, "rounds": plan.rounds, "rows": found}
