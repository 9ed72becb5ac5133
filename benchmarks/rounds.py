# -*- test-case-name: tests.benchmarks.test_rounds -*-
"""
Measuring the peers in turn, again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.cases import Case, Cores
from benchmarks.load import Load
from benchmarks.pair import Failed, Sample

Measure = Callable[[str, Load, Cores], Sample]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to measure.

    @ivar peers: their names, in the order of the rows.
    @ivar placements: cores by name.
    @ivar rounds: how often, 1 or more.
    @ivar warm: seconds before each window.
    @ivar seconds: of each window.
    """

    peers: Sequence[str]
    cases: Sequence[Case]
    placements: dict[str, Cores]
    rounds: int
    warm: float
    seconds: float

    def steps(self) -> Iterator[tuple[int, str, Case, str]]:
        """
        Each measurement as round, placement, case and peer.

        The peers of one case come one after the other, so that what slows the
        machine for a while slows them alike; each round begins with another
        peer, so that none is always the one after the slowest.
        """
        for turn in range(self.rounds):
            first = turn % len(self.peers)
            for placement in self.placements:
                for case in self.cases:
                    for peer in (*self.peers[first:], *self.peers[:first]):
                        yield turn, placement, case, peer

    def __len__(self) -> int:
        sides = len(self.placements) * len(self.cases)
        return self.rounds * sides * len(self.peers)


#: What a row is about: the placement, the case and the peer, by name.
Key = tuple[str, str, str]


@dataclass(slots=True)
class Outcome:
    """
    What was found.

    @ivar samples: the sample of each round, by round.
    @ivar reasons: why there is no sample, of those that failed.
    """

    samples: dict[Key, dict[int, Sample]] = field(default_factory=dict)
    reasons: dict[Key, str] = field(default_factory=dict)


def run(plan: Plan, measure: Measure, progress: Callable[[str], None]) -> Outcome:
    """
    Carry out C{plan}.  What fails once is not tried in later rounds.

    @param progress: is given a line before each measurement.
    """
    outcome = Outcome()
    for number, (turn, placement, case, peer) in enumerate(plan.steps(), 1):
        key = (placement, case.name, peer)
        if key in outcome.reasons:
            continue
        where = f"round {turn + 1}, {placement}, {case.name}, {peer}"
        progress(f"[{number}/{len(plan)}] {where}")
        load = case.load(plan.warm, plan.seconds)
        try:
            sample = measure(peer, load, plan.placements[placement])
        except Failed as e:
            outcome.reasons[key] = str(e)
            progress(f"    {e}")
        else:
            outcome.samples.setdefault(key, {})[turn] = sample
    return outcome
