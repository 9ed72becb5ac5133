# -*- test-case-name: tests.server.test_service -*-
"""
A server, as a service that starts, listens, drains and stops.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import (
    Deferred,
    DeferredList,
    gatherResults,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.call import Interceptor
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.endpoints import server_endpoint
from twisted_rpc.server.access import logging_calls
from twisted_rpc.server.admission import SessionlessClock
from twisted_rpc.server.factory import RPCServerFactory, Shared
from twisted_rpc.server.threads import Threads
from twisted_rpc.wire.limits import Limits

_DEFAULT_LIMITS = Limits()


class Server(Service):
    """
    Serves what a registry holds.

    @ivar factory: the Factory, for those who listen themselves.
    @ivar ports: what is listened on, once it is.
    @ivar listening: fires with C{ports}, or fails with
        L{twisted.internet.error.CannotListenError}; C{None} before the start.
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(
        self,
        registry: Any,
        *,
        listen: str
        | IStreamServerEndpoint
        | Sequence[str | IStreamServerEndpoint] = (),
        reactor: Any = None,
        limits: Limits = _DEFAULT_LIMITS,
        default_timeout: float = 30.0,
        dedup: Any = None,
        require_session: bool = False,
        sessionless_clock: SessionlessClock = "client",
        drain: float = 25.0,
        strict_json: bool = False,
        debug_errors: bool = False,
        interceptors: Sequence[Interceptor] = (),
        authenticator: Any = None,
        threads: int = 10,
        thread_queue: int = 100,
        reflection: bool = True,
        earlier: Sequence[Any] = (),
        access_log: float = 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        @param registry: what is served; services registered later are not.
        @param listen: an endpoint or several, or their descriptions
            (C{"tcp:5000"}).
        @param reactor: C{None}: the installed one, at the start.
        @param default_timeout: seconds a call has that names none, and whose
            method names none.
        @param dedup: where calls are recorded: a L{MemoryStore}, or what provides
            L{IDedupStore<twisted_rpc.interfaces.IDedupStore>}; C{None}: a
            L{MemoryStore}.
        @param require_session: refuse requests of the plain profile to methods
            that may run once only.
        @param sessionless_clock: who dates requests of the plain profile.
        @param drain: seconds that calls have to end when the server stops.
        @param strict_json: refuse objects in which a name occurs twice.
        @param debug_errors: tell callers what an implementation raised.
        @param interceptors: the first is outermost.
        @param authenticator: provides
            L{IAuthenticator<twisted_rpc.interfaces.IAuthenticator>}; C{None}:
            everybody is C{anonymous}.
        @param threads: L{threaded<twisted_rpc.threaded>} calls at one time.
        @param thread_queue: such calls that may wait for a thread.
        @param reflection: answer C{$rpc.reflect}.
        @param earlier: IDLs that clients may still have; the log tells what their
            difference from what is served comes to.
        @param access_log: the part of calls that is logged, from 0 to 1.
        @param wall: Unix seconds.
        """
        if drain < 0:
            raise ValueError(f"drain is {drain}: it must be 0 seconds or more")
        if default_timeout <= 0:
            raise ValueError(
                f"default_timeout is {default_timeout}: it must be above 0"
            )
        if not 0 <= access_log <= 1:
            raise ValueError(f"access_log is {access_log}: it must be from 0 to 1")
        if sessionless_clock not in {"client", "server"}:
            raise ValueError(
                f"sessionless_clock is {sessionless_clock!r}: 'client' or 'server'"
            )
        if threads < 1 or thread_queue < 0:
            raise ValueError("threads must be 1 or more, thread_queue 0 or more")
        if reactor is None:
            from twisted.internet import reactor  # noqa: PLC0415 - not at import: it would install one
        self._reactor = reactor
        self._endpoints = [
            server_endpoint(reactor, each) if isinstance(each, str) else each
            for each in (
                listen
                if isinstance(listen, Sequence) and not isinstance(listen, str)
                else [listen]
            )
        ]
        self._drain = drain
        self._threads = Threads(reactor, threads, thread_queue, limits)
        if access_log:
            interceptors = [logging_calls(access_log, reactor.seconds), *interceptors]
        self.store = dedup if dedup is not None else MemoryStore()
        self.factory = RPCServerFactory(
            Shared(
                registry,
                clock=reactor,
                wall=wall,
                limits=limits,
                store=self.store,
                default_timeout=default_timeout,
                require_session=require_session,
                sessionless_clock=sessionless_clock,
                strict_json=strict_json,
                debug_errors=debug_errors,
                interceptors=interceptors,
                authenticator=authenticator,
                threads=self._threads,
                reflection=reflection,
                earlier=earlier,
            )
        )
        self.ports: list[IListeningPort] = []
        self.listening: Deferred[list[IListeningPort]] | None = None
        self._closing: Deferred[Any] = succeed(None)

    def privilegedStartService(self) -> None:
        """
        Listen, while the process may still have the right to.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """
        Listen, if L{privilegedStartService} was not called.
        """
        super().startService()
        self._listen()

    def _listen(self) -> None:
        if self.listening is not None:
            return
        self.factory.resume()
        # What earlier lives left is settled before a port is open.
        self.listening = self.factory.shared.start().addCallback(self._open_ports)

    def _open_ports(self, _: Any) -> Deferred[list[IListeningPort]]:
        return DeferredList(
            [endpoint.listen(self.factory) for endpoint in self._endpoints],
            consumeErrors=True,
        ).addCallback(self._listened)

    def _listened(self, results: Any) -> Any:
        """
        @return: the ports; or the first failure, told at once.
        """
        self.ports = [each for worked, each in results if worked]
        failures: list[Failure] = [each for worked, each in results if not worked]
        if not failures:
            return self.ports
        # A server that is half there would be found by half of its clients.
        self._close_ports()
        return failures[0]

    def counters(self) -> dict[str, int]:
        """
        @return: what was done since the server was made, by name: C{connections},
            C{connections_refused}, C{requests}, C{errors}, C{errors.CODE} for each
            code that occurred, C{limits.NAME} for each limit that was reached, and
            C{answers_evicted} if the record of calls had no room for some.
        """
        shared = self.factory.shared
        figures = shared.counters.figures(
            sum(each.frames_received for each in shared.connections)
        )
        if shared.answers_evicted:
            figures["answers_evicted"] = shared.answers_evicted
        return figures

    def gauges(self) -> dict[str, int]:
        """
        @return: what there is now, by name: C{connections_open}, C{calls_running},
            and C{calls_waiting} for a slot.
        """
        shared = self.factory.shared
        return {
            "connections_open": len(shared.connections),
            "calls_running": shared.dispatch.running,
            "calls_waiting": shared.waiting,
        }

    def stopService(self) -> Deferred[None]:
        """
        Stop accepting, tell clients, let calls end for C{drain} seconds, close.

        @return: fires when no connection and no port is left.
        """
        super().stopService()
        # A failure to listen is whoever's who looks at C{listening}; a port that
        # is still being opened is closed when it is.
        listening, self.listening = self.listening or succeed([]), None
        closed = listening.addErrback(lambda _: None)
        closed.addCallback(lambda _: self._close_ports())
        drained = self.factory.drain(self._drain)
        done: Deferred[Any] = gatherResults([closed, drained], consumeErrors=True)
        done.addCallback(lambda _: self.factory.shared.stop())
        return done.addCallback(self._stopped)

    def _close_ports(self) -> Deferred[Any]:
        """
        @return: fires when nothing is listened on any more.
        """
        ports, self.ports = self.ports, []
        closing = [maybeDeferred(port.stopListening) for port in ports]
        self._closing = gatherResults([self._closing, *closing], consumeErrors=True)
        return self._closing

    def _stopped(self, _: Any) -> None:
        self._threads.stop()
        self._log.debug("the server has stopped")

    def abort(self) -> None:
        """
        End at once: every connection is reset, nothing is waited for.
        """
        self._close_ports()
        self.factory.abort()
        self._threads.stop()
