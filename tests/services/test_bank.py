"""
The bank does what its IDL says, and its client shows it.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from services.bank import Bank
from services.bank import client as program
from services.bank.bank import idl
from services.calculator import demo
from tests.services.serving import ROOT, ServiceTestCase
from twisted_rpc import Code, Registry, RPCError
from twisted_rpc.errors import Internal
from twisted_rpc.idl import load_idl
from twisted_rpc.testing import connect

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


class BankTests(SynchronousTestCase):
    """
    L{Bank} itself.
    """

    def setUp(self) -> None:
        """
        Two accounts.
        """
        self.bank = Bank(lambda: 1_800_000_000.0)
        self.bank.open("a", "Ann", euros("10.00"))
        self.bank.open("b", "Ben", euros("0"))

    def test_transfer(self) -> None:
        """
        What leaves one account is in the other, to the cent, and in the books
        of both.
        """
        left = self.bank.transfer("a", "b", euros("0.10"), "tea")
        self.assertEqual(left, euros("9.90"))
        self.assertEqual(self.bank.balance("b"), euros("0.10"))
        (entry, _) = self.bank.history("a", 10)
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
                self.bank.transfer("a", to_id, amount, "")
        self.assertEqual(self.bank.balance("a"), euros("10.00"))
        self.assertEqual(len(self.bank.history("a", 10)), 1)

    def test_open(self) -> None:
        """
        An id is given once, and a deposit has a limit.
        """
        with self.assertRaises(idl.AccountExists):
            self.bank.open("a", "Eve", euros("1"))
        with self.assertRaises(RPCError) as raised:
            self.bank.open("c", "Eve", euros("1000000.01"))
        self.assertIs(raised.exception.code, Code.INVALID_ARGUMENT)

    def test_history(self) -> None:
        """
        The newest entries come first, so many as are asked for.
        """
        for cents in range(1, 4):
            self.bank.transfer("a", "b", euros(f"0.0{cents}"), str(cents))
        self.assertEqual([it.text for it in self.bank.history("b", 2)], ["3", "2"])
        self.bank.rename("b", "Bob")
        self.assertEqual(len(self.bank.history("b", 100)), 4)


class ServedTests(ServiceTestCase):
    """
    The bank and its client.
    """

    def test_client(self) -> None:
        """
        As C{twistd} serves it, which loads the IDL a second time, the bank
        answers with the types of its own.
        """
        options = self.options("bank/bank.idl", "services.bank.Bank")
        served = options.registry.services["Bank"].schema
        self.assertIs(served, idl.Bank)
        pair = self.connect(options.registry)
        bank = pair.client.proxy(idl.IBank)
        lines = self.printed(pair, partial(program.use, bank, "ann", "ben"))
        self.assertEqual(lines, ANSWERS.splitlines())

    def test_two_loads(self) -> None:
        """
        Served with the types of another load it says so, in the log.
        """
        other = load_idl(ROOT / "services" / "bank" / "bank.idl")
        registry = Registry()
        registry.register(other.Bank, Bank())
        pair = connect(registry)
        self.addCleanup(pair.close)
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
