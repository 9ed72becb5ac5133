# -*- test-case-name: tests.server.test_conversation -*-
"""
The methods of a server, each with what a call of it goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from twisted_rpc.call import Answer, Interceptor, Request, Responder, compose
from twisted_rpc.delivery.deduplicate import bounded, deduplicating
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.declaring import declaring
from twisted_rpc.server.deprecation import Deprecation
from twisted_rpc.server.dispatch import Dispatch
from twisted_rpc.server.overload.method_limits import MethodLimit, MethodLimits
from twisted_rpc.server.overload.turns import Turns
from twisted_rpc.server.resolving import Resolving


class ServedMethod:
    """
    One method, everything about it that a call needs looked up beforehand.

    @ivar respond: what a call of it goes through, outermost first.
    @ivar straight: whether there is nothing in that which
        L{twisted_rpc.server.straight} does not do too.
    @ivar recorded: whether that is with a record.
    @ivar inner: the last part of that: limits, arguments, implementation.
    @ivar limit: of the IDL, or C{None}.
    @ivar median: how long a call runs, about, in seconds, as far as any had to wait
        for its slot; 0 until known.
    @ivar timeout: seconds a call has that names no timeout itself.
    """

    __slots__ = (
        "decode_params",
        "decode_params_plain",
        "delivery",
        "encode_exception",
        "encode_result",
        "full_name",
        "function",
        "inner",
        "limit",
        "median",
        "oneway",
        "recorded",
        "respond",
        "schema",
        "service",
        "straight",
        "streams",
        "threaded",
        "timeout",
        "wire_name",
    )

    def __init__(
        self,
        implemented: Any,
        function: Callable[..., Any],
        respond: Responder,
        default_timeout: float,
        *,
        inner: Responder,
        limit: MethodLimit | None,
        straight: bool,
    ) -> None:
        schema = implemented.schema
        self.inner = inner
        self.limit = limit
        self.schema = schema
        self.service: str = schema.service
        self.wire_name: str = schema.wire_name
        self.full_name: str = schema.full_name
        self.delivery: str = schema.delivery
        self.oneway: bool = schema.oneway
        self.streams: bool = schema.streams_result or schema.streams_parameter
        self.threaded: bool = implemented.threaded
        self.timeout: float = schema.timeout or default_timeout
        self.function = function
        self.decode_params = schema.decode_params
        self.decode_params_plain = schema.decode_params_plain
        self.encode_result = schema.encode_result
        self.encode_exception = schema.encode_exception
        self.respond = respond
        self.straight = straight
        self.recorded = schema.delivery != "readonly"


class MissingMethod:
    """
    A method that is not served.  A call of it goes through the same layers, so
    that the id of a call that has ended is still answered by its record.
    """

    delivery = "once"
    limit = None
    median = 0.0
    oneway = False
    streams = False
    threaded = False
    function = None

    def __init__(
        self,
        service: str,
        wire_name: str,
        known: bool,
        respond: Responder,
        timeout: float,
        *,
        inner: Responder,
    ) -> None:
        self.inner = inner
        self.service = service
        self.wire_name = wire_name
        self.full_name = f"{service}.{wire_name}"
        self.respond = respond
        self.timeout = timeout
        self._sentence = (
            f"Method not found: {service[:200]}.{wire_name[:200]}"
            if known
            else f"Service not found: {service[:200]}"
        )

    def decode_params(self, params: Any) -> tuple[Any, ...]:
        """
        @raise RPCError: always; UNIMPLEMENTED, executed C{"no"}.
        """
        raise RPCError(Code.UNIMPLEMENTED, self._sentence, executed="no")

    decode_params_plain = decode_params


class Layers(NamedTuple):
    """
    What calls go through.

    @ivar recorded: those that have a record in the store.
    @ivar volatile: those whose record need not outlive the process.
    @ivar unrecorded: those that have none.
    """

    recorded: Responder
    volatile: Responder
    unrecorded: Responder

    def oneway(self, request: Request) -> Answer:
        """
        A call of a one-way method.  A caller who wants to know that it ran may ask
        again, as one of the plain profile does: that takes a record.
        """
        return self.unrecorded(request) if request.oneway else self.recorded(request)

    def of(self, schema: Any) -> Responder:
        """
        For a method.
        """
        if schema.delivery == "transactional":
            # There is no transaction elsewhere.
            return self.recorded
        if schema.delivery == "readonly":
            return self.unrecorded
        if schema.oneway:
            return self.oneway
        # Twice is as good as once, and costs less (D14).
        return self.volatile if schema.delivery == "idempotent" else self.recorded


class Methods:
    """
    Every method of a server, by service and name.

    @ivar table: the methods by their service's name on the wire and their own.
    """

    def __init__(
        self,
        registry: Any,
        dispatch: Dispatch,
        store: MemoryStore | Recording,
        interceptors: Sequence[Interceptor],
        default_timeout: float,
        *,
        deprecation: Deprecation,
        limits: MethodLimits,
    ) -> None:
        """
        @param limits: those that the IDL sets methods.
        """
        self._default_timeout = default_timeout
        self._deprecation = deprecation
        self._dispatch = dispatch
        self._limits = limits
        # The user's, outermost: authorization and logs see every attempt, and the
        # exceptions of the IDL as what they are there.
        self._outer = compose(*interceptors, declaring) if interceptors else compose()
        self._intercepted = bool(interceptors)
        self._store = store
        self._turns = Turns(dispatch, dispatch.slots)
        if isinstance(store, MemoryStore):
            self._recording: Responder = _inner
        else:
            # It runs what it has claimed by itself, and so all methods.
            recording = store.serve(
                self._refusal,
                dispatch.in_transaction,
                Resolving(registry, dispatch.reactor).resolve,
                self._turns,
                dispatch.uncommitted,
            )
            self._recording = compose(self._outer, recording)(_inner)
        # Most methods have no limits of their own, and share their layers.
        self._free = self._layers(dispatch.respond)
        self._limited = self._layers(_inner)
        self.table: dict[str, dict[str, ServedMethod]] = {
            name: methods
            for service in registry.services.values()
            for methods in [dict(self._served(service))]
            for name in service.schema.names
        }

    def _layers(self, inner: Responder) -> Layers:
        """
        From the outside in: the record of the call, before anything that may
        refuse it, so that a finished call is answered under overload and while
        draining; then what is within.

        @param inner: limits, arguments, implementation.
        """
        outer, store = self._outer, self._store
        if isinstance(store, MemoryStore):
            recorded = volatile = compose(outer, deduplicating(store))(inner)
        else:
            recorded = self._recording
            volatile = compose(outer, deduplicating(store.local))(inner)
        # What may run again is not recorded, and one-way calls have no answer
        # to repeat; only the bounds of the session hold for them.
        return Layers(recorded, volatile, compose(outer, bounded(store))(inner))

    def _served(self, service: Any) -> Iterator[tuple[str, ServedMethod]]:
        """
        The methods of one service; one with several names is one.
        """
        made: dict[int, ServedMethod] = {}
        for name, implemented in service.methods.items():
            served = made.get(id(implemented))
            if served is None:
                served = made[id(implemented)] = self._serve(service, implemented)
            yield name, served

    def _serve(self, service: Any, implemented: Any) -> ServedMethod:
        schema = implemented.schema
        respond: Responder
        limit = self._limits.of(service.schema.model, schema.model)
        inner: Responder = self._dispatch.respond
        if schema.streams_result or schema.streams_parameter:
            respond = self._outer(_refuse_stream)
        elif limit is None:
            respond = self._free.of(schema)
        else:
            inner = limit.interceptor(inner)
            respond = self._limited.of(schema)
        if schema.deprecated is not None:
            respond = self._deprecation.noting(schema)(respond)
        return ServedMethod(
            implemented,
            self._dispatch.watched(implemented.function),
            respond,
            self._default_timeout,
            inner=inner,
            limit=limit,
            straight=limit is None and self._is_straight(implemented),
        )

    def _is_straight(self, implemented: Any) -> bool:
        schema = implemented.schema
        return not (
            self._intercepted
            or implemented.threaded
            or schema.streams_result
            or schema.streams_parameter
            or schema.deprecated is not None
            # Another store answers later.
            or (
                not isinstance(self._store, MemoryStore)
                and self._free.of(schema) in {self._free.recorded, self._free.oneway}
            )
        )

    def _refusal(self, request: Request) -> RPCError | None:
        """
        Why a call would be refused now (rows 13 and 14).
        """
        error = self._dispatch.refusal(request) or self._turns.refusal(request)
        limit: MethodLimit | None = request.method.limit
        if (
            error is None
            and limit is not None
            and request.method.delivery == "transactional"
        ):
            return limit.refusal(request)
        return error

    def missing(self, service: str, method: str) -> MissingMethod:
        """
        A stand-in for a method that is not there.
        """
        return MissingMethod(
            service,
            method,
            service in self.table,
            self._free.recorded,
            self._default_timeout,
            inner=self._dispatch.respond,
        )


def _inner(request: Request) -> Answer:
    answer: Answer = request.method.inner(request)
    return answer


def _refuse_stream(request: Request) -> bytes:
    raise refusal(
        Code.UNIMPLEMENTED,
        f"{request.service}.{request.name} streams, which this server cannot do yet",
    )
