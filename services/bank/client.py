# -*- test-case-name: tests.services.test_bank -*-
"""
Opens two accounts, moves money between them and prints what became of it::

    python -m services.bank.client [ENDPOINT]
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any
from uuid import uuid4

from twisted.internet.task import react

from services.bank.bank import idl
from twisted_rpc import Client, Code, RPCError


async def use(bank: Any, ann: str, ben: str) -> None:
    """
    Call a bank.

    @param ann: the id of an account that there is not.
    @param ben: the id of another.
    """
    euros = idl.Currency.EUR
    await bank.open(ann, "Ann", idl.Money(amount=Decimal("100.00"), currency=euros))
    await bank.open(ben, "Ben", idl.Money(amount=Decimal("0.50"), currency=euros))
    left = await bank.transfer(ann, ben, idl.Money(amount=Decimal("30.10")), "rent")
    print(f"after the transfer, Ann has {left.amount} {left.currency.value}")
    try:
        await bank.transfer(ben, ann, idl.Money(amount=Decimal(1000)))
    except idl.InsufficientFunds as error:
        print(f"Ben has {error.balance.amount}, not {error.requested.amount}")
    try:
        await bank.balance("nobody")
    except idl.NoSuchAccount as error:
        print(f"{error.code.value}: there is no account {error.id}")
    for entry in await bank.history(ben, limit=5):
        print(f"Ben's account: {entry.amount:+} {entry.text}")


async def main(reactor: Any, endpoint: str = "tcp:127.0.0.1:5000") -> None:
    """
    Use the bank at C{endpoint}, with accounts of our own.
    """
    ours = uuid4().hex[:8]
    async with Client(endpoint, reactor=reactor) as client:
        try:
            await use(client.proxy(idl.IBank), f"ann-{ours}", f"ben-{ours}")
        except RPCError as error:
            if error.code is not Code.UNAVAILABLE:
                raise
            sys.exit(f"{endpoint}: {error}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
