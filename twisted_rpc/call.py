# -*- test-case-name: tests.server.test_current -*-
"""
A call: what is asked, what answers it, and what stands between.

A L{Responder} is a function from a L{Request} to its answer.  A client's asks a
server; a server's runs an implementation; an L{Interceptor} wraps one and does
not know on which end it stands.

@see: "Your Server as a Function" (Eriksen, 2013), and tower's
    U{Service <https://docs.rs/tower-service>}: the same type on both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: The encoded result, now or later; it fails with L{RPCError} only.
Answer = bytes | Deferred[bytes]

#: From a request to its answer; it may also raise L{RPCError}.
Responder = Callable[["Request"], Answer]

#: Wraps a responder, on a server and on a client alike.
Interceptor = Callable[[Responder], Responder]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Named(Protocol):
    """
    What a request knows of its method: names as they are on the wire.
    """

    @property
    def service(self) -> str:
        """The service."""
        ...

    @property
    def wire_name(self) -> str:
        """The method."""
        ...


class Origin(Protocol):
    """
    Where a request comes from: a connection of a server, or a client.
    """

    @property
    def principal(self) -> str:
        """Who calls."""
        ...

    @property
    def peer(self) -> str:
        """The other end, for a log."""
        ...

    def seconds(self) -> float:
        """The clock of this end."""
        ...


class Request(msgspec.Struct, eq=False):
    """
    One call, on its way; in an implementation, what L{current_call} returns.

    @ivar method: the method, and what this end knows of it.
    @ivar params: the arguments: the text of a JSON array.
    @ivar id: the request id; on a client C{""} until the call is written.
    @ivar deadline: when the caller stops waiting, in the clock's seconds; see
        L{time_left}.
    @ivar attempt: 1 for the first attempt.
    @ivar metadata: names to texts that go with the call.
    @ivar timestamp: when the call was made, by the caller's clock, in Unix
        seconds.
    @ivar replayed: the answer is the stored one of an earlier attempt.
    @ivar cancelled: the call has been given up.  An implementation in a thread,
        which nothing can interrupt, should look at it.
    @ivar started: whether the implementation has begun; C{False} while it waits
        for a thread.
    @ivar queued: it has waited for a limit on calls in progress, or does.
    @ivar seq: of a call in a session; 0 elsewhere.
    @ivar cancel_run: ends the run of this call, while there is one.
    @ivar transaction: in a C{@transactional} method the DB-API connection in
        whose transaction its effects and its answer are committed together;
        C{None} elsewhere.  It is the framework's to commit, and of no use once
        the method has returned.
    """

    # A msgspec.Struct because C fills it in: 0.15 us, where an __init__ that
    # sets these takes 0.5, and there is one for every call.
    method: Any
    params: bytes
    id: str
    deadline: float
    origin: Any
    seq: int = 0
    attempt: int = 1
    metadata: Mapping[str, str] = _NOTHING
    timestamp: float = 0.0
    replayed: bool = False
    cancelled: bool = False
    oneway: bool = False
    started: bool = True
    queued: bool = False
    cancel_run: Callable[[], None] | None = None
    transaction: Any = None

    @property
    def service(self) -> str:
        """The service's name on the wire."""
        return str(self.method.service)

    @property
    def name(self) -> str:
        """The method's name on the wire."""
        return str(self.method.wire_name)

    @property
    def principal(self) -> str:
        """Who calls, as the server authenticated it; C{""} on a client."""
        return str(self.origin.principal)

    @property
    def peer(self) -> str:
        """The other end, for a log."""
        return str(self.origin.peer)

    @property
    def time_left(self) -> float:
        """
        Seconds until the deadline; 0 if it is over.
        """
        return max(0.0, self.deadline - float(self.origin.seconds()))

    def effect_key(self, step: str = "") -> str:
        """
        A key for an effect outside the database, e.g. the C{Idempotency-Key} of
        a request to somebody else: the same in every attempt of this call, and
        in no other call.

        @param step: tells apart several effects of one call.
        """
        return effect_key(self.principal, self.id, step)

    def cancel(self) -> None:
        """
        Give the call up: its run is cancelled, and its callers are told
        CANCELLED.  In a thread, L{cancelled} becomes true and nothing else.
        """
        self.cancelled = True
        if self.cancel_run is not None:
            self.cancel_run()

    def run(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """
        Call C{function} with this call as the current one: for callbacks that
        something else calls, where the context is not this call's.
        """
        context = copy_context()
        context.run(_current.set, self)
        return context.run(function, *args, **kwargs)

    @property
    def log_id(self) -> str:
        """
        The id for a log: of a session's only the beginning, because who knows
        it whole could ask for its answers (X9).
        """
        return f"{self.id[:6]}...:{self.seq}" if self.seq else self.id

    def __repr__(self) -> str:
        return f"<Request {self.service}.{self.name} {self.log_id}>"


def effect_key(principal: str, request_id: str, step: str) -> str:
    """
    @see: L{Request.effect_key}
    """
    text = f"{principal}\0{request_id}\0{step}"
    return blake2b(text.encode(), digest_size=16, person=b"effect").hexdigest()


_current: ContextVar[Request | None] = ContextVar(
    "twisted_rpc.current_call", default=None
)


#: The call this code runs for, or C{None}; every call of a client asks.
calling: Callable[[], Request | None] = _current.get


#: Make a request the current one of this context.
make_current: Callable[[Request], object] = _current.set


def current_call() -> Request:
    """
    The call this code runs for.

    It follows C{async def}, C{inlineCallbacks} and the threads of L{threaded}
    methods by itself.  A bare callback has no context of its own: capture
    C{call = current_call()} and use L{Request.run}.

    @raise LookupError: no call is being run here.
    """
    call = _current.get()
    if call is None:
        raise LookupError(
            "no call is being run here; in a callback, use call.run(function) with"
            " the call captured where it began"
        )
    return call


def run_current(
    request: Request, function: Callable[..., _T], args: tuple[Any, ...]
) -> _T:
    """
    Make C{request} current in this context and call C{function}.
    """
    _current.set(request)
    return function(*args)


def without_call(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """
    Call C{function} where no call is current, whatever is so here.
    """
    context = copy_context()
    context.run(_current.set, None)
    return context.run(function, *args, **kwargs)


def compose(*interceptors: Interceptor) -> Interceptor:
    """
    One interceptor of several: the first is outermost.  Done when a server or
    client is made, not when it is called.
    """

    def composed(responder: Responder) -> Responder:
        for interceptor in reversed(interceptors):
            responder = interceptor(responder)
        return responder

    return composed
