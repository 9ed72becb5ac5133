"""
The 27 mistakes that the rules of delivery are there to prevent (delivery.md,
section 9), each put into the exploration: some replace a decision of the real
table, the others what surrounds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.delivery.exploring import (
    Caller,
    Exploration,
    Explored,
    FreeWorld,
    Going,
    Kept,
    Message,
    Rules,
    Scenario,
    SessionWorld,
    Step,
    World,
    drop,
    explore,
    put,
    value,
)
from twisted_rpc.delivery.table import State, Verdict, judge_session, judge_sessionless

# -- decisions ------------------------------------------------------------------------------


def rules(**decisions: Any) -> type[Rules]:
    """The real decisions, but for some."""
    mutant = {name: staticmethod(decision) for name, decision in decisions.items()}
    return type("Mutant", (Rules,), mutant)


def mistaken(*olds: Verdict) -> type[Rules]:
    """Runs, where the table says something else."""

    def judge(**known: Any) -> Verdict:
        verdict = judge_session(**known)
        return Verdict.RUN if verdict in olds else verdict

    return rules(judge_session=judge)


def judging(**changes: Any) -> type[Rules]:
    """Decides over something else than what is."""
    return rules(judge_session=lambda **known: judge_session(**{**known, **changes}))


def _no_fingerprint_of_the_reclaimed(**known: Any) -> Verdict:
    if known["state"] is State.RECLAIMABLE:
        known["same"] = True
    return judge_session(**known)


def _strict_floor(**known: Any) -> Verdict:
    return judge_sessionless(**{**known, "floor": known["floor"] - 1})


def _floor_first(**known: Any) -> Verdict:
    if known["timestamp"] <= known["floor"]:
        return Verdict.STALE
    return judge_sessionless(**known)


# -- what surrounds them ------------------------------------------------------------------------


class ExpiringWorld(SessionWorld):
    """A window of time drops records, and the session lives on."""

    def forgets(self, world: World, able: set[str]) -> Iterable[Step]:
        if "end" in able:
            yield "records expire", self.spend(world, "end")._replace(records=())


class ForgetfulBoot(SessionWorld):
    """A start deletes what was IN_PROGRESS."""

    def crashes(self, world: World, replica: int) -> World:
        left = [
            key
            for key, kept in world.records
            if kept.state is State.IN_PROGRESS and kept.owner == replica
        ]
        return world._replace(records=drop(world.records, *left))


class TwoCommits(SessionWorld):
    """Effect and answer commit one after the other."""

    def runs_on(self, world: World, run: Going) -> Step:
        if not run.acted:
            acted = run._replace(acted=True)
            return "act", self.act(world, run)._replace(going=world.going | {acted})
        return super().runs_on(world, run)

    def act(self, world: World, run: Going) -> World:
        return world if run.acted else super().act(world, run)


class TalkativeZombie(SessionWorld):
    """A fenced owner answers with its own result."""

    def lose(self, world: World, run: Going) -> Step:
        own = Kept(
            State.DONE, run.fence, run.replica, run.number, run.params, run.principal, 0
        )
        return "zombie", self.answer(world, run, own)


class SecondId(SessionWorld):
    """The client makes a call anew in another session."""

    def sessions(self) -> Any:
        return (("s", True), ("t", True))

    def floors(self) -> Any:
        return (("s", 0), ("t", 0))

    def sends(self, world: World) -> Iterator[Step]:
        for label, after in super().sends(world):
            anew = value(world.callers, "a").timestamp < 0
            new = after.net - world.net
            if anew and new:
                moved = {message._replace(key=("t", message.key[1])) for message in new}
                yield label, after._replace(net=world.net | moved)
            else:
                yield label, after

    def hears(self, world: World) -> Iterator[Step]:
        for label, after in super().hears(world):
            caller = value(after.callers, "a")
            if caller.phase == "SESSION_UNKNOWN" and caller.timestamp >= 0:
                again = Caller("sent", caller.sent - 1, frozenset(), -1)
                yield "anew", after._replace(callers=put(after.callers, "a", again))
            else:
                yield label, after

    def judge(self, world: World, message: Message, kept: Any, owner: Any) -> Verdict:
        return self.rules.judge_session(
            live=value(world.sessions, message.key[0]) and message.principal == "P",
            seq=message.key[1],
            floor=value(world.floors, message.key[0]),
            window=8,
            state=State.ABSENT if kept is None else kept.state,
            same=kept is None or kept.params == message.params,
            delivery=self.scenario.delivery,
            owner=owner,
        )

    def wrong(self, before: World, label: str, world: World) -> str:
        broken = super().wrong(before, label, world)
        return "" if broken.startswith(("I8", "I16")) else broken


class EarlyAck(SessionWorld):
    """The client acknowledges what it has not finished."""

    def ack(self, world: World) -> int:
        return 2


class OneRefusal(SessionWorld):
    """One refusal settles a call."""

    def hears(self, world: World) -> Iterator[Step]:
        for told in world.told:
            caller = value(world.callers, self.call(told.key))
            if told.kind == "REFUSED" and caller.phase == "sent":
                after = caller._replace(phase="not run")
                yield (
                    "hear REFUSED",
                    world._replace(
                        callers=put(world.callers, self.call(told.key), after)
                    ),
                )
        yield from super().hears(world)


class BigReply(SessionWorld):
    """An answer too big to keep frees its record."""

    def end(self, world: World, run: Going) -> Step:
        label, after = super().end(world, run)
        return label, after._replace(records=drop(after.records, run.key))


class PortInTheKey(SessionWorld):
    """A retry over another connection has another key."""

    def call(self, key: Any) -> str:
        return "a" if key[1] == 4 else super().call(key)

    def sends(self, world: World) -> Iterator[Step]:
        for label, after in super().sends(world):
            new = after.net - world.net
            if any(message.attempt for message in new):
                moved = {message._replace(key=("s", 4)) for message in new}
                yield label, after._replace(net=world.net | moved)
            else:
                yield label, after


class KeptRefusal(SessionWorld):
    """A refusal is stored as the answer."""

    def arrives(self, world: World, message: Message, replica: int) -> Iterator[Step]:
        for label, after in super().arrives(world, message, replica):
            yield label, after
            if label == "refuse":
                kept = Kept(
                    State.DONE, 1, replica, -1, message.params, message.principal, 0
                )
                yield "refuse, and keep it", self.keep(after, message.key, kept)


class LostEpoch(SessionWorld):
    """A restarted memory store takes the sessions of its last life for its own."""

    def restart(self, world: World) -> World:
        return world._replace(records=())


class LateFloor(FreeWorld):
    """A record is dropped, and the floor rises in a later step."""

    def forgets(self, world: World, able: set[str]) -> Iterable[Step]:
        pending = value(world.budget, "pending", 0)
        if pending:
            raised = self.rules.floor_after(value(world.floors, "P"), pending)
            yield (
                "raise the floor",
                world._replace(
                    floors=put(world.floors, "P", raised),
                    budget=put(world.budget, "pending", 0),
                ),
            )
        elif "forget" in able:
            for key, kept in world.records:
                if kept.state is not State.IN_PROGRESS:
                    spent = self.spend(world, "forget")
                    yield (
                        "forget",
                        spent._replace(
                            records=drop(world.records, key),
                            budget=put(spent.budget, "pending", kept.timestamp),
                        ),
                    )


class Restamping(FreeWorld):
    """The client dates each attempt anew."""

    def sends(self, world: World) -> Iterator[Step]:
        for label, after in super().sends(world):
            new = {
                message._replace(timestamp=world.now)
                for message in after.net - world.net
            }
            yield label, after._replace(net=world.net | new)


class SharedKeys(FreeWorld):
    """A sessionless key is the id alone."""

    def key(self, call: str, principal: str) -> Any:
        return ("*", call)


# -- all of them --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """
    One mistake.

    @ivar name: as in the model of the design.
    @ivar breaks: the invariants of which one is found broken.
    """

    name: str
    what: str
    breaks: tuple[str, ...]
    world: type[Exploration]
    options: dict[str, Any]
    rules: type[Rules] = field(default=Rules)
    right: type[Exploration] | None = None

    def found(self) -> Explored:
        """What exploring with the mistake finds."""
        return explore(self.world(Scenario(**self.options), self.rules), 400_000)

    def right_found(self) -> Explored:
        """What exploring the same without it finds."""
        base = next(
            kind for kind in (SessionWorld, FreeWorld) if issubclass(self.world, kind)
        )
        return explore(base(Scenario(**self.options)), 400_000)


_S, _F = SessionWorld, FreeWorld
_DOUBT = lambda delivery: State.RECLAIMABLE  # noqa: E731 - one line of a table below

MUTANTS = (
    Mutant("check_then_act", "look up, run, store: no claim", ("I1",), _S, {}, mistaken(Verdict.JOIN, Verdict.WAIT)),
    Mutant("lru_to_absent", "a record is dropped, and the id looks new", ("I1",), _S, {"evicts": 1}, mistaken(Verdict.NOT_CACHED)),
    Mutant("expire_to_absent", "a time window drops records but not the session", ("I1",), ExpiringWorld, {"ends": 1}),
    Mutant("takeover_reexecutes", "the end of a lease runs a once call again", ("I1",), _S, {"replicas": 2, "leases": 1}, mistaken(Verdict.IN_DOUBT)),
    Mutant("boot_forgets_intent", "a start deletes what was in progress", ("I1",), ForgetfulBoot, {"crashes": 1}),
    Mutant("two_commits", "effect and answer in two transactions", ("I1",), TwoCommits, {"delivery": "transactional", "replicas": 2, "crashes": 1, "leases": 1}),
    Mutant("no_fence", "a zombie overwrites the stored answer", ("I3",), _S, {"delivery": "idempotent", "replicas": 2, "leases": 1, "attempts": 3}, rules(may_complete=lambda *_: True)),
    Mutant("zombie_replies_own_result", "a fenced owner answers its caller", ("I3",), TalkativeZombie, {"delivery": "idempotent", "replicas": 2, "leases": 1, "attempts": 3}),
    Mutant("no_fingerprint", "other parameters get the stored answer", ("I4",), _S, {"reused": True}, judging(same=True)),
    Mutant("no_principal_scope", "another client reads it", ("I5",), _S, {"stranger": True}, judging(live=True)),
    Mutant("implicit_session", "an unknown session is made by its use", ("I8", "I1"), _S, {"durable": False, "crashes": 1}, judging(live=True)),
    Mutant("reissue_new_session", "a once call is sent again under a new id", ("I1",), SecondId, {"ends": 1, "attempts": 3}),
    Mutant("early_ack", "the client acks a call it has not finished", ("I16", "I1"), EarlyAck, {"second": True}),
    Mutant("one_refusal_is_enough", "one executed 'no' settles the call", ("I6",), OneRefusal, {"overload": True}),
    Mutant("takeover_forgets_fingerprint", "a reclaimed id may run with other parameters", ("I4",), _S, {"delivery": "transactional", "replicas": 2, "crashes": 1, "leases": 1, "reused": True, "attempts": 3}, rules(judge_session=_no_fingerprint_of_the_reclaimed)),
    Mutant("big_reply_not_cached", "an answer too big to keep frees the record", ("I1",), BigReply, {}),
    Mutant("key_has_source_port", "a reconnect misses the record", ("I1",), PortInTheKey, {}),
    Mutant("cache_refusal", "a refusal is stored as the answer", ("I2",), KeptRefusal, {"overload": True}),
    Mutant("memory_store_forgets_epoch", "a restarted memory store accepts old sessions", ("I1",), LostEpoch, {"durable": False, "crashes": 1}),
    Mutant("forget_without_floor", "a record is dropped, the floor stays", ("I1",), _F, {"forgets": 1, "ticks": 1}, rules(floor_after=lambda floor, _: floor)),
    Mutant("floor_raised_later", "a record dropped and the floor raised in two steps", ("I1",), LateFloor, {"delivery": "transactional", "forgets": 1, "ticks": 1}),
    Mutant("floor_strict", "the floor refuses below, not at or below", ("I1",), _F, {"forgets": 1, "ticks": 1}, rules(judge_sessionless=_strict_floor)),
    Mutant("floor_assigned", "the floor is set, not raised", ("I7", "I1"), _F, {"forgets": 2, "ticks": 1, "second": True}, rules(floor_after=lambda _, timestamp: timestamp)),
    Mutant("floor_before_lookup", "a duplicate with a record is called stale", ("I17",), _F, {"forgets": 1, "ticks": 1, "second": True}, rules(judge_sessionless=_floor_first)),
    Mutant("restart_without_floor", "a restarted memory store has no floor", ("I1",), _F, {"durable": False, "crashes": 1, "ticks": 1}, rules(floor_after=lambda floor, _: floor)),
    Mutant("client_restamps", "each attempt has a new timestamp", ("I1",), Restamping, {"forgets": 1, "ticks": 1}),
    Mutant("key_without_principal", "a sessionless key is the id only", ("I5",), SharedKeys, {"stranger": True}),
)  # fmt: skip
