"""
Tests for L{twisted_rpc.delivery.sql.postgres}.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from threading import Barrier, Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.servers import free_port, postgres
from twisted_rpc.delivery.claims import Claim, Key, StoreError, UncommittedError
from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.sql import silence
from twisted_rpc.delivery.sql.pipeline import Pipeline, Sent
from twisted_rpc.delivery.sql.postgres import PostgresConnection, PostgresStore
from twisted_rpc.delivery.table import Verdict
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.testing import DedupStoreTests


class PostgresStoreTests(DedupStoreTests, TestCase):
    """
    The store in PostgreSQL, by the interface.
    """

    def setUp(self) -> None:
        self.server = postgres()
        self.url = self.server.schema()

    def make_store(self, **limits: Any) -> PostgresStore:
        """Another server on the database."""
        return PostgresStore(self.url, connections=2, patience=0.5, **limits)

    def execute(self, sql: str, *args: Any) -> None:
        """Somebody changes the tables."""
        import psycopg  # noqa: PLC0415 - not where there is none

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql, args)

    def advance(self, seconds: float) -> None:
        """The database's clock is real; what it has written becomes older."""
        self.execute(
            "UPDATE rpc_holders SET made = made - %s,"
            " detached = CASE WHEN detached > 0 THEN detached - %s ELSE 0 END",
            seconds,
            seconds,
        )
        self.execute(
            "UPDATE rpc_records SET begun = begun - %s, ended = ended - %s",
            seconds,
            seconds,
        )

    def crash(self, store: PostgresStore) -> None:
        """Its lease is over."""
        lease: Any = store._lease
        lease.stop()
        store._transitions.settle = lambda *_: None  # type: ignore[method-assign]
        self.execute("UPDATE rpc_owners SET lease = 0 WHERE owner = %s", store.owner)

    def interrupt(self) -> Callable[[], None]:
        """The database is killed."""
        self.server.kill()
        return self.server.start

    def delay(self) -> Callable[[], None]:
        """Somebody has locked the table."""
        import psycopg  # noqa: PLC0415 - not where there is none

        other = psycopg.connect(self.url)
        other.execute("LOCK TABLE rpc_records IN ACCESS EXCLUSIVE MODE")
        return other.close

    def fill(self) -> Callable[[], None]:
        """The disk of the database is full."""
        self.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file: No space left on device'"
            " USING ERRCODE = 'disk_full'; END $$"
        )
        self.execute(
            "CREATE TRIGGER full_disk AFTER INSERT OR UPDATE ON rpc_records"
            " EXECUTE FUNCTION full_disk()"
        )
        return lambda: self.execute("DROP TRIGGER full_disk ON rpc_records")

    def cut(self) -> bool:
        """An administrator ends them."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'twisted_rpc'"
        )
        return True


class PostgresTests(TestCase):
    """
    What is PostgreSQL's own.
    """

    def setUp(self) -> None:
        self.server = postgres()
        self.url = self.server.schema()

    async def opened(self, **options: Any) -> PostgresStore:
        """A store that has started."""
        store = PostgresStore(self.url, connections=2, **options)
        await store.start(reactor)
        self.addCleanup(store.stop)
        return store

    def claim(self, session: str, seq: int) -> Claim:
        """A call in a transaction."""
        return Claim(Key(session, seq), "ada", "transactional", "Bank.pay", b"[1]")

    async def test_named(self) -> None:
        """
        A server of a name that was given settles at once what its earlier life
        left, and that of no other.
        """
        lives = [await self.opened(node=name) for name in ("a", "b")]
        session = (await lives[0].attach("ada", None)).session
        keys = [Key(session, 1), Key(session, 2)]
        for life, key in zip(lives, keys, strict=True):
            await life.claim(Claim(key, "ada", "once", "Bank.pay", b"[1]"))
        again = await self.opened(node="a")
        states = [(await again.find(key)) for key in keys]
        self.assertEqual(
            [row.state.value for row in states if row], ["IN_DOUBT", "IN_PROGRESS"]
        )

    async def test_busy(self) -> None:
        """
        A server whose connections are all busy with long transactions is alive all
        the same: its lease is renewed beside them.
        """
        store = await self.opened(lease=0.6)
        other = await self.opened()
        session = (await store.attach("ada", None)).session
        key = Key(session, 9)
        await store.claim(Claim(key, "ada", "once", "Bank.pay", b"[1]"))
        ends = Event()
        self.addCleanup(ends.set)

        def slow(_: Any) -> bytes:
            ends.wait(10)
            return b"1"

        asked = [store.transact(self.claim(session, n), slow) for n in (1, 2, 3)]
        for _ in range(5):
            await deferLater(reactor, 0.3)
            await other.expire()
            row: Any = await other.find(key)
            self.assertEqual(row.state.value, "IN_PROGRESS")
        ends.set()
        found = await gatherResults(asked)
        self.assertEqual([each.outcome for each in found], [b"1"] * 3)

    async def test_given_up_too_early(self) -> None:
        """
        A server that others have taken for gone, and that goes on, is alive again,
        and the sessions of those who are connected to it are in use: they do not
        expire.  One that somebody else uses meanwhile is used by both.
        """
        store = await self.opened(node="a", lease=0.6, retention=5)
        other = await self.opened(node="b", retention=5)
        used, left, moved = [
            (await store.attach("ada", None)).session for _ in range(3)
        ]
        await store.detach(left)
        await other._ask(lambda tx: other._transitions.settle(tx, store.owner))
        await other.attach("ada", moved)
        owners: dict[str, str] = {}
        for _ in range(100):
            await deferLater(reactor, 0.05)
            owners = {row.session: row.attached for row in await other.sessions(9)}
            if owners[used]:
                break
        users = {
            session: {each.partition("/")[0] for each in owner.split(", ")}
            for session, owner in owners.items()
        }
        self.assertEqual(users, {used: {"a"}, left: {""}, moved: {"a", "b"}})
        await other.expire()
        await other._ask(
            lambda tx: tx.execute(
                "UPDATE rpc_holders SET detached = detached - 9 WHERE detached > 0"
            )
        )
        await other.expire()
        rows = await other.sessions(9)
        self.assertEqual({row.session for row in rows}, {used, moved})
        await store.detach(used)
        rows = await other.sessions(9)
        self.assertIn((used, ""), [(row.session, row.attached) for row in rows])

    async def test_silent_server(self) -> None:
        """
        A database server that is gone without a word is noticed by TCP in bounded
        time, unless the address says otherwise; nor is anything else of it overruled.
        """

        def options(url: str) -> list[int]:
            connection = PostgresConnection(url)
            self.addCleanup(connection.close)
            with socket.socket(fileno=os.dup(connection._database.fileno())) as it:
                return [
                    it.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (
                        socket.TCP_KEEPIDLE,
                        socket.TCP_KEEPINTVL,
                        socket.TCP_KEEPCNT,
                        socket.TCP_USER_TIMEOUT,
                    )
                ]

        self.assertEqual(options(self.url), [5, 2, 3, 10_000])
        own = f"{self.url}&keepalives_idle=77&tcp_user_timeout=0&application_name=mine"
        self.assertEqual(options(own), [77, 2, 3, 0])
        connection = PostgresConnection(own)
        self.addCleanup(connection.close)
        (name,) = connection._database.execute("SHOW application_name").fetchone()
        self.assertEqual(name, "mine")

    async def test_hung_server(self) -> None:
        """
        A database server that hangs, on a machine that still acknowledges what it is
        sent, is noticed: steps fail, and the server can stop.  One that only takes
        long is waited for.
        """
        self.patch(silence, "SILENCE", 0.1)
        self.url += "&connect_timeout=2"
        store = await self.opened(patience=0.5)
        slow = store._ask(lambda tx: tx.execute("SELECT pg_sleep(0.5)").rowcount)
        self.assertEqual(await slow, 1)
        pids = await store._ask(
            lambda tx: tx.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchall()
        )
        server: Any = self.server._process
        stopped = [server.pid, *(pid for (pid,) in pids)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(os.kill, pid, signal.SIGCONT)
        await self.assertFailure(store.totals(), StoreError)
        await store.stop()

    async def test_stop_without_database(self) -> None:
        """
        A server that stops when its database is gone is patient once, for all that
        it has to do still.
        """
        store = await self.opened(patience=2)
        self.addCleanup(self.server.start)
        self.server.kill()
        begun = time.monotonic()
        waiting = store.totals()
        await store.stop()
        await self.assertFailure(waiting, StoreError)
        self.assertLess(time.monotonic() - begun, 3.8)

    async def test_session_that_ends_while_it_is_used(self) -> None:
        """
        A call that is claimed at the moment at which its session ends leaves no
        record behind: when it has ended nothing would find that.
        """
        store = await self.opened(node="a")
        session = (await store.attach("ada", None)).session
        key = Key(session, 1)
        claim = Claim(key, "ada", "once", "Bank.pay", b"[1]")
        connection = PostgresConnection(self.url)
        self.addCleanup(connection.close)
        found: Any = store._transitions.claim(connection.begin(), claim)
        await store.end(session)
        connection.commit()
        await store.expire()
        row: Any = await store.find(key)
        self.assertEqual(row.state.value, "IN_PROGRESS")
        self.assertIsNone(await store.complete(key, found.fence, b"1"))
        await store.expire()
        self.assertIsNone(await store.find(key))
        again: Any = await store.claim(claim)
        self.assertIs(again.verdict, Verdict.SESSION_UNKNOWN)

    async def test_session_that_is_resumed_while_room_is_made(self) -> None:
        """
        A session that one server resumes is not what another ends to make room; and
        one that is ended so is not resumed.
        """
        one, other = [await self.opened(sessions_per_principal=1) for _ in "ab"]
        session = (await one.attach("ada", None)).session
        await one.detach(session)
        connection = PostgresConnection(self.url)
        self.addCleanup(connection.close)
        resumed: Any = one._transitions.attach(
            connection.begin(), "ada", session, "new"
        )
        self.assertTrue(resumed.resumed)
        making: Any = other.attach("ada", None)
        error = await self.assertFailure(making, RPCError)
        self.assertIs(error.code, Code.RESOURCE_EXHAUSTED)
        connection.commit()
        (row,) = await other.sessions(9)
        self.assertEqual(row.session, session)
        self.assertTrue(row.attached)

        await one.detach(session)
        made: Any = one._transitions.attach(connection.begin(), "ada", None, "new")
        resuming: Any = other.attach("ada", session)
        connection.commit()
        error = await self.assertFailure(resuming, RPCError)
        self.assertIs(error.code, Code.RESOURCE_EXHAUSTED)
        (row,) = await other.sessions(9)
        self.assertEqual(row.session, made.session)
        self.assertTrue(row.attached)

    async def test_nothing_there(self) -> None:
        """
        Tables of ours are not taken for somebody else's, nor made by who only
        looks.
        """
        import psycopg  # noqa: PLC0415 - not where there is none

        told = "there are no records of twisted_rpc in this database"
        with psycopg.connect(self.url, autocommit=True) as database:
            self.assertIn(told, await self.refused(create=False))
            names = database.execute("SELECT to_regclass('rpc_facts')").fetchone()
            self.assertEqual(names, (None,))
            database.execute("CREATE TABLE rpc_records (id BIGINT, owner TEXT)")
            for create in (True, False):
                told = await self.refused(create=create)
                self.assertIn("the table rpc_records in this database was not", told)
            database.execute("DROP TABLE rpc_records")
            await self.opened()
            await self.opened(create=False)
            database.execute("DELETE FROM rpc_facts WHERE name = 'version'")
            told = "they are version 0, not 2"
            self.assertIn(told, await self.refused(create=False))

    async def refused(self, **options: Any) -> str:
        """
        @return: why a store does not start.
        """
        store = PostgresStore(self.url, connections=1, patience=0.2, **options)
        started: Deferred[Any] = store.start(reactor)
        return str(await self.assertFailure(started, StoreError))

    async def test_not_there(self) -> None:
        """
        A database that cannot be reached is named, without its password.
        """
        url = f"postgresql://ann:secret@127.0.0.1:{free_port()}/calls"
        store = PostgresStore(url, connections=1, patience=0.1)
        started: Deferred[Any] = store.start(reactor)
        error = await self.assertFailure(started, StoreError)
        self.assertIn("the store cannot be used: 127.0.0.1/calls: ", str(error))
        self.assertNotIn("secret", str(error))
        await self.assertFailure(store.totals(), StoreError)

    async def test_later_version(self) -> None:
        """
        Tables of a later version of this program are not touched.
        """
        store = await self.opened()
        await store._ask(
            lambda tx: tx.execute(
                "UPDATE rpc_facts SET value = 3 WHERE name = 'version'"
            )
        )
        other = PostgresStore(self.url, connections=1, patience=0.1)
        started: Deferred[Any] = other.start(reactor)
        error = await self.assertFailure(started, StoreError)
        self.assertIn("they are version 3, not 2", str(error))

    async def test_deadlock(self) -> None:
        """
        Two methods that wait for each other's rows both have their effect, each
        once: the one that the database gives up is run again.
        """
        store = await self.opened()
        session = (await store.attach("ada", None)).session

        def create(transaction: Any) -> bytes:
            transaction.execute("CREATE TABLE n (id INT PRIMARY KEY, v INT)")
            transaction.execute("INSERT INTO n VALUES (1, 0), (2, 0)")
            return b"1"

        await store.transact(self.claim(session, 1), create)
        meeting = Barrier(2, timeout=5)
        runs: list[int] = []

        def move(first: int) -> Any:
            def run(transaction: Any) -> bytes:
                runs.append(first)
                transaction.execute("UPDATE n SET v = v + 1 WHERE id = %s", (first,))
                if len(runs) <= 2:
                    meeting.wait()
                transaction.execute(
                    "UPDATE n SET v = v + 1 WHERE id = %s", (3 - first,)
                )
                return b"%d" % first

            return run

        asked = [store.transact(self.claim(session, 1 + n), move(n)) for n in (1, 2)]
        found = await gatherResults(asked)
        self.assertEqual([each.outcome for each in found], [b"1", b"2"])
        self.assertEqual(len(runs), 3)
        rows = await store._ask(lambda tx: tx.execute("SELECT v FROM n").fetchall())
        self.assertEqual(rows, [(2,), (2,)])

    async def test_broken_transaction(self) -> None:
        """
        A method that goes on after a statement has failed, or that ends its
        transaction by some trick, is not taken for done.
        """
        store = await self.opened(patience=0.1)
        session = (await store.attach("ada", None)).session

        def careless(transaction: Any) -> bytes:
            try:
                transaction.execute("SELECT * FROM nothing")
            except Exception:  # noqa: BLE001 - what it should not do
                return b"1"
            return b"2"

        def tricky(transaction: Any) -> bytes:
            transaction.execute("DO $$ BEGIN PERFORM 1; END $$")
            transaction.pgconn.exec_(b"ROLLBACK")
            return b"1"

        for seq, run, text in (
            (1, careless, "went on regardless"),
            (2, tricky, "was ended"),
        ):
            claim = self.claim(session, seq)
            error = await self.assertFailure(store.transact(claim, run), StoreError)
            self.assertIn(text, str(error))
            self.assertIsNone(await store.find(claim.key))

    async def test_not_committed(self) -> None:
        """
        A constraint, or a trigger, that fails at the commit is the method's mistake,
        not the store's; nothing is left of the call, and it may be made again.  What
        no method can help is the store's still.
        """
        store = await self.opened(patience=0.1)
        session = (await store.attach("ada", None)).session

        def create(transaction: Any) -> bytes:
            transaction.execute(
                "CREATE TABLE n (v INT UNIQUE DEFERRABLE INITIALLY DEFERRED)"
            )
            transaction.execute(
                "CREATE FUNCTION check_n() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " IF NEW.v > 9 THEN RAISE EXCEPTION 'too much'; END IF;"
                " IF NEW.v < 0 THEN RAISE EXCEPTION 'disk' USING ERRCODE = '53100';"
                " END IF; RETURN NEW; END $$"
            )
            transaction.execute(
                "CREATE CONSTRAINT TRIGGER check_n AFTER INSERT ON n DEFERRABLE"
                " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_n()"
            )
            transaction.execute("INSERT INTO n VALUES (1)")
            return b"1"

        def put(value: int) -> Callable[[Any], bytes]:
            def run(transaction: Any) -> bytes:
                transaction.execute("INSERT INTO n VALUES (%s)", (value,))
                return b"2"

            return run

        await store.transact(self.claim(session, 1), create)
        claim = self.claim(session, 2)
        for value, kind, text in (
            (1, UncommittedError, "duplicate key value violates unique"),
            (10, UncommittedError, "too much"),
            (-1, StoreError, "disk"),
        ):
            error = await self.assertFailure(store.transact(claim, put(value)), kind)
            self.assertIn(text, str(error))
            self.assertIsNone(await store.find(claim.key))
        found = await store.transact(claim, put(2))
        self.assertEqual(found.outcome, b"2")
        rows = await store._ask(
            lambda tx: tx.execute("SELECT v FROM n ORDER BY v").fetchall()
        )
        self.assertEqual(rows, [(1,), (2,)])

    async def test_composed(self) -> None:
        """
        A statement that psycopg composes cannot end the transaction either.
        """
        store = await self.opened()
        session = (await store.attach("ada", None)).session

        def run(transaction: Any) -> bytes:
            from psycopg import sql  # noqa: PLC0415 - not where there is none

            with self.assertRaises(RuntimeError):
                transaction.execute(sql.SQL("ROLLBACK"))
            (one,) = transaction.execute(sql.SQL("SELECT 1")).fetchone()
            return b"%d" % one

        found = await store.transact(self.claim(session, 1), run)
        self.assertEqual(found.outcome, b"1")

    async def test_round_trips(self) -> None:
        """
        A call in a transaction takes two round trips beside its own, also if it
        fails: the claim with what begins it, the completion with what ends it.
        """
        store = await self.opened()
        session = (await store.attach("ada", None)).session
        trips: list[list[bytes]] = []
        run = Pipeline.run

        def counted(pipeline: Pipeline, statements: Sequence[Sent]) -> list[Any]:
            trips.append([statement.text for statement, _ in statements])
            return run(pipeline, statements)

        self.patch(Pipeline, "run", counted)
        error = RPCError(Code.NOT_FOUND, "nobody")
        outcomes: list[Outcome] = [b"1", error]
        for seq, outcome in enumerate(outcomes, 1):
            del trips[:]

            def answer(_: Any, outcome: Outcome = outcome) -> Outcome:
                return outcome

            await store.transact(self.claim(session, seq), answer)
            self.assertEqual(len(trips), 2, trips)
            self.assertEqual((trips[0][0], trips[1][-1]), (b"BEGIN", b"COMMIT"))

    async def test_statements_deallocated(self) -> None:
        """
        What a method does to prepared statements, or makes psycopg do, costs no
        call a second run; if it cannot be seen, there is one more, and one effect.
        """
        store = PostgresStore(self.url, connections=1)
        await store.start(reactor)
        self.addCleanup(store.stop)
        session = (await store.attach("ada", None)).session
        runs: list[int] = []
        statements = [
            ("CREATE TABLE n (v INT)", "INSERT INTO n VALUES (0)"),
            ("SELECT v FROM n",) * 3,
            ("SAVEPOINT own", "UPDATE n SET v = v + 1", "ROLLBACK TO own"),
            ("SELECT v FROM n",),
            ("ALTER TABLE n ADD w INT", "SELECT * FROM n"),
            ("DEALLOCATE ALL", "SELECT * FROM n"),
            ("SELECT v FROM n",),
            ("DO $$ BEGIN EXECUTE 'DEALLOC' || 'ATE ALL'; END $$",),
            ("SELECT 'DROP TABLE'",),
        ]

        def method(number: int) -> Callable[[Any], bytes]:
            def run(transaction: Any) -> bytes:
                runs.append(number)
                for each in statements[number]:
                    if "DO " not in each or runs.count(number) == 1:
                        transaction.execute(each)
                transaction.execute("UPDATE n SET v = v + 1")
                return b"1"

            return run

        for number in range(len(statements)):
            await store.transact(self.claim(session, number + 1), method(number))
        self.assertEqual(runs, [0, 1, 2, 3, 4, 5, 6, 7, 7, 8])
        rows = await store._ask(lambda tx: tx.execute("SELECT v FROM n").fetchall())
        self.assertEqual(rows, [(len(statements),)])

    async def test_connection_lost(self) -> None:
        """
        A method whose connection is lost under it is run again, with one effect.
        """
        store = await self.opened()
        session = (await store.attach("ada", None)).session

        def create(transaction: Any) -> bytes:
            transaction.execute("CREATE TABLE n (v INT)")
            return b"1"

        runs: list[int] = []

        def run(transaction: Any) -> bytes:
            runs.append(1)
            transaction.execute("INSERT INTO n VALUES (1)")
            if len(runs) == 1:
                transaction.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            return b"2"

        await store.transact(self.claim(session, 1), create)
        found = await store.transact(self.claim(session, 2), run)
        self.assertEqual((found.outcome, len(runs)), (b"2", 2))
        rows = await store._ask(lambda tx: tx.execute("SELECT v FROM n").fetchall())
        self.assertEqual(rows, [(1,)])

    async def test_commit_lost(self) -> None:
        """
        A session whose commit was done and not heard of is the one that is given,
        whatever was asked for, and if there is room for no other; if it is never heard
        of, it is told which it may be.
        """
        commit, lost = PostgresConnection.commit, [0]

        def unheard(connection: PostgresConnection) -> None:
            commit(connection)
            if lost and lost.pop():
                connection._database.close()
                raise connection._library.OperationalError("lost")

        store = await self.opened(sessions_per_principal=1, patience=0.3)
        self.patch(PostgresConnection, "commit", unheard)
        lost[:] = [1]
        one = await store.attach("ada", None)
        lost[:] = [1]
        two = await store.attach("eve", one.session)
        self.assertEqual((one.resumed, two.resumed), (False, False))
        rows = {row.session for row in await store.sessions(9)}
        self.assertEqual(rows, {one.session, two.session})
        lost[:] = [1]
        self.assertTrue((await store.attach("ada", one.session)).resumed)
        lost[:] = [1] * 99
        asked: Deferred[Any] = store.attach("bob", None)
        error = await self.assertFailure(asked, StoreError)
        lost.clear()
        rows = {row.session for row in await store.sessions(9)}
        self.assertEqual(rows, {one.session, two.session, error.session})

    async def test_record_gone(self) -> None:
        """
        A method that removes the record of its own call has no effect.
        """
        store = await self.opened(patience=0.1)
        session = (await store.attach("ada", None)).session

        def run(transaction: Any) -> bytes:
            transaction.execute("CREATE TABLE n (v INT)")
            transaction.execute("DELETE FROM rpc_records")
            return b"1"

        asked = store.transact(self.claim(session, 1), run)
        error = await self.assertFailure(asked, StoreError)
        self.assertIn("the record of a call is gone", str(error))
        there = await store._ask(
            lambda tx: tx.execute("SELECT to_regclass('n')").fetchone()
        )
        self.assertEqual(there, (None,))

    async def test_big_answer(self) -> None:
        """
        An answer that fills every buffer on its way is kept whole.
        """
        store = await self.opened()
        session = (await store.attach("ada", None)).session
        answer = b'"' + b"x" * 2_500_000 + b'"'
        claim = self.claim(session, 1)
        await store.transact(claim, lambda _: answer)
        again = await store.transact(claim, lambda _: b"2")
        self.assertEqual(again.outcome, answer)

    async def test_strange_names(self) -> None:
        """
        An id is what it is: not read as another encoding, and one that the
        database cannot keep is refused, not cut.
        """
        store = await self.opened(patience=0.1)
        for name in ("naïve ☃", "'; DROP TABLE rpc_records; --", "\\x00%s?{now}"):
            claim = Claim(Key("@ada", 0, name), "ada", "once", "Bank.pay", b"[1]")
            claim.timestamp = 1.0
            found = await store.claim(claim)
            self.assertEqual(found.verdict, Verdict.RUN)
            row = await store.find(claim.key)
            self.assertEqual(row and row.key.name, name)
        cut = Claim(Key("@ada", 0, "a\0b"), "ada", "once", "Bank.pay", b"[1]")
        cut.timestamp = 1.0
        await self.assertFailure(store.claim(cut), StoreError)
        self.assertIsNone(await store.find(Key("@ada", 0, "a")))
