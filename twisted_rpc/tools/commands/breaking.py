# -*- test-case-name: tests.tools.test_breaking -*-
"""
C{twisted-rpc breaking}: says what a change of an interface breaks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final

from twisted_rpc.idl.evolution.changes import Change, TooMuchError, Verdict
from twisted_rpc.idl.evolution.compare import compare_files, compare_services
from twisted_rpc.idl.model import Place
from twisted_rpc.tools.asking import add_timeout
from twisted_rpc.tools.files import add_idl_path
from twisted_rpc.tools.subcommand import (
    FINE,
    FOUND,
    TOLD,
    WRONG,
    MistakeError,
    Subcommand,
    complain,
    failure,
    in_reactor,
)
from twisted_rpc.tools.versions import (
    Version,
    file_version,
    is_endpoint,
    server_version,
)

_LEVELS: Final = {it.name.lower(): it for it in reversed(Verdict)}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="the version that is in use")
    parser.add_argument("new", metavar="NEW", help="the version that is to replace it")
    parser.add_argument(
        "--fail-on",
        choices=list(_LEVELS),
        default="source",
        help="the mildest verdict that makes the exit status 1 (default: source)",
    )
    parser.add_argument(
        "--either-order",
        action="store_true",
        help="clients may be upgraded before their servers, too",
    )
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="how the findings are printed (default: text)",
    )
    add_idl_path(parser)
    add_timeout(parser)


def breaking(args: argparse.Namespace) -> int:
    """
    Compare two versions, and print what was found.

    @return: the exit status.
    """
    status = in_reactor(_with_servers)(args) if _asks(args) else _compared(args, {})
    return WRONG if status == _UNREACHED else status


#: A server that cannot be read makes the exit status that of a file that cannot.
_UNREACHED: Final = -1


def _asks(args: argparse.Namespace) -> bool:
    return is_endpoint(args.old) or is_endpoint(args.new)


async def _with_servers(reactor: Any, args: argparse.Namespace) -> int:
    try:
        told = {
            name: await server_version(name, args.timeout, reactor)
            for name in dict.fromkeys((args.old, args.new))
            if is_endpoint(name)
        }
    except TOLD as error:
        failure(error)
        return _UNREACHED
    return _compared(args, told)


def _compared(args: argparse.Namespace, told: dict[str, Version]) -> int:
    old, new = (
        told.get(name) or file_version(name, other, args.idl_path)
        for name, other in ((args.old, args.new), (args.new, args.old))
    )
    try:
        changes = compared(old, new, either_order=args.either_order)
    except TooMuchError as error:
        raise MistakeError(f"{old.name} and {new.name}: {error}") from error
    write = _write_json if args.format == "json" else _write_text
    write(changes)
    level = _LEVELS[args.fail_on]
    return FOUND if any(it.verdict >= level for it in changes) else FINE


def compared(old: Version, new: Version, *, either_order: bool = False) -> list[Change]:
    """
    @return: what changed between two versions.  Of a server and a file only the
        services that the file has are compared: a server may have others.

    @raise MistakeError: they have no service in common.
    """
    if old.file is not None and new.file is not None:
        return compare_files(old.file, new.file, either_order=either_order)
    ours, theirs = dict(old.services), dict(new.services)
    if not set(ours) & set(theirs):
        raise MistakeError(
            f"{old.name} and {new.name} have no service in common:"
            f" {_listed(old)} there, {_listed(new)} here"
        )
    if new.file is not None:
        ours = _only(ours, theirs, old.name)
    elif old.file is not None:
        theirs = _only(theirs, ours, new.name)
    return compare_services(ours, theirs, either_order=either_order)


def _only(services: dict[str, Any], known: dict[str, Any], name: str) -> dict[str, Any]:
    others = sorted(set(services) - set(known))
    if others:
        complain(f"{name}: not compared: {', '.join(others)}")
    return {key: it for key, it in services.items() if key in known}


def _listed(version: Version) -> str:
    return ", ".join(sorted(version.services)) or "none"


def _write_text(changes: Sequence[Change]) -> None:
    for change in changes:
        print(change)


def _write_json(changes: Sequence[Change]) -> None:
    print(json.dumps([_as_json(it) for it in changes], indent=2))


def _as_json(change: Change) -> dict[str, Any]:
    use = change.use
    return {
        "verdict": change.verdict.name,
        "message": change.message,
        "direction": None if use is None else use.direction,
        "method": None if use is None else use.method or None,
        "old": _place(change.old),
        "new": _place(change.new),
    }


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {
        "path": place.path,
        "line": place.line,
        "column": place.column,
        "length": place.length,
    }


BREAKING: Final = Subcommand(
    name="breaking",
    summary="say what a change of an interface breaks",
    add_arguments=_add_arguments,
    run=breaking,
    details="""\
OLD and NEW are each an IDL file, git:REF (the other's path as it was in that
commit), git:REF:PATH, or the ENDPOINT of a running server, which is asked.

Each finding has a verdict:
  WIRE      a message of one side is refused or misread by the other
  SOURCE    Python that was correct no longer runs or type-checks
  SEMANTIC  the same messages, another behaviour or safety
Servers are taken to be upgraded first: old clients send requests to the new
server and read its replies.  With --either-order both orders are judged.

The exit status is 0 if nothing is as bad as --fail-on, 1 if something is, and 2
if a version cannot be read.""",
    examples="""\
  twisted-rpc breaking git:HEAD bank.idl
  twisted-rpc breaking git:v1.2:idl/bank.idl idl/bank.idl --fail-on wire
  twisted-rpc breaking tcp:bank.example.com:5000 bank.idl
""",
)
