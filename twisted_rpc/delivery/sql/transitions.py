# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
The steps of a store, each inside a transaction that somebody else commits.

What is decided is decided by the table (L{judged}); the insertion at the
beginning of L{Transitions.claim} is what it says of nearly every call, in one
statement, and the conformance suite holds it to that (rows 2 to 4, 12 and 15).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted_rpc.delivery.bounds import with_room
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
    read_outcome,
    record_row,
    write_outcome,
)
from twisted_rpc.delivery.memory import ANONYMOUS, MAX_FLOORS
from twisted_rpc.delivery.records import RECORD_SIZE, SESSION_SIZE, Outcome
from twisted_rpc.delivery.sql.schema import COMPLETE
from twisted_rpc.delivery.sql.usage import Usage
from twisted_rpc.delivery.table import Owner, State, Verdict
from twisted_rpc.errors import Code, RPCError, refusal

#: Rows that one step of housekeeping touches at most.
_MOST: Final = 1_000


class Transaction(Protocol):
    """
    A transaction of a database, begun already.

    @ivar grown: bytes by which what a holder has here has grown in it.
    """

    grown: dict[str, int]

    def execute(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """
        @param sql: with C{?} for each argument, and the words in braces that
            L{twisted_rpc.delivery.sql.schema} names.

        @return: a cursor of the database.
        """
        ...

    def insert(self, row: Sequence[Any], *, runs: bool) -> int | None:
        """
        Insert a record that is IN_PROGRESS, if its holder's floor is below it and
        there is none.

        @param row: its C{seq, name, owner, delivery, method, params, size, stamp,
            holder}, then the principal, what the floor must be below, and at
            least.
        @param runs: whether its run is next, by L{alone}.

        @return: its fence; C{None}, it was not inserted.
        """
        ...

    def finish(self, row: Sequence[Any]) -> None:
        """
        Complete a record that was claimed in this transaction; at the latest the
        commit fails if it is not there.

        @param row: its C{state, outcome, size, holder, seq, name, fence}.
        """
        ...

    def alone(self, run: Callable[[Any], Outcome | None]) -> Outcome | None:
        """
        Call C{run} with the connection in a savepoint, and undo what it did in
        the database if it returns C{None} or an error.
        """
        ...

    def gone(self, owner: str) -> bool:
        """
        Whether a server is not alive any more.
        """
        ...


class Bounds(Protocol):
    """
    The limits that a store was made with.
    """

    window: int
    retention: float
    session_bytes: int
    principal_bytes: int
    total_bytes: int
    sessions_per_principal: int
    max_sessions: int


#: Who owns a record that somebody resolved.
_RESOLVED: Final = "resolved"

#: Whose bytes those are that sessions take beside their records.
_SESSIONS: Final = ""

_COLUMNS: Final = "state, fence, owner, delivery, method, params, outcome"

_RECLAIM: Final = """
    UPDATE rpc_records SET state = 'IN_PROGRESS', fence = fence + 1, owner = ?,
                           begun = {now}
    WHERE holder = ? AND seq = ? AND name = ? AND fence = ?
          AND state IN ('IN_PROGRESS', 'RECLAIMABLE')
"""

_COMPLETE: Final = COMPLETE.format(
    state="?",
    outcome="?",
    size="?",
    key="holder = ? AND seq = ? AND name = ?",
    fence="?",
    now="{now}",
)

#: The names of states, which their class takes long to say.
_DONE: Final = State.DONE.value
_TOMBSTONE: Final = State.TOMBSTONE.value

#: Who uses a session is one text, the L{mark_of} of each server: so a row says all of
#: it, and nothing that two servers change at once.
USE: Final = """
    UPDATE rpc_holders SET owner = replace(owner, {text}, '') || {text}, detached = 0
"""
_LEAVE: Final = """
    UPDATE rpc_holders
    SET owner = replace(owner, {text}, ''),
        detached = CASE WHEN owner = {text} THEN {now} ELSE 0 END
    WHERE replace(owner, {text}, '') <> owner
"""


def mark_of(owner: str) -> str:
    """
    How a server stands among those that use a session; its name has no line end.
    """
    return f"\n{owner}\n"


_SETTLE: Final = """
    UPDATE rpc_records
    SET state = CASE delivery WHEN 'once' THEN 'IN_DOUBT' ELSE 'RECLAIMABLE' END,
        ended = {now}
    WHERE owner = ? AND state = 'IN_PROGRESS'
"""


class Transitions:
    """
    The steps, for one life of one server.

    @ivar owner: this life.
    @ivar usage: bytes that there are.
    @ivar theirs: bytes that other servers may add until the next look.
    """

    def __init__(self, bounds: Bounds, owner: str) -> None:
        self._bounds = bounds
        self.owner = owner
        self.usage = Usage()
        self.theirs = 0
        self._shared = False
        self._ended: list[str] = []

    # -- sessions ---------------------------------------------------------------------

    def attach(
        self, tx: Transaction, principal: str, wanted: str | None, new: str
    ) -> Attached | RPCError:
        """
        @see: L{IDedupStore.attach<twisted_rpc.interfaces.IDedupStore>}

        @param new: the id of the session, if one is made.  If it is there, this step
            was done, and nobody heard that it was committed.
        """
        mark = mark_of(self.owner)
        if wanted is None or wanted.startswith("@"):
            wanted = new
        row = tx.execute(
            USE + " WHERE holder IN (?, ?) AND principal = ? RETURNING holder, floor",
            (mark, mark, wanted, new, principal),
        ).fetchone()
        if row is not None:
            return Attached(row[0], int(row[1]), resumed=row[0] != new)
        refused = self._make_room_for_session(tx, principal)
        if refused is not None:
            return refused
        tx.execute(
            "INSERT INTO rpc_holders (holder, principal, floor, owner, made, detached)"
            " VALUES (?, ?, 0, ?, {now}, 0) ON CONFLICT (holder) DO NOTHING",
            (new, principal, mark),
        )
        self.usage.add(new)
        _grow(tx, _SESSIONS, SESSION_SIZE)
        return Attached(new, 0, resumed=False)

    def _make_room_for_session(
        self, tx: Transaction, principal: str
    ) -> RPCError | None:
        """
        A principal at its cap, or the store at its own, costs it its own longest
        unattached session, and nobody else's (D19).
        """
        bounds = self._bounds
        most = most_in_all = bounds.max_sessions
        if principal != ANONYMOUS:
            most = bounds.sessions_per_principal
            most_in_all = int(with_room(most_in_all))
        tx.execute("SELECT value FROM rpc_facts WHERE name = 'sessions' {update}")
        own, every = tx.execute(
            "SELECT (SELECT COUNT(*) FROM rpc_holders"
            "        WHERE principal = ? AND substr(holder, 1, 1) <> '@'),"
            "       (SELECT COUNT(*) FROM rpc_holders"
            "        WHERE substr(holder, 1, 1) <> '@')",
            (principal,),
        ).fetchone()
        if own >= most or every >= most_in_all:
            idle = tx.execute(
                "SELECT holder FROM rpc_holders h"
                " WHERE principal = ? AND detached > 0 AND substr(holder, 1, 1) <> '@'"
                " AND NOT EXISTS (SELECT 1 FROM rpc_records r"
                "                 WHERE r.holder = h.holder AND r.state = 'IN_PROGRESS')"
                " ORDER BY detached LIMIT 1 {skip}",
                (principal,),
            ).fetchone()
            if idle is None:
                return refusal(
                    Code.RESOURCE_EXHAUSTED,
                    f"{own} sessions are open already",
                    retry_after=1.0,
                )
            self.end(tx, idle[0])
        if not self._fits(tx, principal, SESSION_SIZE):
            return refusal(
                Code.RESOURCE_EXHAUSTED,
                "no room to remember another session",
                retry_after=1.0,
            )
        return None

    def detach(self, tx: Transaction, session: str) -> None:
        """
        @see: L{IDedupStore.detach<twisted_rpc.interfaces.IDedupStore>}
        """
        mark = mark_of(self.owner)
        tx.execute(_LEAVE + " AND holder = {text}", (mark, mark, mark, session))
        self.usage.forget(session)

    def end(self, tx: Transaction, session: str) -> None:
        """
        @see: L{IDedupStore.end<twisted_rpc.interfaces.IDedupStore>}
        """
        ended = tx.execute(
            "DELETE FROM rpc_holders WHERE holder = ? RETURNING holder", (session,)
        ).fetchone()
        if ended is not None:
            freed = _sum(
                tx.execute(
                    "DELETE FROM rpc_records WHERE holder = ? RETURNING size",
                    (session,),
                )
            )
            _grow(tx, session, -freed)
            _grow(tx, _SESSIONS, -SESSION_SIZE)
            self.usage.forget(session)
            self._ended.append(session)

    def _sweep(self, tx: Transaction) -> None:
        """
        Drop what the sessions that were ended here have left: a claim that was
        not committed yet was not seen, and nothing else would find its record.
        """
        left = []
        ended = self._ended[:_MOST]
        for session in ended:
            freed = _sum(
                tx.execute(
                    "DELETE FROM rpc_records WHERE holder = ? AND state <> 'IN_PROGRESS'"
                    " AND NOT EXISTS (SELECT 1 FROM rpc_holders WHERE holder = ?)"
                    " RETURNING size",
                    (session, session),
                )
            )
            _grow(tx, session, -freed)
            ask = "SELECT 1 FROM rpc_records WHERE holder = ? LIMIT 1"
            if tx.execute(ask, (session,)).fetchone() is not None:
                left.append(session)
        # Other threads add to it meanwhile.
        del self._ended[: len(ended)]
        self._ended += left
        del self._ended[: -10 * _MOST]

    def release(self, tx: Transaction, session: str, floor: int) -> None:
        """
        @see: L{IDedupStore.release<twisted_rpc.interfaces.IDedupStore>}
        """
        # First the floor: whoever finds a record gone finds the floor above it.
        tx.execute(
            "UPDATE rpc_holders SET floor = ? WHERE holder = ? AND floor < ?",
            (floor, session, floor),
        )
        freed = _sum(
            tx.execute(
                "DELETE FROM rpc_records WHERE holder = ? AND seq > 0 AND seq <= ?"
                " AND state NOT IN ('IN_PROGRESS', 'IN_DOUBT') AND owner <> ?"
                " RETURNING size",
                (session, floor, _RESOLVED),
            )
        )
        _grow(tx, session, -freed)

    # -- records ----------------------------------------------------------------------

    def claim(
        self, tx: Transaction, claim: Claim, *, runs: bool = False
    ) -> Found | RPCError:
        """
        @see: L{IDedupStore.claim<twisted_rpc.interfaces.IDedupStore>}

        @param runs: whether it runs in this transaction.
        """
        key = claim.key
        if claim.floor:
            self.release(tx, key.holder, claim.floor)
        used = self.usage.total + self.theirs
        if claim.run and used + RECORD_SIZE <= self._bounds.total_bytes:
            found = self._insert(tx, claim, runs=runs)
            if found is not None:
                return found
        return self._judge(tx, claim)

    def _insert(
        self, tx: Transaction, claim: Claim, *, runs: bool = False
    ) -> Found | None:
        key = claim.key
        new = (
            key.seq,
            key.name,
            self.owner,
            claim.delivery,
            claim.method,
            claim.params,
            RECORD_SIZE,
            claim.timestamp,
            key.holder,
        )
        above = key.seq or claim.timestamp
        least = key.seq - self._bounds.window if key.seq else -math.inf
        fence = tx.insert((*new, claim.principal, above, least), runs=runs)
        if fence is None:
            return None
        _grow(tx, key.holder, RECORD_SIZE)
        return Found(Verdict.RUN, fence)

    def _judge(self, tx: Transaction, claim: Claim) -> Found | RPCError:
        """
        Everything but a new call: one with a record, or one that is refused.
        """
        key = claim.key
        live, floor = self._floor(tx, claim)
        kept = self._read(tx, key)
        found = judged(claim, kept, live=live, floor=floor, window=self._bounds.window)
        if kept is not None and kept.state is State.IN_PROGRESS:
            if found.verdict is Verdict.IN_DOUBT:
                self._doubt(tx, key, kept.fence)  # row 11
            elif found.verdict is Verdict.RUN and not claim.run:
                return found
        if found.verdict is not Verdict.RUN or not claim.run:
            return found
        if kept is None:
            if not self._fits(tx, claim.principal, RECORD_SIZE):
                return refusal(
                    Code.RESOURCE_EXHAUSTED,
                    "no room to remember another call",
                    retry_after=1.0,
                )
            # The first call of a principal, or there was no room before.  Where
            # somebody else was quicker there is a record now.
            return self._insert(tx, claim) or self._judge(tx, claim)
        if not tx.execute(_RECLAIM, (self.owner, *key, kept.fence)).rowcount:
            return self._judge(tx, claim)
        return Found(Verdict.RUN, kept.fence + 1)

    def _floor(self, tx: Transaction, claim: Claim) -> tuple[bool, float]:
        """
        @return: whether the session is there and the caller's, and its floor or
            the principal's.
        """
        ask = "SELECT principal, floor FROM rpc_holders WHERE holder = ?"
        row = tx.execute(ask, (claim.key.holder,)).fetchone()
        if claim.key.seq:
            if row is None or row[0] != claim.principal:
                return False, 0.0
            return True, row[1]
        if row is None:
            # Its floor is that of all who are forgotten (D32).
            tx.execute(
                "INSERT INTO rpc_holders (holder, principal, floor, owner, made, detached)"
                " SELECT {text}, {text}, value, '', {now}, 0 FROM rpc_facts"
                " WHERE name = 'floor' {share} ON CONFLICT DO NOTHING",
                (claim.key.holder, claim.principal),
            )
            row = tx.execute(ask, (claim.key.holder,)).fetchone()
        return True, row[1]

    def _read(self, tx: Transaction, key: Key) -> Kept | None:
        row = tx.execute(
            f"SELECT {_COLUMNS} FROM rpc_records"  # noqa: S608 - a constant
            " WHERE holder = ? AND seq = ? AND name = ? {update}",
            key,
        ).fetchone()
        if row is None:
            return None
        state, fence, owner, delivery, method, params, outcome = row
        kept = Kept(State(state), fence, method, bytes(params), delivery)
        if kept.state is State.IN_PROGRESS and owner != self.owner:
            kept.owner = Owner.GONE if tx.gone(owner) else Owner.ELSEWHERE
        if outcome is not None:
            kept.outcome = read_outcome(bytes(outcome))
        return kept

    def _doubt(self, tx: Transaction, key: Key, fence: int) -> None:
        tx.execute(
            "UPDATE rpc_records SET state = 'IN_DOUBT', ended = {now} WHERE holder = ?"
            " AND seq = ? AND name = ? AND fence = ? AND state = 'IN_PROGRESS'",
            (*key, fence),
        )

    def transact(
        self, tx: Transaction, claim: Claim, run: Callable[[Any], Outcome | None]
    ) -> Found | RPCError:
        """
        @see: L{IDedupStore.transact<twisted_rpc.interfaces.IDedupStore>}
        """
        found = self.claim(tx, claim, runs=True)
        if isinstance(found, RPCError) or found.verdict is not Verdict.RUN:
            return found
        outcome = tx.alone(run)
        key = claim.key
        if outcome is None:
            self.unclaim(tx, key, found.fence)
            return found
        kept = self._kept(key, outcome)
        tx.finish((*kept, *key, found.fence))
        self._grown(tx, key, kept[2])
        found.ran = True
        found.outcome = outcome
        return found

    def complete(
        self, tx: Transaction, key: Key, fence: int, outcome: Outcome
    ) -> Found | None:
        """
        @see: L{IDedupStore.complete<twisted_rpc.interfaces.IDedupStore>}
        """
        kept = self._kept(key, outcome)
        if not tx.execute(_COMPLETE, (*kept, *key, fence)).rowcount:
            return self._lost(tx, key)
        self._grown(tx, key, kept[2])
        return None

    def _most(self, key: Key) -> int:
        return self._bounds.session_bytes if key.seq else self._bounds.principal_bytes

    def _kept(self, key: Key, outcome: Outcome) -> tuple[str, bytes | None, int]:
        """
        @return: the state, what is kept of the outcome, and the size, of a record
            that ends.
        """
        text = write_outcome(outcome)
        size = RECORD_SIZE + len(text)
        if size <= self._most(key) * 3 // 4:
            return _DONE, text, size
        # It would push nearly all others out (D18).
        self.usage.evict()
        return _TOMBSTONE, None, RECORD_SIZE

    def _grown(self, tx: Transaction, key: Key, size: int) -> None:
        """
        A record has ended, with so many bytes.
        """
        _grow(tx, key.holder, size - RECORD_SIZE)
        most = self._most(key)
        if self._size(tx, key.holder) > most:
            self._shrink(tx, key.holder, most * 3 // 4)

    def _lost(self, tx: Transaction, key: Key) -> Found:
        """
        What the record says, to a run that it does not belong to any more.
        """
        kept = self._read(tx, key)
        if kept is None:
            return Found(Verdict.STALE)
        if kept.state is State.DONE:
            return Found(Verdict.REPLAY, kept.fence, kept.outcome)
        if kept.state is State.TOMBSTONE:
            return Found(Verdict.NOT_CACHED, kept.fence)
        return Found(Verdict.IN_DOUBT, kept.fence)

    def unclaim(self, tx: Transaction, key: Key, fence: int) -> None:
        """
        @see: L{IDedupStore.unclaim<twisted_rpc.interfaces.IDedupStore>}
        """
        # What may have run before with these parameters keeps them (D9).
        freed = _sum(
            tx.execute(
                "DELETE FROM rpc_records WHERE holder = ? AND seq = ? AND name = ?"
                " AND fence = ? AND fence = 1 AND state = 'IN_PROGRESS' RETURNING size",
                (*key, fence),
            )
        )
        _grow(tx, key.holder, -freed)
        if not freed:
            tx.execute(
                "UPDATE rpc_records SET state = 'RECLAIMABLE', ended = {now}"
                " WHERE holder = ? AND seq = ? AND name = ? AND fence = ?"
                " AND state = 'IN_PROGRESS'",
                (*key, fence),
            )

    def resolve(self, tx: Transaction, key: Key, fence: int, outcome: Outcome) -> bool:
        """
        @see: L{IDedupStore.resolve<twisted_rpc.interfaces.IDedupStore>}
        """
        text = write_outcome(outcome)
        size = RECORD_SIZE + len(text)
        done = tx.execute(
            "UPDATE rpc_records SET state = 'DONE', outcome = ?, size = ?, ended = {now},"
            " owner = ? WHERE holder = ? AND seq = ? AND name = ? AND fence = ?"
            " AND state = 'IN_DOUBT'",
            (text, size, _RESOLVED, *key, fence),
        ).rowcount
        if done:
            _grow(tx, key.holder, size - RECORD_SIZE)
        return bool(done)

    # -- bounds -----------------------------------------------------------------------

    def _size(self, tx: Transaction, holder: str) -> int:
        """
        Bytes that a holder has.
        """
        # Without what this transaction added, which is counted when it is committed.
        own = tx.grown.get(holder, 0)

        def count() -> int:
            ask = "SELECT COALESCE(SUM(size), 0) FROM rpc_records WHERE holder = ?"
            return int(tx.execute(ask, (holder,)).fetchone()[0]) - own

        return self.usage.of(holder, count) + own

    def _fits(self, tx: Transaction, principal: str, size: int) -> bool:
        """
        Whether so many bytes more fit into the store, when what belongs to
        C{principal} makes room for them.
        """
        used = self.usage.total + self.theirs + sum(tx.grown.values())
        spare = self._bounds.total_bytes - used - size
        if spare >= 0:
            return True
        target = -spare + self._bounds.total_bytes // 8
        rows = tx.execute(
            "SELECT holder FROM rpc_holders WHERE principal = ? ORDER BY made",
            (principal,),
        ).fetchall()
        for (holder,) in rows:
            size_now = self._size(tx, holder)
            freed = size_now - self._shrink(tx, holder, max(0, size_now - target))
            target -= freed
            spare += freed
            if target <= 0:
                break
        return spare >= 0

    def _shrink(self, tx: Transaction, holder: str, target: int) -> int:
        """
        Turn the oldest answers of a holder into tombstones, and drop records of
        one that has no session, until it has C{target} bytes or nothing can go.

        @return: how many it has now.
        """
        size = self._size(tx, holder)
        rows = tx.execute(
            "SELECT seq, name, size FROM rpc_records"
            " WHERE holder = ? AND state = 'DONE' ORDER BY stamp, seq",
            (holder,),
        ).fetchall()
        for seq, name, each in rows:
            if size <= target:
                return size
            tx.execute(
                "UPDATE rpc_records SET state = 'TOMBSTONE', outcome = NULL, size = ?"
                " WHERE holder = ? AND seq = ? AND name = ?",
                (RECORD_SIZE, holder, seq, name),
            )
            size -= each - RECORD_SIZE
            _grow(tx, holder, RECORD_SIZE - each)
            self.usage.evict()
        if holder.startswith("@") and size > target:
            count = -(-(size - target) // RECORD_SIZE)
            size -= self._forget(
                tx,
                holder,
                "SELECT name, stamp FROM rpc_records WHERE holder = ? AND seq = 0"
                " AND state <> 'IN_PROGRESS' ORDER BY stamp LIMIT ?",
                (holder, count),
            )
        return size

    def _forget(
        self, tx: Transaction, holder: str, which: str, args: Sequence[Any]
    ) -> int:
        """
        Drop records of requests without a session and raise the floor of their
        principal to them, in one step (D29).

        @return: bytes that were freed.
        """
        # The floor is locked first, and then it is looked at what there is.
        tx.execute("SELECT 1 FROM rpc_holders WHERE holder = ? {update}", (holder,))
        rows = tx.execute(which, args).fetchall()
        if not rows:
            return 0
        highest = max(stamp for _, stamp in rows)
        tx.execute(
            "UPDATE rpc_holders SET floor = ? WHERE holder = ? AND floor < ?",
            (highest, holder, highest),
        )
        freed = 0
        for name, _ in rows:
            freed += _sum(
                tx.execute(
                    "DELETE FROM rpc_records WHERE holder = ? AND seq = 0 AND name = ?"
                    " AND state <> 'IN_PROGRESS' RETURNING size",
                    (holder, name),
                )
            )
        _grow(tx, holder, -freed)
        return freed

    # -- housekeeping -----------------------------------------------------------------

    def settle(self, tx: Transaction, owner: str) -> None:
        """
        A server is gone: what it ran is as row 11 says, and no connection of it
        uses a session.
        """
        tx.execute(_SETTLE, (owner,))
        mark = mark_of(owner)
        tx.execute(_LEAVE, (mark, mark, mark))
        tx.execute("DELETE FROM rpc_owners WHERE owner = ?", (owner,))

    def settle_gone(self, tx: Transaction) -> None:
        """
        Settle what all servers that are gone left.
        """
        rows = tx.execute(
            "SELECT owner FROM rpc_owners WHERE owner <> ?", (self.owner,)
        ).fetchall()
        for (owner,) in rows:
            if tx.gone(owner):
                self.settle(tx, owner)

    def expire(self, tx: Transaction) -> None:
        """
        @see: L{IDedupStore.expire<twisted_rpc.interfaces.IDedupStore>}
        """
        self.settle_gone(tx)
        self._sweep(tx)
        self.look(tx)
        retention = self._bounds.retention
        rows = tx.execute(
            "SELECT holder FROM rpc_holders h"
            " WHERE detached > 0 AND detached < {now} - ? AND substr(holder, 1, 1) <> '@'"
            " AND NOT EXISTS (SELECT 1 FROM rpc_records r"
            "                 WHERE r.holder = h.holder AND r.state = 'IN_PROGRESS')"
            " LIMIT ? {skip}",
            (retention, _MOST),
        ).fetchall()
        for (holder,) in rows:
            self.end(tx, holder)
        holders = tx.execute(
            "SELECT holder FROM (SELECT holder FROM rpc_records"
            " WHERE seq = 0 AND state <> 'IN_PROGRESS' AND ended < {now} - ?"
            " LIMIT ?) AS old GROUP BY holder ORDER BY holder",
            (retention, _MOST),
        ).fetchall()
        for (holder,) in holders:
            self._forget(
                tx,
                holder,
                "SELECT name, stamp FROM rpc_records WHERE holder = ? AND seq = 0"
                " AND state <> 'IN_PROGRESS' AND ended < {now} - ?"
                " ORDER BY ended LIMIT ?",
                (holder, retention, _MOST),
            )
        self._forget_doubts(tx)
        self._merge_floors(tx)

    def _forget_doubts(self, tx: Transaction) -> None:
        """
        What was in doubt is kept for whoever asks, also below the floor, but not
        for ever.
        """
        rows = tx.execute(
            "SELECT r.holder, r.seq, r.size FROM rpc_records r"
            " JOIN rpc_holders h ON h.holder = r.holder"
            " WHERE (r.state = 'IN_DOUBT' OR r.owner = 'resolved') AND r.seq > 0"
            " AND r.ended < {now} - ? AND r.seq <= h.floor LIMIT ?",
            (self._bounds.retention, _MOST),
        ).fetchall()
        for holder, seq, size in rows:
            tx.execute(
                "DELETE FROM rpc_records WHERE holder = ? AND seq = ?", (holder, seq)
            )
            _grow(tx, holder, -int(size))

    def _merge_floors(self, tx: Transaction) -> None:
        """
        Many floors become one, upwards (D32): the lowest of those that nothing
        else hangs on, none that is ahead of the clock.
        """
        ask = "SELECT COUNT(*) FROM rpc_holders WHERE substr(holder, 1, 1) = '@'"
        count = tx.execute(ask).fetchone()[0]
        if count <= MAX_FLOORS:
            return
        tx.execute("SELECT value FROM rpc_facts WHERE name = 'floor' {update}")
        rows = tx.execute(
            "SELECT holder, floor FROM rpc_holders h"
            " WHERE substr(holder, 1, 1) = '@' AND floor <= {now}"
            " AND NOT EXISTS (SELECT 1 FROM rpc_records r WHERE r.holder = h.holder)"
            " ORDER BY floor LIMIT ? {update_h}",
            (count - MAX_FLOORS // 2,),
        ).fetchall()
        for holder, floor in rows:
            tx.execute(
                "UPDATE rpc_facts SET value = ? WHERE name = 'floor' AND value < ?",
                (floor, floor),
            )
            tx.execute("DELETE FROM rpc_holders WHERE holder = ?", (holder,))
            self.usage.forget(holder)

    def look(self, tx: Transaction, *, first: bool = False) -> None:
        """
        Count what there is, if others change it too, and share what is left with
        them: each server adds no more than its part until it looks again.

        With a bound of T, a part f of the servers that fill theirs, look, and fill
        their part of the rest, while the others still have theirs, come to
        f T + f (1 - f) T + (1 - f) T: at most 1.25 T.
        """
        (servers,) = tx.execute("SELECT COUNT(*) FROM rpc_owners").fetchone()
        was, self._shared = self._shared, servers > 1
        if first or was or self._shared:
            self.usage.look(lambda: self.measure(tx) - sum(tx.grown.values()))
            spare = max(0, self._bounds.total_bytes - self.usage.total)
            self.theirs = spare - spare // max(1, servers)

    def measure(self, tx: Transaction) -> int:
        """
        Count the bytes that there are.
        """
        size, sessions = tx.execute(
            "SELECT (SELECT COALESCE(SUM(size), 0) FROM rpc_records),"
            " (SELECT COUNT(*) FROM rpc_holders WHERE substr(holder, 1, 1) <> '@')"
        ).fetchone()
        return int(size) + int(sessions) * SESSION_SIZE

    # -- questions --------------------------------------------------------------------

    def totals(self, tx: Transaction) -> Totals:
        """
        @see: L{IDedupStore.totals<twisted_rpc.interfaces.IDedupStore>}
        """
        sessions, attached, floors = tx.execute(
            "SELECT COALESCE(SUM(CASE WHEN substr(holder, 1, 1) = '@' THEN 0 ELSE 1 END), 0),"
            " COALESCE(SUM(CASE WHEN substr(holder, 1, 1) <> '@' AND owner <> ''"
            "                   THEN 1 ELSE 0 END), 0),"
            " COALESCE(SUM(CASE WHEN substr(holder, 1, 1) = '@' THEN 1 ELSE 0 END), 0)"
            " FROM rpc_holders"
        ).fetchone()
        states = tx.execute(
            "SELECT state, COUNT(*) FROM rpc_records GROUP BY state ORDER BY state"
        ).fetchall()
        return Totals(
            int(sessions), int(attached), int(floors), dict(states), self.measure(tx)
        )

    def sessions(self, tx: Transaction, limit: int) -> list[SessionRow]:
        """
        @see: L{IDedupStore.sessions<twisted_rpc.interfaces.IDedupStore>}
        """
        rows = tx.execute(
            "SELECT h.holder, h.principal, h.floor, h.owner, {now} - h.made,"
            " CASE WHEN h.detached > 0 THEN {now} - h.detached ELSE 0 END,"
            " (SELECT COUNT(*) FROM rpc_records r WHERE r.holder = h.holder),"
            " (SELECT COALESCE(SUM(r.size), 0) FROM rpc_records r WHERE r.holder = h.holder)"
            " FROM rpc_holders h WHERE substr(h.holder, 1, 1) <> '@'"
            " ORDER BY CASE WHEN h.detached > 0 THEN 0 ELSE 1 END, h.detached, h.made"
            " LIMIT ?",
            (limit,),
        ).fetchall()
        return [
            SessionRow(
                row[0],
                row[1],
                int(row[2]),
                ", ".join(filter(None, row[3].split("\n"))),
                float(row[4]),
                float(row[5]),
                int(row[6]),
                int(row[7]),
            )
            for row in rows
        ]

    def find(self, tx: Transaction, key: Key) -> RecordRow | None:
        """
        @see: L{IDedupStore.find<twisted_rpc.interfaces.IDedupStore>}
        """
        row = tx.execute(
            _ROW + " WHERE r.holder = ? AND r.seq = ? AND r.name = ?", key
        ).fetchone()
        return None if row is None else _record(row)

    def records(
        self, tx: Transaction, state: str | None, limit: int
    ) -> list[RecordRow]:
        """
        @see: L{IDedupStore.records<twisted_rpc.interfaces.IDedupStore>}
        """
        where, args = ("", ()) if state is None else (" WHERE r.state = ?", (state,))
        rows = tx.execute(
            _ROW + where + " ORDER BY r.begun LIMIT ?", (*args, limit)
        ).fetchall()
        return [_record(row) for row in rows]


_ROW: Final = (
    "SELECT r.holder, r.seq, r.name, COALESCE(h.principal, ''), r.method, r.delivery,"
    " r.state, r.fence, r.owner, {now} - r.begun, r.size, r.outcome"
    " FROM rpc_records r LEFT JOIN rpc_holders h ON h.holder = r.holder"
)


def _record(row: Sequence[Any]) -> RecordRow:
    outcome = None if row[11] is None else bytes(row[11])
    return record_row(Key(row[0], int(row[1]), row[2]), row[3:11], outcome)


def _grow(tx: Transaction, holder: str, size: int) -> None:
    if size:
        tx.grown[holder] = tx.grown.get(holder, 0) + size


def _sum(rows: Any) -> int:
    return sum(int(size) for (size,) in rows.fetchall())
