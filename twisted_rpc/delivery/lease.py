# -*- test-case-name: tests.delivery.test_lease -*-
"""
What says that a server is alive, in stores that others share over a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.delivery.claims import StoreError

_log = Logger(namespace="twisted_rpc.delivery")


class Lease:
    """
    Is renewed at a third of its time (D23), whatever else the store has to do.

    A renewal that fails is logged, and the next is tried all the same.
    """

    def __init__(
        self, reactor: Any, seconds: float, renew: Callable[[], Deferred[Any]]
    ) -> None:
        """
        @param seconds: how long others wait for a sign of life.
        @param renew: gives one; not called while an earlier one is under way.
        """
        self._renew = renew
        self._call = LoopingCall(self._once)
        self._call.clock = reactor
        self._call.start(seconds / 3, now=False)

    def _once(self) -> Deferred[Any]:
        return self._renew().addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(StoreError):
            _log.error("a lease was not renewed: {error}", error=failure.value)
        else:
            _log.failure("a lease was not renewed", failure=failure)

    def stop(self) -> None:
        """
        Renew it no more.
        """
        if self._call.running:
            self._call.stop()
