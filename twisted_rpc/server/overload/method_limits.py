# -*- test-case-name: tests.server.overload.test_method_limits -*-
"""
C{@max_concurrency} and C{@rate_limit} of the IDL.

Each is an interceptor of the methods that have it; the others pay nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime

from twisted_rpc.call import Answer, Interceptor, Request, Responder, compose
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.admission import Admission
from twisted_rpc.server.overload.buckets import Buckets
from twisted_rpc.server.overload.callers import told_apart
from twisted_rpc.server.overload.pressure import Pressure
from twisted_rpc.server.overload.slots import Slots
from twisted_rpc.wire.limits import Limits


class MethodLimit(NamedTuple):
    """
    What the IDL sets one method.

    @ivar interceptor: what calls go through that run in the reactor's thread, or
        start there.
    @ivar refusal: says why a call comes too early.
    @ivar slots: of its calls in progress; C{None}: as many as there are.
    """

    interceptor: Interceptor
    refusal: Callable[[Request], RPCError | None]
    slots: Slots | None


class MethodLimits:
    """
    Makes the limits of methods.

    @ivar slots: of the methods that have some.
    """

    def __init__(
        self,
        limits: Limits,
        clock: IReactorTime,
        admission: Admission,
        refused: Counter[str],
        slowed: Counter[str],
    ) -> None:
        self.slots: list[Slots] = []
        self._limits = limits
        self._clock = clock
        self._admission = admission
        self._refused = refused
        self._slowed = slowed

    def of(self, service: Any, method: Any) -> MethodLimit | None:
        """
        @param service: as the IDL has it; what it says holds for each of its
            methods that says nothing itself.
        @param method: as the IDL has it.

        @return: C{None}: C{method} has none.
        """
        rate = annotation("rate_limit", method, service)
        most = annotation("max_concurrency", method, service)
        if rate is None and most is None:
            return None
        late = _never if rate is None else self._rate(rate["calls"], rate["per"])
        interceptors = [] if rate is None else [refusing(late)]
        slots = None
        if most is not None:
            whose = f"of {service.wire_name}.{method.wire_name}"
            slots = self._slots(most["calls"], whose)
            interceptors.append(limiting(slots, self._admission, self._clock.seconds))
        return MethodLimit(compose(*interceptors), late, slots)

    def _rate(self, calls: int, per: float) -> Callable[[Request], RPCError | None]:
        buckets = Buckets(calls, per, self._limits.max_buckets, self._refused)
        seconds, refused = self._clock.seconds, self._refused

        def late(request: Request) -> RPCError | None:
            origin = request.origin
            wait = buckets.take(told_apart(origin.principal, origin.host), seconds())
            if not wait:
                return None
            refused["rate_limit"] += 1
            return refusal(
                Code.RESOURCE_EXHAUSTED,
                f"{request.service}.{request.name} is called too often",
                retry_after=wait,
            )

        return late

    def _slots(self, most: int, whose: str) -> Slots:
        slots = Slots(
            most,
            whose,
            limits=self._limits,
            clock=self._clock,
            # Nobody but callers of this method has to look.
            pressure=Pressure(),
            refused=self._refused,
            waited=partial(self._slowed.update, ["max_concurrency_per_method"]),
        )
        self.slots.append(slots)
        return slots


def refusing(why: Callable[[Request], RPCError | None]) -> Interceptor:
    """
    Refuse what there is a reason to.
    """

    def interceptor(responder: Responder) -> Responder:
        def respond(request: Request) -> Answer:
            error = why(request)
            if error is not None:
                raise error
            return responder(request)

        return respond

    return interceptor


def limiting(
    slots: Slots, admission: Admission, seconds: Callable[[], float]
) -> Interceptor:
    """
    Let so many calls of a method run at once, and some more wait.
    """

    def interceptor(responder: Responder) -> Responder:
        def respond(request: Request) -> Answer:
            # First its caller's limit: who waits for that must not hold a slot here.
            caller = request.origin.caller
            if caller is None or not caller.full:
                return enter(request)
            now = seconds()
            admission.check(request, now)
            answer: Answer = caller.wait(request, partial(enter, request), now)
            return answer

        def enter(request: Request) -> Answer:
            if not slots.full:
                return run(request)
            now = seconds()
            if not request.queued:
                admission.check(request, now)
            return slots.wait(request, partial(run, request), now)

        def run(request: Request) -> Answer:
            return slots.hold(partial(responder, request))

        return respond

    return interceptor


def _never(_: Request) -> RPCError | None:
    return None


def annotation(name: str, method: Any, service: Any) -> Any:
    """
    What the IDL says of a method, or of the service that it is called under or
    comes from.

    @return: the arguments of the nearest, or C{None}.
    """
    for thing in (method, service, method.declared_in):
        found = thing.annotations.get(name)
        if found is not None:
            return found.args
    return None
