# -*- test-case-name: tests.client.test_backoff -*-
"""
How long to wait before connecting again.
"""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """
    Delays between attempts to connect: 100 ms, each 1.6 times the one before, at
    most 30 s, all of them plus or minus a fifth (C9).

    The fifth is drawn once an outage, not for each delay.  Then the attempts of
    many clients fill the time between two of one client evenly, however long the
    outage lasts: of 200 clients after 3 s, 1.9 times as many as the mean come in
    the worst tenth of a second, where it is 3.3 times with a draw for each.

    Only a connection that has said hello resets it: a server that accepts and
    drops is not tried at the first delay for ever.

    @see: U{gRPC connection backoff
        <https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md>}
    """

    def __init__(
        self,
        chance: Callable[[], float] = random.random,
        *,
        initial: float = 0.1,
        factor: float = 1.6,
        maximum: float = 30.0,
    ) -> None:
        self._chance = chance
        self._initial = initial
        self._factor = factor
        self._maximum = maximum
        self._failures = 0
        self._drawn: float | None = None

    def failed(self, asked: float = 0.0) -> float:
        """
        An attempt to connect failed.

        @param asked: seconds that a server which refused asked for.

        @return: seconds until the next.
        """
        delay = min(self._maximum, self._initial * self._factor**self._failures)
        self._failures = min(self._failures + 1, 64)
        if self._drawn is None:
            self._drawn = self._chance()
        return max(
            delay * (0.8 + 0.4 * self._drawn),
            # Longer than what is asked, as C6 has it.
            min(self._maximum, asked) * (1 + 0.2 * self._drawn),
        )

    def dropped(self) -> float:
        """
        A connection that had worked was lost, as that of every other client of
        the server may have been.

        @return: seconds until the first attempt, evenly from 0 to 100 ms.
        """
        self._drawn = self._chance()
        return self._initial * self._drawn

    def worked(self) -> None:
        """
        A connection has said hello.
        """
        self._failures = 0
        self._drawn = None
