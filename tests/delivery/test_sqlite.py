"""
Tests for L{twisted_rpc.delivery.sql.sqlite}.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.testing import DedupStoreTests


class SQLiteStoreTests(DedupStoreTests, TestCase):
    """
    The store in a file, by the interface.
    """

    def setUp(self) -> None:
        self.now = 4e9
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "calls.db"

    def make_store(self, **limits: Any) -> SQLiteStore:
        """Another process of the same file."""
        return SQLiteStore(self.path, wall=lambda: self.now, patience=0.2, **limits)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def crash(self, store: SQLiteStore) -> None:
        """The system closes what the process had open."""
        lock: Any = store._lock
        os.close(lock._file)
        store._lock = None

    def interrupt(self) -> Callable[[], None]:
        """Somebody else writes, and does not end."""
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        return other.close
