# -*- test-case-name: tests.server.test_methods -*-
"""
The methods of a server, each with what a call of it goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted_rpc.call import Answer, Interceptor, Request, Responder, compose
from twisted_rpc.delivery.deduplicate import bounded, deduplicating
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.declaring import declaring
from twisted_rpc.server.deprecation import Deprecation
from twisted_rpc.server.dispatch import Dispatch
from twisted_rpc.server.resolving import Resolving


class ServedMethod:
    """
    One method, everything about it that a call needs looked up beforehand.

    @ivar respond: what a call of it goes through, outermost first.
    @ivar timeout: seconds a call has that names no timeout itself.
    """

    __slots__ = (
        "decode_params",
        "decode_params_plain",
        "delivery",
        "encode_exception",
        "encode_result",
        "function",
        "oneway",
        "respond",
        "schema",
        "service",
        "streams",
        "threaded",
        "timeout",
        "wire_name",
    )

    def __init__(
        self, implemented: Any, respond: Responder, default_timeout: float
    ) -> None:
        schema = implemented.schema
        self.schema = schema
        self.service: str = schema.service
        self.wire_name: str = schema.wire_name
        self.delivery: str = schema.delivery
        self.oneway: bool = schema.oneway
        self.streams: bool = schema.streams_result or schema.streams_parameter
        self.threaded: bool = implemented.threaded
        self.timeout: float = schema.timeout or default_timeout
        self.function: Callable[..., Any] = implemented.function
        self.decode_params = schema.decode_params
        self.decode_params_plain = schema.decode_params_plain
        self.encode_result = schema.encode_result
        self.encode_exception = schema.encode_exception
        self.respond = respond


class MissingMethod:
    """
    A method that is not served.  A call of it goes through the same layers, so
    that the id of a call that has ended is still answered by its record.
    """

    delivery = "once"
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
    ) -> None:
        self.service = service
        self.wire_name = wire_name
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
    ) -> None:
        self._default_timeout = default_timeout
        self._deprecation = deprecation
        # The user's, outermost: authorization and logs see every attempt, and the
        # exceptions of the IDL as what they are there.
        outer = compose(*interceptors, declaring) if interceptors else compose()
        # From the outside in:
        # the record of the call, before anything that may refuse it, so that a
        # finished call is answered under overload and while draining;
        # admission, arguments, implementation.
        if isinstance(store, MemoryStore):
            self._recorded = self._volatile = compose(outer, deduplicating(store))(
                dispatch.respond
            )
        else:
            recording = store.serve(
                dispatch.refusal,
                dispatch.in_transaction,
                Resolving(registry, dispatch.reactor).resolve,
            )
            self._recorded = compose(outer, recording)(dispatch.respond)
            # Twice is as good as once, and costs less (D14).
            self._volatile = compose(outer, deduplicating(store.local))(
                dispatch.respond
            )
        # What may run again is not recorded, and one-way calls have no answer
        # to repeat; only the bounds of the session hold for them.
        self._unrecorded = compose(outer, bounded(store))(dispatch.respond)
        self._streamed = outer(_refuse_stream)
        self.table: dict[str, dict[str, ServedMethod]] = {
            name: {
                method_name: self._served(implemented)
                for method_name, implemented in service.methods.items()
            }
            for service in registry.services.values()
            for name in service.schema.names
        }

    def _served(self, implemented: Any) -> ServedMethod:
        schema = implemented.schema
        if schema.streams_result or schema.streams_parameter:
            respond = self._streamed
        elif schema.delivery == "transactional":
            # There is no transaction elsewhere.
            respond = self._recorded
        elif schema.delivery == "readonly":
            respond = self._unrecorded
        elif schema.oneway:
            respond = self._oneway
        elif schema.delivery == "idempotent":
            respond = self._volatile
        else:
            respond = self._recorded
        if schema.deprecated is not None:
            respond = self._deprecation.noting(schema)(respond)
        return ServedMethod(implemented, respond, self._default_timeout)

    def missing(self, service: str, method: str) -> MissingMethod:
        """
        A stand-in for a method that is not there.
        """
        return MissingMethod(
            service,
            method,
            service in self.table,
            self._recorded,
            self._default_timeout,
        )

    def _oneway(self, request: Request) -> Answer:
        # A caller who wants to know that it ran may ask again, as one of the
        # plain profile does: that takes a record.
        return self._unrecorded(request) if request.oneway else self._recorded(request)


def _refuse_stream(request: Request) -> bytes:
    raise refusal(
        Code.UNIMPLEMENTED,
        f"{request.service}.{request.name} streams, which this server cannot do yet",
    )
