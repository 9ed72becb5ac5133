# -*- test-case-name: tests.services.test_bank -*-
"""
What the bank does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted_rpc import Code, RPCError, load_idl

idl = load_idl(Path(__file__).with_name("bank.idl"), module="services.bank.idl")


@dataclass
class _Account:
    """@ivar history: the oldest first."""

    owner: str
    currency: Any
    amount: Decimal
    history: list[Any] = field(default_factory=list)


class Bank:
    """
    Implements C{Bank} of C{bank.idl}, in memory.
    """

    def __init__(self, seconds: Callable[[], float] = time.time) -> None:
        """
        @param seconds: Unix time.
        """
        self._seconds = seconds
        self._accounts: dict[str, _Account] = {}

    def open(self, id: str, owner: str, deposit: Any) -> Any:
        """
        Open an account.
        """
        if id in self._accounts:
            raise idl.AccountExists(id=id, message=f"there is an account {id} already")
        if deposit.amount > idl.MAX_DEPOSIT:
            raise RPCError(
                Code.INVALID_ARGUMENT, f"more than {idl.MAX_DEPOSIT} at once"
            )
        account = _Account(owner, deposit.currency, Decimal(0))
        self._accounts[id] = account
        self._book(account, deposit.amount, "opened", None)
        return idl.Account(id=id, owner=owner, balance=_money(account))

    def balance(self, id: str) -> Any:
        """
        What is in an account.
        """
        return _money(self._account(id))

    def transfer(self, from_id: str, to_id: str, amount: Any, text: str) -> Any:
        """
        Move money.  Everything is checked before anything is changed.
        """
        source, target = self._account(from_id), self._account(to_id)
        for account in (source, target):
            if account.currency is not amount.currency:
                raise idl.OtherCurrency(
                    expected=account.currency,
                    given=amount.currency,
                    message=f"the account is kept in {account.currency.value}",
                )
        if amount.amount > source.amount:
            raise idl.InsufficientFunds(
                balance=_money(source),
                requested=amount,
                message=f"there is only {source.amount} in {from_id}",
            )
        self._book(source, -amount.amount, text, to_id)
        self._book(target, amount.amount, text, from_id)
        return _money(source)

    def history(self, id: str, limit: int) -> list[Any]:
        """
        What happened to an account, the newest first.
        """
        return self._account(id).history[: -limit - 1 : -1]

    def rename(self, id: str, owner: str) -> None:
        """
        Give an account another owner.
        """
        self._account(id).owner = owner

    def _account(self, id: str) -> _Account:
        account = self._accounts.get(id)
        if account is None:
            raise idl.NoSuchAccount(id=id, message=f"there is no account {id}")
        return account

    def _book(
        self, account: _Account, amount: Decimal, text: str, other: str | None
    ) -> None:
        account.amount += amount
        at = datetime.fromtimestamp(self._seconds(), UTC)
        account.history.append(idl.Entry(at=at, amount=amount, text=text, other=other))


def _money(account: _Account) -> Any:
    return idl.Money(amount=account.amount, currency=account.currency)
