"""
The bank does what its IDL says, and its client shows it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from services.bank import Bank
from services.bank import client as program
from services.bank.bank import idl
from services.calculator import demo
from tests.services.serving import ROOT, ServiceTestCase
from twisted_rpc import Code, Registry, RPCError, SQLiteStore
from twisted_rpc.errors import Internal
from twisted_rpc.idl import load_idl
from twisted_rpc.testing import MemoryClock, Pair, connect

ANSWERS = """\
after the transfer, Ann has 69.90 EUR
Ben has 30.60, not 1000
NOT_FOUND: there is no account nobody
Ben's account: +30.10 rent
Ben's account: +0.50 opened
"""


def euros(amount: str) -> Any:
    """
    @return: an amount of money.
    """
    return idl.Money(amount=Decimal(amount))


class BankTestCase(ServiceTestCase):
    """
    A bank on a file of its own.
    """

    def setUp(self) -> None:
        """
        An empty folder.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.path = folder / "bank.db"
        os.environ["BANK_DB"] = str(self.path)
        self.addCleanup(os.environ.pop, "BANK_DB")

    def serve(self, registry: Registry) -> Pair:
        """
        @return: a client, and a server that records calls in the file.
        """
        clock = MemoryClock()
        pair = connect(
            registry,
            clock=clock,
            server={"dedup": SQLiteStore(self.path, wall=clock.seconds)},
        )
        self.addCleanup(pair.close)
        return pair


class BankTests(BankTestCase):
    """
    L{Bank} itself.
    """

    def setUp(self) -> None:
        """
        Two accounts.
        """
        super().setUp()
        registry = Registry()
        registry.register(idl.Bank, Bank(self.path, lambda: 1_800_000_000.0))
        self.pair = self.serve(registry)
        self.bank = self.pair.client.proxy(idl.IBank)
        self.assertRaises(idl.NoSuchAccount, self.result, self.bank.balance("a"))
        self.result(self.bank.open("a", "Ann", euros("10.00")))
        self.result(self.bank.open("b", "Ben", euros("0")))

    def result(self, call: Any) -> Any:
        """
        @return: what a call returns.
        """
        return self.pair.result(call)

    def transfer(self, to_id: str, amount: Any, text: str = "") -> Any:
        """
        Move money from the first account.
        """
        return self.result(self.bank.transfer("a", to_id, amount, text))

    def balance(self, id: str) -> Any:
        """
        @return: what is in an account.
        """
        return self.result(self.bank.balance(id))

    def history(self, id: str, limit: int) -> Any:
        """
        @return: what happened to an account.
        """
        return self.result(self.bank.history(id, limit))

    def test_transfer(self) -> None:
        """
        What leaves one account is in the other, to the cent, and in the books
        of both.
        """
        self.assertEqual(self.transfer("b", euros("0.10"), "tea"), euros("9.90"))
        self.assertEqual(self.balance("b"), euros("0.10"))
        (entry, _) = self.history("a", 10)
        self.assertEqual(
            entry,
            idl.Entry(
                at=datetime(2027, 1, 15, 8, 0, tzinfo=UTC),
                amount=Decimal("-0.10"),
                text="tea",
                other="b",
            ),
        )

    def test_nothing_moves(self) -> None:
        """
        A transfer that fails changes nothing.
        """
        dollars = idl.Money(amount=Decimal(1), currency=idl.Currency.USD)
        for to_id, amount, error in (
            ("b", euros("10.01"), idl.InsufficientFunds),
            ("b", dollars, idl.OtherCurrency),
            ("c", euros("1"), idl.NoSuchAccount),
        ):
            with self.assertRaises(error):
                self.transfer(to_id, amount)
        self.assertEqual(self.balance("a"), euros("10.00"))
        self.assertEqual(len(self.history("a", 10)), 1)

    def test_to_itself(self) -> None:
        """
        A transfer to the account it comes from leaves what there is.
        """
        self.assertEqual(self.transfer("a", euros("3")), euros("10.00"))

    def test_half_a_transfer(self) -> None:
        """
        A transfer that breaks in the middle has not happened.
        """
        book = Bank._book

        def break_down(
            bank: Bank, books: Any, id: str, amount: Decimal, *more: Any
        ) -> Any:
            if amount > 0:
                raise ZeroDivisionError
            return book(bank, books, id, amount, *more)

        self.patch(Bank, "_book", break_down)
        with self.assertRaises(Internal):
            self.transfer("b", euros("1"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.balance("a"), euros("10.00"))

    def test_money_is_conserved(self) -> None:
        """
        Whatever connections break meanwhile, each transfer happens once, and no
        money is made or lost.
        """
        calls = []
        for cents in range(1, 31):
            amount = euros(f"0.{cents:02}")
            calls.append(self.bank.transfer("a", "b", amount))
            self.pair.pump()
            if cents % 10 == 0:
                self.pair.network.break_all()
                self.pair.pump()
        for call in calls:
            self.result(call)
        self.assertEqual(self.balance("b"), euros("4.65"))
        self.assertEqual(self.balance("a"), euros("5.35"))
        self.assertEqual(len(self.history("b", 100)), 31)

    def test_open(self) -> None:
        """
        An id is given once, and a deposit has a limit.
        """
        with self.assertRaises(idl.AccountExists):
            self.result(self.bank.open("a", "Eve", euros("1")))
        with self.assertRaises(RPCError) as raised:
            self.result(self.bank.open("c", "Eve", euros("1000000.01")))
        self.assertIs(raised.exception.code, Code.INVALID_ARGUMENT)

    def test_history(self) -> None:
        """
        The newest entries come first, so many as are asked for.
        """
        for cents in range(1, 4):
            self.transfer("b", euros(f"0.0{cents}"), str(cents))
        self.assertEqual([it.text for it in self.history("b", 2)], ["3", "2"])
        self.result(self.bank.rename("b", "Bob"))
        self.assertEqual(len(self.history("b", 100)), 4)
        with self.assertRaises(idl.NoSuchAccount):
            self.result(self.bank.rename("c", "Bob"))


class ServedTests(BankTestCase):
    """
    The bank and its client.
    """

    def test_client(self) -> None:
        """
        As C{twistd} serves it, which loads the IDL a second time, the bank
        answers with the types of its own.
        """
        options = self.options(
            "bank/bank.idl", "services.bank.Bank", "--dedup", f"sqlite:{self.path}"
        )
        served = options.registry.services["Bank"].schema
        self.assertIs(served, idl.Bank)
        pair = self.serve(options.registry)
        bank = pair.client.proxy(idl.IBank)
        lines = self.printed(pair, partial(program.use, bank, "ann", "ben"))
        self.assertEqual(lines, ANSWERS.splitlines())

    def test_two_loads(self) -> None:
        """
        Served with the types of another load it says so, in the log.
        """
        other = load_idl(ROOT / "services" / "bank" / "bank.idl")
        registry = Registry()
        registry.register(other.Bank, Bank(self.path))
        pair = self.serve(registry)
        call = pair.client.proxy(idl.IBank).open("a", "Ann", euros("1"))
        self.assertRaises(Internal, pair.result, call)
        method = other.Bank.by_name["balance"]
        error = self.assertRaises(ValueError, method.encode_result, euros("1"))
        self.assertEqual(
            str(error),
            "result: expected Money, got the Money of an IDL that was loaded another time",
        )

    def test_processes(self) -> None:
        """
        Server and client are processes; the client's program prints what became
        of its calls, and says in a line that nobody listens.
        """
        serve = [
            {
                str(ROOT / "services" / "calculator" / "calculator.idl"): str(
                    ROOT / "services" / "bank" / "bank.idl"
                ),
                "services.calculator.Calc": "services.bank.Bank",
            }.get(word, word)
            for word in demo.SERVE
        ]
        serve += ["--dedup", f"sqlite:{self.path}"]
        self.patch(demo, "SERVE", tuple(serve))
        self.patch(demo, "show", _show)
        with demo.server() as port:
            done = self.client(f"tcp:127.0.0.1:{port}")
        self.assertEqual((done.stdout, done.stderr), (ANSWERS, ""))
        done = self.client("tcp:127.0.0.1:1")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith("tcp:127.0.0.1:1: UNAVAILABLE"))

    def client(self, endpoint: str) -> subprocess.CompletedProcess[str]:
        """
        @return: how the client's program ends.
        """
        command = [sys.executable, "-m", "services.bank.client", endpoint]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )


def _show(_: str, lines: Any, found: Any = None) -> None:
    for line in lines:
        if found is not None:
            found.put(line)
    if found is not None:
        found.put(None)
