"""
Everything that can happen to a few calls, explored state by state.

A world is what the client, the network, the stores and the running calls are at
one moment, as a value; L{steps} are all the worlds that can follow.  What is
decided is decided by the functions of L{twisted_rpc.delivery.table}, or by a
mutant of one; the rest is what surrounds them: loss and reorder (a message may
be taken or lost at any time), crashes, leases that end while the owner still
runs, eviction, sessions that end, refusals, ids used again for other
parameters, principals that present the ids of others.

Two kinds of world: L{SessionWorld}, of ids C{(session, seq)}, and L{FreeWorld},
of opaque ids under floors of timestamps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted_rpc.delivery import table
from twisted_rpc.delivery.table import Owner, State, Verdict

#: The record's owner is gone.
NOBODY = -1

#: Runs that are started in one world, at most.
RUNS = 4


class Rules:
    """The real decisions; mutants replace one each."""

    judge_session = staticmethod(table.judge_session)
    judge_sessionless = staticmethod(table.judge_sessionless)
    settled = staticmethod(table.settled)
    may_complete = staticmethod(table.may_complete)
    floor_after = staticmethod(table.floor_after)


@dataclass(frozen=True)
class Scenario:
    """
    What may happen, and how often.

    @ivar durable: records outlive a crash.
    @ivar second: a second call, whose C{ack} releases the first.
    @ivar reused: the id comes again with other parameters.
    @ivar stranger: another principal presents the id.
    @ivar overload: any call may be refused.
    @ivar forgets: sessionless records dropped.
    @ivar ends: sessions that end.
    """

    delivery: str = "once"
    replicas: int = 1
    durable: bool = True
    attempts: int = 2
    second: bool = False
    reused: bool = False
    stranger: bool = False
    overload: bool = False
    crashes: int = 0
    leases: int = 0
    evicts: int = 0
    ends: int = 0
    forgets: int = 0
    ticks: int = 0


class Message(NamedTuple):
    """A request on its way; C{params} f are the call's own, g others."""

    call: str
    key: Any
    attempt: int
    ack: int
    timestamp: int
    params: str
    principal: str


class Kept(NamedTuple):
    """A record."""

    state: State
    fence: int
    owner: int
    result: int
    params: str
    principal: str
    timestamp: int


class Going(NamedTuple):
    """A run; C{acted}: its effect is there."""

    key: Any
    fence: int
    replica: int
    acted: bool
    number: int
    call: str
    params: str
    principal: str


class Told(NamedTuple):
    """An answer, with whose parameters and principal it belongs to."""

    kind: str
    key: Any
    attempt: int
    result: int
    params: str
    principal: str
    of_params: str
    of_principal: str


class Caller(NamedTuple):
    """The client's side of a call."""

    phase: str = "new"
    sent: int = 0
    refused: frozenset[int] = frozenset()
    timestamp: int = 0


Table = tuple[tuple[Any, Any], ...]


class World(NamedTuple):
    """One moment."""

    net: frozenset[Message]
    now: int
    sessions: Table  # id: alive
    floors: Table
    records: Table
    going: frozenset[Going]
    effects: Table  # call: how often
    callers: Table
    told: frozenset[Told]
    budget: Table
    runs: int


def put(entries: Table, key: Any, value: Any) -> Table:
    """C{entries} with one changed."""
    return tuple(
        sorted({**dict(entries), key: value}.items(), key=lambda item: str(item[0]))
    )


def drop(entries: Table, *keys: Any) -> Table:
    """C{entries} without some."""
    return tuple(item for item in entries if item[0] not in keys)


def value(entries: Table, key: Any, default: Any = None) -> Any:
    """What stands under C{key}."""
    return next((found for name, found in entries if name == key), default)


Step = tuple[str, World]

#: What a verdict that is no run says.
ANSWERS = {
    Verdict.SESSION_UNKNOWN: "SESSION_UNKNOWN",
    Verdict.STALE: "STALE_REQUEST",
    Verdict.BEYOND_WINDOW: "REFUSED",
    Verdict.ID_REUSED: "ID_REUSED",
    Verdict.NOT_CACHED: "RESULT_NOT_CACHED",
    Verdict.IN_DOUBT: "OUTCOME_UNKNOWN",
}


class Exploration:
    """
    What is the same in both kinds of world.
    """

    def __init__(self, scenario: Scenario, rules: type[Rules] = Rules) -> None:
        self.scenario = scenario
        self.rules = rules

    def start(self) -> World:
        """Nothing has happened."""
        s = self.scenario
        budget = {
            "crash": s.crashes,
            "lease": s.leases,
            "evict": s.evicts,
            "end": s.ends,
            "forget": s.forgets,
            "tick": s.ticks,
            "reuse": int(s.reused),
            "stranger": int(s.stranger),
        }
        return World(
            net=frozenset(),
            now=1,
            sessions=self.sessions(),
            floors=self.floors(),
            records=(),
            going=frozenset(),
            effects=(("a", 0), ("b", 0)),
            callers=(("a", Caller()), ("b", Caller())),
            told=frozenset(),
            budget=tuple(sorted(budget.items())),
            runs=0,
        )

    def steps(self, world: World) -> Iterator[Step]:
        """All that can happen next."""
        yield from self.sends(world)
        yield from self.hears(world)
        for message in world.net:
            taken = world._replace(net=world.net - {message})
            yield "lose", taken
            for replica in range(self.scenario.replicas):
                yield from self.arrives(taken, message, replica)
        for run in world.going:
            yield self.runs_on(world._replace(going=world.going - {run}), run)
        yield from self.goes_wrong(world)

    # -- the client ---------------------------------------------------------------------

    def sends(self, world: World) -> Iterator[Step]:
        """The client writes an attempt; others use its id."""
        for call in "ab" if self.scenario.second else "a":
            caller: Caller = value(world.callers, call)
            if (
                caller.phase not in {"new", "sent"}
                or caller.sent >= self.scenario.attempts
            ):
                continue
            timestamp = caller.timestamp if caller.sent else world.now
            message = Message(
                call,
                self.key(call, "P"),
                caller.sent,
                self.ack(world),
                timestamp,
                "f",
                "P",
            )
            after = caller._replace(
                phase="sent", sent=caller.sent + 1, timestamp=timestamp
            )
            yield (
                f"send {call}",
                world._replace(
                    net=world.net | {message}, callers=put(world.callers, call, after)
                ),
            )
        first: Caller = value(world.callers, "a")
        if first.phase != "new":
            for name, params, principal in (
                ("reuse", "g", "P"),
                ("stranger", "f", "Q"),
            ):
                if value(world.budget, name):
                    key = self.key("a", principal)
                    message = Message(
                        "a", key, 9, 1, first.timestamp, params, principal
                    )
                    yield (
                        name,
                        self.spend(world, name)._replace(net=world.net | {message}),
                    )

    def hears(self, world: World) -> Iterator[Step]:
        """The client takes an answer."""
        for told in world.told:
            call = self.call(told.key)
            caller: Caller = value(world.callers, call)
            if (told.principal, told.params) != ("P", "f") or caller.phase != "sent":
                continue
            if told.kind == "REFUSED":
                refused = caller.refused | {told.attempt}
                # Only if every attempt was refused, it did not run (D8).
                ended = len(refused) == caller.sent == self.scenario.attempts
                after = caller._replace(
                    refused=refused, phase="not run" if ended else "sent"
                )
            else:
                after = caller._replace(phase=told.kind)
            if after != caller:
                yield (
                    f"hear {told.kind}",
                    world._replace(callers=put(world.callers, call, after)),
                )

    # -- the server ---------------------------------------------------------------------

    def arrives(self, world: World, message: Message, replica: int) -> Iterator[Step]:
        """A replica takes a request, as the table says."""
        kept: Kept | None = value(world.records, message.key)
        verdict = self.judge(world, message, kept, self.owner(kept, replica))
        released = self.release(world, message, verdict)
        if verdict is Verdict.RUN:
            if self.scenario.overload:
                yield "refuse", self.tell(released, message, "REFUSED")
            if world.runs < RUNS:
                yield "claim", self.claim(world, message, kept, replica)
        elif verdict in {Verdict.JOIN, Verdict.WAIT}:
            # The answer of the run goes to the call.
            yield "join", released
        elif verdict is Verdict.REPLAY:
            assert kept is not None
            yield "replay", self.tell(released, message, "OK", kept)
        else:
            name = ANSWERS[verdict]
            if verdict is Verdict.IN_DOUBT and kept is not None:
                released = self.keep(
                    released, message.key, kept._replace(state=State.IN_DOUBT)
                )
            label = f"{name} over a record" if kept is not None else name
            yield label, self.tell(released, message, name)

    def owner(self, kept: Kept | None, replica: int) -> Owner:
        """Whose the record is, as a replica sees it."""
        if kept is None or kept.owner == replica:
            return Owner.HERE
        return Owner.GONE if kept.owner == NOBODY else Owner.ELSEWHERE

    def claim(
        self, world: World, message: Message, kept: Kept | None, replica: int
    ) -> World:
        """Row 15: one step."""
        number = world.runs + 1
        fence = kept.fence + 1 if kept is not None else 1
        record = Kept(
            State.IN_PROGRESS,
            fence,
            replica,
            0,
            message.params,
            message.principal,
            kept.timestamp if kept is not None else message.timestamp,
        )
        run = Going(
            message.key, fence, replica, False, number, message.call, message.params,
            message.principal,
        )  # fmt: skip
        claimed = self.keep(world, message.key, record)._replace(
            going=world.going | {run}, runs=number
        )
        return self.release(claimed, message, Verdict.RUN)

    def runs_on(self, world: World, run: Going) -> Step:
        """
        A run takes effect, and then its answer is recorded; in a transaction
        both at once.
        """
        kept: Kept | None = value(world.records, run.key)
        mine = kept is not None and self.rules.may_complete(
            kept.state, kept.fence, run.fence
        )
        if self.scenario.delivery == "transactional":
            return (
                self.end(self.act(world, run), run) if mine else self.lose(world, run)
            )
        if not run.acted:
            acted = run._replace(acted=True)
            return "act", self.act(world, run)._replace(going=world.going | {acted})
        return self.end(world, run) if mine else self.lose(world, run)

    def act(self, world: World, run: Going) -> World:
        """The effect."""
        if (run.params, run.principal) != ("f", "P"):
            return world
        times = min(2, value(world.effects, run.call) + 1)
        return world._replace(effects=put(world.effects, run.call, times))

    def end(self, world: World, run: Going) -> Step:
        """The answer is recorded, and sent."""
        kept: Kept = value(world.records, run.key)
        done = kept._replace(state=State.DONE, result=run.number)
        return "record", self.keep(self.answer(world, run, done), run.key, done)

    def lose(self, world: World, run: Going) -> Step:
        """Not its own any more: the record's answer is sent, or none (D10)."""
        kept: Kept | None = value(world.records, run.key)
        if kept is not None and kept.state is State.DONE:
            return "fenced", self.answer(world, run, kept)
        return "fenced", world

    def answer(self, world: World, run: Going, kept: Kept) -> World:
        """To all who wait for a run."""
        told = Told(
            "OK",
            run.key,
            0,
            kept.result,
            run.params,
            run.principal,
            kept.params,
            kept.principal,
        )
        return world._replace(told=world.told | {told})

    def tell(
        self, world: World, message: Message, kind: str, kept: Kept | None = None
    ) -> World:
        """To one attempt."""
        told = Told(
            kind,
            message.key,
            message.attempt,
            kept.result if kept is not None else 0,
            message.params,
            message.principal,
            kept.params if kept is not None else message.params,
            kept.principal if kept is not None else message.principal,
        )
        return world._replace(told=world.told | {told})

    def keep(self, world: World, key: Any, kept: Kept) -> World:
        """Write a record."""
        return world._replace(records=put(world.records, key, kept))

    def spend(self, world: World, name: str) -> World:
        """One of so many misfortunes."""
        return world._replace(
            budget=put(world.budget, name, value(world.budget, name) - 1)
        )

    # -- what goes wrong ----------------------------------------------------------------

    def goes_wrong(self, world: World) -> Iterator[Step]:
        """Crashes, and what a store drops."""
        able = {name for name, left in world.budget if left}
        if "crash" in able:
            for replica in range(self.scenario.replicas):
                left = frozenset(run for run in world.going if run.replica != replica)
                crashed = self.spend(world, "crash")._replace(going=left)
                yield "crash", self.crashes(crashed, replica)
        for key, kept in world.records:
            if (
                "lease" in able
                and kept.state is State.IN_PROGRESS
                and kept.owner != NOBODY
            ):
                over = kept._replace(owner=NOBODY)
                yield "lease over", self.keep(self.spend(world, "lease"), key, over)
            if "evict" in able and kept.state is State.DONE:
                tomb = kept._replace(state=State.TOMBSTONE)
                yield "evict", self.keep(self.spend(world, "evict"), key, tomb)
        yield from self.forgets(world, able)

    def crashes(self, world: World, replica: int) -> World:
        """A replica ends and starts again."""
        if not self.scenario.durable:
            return self.restart(world)
        for key, kept in world.records:
            if kept.state is State.IN_PROGRESS and kept.owner == replica:
                # D22: settled before the port opens.
                state = self.rules.settled(self.scenario.delivery)
                world = self.keep(world, key, kept._replace(state=state, owner=NOBODY))
        return world

    # -- what a kind of world provides --------------------------------------------------

    def sessions(self) -> Table:
        """The sessions at the start."""
        return ()

    def floors(self) -> Table:
        """The floors at the start."""
        raise AssertionError("of a kind of world")

    def key(self, call: str, principal: str) -> Any:
        """What identifies a call."""
        raise AssertionError("of a kind of world")

    def call(self, key: Any) -> str:
        """Which call a key is."""
        raise AssertionError("of a kind of world")

    def ack(self, world: World) -> int:
        """The lowest seq that may be sent again."""
        return 1

    def judge(
        self, world: World, message: Message, kept: Kept | None, owner: Owner
    ) -> Verdict:
        """Ask the table."""
        raise AssertionError("of a kind of world")

    def release(self, world: World, message: Message, verdict: Verdict) -> World:
        """What C{ack} does."""
        return world

    def restart(self, world: World) -> World:
        """A memory store begins anew."""
        raise AssertionError("of a kind of world")

    def forgets(self, world: World, able: set[str]) -> Iterable[Step]:
        """What is forgotten, and time."""
        raise AssertionError("of a kind of world")

    def wrong(self, before: World, label: str, world: World) -> str:
        """
        The invariant that a step has broken, or C{""}.
        """
        effects = dict(world.effects)
        for call, caller in world.callers:
            if self.scenario.delivery != "idempotent" and effects[call] > 1:
                return f"I1: {call} took effect twice"
            if caller.phase == "OK" and not effects[call]:
                return f"I2: {call} is OK and had no effect"
            if caller.phase == "not run" and effects[call]:
                return f"I6: {call} was told that it did not run"
        return (
            self._wrong_answers(world)
            or self._wrong_runs(world)
            or self._fallen(before, world)
        )

    def _wrong_answers(self, world: World) -> str:
        results: dict[Any, int] = {}
        for told in world.told:
            if told.kind != "OK":
                continue
            if told.params != told.of_params:
                return "I4: the result of other parameters"
            if told.principal != told.of_principal:
                return "I5: a result of another principal"
            if results.setdefault(told.key, told.result) != told.result:
                return "I3: two results of one id"
        return ""

    def _wrong_runs(self, world: World) -> str:
        params: dict[Any, str] = {}
        for run in world.going:
            if params.setdefault(run.key, run.params) != run.params:
                return "I4: other parameters ran under an id"
        return ""

    def _fallen(self, before: World, world: World) -> str:
        floors = dict(before.floors)
        fallen = any(floor < floors.get(key, floor) for key, floor in world.floors)
        return "I7: a floor fell" if fallen else ""


class SessionWorld(Exploration):
    """
    Ids are C{(session, seq)}.  The session is P's; Q may present it too.
    """

    def sessions(self) -> Table:
        """One, alive."""
        return (("s", True),)

    def floors(self) -> Table:
        """Nothing is acknowledged."""
        return (("s", 0),)

    def key(self, call: str, principal: str) -> Any:
        """Session and seq."""
        return ("s", 1 if call == "a" else 2)

    def call(self, key: Any) -> str:
        """By its seq."""
        return "a" if key[1] == 1 else "b"

    def ack(self, world: World) -> int:
        """Past the first call once it has ended (D3)."""
        return 1 if value(world.callers, "a").phase in {"new", "sent"} else 2

    def judge(
        self, world: World, message: Message, kept: Kept | None, owner: Owner
    ) -> Verdict:
        """Rows 2 to 15."""
        return self.rules.judge_session(
            live=value(world.sessions, "s") and message.principal == "P",
            seq=message.key[1],
            floor=value(world.floors, "s"),
            window=8,
            state=State.ABSENT if kept is None else kept.state,
            same=kept is None or kept.params == message.params,
            delivery=self.scenario.delivery,
            owner=owner,
        )

    def release(self, world: World, message: Message, verdict: Verdict) -> World:
        """Raise the floor, drop what has ended at or below it (D7)."""
        floor = message.ack - 1
        if verdict is Verdict.SESSION_UNKNOWN or floor <= value(world.floors, "s"):
            return world
        over = [
            key
            for key, kept in world.records
            if key[1] <= floor and kept.state is not State.IN_PROGRESS
        ]
        return world._replace(
            floors=put(world.floors, "s", floor), records=drop(world.records, *over)
        )

    def restart(self, world: World) -> World:
        """All sessions end (D21)."""
        return world._replace(sessions=put(world.sessions, "s", False), records=())

    def forgets(self, world: World, able: set[str]) -> Iterable[Step]:
        """A session ends when nothing of it runs (D20)."""
        running = any(kept.state is State.IN_PROGRESS for _, kept in world.records)
        if "end" in able and value(world.sessions, "s") and not running:
            yield "end", self.restart(self.spend(world, "end"))

    def wrong(self, before: World, label: str, world: World) -> str:
        """Also: nothing of a dead session runs, nothing open is stale."""
        broken = super().wrong(before, label, world)
        if broken:
            return broken
        if label == "claim" and not value(before.sessions, "s"):
            return "I8: a dead session ran something"
        if any(run.principal != "P" for run in world.going):
            return "I5: another principal ran something"
        stale = any(caller.phase == "STALE_REQUEST" for _, caller in world.callers)
        return "I16: a call that was not finished is stale" if stale else ""


class FreeWorld(Exploration):
    """
    Ids are opaque, and belong to a principal.
    """

    def floors(self) -> Table:
        """Of each principal."""
        return (("P", 0), ("Q", 0))

    def key(self, call: str, principal: str) -> Any:
        """Principal and id."""
        return (principal, call)

    def call(self, key: Any) -> str:
        """The id."""
        found: str = key[1]
        return found

    def judge(
        self, world: World, message: Message, kept: Kept | None, owner: Owner
    ) -> Verdict:
        """Rows 5 to 15."""
        return self.rules.judge_sessionless(
            timestamp=message.timestamp,
            floor=value(world.floors, message.principal),
            state=State.ABSENT if kept is None else kept.state,
            same=kept is None or kept.params == message.params,
            delivery=self.scenario.delivery,
            owner=owner,
        )

    def restart(self, world: World) -> World:
        """Every floor is the moment of the start (D30)."""
        floors = tuple(
            (who, self.rules.floor_after(floor, world.now))
            for who, floor in world.floors
        )
        return world._replace(records=(), floors=floors, now=world.now + 1)

    def forgets(self, world: World, able: set[str]) -> Iterable[Step]:
        """Records go, and floors rise, in one step (D29)."""
        if "tick" in able:
            yield "tick", self.spend(world, "tick")._replace(now=world.now + 1)
        if "forget" in able:
            for key, kept in world.records:
                if kept.state is not State.IN_PROGRESS:
                    floor = self.rules.floor_after(
                        value(world.floors, key[0]), kept.timestamp
                    )
                    yield (
                        "forget",
                        self.spend(world, "forget")._replace(
                            records=drop(world.records, key),
                            floors=put(world.floors, key[0], floor),
                        ),
                    )

    def wrong(self, before: World, label: str, world: World) -> str:
        """Also: what has a record is not stale."""
        if label == "STALE_REQUEST over a record":
            return "I17: stale although there is a record"
        return super().wrong(before, label, world)


#: Phases in which the client has its answer.
ENDED = frozenset(
    {
        "OK",
        "OUTCOME_UNKNOWN",
        "STALE_REQUEST",
        "RESULT_NOT_CACHED",
        "SESSION_UNKNOWN",
        "ID_REUSED",
    }
)


@dataclass(frozen=True)
class Explored:
    """
    What was found.

    @ivar states: how many there are.
    @ivar broken: the invariant that does not hold, or C{""}.
    @ivar trace: the shortest way there.
    """

    states: int
    broken: str = ""
    trace: tuple[str, ...] = ()


def explore(exploration: Exploration, most: int = 200_000) -> Explored:
    """
    Look at every world there is, nearest first, until an invariant is broken.
    """
    first = exploration.start()
    came: dict[World, tuple[World, str] | None] = {first: None}
    back: dict[World, list[World]] = {}
    open_worlds = deque([first])
    while open_worlds:
        world = open_worlds.popleft()
        for label, after in exploration.steps(world):
            back.setdefault(after, []).append(world)
            if after in came:
                continue
            came[after] = (world, label)
            broken = exploration.wrong(world, label, after)
            if broken or len(came) > most:
                return Explored(
                    len(came), broken or "too many states", _trace(came, after)
                )
            open_worlds.append(after)
    stuck = _stuck(exploration, came, back)
    if stuck is not None:
        return Explored(len(came), "I15: a call can no longer end", _trace(came, stuck))
    return Explored(len(came))


def _stuck(
    exploration: Exploration, worlds: Iterable[World], back: dict[World, list[World]]
) -> World | None:
    """
    A world with an attempt left and no way to an end of the call.
    """
    reached = {world for world in worlds if value(world.callers, "a").phase in ENDED}
    open_ = list(reached)
    while open_:
        for world in back.get(open_.pop(), ()):
            if world not in reached:
                reached.add(world)
                open_.append(world)
    for world in worlds:
        caller: Caller = value(world.callers, "a")
        left = caller.sent < exploration.scenario.attempts
        if left and caller.phase in {"new", "sent"} and world not in reached:
            return world
    return None


def _trace(
    came: dict[World, tuple[World, str] | None], world: World
) -> tuple[str, ...]:
    labels: list[str] = []
    step = came[world]
    while step is not None:
        labels.append(step[1])
        step = came[step[0]]
    return tuple(reversed(labels))


__all__ = [
    "Explored",
    "FreeWorld",
    "Rules",
    "Scenario",
    "SessionWorld",
    "explore",
]
