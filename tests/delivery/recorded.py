"""
Servers that record their calls in a real store, and what befalls both, in any
order: the state machine of every L{IDedupStore
<twisted_rpc.interfaces.IDedupStore>}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.delivery.driven import Bed, Driven
from tests.delivery.requests import Call, FakeMethod, call_of
from twisted_rpc.call import Answer, Request
from twisted_rpc.delivery.claims import Key, RecordRow, SessionRow
from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.delivery.records import Outcome, Session
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.limits import KIB

#: What every store is made with: little room, so that it runs out.
LIMITS: Final[dict[str, Any]] = {
    "retention": 50.0,
    "window": 5,
    "waiters": 3,
    "session_bytes": 4_000,
    "principal_bytes": 4_000,
    "total_bytes": 64 * KIB,
    "sessions_per_principal": 2,
    "sessions": 3,
}

#: The states that only a completion, or whoever knows better, may end.
_RUNNING: Final = frozenset({State.IN_PROGRESS, State.IN_DOUBT})

#: Seconds within which everything that can end has ended.
_END: Final = 20.0

WHO = st.sampled_from(["ada", "eve"])
NODE = st.integers(0, 1)
SEQS = st.integers(1, 8)
NAMES = st.sampled_from("abc")
PARAMS = st.sampled_from(["[1]", "[1]", "[1]", "[2]"])
BEGIN = st.sampled_from(["later", "later", "at once", "big", "raise", "refuse", "late"])
FAULT = st.sampled_from(["", "", "", "", "", "before", "after"])
NOTICED = st.sampled_from(["before", "meanwhile", "afterwards"])


@dataclass(eq=False)
class Run:
    """
    One start of the implementation.

    @ivar outcome: how it ended, if it has.
    @ivar answer: what it is waited for by, while it goes on.
    """

    server: Server
    call: Call
    params: str
    request: Request
    outcome: Any = None
    answer: Deferred[bytes] | None = None


@dataclass(eq=False)
class Waiter:
    """
    An attempt that has not been answered.

    @ivar had_record: its call had a record when it was made.
    """

    server: Server
    call: Call
    request: Request
    heard: list[Any]
    answer: Deferred[bytes]
    had_record: bool


class Connection:
    """
    A connection, as far as requests know theirs.
    """

    peer = "192.0.2.1:4000"

    def __init__(self, server: Server, who: str, session: Session | None) -> None:
        self.principal = who
        self.session = session
        self.seconds = server.clock.seconds
        self.wall = server.machine.bed.wall

    def begun(self) -> None:
        """A call goes on."""

    def ended(self) -> None:
        """It does not."""


class Server:
    """
    A process, from its start to its end.

    @ivar connections: by principal.
    @ivar lapsed: others took it for gone, so that what it claimed before may be
        another's, or nobody's, when it begins (D14).
    """

    def __init__(self, machine: Recorded, node: str) -> None:
        self.machine = machine
        self.clock = Clock()
        self.store = Driven(machine.bed.store(node, **LIMITS))
        self.store.watch = machine.watch
        self.recording = Recording(self.store, self.clock)
        self.connections: dict[str, Connection] = {}
        self.alive = True
        self.lapsed = False
        self.respond = self.recording.serve(
            lambda _: machine.admit(),
            lambda request, transaction: machine.transact(self, request, transaction),
            machine.resolver,
        )(lambda request: machine.start(self, request))
        started: list[Any] = []
        self.recording.start(self.clock).addBoth(started.append)
        assert started == [None], started


def _what(row: RecordRow | None) -> Any:
    """What a record says."""
    return row and (row.state, row.fence, row.owner, row.size, str(row.outcome))


class Recorded(RuleBasedStateMachine):
    """
    Two servers on one store, two principals with a session and opaque ids each.

    @cvar bed: what the stores stand on.
    @ivar runs: all starts of each call, whatever was forgotten.
    @ivar asked: with which parameters each was asked for.
    @ivar answers: what was told as the result of each.
    @ivar fenced: outcomes of runs whose record was not theirs any more.
    @ivar finished: fences by which calls were completed or resolved.
    @ivar rows: the records, when they were looked at last.
    @ivar wrong: what was seen where the servers would catch it.
    """

    bed: Bed

    def __init__(self) -> None:
        super().__init__()
        self.bed.clear()
        self.runs: dict[Call, list[Run]] = {}
        self.asked: dict[Call, set[str]] = {}
        self.answers: dict[Call, Any] = {}
        self.fenced: set[Any] = set()
        self.finished: set[tuple[Key, int]] = set()
        self.rows: dict[Key, RecordRow] = {}
        self.floors: dict[str, float] = {}
        self.waiting: list[Waiter] = []
        self.made: dict[tuple[str, str], float] = {}
        self.sessions: dict[str, str] = {}
        self.live: set[str] = set()
        self.gone: set[str] = set()
        self.begin = "later"
        self.knows = False
        self.count = 0
        self.wrong: list[str] = []
        self.effects: set[str] = set()
        self.servers = [Server(self, node) for node in self._nodes()]
        self._observer: Driven | None = None
        if self.bed.shared:
            self._observer = Driven(self.bed.store("observer", **LIMITS))
            self._observer.start(None)

    def _nodes(self) -> list[str]:
        return ["a", "b"] if self.bed.shared else ["a"]

    # -- what is there ----------------------------------------------------------------

    def observer(self) -> Driven:
        """A store that nothing befalls."""
        return self._observer or Driven(self.servers[0].store.store)

    def row(self, key: Key) -> RecordRow | None:
        """The record of a call."""
        observer = self.observer()
        row: RecordRow | None = observer.turn.result(observer.store.find(key))
        return row

    def server(self, number: int) -> Server:
        """One that is alive."""
        server = self.servers[number % len(self.servers)]
        if not server.alive:
            number = self.servers.index(server)
            server = self.servers[number] = Server(self, self._nodes()[number])
        return server

    def key(self, call: Call) -> Key:
        """Where its record is."""
        who, session, name = call
        return Key(session, name) if session else Key(f"@{who}", 0, name)

    def delivery(self, number: int) -> str:
        """The class of a call: always the same."""
        classes = self.bed.classes
        return classes[number % len(classes)]

    # -- the implementation -----------------------------------------------------------

    def admit(self) -> RPCError | None:
        """What may run."""
        if self.begin == "refuse":
            return refusal(Code.UNAVAILABLE, "draining")
        return None

    def must(self, true: bool, text: str) -> None:
        """Note what is wrong."""
        if not true:
            self.wrong.append(text)

    def started(self, server: Server, request: Request) -> Run:
        """It begins."""
        self.must(server.alive, "a dead server ran something")
        call, params = call_of(request), bytes(request.params).decode()
        runs = self.runs.setdefault(call, [])
        delivery = request.method.delivery
        same = all(run.params == params for run in runs)
        self.must(same, "I4: other parameters ran")
        self.must(delivery != "once" or not runs, f"I1: {call} ran twice")
        if not server.lapsed:
            self.must(call[1] not in self.gone, "I8: a dead session ran something")
            self.must(call not in self.answers, f"I1: {call} ran after its answer")
        run = Run(server, call, params, request)
        runs.append(run)
        return run

    def result(self, size: int = 10) -> bytes:
        """No two runs have the same."""
        self.count += 1
        return b"%d" % self.count + b" " * size

    def start(self, server: Server, request: Request) -> Answer:
        """The implementation."""
        if self.begin == "late":
            raise refusal(Code.UNAVAILABLE, "no thread is free")
        run = self.started(server, request)
        if self.begin == "raise":
            run.outcome = Code.ABORTED
            raise RPCError(Code.ABORTED, "no")
        if self.begin in {"at once", "big"}:
            result = self.result(1_400 if self.begin == "big" else 10)
            run.outcome = result
            return result

        def cancelled(it: Deferred[bytes]) -> None:
            run.answer = None
            run.outcome = Code.CANCELLED
            it.errback(RPCError(Code.CANCELLED, "by the caller"))

        run.answer = Deferred(cancelled)
        return run.answer

    def transact(self, server: Server, request: Request, transaction: Any) -> Outcome:
        """The implementation, in a transaction."""
        if self.begin == "late":
            raise refusal(Code.UNAVAILABLE, "no thread is free")
        run = self.started(server, request)
        name = f"{run.call}".replace("'", "")
        transaction.execute(f"INSERT INTO effects VALUES ('{name}')")  # noqa: S608 - ours
        if self.begin == "raise":
            run.outcome = Code.ABORTED
            return RPCError(Code.ABORTED, "no")
        run.outcome = self.result()
        self.effects.add(name)
        return bytes(run.outcome)

    def resolver(self, unknown: UnknownCall) -> Deferred[Outcome] | None:
        """The application, asked what became of a call."""
        session, _, seq = unknown.request_id.rpartition(":")
        call = (unknown.principal, session, int(seq) if session else unknown.request_id)
        runs = self.runs.get(call, [])
        if not self.knows or not runs:
            return None
        (run,) = runs
        if run.outcome is None and run.answer is not None and run.server.alive:
            return fail(RPCError(Code.OUTCOME_UNKNOWN, "it still runs"))
        if run.outcome is None:
            run.outcome = self.result()
        if isinstance(run.outcome, Code):
            return succeed(RPCError(run.outcome, "no"))
        return succeed(bytes(run.outcome))

    def watch(self, name: str, args: Any, do: Any) -> Any:
        """
        A step of a store: I11, a completion of an older fence changes nothing.
        """
        if name == "resolve":
            self.finished.add(args[:2])
        if name != "complete":
            return do()
        key, fence, outcome = args
        before = self.row(key)
        mine = before is not None and before.fence == fence and before.state in _RUNNING
        if mine:
            self.finished.add((key, fence))
        elif before is not None and before.fence != fence:
            self.fenced.add(outcome)
        step = do()
        after = self.row(key)
        same = _what(before) == _what(after)
        self.must(mine or same, f"I11: {before} became {after}")
        return step

    # -- what callers do --------------------------------------------------------------

    @rule(who=WHO, node=NODE, fault=FAULT, noticed=NOTICED)
    def connect(self, who: str, node: int, fault: str, noticed: str) -> None:
        """
        Resume the session of a principal, or get a new one; the loss of its old
        connection is noticed before, meanwhile or afterwards.
        """
        server = self.server(node)
        old = server.connections.pop(who, None)
        if noticed == "before":
            self.lost(server, old)
        elif noticed == "meanwhile":
            server.store.slow = True
        wanted = self.sessions.get(who)
        there = self.live_sessions()
        heard: list[Any] = []
        server.store.fault = fault
        try:
            server.recording.attach(who, wanted).addBoth(heard.append)
        except RPCError as error:
            heard.append(Failure(error))
        if noticed == "meanwhile":
            self.lost(server, old)
        server.store.answer()
        if noticed == "afterwards":
            self.lost(server, old)
        if isinstance(heard[0], Failure):
            self.no_session(heard[0])
            return
        session, resumed = heard[0]
        assert resumed == (session.id == wanted)
        assert resumed == (wanted in there), "a session that lives is resumed"
        self.sessions[who] = session.id
        server.connections[who] = Connection(server, who, session)

    def live_sessions(self) -> set[str]:
        """The sessions that there are."""
        sessions, _ = self.bed.seen(self.observer())
        return self.living(sessions)

    def living(self, sessions: Sequence[SessionRow]) -> set[str]:
        """Those that are not any more are dead."""
        there = {each.session for each in sessions}
        self.gone |= self.live - there
        assert not there & self.gone, "I8: a session came to life again"
        self.live = there
        return there

    def no_session(self, failure: Failure) -> None:
        """None could be had."""
        error = failure.value
        assert isinstance(error, RPCError)
        assert error.code in {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}, error

    def disconnected(self, server: Server, who: str) -> None:
        """A connection ends."""
        self.lost(server, server.connections.pop(who, None))

    def lost(self, server: Server, connection: Connection | None) -> None:
        """It has ended."""
        if connection is not None and connection.session is not None:
            server.recording.detach(connection.session, server.clock.seconds())

    @rule(who=WHO, node=NODE, fault=FAULT)
    def disconnect(self, who: str, node: int, fault: str) -> None:
        """The connection is lost, and what was to be told on it."""
        server = self.servers[node % len(self.servers)]
        if server.alive and who in server.connections:
            server.store.fault = fault
            self.disconnected(server, who)
            server.store.fault = ""

    @rule(who=WHO, node=NODE)
    def steal(self, who: str, node: int) -> None:
        """Another principal asks for a session."""
        server = self.server(node)
        wanted = self.sessions.get(who)
        heard: list[Any] = []
        thief = "eve" if who == "ada" else "ada"
        server.recording.attach(thief, wanted).addBoth(heard.append)
        server.store.answer()
        if isinstance(heard[0], Failure):
            self.no_session(heard[0])
            return
        session, resumed = heard[0]
        assert not resumed
        assert session.id != wanted
        server.recording.detach(session, server.clock.seconds())

    @rule(who=WHO, node=NODE, seq=SEQS, params=PARAMS, begin=BEGIN, fault=FAULT)
    def ask_in_session(
        self, who: str, node: int, seq: int, params: str, begin: str, fault: str
    ) -> None:
        """An attempt in a session."""
        server = self.server(node)
        connection = server.connections.get(who)
        if connection is None:
            self.connect(who, node, "", "before")
            connection = server.connections.get(who)
        if connection is None or connection.session is None:
            return
        method = FakeMethod(delivery=self.delivery(seq))
        name = f"{connection.session.id}:{seq}"
        request = Request(method, params.encode(), name, 1e9, connection)
        request.seq = seq
        self.ask(server, request, begin, fault)

    @rule(who=WHO, node=NODE, name=NAMES, params=PARAMS, begin=BEGIN, fault=FAULT)
    def ask_without(
        self, who: str, node: int, name: str, params: str, begin: str, fault: str
    ) -> None:
        """An attempt without a session; the timestamp is that of the first."""
        server = self.server(node)
        method = FakeMethod(delivery=self.delivery(ord(name)))
        connection = Connection(server, who, None)
        request = Request(method, params.encode(), name, 1e9, connection)
        request.timestamp = self.made.setdefault((who, name), self.bed.wall())
        self.ask(server, request, begin, fault)

    def ask(self, server: Server, request: Request, begin: str, fault: str) -> None:
        """An attempt, and its answer if there is one yet."""
        call, params = call_of(request), bytes(request.params).decode()
        self.asked.setdefault(call, set()).add(params)
        had_record = not call[1] and self.row(self.key(call)) is not None
        self.begin = begin
        server.store.fault = fault
        heard: list[Any] = []
        answer: Any = None
        try:
            answer = server.respond(request)
        except RPCError as error:
            heard.append(error)
        else:
            assert isinstance(answer, Deferred)
            answer.addBoth(heard.append)
        server.store.fault = ""
        self.waiting.append(Waiter(server, call, request, heard, answer, had_record))

    @rule(who=WHO, node=NODE, ack=st.integers(1, 12))
    def acknowledge(self, who: str, node: int, ack: int) -> None:
        """What the client will not send again."""
        server = self.servers[node % len(self.servers)]
        connection = server.connections.get(who)
        session = None if connection is None else connection.session
        if server.alive and session is not None and ack < session.floor + 4:
            server.recording.release(session, ack)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody stops waiting."""
        open_ones = [each for each in self.waiting if not each.heard]
        if open_ones:
            waiter = data.draw(st.sampled_from(open_ones))
            self.waiting.remove(waiter)
            waiter.answer.cancel()

    # -- what befalls the servers -------------------------------------------------------

    def going(self) -> list[Run]:
        """The runs that have not ended."""
        return [
            run
            for runs in self.runs.values()
            for run in runs
            if run.answer is not None and run.server.alive
        ]

    @rule(data=st.data(), how=st.sampled_from(["", "big", "error"]), fault=FAULT)
    def end(self, data: st.DataObject, how: str, fault: str) -> None:
        """A run ends."""
        going = self.going()
        if going:
            run = data.draw(st.sampled_from(going))
            run.server.store.fault = fault
            self.ended(run, how)
            run.server.store.fault = ""

    def ended(self, run: Run, how: str = "") -> None:
        """A run ends."""
        answer, run.answer = run.answer, None
        assert answer is not None
        if how == "error":
            run.outcome = Code.ABORTED
            answer.errback(RPCError(Code.ABORTED, "no"))
        else:
            run.outcome = self.result(1_400 if how == "big" else 10)
            answer.callback(run.outcome)

    @rule(node=NODE)
    def slow(self, node: int) -> None:
        """The store's answers are late from now on, or come at last."""
        store = self.server(node).store
        if store.slow:
            store.answer()
        else:
            store.slow = True

    @rule(seconds=st.sampled_from([0.05, 1.0, 30.0, 60.0]), fault=FAULT)
    def pass_time(self, seconds: float, fault: str) -> None:
        """Time passes, and what is old is forgotten."""
        self.bed.advance(seconds)
        for server in self.servers:
            if server.alive:
                server.clock.advance(seconds)
        if seconds >= 1:
            server = self.servers[0]
            if server.alive:
                server.store.fault = fault
                server.recording.expire(server.clock.seconds(), self.bed.wall())
                server.store.fault = ""

    @rule(node=NODE)
    def take_over(self, node: int) -> None:
        """The others take a server for gone that is not."""
        server = self.servers[node % len(self.servers)]
        if server.alive and self.bed.shared:
            self.bed.lapse(server.store)
            server.lapsed = True

    @rule(knows=st.booleans())
    def learn(self, knows: bool) -> None:
        """The application knows what became of calls, or does not any more."""
        self.knows = knows

    @precondition(lambda self: len(self.runs) > 2)
    @rule(node=NODE, chance=st.integers(0, 2))
    def crash(self, node: int, chance: int) -> None:
        """A process ends: nobody is answered, and what ran runs no more."""
        server = self.servers[node % len(self.servers)]
        if chance or not server.alive:
            return
        server.alive = False
        server.store.slow = True
        self.waiting = [each for each in self.waiting if each.server is not server]
        if not self.bed.shared:
            self.gone |= self.live
            self.live = set()
            self.rows.clear()
            self.floors.clear()
            # The clocks of callers are not ahead of a server that starts (D30).
            self.bed.advance(0.001)
        self.bed.die(server.store)
        if not self.bed.shared:
            self.server(node)

    # -- what always holds ----------------------------------------------------------------

    @invariant()
    def answered(self) -> None:
        """What was done and heard is right."""
        assert not self.wrong, self.wrong[0]
        still = []
        for each in self.waiting:
            if each.heard:
                assert len(each.heard) == 1
                self.hear(each, each.heard[0])
            else:
                still.append(each)
        self.waiting = still

    def hear(self, waiter: Waiter, answer: Any) -> None:
        """Check one answer."""
        call, params = waiter.call, bytes(waiter.request.params).decode()
        if isinstance(answer, Failure):
            answer = answer.value
        runs = self.runs.get(call, [])
        mine = [run for run in runs if run.request is waiter.request]
        what: Any = answer
        if isinstance(answer, RPCError):
            if answer.executed == "no":
                assert not mine, f"I6: {call} ran, and was told {answer}"
            what = answer.code
            if what not in {Code.ABORTED, Code.CANCELLED} or answer.executed == "no":
                self.refused(waiter, answer)
                return
        assert runs, f"I2: {call} is answered and did not run"
        assert runs[0].params == params, "I4: a result of other parameters"
        assert what in [run.outcome for run in runs], f"I2: {what} is no run's"
        assert what not in self.fenced, f"I11: a fenced result was told of {call}"
        told = self.answers.setdefault(call, what)
        assert told == what, f"I3: {call} has results {told} and {what}"

    def refused(self, waiter: Waiter, error: RPCError) -> None:
        """Everything but a result."""
        call = waiter.call
        if error.code is Code.STALE_REQUEST and waiter.had_record:
            assert self.row(self.key(call)) is None, "I17: it has a record"
        elif error.code is Code.SESSION_UNKNOWN:
            assert call[1] not in self.live_sessions(), "the session lives"
        elif error.code is Code.RESULT_NOT_CACHED:
            assert any(run.outcome for run in self.runs.get(call, [])), "it ran"
        elif error.code is Code.ID_REUSED:
            assert len(self.asked[call]) > 1, "nobody asked with other parameters"

    @invariant()
    def records_change_as_they_may(self) -> None:
        """
        I7: a floor never falls.  I12: what is in doubt ends by its own fence or
        by who knows better; what has ended stays as it is, until it is forgotten
        with a rise of the floor or the end of its session.
        """
        sessions, records = self.bed.seen(self.observer())
        live = self.living(sessions)
        floors = self.bed.floors()
        for holder, floor in floors.items():
            assert floor >= self.floors.get(holder, floor), "I7: a floor fell"
        self.floors = {**self.floors, **floors}
        rows = {row.key: row for row in records}
        for key, old in self.rows.items():
            new = rows.get(key)
            if new is None:
                self.dropped(key, old, key.holder in live)
            else:
                self.changed(old, new)
        self.rows = rows
        self.bounded(sessions, records)
        self.used(sessions)

    def used(self, sessions: Sequence[SessionRow]) -> None:
        """W22: what a connection uses is taken to be used."""
        unused = {each.session for each in sessions if not each.attached}
        for server in self.servers:
            if server.alive and not server.lapsed:
                for each in server.connections.values():
                    assert each.session is not None
                    assert each.session.id not in unused, "a used session may end"

    def dropped(self, key: Key, old: RecordRow, live: bool) -> None:
        """A record is not there any more."""
        if key.seq:
            may = not live or key.seq <= self.floors[key.holder]
        else:
            stamp = self.made[old.principal, key.name]
            may = stamp <= self.floors.get(key.holder, 0.0)
        assert may or self.droppable(old), f"{old} was dropped above the floor"

    def droppable(self, row: RecordRow) -> bool:
        """
        Whether a record may say that nothing ever ran: what was claimed again may
        have run elsewhere, where there is an elsewhere.
        """
        alone = row.fence == 1 or not self.bed.shared
        return row.state is State.IN_PROGRESS and alone

    def changed(self, old: RecordRow, new: RecordRow) -> None:
        """A record is not as it was."""
        key, told = new.key, (State.DONE, State.TOMBSTONE)
        if self.droppable(old):
            # It may have been dropped, and made anew.
            return
        assert new.fence >= old.fence, "D9: a fence fell"
        if old.state is State.IN_DOUBT and new.state is not State.IN_DOUBT:
            assert new.state in told, f"I12: {old} became {new}"
            assert new.fence == old.fence, f"I12: {old} became {new}"
            assert (key, old.fence) in self.finished, "I12: by nobody who may"
        elif old.state in told:
            assert new.state in told, f"{old} became {new}"
            assert new.fence == old.fence, f"{old} became {new}"
            if new.state is State.DONE:
                assert str(new.outcome) == str(old.outcome), "an answer changed"

    def bounded(
        self, sessions: Sequence[SessionRow], records: Sequence[RecordRow]
    ) -> None:
        """I9: everything is within its bounds."""
        assert len(sessions) <= LIMITS["sessions"]
        for who in ("ada", "eve"):
            own = [each for each in sessions if each.principal == who]
            assert len(own) <= LIMITS["sessions_per_principal"]
        for each in sessions:
            above = [
                row
                for row in records
                if row.key.holder == each.session and row.key.seq > each.floor
            ]
            assert len(above) <= LIMITS["window"]
            # Each server counts what it has written itself.
            most = LIMITS["session_bytes"] * len(self.servers)
            assert each.size <= most + 400 * each.records
        for server in self.servers:
            for calls in server.recording._calls.values():
                assert all(len(call) <= LIMITS["waiters"] for call in calls)

    @invariant()
    def effects_are_there_once(self) -> None:
        """I1, for what commits with its answer."""
        if self.effects:
            effects = self.bed.effects()
            assert len(effects) == len(set(effects)), f"I1: twice in {effects}"
            for call, answer in self.answers.items():
                name = f"{call}".replace("'", "")
                if name in self.effects and isinstance(answer, bytes):
                    assert name in effects, "I2: told, and not there"

    def teardown(self) -> None:
        """I10: whatever waits is answered, once nothing stands in its way."""
        try:
            self._end_well()
        finally:
            for server in self.servers:
                if server.alive:
                    self.bed.die(server.store)
            if self._observer is not None:
                self._observer.stop()

    def _end_well(self) -> None:
        self.begin = "at once"
        for _ in range(int(_END / 0.5)):
            for server in self.servers:
                if server.alive:
                    server.store.answer()
                    server.clock.advance(0.5)
                    server.recording.expire(server.clock.seconds(), self.bed.wall())
            for run in self.going():
                self.ended(run)
            self.answered()
            if not self.waiting:
                break
        assert not self.waiting, f"I10: {self.waiting[0].call} waits for ever"
        self.records_change_as_they_may()
        self.effects_are_there_once()
