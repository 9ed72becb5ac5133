# -*- test-case-name: tests.services.test_bank -*-
"""
What the bank does.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted_rpc import Code, RPCError, current_call, load_idl

idl = load_idl(Path(__file__).with_name("bank.idl"), module="services.bank.idl")

# Amounts are texts: SQLite has no decimals, and a float cannot hold 0.10.
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS accounts (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        currency TEXT NOT NULL,
        amount TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS entries (
        account TEXT NOT NULL REFERENCES accounts (id),
        at REAL NOT NULL,
        amount TEXT NOT NULL,
        text TEXT NOT NULL,
        other TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS entries_account ON entries (account)",
)


class Bank:
    """
    Implements C{Bank} of C{bank.idl}, in the file in which its calls are recorded:
    what a call changes and that it was made are committed together.
    """

    def __init__(
        self, path: Path | None = None, seconds: Callable[[], float] = time.time
    ) -> None:
        """
        @param path: the file of the server's store; C{None}: what C{BANK_DB} names
            in the environment, or C{bank.db}.
        @param seconds: Unix time.
        """
        self._path = (path or Path(os.environ.get("BANK_DB", "bank.db"))).absolute()
        self._seconds = seconds
        self._reader: sqlite3.Connection | None = None

    # -- what changes something is in the transaction of its call ---------------------

    def open(self, id: str, owner: str, deposit: Any) -> Any:
        """
        Open an account.
        """
        books = self._books()
        if books.execute("SELECT 1 FROM accounts WHERE id = ?", (id,)).fetchone():
            raise idl.AccountExists(id=id, message=f"there is an account {id} already")
        if deposit.amount > idl.MAX_DEPOSIT:
            raise RPCError(
                Code.INVALID_ARGUMENT, f"more than {idl.MAX_DEPOSIT} at once"
            )
        books.execute(
            "INSERT INTO accounts VALUES (?, ?, ?, '0')",
            (id, owner, deposit.currency.value),
        )
        balance = self._book(books, id, deposit.amount, "opened", None)
        return idl.Account(id=id, owner=owner, balance=balance)

    def transfer(self, from_id: str, to_id: str, amount: Any, text: str) -> Any:
        """
        Move money.
        """
        books = self._books()
        source = _balance(books, from_id)
        for balance in (source, _balance(books, to_id)):
            if balance.currency is not amount.currency:
                raise idl.OtherCurrency(
                    expected=balance.currency,
                    given=amount.currency,
                    message=f"the account is kept in {balance.currency.value}",
                )
        if amount.amount > source.amount:
            raise idl.InsufficientFunds(
                balance=source,
                requested=amount,
                message=f"there is only {source.amount} in {from_id}",
            )
        self._book(books, from_id, -amount.amount, text, to_id)
        self._book(books, to_id, amount.amount, text, from_id)
        return _balance(books, from_id)

    def rename(self, id: str, owner: str) -> None:
        """
        Give an account another owner.
        """
        books = self._books()
        if not books.execute(
            "UPDATE accounts SET owner = ? WHERE id = ?", (owner, id)
        ).rowcount:
            raise _nobody(id)

    def _books(self) -> Any:
        """
        @return: the transaction of this call.
        """
        transaction = current_call().transaction
        for table in _TABLES:
            transaction.execute(table)
        return transaction

    def _book(
        self, books: Any, id: str, amount: Decimal, text: str, other: str | None
    ) -> Any:
        """
        @return: what is in the account then.
        """
        before = _balance(books, id)
        after = idl.Money(amount=before.amount + amount, currency=before.currency)
        books.execute(
            "UPDATE accounts SET amount = ? WHERE id = ?", (str(after.amount), id)
        )
        books.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
            (id, self._seconds(), str(amount), text, other),
        )
        return after

    # -- what only reads has a connection of its own ------------------------------------

    def balance(self, id: str) -> Any:
        """
        What is in an account.
        """
        return _balance(self._reading(id), id)

    def history(self, id: str, limit: int) -> list[Any]:
        """
        What happened to an account, the newest first.
        """
        books = self._reading(id)
        _balance(books, id)
        rows = books.execute(
            "SELECT at, amount, text, other FROM entries WHERE account = ?"
            " ORDER BY rowid DESC LIMIT ?",
            (id, limit),
        )
        return [
            idl.Entry(
                at=datetime.fromtimestamp(at, UTC),
                amount=Decimal(amount),
                text=text,
                other=other,
            )
            for at, amount, text, other in rows
        ]

    def _reading(self, id: str) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
        tables = "SELECT 1 FROM sqlite_master WHERE name = 'accounts'"
        if self._reader.execute(tables).fetchone() is None:
            raise _nobody(id)
        return self._reader


def _balance(books: Any, id: str) -> Any:
    row = books.execute(
        "SELECT amount, currency FROM accounts WHERE id = ?", (id,)
    ).fetchone()
    if row is None:
        raise _nobody(id)
    return idl.Money(amount=Decimal(row[0]), currency=idl.Currency(row[1]))


def _nobody(id: str) -> Exception:
    error: Exception = idl.NoSuchAccount(id=id, message=f"there is no account {id}")
    return error
