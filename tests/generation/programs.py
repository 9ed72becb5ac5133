"""
What users write with a generated module, right and wrong.
"""

from __future__ import annotations

from typing import Final

#: An IDL in which every name gets in the way of another.
CLASHES: Final = '''\
/** A "name" for everything: \\\\ """ \0 \u2028 \x1b */
const string Final = "x";
const map<Colour, list<date>> DAYS = {name: ["2026-11-22"]};
enum Colour { name, value, date, None = "none" }
struct Struct { date date; list<int> list; Struct? Struct; decimal? Decimal = 1.50; set<string> set = ["a"]; }
struct field { Colour Colour = name; map<int, Struct> dict = {}; any str = {"a": [null]}; bytes int = "YQ=="; }
struct Deep extends field { timestamp at = "2026-11-22T10:00:00Z"; duration float = 90s; uuid? UUID; string text = "\\u202e\\""; }
union Union { Struct, Deep }
exception Exception { string code; Union? retry_after; int message = 3; Colour args = date; }
@deprecated("use Protocol", since="2") exception str extends Exception { }
service Result { list<string> list(string int, int list, Struct? self); Colour class(Union Union, float float = 1.5) throws str; }
service Protocol extends Result { @deprecated oneway void Deferred(any Any); @readonly stream<date> date(stream<bytes> bytes) }
service A { int a() } service B { int b() } service AB extends A, B { } service BA extends B, A { } service ABBA extends AB, BA { }
service Late extends A, AB { int late() }
'''

#: A service whose types come by two ways from the same file.
DIAMOND: Final = {
    "base.idl": "struct Thing { int n; } enum Kind { A } service Base { Thing get(Kind kind = A) }",
    "left.idl": 'import "base.idl"; struct Left extends base.Thing { base.Kind left = A; base.Kind base; } service Lefts extends base.Base { base.Thing base() }',
    "right.idl": 'import "base.idl" as class; struct Right { class.Thing thing; } const class.Kind KIND = A',
    "top.idl": 'import "left.idl"; import "right.idl"; import "base.idl"; union Any { left.Left, right.Right } service Top extends left.Lefts { Any top(base.Thing thing, base.Kind kind = A) }',
}

RIGHT: Final = """\
from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import bank_idl
import clashes_idl
import top_idl
from bank_idl import Bank, BankServer, Currency, Iban, IBank, Money, NoSuchAccount, Target, common
from twisted.internet.defer import Deferred, succeed
from twisted_rpc import Client, Registry, implements, load_idl, with_options


@implements(IBank)
class Accounts:
    def audit_log(self, limit: int) -> list[common.AuditEntry]:
        return []

    async def transfer(self, from_id: str, to: Target, amount: Money, pin: str | None) -> Money:
        if isinstance(to, Iban):
            raise NoSuchAccount(id=to.iban)
        return amount

    def balance(self, id: str) -> Deferred[Money]:
        return succeed(Money(amount=Decimal(1), currency=Currency.EUR))

    def close(self, id: str, after: timedelta, signature: bytes = b"", version: int = 0) -> int:
        return version

    def history(self, id: str, limit: float) -> list[Money]:
        return [Money(amount=Decimal(limit))]

    def audit(self, event: str, fields: dict[str, Any]) -> None:
        pass

    async def statement(self, id: str, since: datetime | None) -> AsyncIterator[Money]:
        yield Money(amount=Decimal(1))

    async def upload(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        return sum([len(chunk) async for chunk in chunks])

    def find(self, id: int, depth: int, weight: float, deep: bool) -> bank_idl.Node | None:
        return bank_idl.Node(children=[bank_idl.Node()])

    def legacy(self, xs: Sequence[object]) -> list[Any]:
        return [*xs]


class Sums(bank_idl.CalculatorServer):
    def add(self, a: int, b: int) -> int:
        return a + b

    async def divide(self, a: int, b: int) -> int:
        return a // b

    def greet(self, name: str) -> Deferred[str]:
        return succeed(name)


server: BankServer = Accounts()
registry = Registry()
registry.register(bank_idl.Calculator, Sums())
registry.register(Bank, Accounts())
registry.register(IBank, Accounts())
registry.register(load_idl("bank.idl").IBank, Accounts())


async def use(client: Client) -> Decimal:
    bank = client.proxy(Bank, timeout=3.0)
    money = await bank.balance("1")
    await with_options(bank, timeout=1).transfer("1", Iban(iban="DE"), amount=money)
    try:
        await bank.close("1", timedelta(seconds=3))
    except NoSuchAccount as error:
        print(error.id.upper(), error.message, error.code.name)
    async for each in bank.statement("1"):
        print(each.amount + 1)
    print(bank_idl.MAX_BATCH + 1, [log.who for log in await bank.audit_log()], Bank.digest)
    return money.amount


async def clash(client: Client) -> None:
    result = client.proxy(clashes_idl.Result)
    names: list[str] = await result.list("a", 1, None)
    colour = await result.class_(clashes_idl.Deep(Colour=clashes_idl.Colour.value_))
    clashes_idl.Exception(code_=names[0], args_=colour)
    extended = client.proxy(clashes_idl.ABBA)
    print(await extended.a() + await extended.b())
    late: clashes_idl.ABClient = client.proxy(clashes_idl.Late)
    print(await late.a())
    print(clashes_idl.DAYS[colour][0].year, clashes_idl.field().dict[1].date.day)


async def diamond(client: Client, left: top_idl.left.Left) -> int:
    top = client.proxy(top_idl.Top)
    base: top_idl.left.base.Thing = await top.top(left, left.base)
    thing: top_idl.base.Thing = top_idl.right.Right(thing=await top.base()).thing
    return base.n + thing.n + (await top.get(kind=top_idl.right.KIND)).n
""".replace(
    "base: top_idl.left.base.Thing = await top.top(left, left.base)",
    "base: top_idl.left.base.Thing = left if isinstance(await top.top(left, left.base), top_idl.right.Right) else await top.get()",
)

#: Each line that ends so has a mistake in it; the one of the word alone, if any,
#: is not seen by the other checker.
MARK: Final = "# wrong"

WRONG: Final = """\
from __future__ import annotations

from decimal import Decimal

import clashes_idl
from bank_idl import MAX_BATCH, Bank, Calculator, Currency, ICalculator, Money, NoSuchAccount
from twisted_rpc import Client, Registry
from zope.interface import implementer


class Wrong:
    def add(self, a: int, b: int) -> str:
        return ""

    def divide(self, a: int, b: int) -> int:
        return a

    def greet(self, name: str) -> str:
        return name


class Missing:
    def add(self, a: int, b: int) -> int:
        return a


@implementer(ICalculator)  # wrong: pyright
class Zope:
    def add(self, a: int, b: str) -> int:  # wrong: mypy
        return a

    def divide(self, a: int, b: int) -> int:
        return a

    def greet(self, name: str) -> str:
        return name


registry = Registry()
registry.register(Calculator, Wrong())  # wrong
registry.register(Calculator, Missing())  # wrong
Money()  # wrong
Money(amount=1.5)  # wrong
Money(Decimal(1))  # wrong
Money(amount=Decimal(1), currency="USD")  # wrong
NoSuchAccount()  # wrong
NoSuchAccount(id=1)  # wrong
print(MAX_BATCH)
MAX_BATCH = 3  # wrong
Currency.GBP  # wrong


async def use(client: Client) -> None:
    bank = client.proxy(Bank)
    await bank.balance(1)  # wrong
    await bank.balanse("1")  # wrong
    await bank.close("1", after=3)  # wrong
    money: str = await bank.balance("1")  # wrong
    print(money, bank.statement("1").amount)  # wrong
    client.proxy(Calculator).add("a", 2)  # wrong
    client.proxy(clashes_idl.Protocol).Deferred(1)  # wrong
"""
