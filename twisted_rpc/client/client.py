# -*- test-case-name: tests.client.test_client -*-
"""
A client, as a service and as a context.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, overload

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from twisted_rpc.call import Answer, Interceptor, Request, compose
from twisted_rpc.client.calls import Target
from twisted_rpc.client.pool import Pool
from twisted_rpc.client.proxy import Options, make_proxy
from twisted_rpc.client.retry import RetryPolicy
from twisted_rpc.endpoints import client_endpoint
from twisted_rpc.errors import Code, InvalidValue, RPCError
from twisted_rpc.idl import MethodSchema, service_schema
from twisted_rpc.idl import Service as TypedService
from twisted_rpc.idl.python.service import ClientT
from twisted_rpc.wire.client import Wire
from twisted_rpc.wire.limits import Limits

_DEFAULT_LIMITS = Limits()
_DEFAULT_RETRY = RetryPolicy()


class Client(Service):
    """
    Calls a server, on one connection that is made at the first call and made
    again when it is lost.
    """

    _log = Logger(namespace="twisted_rpc.client")

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
        limits: Limits = _DEFAULT_LIMITS,
        auth: Mapping[str, str] | None = None,
        auth_in_clear: bool = False,
        interceptors: Sequence[Interceptor] = (),
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
        @param auth: C{scheme} (C{"bearer"}) and C{token}.
        @param auth_in_clear: send C{auth} over connections that others can read.
        @param interceptors: the first is outermost.
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
        if auth is not None and set(auth) != {"scheme", "token"}:
            raise ValueError("auth has exactly the names 'scheme' and 'token'")
        if auth is not None and wire == "plain":
            raise ValueError("the plain profile has no auth: wire is 'plain'")
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
        self.pool = Pool(
            endpoints,
            clock=reactor,
            wall=wall,
            limits=limits,
            wire=wire,
            max_connections=max_connections,
            auth=auth,
            auth_in_clear=auth_in_clear,
            ping=ping,
            connect_timeout=connect_timeout,
            budget=retry_budget,
            chance=chance,
        )
        self._deprecated: set[str] = set()
        self._responder = compose(*interceptors)(self._respond)
        # Without interceptors nothing stands between a proxy and the pool.
        self.ask: Callable[[Target, bytes], Deferred[Any]] = (
            self._intercepted if interceptors else self.pool.start
        )

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

    def warn_deprecated(self, method: MethodSchema) -> None:
        """
        A deprecated method is called: say so, once for each.
        """
        name = method.full_name
        if name not in self._deprecated:
            self._deprecated.add(name)
            reason = method.deprecated and f": {method.deprecated}"
            self._log.warn("{method} is deprecated{reason}", method=name, reason=reason)

    def _intercepted(self, target: Target, params: bytes) -> Deferred[Any]:
        request = Request(target, params, "", self.seconds() + target.timeout, self)
        request.metadata = dict(target.metadata or {})
        request.oneway = target.oneway
        answer: Deferred[Any] = maybeDeferred(self._responder, request)
        return answer.addCallback(_decoded, target)

    def _respond(self, request: Request) -> Answer:
        return self.pool.start(
            request.method,
            request.params,
            request.metadata,
            deadline=request.deadline,
            raw=True,
        )

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
        Close; calls that have not ended fail.

        @return: fires when the connections are closed.
        """
        return self.pool.close()

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


def _decoded(result: Any, target: Target) -> Any:
    if target.oneway:
        return None
    try:
        return target.decode(result)
    except InvalidValue as error:
        raise RPCError(
            Code.INTERNAL, f"the reply does not fit the IDL: {error}", executed="yes"
        ) from None
