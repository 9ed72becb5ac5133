"""
Tests for L{twisted_rpc.delivery.steps}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.steps import MemorySteps
from twisted_rpc.testing import DedupStoreTests


class MemoryStepsTests(DedupStoreTests, TestCase):
    """
    The memory store, by the interface.
    """

    shared = False

    def setUp(self) -> None:
        self.clock = Clock()

    def make_store(self, **limits: Any) -> MemorySteps:
        """A store in memory."""
        return MemorySteps(MemoryStore(**limits), self.clock.seconds, self.wall)

    def wall(self) -> float:
        """The server's clock in Unix seconds."""
        return 1000.0 + self.clock.seconds()

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
