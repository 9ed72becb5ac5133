# -*- test-case-name: tests.client.test_blocking -*-
"""
A client for scripts and notebooks, where nothing is asynchronous.
"""

from __future__ import annotations

import os
import threading
from contextvars import copy_context
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from twisted_rpc.client.client import Client
from twisted_rpc.client.proxy import Options, Proxy

_lock = threading.Lock()
#: The process whose reactor runs in a thread of ours.
_started: list[int] = []


class BlockingClient:
    """
    A L{Client} whose proxies return values and raise errors, from any thread.

    The reactor runs in a thread of its own, started at the first use and ended
    with the process.  Where a reactor runs already, use L{Client}.
    """

    def __init__(self, endpoint: Any, **options: Any) -> None:
        """
        @param endpoint: as for L{Client}.
        @param options: as for L{Client}.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        self._reactor: Any = reactor
        _run(self._reactor)
        self._client: Client = self.call(
            Client, endpoint, reactor=self._reactor, **options
        )

    def proxy(self, interface: Any, **options: Any) -> Any:
        """
        An object with the interface's methods, which block until they have the
        result and return it, or raise L{RPCError}.

        @param interface: an interface of a loaded IDL, or its service.
        @param options: as for L{Client.proxy}.
        """
        return BlockingProxy(self, self.call(self._client.proxy, interface, **options))

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """
        Call C{function} in the reactor's thread and wait for its Deferred.

        @raise RuntimeError: this is the reactor's thread: waiting here for what
            happens here would last for ever.  Or a fork, which has no such
            thread; or the reactor has been stopped.
        """
        _refuse_fork()
        if threading.get_ident() == _reactor_thread():
            raise RuntimeError(
                "a BlockingClient cannot be used in the reactor's thread"
            )
        waiting = _Waiting(self._reactor)
        # In the context of this thread, where it answers a call of a server.
        self._reactor.callFromThread(
            copy_context().run, waiting.start, function, args, kwargs
        )
        return waiting.result()

    def reflect(self, service: str | None = None) -> Any:
        """As L{Client.reflect}."""
        return self.call(self._client.reflect, service)

    def health(self, service: str | None = None) -> Any:
        """As L{Client.health}."""
        return self.call(self._client.health, service)

    def resolve(self, request_id: str) -> Any:
        """As L{Client.resolve}."""
        return self.call(self._client.resolve, request_id)

    def ping(self) -> None:
        """As L{Client.ping}."""
        self.call(self._client.ping)

    def close(self) -> None:
        """
        Close the connections.  The reactor goes on: it cannot be started twice.
        """
        self.call(self._client.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<BlockingClient {self._client.peer}>"


class _Waiting:
    """
    A thread that waits for what the reactor's thread does.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._results: SimpleQueue[Any] = SimpleQueue()
        self._deferred: Deferred[Any] | None = None
        self._given_up = False

    def start(self, function: Any, args: Any, kwargs: Any) -> None:
        """
        In the reactor's thread: do it.
        """
        if not self._given_up:
            self._deferred = maybeDeferred(function, *args, **kwargs)
            self._deferred.addBoth(self._results.put)

    def result(self) -> Any:
        """
        In the other: wait.  What interrupts it, as Ctrl-C does, cancels the call.
        """
        try:
            result = self._wait()
        except BaseException:
            self._given_up = True
            self._reactor.callFromThread(self._give_up)
            raise
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def _wait(self) -> Any:
        while True:
            try:
                return self._results.get(timeout=0.5)
            except Empty:
                if not self._reactor.running:
                    raise RuntimeError(
                        "the reactor has been stopped: nothing will be answered"
                    ) from None

    def _give_up(self) -> None:
        if self._deferred is not None:
            self._deferred.cancel()


class BlockingProxy:
    """
    A proxy whose methods block.
    """

    def __init__(self, client: BlockingClient, proxy: Proxy) -> None:
        self._rpc_client = client
        self._rpc_proxy = proxy
        directlyProvides(self, providedBy(proxy))
        for name in proxy._rpc_targets:  # noqa: SLF001 - a proxy has no public names but the IDL's
            setattr(self, name, _blocking(client, getattr(proxy, name)))

    def _rpc_with(self, options: Options) -> BlockingProxy:
        again = self._rpc_proxy._rpc_with  # noqa: SLF001 - as above
        return BlockingProxy(self._rpc_client, self._rpc_client.call(again, options))

    def __repr__(self) -> str:
        return f"<blocking {self._rpc_proxy!r}>"


def _blocking(client: BlockingClient, method: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return client.call(method, *args, **kwargs)

    call.__name__ = method.__name__
    call.__doc__ = method.__doc__
    return call


def _reactor_thread() -> int | None:
    from twisted.python import threadable  # noqa: PLC0415 - its value changes as the reactor starts

    ident: int | None = threadable.ioThread
    return ident


def _run(reactor: Any) -> None:
    """
    Run the reactor in a thread, once a process.
    """
    with _lock:
        _refuse_fork()
        if reactor.running or _started:
            return
        _started.append(os.getpid())
        running = threading.Event()
        reactor.callWhenRunning(running.set)
        thread = threading.Thread(
            target=reactor.run,
            kwargs={"installSignalHandlers": False},
            name="twisted_rpc reactor",
            daemon=True,
        )
        thread.start()
        running.wait()


def _refuse_fork() -> None:
    if _started and _started[0] != os.getpid():
        raise RuntimeError(
            "this process is a fork of one whose reactor runs in a thread, which a fork"
            " does not copy: make the first BlockingClient after the fork"
        )
