# -*- test-case-name: tests.server.overload.test_patience -*-
"""
How long a call may wait for a slot.
"""

from __future__ import annotations

from typing import Any, Final

from twisted_rpc.call import Request
from twisted_rpc.median import moved
from twisted_rpc.server.overload.delay import FEW, MEMORY, StandingDelay
from twisted_rpc.wire.limits import Limits

#: A call's part in the mean of what calls take, at least.
_WEIGHT: Final = 1 / 16

#: How much longer than was foretold a call may have waited when it leaves.
_SLACK: Final = 1.5


class Patience:
    """
    Judges the queue of one limit: when a call comes, by how long it will wait, so
    that most refusals are said at once; and when it leaves, by how long it has.

    A call may wait for as long as calls take, and C{delay} more.  A burst may
    wait for as long as two calls take, C{delay}, and C{delay_interval} more,
    because it goes away by itself.

    What calls take is learned from those that have waited, and forgotten when
    none has for a while: what comes then may be something else.

    @see: U{Little's law <https://doi.org/10.1287/opre.9.3.383>}, which tells the
        wait from the length of the queue; CoDel looks at those that leave, and
        has let them wait by then.
    """

    __slots__ = (
        "_burst",
        "_delay",
        "_learned",
        "_medians",
        "_memory",
        "_seen",
        "_slots",
        "_target",
        "_took",
    )

    def __init__(self, slots: float, limits: Limits) -> None:
        """
        @param slots: calls at once.
        """
        self._slots = slots
        self._target = limits.delay
        self._delay = StandingDelay(limits.delay, limits.delay_interval)
        self._burst = limits.delay + limits.delay_interval
        self._memory = MEMORY * limits.delay_interval
        self._learned = 0.0
        self._seen = 0
        self._took = 0.0
        self._medians: dict[Any, float] = {}

    def learn(self, request: Request, took: float, now: float) -> None:
        """
        A call has held its slot for so many seconds, however it ended.
        """
        median = self.median(request)
        # One that was cut short tells only that it takes longer.
        if not (request.cancelled or now >= request.deadline) or took > median:
            self._medians[request.method] = moved(median, took)
        # Threads learn too: read once what they may change.
        seen = self._seen = self._seen + 1
        self._took += (took - self._took) * max(_WEIGHT, 1 / seen)
        self._learned = now

    def median(self, request: Request) -> float:
        """
        @return: seconds that half of the calls of this method take; 0: not known.
        """
        return self._medians.get(request.method, 0.0)

    def wait(self, ahead: int, now: float) -> float:
        """
        @return: seconds that a call waits which comes now, as far as is known,
            with so many ahead of it.
        """
        if not ahead and now - self._learned > self._memory:
            self._seen, self._took = 0, 0.0
            self._medians.clear()
        return ahead * self._took / self._slots

    def in_vain(self, request: Request, wait: float, now: float) -> bool:
        """
        Whether there is no time left for a call that waits, or has waited: it
        would be started, and given up before it ends.
        """
        return wait > self._target and now + self.median(request) >= request.deadline

    def refuses(self, ahead: int, age: float, now: float) -> bool:
        """
        Whether a call that comes now would wait for too long.

        @param age: seconds that the first in the queue has waited.
        """
        wait = self.wait(ahead, now)
        standing = self._delay.judge(max(age, wait) - self._took, now)
        return ahead >= FEW and (standing or wait > self._most)

    def drops(self, behind: int, age: float, now: float) -> bool:
        """
        Whether a call that could start now has waited for too long: those behind
        it are younger, and have more time left.

        @param age: seconds that it has waited.
        """
        standing = self._delay.judge(age - self._took, now)
        return standing and age > _SLACK * self._most and behind >= FEW

    @property
    def _most(self) -> float:
        return self._burst + 2 * self._took
