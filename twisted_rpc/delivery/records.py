# -*- test-case-name: tests.delivery.test_records -*-
"""
What is kept of a call, and of a session.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from twisted_rpc.call import Request
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import RPCError

#: Parameters up to so many bytes are kept as they are; of longer ones a hash (D4).
#: Hashing every small call would cost more than the rest of deduplication.
INLINE = 64


def fingerprint(params: Any) -> bytes:
    """
    What tells the parameters of two requests apart.

    @param params: the text of the array, as C{bytes} or C{msgspec.Raw}.
    """
    text = bytes(params)
    if len(text) <= INLINE:
        return text
    return blake2b(text, digest_size=16).digest()


#: What is stored of an answer: the encoded result, or the error.
Outcome = bytes | RPCError


def frozen(error: RPCError) -> RPCError:
    """
    C{error} without what it drags along: frames, causes, its own class.
    """
    return RPCError(
        error.code,
        error.message,
        executed=error.executed,
        retry_after=error.retry_after,
        error_id=error.error_id,
        type=error.type,
        data=error.data,
    )


class Record(msgspec.Struct, eq=False):
    """
    What is known of one call.

    @ivar method: the full name of whose call it is; with C{params} its fingerprint.
    @ivar fence: grows with each claim.
    @ivar outcome: the answer, while the state is DONE.
    @ivar run: the run that is going on here, once somebody has to wait for it.
    @ivar size: bytes this record is counted with.
    @ivar timestamp: of a sessionless call; the request's that made it.
    @ivar ended: when it ended, in the clock's seconds.
    """

    # A msgspec.Struct for the reason that Request is one.
    method: str
    params: bytes
    state: State = State.IN_PROGRESS
    fence: int = 1
    outcome: Any = None
    run: Any = None
    size: int = 0
    timestamp: float = 0.0
    ended: float = 0.0

    def same(self, method: str, params: bytes) -> bool:
        """
        Whether it is the record of a call with these parameters.
        """
        return self.method == method and self.params == params


#: What a record takes in memory beside its outcome: itself some 150 bytes, its
#: parameters up to 97, its place in a dict 100, its key 32, its share of the
#: dict's spare room.
RECORD_SIZE = 400

#: What a session takes, beside its records.
SESSION_SIZE = 1_000


def outcome_size(outcome: Outcome) -> int:
    """
    Bytes an outcome takes in memory, about.
    """
    if isinstance(outcome, bytes):
        return len(outcome)
    size = 500 + len(outcome.message)
    if outcome.data is not None:
        # On a server it is the text it came in from the codec.
        data: Any = outcome.data
        size += 1000 if isinstance(data, dict) else len(bytes(data))
    return size


#: A call that has been answered: its method's full name, parameters and answer.
#: Nothing in it refers to anything else, so that Python's collector of cycles lets it
#: alone: it would take 1 us a call where 1,000 connections have some each.
Noted = tuple[str, bytes, bytes]


class Session:
    """
    A client's calls, as far as this server has to remember them.

    @ivar principal: who may use it.
    @ivar floor: the highest seq that was acknowledged.
    @ivar kept: records by seq, above the floor but for what still runs.
    @ivar noted: what is known of the other calls, which nobody has asked for since:
        a tuple takes a third of a record's time, and of its memory.
    @ivar current: a request that runs, and is in neither of them.
    @ivar attached: connections that use it now.
    @ivar detached_at: since when there are none.
    @ivar bytes: what its records are counted with.
    @ivar running: records IN_PROGRESS.
    """

    __slots__ = (
        "attached",
        "bytes",
        "current",
        "detached_at",
        "floor",
        "id",
        "kept",
        "noted",
        "principal",
        "running",
    )

    def __init__(self, session_id: str, principal: str) -> None:
        self.id = session_id
        self.principal = principal
        self.floor = 0
        self.kept: dict[int, Record] = {}
        self.noted: dict[int, Noted] = {}
        self.current: Request | None = None
        self.attached = 0
        self.detached_at = 0.0
        self.bytes = 0
        self.running = 0

    @property
    def records(self) -> dict[int, Record]:
        """
        All records, the oldest first.
        """
        kept = self.kept
        if self.noted:
            for seq, (method, params, answer) in self.noted.items():
                kept[seq] = record = Record(method, params, State.DONE, outcome=answer)
                record.size = RECORD_SIZE + len(answer)
            if len(kept) > len(self.noted):
                ordered = sorted(kept.items())
                kept.clear()
                kept.update(ordered)
            self.noted.clear()
        current = self.current
        if current is not None and current.seq not in kept:
            name = current.method.full_name
            kept[current.seq] = Record(name, fingerprint(current.params))
        return kept

    def record_of(self, request: Request, params: bytes) -> Record:
        """
        The record of a request that was L{current}: somebody may have asked for it.

        @param params: its, as records have them.
        """
        record = self.kept.get(request.seq)
        if record is None:
            record = Record(request.method.full_name, params)
            self.kept[request.seq] = record
        return record

    def __repr__(self) -> str:
        # The id is a secret (X9).
        count = len(self.noted) + len(self.kept)
        return f"<Session {self.id[:4]}... of {self.principal}, {count} records>"
