"""
Many clients of a server that is in trouble, in memory and by the clock: what
retries add to its load, and how clients come back (rows 16 and 19).
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import chain
from typing import Any

from tests.client.storms import Answer, Storm
from tests.proofs.proof import Figure, Progress, Proof

#: How a server fails for ten seconds, by name.
OUTAGES: dict[str, Answer] = {
    "UNAVAILABLE": lambda connection, call: connection.refuse(call, "UNAVAILABLE"),
    "RESOURCE_EXHAUSTED": lambda connection, call: connection.refuse(
        call, "RESOURCE_EXHAUSTED"
    ),
    "pushback": lambda connection, call: connection.refuse(
        call, "RESOURCE_EXHAUSTED", retry_after=500
    ),
    "IN_PROGRESS": lambda connection, call: connection.refuse(
        call, "IN_PROGRESS", "unknown"
    ),
    "connections dropped": lambda connection, call: connection.drop(),
    "silence": lambda connection, call: None,
}

#: Seconds for which a server is gone.
RESTARTS = (0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0)


def amplification(answer: Answer, clients: int, seed: int) -> tuple[float, float]:
    """
    @return: over the outage, and in the worst second of it.
    """
    storm = Storm(clients, 20, seed, timeout=2.0)
    storm.run(1)
    storm.answer = answer
    storm.run(10)
    worst = max(storm.amplification(n, n + 1) for n in range(1, 11))
    return storm.amplification(1, 11), worst


def returning(outage: float, clients: int, seed: int) -> list[float]:
    """
    @return: when each client is back, in seconds after the server.
    """
    storm = Storm(clients, 0, seed)
    done, back = storm.restart(outage, min(5.0, outage + 0.5))
    assert done == [7] * clients, "a call was not answered"
    return back


def peak(back: list[float]) -> float:
    """
    @return: the worst 100 ms against the mean.
    """
    bins = Counter(int(10 * each) for each in back)
    return max(bins.values()) * (int(10 * max(back)) + 1) / len(back)


def run(options: Any, progress: Progress) -> list[Figure]:
    """
    Measure both.
    """
    sustained = worst = 0.0
    for name, answer in OUTAGES.items():
        progress(f"an outage: {name}", always=True)
        outage, second = amplification(answer, options.clients // 10, options.seed)
        sustained, worst = max(sustained, outage), max(worst, second)
    last = ratio = single = 0.0
    for seconds in RESTARTS:
        progress(f"restarts of {seconds:g} s", always=True)
        runs = [
            returning(seconds, options.clients, options.seed + n)
            for n in range(options.runs)
        ]
        # One run has the noise of so few clients in so short a time: 10 in 100 ms
        # are 16 in one of 20.  All together show what the delays do.
        last = max(last, *map(max, runs))
        single = max(single, *map(peak, runs))
        ratio = max(ratio, peak(list(chain(*runs))))
    return [
        Figure(
            row=16,
            measured=f"{sustained:.3f} attempts a call over 10 s, {worst:.3f} in the"
            f" worst second, of {len(OUTAGES)} kinds of outage",
            met=sustained <= 1.1 and worst <= 1.5,
        ),
        Figure(
            row=19,
            measured=f"{options.clients} clients back within {last:.2f} s, at most"
            f" {ratio:.2f} times the mean in 100 ms, after {len(RESTARTS)} lengths of"
            f" outage, {options.runs} runs of each ({single:.2f} in the worst run)",
            met=last <= 5 and ratio <= 2,
        ),
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)


PROOF = Proof(
    name="storms",
    what="retries add little to the load of a server that fails, and clients come back"
    " spread",
    rows=(16, 19),
    run=run,
    options=_options,
)
