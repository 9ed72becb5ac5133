"""
A server whose record of calls outlives it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation
from twisted_rpc import Registry, Server, SQLiteStore, current_call, resolves
from twisted_rpc.delivery.claims import StoreError, UncommittedError
from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.sql.transaction import TransactionEndedError
from twisted_rpc.errors import (
    Code,
    Internal,
    NotFound,
    OutcomeUnknown,
)
from twisted_rpc.idl import load_idl_text
from twisted_rpc.server import RegistrationError
from twisted_rpc.testing import MemoryClock, Pair, connect

IDL = """
exception Missing { string name; }
service Bank {
    @readonly int balance(string name);
    @idempotent int count();
    int charge(string card);
    @transactional int put(string name, int cents) throws Missing;
    @transactional oneway void note(string text);
}
"""


class Bank:
    """
    Accounts in the store's own file.

    @ivar charged: the cards, in the order of the calls.
    @ivar held: the charge that has not ended, if it is not to end at once.
    @ivar known: what became of charges, by their key.
    """

    def __init__(self) -> None:
        self.charged: list[str] = []
        self.held: Deferred[int] | None = None
        self.known: dict[str, Any] = {}
        self.kept: list[Any] = []
        self.counted = 0

    def balance(self, name: str) -> int:
        """Nothing of the store."""
        return len(name)

    def count(self) -> int:
        """Twice is as good as once."""
        self.counted += 1
        return self.counted

    def charge(self, card: str) -> Any:
        """An effect outside the database."""
        self.charged.append(current_call().effect_key("card"))
        return len(self.charged) if self.held is None else self.held

    @resolves("charge")
    def find_charge(self, call: UnknownCall) -> Any:
        """What the card company says."""
        answer = self.known.get(call.effect_key("card"))
        if answer is None:
            raise OutcomeUnknown(message="the card company does not answer")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, name: str, cents: int) -> Any:
        """Rows of the store's own file."""
        transaction = current_call().transaction
        self.kept.append(transaction)
        transaction.execute(
            "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, cents INTEGER)"
        )
        transaction.execute(
            "INSERT INTO accounts VALUES (?, ?) ON CONFLICT (name)"
            " DO UPDATE SET cents = cents + excluded.cents",
            (name, cents),
        )
        if name == "nobody":
            raise self.missing(name=name)
        if name == "broken":
            raise ZeroDivisionError
        if name == "later":
            return Deferred()
        if name == "stranger":
            transaction.execute(
                "CREATE TABLE owned (name REFERENCES accounts (name)"
                " DEFERRABLE INITIALLY DEFERRED)"
            )
            transaction.execute("INSERT INTO owned VALUES ('who')")
        row = transaction.execute(
            "SELECT cents FROM accounts WHERE name = ?", (name,)
        ).fetchone()
        return row[0]

    missing: Any = None

    def note(self, text: str) -> None:
        """Without an answer."""
        self.put(text, 1)


class DurableTestCase(SynchronousTestCase):
    """
    A server on a file, and a client of it.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "calls.db"
        self.idl = load_idl_text(IDL)
        self.bank = Bank()
        self.bank.missing = self.idl.Missing
        self.registry = Registry()
        self.registry.register(self.idl.IBank, self.bank)
        self.clock = MemoryClock()

    def store(self, **options: Any) -> SQLiteStore:
        """The file, for another life of the server."""
        return SQLiteStore(self.path, wall=self.clock.seconds, **options)

    def serve(self, **options: Any) -> Pair:
        """A server and a client."""
        pair = connect(
            self.registry,
            clock=self.clock,
            server={"dedup": self.store(), **options},
            client={"timeout": 5.0},
        )
        self.addCleanup(pair.close)
        return pair

    def kill(self, pair: Pair) -> None:
        """The process of the server ends, as the system sees it."""
        store: Any = pair.server.factory.shared.store
        lock = store.store._lock
        os.close(lock._file)
        store.store._lock = None
        store.store._workers.stop()
        store.store._workers = None
        store._stopping = True
        self.addCleanup(self.flushLoggedErrors, StoreError)
        pair.network.break_all()
        pair.endpoint.factory = None
        pair.pump()


class ClassTests(DurableTestCase):
    """
    What each class of method does with a durable store.
    """

    def test_classes(self) -> None:
        """
        Every class is served, and said to be.
        """
        pair = self.serve()
        bank = pair.client.proxy(self.idl.IBank)
        self.assertEqual(pair.result(bank.balance("ada")), 3)
        self.assertEqual(pair.result(bank.count()), 1)
        self.assertEqual(pair.result(bank.charge("4711")), 1)
        self.assertEqual(pair.result(bank.put("ada", 5)), 5)
        self.assertEqual(pair.result(bank.put("ada", 2)), 7)

    def test_hello(self) -> None:
        """
        The guarantee of the store is told to clients.
        """
        talk = Conversation(IDL, self.bank, dedup=self.store())
        self.addCleanup(talk.server.stopService)
        peer = talk.connect()
        hello = {"versions": [1], "features": [], "session": None, "auth": None}
        limits = {"max_frame": 1 << 20}
        self.talk(
            peer, "$hello", [{**hello, "limits": limits, "software": "t", "ping": 0}]
        )
        for _ in range(100):
            talk.pump()
            if peer.frames:
                break
            talk.clock.wait_for_thread(0.1)
        self.assertEqual(
            peer.frames[0]["result"]["guarantee"],
            {
                "store": "sqlite",
                "durable": True,
                "classes": ["readonly", "idempotent", "once", "transactional"],
                "window": 1024,
                "retention": 86_400_000,
            },
        )

    def talk(self, peer: Any, request_id: str, params: list[Any]) -> None:
        """Write a frame by hand."""
        import json  # noqa: PLC0415 - here only

        peer.sendString(
            json.dumps(
                {
                    "request_id": request_id,
                    "service": "$rpc",
                    "method": "hello",
                    "params": params,
                    "timestamp": self.clock.seconds(),
                }
            ).encode()
        )

    def test_errors_undo(self) -> None:
        """
        An error of a method undoes what it did; it is told as of any method.
        """
        pair = self.serve()
        bank = pair.client.proxy(self.idl.IBank)
        pair.result(bank.put("ada", 5))
        error = self.assertRaises(self.idl.Missing, pair.result, bank.put("nobody", 5))
        self.assertEqual(error.name, "nobody")
        for name in ("broken", "later"):
            self.assertRaises(Internal, pair.result, bank.put(name, 5))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(pair.result(bank.put("nobody2", 5)), 5)
        rows = self.rows("SELECT name FROM accounts ORDER BY name")
        self.assertEqual(rows, [("ada",), ("nobody2",)])

    def test_not_committed(self) -> None:
        """
        A constraint that fails when what a method did is committed is the method's
        mistake, as an error that it raises; only that nothing is left of it, not
        even a record.  Those that are committed with it are not harmed.
        """
        pair = self.serve()
        bank = pair.client.proxy(self.idl.IBank)
        with capturedLogs() as said:
            calls = [bank.put(name, 5) for name in ("ada", "stranger", "eve")]
            self.assertEqual(pair.result(calls[0]), 5)
            error = self.assertRaises(Internal, pair.result, calls[1])
            self.assertEqual(pair.result(calls[2]), 5)
        (line,) = [it for it in said if "error_id" in it]
        self.assertEqual(
            error.message,
            f"Internal error (error_id {line['error_id']}): nothing was committed",
        )
        self.assertEqual((error.executed, error.error_id), ("no", line["error_id"]))
        text = formatEvent(line)
        self.assertIn("Bank.put failed", text)
        self.assertIn("FOREIGN KEY", str(line["log_failure"].value))
        self.assertEqual(len(self.flushLoggedErrors(UncommittedError)), 1)
        rows = self.rows("SELECT name FROM accounts ORDER BY name")
        self.assertEqual(rows, [("ada",), ("eve",)])

    def rows(self, sql: str) -> list[Any]:
        """What is in the file."""
        import sqlite3  # noqa: PLC0415 - here only

        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        return database.execute(sql).fetchall()

    def test_oneway(self) -> None:
        """
        A one-way method has its transaction too.
        """
        pair = self.serve()
        bank = pair.client.proxy(self.idl.IBank)
        pair.result(bank.put("ada", 5))
        pair.result(bank.note("memo"))
        pair.result(bank.put("ada", 5))
        self.assertEqual(self.rows("SELECT COUNT(*) FROM accounts"), [(2,)])

    def test_transaction_of_another_call(self) -> None:
        """
        What a method keeps of its transaction is of no use afterwards.
        """
        pair = self.serve()
        pair.result(pair.client.proxy(self.idl.IBank).put("ada", 5))
        error = self.assertRaises(
            TransactionEndedError, self.bank.kept[0].execute, "SELECT 1"
        )
        self.assertIn("ends when its method returns", str(error))


class CrashTests(DurableTestCase):
    """
    A server that is killed.
    """

    def test_unknown(self) -> None:
        """
        A call that was running is unknown afterwards, and never runs again; one
        that had ended is answered.
        """
        pair = self.serve()
        client = pair.client.proxy(self.idl.IBank)
        self.assertEqual(pair.result(client.charge("4711")), 1)
        self.bank.held = Deferred()
        charging = client.charge("4712")
        failures: list[Any] = []
        charging.addErrback(lambda failure: failures.append(failure.value))
        pair.advance(0.1)
        self.assertEqual(len(self.bank.charged), 2)
        self.kill(pair)
        self.bank.held = None
        again = self.again(pair)
        again.advance(10)
        (error,) = failures
        self.assertIsInstance(error, OutcomeUnknown)
        self.assertEqual(error.executed, "unknown")
        self.assertEqual(len(self.bank.charged), 2)
        asked = again.result(pair.client.resolve(error.request_id))
        self.assertEqual(asked["state"], "IN_DOUBT")
        self.bank.known = {self.bank.charged[1]: 9}
        asked = again.result(pair.client.resolve(error.request_id))
        self.assertEqual((asked["state"], asked["reply"]["result"]), ("DONE", 9))
        self.assertEqual(again.result(client.charge("4713")), 3)

    def again(self, pair: Pair) -> Pair:
        """Another life of the server, for the same client."""
        server = Server(
            self.registry,
            reactor=self.clock,
            wall=self.clock.seconds,
            dedup=self.store(),
        )
        server.factory.doStart()
        server.startService()
        pair.endpoint.factory = server.factory
        again = Pair(self.clock, pair.network, pair.endpoint, server, pair.client)
        self.addCleanup(again.close)
        return again

    def test_resolved(self) -> None:
        """
        An implementation that can tell what became of a call is asked, by a
        duplicate and by whoever wants to know; what it says is the answer.
        """
        pair = self.serve()
        client = pair.client.proxy(self.idl.IBank)
        self.bank.held = Deferred()
        results: list[Any] = []
        for card in ("1", "2"):
            client.charge(card).addBoth(results.append)
        pair.advance(0.1)
        first, second = self.bank.charged
        self.kill(pair)
        self.bank.known = {first: 77, second: NotFound(message="no such card")}
        again = self.again(pair)
        again.advance(10)
        self.assertEqual(results[0], 77)
        self.assertEqual(results[1].value.code, Code.NOT_FOUND)
        self.assertEqual(len(self.bank.charged), 2)

    def test_store_in_use(self) -> None:
        """
        A store that cannot be opened keeps the port closed, and says why.
        """
        self.path.write_text("something else")
        server = Server(
            self.registry,
            listen=["tcp:0"],
            reactor=self.clock,
            dedup=self.store(),
        )
        server.startService()
        assert server.listening is not None
        failure = self.failureResultOf(server.listening, StoreError)
        self.assertIn("is not an SQLite database", str(failure.value))
        self.assertEqual(server.ports, [])
        server.factory.doStart()
        server.stopService()


class RegistrationTests(DurableTestCase):
    """
    What is refused before anything is served.
    """

    def test_class_of_a_store(self) -> None:
        """
        A class that the store cannot keep refuses the server, with the place in
        the IDL.
        """
        error = self.assertRaises(
            RegistrationError, Server, self.registry, reactor=self.clock
        )
        self.assertIn("Bank.put is @transactional, which the memory store", str(error))
        self.assertIn("Bank.note is @transactional", str(error))

    def test_coroutine(self) -> None:
        """
        A transaction is in a thread, where nothing can be awaited.
        """

        class Waiting(Bank):
            async def put(self, name: str, cents: int) -> int:
                """Waits."""
                return 1

        error = self.assertRaises(
            RegistrationError, Registry().register, self.idl.IBank, Waiting()
        )
        self.assertIn("is @transactional and 'async def'", str(error))

    def test_resolvers(self) -> None:
        """
        A resolver that would never be asked is refused.
        """

        class Wrong(Bank):
            @resolves("chrge")
            def one(self, call: UnknownCall) -> int:
                """Mistyped."""
                return 1

            @resolves("put")
            def two(self, call: UnknownCall) -> int:
                """Never unknown."""
                return 1

            @resolves("charge")
            def three(self, call: UnknownCall) -> int:
                """A second one."""
                return 1

        error = str(
            self.assertRaises(
                RegistrationError, Registry().register, self.idl.IBank, Wrong()
            )
        )
        self.assertIn("resolves 'chrge', which is no method of the service", error)
        self.assertIn(
            "resolves 'put', which is @transactional and never unknown", error
        )
        self.assertIn("resolves 'charge', which another method does already", error)
