"""
Tests for the signals of C{twistd rpc}.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.twistd.signals import LAST, Signals


class Reactor:
    """
    Keeps what it is to call in its turn.
    """

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def callFromThread(self, function: Any) -> None:
        """Keep it."""
        self.calls.append(function)


class SignalsTests(SynchronousTestCase):
    """
    What each of several signals does.
    """

    def setUp(self) -> None:
        """
        Handlers that note, and a process that is not ended.
        """
        self.did: list[Any] = []
        self.timers: list[float] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.patch(os, "kill", lambda _, number: self.did.append(("kill", number)))
        self.patch(signal, "setitimer", lambda _, seconds: self.timers.append(seconds))

    def test_one_after_the_other(self) -> None:
        """
        The first is the reactor's, which stops; the second aborts, and ends the
        process soon if something holds the reactor; the third ends it now.
        """
        signal.signal(signal.SIGTERM, lambda number, _: self.did.append(number))
        reactor = Reactor()
        signals = Signals(reactor, lambda: self.did.append("abort"))
        signals.install()
        signals.received(signal.SIGTERM, None)
        self.assertEqual((self.did, reactor.calls), ([signal.SIGTERM], []))
        signals.received(signal.SIGTERM, None)
        for each in reactor.calls:
            each()
        self.assertEqual(self.did, [signal.SIGTERM, "abort"])
        self.assertEqual(self.timers, [LAST])
        alarm: Any = signal.getsignal(signal.SIGALRM)
        alarm(signal.SIGALRM, None)
        self.assertEqual(self.did[-1], ("kill", signal.SIGTERM))
        signals.received(signal.SIGINT, None)
        self.assertEqual(self.did[-1], ("kill", signal.SIGINT))
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_DFL)

    def test_ignored(self) -> None:
        """
        A signal that the process ignores, as one started with nohup does, stays
        ignored.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Signals(Reactor(), lambda: None).install()
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_IGN)
