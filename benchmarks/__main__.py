"""
The command: C{python -m benchmarks}.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks import cores, frames, report
from benchmarks.cases import CASES, placements
from benchmarks.machine import facts
from benchmarks.pair import ROOT, measure
from benchmarks.peers import PEERS
from benchmarks.rounds import Plan, run

#: Rounds of the table of frames, which take a tenth of a second each.
FRAMES = 9


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure twisted_rpc side by side with its peers. "
        "Tables go to standard output, progress to standard error.",
    )
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="only add, 2 rounds of 0.3 s: about a minute",
    )
    add("--rounds", type=int, help="how often to measure (default 5)")
    add("--seconds", type=float, help="of each window (default 1)")
    add("--json", type=Path, metavar="FILE", help="write each sample there too")
    for what, names in (("case", CASES), ("peer", PEERS), ("placement", placements())):
        add(
            f"--{what}",
            action="append",
            choices=list(names),
            help=f"only this {what}; may be repeated",
        )
    return parser


def plan(options: argparse.Namespace) -> Plan:
    """
    @return: what the command line asks for.
    """
    quick = options.quick
    names = options.case or [
        name for name, case in CASES.items() if case.quick or not quick
    ]
    places = placements()
    return Plan(
        peers=options.peer or list(PEERS),
        cases=[CASES[name] for name in names],
        placements={name: places[name] for name in options.placement or places},
        rounds=options.rounds or (2 if quick else 5),
        warm=0.2 if quick else 0.4,
        seconds=options.seconds or (0.3 if quick else 1.0),
    )


def _frames(rounds: int) -> list[list[str]]:
    # In a process of its own: this one has other cores and other memory.
    command = [sys.executable, "-m", "benchmarks.frames", str(rounds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    rows: list[list[str]] = json.loads(done.stdout)
    return rows


def main() -> None:
    """
    Measure, and print.
    """
    options = _arguments().parse_args()
    todo = plan(options)
    began = monotonic()

    def progress(line: str) -> None:
        print(f"{monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    machine = facts(todo.peers)
    outcome = run(todo, measure, progress)
    print(report.markdown(todo, outcome, machine))
    found: dict[str, Any] = report.as_json(todo, outcome, machine)
    if options.case is None:
        progress("frames")
        found["frames"] = _frames(FRAMES)
        print(frames.markdown(found["frames"]))
        text, found["cores"] = cores.table(todo.rounds, progress)
        print(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
