# -*- test-case-name: tests.test_signals -*-
"""
SIGTERM and SIGINT of C{twistd rpc}: the first drains, the second ends at once.
SIGUSR2 tells the server's figures.

By itself a second signal is a C{ReactorNotRunning} in the log, and the drain
goes on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

#: Seconds from the second signal until the process ends whatever it is doing.
LAST: Final = 0.5

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """
    What signals do once the reactor runs.

    Only C{twistd rpc} installs it; an embedded server leaves signals alone.
    """

    def __init__(
        self,
        reactor: Any,
        abort: Callable[[], None],
        tell: Callable[[], None] | None = None,
    ) -> None:
        """
        @param reactor: provides L{twisted.internet.interfaces.IReactorFromThreads}.
        @param abort: ends every connection; called in the reactor's turn.
        @param tell: what SIGUSR2 does, where nothing else has it; called in the
            reactor's turn.
        """
        self._reactor = reactor
        self._abort = abort
        self._tell = tell
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._received = 0

    def install(self) -> None:
        """
        Stand before the reactor's own handling.  A signal that the reactor does
        not handle, because the process ignores it, stays ignored.
        """
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self.received)
        tell = self._tell
        if tell is not None and signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
            signal.signal(signal.SIGUSR2, lambda *_: self._reactor.callFromThread(tell))

    def received(self, number: int, frame: FrameType | None) -> None:
        """
        A signal came; this runs between any two instructions of the program.
        """
        self._received += 1
        if self._received == 1:
            # The reactor's own: it stops in its next turn, so that services are
            # stopped, and remembers the signal to end the process with.
            self._before[number](number, frame)
        elif self._received == 2:
            self._reactor.callFromThread(self._abort)
            # Something may hold the reactor, or the end: it does not hold this.
            signal.signal(signal.SIGALRM, lambda *_: end_with(number))
            signal.setitimer(signal.ITIMER_REAL, LAST)
        else:
            end_with(number)


def end_with(number: int) -> None:
    """
    End the process by a signal, as if nothing had been installed for it.
    """
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
