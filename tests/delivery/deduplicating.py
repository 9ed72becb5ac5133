"""
Deduplication over the store of the process, and what befalls it, in any order:
the state machine of L{MemoryStore<twisted_rpc.delivery.memory.MemoryStore>}.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.delivery.requests import START, Call, Caller, call_of
from twisted_rpc.call import Answer, Request
from twisted_rpc.delivery.deduplicate import deduplicating
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import SESSION_SIZE, Record, Session
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.limits import KIB

PRINCIPALS = ("ada", "eve")
SEQS = st.integers(1, 9)
IDS = st.sampled_from("abc")
WHO = st.sampled_from(PRINCIPALS)
PARAMS = st.sampled_from(["[1]", "[1]", "[1]", "[2]"])
BEGINNINGS = st.sampled_from(["later", "at once", "raise", "refuse"])


class Deduplicating(RuleBasedStateMachine):
    """
    Two principals with a session and opaque ids each; what they ask, and what
    befalls the server.

    @ivar runs: how often each call was started, whatever was forgotten; a call
        is the principal, the session or C{""}, and the seq or id.
    @ivar params: with which parameters each call was first run.
    @ivar results: the result of each call, once it has one.
    @ivar gone: sessions that have ended.
    @ivar served: calls that were run by a server, out of its queues.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = self.make_clock()
        self.runs: dict[Call, int] = {}
        self.params: dict[Call, str] = {}
        self.results: dict[Call, bytes | Code] = {}
        self.running: dict[Call, Deferred[bytes]] = {}
        self.waiting: list[tuple[Call, str, list[Any], Deferred[bytes]]] = []
        self.floors: dict[str, float] = {}
        self.made: dict[tuple[str, str], float] = {}
        self.gone: set[str] = set()
        self.detached: set[str] = set()
        self.begin = "later"
        self.has_record = False
        self.served: set[Call] = set()
        self.open_store()

    def make_clock(self) -> Clock:
        """What says what time it is."""
        return Clock()

    def open_store(self) -> None:
        """A server starts."""
        self.store = MemoryStore(
            retention=50.0,
            window=5,
            waiters=3,
            session_bytes=4_000,
            principal_bytes=4_000,
            total_bytes=64 * KIB,
            sessions_per_principal=2,
            sessions=3,
        )
        self.store.start(self.wall())
        self.detached.clear()
        self.clock.advance(0.001)
        self.respond = deduplicating(self.store)(self.run_it)
        self.callers = {who: self.connect(who) for who in PRINCIPALS}
        self.plain = {who: self.connect(who, plain=True) for who in PRINCIPALS}

    def connect(self, who: str, *, plain: bool = False) -> Caller:
        """A connection."""
        return Caller(self.store, principal=who, plain=plain, clock=self.clock)

    def wall(self) -> float:
        """The server's clock."""
        return START + self.clock.seconds()

    def run_it(self, request: Request) -> Answer:
        """The implementation."""
        if self.begin == "refuse":
            raise refusal(Code.UNAVAILABLE, "draining")
        return self.start(call_of(request), bytes(request.params).decode())

    def start(self, call: Call, params: str) -> Answer:
        """A run begins."""
        self.runs[call] = self.runs.get(call, 0) + 1
        assert call[1] not in self.gone, "I8: a dead session ran something"
        assert self.runs[call] == 1, f"I1: {call} ran twice"
        assert self.params.setdefault(call, params) == params, "I4"
        if self.begin == "raise":
            self.results[call] = Code.ABORTED
            raise RPCError(Code.ABORTED, "no")
        if self.begin == "at once":
            result = self.results[call] = self.result(call)
            return result

        def cancelled(it: Deferred[bytes]) -> None:
            del self.running[call]
            self.results[call] = Code.CANCELLED
            it.errback(RPCError(Code.CANCELLED, "by the caller"))

        run: Deferred[bytes] = Deferred(cancelled)
        self.running[call] = run
        return run

    def result(self, call: Call) -> bytes:
        """No two calls have the same."""
        size = 10 if hash(call[2]) % 2 else 2500
        return f"{call}{len(self.runs)}".encode().ljust(size)

    def ask(self, request: Request, begin: str) -> None:
        """An attempt, and its answer if there is one yet."""
        call, params = call_of(request), bytes(request.params).decode()
        if call in self.running:
            begin = "later"
        self.begin = begin
        try:
            answer = self.respond(request)
        except RPCError as error:
            if error.code is Code.UNAVAILABLE:
                assert begin == "refuse", "D15: a refusal was stored"
            self.hear(call, params, error)
        else:
            if isinstance(answer, Deferred):
                heard: list[Any] = []
                answer.addBoth(heard.append)
                self.waiting.append((call, params, heard, answer))
            else:
                self.hear(call, params, answer)

    def hear(self, call: Call, params: str, answer: Any) -> None:
        """Check one answer."""
        if isinstance(answer, Failure):
            answer = answer.value
        if isinstance(answer, bytes):
            assert self.params[call] == params, "I4: a result of other parameters"
            assert self.results[call] == answer, "I3: another result"
            return
        assert isinstance(answer, RPCError)
        if answer.code in {Code.ABORTED, Code.CANCELLED}:
            assert self.params[call] == params
            assert self.results[call] is answer.code
        elif answer.code is Code.STALE_REQUEST:
            assert not self.has_record, "I17: it has a record"
        elif answer.code is Code.RESULT_NOT_CACHED:
            assert call in self.results, "told that it ran"
        elif answer.code is Code.ID_REUSED:
            assert self.params.get(call, params) != params

    # -- what callers do ----------------------------------------------------------------

    @rule(
        who=WHO,
        seq=SEQS,
        params=PARAMS,
        begin=BEGINNINGS,
    )
    def ask_in_session(self, who: str, seq: int, params: str, begin: str) -> None:
        """An attempt in a session."""
        if who in self.detached:
            self.reconnect(who)
        caller = self.callers[who]
        request = caller.request(seq, params)
        known = caller.session is not None and seq <= caller.session.floor
        before = dict(self.runs)
        self.ask(request, begin)
        if known:
            assert self.runs == before, "I7: it ran below the floor"

    @rule(
        who=WHO,
        name=IDS,
        params=PARAMS,
        begin=BEGINNINGS,
    )
    def ask_without(self, who: str, name: str, params: str, begin: str) -> None:
        """An attempt without a session; the timestamp is that of the first."""
        timestamp = self.made.setdefault((who, name), self.wall())
        floor = self.store.ledger(who).floor
        has_record = name in self.store.ledger(who).records
        before = dict(self.runs)
        self.has_record = has_record
        self.ask(self.plain[who].request(name, params, timestamp=timestamp), begin)
        self.has_record = False
        if timestamp <= floor and not has_record:
            assert self.runs == before, "I7: it ran below the floor"

    @rule(who=WHO, ack=st.integers(1, 12))
    def acknowledge(self, who: str, ack: int) -> None:
        """What the client will not send again."""
        session = self.callers[who].session
        assert session is not None
        if ack < session.floor + 4:
            self.store.release(session, ack)

    @rule(who=WHO)
    def disconnect(self, who: str) -> None:
        """The connection is lost."""
        session = self.callers[who].session
        if who not in self.detached and session is not None:
            self.detached.add(who)
            self.store.detach(session, self.clock.seconds())

    @rule(who=WHO)
    def reconnect(self, who: str) -> None:
        """The session is resumed on another connection, or a new one begins."""
        caller = self.callers[who]
        if who not in self.detached:
            return
        assert caller.session is not None
        self.detached.remove(who)
        self.callers[who] = again = self.connect(who, plain=True)
        before = set(self.store.sessions)
        session, resumed = self.store.attach(who, caller.session.id)
        self.gone |= before - set(self.store.sessions)
        assert resumed == (session.id == caller.session.id)
        assert resumed != (caller.session.id in self.gone)
        again.session = session

    @rule(who=WHO)
    def steal(self, who: str) -> None:
        """Another principal asks for the session."""
        session = self.callers[who].session
        assert session is not None
        before = set(self.store.sessions)
        other = "eve" if who == "ada" else "ada"
        try:
            found, resumed = self.store.attach(other, session.id)
        except RPCError as error:
            assert error.code is Code.RESOURCE_EXHAUSTED
            return
        assert not resumed
        assert found is not session
        self.store.detach(found, self.clock.seconds())
        self.gone |= before - set(self.store.sessions)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody stops waiting."""
        if self.waiting:
            entry = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(entry)
            entry[3].cancel()

    # -- what befalls the server --------------------------------------------------------

    @rule(data=st.data(), how=st.sampled_from(["result", "error", "refusal"]))
    def end(self, data: st.DataObject, how: str) -> None:
        """A run ends."""
        if not self.running:
            return
        call = data.draw(st.sampled_from(list(self.running)))
        run = self.running.pop(call)
        if how == "refusal" and call not in self.served:
            # It never left a queue: as if it had not begun.
            del self.runs[call]
            del self.params[call]
            run.errback(refusal(Code.UNAVAILABLE, "draining"))
        elif how != "result":
            self.results[call] = Code.ABORTED
            run.errback(RPCError(Code.ABORTED, "no"))
        else:
            result = self.results[call] = self.result(call)
            run.callback(result)

    @rule(seconds=st.sampled_from([1.0, 30.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is old is forgotten."""
        self.clock.advance(seconds)
        before = set(self.store.sessions)
        self.store.expire(self.clock.seconds(), self.wall())
        self.gone |= before - set(self.store.sessions)

    @rule(who=WHO)
    def evict(self, who: str) -> None:
        """There is no room for the answers of a principal."""
        ledger = self.store.ledger(who)
        self.store._shrink_ledger(ledger, ledger.bytes // 2)
        for session in ledger.sessions.values():
            self.store._evict(session, 0)

    @rule(once_in_a_while=st.integers(0, 5))
    def restart(self, once_in_a_while: int) -> None:
        """The process ends, and starts again."""
        if once_in_a_while:
            return
        self.clock.advance(0.001)
        self.gone |= set(self.store.sessions)
        self.floors.clear()
        # Nobody is answered, and what ran runs no more.
        self.waiting.clear()
        self.running.clear()
        self.open_store()

    # -- what always holds --------------------------------------------------------------

    @invariant()
    def answered_once(self) -> None:
        """Every waiter of a run that has ended has its one answer (I10)."""
        still = []
        for call, params, heard, answer in self.waiting:
            if heard:
                assert len(heard) == 1
                self.hear(call, params, heard[0])
            else:
                assert call in self.running, "I10: nothing runs, and somebody waits"
                still.append((call, params, heard, answer))
        self.waiting = still

    @invariant()
    def floors_never_fall(self) -> None:
        """I7."""
        floors = {
            session.id: float(session.floor) for session in self.store.sessions.values()
        }
        floors |= {
            ledger.principal: ledger.floor for ledger in self.store.ledgers.values()
        }
        for name, floor in floors.items():
            assert floor >= self.floors.get(name, floor), "I7: a floor fell"
        self.floors = floors

    @invariant()
    def within_caps(self) -> None:
        """I9, and what is counted is what is there."""
        store = self.store
        assert store.bytes <= store.total_bytes
        assert len(store.sessions) <= 3
        total = SESSION_SIZE * len(store.sessions)
        holders: list[Any] = [*store.sessions.values(), *store.ledgers.values()]
        for holder in holders:
            records = records_of(holder)
            size = sum(record.size for record in records.values())
            running = [r for r in records.values() if r.state is State.IN_PROGRESS]
            assert holder.bytes == size
            assert holder.running == len(running)
            assert all(len(record.run) <= 3 for record in running)
            total += size
        for session in store.sessions.values():
            above = [seq for seq in records_of(session) if seq > session.floor]
            assert len(above) <= 5
            assert session.bytes <= 4_000 + 400 * len(records_of(session))
        for ledger in store.ledgers.values():
            assert ledger.bytes <= 4_000 + 400 * ledger.running
            assert len(ledger.sessions) <= 2
        assert store.bytes == total

    @invariant()
    def runs_are_not_forgotten(self) -> None:
        """What runs has its record, which says so."""
        for who, session_id, key in self.running:
            holder: Any = self.store.sessions.get(session_id, self.store.ledger(who))
            assert records_of(holder)[key].state is State.IN_PROGRESS


def records_of(holder: Any) -> dict[Any, Record]:
    """
    All records; those that are only noted stay so.
    """
    if isinstance(holder, Session):
        holder = copy(holder)
        holder.kept, holder.noted = dict(holder.kept), dict(holder.noted)
    records: dict[Any, Record] = holder.records
    return records
