# -*- test-case-name: tests.delivery.test_table -*-
"""
What becomes of a request: the decisions of deduplication, and nothing else.

Pure functions over what a store knows, so that every state can be explored.
The numbers are the rows of the specification: in their order, and the first
that applies answers.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """
    What a store knows of a call.
    """

    #: Nothing, and it may run.
    ABSENT = "ABSENT"
    #: Claimed; its owner runs it.
    IN_PROGRESS = "IN_PROGRESS"
    #: Its owner is gone, and it may run again, with the same parameters only.
    RECLAIMABLE = "RECLAIMABLE"
    #: It ended, and its answer is here.
    DONE = "DONE"
    #: It ended; its answer is no longer here.
    TOMBSTONE = "TOMBSTONE"
    #: It may have run, and never will again.
    IN_DOUBT = "IN_DOUBT"
    #: At or below the floor, and no record.
    FORGOTTEN = "FORGOTTEN"


class Owner(Enum):
    """
    Who runs a call that is IN_PROGRESS.
    """

    HERE = "here"
    #: Another process, whose lease is valid.
    ELSEWHERE = "elsewhere"
    #: Another process that has ended, or whose lease is over.
    GONE = "gone"


class Verdict(Enum):
    """
    What is done with a request.
    """

    #: Claim it and run it (row 15).
    RUN = "run"
    #: The stored answer (row 6).
    REPLAY = "replay"
    #: Wait for the run (row 9).
    JOIN = "join"
    #: Wait for the record of another process (row 10).
    WAIT = "wait"
    SESSION_UNKNOWN = "session unknown"
    STALE = "stale"
    BEYOND_WINDOW = "beyond the window"
    ID_REUSED = "id reused"
    NOT_CACHED = "not cached"
    IN_DOUBT = "in doubt"


def judge_session(
    *,
    live: bool,
    seq: int,
    floor: int,
    window: int,
    state: State,
    same: bool,
    delivery: str,
    owner: Owner = Owner.HERE,
) -> Verdict:
    """
    A request of a session.

    @param live: the session is alive, the caller's, and this connection's.
    @param same: the record's fingerprint is the request's.
    @param delivery: the method's class, e.g. C{"once"}.
    """
    if not live:
        return Verdict.SESSION_UNKNOWN  # 2
    if seq <= floor:
        return Verdict.STALE  # 3
    if seq > floor + window:
        return Verdict.BEYOND_WINDOW  # 4
    return (
        _judge_record(state, same=same, delivery=delivery, owner=owner) or Verdict.RUN
    )


def judge_sessionless(
    *,
    timestamp: float,
    floor: float,
    state: State,
    same: bool,
    delivery: str,
    owner: Owner = Owner.HERE,
) -> Verdict:
    """
    A request with an opaque id: a record wins over the floor.

    @param floor: of the principal; at or below it nothing runs without a
        record.
    """
    verdict = _judge_record(state, same=same, delivery=delivery, owner=owner)
    if verdict is not None:
        return verdict
    if state is State.ABSENT and timestamp <= floor and delivery != "readonly":
        return Verdict.STALE  # 12
    return Verdict.RUN


def _judge_record(
    state: State, *, same: bool, delivery: str, owner: Owner
) -> Verdict | None:
    """
    Rows 5 to 11; C{None} if none applies.
    """
    if delivery == "readonly" or state is State.ABSENT:
        return None
    if state is State.FORGOTTEN:
        return Verdict.STALE  # 3, 12: a store that says so itself
    if not same:
        return Verdict.ID_REUSED  # 5
    if state is State.DONE:
        return Verdict.REPLAY  # 6
    if state is State.TOMBSTONE:
        return Verdict.NOT_CACHED  # 7
    if state is State.IN_DOUBT:
        return Verdict.IN_DOUBT  # 8
    if state is State.IN_PROGRESS:
        if owner is Owner.HERE:
            return Verdict.JOIN  # 9
        if owner is Owner.ELSEWHERE:
            return Verdict.WAIT  # 10
        if settled(delivery) is State.IN_DOUBT:
            return Verdict.IN_DOUBT  # 11
    return None


def settled(delivery: str) -> State:
    """
    What an IN_PROGRESS record becomes when its owner is gone (row 11, D22).
    """
    return State.IN_DOUBT if delivery == "once" else State.RECLAIMABLE


def may_complete(state: State, record_fence: int, fence: int) -> bool:
    """
    Whether a run that claimed with C{fence} may write its answer (D10): the
    record is still its own.
    """
    return record_fence == fence and state in {State.IN_PROGRESS, State.IN_DOUBT}


def floor_after(floor: float, timestamp: float) -> float:
    """
    The floor of a principal when a record of C{timestamp} is dropped (D29), in
    the same step; it never falls.
    """
    return max(floor, timestamp)
