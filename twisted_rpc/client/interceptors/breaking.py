# -*- test-case-name: tests.client.interceptors.test_breaking -*-
"""
Asking nothing of a server that answers nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from twisted_rpc.call import Answer, Request, Responder, without_call
from twisted_rpc.client.interceptors.outcomes import served
from twisted_rpc.errors import Code, RPCError

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """
    When a client stops calling an address for a while (C11).

    @ivar failures: the part of the last calls that must have failed, 0 to 1.
    @ivar window: how many calls are looked at.
    @ivar minimum: how many there must be.
    @ivar open_for: seconds without calls, plus or minus a fifth.
    @ivar probes: calls that are tried then; all must be answered.
    @ivar chance: evenly from 0 to 1.
    """

    failures: float = 0.5
    window: int = 100
    minimum: int = 20
    open_for: float = 5.0
    probes: int = 5
    chance: Callable[[], float] = field(
        default=random.random, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """
        Refuse what cannot work, by name.
        """
        if not 0 < self.failures <= 1:
            raise ValueError(f"failures is {self.failures}: above 0, at most 1")
        if not 1 <= self.minimum <= self.window:
            raise ValueError(
                f"minimum is {self.minimum}, window {self.window}:"
                " calls, 1 <= minimum <= window"
            )
        if not self.open_for > 0:
            raise ValueError(f"open_for is {self.open_for}: seconds, above 0")
        if self.probes < 1:
            raise ValueError(f"probes is {self.probes}: 1 or more")


class Circuit:
    """
    What is known of one address: closed, calls pass; open, none does; after that
    some do, and decide.

    @ivar until: when it is no longer open; C{None}: it is closed.
    """

    def __init__(self, rules: CircuitBreaker) -> None:
        self._rules = rules
        self._last: deque[bool] = deque(maxlen=rules.window)
        self._round = self._probing = self._worked = 0
        self.until: float | None = None

    def allows(self, now: float) -> bool:
        """
        Whether a call may be made.
        """
        if self.until is None:
            return True
        return now >= self.until and self._probing < self._rules.probes

    def begin(self) -> int:
        """
        A call is made.

        @return: what L{end} is told: of a probe, after which opening it is one.
        """
        if self.until is None:
            return 0
        self._probing += 1
        return self._round

    def end(self, now: float, *, worked: bool | None, probe: int) -> bool:
        """
        A call has ended.

        @param worked: whether the server served it; C{None}: it was given up.

        @return: whether the circuit is opened by that.
        """
        if probe != (self._round if self.until is not None else 0):
            # What began before it opened, or was closed, says nothing of now.
            return False
        if probe:
            self._probing -= 1
            return self._probed(now, worked=worked)
        if worked is None:
            return False
        self._last.append(worked)
        failed = self._last.count(False)
        if (
            worked
            or len(self._last) < self._rules.minimum
            or failed < self._rules.failures * len(self._last)
        ):
            return False
        self._open(now)
        return True

    def _probed(self, now: float, *, worked: bool | None) -> bool:
        if worked is None:
            return False
        if not worked:
            self._open(now)
            return True
        self._worked += 1
        if self._worked >= self._rules.probes:
            self.until = None
        return False

    def _open(self, now: float) -> None:
        self._last.clear()
        self._round += 1
        self._probing = self._worked = 0
        rules = self._rules
        self.until = now + rules.open_for * (0.8 + 0.4 * rules.chance())


class Circuits:
    """
    A circuit for each address of a client.  While that of the address in use is
    open, calls go to another; if there is none, they fail at once.
    """

    _log = Logger(namespace="twisted_rpc.client")

    def __init__(self, pool: Pool, rules: CircuitBreaker) -> None:
        self._pool = pool
        self._circuits = [Circuit(rules) for _ in pool.endpoints]

    def __call__(self, responder: Responder) -> Responder:
        """
        @return: one that breaks.
        """

        def respond(request: Request) -> Answer:
            circuit = self._circuit()
            if circuit is None:
                refused: Deferred[Any] = Deferred()
                self._pool.refuse(refused.errback, self._refusal())
                return refused
            probe = circuit.begin()
            answer: Deferred[Any] = maybeDeferred(responder, request)
            return answer.addBoth(self._ended, circuit, probe)

        return respond

    def _circuit(self) -> Circuit | None:
        """
        @return: that of the address which the next call goes to; C{None}: every
            address is left alone.
        """
        now = self._pool.seconds()
        circuit = self._circuits[self._pool.address]
        if circuit.allows(now):
            return circuit
        for _ in self._circuits[1:]:
            # Others may be told of their calls.
            without_call(self._pool.go_elsewhere)
            circuit = self._circuits[self._pool.address]
            if circuit.allows(now):
                return circuit
        return None

    def _refusal(self) -> RPCError:
        now = self._pool.seconds()
        self._pool.counters.circuit_refusals += 1
        soonest = min(each.until or now for each in self._circuits)
        return RPCError(
            Code.UNAVAILABLE,
            "too many calls to the server failed: the circuit is open",
            executed="no",
            retry_after=max(0.0, soonest - now),
        )

    def _ended(self, result: Any, circuit: Circuit, probe: int) -> Any:
        if circuit.end(self._pool.seconds(), worked=served(result), probe=probe):
            self._pool.counters.circuits_opened += 1
            self._log.warn(
                "too many calls failed: address {number} is left alone",
                number=self._circuits.index(circuit) + 1,
            )
        return result
