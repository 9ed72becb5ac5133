# -*- test-case-name: tests.server.test_durable -*-
"""
What a call waits for that runs in a transaction of the store's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from twisted_rpc.call import Request
from twisted_rpc.errors import RPCError
from twisted_rpc.server.dispatch import Dispatch
from twisted_rpc.server.overload.slots import Slots


class Turns:
    """
    The limits on calls in progress, for those that a store runs: of their
    caller, of their method, and of the server.
    """

    def __init__(self, dispatch: Dispatch, slots: Slots) -> None:
        """
        @param slots: the server's.
        """
        self._dispatch = dispatch
        self._slots = slots

    def full(self, request: Request) -> bool:
        """
        Whether it would have to wait.
        """
        return any(slots.full for slots in self._limits(request))

    def refusal(self, request: Request) -> RPCError | None:
        """
        @return: why it must not wait where it would have to; C{None}: it may.
        """
        now = self._now()
        for slots in self._limits(request):
            error = slots.refusal(request, now) if slots.full else None
            if error is not None:
                return error
        return None

    def _limits(self, request: Request) -> Iterator[Slots]:
        if request.origin.caller is not None:
            yield request.origin.caller
        if request.method.limit is not None and request.method.limit.slots is not None:
            yield request.method.limit.slots
        yield self._slots

    def take(
        self, request: Request, start: Callable[[], Deferred[Any]]
    ) -> Deferred[Any]:
        """
        Start it, now or when it may.

        @param start: counts it for its caller.

        @raise RPCError: too many wait, or for too long.
        """
        caller = request.origin.caller
        enter = partial(self._enter, request, start)
        if caller is None or not caller.full:
            return enter()
        waits: Deferred[Any] = caller.wait(request, enter, self._now())
        return waits

    def _enter(
        self, request: Request, start: Callable[[], Deferred[Any]]
    ) -> Deferred[Any]:
        limit = request.method.limit
        run = partial(
            self._through, self._slots, request, partial(self._dispatch.hold, start)
        )
        if limit is None or limit.slots is None:
            return run()
        return self._through(limit.slots, request, partial(limit.slots.hold, run))

    def _through(
        self, slots: Slots, request: Request, start: Callable[[], Any]
    ) -> Deferred[Any]:
        if slots.full:
            return slots.wait(request, start, self._now())
        started: Deferred[Any] = start()
        return started

    def _now(self) -> float:
        return self._dispatch.reactor.seconds()
