"""
The scorecard of reliability: for each row its target and what was measured.

C{python -m tests.proofs report} runs every proof and writes
C{benchmarks/RELIABILITY.md}; with names, those proofs, and it keeps the other
figures as they were measured last.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.proofs.proof import Proof

ROOT: Final = Path(__file__).parent.parent.parent

#: What was measured last, by row.
FIGURES: Final = ROOT / "benchmarks" / "reliability.json"

PAGE: Final = ROOT / "benchmarks" / "RELIABILITY.md"

#: Row: property, and target (delivery.md, section 10).
TARGETS: Final[dict[int, tuple[str, str]]] = {
    1: ("at most once under faults", "0 doubled in 1 M simulated calls, 10,000 seeds"),
    2: ("exactly once over crashes", "0 lost, 0 doubled in 500 kill -9, 50,000 acknowledged"),
    3: ("forgotten never runs", "0 runs in 10,000 replays over five ways to forget"),
    4: ("join", "1,000 duplicates on 100 connections: 1 run, 1,000 equal replies, p99 <= run + 50 ms"),
    5: ("other parameters", "10,000 changed duplicates: 0 runs, 0 stored answers"),
    6: ("isolation of answers", "0 leaks in 10,000; SESSION_UNKNOWN byte-equal; medians of its causes differ < 5 %"),
    7: ("bounded dedup memory", "<= 64 MiB + 10 %; RSS < 1 MB per 1 M calls"),
    8: ("cost of dedup", "memory store: <= 5 % of p50, <= 10 % of throughput"),
    9: ("durable speed", "3,000 @transactional calls/s, p99 <= 20 ms"),
    10: ("specification checked", ">= 1 M states, 0 violations, all 27 mutants"),
    11: ("code checked", "2,000 runs x 50 steps over each of 4 stores, 0 failures; 24 of the 27 mutants, put into the real code, killed"),
    12: ("deterministic simulation", ">= 1,000 x real time; same seed, same trace: 100 of 100"),
    13: ("linearizable", "200 histories x 8 clients x 200 operations over each of 3 stores under kill, reset, slow: 0 anomalies"),
    14: ("every cut point", "every byte offset, both directions: each call ends typed, <= deadline + 100 ms; 0 hung"),
    15: ("deadlines", "all end <= deadline + 50 ms; 0 runs started late; shrink over 3 hops"),
    16: ("retry amplification", "<= 1.1 x over 10 s of outage, <= 1.5 x in any 1 s"),
    17: ("storm recovery", ">= 97 % goodput within 2 s after a 3 s stall, at 80 and 95 % load"),
    18: ("overload", "at 2 x capacity: >= 90 % of peak goodput, accepted p99 <= 3 x unloaded + 50 ms, refusals <= 5 ms, and cheap"),
    19: ("jitter", "200 clients after a restart: no 100 ms bin > 2 x mean; all back <= 5 s"),
    20: ("peer that never reads", "<= +2 MB per connection, +32 MB in all; aborted <= stall + 1 s"),
    21: ("slowloris", "2,000 half frames of 1 kB: closed <= 11 s, <= 20 kB each, canary p99 <= 20 ms"),
    22: ("oversize and big frames", "refused on 4 bytes, <= 64 KiB held; an allowed 16 MiB frame <= 100 ms of CPU, linear"),
    23: ("hostile JSON", "all typed; worst message allowed <= 100 ms, <= 25 x its bytes"),
    24: ("parser fuzz", "1 M frames (>= 5,000/s): 0 uncaught, 0 leaks, canary unharmed"),
    25: ("fairness under flood", "canary p50 <= 2 ms, p99 <= 10 ms"),
    26: ("rapid cancel", "100,000 call + cancel at each limit: running <= limit always; canary p99 <= 20 ms"),
    27: ("drain", "20 rolling restarts of 2 replicas at 500 calls/s: 0 failed, p99.9 <= 1 s"),
    28: ("dead peer", "SIGSTOP noticed <= interval + timeout + 1 s; 1,000 idle connections <= 1 % CPU"),
    29: ("soak", "1 M calls, 0 failures, RSS slope <= 1 %, fds, DelayedCalls and sessions back at the start"),
    30: ("no reflection", "10,000 hostile names: 0 dispatched; no pickle, eval, import by name; 0 tracebacks on the wire"),
}  # fmt: skip


_HEAD: Final = """\
# Reliability

What twisted_rpc promises about delivery and about what a server withstands, and what was measured. Each figure comes from a
command that you can run. `python -m tests.proofs report` runs all of them and writes this page, `python -m tests.proofs report
NAME...` some; small parts of most run with the tests.

Measured on {cores} cores, {python}, {system}, over loopback. *Load* is that of the machine when the proof began: where it is above
the number of cores, others were at work on them, and figures in milliseconds are that much worse.

| # | property | target | measured | met | how | load |
|---|---|---|---|---|---|---|"""


def kept() -> dict[int, dict[str, Any]]:
    """
    @return: the figures that were measured last, by row.
    """
    if not FIGURES.exists():
        return {}
    return {int(row): each for row, each in json.loads(FIGURES.read_text()).items()}


def measure(proof: Proof, arguments: list[str]) -> list[dict[str, Any]]:
    """
    Run a proof in a process of its own.

    @return: its figures.
    """
    words = [sys.executable, "-m", "tests.proofs", "--json", proof.name, *arguments]
    busy = os.getloadavg()[0]
    done = subprocess.run(
        words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    figures: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for figure in figures:
        figure["command"] = " ".join(["python -m tests.proofs", proof.name, *arguments])
        figure["day"] = time.strftime("%Y-%m-%d")
        figure["load"] = round(busy, 1)
    if not figures:
        status = done.returncode
        print(done.stdout)
        print(f"{proof.name} ended with status {status}, and without a figure")
    return figures


def run(known: dict[str, Proof], names: list[str]) -> int:
    """
    Measure, write the page and print it.

    @param names: of proofs, each perhaps followed by arguments after a colon:
        C{"kill:--cycles 20 sqlite"}; none: all.
    """
    rows = kept()
    status = 0
    for name in names or [name for name, proof in known.items() if proof.rows]:
        word, _, rest = name.partition(":")
        if word not in known:
            print(f"there is no proof {word!r}; there are {', '.join(known)}")
            return 2
        figures = measure(known[word], rest.split())
        if not figures:
            status = 1
        fresh: dict[int, dict[str, Any]] = {}
        for figure in figures:
            row = figure.pop("row")
            if row in fresh:
                # Two parts of one row.
                figure["measured"] = f"{fresh[row]['measured']}; {figure['measured']}"
                figure["met"] = figure["met"] and fresh[row]["met"]
            fresh[row] = rows[row] = figure
            FIGURES.write_text(
                json.dumps(dict(sorted(rows.items())), indent=1, ensure_ascii=False)
                + "\n"
            )
    PAGE.write_text(page(rows))
    print(PAGE.read_text())
    return status


def page(rows: dict[int, dict[str, Any]]) -> str:
    """
    @return: the scorecard.
    """
    python = f"{platform.python_implementation()} {platform.python_version()}"
    lines = [
        _HEAD.format(cores=os.cpu_count(), python=python, system=platform.system())
    ]
    for row, (name, target) in TARGETS.items():
        figure = rows.get(row)
        if figure is None:
            lines.append(f"| {row} | {name} | {target} | not measured yet | | | |")
            continue
        met = "yes" if figure["met"] else "**no**"
        lines.append(
            f"| {row} | {name} | {target} | {figure['measured']} | {met} |"
            f" `{figure['command']}`, {figure['day']} | {figure['load']} |"
        )
    return "\n".join(lines) + "\n"
