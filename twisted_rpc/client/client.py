# -*- test-case-name: tests.client.test_client -*-
"""
A client, as a service and as a context.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IStreamClientEndpoint

from twisted_rpc.call import Interceptor, Responder, calling, compose
from twisted_rpc.client.calls import Outgoing, Target, decoded
from twisted_rpc.client.counters import Counters
from twisted_rpc.client.inheriting import passed_on
from twisted_rpc.client.interceptors.caching import ResponseCache
from twisted_rpc.client.interceptors.chain import interceptors_of
from twisted_rpc.client.pool import Pool
from twisted_rpc.client.proxy import Options, make_proxy
from twisted_rpc.client.retry import RetryPolicy
from twisted_rpc.client.waiting import MAX_WAITING, MAX_WAITING_BYTES
from twisted_rpc.endpoints import client_endpoint
from twisted_rpc.idl import Service as TypedService
from twisted_rpc.idl import service_schema
from twisted_rpc.idl.python.service import ClientT
from twisted_rpc.wire.client import Wire
from twisted_rpc.wire.limits import MIB, Limits

if TYPE_CHECKING:
    from twisted_rpc.client.interceptors.breaking import CircuitBreaker, Circuits
    from twisted_rpc.client.interceptors.throttling import AdaptiveThrottle, Throttling

_DEFAULT_LIMITS = Limits()
_DEFAULT_RETRY = RetryPolicy()


class Client(Service):
    """
    Calls a server, on one connection that is made at the first call and made
    again when it is lost.
    """

    #: What interceptors see of a client's requests.
    principal = ""

    def __init__(
        self,
        endpoint: str | IStreamClientEndpoint | Sequence[str | IStreamClientEndpoint],
        *,
        reactor: Any = None,
        wire: Wire = "auto",
        timeout: float = 30.0,
        retry: Any = _DEFAULT_RETRY,
        metadata: Mapping[str, str] | None = None,
        wait_for_ready: bool = False,
        max_connections: int = 4,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        limits: Limits = _DEFAULT_LIMITS,
        auth: Mapping[str, str] | None = None,
        auth_in_clear: bool = False,
        interceptors: Sequence[Interceptor] = (),
        cache_bytes: int = 16 * MIB,
        coalesce: bool = False,
        hedge: bool = True,
        circuit_breaker: CircuitBreaker | None = None,
        throttle: AdaptiveThrottle | None = None,
        ping: float = 30.0,
        connect_timeout: float = 10.0,
        retry_budget: Any = None,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param endpoint: where the server is (C{"tcp:127.0.0.1:5000"}); of
            several, the first that answers is used until it fails.
        @param reactor: C{None}: the installed one.
        @param wire: C{"auto"}: ask, and speak the plain profile with a server
            that does not know more; C{"plain"}: do not ask; C{"extended"}:
            refuse plain servers.
        @param timeout: seconds a call has, over all attempts, where neither the
            proxy nor the IDL says otherwise.
        @param retry: provides
            L{IRetryPolicy<twisted_rpc.interfaces.IRetryPolicy>}.
        @param metadata: names to texts that go with each call.
        @param wait_for_ready: calls wait for a connection until their deadline.
        @param max_connections: to a plain server, which takes one call at a time
            on each.
        @param max_waiting: calls that may wait for a connection.
        @param max_waiting_bytes: that their arguments may have together.
        @param auth: C{scheme} (C{"bearer"}) and C{token}.
        @param auth_in_clear: send C{auth} over connections that others can read.
        @param interceptors: the first is outermost.
        @param cache_bytes: of answers of methods that the IDL marks C{@cache}; 0:
            keep none.
        @param coalesce: ask for C{@readonly} methods once where equal calls are
            made at the same time; those that are C{@cache} are anyway.
        @param hedge: make a second call of methods that the IDL marks C{@hedge}
            where the first takes unusually long.
        @param circuit_breaker: when to leave an address alone for a while.
        @param throttle: fail calls here that the server would refuse.
        @param ping: seconds between two signs of life; 0: none.
        @param connect_timeout: seconds for one attempt to connect.
        @param retry_budget: provides
            L{IRetryBudget<twisted_rpc.interfaces.IRetryBudget>}.
        @param wall: Unix seconds.
        @param chance: evenly from 0 to 1; jitter is made of it.
        """
        if reactor is None:
            from twisted.internet import reactor  # noqa: PLC0415 - not at import: it would install one
        if wire not in {"auto", "plain", "extended"}:
            raise ValueError(f"wire is {wire!r}: 'auto', 'plain' or 'extended'")
        if max_connections < 1:
            raise ValueError(f"max_connections is {max_connections}: 1 or more")
        if max_waiting < 1 or max_waiting_bytes < 1:
            raise ValueError(
                f"max_waiting is {max_waiting}, max_waiting_bytes"
                f" {max_waiting_bytes}: 1 or more"
            )
        if auth is not None and set(auth) != {"scheme", "token"}:
            raise ValueError("auth has exactly the names 'scheme' and 'token'")
        if auth is not None and wire == "plain":
            raise ValueError("the plain profile has no auth: wire is 'plain'")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes is {cache_bytes}: bytes, or 0 for no cache")
        if not ping >= 0:
            raise ValueError(f"ping is {ping}: seconds, or 0 for none")
        if not connect_timeout > 0:
            raise ValueError(f"connect_timeout is {connect_timeout}: seconds, above 0")
        if retry_budget is not None and not hasattr(retry_budget, "allows"):
            raise TypeError(
                f"retry_budget is {retry_budget!r}: a RetryBudget, or another"
                " IRetryBudget"
            )
        many = (
            endpoint
            if isinstance(endpoint, Sequence) and not isinstance(endpoint, str)
            else [endpoint]
        )
        if not many:
            raise ValueError("no endpoint: name at least one")
        endpoints = [
            client_endpoint(reactor, each) if isinstance(each, str) else each
            for each in many
        ]
        self.peer = ", ".join(each for each in many if isinstance(each, str))
        self.options = Options(timeout, retry, metadata, wait_for_ready)
        self.seconds = reactor.seconds
        counters = Counters()
        self.cache = ResponseCache(cache_bytes, counters)
        self.coalesce = coalesce
        self.hedge = hedge
        self.throttling = (
            _throttling(throttle, counters, reactor.seconds) if throttle else None
        )
        self.interceptors = tuple(interceptors)
        self.pool = Pool(
            endpoints,
            clock=reactor,
            wall=wall,
            limits=limits,
            wire=wire,
            max_connections=max_connections,
            max_waiting=max_waiting,
            max_waiting_bytes=max_waiting_bytes,
            auth=auth,
            auth_in_clear=auth_in_clear,
            ping=ping,
            connect_timeout=connect_timeout,
            budget=retry_budget,
            chance=chance,
            counters=counters,
        )
        self.circuits = (
            _circuits(self.pool, circuit_breaker) if circuit_breaker else None
        )
        self._ways: dict[Any, Callable[[Target, bytes], Deferred[Any]]] = {}

    # -- calls ------------------------------------------------------------------------------

    @overload
    def proxy(
        self,
        interface: TypedService[ClientT, Any],
        *,
        timeout: float | None = ...,
        retry: Any = ...,
        metadata: Mapping[str, str] | None = ...,
        wait_for_ready: bool | None = ...,
    ) -> ClientT: ...

    @overload
    def proxy(
        self,
        interface: Any,
        *,
        timeout: float | None = ...,
        retry: Any = ...,
        metadata: Mapping[str, str] | None = ...,
        wait_for_ready: bool | None = ...,
    ) -> Any: ...

    def proxy(
        self,
        interface: Any,
        *,
        timeout: float | None = None,
        retry: Any = None,
        metadata: Mapping[str, str] | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any:
        """
        An object that provides C{interface}, by calling the server.

        @param interface: an interface of a loaded IDL, or its service.

        @return: its methods return Deferreds, which fire with the result, or
            fail with L{RPCError}; cancelling one stops retries and reaches the
            server.
        """
        service = service_schema(interface)
        self.pool.agreement.loaded(service)
        return make_proxy(
            self, service, Options(timeout, retry, metadata, wait_for_ready)
        )

    def way(self, schema: Any) -> Callable[..., Deferred[Any]]:
        """
        How calls of a method are made; the same for all proxies, so that they
        share what is kept and measured.

        @return: given a L{Target} and the text of the arguments, the result.
        """
        found = self._ways.get(schema)
        if found is None:
            found = self.pool.start
            chain = interceptors_of(self, schema)
            # Without interceptors nothing stands between a proxy and the pool.
            if chain:
                responder = compose(*chain)(self.pool.answer)
                found = partial(self._intercepted, responder)
            self._ways[schema] = found
        return found

    def _intercepted(
        self, responder: Responder, target: Target, params: bytes
    ) -> Deferred[Any]:
        self.pool.notice_fork()
        now = self.seconds()
        request = Outgoing(target, params, "", now + target.timeout, self)
        request.metadata = dict(target.metadata or {})
        request.oneway = target.oneway
        outer = calling()
        if outer is not None:
            request.nested = True
            request.deadline = min(request.deadline, now + outer.time_left)
            request.metadata = (
                passed_on(outer.metadata, target.metadata, self.pool.limits) or {}
            )
        answer: Deferred[Any] = maybeDeferred(responder, request)
        return answer.addCallback(_decoded, target)

    # -- questions --------------------------------------------------------------------------

    def reflect(self, service: str | None = None) -> Deferred[dict[str, Any]]:
        """
        Ask what the server serves.

        @return: fires with C{{"services": {name: digest}}}, or for one service
            with its C{service}, C{digest} and C{idl}.
        """
        return self.pool.control("reflect", [] if service is None else [service])

    def health(self, service: str | None = None) -> Deferred[dict[str, str]]:
        """
        Ask whether the server serves.

        @return: fires with C{{"status": ...}}: C{SERVING}, C{NOT_SERVING} or
            C{DRAINING}; fails with NOT_FOUND for a service it does not have.
        """
        return self.pool.control("health", [] if service is None else [service])

    def resolve(self, request_id: str) -> Deferred[dict[str, Any]]:
        """
        Ask what became of a call.

        @return: fires with its C{state}, and its C{reply} if that is DONE.
        """
        return self.pool.control("resolve", [request_id])

    def ping(self) -> Deferred[None]:
        """
        Ask for a sign of life.
        """
        return self.pool.control("ping", [])

    # -- life -------------------------------------------------------------------------------

    def startService(self) -> None:
        """
        Take calls, again after L{stopService}.
        """
        super().startService()
        self.pool.open()

    def stopService(self) -> Deferred[None]:
        """
        Close; calls that have not ended fail.

        @return: fires when the connections are closed.
        """
        if self.running:
            super().stopService()
        return self.close()

    def close(self) -> Deferred[None]:
        """
        Close; calls that have not ended fail, and answers are kept no longer.

        @return: fires when the connections are closed.
        """
        self.cache.clear()
        return self.pool.close()

    def counters(self) -> dict[str, int]:
        """
        @return: what was done since the client was made: the figures of
            L{Counters}, by name.
        """
        return self.pool.counters.figures(self.pool.sent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Client {self.peer or 'of an endpoint'}>"


def _throttling(
    throttle: AdaptiveThrottle, counters: Counters, seconds: Callable[[], float]
) -> Throttling:
    from twisted_rpc.client.interceptors.throttling import Throttling  # noqa: PLC0415 - few clients have any

    return Throttling(throttle, counters, seconds)


def _circuits(pool: Pool, breaker: CircuitBreaker) -> Circuits:
    from twisted_rpc.client.interceptors.breaking import Circuits  # noqa: PLC0415 - few clients have any

    return Circuits(pool, breaker)


def _decoded(result: Any, target: Target) -> Any:
    return None if target.oneway else decoded(target, result)
