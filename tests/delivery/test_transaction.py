"""
Tests for L{twisted_rpc.delivery.sql.transaction}.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.delivery.sql.transaction import (
    GuardedTransaction,
    TransactionEndedError,
)


class GuardedTransactionTests(SynchronousTestCase):
    """
    What a C{@transactional} method may do with its transaction.
    """

    def setUp(self) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(self.database.close)
        self.database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        self.database.execute("BEGIN")
        self.breaks = False
        self.guarded = GuardedTransaction(self.database, lambda _: self.breaks)

    def test_statements(self) -> None:
        """
        It runs statements, by the connection or by a cursor, and gives rows.
        """
        guarded = self.guarded
        guarded.execute("INSERT INTO t VALUES (?)", (1,))
        guarded.executemany("INSERT INTO t VALUES (?)", [(2,), (3,)])
        with guarded.cursor() as cursor:
            cursor.executemany("INSERT INTO t VALUES (?)", [(4,)])
            rows = list(cursor.execute("SELECT n FROM t ORDER BY n"))
        self.assertEqual(rows, [(1,), (2,), (3,), (4,)])
        self.assertEqual(guarded.execute("SELECT COUNT(*) FROM t").fetchone(), (4,))
        self.assertEqual(guarded.total_changes, 4)

    def test_savepoints(self) -> None:
        """
        It may have savepoints of its own.
        """
        self.guarded.execute("SAVEPOINT s")
        self.guarded.execute("INSERT INTO t VALUES (1)")
        self.guarded.execute("ROLLBACK TO s")
        self.guarded.execute("ROLLBACK TRANSACTION TO s")
        self.guarded.execute("SELECT 1 AS committed")
        self.assertIsNone(self.guarded.execute("SELECT n FROM t").fetchone())

    def test_not_its_own(self) -> None:
        """
        It cannot be ended, by whatever way.
        """
        ways: list[Any] = [
            lambda it: it.commit(),
            lambda it: it.rollback(),
            lambda it: it.close(),
            lambda it: it.executescript("SELECT 1"),
            lambda it: it.cursor().executescript("SELECT 1"),
            lambda it: it.__enter__(),
            lambda it: it.execute("commit;"),
            lambda it: it.execute("  ROLLBACK"),
            lambda it: it.execute("ROLLBACK WORK"),
            lambda it: it.execute("/* a */ -- b\n COMMIT"),
            lambda it: it.execute("SELECT 1; -- and then\ncommit"),
            lambda it: it.cursor().execute("END TRANSACTION"),
        ]
        for way in ways:
            error = self.assertRaises(RuntimeError, way, self.guarded)
            self.assertIn("would end the transaction of the call", str(error))
            self.assertTrue(self.database.in_transaction)
        self.assertRaises(RuntimeError, self.guarded.__exit__)

    def test_ended(self) -> None:
        """
        Once its method has returned nothing of it is of any use.
        """
        cursor = self.guarded.execute("SELECT 1")
        self.guarded.end()
        for use in (
            lambda: self.guarded.execute("SELECT 1"),
            self.guarded.cursor,
            lambda: self.guarded.total_changes,
            lambda: cursor.rowcount,
            lambda: cursor.execute("SELECT 1"),
            lambda: next(cursor),
        ):
            self.assertRaises(TransactionEndedError, use)

    def test_broken(self) -> None:
        """
        It notes an error after which all has to be done again, also if its method
        catches that.
        """
        self.assertRaises(sqlite3.Error, self.guarded.execute, "SELECT x")
        self.assertIsNone(self.guarded.broken)
        self.breaks = True
        self.assertRaises(sqlite3.Error, self.guarded.execute, "SELECT x")
        self.assertIsInstance(self.guarded.broken, sqlite3.Error)
