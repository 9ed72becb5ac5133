# -*- test-case-name: tests.tools.test_storing -*-
"""
C{twisted-rpc records}: lists what a store knows of calls, and tells it what
became of one of which it does not know.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any, Final

import msgspec

from twisted_rpc.delivery.claims import RecordRow
from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, InvalidValue, RPCError
from twisted_rpc.idl import load_idl
from twisted_rpc.quantities import shown_size
from twisted_rpc.tools.storing import (
    add_store,
    clean,
    looking,
    shown_id,
    shown_time,
    shown_totals,
    table,
)
from twisted_rpc.tools.subcommand import MistakeError, Subcommand

#: What is shown if nothing else is asked for: what may need somebody.
_OPEN: Final = (State.IN_DOUBT, State.IN_PROGRESS)

#: Records among which the one is searched that is to be resolved.
_MANY: Final = 100_000


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    parser.add_argument(
        "--state",
        choices=[it.value for it in State if it not in {State.ABSENT, State.FORGOTTEN}],
        help="only these (default: IN_DOUBT and IN_PROGRESS)",
    )
    parser.add_argument(
        "--resolve",
        metavar="ID",
        help="tell what became of this call, which is IN_DOUBT; as it is listed, or whole",
    )
    ended = parser.add_mutually_exclusive_group()
    ended.add_argument("--result", metavar="JSON", help="it ran, and returned this")
    ended.add_argument(
        "--error",
        metavar="CODE[:TEXT]",
        help="it failed, or did not run and is not to: ABORTED:never sent",
    )
    parser.add_argument(
        "--idl", metavar="FILE", help="check the result against its type there"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before")


async def _look(store: Any, args: argparse.Namespace) -> str:
    for name in ("resolve", "result", "error"):
        try:
            (getattr(args, name) or "").encode()
        except UnicodeEncodeError:
            raise MistakeError(f"--{name} is not UTF-8") from None
    if args.resolve is not None:
        return await _resolve(store, args)
    if args.result is not None or args.error is not None:
        raise MistakeError("--result and --error go with --resolve ID")
    return await list_records(store, args)


async def list_records(store: Any, args: argparse.Namespace) -> str:
    """
    @return: what is in the store, and a line for each record.
    """
    totals = await store.totals()
    states = [it.value for it in _OPEN] if args.state is None else [args.state]
    rows: list[RecordRow] = []
    for state in states:
        rows += await store.records(state, args.limit - len(rows))
        if len(rows) >= args.limit:
            break
    head = ("ID", "PRINCIPAL", "METHOD", "CLASS", "STATE", "AGE", "OWNER", "ANSWER")
    listed = table(
        head,
        [_columns(row) for row in rows],
        sum(totals.records.get(state, 0) for state in states),
    )
    return "\n".join(filter(None, [shown_totals(totals), listed]))


def _columns(row: RecordRow) -> tuple[str, ...]:
    return (
        shown_id(row.key),
        row.principal,
        row.method,
        row.delivery,
        row.state.value,
        shown_time(row.age),
        row.owner,
        _shown_answer(row.outcome),
    )


def _shown_answer(outcome: Any) -> str:
    """
    How a call ended, without what it told its caller.
    """
    if outcome is None:
        return ""
    if isinstance(outcome, RPCError):
        return outcome.code.value
    return f"result, {shown_size(len(outcome))}"


async def _resolve(store: Any, args: argparse.Namespace) -> str:
    row = await _the_one(store, args.resolve)
    outcome = _outcome(args, row)
    what = clean(
        f"{row.method} {shown_id(row.key)} of {row.principal}"
        f" {'failed with' if isinstance(outcome, RPCError) else 'returned'}"
        f" {outcome if isinstance(outcome, RPCError) else outcome.decode()}"
    )
    if not (args.yes or _confirmed(what)):
        raise MistakeError("it was not confirmed; nothing was changed")
    if not await store.resolve(row.key, row.fence, outcome):
        raise MistakeError("it is not in doubt any more; nothing was changed")
    return f"recorded: {what}"


def _confirmed(what: str) -> bool:
    sys.stderr.write(
        f"Record that {what}?\nWhoever asks is told so from now on; this cannot be"
        " taken back. [y/N] "
    )
    sys.stderr.flush()
    # The reactor would hear of a Ctrl-C when the line has been read.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline().strip().lower() in {"y", "yes"}
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return False
    finally:
        signal.signal(signal.SIGINT, before)


async def _the_one(store: Any, name: str) -> RecordRow:
    found = await _named(store, State.IN_DOUBT.value, name)
    if not found:
        others = await _named(store, None, name)
        states = ", ".join(sorted({row.state.value for row in others}))
        raise MistakeError(
            f"the call {name} is {states}, not in doubt; nothing was changed"
            if others
            else f"there is no call {name!r}; see twisted-rpc records STORE"
        )
    if len(found) > 1:
        whose = clean(", ".join(sorted({row.principal for row in found})))
        raise MistakeError(
            f"{len(found)} calls in doubt are shown as {name}, of {whose}; write the id"
            " whole"
        )
    return found[0]


async def _named(store: Any, state: str | None, name: str) -> list[RecordRow]:
    return [
        row
        for row in await store.records(state, _MANY)
        if name in {row.key.request_id, clean(shown_id(row.key))}
    ]


def _outcome(args: argparse.Namespace, row: RecordRow) -> Outcome:
    """
    How the call ended, as it was written.
    """
    if args.result is not None:
        return _result(args, row)
    if args.error is None:
        raise MistakeError("--resolve needs --result JSON or --error CODE[:TEXT]")
    name, _, text = args.error.partition(":")
    try:
        code = Code(name.strip().upper())
    except ValueError:
        codes = ", ".join(it.value for it in Code)
        raise MistakeError(f"{name!r} is no code; the codes are {codes}") from None
    if code is Code.OUTCOME_UNKNOWN:
        raise MistakeError("OUTCOME_UNKNOWN is what it is already")
    return RPCError(code, text.strip(), executed="yes")


def _result(args: argparse.Namespace, row: RecordRow) -> bytes:
    try:
        text = msgspec.json.format(args.result.encode(), indent=-1)
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise MistakeError(f"--result is not JSON: {error}") from error
    if args.idl is not None:
        method = _method(load_idl(args.idl), row.method)
        try:
            method.decode_result(text)
        except InvalidValue as error:
            raise MistakeError(
                f"--result does not fit {row.method}: {error}"
            ) from error
    return bytes(text)


def _method(idl: Any, name: str) -> Any:
    service, _, method = name.rpartition(".")
    for each in idl.__idl__.services.values():
        if service in each.names and method in each.methods:
            return each.methods[method]
    raise MistakeError(f"--idl: there is no {name} in it")


RECORDS: Final = Subcommand(
    name="records",
    summary="list what a store knows of calls, or tell it what became of one",
    add_arguments=_add_arguments,
    run=looking(_look),
    details="""\
A call is IN_DOUBT if its server stopped while it ran: its caller is told
OUTCOME_UNKNOWN, and it never runs again.  Find out from what it should have done
whether it did, and record that with --resolve.  Ids of sessions are cut: they are
secrets, and so are results.""",
    examples="""\
  twisted-rpc records sqlite:calls.db
  twisted-rpc records sqlite:calls.db --resolve 3fa91c02...:17 --result 5
  twisted-rpc records sqlite:calls.db --resolve 3fa91c02...:17 --error ABORTED
""",
)
