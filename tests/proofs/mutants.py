"""
The state machines over every real store, at length, and mistakes that are put into
the real code: row 11.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import SkipTest

from tests.delivery.deduplicating import Deduplicating
from tests.delivery.driven import BEDS
from tests.delivery.mutants import MUTANTS
from tests.delivery.recorded import Recorded
from tests.proofs import strangers
from tests.proofs.durable import quick_folder, simulate_durably
from tests.proofs.proof import Figure, Progress, Proof
from tests.proofs.simulated import simulate
from twisted_rpc.client.calls import Call
from twisted_rpc.client.link import Link
from twisted_rpc.delivery import claims, deduplicate
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.delivery.records import Record
from twisted_rpc.delivery.sql import transitions
from twisted_rpc.delivery.table import (
    Owner,
    State,
    Verdict,
    judge_session,
    judge_sessionless,
)
from twisted_rpc.errors import Code, refusal
from twisted_rpc.testing.simulation import Violation

#: What is replaced, by what: C{(object, name, replacement)}.
Mistake = list[tuple[Any, str, Any]]

_ATTACH: Final = MemoryStore.attach
_SESSIONLESS: Final = deduplicate.Deduplication._sessionless
_RESPOND: Final = deduplicate.Deduplication.respond
_REFRESH: Final = Link._refresh


def _runs(*olds: Verdict) -> Mistake:
    def session(**known: Any) -> Verdict:
        verdict = judge_session(**known)
        return Verdict.RUN if verdict in olds else verdict

    def sessionless(**known: Any) -> Verdict:
        verdict = judge_sessionless(**known)
        return Verdict.RUN if verdict in olds else verdict

    return [
        (deduplicate, "judge_session", session),
        (deduplicate, "judge_sessionless", sessionless),
    ]


def _sessionless(judge: Callable[..., Verdict]) -> Mistake:
    return [(deduplicate, "judge_sessionless", judge)]


def _bury(store: Any, holder: Any, record: Any, _: int = 0) -> None:
    key = next((k for k, each in holder.records.items() if each is record), None)
    store._drop(holder, key, record)


def _bury_while_looking(store: Any, holder: Any, target: int) -> None:
    for record in list(holder.records.values()):
        if holder.bytes > target and record.state.value == "DONE":
            _bury(store, holder, record)


def _end(store: Any, session: Any) -> None:
    store.bytes -= session.bytes
    session.bytes = 0
    session.records.clear()


def _attach_any(store: Any, principal: str, wanted: str | None) -> Any:
    session = store.sessions.get(wanted)
    return _ATTACH(store, session.principal if session else principal, wanted)


def _attach_unknown(store: Any, principal: str, wanted: str | None) -> Any:
    if wanted is not None and wanted not in store.sessions:
        store._add_session(wanted, store.ledger(principal))
    return _ATTACH(store, principal, wanted)


def _keep_refusal(store: Any, holder: Any, key: Any, record: Any) -> None:
    error = refusal(Code.UNAVAILABLE, "draining")
    store.complete(holder, key, record, error, 0.0)


def _forget(store: Any, ledger: Any, key: Any, record: Any) -> None:
    store._drop(ledger, key, record)


def _forget_and_assign(store: Any, ledger: Any, key: Any, record: Any) -> None:
    ledger.floor = record.timestamp
    store._drop(ledger, key, record)


def _forget_and_raise_later(store: Any, ledger: Any, key: Any, record: Any) -> None:
    # It rises with what is forgotten next.
    ledger.floor = max(ledger.floor, getattr(store, "pending", 0.0))
    store.pending = record.timestamp
    store._drop(ledger, key, record)


def _strict(**known: Any) -> Verdict:
    return judge_sessionless(**{**known, "floor": known["floor"] - 1e-9})


def _floor_first(**known: Any) -> Verdict:
    if known["timestamp"] <= known["floor"]:
        return Verdict.STALE
    return judge_sessionless(**known)


def _of_everybody(it: Any, request: Any) -> Any:
    mine, request.origin.principal = request.origin.principal, "ada"
    try:
        return _SESSIONLESS(it, request)
    finally:
        request.origin.principal = mine


def _by_connection(it: Any, request: Any) -> Any:
    if request.seq:
        origin = request.origin
        origin.shared.ports = getattr(origin.shared, "ports", {})
        number = origin.shared.ports.setdefault(origin, len(origin.shared.ports))
        request.seq += 100 * (number % 9)
    return _RESPOND(it, request)


def _early(link: Any) -> None:
    _REFRESH(link)
    link._ack = link._next_seq


def _settle(_: Any, tx: Any, owner: str) -> None:
    tx.execute(
        "DELETE FROM rpc_records WHERE state = 'IN_PROGRESS' AND owner = ?", (owner,)
    )
    tx.execute("DELETE FROM rpc_owners WHERE owner = ?", (owner,))


def _unrecorded(it: Any, tx: Any, claim: Any, run: Any) -> Any:
    found = _TRANSACT(it, tx, claim, run)
    tx.execute("DELETE FROM rpc_records WHERE state = 'DONE'")
    return found


_TRANSACT: Final = transitions.Transitions.transact
_RECLAIM: Final = transitions._SETTLE.replace("'IN_DOUBT'", "'RECLAIMABLE'")
_NEVER: Final = property(lambda call: False, lambda call, value: None)

_JUDGED: Final = claims.judged
_WRITTEN: Final = Recording._written
_UNFENCED: Final = transitions._COMPLETE.replace("fence = ?", "? > 0").replace(
    "AND state IN ('IN_PROGRESS', 'IN_DOUBT')", ""
)


def _forget_parameters(claim: Any, kept: Any, **known: Any) -> Any:
    if kept is not None and (
        kept.state is State.RECLAIMABLE
        or (kept.owner is Owner.GONE and kept.delivery != "once")
    ):
        kept.method, kept.params = claim.method, claim.params
    return _JUDGED(claim, kept, **known)


def _tell_own(it: Any, _: Any, call: Any, outcome: Any) -> None:
    _WRITTEN(it, None, call, outcome)


#: Found by the machine, over the memory store.
MACHINE: Final[dict[str, Mistake]] = {
    "check_then_act": _runs(Verdict.JOIN),
    "lru_to_absent": [(MemoryStore, "_evict", _bury_while_looking)],
    "expire_to_absent": [(MemoryStore, "end", _end)],
    "no_fingerprint": [(Record, "same", lambda *_: True)],
    "no_principal_scope": [(MemoryStore, "attach", _attach_any)],
    "implicit_session": [(MemoryStore, "attach", _attach_unknown)],
    "big_reply_not_cached": [(MemoryStore, "_bury_big", _bury)],
    "cache_refusal": [(MemoryStore, "unclaim", _keep_refusal)],
    "forget_without_floor": [(MemoryStore, "_forget", _forget)],
    "floor_raised_later": [(MemoryStore, "_forget", _forget_and_raise_later)],
    "floor_strict": _sessionless(_strict),
    "floor_assigned": [(MemoryStore, "_forget", _forget_and_assign)],
    "floor_before_lookup": _sessionless(_floor_first),
    "restart_without_floor": [(MemoryStore, "start", lambda *_: None)],
    "key_without_principal": [
        (deduplicate.Deduplication, "_sessionless", _of_everybody)
    ],
}

#: Found by the machine of servers that share a store, over SQLite.
SHARED: Final[dict[str, Mistake]] = {
    "no_fence": [(transitions, "_COMPLETE", _UNFENCED)],
    "zombie_replies_own_result": [(Recording, "_written", _tell_own)],
    "takeover_forgets_fingerprint": [(transitions, "judged", _forget_parameters)],
}

#: Found by the simulation: what clients do wrong, and what takes a restart.
SIMULATION: Final[dict[str, Mistake]] = {
    "reissue_new_session": [(Call, "repeatable", True)],
    "early_ack": [(Link, "_refresh", _early)],
    "one_refusal_is_enough": [(Call, "ambiguous", _NEVER)],
    "memory_store_forgets_epoch": [(MemoryStore, "attach", _attach_unknown)],
    "client_restamps": [(strangers, "RESTAMPING", True)],
    "key_has_source_port": [(deduplicate.Deduplication, "respond", _by_connection)],
}

#: Found by the simulation over SQLite.
DURABLE: Final[dict[str, Mistake]] = {
    "boot_forgets_intent": [(transitions.Transitions, "settle", _settle)],
    "two_commits": [(transitions.Transitions, "transact", _unrecorded)],
    "takeover_reexecutes": [(transitions, "_SETTLE", _RECLAIM)],
}

#: Seeds within which a simulation finds a mistake.
ENOUGH: Final = 300


def machine(
    kind: Any, examples: int, steps: int, *, phases: Sequence[Phase] = (Phase.generate,)
) -> str:
    """
    @return: what a machine finds wrong, or C{""}.
    """
    wanted = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=phases,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
    )
    try:
        with redirect_stdout(io.StringIO()):
            run_state_machine_as_test(kind, settings=wanted)
    except (AssertionError, LookupError) as error:
        # How it came there is of interest where nothing was expected.
        how = getattr(error, "__notes__", []) if Phase.shrink in phases else []
        return "\n".join([*str(error).splitlines()[:1], type(error).__name__, *how])
    return ""


def counted(kind: Any, name: str, progress: Progress) -> Any:
    """
    @return: a machine that says how far it has come.
    """
    done = 0

    class Counted(kind):  # type: ignore[misc]  # it is an argument
        def teardown(self) -> None:
            nonlocal done
            done += 1
            progress(f"{name}: {done:,} runs")
            super().teardown()

    return Counted


def over(bed: Any) -> Any:
    """
    @return: the machine of servers over stores of one kind.
    """
    return type("Machine", (Recorded,), {"bed": bed})


def _simulation(durable: bool) -> str:
    """
    @return: what simulations find wrong, or C{""}.
    """
    for seed in range(ENOUGH):
        try:
            if durable:
                with quick_folder() as folder:
                    simulate_durably(seed, Path(folder))
            else:
                simulate(seed)
        except Violation as violation:
            return str(violation).splitlines()[0]
    return ""


def found(mistake: Mistake, look: Callable[[], str]) -> str:
    """
    @return: what is found wrong with a mistake in the code.
    """
    with ExitStack() as stack:
        for where, name, replacement in mistake:
            stack.enter_context(patch.object(where, name, replacement))
        return look()


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=int, default=2000, help="of the machine over each store (2000)"
    )
    parser.add_argument("--steps", type=int, default=50, help="of each run (50)")
    parser.add_argument(
        "parts",
        nargs="*",
        choices=["mutants", *BEDS, []],
        help="mistakes in the real code; the machine over a store (all)",
    )


def _killed(progress: Progress) -> list[str]:
    """
    @return: the mistakes that were found.
    """
    killed = []
    bed = BEDS["sqlite"]()
    try:
        for mistakes, look in (
            (MACHINE, lambda: machine(Deduplicating, 6000, 60)),
            (SHARED, lambda: machine(over(bed), 6000, 60)),
            (SIMULATION, lambda: _simulation(durable=False)),
            (DURABLE, lambda: _simulation(durable=True)),
        ):
            for name, mistake in mistakes.items():
                wrong = found(mistake, look)
                what = wrong.partition("\n")[0] or "NOT FOUND"
                progress(f"{name}: {what}", always=True)
                if wrong:
                    killed.append(name)
    finally:
        bed.remove()
    return killed


def _machines(name: str, options: Any, progress: Progress) -> float:
    """
    Run the machines over stores of one kind.

    @return: seconds.
    """
    began = time.monotonic()
    bed = BEDS[name]()
    kinds = [over(bed), *([Deduplicating] if name == "memory" else [])]
    try:
        for kind in kinds:
            told = counted(kind, name, progress)
            phases = (Phase.generate, Phase.shrink)
            broken = machine(told, options.runs, options.steps, phases=phases)
            if broken:
                raise AssertionError(f"the machine over {name}: {broken}")
    finally:
        bed.remove()
    return time.monotonic() - began


def _run(options: Any, progress: Progress) -> list[Figure]:
    parts = options.parts or ["mutants", *BEDS]
    took: dict[str, float] = {}
    missed: list[str] = []
    for name in BEDS:
        if name in parts:
            try:
                took[name] = _machines(name, options, progress)
            except SkipTest as missing:
                missed.append(f"not over {name}: {missing}")
            else:
                progress(f"{name}: 0 failures, {took[name]:.0f} s", always=True)
    each = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
    size = f"{options.runs:,} runs x {options.steps} steps over each store"
    measured = [f"{size}, 0 failures ({each})"] * bool(took) + missed
    enough = took.keys() == BEDS.keys() and options.runs >= 2000
    if "mutants" in parts:
        killed = _killed(progress)
        left = sorted({mutant.name for mutant in MUTANTS} - set(killed))
        measured.append(
            f"{len(killed)} of {len(MUTANTS)} mutants put into the real code found"
            + f" (not: {', '.join(left)})" * bool(left)
        )
        enough = enough and len(killed) >= 24
    return [
        Figure(
            row=11,
            measured="; ".join(measured),
            met=enough and "mutants" in parts and options.steps >= 50,
        )
    ]


PROOF = Proof(
    name="mutants",
    what="the state machines over every real store, and mistakes in the real code",
    rows=(11,),
    run=_run,
    options=_options,
)
