"""
Tests for L{twisted_rpc.delivery.sql.sqlite}.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from twisted_rpc.delivery.claims import Claim, Key, StoreError
from twisted_rpc.delivery.sql import transitions
from twisted_rpc.delivery.sql.locks import remove_if_free
from twisted_rpc.delivery.sql.schema import COLUMNS
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.delivery.table import Verdict
from twisted_rpc.errors import RPCError
from twisted_rpc.testing import DedupStoreTests

ADA = "ada"


class SQLiteStoreTests(DedupStoreTests, TestCase):
    """
    The store in a file, by the interface.
    """

    def setUp(self) -> None:
        self.now = 4e9
        self.stores: list[SQLiteStore] = []
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "calls.db"

    def make_store(self, **limits: Any) -> SQLiteStore:
        """Another process of the same file."""
        self.stores.append(
            SQLiteStore(self.path, wall=lambda: self.now, patience=0.2, **limits)
        )
        return self.stores[-1]

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

    def delay(self) -> Callable[[], None]:
        """Somebody else writes."""
        return self.interrupt()

    def fill(self) -> Callable[[], Any]:
        """The disk is full."""
        (store,) = self.stores

        def grow(pages: int) -> Any:
            return store._ask(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages}"))

        grow(1)
        return lambda: grow(100_000)


class SQLiteTests(TestCase):
    """
    What befalls a file.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "calls.db"

    async def opened(self, **options: Any) -> SQLiteStore:
        """A store that has started."""
        store = SQLiteStore(self.path, patience=0.2, **options)
        await store.start(reactor)
        self.addCleanup(store.stop)
        return store

    def refused(self, path: Path) -> str:
        """Why a store cannot be used."""
        store = SQLiteStore(path)
        error: StoreError = self.failureResultOf(store.start(reactor), StoreError).value
        self.assertNotIn("Traceback", str(error))
        return str(error)

    async def test_private(self) -> None:
        """
        Nobody else may read the file: ids of sessions and answers are in it.
        """
        await self.opened()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    async def test_durable(self) -> None:
        """
        What is committed has reached the disk.
        """
        store = await self.opened()
        modes = await store._ask(
            lambda tx: [
                tx.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        )
        self.assertEqual(modes, ["wal", 2, 1])

    async def test_prompt(self) -> None:
        """
        Its threads do not wait long for the reactor's.
        """
        await self.opened()
        self.assertLessEqual(sys.getswitchinterval(), 0.0005)

    def test_no_file(self) -> None:
        """
        Nothing but a path is taken: records in memory would be gone with the
        process, and a URI would be the name of a file.
        """
        for path in ("", ":memory:", "file:calls.db", "file::memory:?cache=shared"):
            error = self.assertRaises(ValueError, SQLiteStore, path)
            self.assertIn("calls.db", str(error))
            self.assertIn(repr(path), str(error))

    def test_null_byte(self) -> None:
        """
        A path that no file can have is refused as one that cannot be opened is.
        """
        self.assertIn("embedded null", self.refused(self.path.with_name("a\0.db")))

    def test_unusable(self) -> None:
        """
        A file that cannot be used is named, and what is wrong with it.
        """
        self.assertIn("there is no folder", self.refused(self.path.parent / "x" / "y"))
        self.assertIn("is a folder", self.refused(self.path.parent))
        self.path.write_text("something else, and longer than a header" * 30)
        self.assertIn("is not an SQLite database", self.refused(self.path))
        self.patch(os, "access", lambda *_: False)
        told = "may not be read and written by this user"
        self.assertIn(told, self.refused(self.path))

    async def test_foreign_tables(self) -> None:
        """
        A file whose tables have our names and are somebody else's is refused, and
        left as it is.
        """
        with closing(sqlite3.connect(self.path)) as database:
            database.execute("CREATE TABLE rpc_owners (id INTEGER, owner TEXT)")
        before = self.path.read_bytes()
        self.assertIn(
            f"the table rpc_owners in {self.path.absolute()} was not made by twisted_rpc"
            " (it has no column lease); keep records elsewhere",
            self.refused(self.path),
        )
        self.assertEqual(self.path.read_bytes(), before)

    async def test_columns(self) -> None:
        """
        The columns by which our tables are known are those that they have.
        """
        store = await self.opened()
        await store.stop()
        ask = "SELECT name FROM pragma_table_info(?)"
        with closing(sqlite3.connect(self.path)) as database:
            for table, columns in COLUMNS.items():
                names = {name for (name,) in database.execute(ask, (table,))}
                self.assertEqual(names, columns)

    async def test_later_version(self) -> None:
        """
        A file of a later version of this program is not touched.
        """
        store = await self.opened()
        await store.stop()
        database = sqlite3.connect(self.path)
        database.execute("UPDATE rpc_facts SET value = 3 WHERE name = 'version'")
        database.commit()
        database.close()
        self.assertIn("its tables are version 3, not 2", self.refused(self.path))
        self.assertEqual(list(self.path.parent.glob("*-owner-*")), [])

    async def test_full(self) -> None:
        """
        On a full disk nothing is half done: what cannot be recorded is refused,
        and when there is room again it goes on.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session

        def claim(seq: int) -> Claim:
            return Claim(Key(session, seq), ADA, "once", "Bank.pay", b"[1]")

        found = await store.claim(claim(1))
        pages = await store._ask(
            lambda tx: tx.execute("PRAGMA page_count").fetchone()[0]
        )
        await store._ask(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages}"))
        big = b"1" * 1_000_000
        asked: list[Deferred[Any]] = [store.complete(Key(session, 1), found.fence, big)]
        asked += [store.attach("eve", None) for _ in range(3)]
        results = await DeferredList(asked, consumeErrors=True)
        self.assertFalse(results[0][0])
        error = results[0][1].value
        self.assertIsInstance(error, StoreError)
        self.assertIn("full", str(error))
        self.assertFalse(error.ambiguous)
        self.assertEqual([good for good, _ in results[1:]], [True] * 3)
        row: Any = await store.find(Key(session, 1))
        self.assertEqual(row.state.value, "IN_PROGRESS")
        await store._ask(lambda tx: tx.execute("PRAGMA max_page_count = 100000"))
        self.assertIsNone(await store.complete(Key(session, 1), found.fence, big))
        self.assertEqual((await store.claim(claim(1))).outcome, big)

    async def test_locked_at_the_end(self) -> None:
        """
        Somebody who has locked the file for long does not hold the end up for
        longer than one step may take, however many wait; what fails is told.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        asked: list[Deferred[Any]] = [store.detach(session) for _ in range(600)]
        with capturedLogs() as said:
            await store.stop()
        self.assertLess(time.monotonic() - begun, 10 * store.patience)
        for each in asked:
            error = await self.assertFailure(each, StoreError)
            self.assertIn("calls.db: database is locked", str(error))
        (event,) = [it for it in said if "not recorded" in it["log_format"]]
        self.assertIn("database is locked", str(event["error"]))

    async def test_long_transaction(self) -> None:
        """
        A process whose transaction holds the file is alive for the others, who
        wait for it as long as they are patient.
        """
        store, other = await self.opened(), await self.opened()
        session = (await store.attach(ADA, None)).session
        once = Claim(Key(session, 1), ADA, "once", "Bank.pay", b"[1]")
        await store.claim(once)
        ends, runs = Event(), Event()
        self.addCleanup(ends.set)

        def slow(_: Any) -> bytes:
            runs.set()
            ends.wait(10)
            return b"1"

        claim = Claim(Key(session, 2), ADA, "transactional", "Bank.pay", b"[1]")
        asked = store.transact(claim, slow)
        runs.wait()
        await self.assertFailure(other.expire(), StoreError)
        ends.set()
        self.assertEqual((await asked).outcome, b"1")
        await other.expire()
        self.assertIs((await other.claim(once)).verdict, Verdict.WAIT)

    async def test_locked_before_it_connects(self) -> None:
        """
        The same if it is locked before the thread has opened it.
        """
        store = await self.opened()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        await self.assertFailure(store.totals(), StoreError)

    async def test_our_tables(self) -> None:
        """
        A method cannot touch our tables, attach other files, or change how the
        file is written.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        denied: list[str] = []

        def run(transaction: Any) -> bytes:
            for sql in (
                "SELECT * FROM rpc_records",
                "DELETE FROM rpc_holders",
                "DROP TABLE rpc_facts",
                "ATTACH ':memory:' AS other",
                "PRAGMA synchronous = OFF",
            ):
                try:
                    transaction.execute(sql)
                except sqlite3.DatabaseError as error:
                    denied.append(f"{error}")
            transaction.execute("CREATE TABLE mine (n)")
            transaction.execute("PRAGMA table_list")
            return b"1"

        key = Key(session, 1)
        claim = Claim(key, ADA, "transactional", "Bank.pay", b"[1]")
        found = await store.transact(claim, run)
        self.assertTrue(found.ran)
        self.assertEqual(len(denied), 5, denied)

    async def test_lock_files(self) -> None:
        """
        Each process has a lock file, which goes with it; one that was left by a
        process that was killed goes with the next.
        """
        store = await self.opened()
        (lock,) = self.path.parent.glob("*-owner-*")
        self.assertFalse(remove_if_free(lock))
        left = self.path.with_name(f"{self.path.name}-owner-00000000")
        left.touch()
        other = await self.opened()
        self.assertFalse(left.exists())
        self.assertEqual(len(list(self.path.parent.glob("*-owner-*"))), 2)
        await store.stop()
        await other.stop()
        self.assertEqual(list(self.path.parent.glob("*-owner-*")), [])

    async def test_floors_are_merged(self) -> None:
        """
        Above ten thousand floors they become one, upwards: what was forgotten
        stays forgotten.
        """
        self.patch(transitions, "MAX_FLOORS", 10)
        now = [4e9]
        store = await self.opened(retention=5, wall=lambda: now[0])
        for number in range(20):
            principal = f"p{number}"
            key = Key(f"@{principal}", 0, "a")
            claim = Claim(key, principal, "once", "Bank.pay", b"[1]", 4e9 - number)
            await store.claim(claim)
            await store.complete(key, 1, b"1")
        now[0] += 10
        await store.expire()
        totals = await store.totals()
        self.assertEqual((totals.floors, totals.records), (5, {}))
        for number in range(20):
            principal = f"p{number}"
            key = Key(f"@{principal}", 0, "a")
            claim = Claim(key, principal, "once", "Bank.pay", b"[1]", 4e9 - number)
            self.assertEqual((await store.claim(claim)).verdict, Verdict.STALE)

    async def test_shared_bound(self) -> None:
        """
        Servers share what is left of C{total_bytes}, each anew when it looks: together
        they pass it by at most a quarter, and one that is alone again has it all.
        """
        total = 200_000
        stores = [await self.opened(total_bytes=total) for _ in range(3)]
        seqs: dict[str, int] = {}

        async def fill(store: SQLiteStore, session: str) -> None:
            while True:
                seq = seqs[session] = seqs.get(session, 0) + 1
                claim = Claim(Key(session, seq), ADA, "once", "Bank.pay", b"[1]")
                try:
                    await store.claim(claim)
                except RPCError:
                    return

        first, *others = stores
        for each in stores:
            await each.expire()
        sessions = [(await each.attach(ADA, None)).session for each in stores]
        await fill(first, sessions[0])
        self.assertApproximates(first.bytes, total / 3, 3_000)
        await first.expire()
        for each, session in zip(stores, sessions, strict=True):
            await fill(each, session)
        size = (await first.totals()).size
        self.assertGreater(size, total)
        self.assertLessEqual(size, total * 5 // 4)
        for each, session in zip(others, sessions[1:], strict=True):
            await each.end(session)
            await each.stop()
        await first.expire()
        self.assertEqual(first.bytes, (await first.totals()).size)
        await fill(first, sessions[0])
        self.assertApproximates(first.bytes, total, 1_000)

    async def test_bounds(self) -> None:
        """
        Limits that cannot be are refused.
        """
        for options in ({"window": 0}, {"total_bytes": 1000}, {"patience": 0}):
            self.assertRaises(ValueError, SQLiteStore, self.path, **options)
        self.assertRaises(ValueError, SQLiteStore, self.path, node="a\nb")
        self.assertIn("calls.db", repr(SQLiteStore(self.path)))
