# -*- test-case-name: tests.testing.test_simulation -*-
"""
What must hold, whatever happens: the invariants of delivery.md, section 7.

The oracle sees everything that clients and servers cannot: what each call was
told, what ran for it on which server, and all that was written to the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twisted_rpc.call import Request, current_call
from twisted_rpc.delivery.bounds import with_room
from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, InvalidValue, RPCError
from twisted_rpc.testing.simulation.network import Host
from twisted_rpc.wire.messages import ReplyMessage, RequestMessage

#: Seconds after its deadline by which a call has ended.
SLACK: Final = 0.1

#: Attempts of one call, at most (C4).
ATTEMPTS: Final = 5

#: The outcome of a call whose caller died first.
DIED: Final = object()

#: Classes of which a call has at most one effect.
_ONCE: Final = frozenset({"once", "transactional"})


class Violation(AssertionError):
    """
    An invariant does not hold.
    """


class Asked:
    """
    An id as it was seen on the wire.

    @ivar host: who wrote it first.
    @ivar call: whose it is, if a client of the simulation made it.
    @ivar attempts: on which connections it was written, in order.
    @ivar refused: answers that say that an attempt did not run.
    @ivar repeated: somebody else wrote it too, for whom it may have run after all.
    @ivar written: each method and parameters it was written with, by whomever.
    @ivar writes: how often.
    @ivar results: the different results it was answered with.
    @ivar runs: which servers ran it, in which life.
    @ivar returned: what the runs came to, as it goes on the wire.
    @ivar failed: the exceptions of the IDL that they raised, likewise.
    @ivar ran_with: the parameters of the first run.
    @ivar delivery: the class of its method, once it has run.
    """

    __slots__ = (
        "attempts", "call", "delivery", "failed", "host", "method", "params", "principal",
        "ran_with", "refused", "repeated", "results", "returned", "runs",
        "timestamp", "writes", "written",
    )  # fmt: skip

    def __init__(self, message: RequestMessage, host: Host) -> None:
        self.method = f"{message.service}.{message.method}"
        self.params = bytes(message.params)
        self.timestamp = message.timestamp
        self.host = host
        self.principal = host.principal
        self.call: Called | None = None
        self.attempts: list[int] = []
        self.refused = 0
        self.repeated = False
        self.written: set[tuple[str, bytes]] = set()
        self.writes = 0
        self.results: set[bytes] = set()
        self.returned: set[bytes] = set()
        self.failed: set[tuple[str, bytes]] = set()
        self.runs: list[str] = []
        self.ran_with: bytes | None = None
        self.delivery = ""

    def run(
        self, schema: Any, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        """
        Call an implementation, and note what comes of it.
        """
        try:
            result = function(*args)
        except RPCError as error:
            self._came_to(schema, Failure(error))
            raise
        if isinstance(result, Deferred):
            return result.addBoth(partial(self._came_to, schema))
        if isinstance(result, Awaitable):
            return self._wait(schema, result)
        return self._came_to(schema, result)

    async def _wait(self, schema: Any, running: Awaitable[Any]) -> Any:
        try:
            result = await running
        except RPCError as error:
            self._came_to(schema, Failure(error))
            raise
        return self._came_to(schema, result)

    def _came_to(self, schema: Any, outcome: Any) -> Any:
        try:
            if not isinstance(outcome, Failure):
                self.returned.add(schema.encode_result(outcome))
            elif isinstance(outcome.value, RPCError):
                declared = schema.encode_exception(outcome.value)
                if declared is not None:
                    self.failed.add((declared.type, declared.data))
        except InvalidValue:
            # It does not fit the IDL, which is told as another error.
            pass
        return outcome


class Called:
    """
    A call, as its caller sees it.

    @ivar params: the text of its arguments.
    @ivar ids: under which it was asked.
    @ivar outcome: its result, or how it failed; C{...} while it goes on; L{DIED}:
        nobody heard of it.
    """

    __slots__ = (
        "call", "delivery", "ended", "ids", "method", "number", "outcome", "params",
        "timeout",
    )  # fmt: skip

    def __init__(self, number: int, call: Any) -> None:
        target = call.target
        self.number = number
        self.call = call
        self.method = f"{target.service}.{target.wire_name}"
        self.delivery: str = target.delivery
        self.params: bytes = call.params
        self.timeout: float = target.timeout
        self.ids: dict[str, Asked] = {}
        self.outcome: Any = ...
        self.ended = 0.0

    @property
    def runs(self) -> int:
        """How often it was started."""
        return sum(len(asked.runs) for asked in self.ids.values())

    @property
    def repeated(self) -> bool:
        """Whether somebody else used an id of it, too."""
        return any(asked.repeated for asked in self.ids.values())

    def __repr__(self) -> str:
        return f"call {self.number} ({self.method}, {self.delivery})"


class Oracle:
    """
    Keeps what was seen, and says what must not be.

    @ivar calls: all calls of all clients, in order.
    @ivar asked: all ids that were seen, in order.
    @ivar violation: the first, or C{None}.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.calls: list[Called] = []
        self.asked: dict[str, Asked] = {}
        self.replies = 0
        self.violation: Violation | None = None
        self._seconds = seconds
        self._open: dict[str, dict[Called, None]] = {}
        self._ended: set[str] = set()
        self._floors: dict[int, dict[Any, float]] = {}
        self._owed: dict[tuple[int, str], int] = {}
        self._cancelled: set[tuple[int, str]] = set()
        self._changed: dict[tuple[int, str], bytes] = {}
        self._live: dict[int, set[str]] = {}

    def wrong(self, invariant: str, text: str) -> None:
        """
        An invariant does not hold.  Nothing is raised here, where the code under
        test would catch it.
        """
        if self.violation is None:
            self.violation = Violation(f"{invariant}: {text}")

    @property
    def outcomes(self) -> Counter[str]:
        """
        How often calls ended with C{"OK"}, with which code, or C{"cancelled"},
        and how many callers C{"died"} before.
        """
        return Counter(map(_name, self.calls))

    # -- what callers see ---------------------------------------------------------------

    def calling(self, caller: str, call: Any) -> Called:
        """
        A client makes a call.
        """
        called = Called(len(self.calls), call)
        self.calls.append(called)
        self._open.setdefault(caller, {})[called] = None
        if call.id in self.asked:
            # It was written before it was known.
            self._bind(called, call.id)

        def ended(outcome: Any) -> Any:
            if called.outcome is DIED:
                return outcome
            if called.outcome is not ...:
                self.wrong("I13", f"{called} ended twice")
            called.outcome = outcome
            called.ended = self._seconds()
            self._open[caller].pop(called)
            self._judge_end(called)
            return outcome

        call.addBoth(ended)
        return called

    def died(self, caller: str) -> None:
        """
        A client has ended before its calls have.
        """
        for called in self._open.pop(caller, {}):
            called.outcome = DIED

    def _judge_end(self, called: Called) -> None:
        late = called.ended - called.call.deadline
        if late > SLACK:
            self.wrong("I15", f"{called} ended {late:.3f} s after its deadline")
        outcome = called.outcome
        if not isinstance(outcome, Failure):
            return
        error = outcome.value
        if isinstance(error, CancelledError):
            return
        if not isinstance(error, RPCError):
            self.wrong("I13", f"{called} failed with {error!r}, which is no RPCError")
        elif error.code is Code.STALE_REQUEST and called.call.seq:
            self.wrong("I16", f"{called} was told {error}")
        elif error.code is Code.ID_REUSED and not called.repeated:
            self.wrong("I4", f"{called} was told {error}, and nobody else used its id")

    # -- what is on the wire ------------------------------------------------------------

    def requested(self, host: Host, connection: int, message: RequestMessage) -> None:
        """
        A request was written.
        """
        caller = host.name
        request_id = message.request_id
        if request_id.startswith("$"):
            if message.method == "cancel":
                # The answer and the cancellation may cross.
                self._cancelled.add((connection, _first(message)))
            return
        asked = self.asked.get(request_id)
        if asked is None:
            asked = self.asked[request_id] = Asked(message, host)
            self._match(caller, request_id)
        method, params = f"{message.service}.{message.method}", bytes(message.params)
        asked.writes += 1
        asked.written.add((method, params))
        if message.ext is None or not message.ext.oneway:
            owed = (connection, request_id)
            self._owed[owed] = self._owed.get(owed, 0) + 1
        if params != asked.params:
            self._changed[connection, request_id] = params
        if host is not asked.host:
            # Somebody repeats what was another's to repeat.
            asked.repeated = True
            return
        asked.attempts.append(connection)
        called = asked.call
        if called is None:
            return
        if method != asked.method or params != asked.params:
            self.wrong("I13", f"{called} was sent again with other parameters")
        if len(asked.attempts) > ATTEMPTS:
            self.wrong("I13", f"{called} was sent {len(asked.attempts)} times")
        if self._seconds() > called.call.deadline:
            self.wrong("I13", f"{called} was sent after its deadline")

    def _match(self, caller: str, request_id: str) -> None:
        """
        Find the call that has got an id.
        """
        for called in self._open.get(caller, ()):
            if called.call.id == request_id:
                self._bind(called, request_id)
                return

    def _bind(self, called: Called, request_id: str) -> None:
        asked = self.asked[request_id]
        if called.ids and called.delivery in _ONCE:
            for earlier in called.ids.values():
                if earlier.refused < len(earlier.attempts):
                    self.wrong("I14", f"{called} may have run, and got a second id")
        if (asked.method, asked.params) != (called.method, called.params):
            self.wrong(
                "I13", f"{called} was sent as {asked.method} of {asked.params!r}"
            )
        called.ids[request_id] = asked
        asked.call = called

    def replied(self, host: Host, connection: int, message: ReplyMessage) -> None:
        """
        A reply was written, to a caller at C{host}.
        """
        principal = host.principal
        self.replies += 1
        request_id = message.request_id
        asked = self.asked.get(request_id)
        if asked is None:
            return
        owed = (connection, request_id)
        left = self._owed.get(owed, 0)
        if left <= 0:
            self.wrong("I10", f"{asked.call or request_id} was answered twice")
        self._owed[owed] = left - 1
        if message.error is None:
            if asked.principal != principal:
                self.wrong(
                    "I5", f"{principal} was shown an answer of {asked.principal}'s"
                )
            params = self._changed.get(owed, asked.params)
            if asked.ran_with not in {None, params}:
                self.wrong("I4", f"{request_id} was answered for other parameters")
            result = bytes(message.result)
            if result not in asked.returned:
                self.wrong("I2", f"{asked.call or request_id} was answered by no run")
            asked.results.add(result)
            if len(asked.results) > 1 and not self._may_repeat(asked):
                self.wrong("I3", f"{asked.call or request_id} has two results")
        elif message.ext is None:
            # A plain peer is told a sentence.
            pass
        elif message.ext.executed == "no":
            asked.refused += host is asked.host
        elif message.ext.type is not None:
            failed = (message.ext.type, bytes(message.ext.data))
            if failed not in asked.failed:
                self.wrong("I2", f"{asked.call or request_id} was failed by no run")

    def _may_repeat(self, asked: Asked) -> bool:
        # A readonly call has no record; an idempotent one may lose it (D14).
        return asked.delivery not in _ONCE

    # -- what runs ----------------------------------------------------------------------

    def watch(self, server: str, registry: Any, alive: Callable[[], bool]) -> None:
        """
        See what the implementations in C{registry} are called for.
        """
        for service in registry.services.values():
            names: dict[int, set[str]] = {}
            for name, implemented in service.methods.items():
                names.setdefault(id(implemented), set()).update(
                    f"{each}.{name}" for each in service.schema.names
                )
            for implemented in {id(m): m for m in service.methods.values()}.values():
                implemented.function = self._watched(
                    server, implemented, names[id(implemented)], alive
                )
                if implemented.resolver is not None:
                    implemented.resolver = self._resolving(implemented)

    def _watched(
        self, server: str, implemented: Any, names: set[str], alive: Callable[[], bool]
    ) -> Callable[..., Any]:
        function, schema = implemented.function, implemented.schema

        def watched(*args: Any) -> Any:
            request = current_call()
            asked = self.asked.get(request.id)
            if not alive():
                return function(*args)
            if asked is None:
                self.wrong("I4", f"{schema.full_name} ran, for an id of nobody's")
                return function(*args)
            self._compare(asked, request, schema, names, args)
            if request.oneway:
                return function(*args)
            self._ran(asked, server, request, schema.delivery)
            return asked.run(schema, function, args)

        return watched

    def _resolving(self, implemented: Any) -> Callable[..., Any]:
        resolver, schema = implemented.resolver, implemented.schema

        def resolving(call: UnknownCall) -> Any:
            return self.asked[call.request_id].run(schema, resolver, (call,))

        return resolving

    def _compare(
        self,
        asked: Asked,
        request: Request,
        schema: Any,
        names: set[str],
        args: tuple[Any, ...],
    ) -> None:
        """
        What runs is the method that was asked for, with the parameters that were.
        """
        params = bytes(request.params)
        if not any((name, params) in asked.written for name in names):
            self.wrong(
                "I4",
                f"{asked.call or request.id} asked for {sorted(asked.written)}, and"
                f" {schema.full_name} of {params!r} ran",
            )
            return
        if request.method.full_name != schema.full_name:
            self.wrong("I4", f"{schema.full_name} ran as {request.method.full_name}")
        decode = schema.decode_params if request.seq else schema.decode_params_plain
        if decode(params) != args:
            self.wrong("I4", f"{asked.call or request.id} ran with {args!r}")

    def _ran(self, asked: Asked, server: str, request: Request, delivery: str) -> None:
        what = asked.call or request.id
        asked.delivery = delivery
        if delivery != "readonly":
            params = bytes(request.params)
            if delivery == "idempotent" and server not in asked.runs[-1:]:
                # Its record may be lost with the life it was made in (D14).
                asked.ran_with = None
            if asked.ran_with not in {None, params}:
                self.wrong("I4", f"{what} ran with other parameters")
            asked.ran_with = params
        if delivery != "readonly" and request.principal != asked.principal:
            self.wrong("I4", f"{what} of {asked.principal} ran for {request.principal}")
        if bytes(request.params) != asked.params:
            # Somebody else's use of the id, which I4 watches over.
            return
        asked.runs.append(server)
        if len(asked.runs) > asked.writes and delivery != "transactional":
            self.wrong("I1", f"{what} ran more often than it was sent")
        if delivery == "once":
            if len(asked.runs) > 1:
                self.wrong("I1", f"{what} ran on {' and '.join(asked.runs)}")
            if asked.call is not None and asked.call.runs > 1:
                self.wrong("I1", f"{what} ran under two ids")
        origin = request.origin
        session = getattr(origin, "session", None)
        # A durable store judges in its thread, and knows of later acks later.
        if session is not None and not origin.shared.store.durable:
            if session.id in self._ended and delivery != "readonly":
                self.wrong("I8", f"{what} ran in a session that has ended")
            # One that waits may be given up, and run for nobody.
            at_once = not (request.queued or request.method.threaded)
            if delivery != "readonly" and at_once and request.seq <= session.floor:
                self.wrong("I7", f"{what} ran at or below the floor")

    # -- what a store keeps -------------------------------------------------------------

    def look_at(self, store: Any) -> None:
        """
        See that a store keeps within its bounds, and that no floor fell.
        """
        if not hasattr(store, "ledgers"):
            return
        if store.bytes > store.total_bytes:
            self.wrong("I9", f"{store.bytes} bytes, above {store.total_bytes}")
        if len(store.sessions) > with_room(store.max_sessions):
            self.wrong("I9", f"{len(store.sessions)} sessions")
        floors = {("session", each.id): each.floor for each in store.sessions.values()}
        for ledger in store.ledgers.values():
            floors["principal", ledger.principal] = ledger.floor
        before = self._floors.get(id(store), {})
        for name, floor in floors.items():
            if floor < before.get(name, floor):
                self.wrong("I7", f"the floor of a {name[0]} fell")
        self._floors[id(store)] = floors
        for session in store.sessions.values():
            self._look_at_session(store, session)
        live = set(store.sessions)
        self._ended |= self._live.get(id(store), live) - live
        self._live[id(store)] = live

    def _look_at_session(self, store: Any, session: Any) -> None:
        above = sum(seq > session.floor for seq in session.records)
        if above > store.window:
            self.wrong("I9", f"{above} records in a window of {store.window}")
        for record in session.records.values():
            running = record.state is State.IN_PROGRESS
            if running and record.run is not None and len(record.run) > store.waiters:
                self.wrong("I9", f"{len(record.run)} wait for one run")

    def restarted(self, store: Any) -> None:
        """
        The process of a store has ended; if it is not durable, so have its
        sessions and floors.
        """
        if getattr(store, "durable", False) or not hasattr(store, "sessions"):
            return
        self._ended.update(store.sessions)
        self._live.pop(id(store), None)
        self._floors.pop(id(store), None)

    # -- the end ------------------------------------------------------------------------

    def close(self, open_connections: set[int]) -> None:
        """
        Everything is over.

        @param open_connections: those that nothing has happened to.
        """
        for called in self.calls:
            if called.outcome is ...:
                self.wrong("I15", f"{called} has not ended")
            else:
                self._judge(called)
        for (connection, request_id), owed in self._owed.items():
            if (
                owed
                and connection in open_connections
                and (connection, request_id) not in self._cancelled
            ):
                what = self.asked[request_id].call or request_id
                self.wrong("I10", f"{what} was never answered on #{connection}")

    def _judge(self, called: Called) -> None:
        outcome = called.outcome
        runs = called.runs
        if called.delivery == "once" and runs > 1:
            self.wrong("I1", f"{called} ran {runs} times")
        if outcome is DIED:
            return
        if not isinstance(outcome, Failure):
            if called.ids and not runs and called.delivery != "transactional":
                self.wrong("I2", f"{called} has a result and did not run")
            results = {each for asked in called.ids.values() for each in asked.results}
            if called.ids and outcome not in map(called.call.target.decode, results):
                self.wrong("I2", f"{called} has the result of no run")
            return
        error = outcome.value
        if (
            isinstance(error, RPCError)
            and error.executed == "no"
            and runs
            and not called.repeated
        ):
            self.wrong("I6", f"{called} ran, and was told {error} (executed no)")


def _name(called: Called) -> str:
    if called.outcome is ...:
        return "open"
    if called.outcome is DIED:
        return "died"
    error = getattr(called.outcome, "value", None)
    if isinstance(called.outcome, Failure):
        return error.code.value if isinstance(error, RPCError) else "cancelled"
    return "OK"


def _first(message: RequestMessage) -> str:
    """
    The first parameter of a control call.
    """
    params: list[Any] = msgspec.json.decode(bytes(message.params))
    return str(params[0]) if params else ""
