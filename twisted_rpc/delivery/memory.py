# -*- test-case-name: tests.delivery.test_memory -*-
"""
The store that lives in the process: exact while it does, and a restart ends
every session, so that nothing runs twice.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from twisted_rpc.delivery.bounds import check_bounds, with_room
from twisted_rpc.delivery.records import (
    RECORD_SIZE,
    SESSION_SIZE,
    Outcome,
    Record,
    Session,
    outcome_size,
)
from twisted_rpc.delivery.table import State, floor_after
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.limits import MIB

#: Above so many principals the floors of those without records become one.
MAX_FLOORS: Final = 10_000

#: Looked up for each record that is released; the class takes 60 ns to say it.
_IN_PROGRESS: Final = State.IN_PROGRESS

#: The name of everybody who is not authenticated.
ANONYMOUS: Final = "anonymous"


class Ledger:
    """
    What one principal has in the store.

    @ivar floor: the timestamp at or below which a request without a session and
        without a record never runs.
    @ivar records: of requests without a session, by id, oldest first.
    @ivar bytes: what those are counted with.
    @ivar sessions: its sessions, by id.
    @ivar detached: those no connection uses, the longest first.
    """

    __slots__ = (
        "bytes",
        "detached",
        "floor",
        "principal",
        "records",
        "running",
        "sessions",
    )

    def __init__(self, principal: str, floor: float) -> None:
        self.principal = principal
        self.floor = floor
        self.records: dict[str, Record] = {}
        self.bytes = 0
        self.running = 0
        self.sessions: dict[str, Session] = {}
        self.detached: OrderedDict[str, Session] = OrderedDict()


class MemoryStore:
    """
    Records in memory, bounded in every dimension; all sizes in bytes.
    C{math.inf} switches a bound off, other than C{window} and C{total_bytes}.

    @ivar retention: seconds that a session without a connection, and the record
        of a request without a session, are kept.
    @ivar window: sequence numbers of a session that may be open at once.
    @ivar waiters: duplicates that may wait for one run.
    @ivar session_bytes: answers kept for one session.
    @ivar principal_bytes: answers kept for one principal's requests that have
        no session.
    @ivar total_bytes: everything together.
    @ivar sessions_per_principal: for C{anonymous}, whom all strangers share,
        C{sessions} holds instead.
    @ivar sessions: in all; beyond them callers who are authenticated may have a
        tenth more.
    @ivar bytes: what is in use now.
    @ivar full: with so many in use, another record does not fit.
    @ivar evicted: answers that were dropped to make room, so far.
    """

    name: Final = "memory"
    durable: Final = False
    #: Whether several processes may use it together.
    shared: Final = False
    classes: Final = ("readonly", "idempotent", "once")

    def __init__(
        self,
        *,
        retention: float = 900.0,
        window: int = 1024,
        waiters: float = 64,
        session_bytes: float = 4 * MIB,
        principal_bytes: float = 16 * MIB,
        total_bytes: int = 64 * MIB,
        sessions_per_principal: float = 64,
        sessions: float = 10_000,
    ) -> None:
        check_bounds(
            off=True,
            retention=retention,
            window=window,
            waiters=waiters,
            session_bytes=session_bytes,
            principal_bytes=principal_bytes,
            total_bytes=total_bytes,
            sessions_per_principal=sessions_per_principal,
            sessions=sessions,
        )
        self.retention = retention
        self.window = window
        self.waiters = waiters
        self.session_bytes = session_bytes
        self.principal_bytes = principal_bytes
        self.total_bytes = total_bytes
        self.full = total_bytes - RECORD_SIZE + 1
        self.sessions_per_principal = sessions_per_principal
        self.max_sessions = sessions
        self.bytes = 0
        self.evicted = 0
        self.sessions: dict[str, Session] = {}
        self.ledgers: dict[str, Ledger] = {}
        self._floor = 0.0

    def start(self, now: float) -> None:
        """
        The store begins to serve: whatever was asked before C{now} may have run
        in an earlier life of this server (D30).

        @param now: the server's clock, in Unix seconds.
        """
        self._floor = floor_after(self._floor, now)
        for ledger in self.ledgers.values():
            ledger.floor = floor_after(ledger.floor, now)

    # -- sessions -----------------------------------------------------------------

    def attach(self, principal: str, wanted: str | None) -> tuple[Session, bool]:
        """
        The session of a new connection.

        @param wanted: the session it asks to resume.

        @return: the session, and whether it is the one that was asked for.

        @raise RPCError: RESOURCE_EXHAUSTED, no session can be had.
        """
        session = self.sessions.get(wanted) if wanted is not None else None
        resumed = session is not None and session.principal == principal
        if session is None or not resumed:
            session = self._new_session(principal)
        session.attached += 1
        self.ledgers[principal].detached.pop(session.id, None)
        return session, resumed

    def _new_session(self, principal: str) -> Session:
        ledger = self.ledger(principal)
        most = every = self.max_sessions
        if principal != ANONYMOUS:
            most, every = self.sessions_per_principal, with_room(every)
        if len(ledger.sessions) >= most or len(self.sessions) >= every:
            # A principal loses its own longest unattached session, and nobody
            # else's (D19).
            idle = next((s for s in ledger.detached.values() if not s.running), None)
            if idle is None:
                raise refusal(
                    Code.RESOURCE_EXHAUSTED,
                    f"{len(ledger.sessions)} sessions are open already",
                    retry_after=1.0,
                )
            self.end(idle)
        if not self._fits(ledger, SESSION_SIZE):
            raise refusal(
                Code.RESOURCE_EXHAUSTED,
                "no room to remember another session",
                retry_after=1.0,
            )
        return self._add_session(secrets.token_hex(16), ledger)

    def _add_session(self, session_id: str, ledger: Ledger) -> Session:
        session = Session(session_id, ledger.principal)
        self.sessions[session.id] = session
        ledger.sessions[session.id] = session
        self.bytes += SESSION_SIZE
        return session

    def adopt(self, principal: str, session_id: str, floor: int) -> Session:
        """
        A connection uses a session that another store has issued.

        @param floor: what that store says it is.
        """
        ledger = self.ledger(principal)
        session = self.sessions.get(session_id)
        if session is None:
            if len(self.sessions) >= self.max_sessions:
                # What is here of a session is no more than a convenience.
                idle = (s for s in ledger.detached.values() if not s.running)
                for each in [*idle][:2]:
                    self.end(each)
            session = self._add_session(session_id, ledger)
        session.attached += 1
        ledger.detached.pop(session_id, None)
        self.release(session, floor + 1)
        return session

    def detach(self, session: Session, now: float) -> None:
        """
        A connection that used C{session} has ended.
        """
        session.attached -= 1
        if not session.attached:
            session.detached_at = now
            self.ledgers[session.principal].detached[session.id] = session

    def end(self, session: Session) -> None:
        """
        C{session} dies, for ever, and its records with it.
        """
        self.sessions.pop(session.id, None)
        ledger = self.ledgers[session.principal]
        ledger.sessions.pop(session.id, None)
        ledger.detached.pop(session.id, None)
        self.bytes -= session.bytes + SESSION_SIZE
        session.bytes = 0
        session.kept.clear()
        session.noted.clear()

    def expire(self, now: float, wall: float) -> None:
        """
        End the sessions that nobody has used for L{retention} seconds (D20), and
        drop the records of requests without a session that ended so long ago,
        each together with a rise of its principal's floor (D29).

        @param now: the clock that L{detach} and L{complete} were told.
        @param wall: the server's clock, in Unix seconds.
        """
        oldest = now - self.retention
        for ledger in list(self.ledgers.values()):
            for session in list(ledger.detached.values()):
                if session.detached_at > oldest:
                    break
                if not session.running:
                    self.end(session)
            for key, record in list(ledger.records.items()):
                if record.state is State.IN_PROGRESS:
                    continue
                if record.ended > oldest:
                    break
                self._forget(ledger, key, record)
        if len(self.ledgers) > MAX_FLOORS:
            self._merge_floors(wall)

    def _merge_floors(self, wall: float) -> None:
        """
        Many floors become one, upwards (D32): the lowest of those that nothing
        else hangs on.  One that is ahead of the clock stays until it is not, so
        that it neither falls nor stands in the way of principals yet to come.
        """
        idle = [
            each
            for each in self.ledgers.values()
            if not each.records and not each.sessions and each.floor <= wall
        ]
        idle.sort(key=lambda each: each.floor)
        for ledger in idle[: len(self.ledgers) - MAX_FLOORS // 2]:
            self._floor = floor_after(self._floor, ledger.floor)
            del self.ledgers[ledger.principal]

    def ledger(self, principal: str) -> Ledger:
        """
        What C{principal} has here, made at its first use.
        """
        ledger = self.ledgers.get(principal)
        if ledger is None:
            ledger = self.ledgers[principal] = Ledger(principal, self._floor)
        return ledger

    # -- records --------------------------------------------------------------------

    def room(self, holder: Session | Ledger) -> bool:
        """
        Whether another call of C{holder} can be remembered; answers that belong
        to its principal are evicted for it, nobody else's.
        """
        return self._fits(self.ledgers[holder.principal], RECORD_SIZE)

    def _fits(self, ledger: Ledger, size: int) -> bool:
        if self.bytes + size > self.total_bytes:
            self._shrink_principal(ledger)
        return self.bytes + size <= self.total_bytes

    def claim(self, holder: Session | Ledger, key: Any, record: Record) -> None:
        """
        The run of a new call begins (row 15).
        """
        records: dict[Any, Record] = holder.records
        records[key] = record

    def goes_on(self, holder: Session | Ledger, record: Record) -> None:
        """
        The run has not ended at once: it counts from now on.  Of a call that
        answers at once only the end is counted, which halves its cost.
        """
        record.size = RECORD_SIZE
        holder.bytes += RECORD_SIZE
        holder.running += 1
        self.bytes += RECORD_SIZE

    def unclaim(self, holder: Session | Ledger, key: Any, record: Record) -> None:
        """
        The call was refused before it ran: refusals are not recorded (D15).
        """
        if record.size:
            holder.running -= 1
        self._drop(holder, key, record)

    def complete(
        self,
        holder: Session | Ledger,
        key: Any,
        record: Record,
        outcome: Outcome,
        now: float,
    ) -> None:
        """
        The run has ended; its answer is kept, if there is room for it.

        @param now: the clock's seconds.
        """
        size = RECORD_SIZE + (
            len(outcome) if type(outcome) is bytes else outcome_size(outcome)
        )
        added = size - record.size
        if record.size:
            holder.running -= 1
            record.run = None
        record.state = State.DONE
        record.outcome = outcome
        record.ended = now
        record.size = size
        holder.bytes += added
        self.bytes += added
        if isinstance(holder, Session):
            if key <= holder.floor:
                # Acknowledged while it ran (D7).
                self._drop(holder, key, record)
            elif holder.bytes > self.session_bytes:
                most = self.session_bytes
                self._bury_big(holder, record, most)
                if holder.bytes > most:
                    self._evict(holder, most * 3 // 4)
        elif holder.bytes > self.principal_bytes:
            most = self.principal_bytes
            self._bury_big(holder, record, most)
            if holder.bytes > most:
                self._shrink_ledger(holder, most * 3 // 4)
        if self.bytes > self.total_bytes:
            self._shrink_principal(self.ledgers[holder.principal])

    def release(self, session: Session, ack: int) -> None:
        """
        The client will send nothing below C{ack} again: raise the floor, and
        drop what is at or below it, once it has ended (D7).
        """
        floor = session.floor
        if ack - 1 <= floor:
            return
        session.floor = ack - 1
        noted, kept = session.noted, session.kept
        keys: Iterable[int] = range(floor + 1, ack)
        if ack - floor > len(noted) + len(kept) + 1:
            keys = [seq for seq in (*noted, *kept) if seq < ack]
        freed = 0
        for seq in keys:
            # Nearly all, at 0.1 us.
            if (call := noted.pop(seq, None)) is not None:
                freed += RECORD_SIZE + len(call[2])
            elif (record := kept.get(seq)) is not None and (
                record.state is not _IN_PROGRESS
            ):
                del kept[seq]
                freed += record.size
        session.bytes -= freed
        self.bytes -= freed

    def free(self, session: Session) -> int:
        """
        How many bytes of answers there is room for.
        """
        room = self.total_bytes - self.bytes
        return int(min(self.session_bytes - session.bytes, room))

    def count(self, session: Session, size: int) -> None:
        """
        So many bytes were noted in C{session}.
        """
        if session.id in self.sessions:
            session.bytes += size
            self.bytes += size

    def _drop(self, holder: Session | Ledger, key: Any, record: Record) -> None:
        records: dict[Any, Record] = holder.records
        if records.pop(key, None) is not None:
            holder.bytes -= record.size
            self.bytes -= record.size

    def _forget(self, ledger: Ledger, key: str, record: Record) -> None:
        """
        Drop a record and raise the floor to its timestamp, in one step (D29).
        """
        ledger.floor = floor_after(ledger.floor, record.timestamp)
        self._drop(ledger, key, record)

    def _evict(self, holder: Session | Ledger, target: float) -> None:
        """
        Turn answers into tombstones, oldest first, until C{holder} is at or
        below C{target} or has none left.
        """
        if holder.bytes <= RECORD_SIZE * len(holder.records):
            # Tombstones and runs only: spare a full store the walk at each call.
            return
        for record in holder.records.values():
            if holder.bytes <= target:
                return
            if record.state is State.DONE:
                self._bury(holder, record)

    def _bury_big(self, holder: Session | Ledger, record: Record, most: float) -> None:
        """
        An answer that would push nearly all others out goes itself (D18).
        """
        if record.size > most * 3 // 4:
            self._bury(holder, record)

    def _bury(self, holder: Session | Ledger, record: Record) -> None:
        freed = record.size - RECORD_SIZE
        record.state = State.TOMBSTONE
        record.outcome = None
        record.size = RECORD_SIZE
        holder.bytes -= freed
        self.bytes -= freed
        self.evicted += 1

    def _shrink_ledger(self, ledger: Ledger, target: float) -> None:
        """
        Bodies go first, then records, the oldest timestamp first (D28).
        """
        self._evict(ledger, target)
        if ledger.bytes <= target:
            return
        ended = [
            (record.timestamp, key)
            for key, record in ledger.records.items()
            if record.state is not State.IN_PROGRESS
        ]
        for _, key in sorted(ended):
            if ledger.bytes <= target:
                return
            self._forget(ledger, key, ledger.records[key])

    def _shrink_principal(self, ledger: Ledger) -> None:
        """
        Make room in the whole store out of what one principal has.
        """
        target = self.total_bytes * 7 // 8
        for session in list(ledger.sessions.values()):
            self._evict(session, session.bytes - max(0, self.bytes - target))
            if self.bytes <= target:
                return
        self._shrink_ledger(ledger, ledger.bytes - (self.bytes - target))

    # -- questions --------------------------------------------------------------------

    def find(
        self, principal: str, session: Session | None, request_id: str
    ) -> tuple[State, Record | None]:
        """
        What is known of a call now.

        @raise RPCError: SESSION_UNKNOWN, the id belongs to a session that is not
            the caller's.
        """
        owner, colon, digits = request_id.rpartition(":")
        # From 1; 16 digits hold 2^53 - 1.  int() would read other alphabets' digits
        # too, and fail above 4,300.
        is_seq = (
            colon
            and len(digits) <= 16
            and digits.isascii()
            and digits.isdecimal()
            and digits[0] != "0"
        )
        if session is not None and owner == session.id and is_seq:
            seq = int(digits)
            found = session.records.get(seq)
            if found is None:
                return (State.FORGOTTEN if seq <= session.floor else State.ABSENT), None
            return found.state, found
        ledger = self.ledgers.get(principal)
        found = ledger.records.get(request_id) if ledger is not None else None
        if found is None:
            raise refusal(Code.SESSION_UNKNOWN, "no such session", executed="unknown")
        return found.state, found

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self.sessions)} sessions, {self.bytes} bytes>"


__all__ = ["ANONYMOUS", "Ledger", "MemoryStore", "RPCError"]
