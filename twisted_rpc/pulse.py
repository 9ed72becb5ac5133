# -*- test-case-name: tests.test_pulse -*-
"""
When the reactor last looked at its sockets.

What piled up in the kernel while something held the reactor is as old as that,
though it is read now.  A reactor does not tell when it looks; but between two
timers it does, and a timer that is late tells that it did not.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

#: Seconds between two beats.
BEAT: Final = 0.02

#: Without anything to read for so many seconds, it rests.
REST: Final = 1.0

#: What has waited for less is as good as new, in seconds.
FRESH: Final = 0.05


class Pulse:
    """
    Beats while there is something to read.

    @ivar beats: how many there were; what is read between two was looked for once.
    @ivar fresh: until then, in the clock's seconds, what is read has waited for
        less than L{FRESH}.
    """

    __slots__ = ("_clock", "_last", "_looked", "_timer", "beats", "fresh")

    def __init__(self, clock: IReactorTime | None) -> None:
        """
        @param clock: C{None}: nobody asks.
        """
        self._clock: Any = clock
        self._timer: Any = None
        self._last = self._looked = 0.0
        self.beats = 0
        self.fresh = float("-inf")

    def looked(self, now: float) -> float:
        """
        Since when, at the latest, a socket that is read at C{now} may have had
        something to read.
        """
        if self._timer is None:
            # Nothing was read for a while: it has just come.
            self._last = now
            self._beat()
        return self._looked

    def _beat(self) -> None:
        # Every socket was looked at since the last beat; what is read from now
        # on was not there then.
        self.beats += 1
        self._looked = self._last
        self.fresh = self._looked + FRESH
        self._last = self._clock.seconds()
        self._timer = self._clock.callLater(BEAT, self._beat)

    def rest_after(self, heard: float, now: float) -> None:
        """
        Rest, if nothing was read since C{heard} and that is long ago.  What was
        sent while something held the reactor may be read only now.
        """
        if now - heard > REST and now < self.fresh:
            self.rest()

    def rest(self) -> None:
        """
        Stop until something is read.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.fresh = float("-inf")
