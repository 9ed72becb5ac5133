# -*- test-case-name: tests.client.interceptors.test_throttling -*-
"""
Asking less of a server that refuses.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.client.counters import Counters
from twisted_rpc.client.interceptors.outcomes import served
from twisted_rpc.errors import Code, RPCError

#: Into how many pieces the time that is looked at is cut.
PIECES = 12


@dataclass(frozen=True, kw_only=True)
class AdaptiveThrottle:
    """
    Fail calls here that the server would refuse: when more than C{k} times as
    many are made as are served, the rest is failed with as much probability
    (C11).

    @see: U{Handling Overload <https://sre.google/sre-book/handling-overload/>}

    @ivar k: calls for one that is served.
    @ivar window: seconds that are looked at.
    @ivar chance: evenly from 0 to 1.
    """

    k: float = 2.0
    window: float = 120.0
    chance: Callable[[], float] = field(
        default=random.random, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """
        Refuse what cannot work, by name.
        """
        if not self.k >= 1:
            raise ValueError(f"k is {self.k}: calls for one that is served, 1 or more")
        if not self.window > 0:
            raise ValueError(f"window is {self.window}: seconds, above 0")


class Throttling:
    """
    The throttle of one client, whatever the method.
    """

    def __init__(
        self, rules: AdaptiveThrottle, counters: Counters, seconds: Callable[[], float]
    ) -> None:
        self._rules = rules
        self._counters = counters
        self._seconds = seconds
        self._made = Recent(rules.window)
        self._served = Recent(rules.window)

    def __call__(self, responder: Responder) -> Responder:
        """
        @return: one that throttles.
        """

        def respond(request: Request) -> Answer:
            now = self._seconds()
            refused = self._rules.chance() < self.excess(now)
            self._made.add(now)
            if refused:
                self._counters.throttled += 1
                raise RPCError(
                    Code.RESOURCE_EXHAUSTED,
                    "the server refuses too much: not sent",
                    executed="no",
                )
            answer: Deferred[Any] = maybeDeferred(responder, request)
            return answer.addBoth(self._ended)

        return respond

    def excess(self, now: float) -> float:
        """
        The part of the calls that the server would refuse, 0 to 1.
        """
        made = self._made.total(now)
        return max(0.0, (made - self._rules.k * self._served.total(now)) / (made + 1))

    def _ended(self, result: Any) -> Any:
        # What was given up is no refusal.
        if served(result) is not False:
            self._served.add(self._seconds())
        return result


class Recent:
    """
    How often something happened in the last seconds.
    """

    def __init__(self, window: float) -> None:
        self._piece = window / PIECES
        self._pieces: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        """
        It happens.
        """
        piece = int(now / self._piece)
        self._total += 1
        if self._pieces and self._pieces[-1][0] == piece:
            self._pieces[-1] = piece, self._pieces[-1][1] + 1
        else:
            self._pieces.append((piece, 1))

    def total(self, now: float) -> int:
        """
        How often it did.
        """
        oldest = int(now / self._piece) - PIECES
        while self._pieces and self._pieces[0][0] <= oldest:
            self._total -= self._pieces.popleft()[1]
        return self._total
