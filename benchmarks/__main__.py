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

from benchmarks import cores, frames, growth, idle, plot, report, start, targets
from benchmarks.cases import CASES, placements
from benchmarks.machine import facts
from benchmarks.pair import ROOT, measure
from benchmarks.peers import PEERS, TWISTED
from benchmarks.rounds import Outcome, Plan, run

#: Rounds of the table of frames, which take a tenth of a second each.
FRAMES = 9

#: What can be measured, in this order.
PARTS = ("calls", "frames", "growth", "idle", "cores", "start")


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
        help="only add, 2 rounds of 0.3 s, among what comes with Twisted",
    )
    add(
        "--part",
        action="append",
        choices=PARTS,
        help="only this part; may be repeated",
    )
    add("--rounds", type=int, help="how often to measure (default 5)")
    add("--seconds", type=float, help="of each window (default 1)")
    add("--json", type=Path, metavar="FILE", help="write each sample there too")
    add("--svg", type=Path, metavar="FILE", help="draw there what grows")
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
        peers=options.peer or list(TWISTED if quick else PEERS),
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


def parts(options: argparse.Namespace) -> list[str]:
    """
    @return: what is measured: who chooses cases wants no more than those.
    """
    if options.part:
        return [part for part in PARTS if part in options.part]
    if options.case or options.peer:
        return ["calls"]
    return ["calls", "frames", "start"] if options.quick else list(PARTS)


def main() -> None:
    """
    Measure, and print.
    """
    options = _arguments().parse_args()
    todo = plan(options)
    wanted = parts(options)
    began = monotonic()

    def progress(line: str) -> None:
        print(f"{monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {}
    outcome = Outcome()
    series: list[growth.Series] = []
    if "calls" in wanted:
        machine = facts(todo.peers)
        outcome = run(todo, measure, progress)
        print(report.markdown(todo, outcome, machine))
        found = report.as_json(todo, outcome, machine)
    if "frames" in wanted:
        progress("frames")
        found["frames"] = _frames(FRAMES)
        print(frames.markdown(found["frames"]))
    if "growth" in wanted:
        series, memory, reasons = growth.run(progress)
        found["growth"] = growth.as_json(series, memory)
        print(growth.markdown(series, memory, reasons))
    if "idle" in wanted:
        progress("idle connections")
        found["idle"] = idle.rows()
        print(idle.markdown(found["idle"]))
    if "cores" in wanted:
        text, found["cores"] = cores.table(todo.rounds, progress)
        print(text)
    if "start" in wanted:
        progress("start")
        begun = start.rows()
        found["start"] = [[title, spread and spread.median] for title, spread in begun]
        print(start.markdown(begun))
    print(targets.markdown(targets.rows(outcome, found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.svg and series:
        options.svg.write_text(plot.svg(series))


if __name__ == "__main__":
    main()
