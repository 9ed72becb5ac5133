# -*- test-case-name: tests.server.overload.test_delay -*-
"""
Telling a queue that stands from one that is only being worked off.
"""

from __future__ import annotations

from typing import Final

#: So few that wait are no queue, however long they do: the last of them would be
#: refused for what the one before it takes.  (CoDel spares the last packet.)
FEW: Final = 4


#: For so many intervals after a standing queue a call that is late shows that it
#: is there again; else it would grow anew for an interval each time.
MEMORY: Final = 10


class StandingDelay:
    """
    Whether calls have waited for too long, and for long enough.

    A burst makes a queue that goes away; under overload each call has waited,
    and goes on to make the next one wait.  So one call that is fresh shows that
    there is no such queue.

    @see: U{CoDel <https://queue.acm.org/detail.cfm?id=2209336>}, and what
        U{Facebook <https://queue.acm.org/detail.cfm?id=2839461>} made of it.
    """

    __slots__ = ("_interval", "_seen", "_since", "_stood", "_target")

    def __init__(self, target: float, interval: float) -> None:
        """
        @param target: seconds that a call may have waited.
        @param interval: seconds after which it is no burst any more.
        """
        self._target = target
        self._interval = interval
        self._since: float | None = None
        self._seen = 0.0
        self._stood = float("-inf")

    @property
    def suspected(self) -> bool:
        """
        Whether the last call had waited for too long.
        """
        return self._since is not None

    def judge(self, age: float, now: float) -> bool:
        """
        Look at one call.

        @param age: seconds that it has waited.

        @return: whether it is one of too many that have.
        """
        if age < self._target:
            self._since = None
            return False
        # Threads look at calls too: read once what they may change.
        since = self._since
        if since is None or now - self._seen > self._interval:
            self._since = since = now
        self._seen = now
        if now - since >= self._interval or now - self._stood < MEMORY * self._interval:
            self._stood = now
            return True
        return False
