"""
Tests for L{twisted_rpc.delivery.lease}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.delivery.claims import StoreError
from twisted_rpc.delivery.lease import Lease


class LeaseTests(SynchronousTestCase):
    """
    A lease of three seconds.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.renewals: list[Deferred[Any]] = []
        self.lease = Lease(self.clock, 3.0, self.renew)

    def renew(self) -> Deferred[Any]:
        """Somebody is asked to."""
        self.renewals.append(Deferred())
        return self.renewals[-1]

    def test_thirds(self) -> None:
        """
        It is renewed at a third of it, one renewal at a time, and then no more.
        """
        for at, count in ((0.9, 0), (1.1, 1), (2.1, 1)):
            self.clock.advance(at - self.clock.seconds())
            self.assertEqual(len(self.renewals), count)
        self.renewals[0].callback(None)
        self.clock.advance(1.0)
        self.assertEqual(len(self.renewals), 2)
        self.lease.stop()
        self.lease.stop()
        self.renewals[1].callback(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed(self) -> None:
        """
        One that fails is told of, and the next is tried; a mistake with where it
        was made.
        """
        for error in (StoreError("it is gone"), ZeroDivisionError()):
            self.clock.advance(1.0)
            self.renewals[-1].errback(error)
        self.clock.advance(1.0)
        self.assertEqual(len(self.renewals), 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
