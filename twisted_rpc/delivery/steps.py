# -*- test-case-name: tests.delivery.test_memory_steps -*-
"""
The memory store as an L{IDedupStore<twisted_rpc.interfaces.IDedupStore>}.

A server uses a L{MemoryStore} without this, and faster.  This holds it to the
same conformance suite as the others, and lets what is written for the interface
be tried without a database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from twisted_rpc.delivery.claims import (
    Attached,
    Claim,
    Found,
    Kept,
    Key,
    RecordRow,
    SessionRow,
    Totals,
    judged,
)
from twisted_rpc.delivery.memory import Ledger, MemoryStore
from twisted_rpc.delivery.records import (
    RECORD_SIZE,
    Outcome,
    Record,
    Session,
    outcome_size,
)
from twisted_rpc.delivery.table import State, Verdict, may_complete
from twisted_rpc.errors import Code, refusal
from twisted_rpc.interfaces import IDedupStore


@implementer(IDedupStore)
class MemorySteps:
    """
    The steps of a memory store.  A life of it ends with L{stop}, and everything
    with it (D21).

    @ivar memory: the store.
    @ivar seconds: the clock of the server.
    @ivar wall: the same in Unix seconds.
    """

    name: Final = "memory"
    durable: Final = False
    shared: Final = False
    classes: Final = MemoryStore.classes

    def __init__(
        self,
        memory: MemoryStore,
        seconds: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.memory = memory
        self.window = memory.window
        self.waiters = memory.waiters
        self.retention = memory.retention
        self._seconds = seconds
        self._wall = wall
        #: When each record was claimed, and its class.
        self._begun: dict[int, tuple[float, str]] = {}

    def start(self, reactor: Any) -> Deferred[None]:
        """
        @see: L{IDedupStore.start<twisted_rpc.interfaces.IDedupStore>}
        """
        self.memory.start(self._wall())
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.stop<twisted_rpc.interfaces.IDedupStore>}
        """
        for session in list(self.memory.sessions.values()):
            self.memory.end(session)
        self.memory.ledgers.clear()
        return succeed(None)

    # -- sessions ---------------------------------------------------------------------

    def attach(self, principal: str, wanted: str | None) -> Deferred[Attached]:
        """
        @see: L{IDedupStore.attach<twisted_rpc.interfaces.IDedupStore>}
        """
        return maybeDeferred(self._attach, principal, wanted)

    def _attach(self, principal: str, wanted: str | None) -> Attached:
        session, resumed = self.memory.attach(principal, wanted)
        return Attached(session.id, session.floor, resumed)

    def detach(self, session: str) -> Deferred[None]:
        """
        @see: L{IDedupStore.detach<twisted_rpc.interfaces.IDedupStore>}
        """
        held = self.memory.sessions.get(session)
        if held is not None and held.attached:
            # All connections of this server at once.
            held.attached = 1
            self.memory.detach(held, self._seconds())
        return succeed(None)

    def end(self, session: str) -> Deferred[None]:
        """
        @see: L{IDedupStore.end<twisted_rpc.interfaces.IDedupStore>}
        """
        held = self.memory.sessions.get(session)
        if held is not None:
            self.memory.end(held)
        return succeed(None)

    def release(self, session: str, floor: int) -> Deferred[None]:
        """
        @see: L{IDedupStore.release<twisted_rpc.interfaces.IDedupStore>}
        """
        held = self.memory.sessions.get(session)
        if held is not None:
            self.memory.release(held, floor + 1)
        return succeed(None)

    # -- records ----------------------------------------------------------------------

    def _holder(self, key: Key) -> Session | Ledger | None:
        if key.seq:
            return self.memory.sessions.get(key.holder)
        return self.memory.ledger(key.holder[1:])

    def _record(self, key: Key) -> tuple[Session | Ledger | None, Record | None]:
        holder = self._holder(key)
        records: dict[Any, Record] = {} if holder is None else holder.records
        return holder, records.get(key.seq or key.name)

    def claim(self, claim: Claim) -> Deferred[Found]:
        """
        @see: L{IDedupStore.claim<twisted_rpc.interfaces.IDedupStore>}
        """
        return maybeDeferred(self._claim, claim)

    def _claim(self, claim: Claim) -> Found:
        key, memory = claim.key, self.memory
        holder, record = self._record(key)
        if claim.floor and isinstance(holder, Session):
            memory.release(holder, claim.floor + 1)
        kept = None
        if record is not None:
            _, delivery = self._begun[id(record)]
            kept = Kept(
                record.state,
                record.fence,
                record.method,
                record.params,
                delivery,
                outcome=record.outcome,
            )
        live = holder is not None and holder.principal == claim.principal
        floor = 0.0 if holder is None else holder.floor
        found = judged(claim, kept, live=live, floor=floor, window=self.window)
        if found.verdict is not Verdict.RUN or not claim.run or holder is None:
            return found
        if record is not None:
            record.fence += 1
            return Found(Verdict.RUN, record.fence)
        if memory.bytes >= memory.full and not memory.room(holder):
            raise refusal(
                Code.RESOURCE_EXHAUSTED,
                "no room to remember another call",
                retry_after=1.0,
            )
        record = Record(claim.method, claim.params, timestamp=claim.timestamp)
        memory.claim(holder, key.seq or key.name, record)
        memory.goes_on(holder, record)
        self._begun[id(record)] = (self._seconds(), claim.delivery)
        return Found(Verdict.RUN, record.fence)

    def transact(
        self, claim: Claim, run: Callable[[Any], Outcome | None]
    ) -> Deferred[Found]:
        """
        There is no transaction here.
        """
        return fail(NotImplementedError("the memory store has no transactions"))

    def complete(
        self, key: Key, fence: int, outcome: Outcome
    ) -> Deferred[Found | None]:
        """
        @see: L{IDedupStore.complete<twisted_rpc.interfaces.IDedupStore>}
        """
        holder, record = self._record(key)
        if holder is None or record is None:
            return succeed(Found(Verdict.STALE))
        if not may_complete(record.state, record.fence, fence):
            verdict = {
                State.DONE: Verdict.REPLAY,
                State.TOMBSTONE: Verdict.NOT_CACHED,
            }.get(record.state, Verdict.IN_DOUBT)
            return succeed(Found(verdict, record.fence, record.outcome))
        self.memory.complete(
            holder, key.seq or key.name, record, outcome, self._seconds()
        )
        return succeed(None)

    def unclaim(self, key: Key, fence: int) -> Deferred[None]:
        """
        @see: L{IDedupStore.unclaim<twisted_rpc.interfaces.IDedupStore>}
        """
        holder, record = self._record(key)
        if (
            holder is not None
            and record is not None
            and record.state is State.IN_PROGRESS
            and record.fence == fence
        ):
            self.memory.unclaim(holder, key.seq or key.name, record)
        return succeed(None)

    def resolve(self, key: Key, fence: int, outcome: Outcome) -> Deferred[bool]:
        """
        @see: L{IDedupStore.resolve<twisted_rpc.interfaces.IDedupStore>}

        @return: fires with C{False}: nothing here is in doubt.
        """
        return succeed(False)

    # -- the rest ---------------------------------------------------------------------

    def expire(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.expire<twisted_rpc.interfaces.IDedupStore>}
        """
        self.memory.expire(self._seconds(), self._wall())
        alive = {id(record) for _, _, record in self._all()}
        self._begun = {it: value for it, value in self._begun.items() if it in alive}
        return succeed(None)

    def _all(self) -> list[tuple[Key, str, Record]]:
        memory = self.memory
        return [
            (Key(session.id, seq), session.principal, record)
            for session in memory.sessions.values()
            for seq, record in session.records.items()
        ] + [
            (Key(f"@{ledger.principal}", 0, name), ledger.principal, record)
            for ledger in memory.ledgers.values()
            for name, record in ledger.records.items()
        ]

    def _row(self, key: Key, principal: str, record: Record) -> RecordRow:
        begun, delivery = self._begun[id(record)]
        return RecordRow(
            key,
            principal,
            record.method,
            delivery,
            record.state,
            record.fence,
            "",
            self._seconds() - begun,
            RECORD_SIZE
            if record.outcome is None
            else RECORD_SIZE + outcome_size(record.outcome),
            record.outcome,
        )

    def find(self, key: Key) -> Deferred[RecordRow | None]:
        """
        @see: L{IDedupStore.find<twisted_rpc.interfaces.IDedupStore>}
        """
        holder, record = self._record(key)
        if holder is None or record is None:
            return succeed(None)
        return succeed(self._row(key, holder.principal, record))

    def totals(self) -> Deferred[Totals]:
        """
        @see: L{IDedupStore.totals<twisted_rpc.interfaces.IDedupStore>}
        """
        states: dict[str, int] = {}
        for _, _, record in self._all():
            states[record.state.value] = states.get(record.state.value, 0) + 1
        sessions = self.memory.sessions.values()
        return succeed(
            Totals(
                len(sessions),
                sum(1 for session in sessions if session.attached),
                len(self.memory.ledgers),
                states,
                self.memory.bytes,
            )
        )

    def sessions(self, limit: int) -> Deferred[Sequence[SessionRow]]:
        """
        @see: L{IDedupStore.sessions<twisted_rpc.interfaces.IDedupStore>}
        """
        now = self._seconds()
        rows = [
            SessionRow(
                session.id,
                session.principal,
                session.floor,
                "here" if session.attached else "",
                0.0,
                0.0 if session.attached else now - session.detached_at,
                len(session.records),
                session.bytes,
            )
            for session in self.memory.sessions.values()
        ]
        return succeed(sorted(rows, key=lambda row: -row.idle)[:limit])

    def records(self, state: str | None, limit: int) -> Deferred[Sequence[RecordRow]]:
        """
        @see: L{IDedupStore.records<twisted_rpc.interfaces.IDedupStore>}
        """
        rows = [
            self._row(*each)
            for each in self._all()
            if state is None or each[2].state.value == state
        ]
        return succeed(sorted(rows, key=lambda row: -row.age)[:limit])

    def __repr__(self) -> str:
        return f"<MemorySteps of {self.memory!r}>"
