# -*- test-case-name: tests.delivery.test_claims -*-
"""
What a store is asked, and what it answers: the words of
L{IDedupStore<twisted_rpc.interfaces.IDedupStore>}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.table import (
    Owner,
    State,
    Verdict,
    judge_session,
    judge_sessionless,
)
from twisted_rpc.errors import Code, Executed, RPCError


class Key(NamedTuple):
    """
    Whose call it is, and which (D2, D26).

    @ivar holder: the id of a session; of requests without one C{@} and the
        principal, which no session's id begins with.
    @ivar seq: of a call of a session; 0 elsewhere.
    @ivar name: the id of a request without a session; C{""} elsewhere.
    """

    holder: str
    seq: int = 0
    name: str = ""

    @property
    def request_id(self) -> str:
        """
        The id, as it stood in the request.
        """
        return f"{self.holder}:{self.seq}" if self.seq else self.name


def ledger(principal: str) -> str:
    """
    The holder of what C{principal} asks without a session.
    """
    return f"@{principal}"


class Claim(msgspec.Struct):
    """
    A request that wants to run.

    @ivar principal: who asks.
    @ivar delivery: the class of the method.
    @ivar method: C{"Service.method"}, as on the wire.
    @ivar params: the L{fingerprint<twisted_rpc.delivery.records.fingerprint>} of
        its parameters.
    @ivar timestamp: of a request without a session.
    @ivar floor: of a request of a session: the highest seq that its client was
        heard to acknowledge before; 0: nothing new.
    @ivar run: C{False}: it would be refused, and only wants to know whether
        there is a record.
    """

    key: Key
    principal: str
    delivery: str
    method: str
    params: bytes
    timestamp: float = 0.0
    floor: int = 0
    run: bool = True


class Found(msgspec.Struct):
    """
    What a store made of a claim.

    @ivar verdict: what is to be done; C{RUN} says that it was claimed, if that
        was asked for.
    @ivar fence: of the record; after C{RUN} that of this claim.
    @ivar outcome: the stored answer, with C{REPLAY}.
    @ivar floor: of the session or the principal.
    @ivar ran: by L{IDedupStore.transact<twisted_rpc.interfaces.IDedupStore>}:
        the answer is that of this run.
    """

    verdict: Verdict
    fence: int = 0
    outcome: Any = None
    floor: float = 0.0
    ran: bool = False


class Kept(msgspec.Struct):
    """
    A record, as a store reads it.

    @ivar owner: whose run it is, while it is IN_PROGRESS.
    """

    state: State
    fence: int
    method: str
    params: bytes
    delivery: str
    owner: Owner = Owner.HERE
    outcome: Any = None


def judged(
    claim: Claim, kept: Kept | None, *, live: bool, floor: float, window: int
) -> Found:
    """
    Ask the table about a claim: the one place that does.

    @param kept: its record.
    @param live: the session is alive and the caller's.
    @param floor: of the session or the principal.
    """
    if claim.key.seq and not live:
        # Byte for byte the same, whatever is the reason (row 2).
        return Found(Verdict.SESSION_UNKNOWN)
    state = State.ABSENT if kept is None else kept.state
    if kept is not None and state is State.IN_PROGRESS and kept.owner is Owner.HERE:
        # A process knows what runs in it and asks for that nobody.  This claim
        # was made, and nobody heard of it: nothing was started under it.
        state = State.RECLAIMABLE
    same = kept is None or (kept.method == claim.method and kept.params == claim.params)
    # The class that it ran with is the one that tells what may have happened.
    delivery = claim.delivery if kept is None else kept.delivery
    owner = Owner.HERE if kept is None else kept.owner
    if claim.key.seq:
        verdict = judge_session(
            live=True,
            seq=claim.key.seq,
            floor=int(floor),
            window=window,
            state=state,
            same=same,
            delivery=delivery,
            owner=owner,
        )
    else:
        verdict = judge_sessionless(
            timestamp=claim.timestamp,
            floor=floor,
            state=state,
            same=same,
            delivery=delivery,
            owner=owner,
        )
    found = Found(verdict, floor=floor)
    if kept is not None:
        found.fence = kept.fence
        if verdict is Verdict.REPLAY:
            found.outcome = kept.outcome
    return found


class Attached(msgspec.Struct):
    """
    A session that a connection uses now.

    @ivar resumed: it is the one that was asked for.
    """

    session: str
    floor: int
    resumed: bool


class StoreError(Exception):
    """
    A store could not do what it was asked to, for the moment.

    @ivar ambiguous: it may have done it all the same.
    @ivar session: that it may have made, and nobody uses.
    """

    session = ""

    def __init__(self, text: str, *, ambiguous: bool = False) -> None:
        super().__init__(text)
        self.ambiguous = ambiguous


class UncommittedError(Exception):
    """
    A database does not commit what a method did, e.g. for a constraint that is
    looked at only then: nothing of it is there.
    """


class StoredError(msgspec.Struct, omit_defaults=True):
    """
    An error, as it is stored.

    @ivar data: its members: the text of a JSON object.
    """

    code: Code
    message: str
    executed: Executed = "yes"
    retry_after: float | None = None
    error_id: str | None = None
    type: str | None = None
    data: str = ""


_RESULT = b"="
_ERROR = b"!"


def write_outcome(outcome: Outcome) -> bytes:
    """
    An answer as one text of bytes.
    """
    if isinstance(outcome, bytes):
        return _RESULT + outcome
    data: Any = outcome.data
    if data is None:
        text = ""
    elif isinstance(data, msgspec.Raw):
        text = bytes(data).decode()
    else:
        text = msgspec.json.encode(data).decode()
    stored = StoredError(
        outcome.code,
        # What an implementation raises may hold anything, also halves of characters,
        # e.g. out of the name of a file.
        str(outcome.message or "").encode("utf-8", "backslashreplace").decode(),
        outcome.executed,
        outcome.retry_after,
        outcome.error_id,
        outcome.type,
        text,
    )
    return _ERROR + msgspec.json.encode(stored)


_read_error = msgspec.json.Decoder(StoredError).decode


def read_outcome(text: bytes) -> Outcome:
    """
    What L{write_outcome} wrote.
    """
    if text[:1] == _RESULT:
        return text[1:]
    stored = _read_error(text[1:])
    return RPCError(
        stored.code,
        stored.message,
        executed=stored.executed,
        retry_after=stored.retry_after,
        error_id=stored.error_id,
        type=stored.type,
        data=msgspec.Raw(stored.data.encode()) if stored.data else None,  # type: ignore[arg-type]  # as dispatch makes it
    )


class SessionRow(msgspec.Struct):
    """
    A session, as an operator sees it.

    @ivar attached: the owners whose connections use it; C{""}: none.
    @ivar idle: seconds since a connection used it; 0 while one does.
    @ivar records: how many calls of it are remembered.
    """

    session: str
    principal: str
    floor: int
    attached: str
    age: float
    idle: float
    records: int
    size: int


class RecordRow(msgspec.Struct):
    """
    A record, as an operator sees it.

    @ivar age: seconds since it was claimed.
    """

    key: Key
    principal: str
    method: str
    delivery: str
    state: State
    fence: int
    owner: str
    age: float
    size: int
    outcome: Any = None


def record_row(key: Key, columns: Sequence[Any], outcome: bytes | None) -> RecordRow:
    """
    Make a row of what a store has.

    @param columns: what stands between C{key} and C{outcome}, in their order, as
        texts or numbers.
    @param outcome: as L{write_outcome} wrote it.
    """
    principal, method, delivery, state, fence, owner, age, size = columns
    return RecordRow(
        key,
        principal,
        method,
        delivery,
        State(state),
        int(fence),
        owner,
        float(age),
        int(size),
        read_outcome(outcome) if outcome else None,
    )


class Totals(msgspec.Struct):
    """
    What is in a store, counted.

    @ivar records: by the name of their state.
    @ivar floors: principals with a floor of their own.
    """

    sessions: int
    attached: int
    floors: int
    records: dict[str, int]
    size: int
