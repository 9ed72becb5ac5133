"""
Tests for who accepts a connection.
"""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.twistd.workers.balance import NOBODY, PAUSE, Counts, FairAcceptor


class CountsTests(SynchronousTestCase):
    """
    Counts in memory that processes share.
    """

    def test_shared(self) -> None:
        """
        What one writes, the other reads; nobody serves at first, and whoever does
        not serve is behind nobody.
        """
        descriptor = Counts.create(3)
        first, second = Counts(descriptor, 3), Counts(descriptor, 3)
        os.close(descriptor)
        self.assertEqual([first[1], first[2], first[3]], [NOBODY] * 3)
        first[1] = 5
        self.assertEqual(second[1], 5)
        self.assertFalse(second.is_ahead(1))
        second[3] = 4
        self.assertTrue(first.is_ahead(1))
        self.assertFalse(first.is_ahead(3))
        second[3] = 5
        self.assertFalse(first.is_ahead(1))


class Port:
    """
    A port on which somebody connects.
    """

    connected = True

    def __init__(self) -> None:
        self.numberAccepts = 100
        self.did: list[str] = []

    def doRead(self) -> None:
        """Accept."""
        self.did.append(f"accept {self.numberAccepts}")

    def stopReading(self) -> None:
        """Pause."""
        self.did.append("stop")

    def startReading(self) -> None:
        """Go on."""
        self.did.append("start")


class FairAcceptorTests(SynchronousTestCase):
    """
    A worker that takes no more than its part.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.port = Port()
        self.ahead = False
        FairAcceptor(self.port, self.clock, lambda: self.ahead)

    def test_behind(self) -> None:
        """
        Who is not ahead accepts one connection at once.
        """
        self.port.doRead()
        self.assertEqual(self.port.did, ["accept 1"])

    def test_ahead(self) -> None:
        """
        Who is ahead leaves it to others for a moment, and takes it if it is still
        there: another worker may be busy.
        """
        self.ahead = True
        self.port.doRead()
        self.assertEqual(self.port.did, ["stop"])
        self.clock.advance(PAUSE)
        self.assertEqual(self.port.did, ["stop", "accept 1", "start"])

    def test_closed(self) -> None:
        """
        A port that was closed meanwhile stays so.
        """
        self.ahead = True
        self.port.doRead()
        self.port.connected = False
        self.clock.advance(PAUSE)
        self.assertEqual(self.port.did, ["stop"])
