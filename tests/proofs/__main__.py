"""
Runs proofs by their names.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Final, TextIO

from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from twisted.trial.unittest import SkipTest
from zope.interface import implementer

from tests.proofs import report
from tests.proofs.proof import Figure, Progress, Proof

#: Where they are: each module here that has a C{PROOF}.
FOLDER: Final = Path(__file__).parent


def proofs() -> dict[str, Proof]:
    """
    @return: all proofs, by name.
    """
    found = [
        importlib.import_module(f"tests.proofs.{path.stem}").PROOF
        for path in sorted(FOLDER.glob("*.py"))
        if "\nPROOF = " in path.read_text()
    ]
    return {proof.name: proof for proof in found}


@implementer(ILogObserver)
class _Silence:
    """
    What the servers log of what is done to them is not of interest here; an error
    that nobody has handled is.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: LogEvent) -> None:
        """Tell of the latter."""
        if event.get("log_namespace") == "twisted.internet.defer":
            failure = event.get("log_failure")
            if failure is not None:
                self._out.write(f"\nunhandled: {failure.getTraceback()}\n")


def main(arguments: list[str] | None = None) -> int:
    """
    @return: the exit status: 0, everything holds.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.proofs", description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="print the figures as JSON, one a line"
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="PROOF")
    known = proofs()
    for proof in known.values():
        rows = ", ".join(map(str, proof.rows))
        text = f"{proof.what} (rows {rows})" if rows else proof.what
        proof.options(commands.add_parser(proof.name, help=text, description=text))
    text = "run proofs, and write benchmarks/RELIABILITY.md"
    commands.add_parser("report", help=text, description=text).add_argument(
        "proofs", nargs="*", help="NAME or 'NAME:ARGUMENTS' (all)"
    )
    options = parser.parse_args(arguments)
    if options.name == "report":
        return report.run(known, options.proofs)
    silence = _Silence(sys.stderr)
    globalLogBeginner.beginLoggingTo([silence], redirectStandardIO=False)
    proof = known[options.name]
    try:
        figures = proof.run(options, Progress(proof.name))
    except SkipTest as missing:
        print(f"{proof.name}: {missing}")
        return 1
    except Exception as wrong:  # noqa: BLE001 - whatever it is, it is told
        known_reason = isinstance(wrong, AssertionError) and str(wrong)
        print(f"\n{proof.name}: {known_reason or traceback.format_exc()}")
        return 1
    if options.json:
        for figure in figures:
            print(json.dumps(asdict(figure), ensure_ascii=False))
    else:
        show(figures)
    return 0 if all(figure.met for figure in figures) else 1


def show(figures: list[Figure]) -> None:
    """
    Print what was measured.
    """
    for figure in figures:
        verdict = "met" if figure.met else "NOT MET"
        print(f"row {figure.row:2}: {figure.measured}: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
