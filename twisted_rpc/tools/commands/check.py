# -*- test-case-name: tests.tools.test_check -*-
"""
C{twisted-rpc check}: reads and lints IDL files.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from twisted_rpc.errors import Fault, IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.lint.lint import DEFAULT, OFF, RULES, Warned, lint
from twisted_rpc.idl.lint.switches import ALL
from twisted_rpc.idl.reader import read_file
from twisted_rpc.idl.syntax.words import did_you_mean
from twisted_rpc.tools.files import add_files, add_idl_path, read
from twisted_rpc.tools.subcommand import (
    FINE,
    FOUND,
    WRONG,
    MistakeError,
    Subcommand,
    failure,
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_files(parser, "IDL file")
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="text: as a person reads it; json: an array of objects (default: text)",
    )
    for word, verb in (("enable", "on"), ("disable", "off")):
        parser.add_argument(
            f"--{word}",
            action="append",
            default=[],
            metavar="RULE",
            help=f"switch a rule {verb}, several with commas, or 'all'; repeatable",
        )
    add_idl_path(parser)


def check(args: argparse.Namespace) -> int:
    """
    Print the faults of files, and what the rules find in those without.

    @return: the exit status.
    """
    rules = _rules(args.enable, args.disable)
    status = FINE
    errors: list[Fault] = []
    files: list[model.File] = []
    for path in args.files:
        try:
            read(path)
            files.append(read_file(path, args.idl_path))
        except MistakeError as error:
            status = failure(error)
        except IDLError as error:
            errors += [each for each in error.faults if each not in errors]
    warnings = [each for file in files for each in lint(file, rules, files)]
    print_ = _print_json if args.format == "json" else _print_text
    print_(errors, warnings)
    return max(status, FOUND if errors or warnings else FINE)


def _rules(enabled: Iterable[str], disabled: Iterable[str]) -> set[str]:
    on, off = _named(enabled), _named(disabled)
    both = sorted(on & off)
    if both:
        raise MistakeError(f"the rule {both[0]!r} is enabled and disabled")
    # To ask for all is meant to be narrowed by the other.
    return set(DEFAULT | on | _all(enabled)) - off - (_all(disabled) - on)


def _named(words: Iterable[str]) -> set[str]:
    found = {word.strip() for text in words for word in text.split(",")} - {ALL, ""}
    for name in sorted(found - set(RULES)):
        hint = did_you_mean(name, RULES) or f"there is {', '.join(RULES)}"
        raise MistakeError(f"there is no rule {name!r}; {hint}")
    return found


def _all(words: Iterable[str]) -> set[str]:
    return set(RULES) if any(ALL in text.split(",") for text in words) else set()


def _print_text(errors: list[Fault], warnings: list[Warned]) -> None:
    for each in (*errors, *warnings):
        print(each)
    if errors or warnings:
        print(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _count(things: list[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _print_json(errors: list[Fault], warnings: list[Warned]) -> None:
    found = [_described(each, "error", None) for each in errors]
    found += [_described(each.fault, "warning", each.rule) for each in warnings]
    print(json.dumps(found, indent=2, ensure_ascii=False))


def _described(fault: Fault, severity: str, rule: str | None) -> dict[str, Any]:
    return {
        "path": fault.path,
        "line": fault.line,
        "column": fault.column,
        "length": fault.length,
        "severity": severity,
        "rule": rule,
        "message": fault.message,
        "hint": fault.hint,
    }


def _listed(names: Iterable[str]) -> str:
    lines = [f"  {name:22}{_first_line(RULES[name])}" for name in names]
    return "\n".join(lines)


def _first_line(rule: Any) -> str:
    sentence = " ".join((rule.__doc__ or "").split()).partition(". ")[0]
    return re.sub(r"C\{([^}]*)\}", r"\1", sentence).removesuffix(".")


CHECK: Final = Subcommand(
    name="check",
    summary="read IDL files, and say what is wrong or better written otherwise",
    add_arguments=_add_arguments,
    run=check,
    details=f"""\
What cannot be used is an error; what one of these rules finds is a warning:

{_listed(name for name in RULES if name not in OFF)}

Only where they are asked for:

{_listed(name for name in RULES if name in OFF)}

In a file, the comment '# lint: off RULE' at the end of a line switches a rule off
there; on a line of its own, from there to the end of the body it stands in, or
of the file.  '# lint: on RULE' switches on.

The exit status is 0 if there is nothing to say, 1 if there is, and {WRONG} if a file
cannot be read.""",
    examples="""\
  twisted-rpc check bank.idl common.idl
  twisted-rpc check --disable missing-doc,name-style *.idl
  twisted-rpc check --enable classic-compatible --format json calculator.idl
""",
)
