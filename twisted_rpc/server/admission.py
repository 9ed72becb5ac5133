# -*- test-case-name: tests.server.test_admission -*-
"""
Whether a call may start now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from twisted_rpc.call import Request
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.limits import Limits

#: Whose clock dates a request that has no session (delivery.md, D32).
SessionlessClock = Literal["client", "server"]

#: What a refused caller is told to wait, in seconds.
RETRY_AFTER = 0.1


class Admission:
    """
    Refuses what cannot start.  It stands inside deduplication, so that a call
    that has ended is answered from its record whatever the state of the server.

    @ivar draining: nothing new is started.
    """

    def __init__(
        self,
        limits: Limits,
        wall: Callable[[], float],
        *,
        require_session: bool = False,
    ) -> None:
        self.draining = False
        self._limits = limits
        self._wall = wall
        self._require_session = require_session

    def refuse(self, request: Request, now: float) -> RPCError | None:
        """
        @param now: the clock's seconds.

        @return: why the call may not start, executed C{"no"}; or C{None}.
        """
        origin = request.origin
        if request.deadline <= now:
            return refusal(
                Code.DEADLINE_EXCEEDED, "the deadline was over before the call started"
            )
        if self.draining or origin.going_away:
            return refusal(
                Code.UNAVAILABLE, "the server is going away", retry_after=0.0
            )
        if origin.inflight >= self._limits.max_inflight:
            return refusal(
                Code.RESOURCE_EXHAUSTED,
                f"{self._limits.max_inflight} calls are in progress on this connection",
                retry_after=RETRY_AFTER,
            )
        return None if request.seq else self._refuse_sessionless(request)

    def _refuse_sessionless(self, request: Request) -> RPCError | None:
        if self._require_session and request.method.delivery in {
            "once",
            "transactional",
        }:
            return refusal(
                Code.FAILED_PRECONDITION,
                f"{request.service}.{request.name} needs a session: this server refuses"
                " requests of the plain profile to methods that may run once only",
            )
        ahead = request.timestamp - self._wall()
        if ahead > self._limits.ahead:
            return RPCError(
                Code.INVALID_ARGUMENT,
                f"Invalid request: the timestamp is {ahead:.0f} s ahead of the server's"
                f" clock, more than {self._limits.ahead:.0f} s",
                executed="no",
            )
        return None
