"""
Tests for L{twisted_rpc.delivery.sql.workers}.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from twisted_rpc.delivery.claims import StoreError
from twisted_rpc.delivery.sql.workers import Workers
from twisted_rpc.errors import Code, RPCError, refusal


class DatabaseError(Exception):
    """What a database says."""


class Database:
    """
    A database that notes what it is told, and fails as it is told.

    @ivar told: the statements, in order.
    @ivar fails: what the next statements of a kind fail with.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.fails: dict[str, list[Exception]] = {}
        self.dead = False

    def tell(self, what: str) -> None:
        """A statement."""
        self.told.append(what)
        if self.fails.get(what):
            raise self.fails[what].pop(0)


class Connection:
    """A connection to it."""

    def __init__(self, database: Database) -> None:
        database.tell("connect")
        self.database = database
        self.grown: dict[str, int] = {}

    def begin(self) -> Connection:
        self.database.tell("begin")
        self.grown = {}
        return self

    def commit(self) -> None:
        self.database.tell("commit")

    def rollback(self) -> None:
        self.database.tell("rollback")

    def close(self) -> None:
        self.database.tell("close")

    def lost(self, error: BaseException) -> bool:
        return "lost" in str(error)

    def passing(self, error: BaseException) -> bool:
        return "busy" in str(error)

    def trouble(self, error: BaseException) -> str | None:
        return str(error) if isinstance(error, DatabaseError) else None


class WorkersTests(TestCase):
    """
    One thread, and a database.
    """

    def setUp(self) -> None:
        self.database = Database()
        self.grown: list[dict[str, int]] = []
        self.workers = Workers(
            reactor, self.connect, lambda: self.grown.append, patience=0.1
        )
        self.addCleanup(self.workers.stop)

    def connect(self) -> Connection:
        """Connect, or say why not."""
        try:
            return Connection(self.database)
        except DatabaseError as error:
            raise StoreError(str(error)) from error

    def step(self, name: str) -> Any:
        """A step that does one thing."""

        def step(tx: Connection) -> str:
            tx.database.tell(name)
            tx.grown[name] = 1
            return name

        return step

    async def test_together(self) -> None:
        """
        What waits is done in one transaction, in order, and each is told its own
        result when that is committed.
        """
        hold, held = Event(), Event()

        def first(_: Connection) -> None:
            held.set()
            hold.wait()

        begun = self.workers.ask(first)
        held.wait()
        asked = [self.workers.ask(self.step(name)) for name in "abc"]
        alone = self.workers.ask(self.step("d"), alone=True)
        last = self.workers.ask(self.step("e"))
        hold.set()
        await begun
        self.assertEqual(await gatherResults([*asked, alone, last]), list("abcde"))
        self.assertEqual(
            self.database.told,
            [
                "connect",
                "begin",
                "commit",
                "begin",
                "a",
                "b",
                "c",
                "commit",
                "begin",
                "d",
                "commit",
                "begin",
                "e",
                "commit",
            ],
        )
        self.assertEqual(self.grown[1], {"a": 1, "b": 1, "c": 1})

    async def test_one_of_many_fails(self) -> None:
        """
        If one of those breaks the transaction, each is done by itself, and only
        that one fails.
        """
        hold, held = Event(), Event()

        def first(_: Connection) -> None:
            held.set()
            hold.wait()

        def broken(_: Connection) -> None:
            raise ZeroDivisionError

        self.workers.ask(first)
        held.wait()
        good = self.workers.ask(self.step("a"))
        bad = self.workers.ask(broken)
        other = self.workers.ask(self.step("b"))
        hold.set()
        self.assertEqual((await good, await other), ("a", "b"))
        await self.assertFailure(bad, ZeroDivisionError)
        self.assertEqual(self.database.told.count("a"), 2)
        self.assertEqual(len(self.grown), 3)

    async def test_refused(self) -> None:
        """
        A refusal that a step returns is a failure, and no trouble.
        """

        def step(_: Connection) -> RPCError:
            return refusal(Code.RESOURCE_EXHAUSTED, "full")

        error = await self.assertFailure(self.workers.ask(step), RPCError)
        self.assertIs(error.code, Code.RESOURCE_EXHAUSTED)
        self.assertEqual(self.database.told, ["connect", "begin", "commit"])

    async def test_busy(self) -> None:
        """
        What passes is waited for.
        """
        self.database.fails["begin"] = [DatabaseError("busy")] * 2
        self.assertEqual(await self.workers.ask(self.step("a")), "a")
        self.assertEqual(self.database.told.count("rollback"), 2)

    async def test_impatient(self) -> None:
        """
        But not for ever; nothing was done then.
        """
        self.database.fails["begin"] = [DatabaseError("busy")] * 1000
        error = await self.assertFailure(self.workers.ask(self.step("a")), StoreError)
        self.assertEqual((str(error), error.ambiguous), ("busy", False))

    async def test_no_room(self) -> None:
        """
        What does not pass is told at once.
        """
        self.database.fails["a"] = [DatabaseError("disk full")]
        error = await self.assertFailure(self.workers.ask(self.step("a")), StoreError)
        self.assertEqual((str(error), error.ambiguous), ("disk full", False))
        self.assertEqual(self.database.told.count("begin"), 1)

    async def test_lost(self) -> None:
        """
        A lost connection is made anew, and the step done again.
        """
        self.database.fails["commit"] = [DatabaseError("lost")]
        self.assertEqual(await self.workers.ask(self.step("a")), "a")
        self.assertEqual(
            self.database.told,
            [
                "connect",
                "begin",
                "a",
                "commit",
                "close",
                "connect",
                "begin",
                "a",
                "commit",
            ],
        )

    async def test_lost_for_long(self) -> None:
        """
        If it cannot be made, nobody knows whether the last commit worked.
        """
        await self.workers.ask(self.step("a"))
        self.database.fails["commit"] = [DatabaseError("lost")]
        self.database.fails["connect"] = [DatabaseError("nobody there")] * 1000
        error = await self.assertFailure(self.workers.ask(self.step("b")), StoreError)
        self.assertEqual((str(error), error.ambiguous), ("nobody there", True))
        self.database.fails.clear()
        self.assertEqual(await self.workers.ask(self.step("c")), "c")

    async def test_never_there(self) -> None:
        """
        Where no transaction was begun nothing can have been committed.
        """
        self.database.fails["connect"] = [DatabaseError("nobody there")] * 1000
        error = await self.assertFailure(self.workers.ask(self.step("a")), StoreError)
        self.assertEqual((str(error), error.ambiguous), ("nobody there", False))

    def held(self) -> Callable[[], None]:
        """
        Hold the thread, so that what is asked for waits.

        @return: lets it go on.
        """
        hold, held = Event(), Event()

        def first(_: Connection) -> None:
            held.set()
            hold.wait()

        self.workers.ask(first)
        held.wait()
        return hold.set

    async def test_lost_with_many(self) -> None:
        """
        The same if there were several in the transaction: each may have been done.
        """

        def broken(tx: Connection) -> None:
            tx.database.fails["commit"] = [DatabaseError("lost")]
            tx.database.fails["connect"] = [DatabaseError("nobody there")] * 1000

        go_on = self.held()
        asked = [self.workers.ask(step) for step in (self.step("a"), broken)]
        go_on()
        for each in asked:
            error = await self.assertFailure(each, StoreError)
            self.assertEqual((str(error), error.ambiguous), ("nobody there", True))

    async def test_impatient_together(self) -> None:
        """
        All that waits for a database that cannot be used waits no longer than one
        would, and then fails together; so the end does not take longer either.
        """
        for what in ("begin", "connect"):
            self.database.fails[what] = [DatabaseError("busy")] * 1000
        workers = Workers(
            reactor, self.connect, lambda: self.grown.append, together=8, patience=0.1
        )
        asked = [workers.ask(self.step("a"), alone=n % 3 == 0) for n in range(100)]
        await workers.stop()
        for each in asked:
            await self.assertFailure(each, StoreError)
        attempts = self.database.told.count("begin") + self.database.told.count(
            "connect"
        )
        self.assertLess(attempts, 10)

    async def test_few_connections(self) -> None:
        """
        What a thread cannot do that gets no connection is done by one that has one.
        """
        refused = Event()

        def connect() -> Connection:
            if "connect" in self.database.told:
                refused.set()
                raise StoreError("too many connections")
            return Connection(self.database)

        def first(_: Connection) -> None:
            held.set()
            refused.wait()

        held = Event()
        workers = Workers(
            reactor,
            connect,
            lambda: self.grown.append,
            threads=2,
            together=2,
            patience=1,
        )
        self.addCleanup(workers.stop)
        begun = workers.ask(first)
        held.wait()
        asked = [workers.ask(self.step(name)) for name in "abcd"]
        await begun
        self.assertEqual(await gatherResults(asked), list("abcd"))
        for name in "abcd":
            self.assertEqual(self.database.told.count(name), 1)

    async def test_busy_together(self) -> None:
        """
        What waits together for what passes is done in one transaction then.
        """
        go_on = self.held()
        asked = [self.workers.ask(self.step(name)) for name in "abc"]
        self.database.fails["begin"] = [DatabaseError("busy")] * 2
        go_on()
        self.assertEqual(await gatherResults(asked), list("abc"))
        self.assertEqual(self.database.told[-5:], ["begin", "a", "b", "c", "commit"])

    async def test_broken_rollback(self) -> None:
        """
        A connection that cannot even undo is made anew, whatever its end says.
        """
        self.database.fails = {
            "a": [DatabaseError("busy")],
            "rollback": [DatabaseError("worse")],
            "close": [DatabaseError("worst")],
        }
        self.assertEqual(await self.workers.ask(self.step("a")), "a")
        self.assertEqual(self.database.told.count("connect"), 2)

    async def test_stop(self) -> None:
        """
        What was asked for is done before the end, and nothing afterwards.
        """
        asked = self.workers.ask(self.step("a"))
        await self.workers.stop()
        self.assertEqual(await asked, "a")
        self.assertEqual(self.database.told[-1], "close")
        await self.assertFailure(self.workers.ask(self.step("b")), StoreError)
        await self.workers.stop()
