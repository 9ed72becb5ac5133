"""
A client whose callers do what callers do, and a server that answers late, twice,
out of order, under ids that are nearly right, or not at all.

Each answer says which call it is of, so that no caller takes another's for his own.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from tests.client.scripted import Message, Scripted, Server, plain
from twisted_rpc import (
    CircuitBreaker,
    Client,
    Request,
    RetryPolicy,
    RPCError,
    with_options,
)
from twisted_rpc.call import calling
from twisted_rpc.client.interceptors import hedging
from twisted_rpc.client.interceptors.latency import Latency
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, MemoryNetwork
from twisted_rpc.testing.network import settle

METHODS: Final = """
    @readonly string look(any key)
    @readonly @cache(ttl=2s) string kept(any key)
    @readonly @cache(ttl=2s, vary=["key"]) string part(any key, string rest)
    @readonly @hedge("p50") string find(any key, int n)
    @idempotent string put(any key, int n)
    string buy(any key, int n)
    oneway void note(any key, int n)
"""
idl: Any = load_idl_text(f"service Left {{ {METHODS} }} service Right {{ {METHODS} }}")

#: What equals another in Python and is not the same, and the other way round.
KEYS: Final = (1, True, 1.0, "1", 0, 0.0, -0.0, False, None, [1], [True], {"a": 1})

#: As often as they are called.
NAMES: Final = ("look", "kept", "part", "find", "put", "buy", "buy", "note")

#: Methods whose calls may share an answer; an answer to them may be so old.
SHARED: Final = {"look": 0.0, "kept": 2.0, "part": 2.0}

#: Seconds that a call of a server has, for which another is made.
OUTER: Final = (*[None] * 6, 0.5, 2.0)
TENANTS: Final = (None, None, None, "a", "b")
TIMEOUTS: Final = (1.0, 1.0, 4.0, 0.3)
PAUSES: Final = (0.0, 0.01, 0.05, 0.3, 1.1, 2.2)
ONCE: Final = RetryPolicy(max_attempts=1)
BREAKER: Final = CircuitBreaker(
    window=6, minimum=3, open_for=0.2, probes=2, chance=lambda: 0.5
)
PATIENT: Final = RetryPolicy(initial=0.02, maximum=0.1, chance=lambda: 1.0)

#: An answer to no call.
NOBODY: Final = "nobody's"

#: What is done next, and how often beside the others.
STEPS: Final = (
    *["call"] * 6,
    *["alike"] * 4,
    *["answer"] * 7,
    "again",
    "nearly",
    "refuse",
    "refuse",
    "unsure",
    "fail",
    "cancel",
    "cancel",
    *["wait"] * 3,
    "drop",
    "away",
    "forget",
    "restart",
    "listen",
    "reopen",
    "ask",
)

#: What a caller does when his call ends.
REACTIONS: Final = (
    *["nothing"] * 6,
    "raise",
    "cancel",
    "cancel",
    "call",
    "call",
    "close",
    "reopen",
)

#: One step: what, and numbers that say with which.
Step = tuple[str, int, int, int]


@dataclass(frozen=True)
class Ask:
    """
    What a caller wants.

    @ivar rest: an argument that makes no difference to a cache.
    @ivar outer: seconds that the call has for which it is made, if any.
    """

    service: str
    method: str
    key: Any
    rest: str
    tenant: str | None
    timeout: float
    retry: Any
    waits: bool
    outer: float | None = None


@dataclass(eq=False)
class Asked:
    """
    A call, as its caller knows it.

    @ivar results: what it ended with: one thing.
    """

    ask: Ask
    params: list[Any]
    made: float
    reaction: str
    other: int
    deferred: Deferred[Any]
    given_up: bool = False
    results: list[Any] = field(default_factory=list)

    @property
    def method(self) -> str:
        """Of which method."""
        return self.ask.method

    @property
    def time(self) -> float:
        """Seconds that it has."""
        outer = self.ask.outer
        return self.ask.timeout if outer is None else min(self.ask.timeout, outer)

    def __str__(self) -> str:
        """Its call."""
        return f"{self.ask.service}.{self.method}({self.params}) for {self.ask.tenant}"


@dataclass(eq=False)
class Came:
    """
    An attempt, as the server knows it.

    @ivar reply: the bytes that answered it.
    @ivar refused: they say that it did not run.
    """

    connection: Scripted
    message: Message
    session: str
    reply: bytes = b""
    refused: bool = False

    @property
    def id(self) -> str:
        """Its request id."""
        return str(self.message["request_id"])


class World:
    """
    One client, two servers with the same sessions, and what happens to them.

    @ivar faults: what must not happen and did.
    """

    def __init__(
        self, *, is_plain: bool, is_guarded: bool, coalesce: bool, room: int, keys: int
    ) -> None:
        """
        @param is_plain: the servers speak the plain profile.
        @param is_guarded: the client has a circuit breaker.
        @param room: how many calls they take at once.
        @param keys: which arguments there are: few, so that many calls are alike.
        """
        self.faults: list[str] = []
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.is_plain = is_plain
        self.room = room
        self.keys = (*KEYS, *KEYS)[keys % len(KEYS) :][:3]
        self.servers = [Server("s"), Server("t")]
        self.endpoints = [MemoryEndpoint(self.network, each) for each in self.servers]
        for server in self.servers:
            server.on_hello = self._hello
            server.on_call = self._came
        self.sessions: set[Any] = set()
        self.asked: list[Asked] = []
        self.came: list[Came] = []
        self.ids: set[str] = set()
        # By id: the answer of the only run.
        self.done: dict[str, str] = {}
        # When it was said last.
        self.said: dict[str, float] = {}
        self.runs: Counter[str] = Counter()
        self.arrivals: Counter[str] = Counter()
        self.taken: set[str] = set()
        self.numbers = 0
        self.depth = 0
        self.client = Client(
            self.endpoints,
            reactor=self.clock,
            wall=self.clock.seconds,
            chance=lambda: 0.5,
            retry=PATIENT,
            coalesce=coalesce,
            ping=0,
            max_connections=2,
            circuit_breaker=BREAKER if is_guarded else None,
        )
        self.proxies = {
            "Left": self.client.proxy(idl.ILeft),
            "Right": self.client.proxy(idl.IRight),
        }

    # -- the server ---------------------------------------------------------------------

    def _hello(self, connection: Scripted) -> None:
        if self.is_plain:
            plain(connection)
            return
        asked = (connection.hello or {}).get("session")
        known = asked in self.sessions
        session = asked if known else connection.server.next_session()
        self.sessions.add(session)
        connection.welcome(
            session,
            resumed=known,
            limits__max_inflight=self.room,
            guarantee__window=2 * self.room,
        )

    def _came(self, connection: Scripted, message: Message) -> None:
        came = Came(connection, message, connection.session)
        self.ids.add(came.id)
        self.arrivals[self._number(came)] += 1
        if not message.get("ext", {}).get("oneway") or self.is_plain:
            self.came.append(came)

    def _number(self, came: Came) -> str:
        """
        @return: what no other call of methods that share nothing has.
        """
        params = came.message["params"]
        return f"{came.message['method']} {params[1] if len(params) > 1 else ''}"

    def _run(self, came: Came) -> str:
        """
        @return: the answer; under an id that has run, that of the run.
        """
        if came.id in self.done and not self.is_plain:
            return self.done[came.id]
        self.runs[self._number(came)] += 1
        message = came.message
        meta = message.get("ext", {}).get("meta", {})
        answer = self.done[came.id] = json.dumps(
            {
                "service": message["service"],
                "method": message["method"],
                "params": message["params"],
                "tenant": meta.get("tenant"),
                "id": came.id,
            }
        )
        return answer

    def _answer(self, came: Came, how: str) -> None:
        session = came.id.partition(":")[0]
        reply: dict[str, Any] = {"request_id": came.id, "result": None, "error": None}
        ext: dict[str, Any] = {}
        if not self.is_plain and session not in self.sessions and not came.reply:
            ext = {"code": "SESSION_UNKNOWN", "executed": "unknown"}
        elif how == "answer":
            reply["result"] = self._run(came)
        elif how == "fail":
            self._run(came)
            ext = {"code": "NOT_FOUND", "executed": "yes"}
        elif how == "unsure":
            self._run(came)
            ext = {"code": "UNAVAILABLE", "executed": "unknown"}
        elif came.id in self.done:
            # It has run: no honest server says that it did not.
            reply["result"] = self.done[came.id]
        else:
            ext = {"code": "UNAVAILABLE", "executed": "no", "retry_after": 20}
        if self.is_plain and how == "refuse":
            self._run(came)
        if ext:
            reply["error"] = ext["code"]
        if ext and not self.is_plain:
            reply["ext"] = ext
        came.refused = ext.get("executed") == "no"
        self.said[came.id] = self.clock.seconds()
        came.reply = json.dumps(reply).encode()
        came.connection.send_raw(came.reply)

    def _nearly(self, came: Came, how: int) -> None:
        """
        Answer under an id that is nobody's.
        """
        session, _, seq = came.id.rpartition(":")
        near = [
            f"{session}:0{seq}",
            f"{session}:{seq}0000",
            f"{session}:",
            f"{session}:{seq} ",
            f"{session}0:{seq}",
            f"x:{seq}",
            seq,
            f"{session.upper()}:{seq}",
            f"$1{seq}",
        ][how % 9]
        if near not in self.ids:
            came.connection.send({"request_id": near, "result": NOBODY, "error": None})

    def _lose(self, connection: Scripted) -> None:
        """
        What was not answered there has run, and nobody is told.
        """
        for came in self._open:
            if came.connection is connection and came.id.partition(":")[0] in (
                self.sessions | ({came.id} if self.is_plain else set())
            ):
                self._run(came)

    @property
    def _open(self) -> list[Came]:
        return [
            came
            for came in self.came
            if not came.reply and not came.connection.lost and not self._gone(came)
        ]

    def _gone(self, came: Came) -> bool:
        """
        Whether an answer would be a plain server's to another call than the next.
        """
        if not self.is_plain:
            return False
        return any(
            not other.reply
            for other in self.came[: self.came.index(came)]
            if other.connection is came.connection
        )

    # -- the callers --------------------------------------------------------------------

    def call(self, service: int, method: int, option: int, reaction: str) -> None:
        """
        Make a call.
        """
        other = option
        option, key = divmod(option, 3)
        option, whose = divmod(option, len(TENANTS))
        option, timeout = divmod(option, len(TIMEOUTS))
        option, patience = divmod(option, 8)
        self.make(
            Ask(
                ("Left", "Right")[service % 2],
                NAMES[method % len(NAMES)],
                self.keys[key],
                f"{option % 2}",
                TENANTS[whose],
                TIMEOUTS[timeout],
                (None, ONCE)[patience == 1],
                patience == 2,
                OUTER[option // 2 % len(OUTER)],
            ),
            reaction,
            other,
        )

    def make(self, ask: Ask, reaction: str = "nothing", other: int = 0) -> None:
        """
        Make a call, as is said.
        """
        self.numbers += 1
        params: list[Any] = [ask.key]
        if ask.method == "part":
            params.append(ask.rest)
        elif ask.method not in SHARED:
            params.append(self.numbers)
        proxy = with_options(
            self.proxies[ask.service],
            timeout=ask.timeout,
            retry=ask.retry,
            metadata={"tenant": ask.tenant} if ask.tenant else None,
            wait_for_ready=ask.waits,
        )
        made = self.clock.seconds()
        method = getattr(proxy, ask.method)
        deferred = self._within(ask.outer, method, *params)
        asked = Asked(ask, params, made, reaction, other, deferred)
        deferred.addBoth(self._ended, asked)
        self.asked.append(asked)
        deferred.addErrback(lambda failure: failure.trap(_Raised))

    def _within(self, outer: float | None, does: Any, *params: Any) -> Any:
        """
        Do something for a call that has so many seconds left.
        """
        if outer is None:
            return does(*params)
        deadline = self.clock.seconds() + outer
        trace = {"traceparent": f"00-{self.numbers}"}
        call = Request(None, b"", "", deadline, self.client, metadata=trace)
        return call.run(does, *params)

    def _ended(self, result: Any, asked: Asked) -> None:
        asked.results.append(result)
        now = self.clock.seconds()
        if len(asked.results) > 1:
            self.fault(asked, "ended twice")
        if calling() is not None and not asked.given_up and asked in self.asked:
            self.fault(asked, "ended within a call that is not its own")
        if now > asked.made + asked.time + 0.0501:
            self.fault(asked, f"ended {now - asked.made:.3f} s after it was made")
        if isinstance(result, Failure):
            own = CancelledError if asked.given_up else RPCError
            if not isinstance(result.value, RPCError | own):
                self.fault(asked, f"failed with {result!r}")
        elif asked.method != "note" and result != NOBODY:
            self._check(json.loads(result), asked)
        elif asked.method != "note" or result is not None:
            self.fault(asked, f"has the answer {result!r}")
        self._react(asked)

    def _check(self, answer: Any, asked: Asked) -> None:
        """
        The answer is one to this call.
        """
        tenant = None if self.is_plain else asked.ask.tenant
        own = [asked.ask.service, asked.method, asked.params, tenant]
        got = [answer[name] for name in ("service", "method", "params", "tenant")]
        if asked.method == "part":
            own[2], got[2] = asked.params[:1], got[2][:1]
        # As texts: 1 equals True.
        if json.dumps(own) != json.dumps(got):
            self.fault(asked, f"has the answer to {got}")
        said = self.said[answer["id"]]
        if said < asked.made - SHARED.get(asked.method, 0.0) - 1e-6:
            self.fault(asked, "has an answer from before it was made")
        if asked.given_up:
            self.fault(asked, "has an answer after it was given up")
        if asked.method not in SHARED:
            if answer["id"] in self.taken:
                self.fault(asked, "has an answer that another call has as well")
            self.taken.add(answer["id"])

    def _react(self, asked: Asked) -> None:
        if self.depth > 3:
            return
        self.depth += 1
        try:
            if asked.reaction == "cancel":
                self.cancel(asked.other)
            elif asked.reaction == "call":
                self.call(asked.other, asked.other // 2, asked.other // 3, "nothing")
            elif asked.reaction == "close":
                self._within((None, 1.0)[asked.other % 2], self.client.close)
            elif asked.reaction == "reopen":
                self.client.pool.open()
                self.call(asked.other, asked.other // 2, asked.other // 3, "nothing")
        finally:
            self.depth -= 1
        if asked.reaction == "raise":
            raise _Raised

    def cancel(self, which: int) -> None:
        """
        Give a call up that has not ended.
        """
        going = [each for each in self.asked if not each.results]
        if going:
            asked = going[which % len(going)]
            asked.given_up = True
            self._within((None, 1.0)[which // 8 % 2], asked.deferred.cancel)

    def fault(self, asked: Asked, what: str) -> None:
        """
        Note what must not be.
        """
        self.faults.append(f"{asked} {what}")

    # -- what happens -------------------------------------------------------------------

    def do(self, step: Step) -> None:
        """
        Take one step.
        """
        what, a, b, c = step
        getattr(self, f"_do_{what}")(a, b, c)
        self.pump()

    def _do_call(self, a: int, b: int, c: int) -> None:
        self.call(a, b, c, REACTIONS[(a // 2) % len(REACTIONS)])

    def _do_alike(self, a: int, b: int, c: int) -> None:
        """
        Make a call like an earlier one, but for one thing, or nothing.
        """
        alike = [each.ask for each in self.asked if each.method in SHARED][-8:]
        if alike:
            ask = alike[a % len(alike)]
            other: Any = {
                0: {"service": ("Left", "Right")[c % 2]},
                1: {"key": self.keys[c % 3]},
                2: {"tenant": TENANTS[c % len(TENANTS)]},
                3: {"timeout": TIMEOUTS[c % len(TIMEOUTS)]},
                4: {"method": NAMES[c % 3], "rest": f"{c % 2}"},
            }.get(b % 8, {})
            self.make(replace(ask, **other), REACTIONS[c % len(REACTIONS)], b)

    def _do_cancel(self, a: int, b: int, c: int) -> None:
        self.cancel(a)

    def _answered(self, a: int, how: str) -> None:
        going = self._open
        if going:
            self._answer(going[a % len(going)], how)

    def _do_answer(self, a: int, b: int, c: int) -> None:
        # Several come in one read.
        for n in range(1 + b % 4):
            self._answered(a + n * c, "answer")

    def _do_refuse(self, a: int, b: int, c: int) -> None:
        self._answered(a, "refuse")

    def _do_unsure(self, a: int, b: int, c: int) -> None:
        self._answered(a, "unsure")

    def _do_fail(self, a: int, b: int, c: int) -> None:
        self._answered(a, "fail")

    def _do_again(self, a: int, b: int, c: int) -> None:
        """
        Say once more what was said; but that an attempt was refused, which would be
        the answer to the next one.
        """
        said = [
            each
            for each in self.came
            if each.reply and not each.connection.lost and not each.refused
        ]
        if said:
            came = said[a % len(said)]
            came.connection.send_raw(came.reply)

    def _do_nearly(self, a: int, b: int, c: int) -> None:
        if self.came:
            came = self.came[a % len(self.came)]
            if not came.connection.lost:
                self._nearly(came, b)

    def _do_wait(self, a: int, b: int, c: int) -> None:
        self.advance(PAUSES[a % len(PAUSES)])

    @property
    def _connections(self) -> list[Scripted]:
        return [
            each
            for server in self.servers
            for each in server.connections
            if not each.lost and each.transport is not None
        ]

    def _do_drop(self, a: int, b: int, c: int) -> None:
        connections = self._connections
        if connections:
            connection = connections[a % len(connections)]
            self._lose(connection)
            connection.drop()

    def _do_away(self, a: int, b: int, c: int) -> None:
        connections = self._connections
        if connections and not self.is_plain:
            connections[a % len(connections)].go_away()

    def _do_forget(self, a: int, b: int, c: int) -> None:
        """
        The servers forget all sessions, and say so when they are asked.
        """
        self.sessions.clear()

    def _do_restart(self, a: int, b: int, c: int) -> None:
        for connection in self._connections:
            self._lose(connection)
            connection.drop()
        self.sessions.clear()

    def _do_listen(self, a: int, b: int, c: int) -> None:
        """
        A server begins or ends to listen.
        """
        endpoint, server = self.endpoints[a % 2], self.servers[a % 2]
        endpoint.factory = None if endpoint.factory else server

    def _do_reopen(self, a: int, b: int, c: int) -> None:
        if b % 2 or self.client.pool.closing:
            if not self.client.pool.closing:
                self.client.close()
            self.client.pool.open()

    def _do_ask(self, a: int, b: int, c: int) -> None:
        """
        Ask a question, and make a call when there is an answer or none.
        """
        for server in self.servers:
            server.answers_controls = bool(b % 2)
        self.client.ping().addBoth(lambda _: self.call(a, b, c, "nothing"))

    def pump(self) -> None:
        """
        Deliver everything.
        """
        settle(self.network, self.clock)

    def advance(self, seconds: float) -> None:
        """
        Let time pass, from one thing that is to be done to the next.
        """
        end = self.clock.seconds() + seconds
        while (now := self.clock.seconds()) < end:
            due = [call.getTime() for call in self.clock.getDelayedCalls()]
            self.clock.advance(max(0.0, min([*due, end]) - now))
            self.pump()

    # -- the end ------------------------------------------------------------------------

    def finish(self) -> None:
        """
        Wait until all must have ended, and look at what is left.
        """
        # A call that ends may be the reason for another.
        for _ in range(5):
            self.advance(max(TIMEOUTS) + 0.06)
        for asked in self.asked:
            if len(asked.results) != 1:
                self.fault(asked, f"has ended {len(asked.results)} times")
        closed: list[Any] = []
        self.client.close().addBoth(closed.append)
        self.advance(2.0)
        if closed != [None]:
            self.faults.append("the client is not closed")
        timers = [str(each) for each in self.clock.getDelayedCalls()]
        if timers:
            self.faults.append(f"timers are left: {timers}")
        left = self._left
        if left:
            self.faults.append(f"something is left: {left}")
        for asked in self.asked:
            self._check_claim(asked)

    @property
    def _left(self) -> list[Any]:
        pool = self.client.pool
        kept = [
            *pool.queue,
            *pool.questions,
            *pool.links,
            *pool.retired,
            *pool.protocols,
            *pool._idle,
        ]
        if len(pool.deadlines):
            kept.append(pool.deadlines)
        return kept

    def _check_claim(self, asked: Asked) -> None:
        """
        It ran as often as it may, and not if its caller was told so.
        """
        if asked.method in SHARED:
            return
        number = f"{asked.method} {asked.params[1]}"
        ran = self.runs[number]
        if asked.method == "buy" and ran > 1:
            self.fault(asked, f"ran {ran} times")
        if asked.method == "note" and self.arrivals[number] > 1:
            self.fault(asked, f"was sent {self.arrivals[number]} times")
        error = getattr(asked.results[0], "value", None) if asked.results else None
        executed = getattr(error, "executed", None)
        if executed == "no" and ran:
            self.fault(asked, f"ran, and failed with {error!r}")
        if executed == "yes" and not ran:
            self.fault(asked, f"did not run, and failed with {error!r}")


class _Raised(Exception):
    """
    A caller's own mistake.
    """


@contextmanager
def _logged() -> Iterator[list[LogEvent]]:
    """
    @return: the failures that are logged.
    """
    events: list[LogEvent] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observe)


def faults_of(steps: Iterable[Step], **options: Any) -> list[str]:
    """
    Take the steps in a world of their own.

    @return: what must not happen and did.
    """
    with (
        _logged() as events,
        # Copies are made from the first call on, as else after many.
        patch.object(Latency, "value", 0.04),
        patch.object(hedging, "PART", 1.0),
    ):
        world = World(**options)
        try:
            for step in steps:
                world.do(step)
            world.finish()
        except Exception as error:  # noqa: BLE001 - a fault like all others
            world.faults.append(f"{type(error).__name__}: {error}")
    return world.faults + [str(event["log_failure"]) for event in events]


def random_steps(seed: int) -> tuple[list[Step], dict[str, Any]]:
    """
    @return: steps, and options of their world.
    """
    chance = random.Random(seed)
    number = partial(chance.randrange, 1 << 16)
    steps = [
        (chance.choice(STEPS), number(), number(), number())
        for _ in range(chance.choice((10, 30, 60)))
    ]
    options = {
        "is_plain": chance.random() < 0.25,
        "is_guarded": chance.random() < 0.25,
        "coalesce": chance.random() < 0.5,
        "room": chance.choice((1, 2, 3, 64)),
        "keys": chance.randrange(len(KEYS)),
    }
    return steps, options
