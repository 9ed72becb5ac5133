# -*- test-case-name: tests.testing.test_proxy -*-
"""
What befalls the bytes of a connection in one direction.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

#: How a connection is cut.
Cut = Literal["reset", "close", "half", "silence"]

_CUTS: Final = ("reset", "close", "half", "silence")

#: Bytes that are on their way in one direction, before their sender is no
#: longer read.
WINDOW: Final = 1024 * 1024

#: What a limited bandwidth makes up for at once after a pause, in seconds.
_BURST: Final = 0.1


@dataclass(kw_only=True)
class Faults:
    """
    What befalls the bytes of one direction.  It may be changed at any time, and
    holds for what comes from then on.

    @ivar latency: seconds that bytes are on their way.
    @ivar jitter: up to so many seconds more; the order of bytes is kept.
    @ivar bandwidth: bytes a second; C{None}: no limit.
    @ivar slice: at most so many bytes arrive at once; C{None}: no limit.
    @ivar cut_at: after so many bytes of a connection it is cut; C{None}: never.
    @ivar cut: how.  C{"reset"}: both ends are told that it was reset;
        C{"close"}: both ends see it closed; C{"half"}: nothing more comes in this
        direction, the receiver sees the end, and the other direction goes on;
        C{"silence"}: nothing more comes, and nobody is told.
    @ivar stopped: nothing passes until it is C{False} again.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    slice: int | None = None
    cut_at: int | None = None
    cut: Cut = "reset"
    stopped: bool = False

    def __post_init__(self) -> None:
        """
        Refuse what means nothing.
        """
        for name in ("latency", "jitter"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: 0 s or more")
        for name in ("bandwidth", "slice"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: above 0, or None for no limit")
        if self.cut_at is not None and self.cut_at < 0:
            raise ValueError(f"cut_at is {self.cut_at}: 0 or more, or None for never")
        if self.cut not in _CUTS:
            raise ValueError(f"cut is {self.cut!r}: one of {', '.join(_CUTS)}")


@implementer(IPushProducer)
class Direction:
    """
    The bytes of one connection in one direction, and what befalls them.

    @ivar passed: bytes that came out.
    @ivar waiting: bytes that went in, and have not come out.
    @ivar ended: nothing comes out any more.
    """

    def __init__(
        self,
        clock: IReactorTime,
        faults: Callable[[], Faults],
        source: Any,
        target: Any,
        cut: Callable[[Direction, Cut], None],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param faults: what befalls them now.
        @param source: the transport they come from.
        @param target: the transport they go to.
        @param cut: told when C{cut_at} is reached.
        """
        self.passed = 0
        self.waiting = 0
        self.ended = False
        self._clock = clock
        self._faults = faults
        self._source = source
        self._target = target
        self._cut = cut
        self._chance = chance
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._free_at = self._slice_at = 0.0
        self._timer: IDelayedCall | None = None
        self._full = False
        self._paused = False
        self._finishing = False
        self._gone = False
        target.registerProducer(self, True)

    def take(self, data: bytes) -> None:
        """
        Bytes have gone in.
        """
        if self.ended:
            return
        faults = self._faults()
        due = self._clock.seconds() + faults.latency
        if faults.jitter:
            due += faults.jitter * self._chance()
        if self._pieces:
            due = max(due, self._pieces[-1][0])
        self._pieces.append((due, data))
        self.waiting += len(data)
        if self.waiting > WINDOW and not self._full:
            self._full = True
            self._source.pauseProducing()
        self.go_on()

    def finish(self, *, gone: bool = False) -> None:
        """
        The source has ended: so does the target, once everything has come out.

        @param gone: the source reads no more either.
        """
        self._finishing = True
        self._gone = self._gone or gone
        if self.ended and self._gone:
            self._target.loseConnection()
        self.go_on()

    def go_on(self) -> None:
        """
        Let out what is due, and look again when more is.
        """
        while not (self.ended or self._paused or self._faults().stopped):
            if not self._pieces:
                if self._finishing:
                    self._end()
                    if self._gone:
                        self._target.loseConnection()
                    else:
                        self._target.loseWriteConnection()
                return
            due = max(self._pieces[0][0], self._free_at, self._slice_at)
            wait = due - self._clock.seconds()
            if wait > 0:
                self._later(wait)
                return
            self._let_out()

    def _later(self, wait: float) -> None:
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.callLater(wait, self.go_on)

    def _let_out(self) -> None:
        faults = self._faults()
        due, data = self._pieces.popleft()
        start = max(due, self._free_at, self._clock.seconds() - _BURST)
        if faults.slice is not None and len(data) > faults.slice:
            self._pieces.appendleft((due, data[faults.slice :]))
            data = data[: faults.slice]
            # Each slice is a read of its own.
            self._slice_at = self._clock.seconds() + 1e-6
        room = len(data) if faults.cut_at is None else faults.cut_at - self.passed
        passing = data[: max(0, room)]
        self.passed += len(passing)
        self.waiting -= len(data)
        if faults.bandwidth is not None:
            self._free_at = start + len(passing) / faults.bandwidth
        if passing:
            self._target.write(passing)
        if faults.cut_at is not None and room <= len(data):
            self._end()
            self._cut(self, faults.cut)
        elif self._full and self.waiting < WINDOW // 2:
            self._full = False
            self._source.resumeProducing()

    def _end(self) -> None:
        self.ended = True
        self._pieces.clear()
        self.waiting = 0
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._full:
            # What comes still has to be read, or the end is not seen.
            self._full = False
            self._source.resumeProducing()

    def lost(self) -> None:
        """
        The connection is gone.
        """
        self.ended = True
        self._full = False
        self._end()

    # -- the target's buffer ------------------------------------------------------------

    def pauseProducing(self) -> None:
        """
        The target takes nothing.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The target takes again.
        """
        self._paused = False
        self.go_on()

    def stopProducing(self) -> None:
        """
        The target is gone.
        """
        self.lost()
