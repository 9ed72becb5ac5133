# -*- test-case-name: tests.server.test_overload -*-
"""
Whether a call may start now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_rpc.call import Answer, Request
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.pulse import Pulse
from twisted_rpc.server.overload.callers import Caller, Callers
from twisted_rpc.server.overload.delay import FEW, StandingDelay
from twisted_rpc.server.overload.pressure import Gauge, Pressure
from twisted_rpc.server.overload.slots import Slots
from twisted_rpc.wire.limits import Limits

#: Whose clock dates a request that has no session (delivery.md, D32).
SessionlessClock = Literal["client", "server"]

#: What a refused caller is told to wait, in seconds.
RETRY_AFTER = 0.1


class Admission:
    """
    Refuses what cannot start, or lets it wait.  It stands inside deduplication,
    so that a call that has ended is answered from its record whatever the state
    of the server.

    @ivar draining: nothing new is started.
    @ivar pressure: how many limits are reached; while it is none, nobody asks.
    @ivar slots: calls in progress on the server.
    @ivar callers: and of each caller.
    """

    def __init__(
        self,
        limits: Limits,
        clock: IReactorTime,
        wall: Callable[[], float],
        refused: Counter[str],
        pulse: Pulse,
        *,
        slowed: Counter[str],
        require_session: bool = False,
    ) -> None:
        """
        @param refused: counts refusals, by the limit that was reached.
        @param slowed: counts calls that wait, by the limit that was reached.
        @param pulse: tells which calls the reactor found together.
        """
        self.draining = False
        self.pressure = Pressure()
        self.slots = Slots(
            limits.max_concurrency,
            "of this server",
            limits=limits,
            clock=clock,
            pressure=self.pressure,
            refused=refused,
            waited=partial(slowed.update, ["max_concurrency"]),
        )
        self.callers = Callers(
            partial(
                Caller,
                limits.max_concurrency_per_principal,
                "of this caller",
                limits=limits,
                clock=clock,
                pressure=self.pressure,
                refused=refused,
                waited=partial(slowed.update, ["max_concurrency_per_principal"]),
            )
        )
        self._limits = limits
        self._seconds = clock.seconds
        self._wall = wall
        self._refused = refused
        self._require_session = require_session
        self._delay = StandingDelay(limits.delay, limits.delay_interval)
        self._aged = Gauge(self.pressure)
        self._pulse = pulse
        # Late calls since the beat of that number.
        self._late = self._beats = 0

    def suspect(self) -> None:
        """
        What is read now is old: look at the age of each call until one is not.
        """
        self._aged.set(True)

    def admit(
        self, request: Request, now: float, start: Callable[[], Answer]
    ) -> Deferred[bytes] | None:
        """
        Let a call start, now or later.

        @param now: the clock's seconds.
        @param start: starts it later.

        @return: C{None}, it may start now; or its answer, once it has waited.

        @raise RPCError: it may not start, executed C{"no"}.
        """
        if not request.queued:
            self.check(request, now)
            caller: Caller | None = request.origin.caller
            if caller is not None and caller.full:
                return caller.wait(request, partial(self._go_on, request, start), now)
        return self.slots.wait(request, start, now) if self.slots.full else None

    def check(self, request: Request, now: float) -> None:
        """
        @raise RPCError: the call may not start, executed C{"no"}.
        """
        error = self.refuse(request, now)
        if error is not None:
            raise error

    def _go_on(self, request: Request, start: Callable[[], Answer]) -> Answer:
        """
        Its caller may have it run; the server too?
        """
        if self.slots.full:
            return self.slots.wait(request, start, self._seconds())
        return start()

    def refuse(self, request: Request, now: float) -> RPCError | None:
        """
        @param now: the clock's seconds.

        @return: why the call may not start, executed C{"no"}; or C{None}.
        """
        origin = request.origin
        if request.deadline <= now:
            self._refused["deadline"] += 1
            return refusal(
                Code.DEADLINE_EXCEEDED, "the deadline was over before the call started"
            )
        if self.draining or origin.going_away:
            return refusal(
                Code.UNAVAILABLE, "the server is going away", retry_after=0.0
            )
        if origin.inflight >= self._limits.max_inflight:
            return self._exhausted(
                "max_inflight",
                f"{self._limits.max_inflight} calls are in progress on this connection",
            )
        age = now - origin.arrived
        standing = self._delay.judge(age, now)
        self._aged.set(self._delay.suspected)
        if standing and self._is_many():
            return self._exhausted("delay", f"calls come {age:.3f} s late")
        return None if request.seq else self._refuse_sessionless(request)

    def _is_many(self) -> bool:
        """
        Whether this late call is one of a queue, and not of a few that waited for
        one another.
        """
        beats = self._pulse.beats
        if beats != self._beats:
            self._beats, self._late = beats, 0
        self._late += 1
        return self._late > FEW

    def _exhausted(self, name: str, text: str) -> RPCError:
        self._refused[name] += 1
        return refusal(Code.RESOURCE_EXHAUSTED, text, retry_after=RETRY_AFTER)

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
                f"Invalid request: the timestamp is {ahead:.6g} s ahead of the server's"
                f" clock, more than {self._limits.ahead:.0f} s",
                executed="no",
            )
        return None
