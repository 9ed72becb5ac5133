"""
The simulation that the project proves itself with: every class of method, many
clients, and everything that may go wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from tests.proofs.strangers import call_plainly, steal
from twisted_rpc import Registry, current_call, load_idl
from twisted_rpc.errors import RPCError
from twisted_rpc.server.registry import ImplementedMethod, RegisteredService
from twisted_rpc.testing.simulation import Caller, Nemesis, ServerNode, Simulation

IDL: Final = load_idl(Path(__file__).with_name("ledger.idl"))

#: How calls may fail.
FAILURES: Final = (RPCError, CancelledError)

#: Calls that one client makes.
CALLS: Final = 25

#: Calls that are made together, so that they arrive together.
TOGETHER: Final = 9


class Runs:
    """
    What an implementation says of its runs, the same on one server in all its
    lives.
    """

    def __init__(self, node: ServerNode) -> None:
        self.node = node
        self._numbers = node.disk.setdefault("runs", count(1))

    def ran(self, method: str, entry: int = 0) -> dict[str, Any]:
        """
        @param method: as the implementation knows it, whatever the call says.

        @return: the members of a receipt.
        """
        call = current_call()
        if f"{call.service}.{call.name}" != method:
            raise AssertionError(f"{method} ran as {call.service}.{call.name}")
        return {"method": method, "entry": entry, "run": next(self._numbers)}

    def receipt(self, method: str, entry: int = 0) -> Any:
        """
        The result of a run.
        """
        return IDL.Receipt(**self.ran(method, entry))

    def later(self, method: str, entry: int, milliseconds: int) -> Deferred[Any]:
        """
        The same, after some time.
        """
        receipt = self.receipt(method, entry)
        waited: Any = self.node.sleep(milliseconds / 1000)
        return waited.addCallback(lambda _: receipt)  # type: ignore[no-any-return]


class Ledger:
    """
    The implementation on one server, in one life.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def book(self, entry: int) -> Any:
        return self._runs.receipt("Ledger.book", entry)

    def slowly(self, entry: int, milliseconds: int) -> Deferred[Any]:
        return self._runs.later("Ledger.slowly", entry, milliseconds)

    async def awaited(self, entry: int, milliseconds: int) -> Any:
        return await self._runs.later("Ledger.awaited", entry, milliseconds)

    def soon(self, entry: int) -> Deferred[Any]:
        return succeed(self._runs.receipt("Ledger.soon", entry))

    def enter(self, entry: int) -> Any:
        return self._runs.receipt("Ledger.enter", entry)

    def block(self, entry: int) -> Any:
        return self._runs.receipt("Ledger.block", entry)

    def narrow(self, entry: int, milliseconds: int) -> Deferred[Any]:
        return self._runs.later("Ledger.narrow", entry, milliseconds)

    def seldom(self, entry: int) -> Any:
        return self._runs.receipt("Ledger.seldom", entry)

    def keep(self, item: Any) -> Any:
        return self._runs.receipt("Ledger.keep", item.entry)

    def tick(self) -> Any:
        return self._runs.receipt("Ledger.tick")

    def put(self, entry: int) -> Any:
        return self._runs.receipt("Ledger.put", entry)

    def replace(self, item: Any) -> Any:
        return self._runs.receipt("Ledger.replace", item.entry)

    def count(self, entry: int) -> Any:
        return self._runs.receipt("Ledger.count", entry)

    def peer(self, entry: int, milliseconds: int) -> Deferred[Any]:
        return self._runs.later("Ledger.peer", entry, milliseconds)

    def note(self, entry: int) -> None:
        self._runs.receipt("Ledger.note", entry)

    def refuse(self, entry: int) -> Any:
        raise IDL.Refused(**self._runs.ran("Ledger.refuse", entry))


class Tally:
    """
    The other.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def book(self, entry: int) -> Any:
        return self._runs.receipt("Tally.book", entry)

    def enter(self, entry: int) -> Any:
        return self._runs.receipt("Tally.enter", entry)

    def tick(self) -> Any:
        return self._runs.receipt("Tally.tick")

    def put(self, entry: int) -> Any:
        return self._runs.receipt("Tally.put", entry)

    def count(self, entry: int) -> Any:
        return self._runs.receipt("Tally.count", entry)

    def refuse(self, entry: int) -> Any:
        raise IDL.Refused(**self._runs.ran("Tally.refuse", entry))


@cache
def _verified() -> Registry:
    registry = Registry()
    nowhere: Any = None
    registry.register(IDL.ILedger, Ledger(nowhere))
    registry.register(IDL.ITally, Tally(nowhere))
    return registry


def ledgers(node: ServerNode) -> Registry:
    """
    Both services, on one server in one life.  They are verified once: to do so in
    each life would take a quarter of the time.
    """
    registry, runs = Registry(), Runs(node)
    for name, service in _verified().services.items():
        implementation = type(service.implementation)(runs)
        methods = {
            each: ImplementedMethod(method.schema, getattr(implementation, each))
            for each, method in service.methods.items()
        }
        registry.services[name] = RegisteredService(
            service.schema, implementation, methods, service.unchecked
        )
    return registry


class Kind(NamedTuple):
    """
    A method, as clients call it.

    @ivar name: C{"Ledger.book"}.
    @ivar weight: how often, among the others.
    @ivar args: what it is called with, of chance and an entry.
    """

    name: str
    weight: float
    args: Callable[[Random, int], tuple[Any, ...]]


def _entry(_: Random, entry: int) -> tuple[Any, ...]:
    return (entry,)


def _slow(random: Random, entry: int) -> tuple[Any, ...]:
    return entry, int(random.expovariate(1 / 300))


def _item(random: Random, entry: int) -> tuple[Any, ...]:
    return (IDL.Item(entry=entry, note="x" * random.randrange(3)),)


def _nothing(_: Random, __: int) -> tuple[Any, ...]:
    return ()


KINDS: Final = (
    Kind("Ledger.book", 18, _entry),
    Kind("Ledger.slowly", 8, _slow),
    Kind("Ledger.awaited", 5, _slow),
    Kind("Ledger.soon", 4, _entry),
    Kind("Ledger.enter", 5, _entry),
    Kind("Ledger.block", 2, _entry),
    Kind("Ledger.narrow", 2, _slow),
    Kind("Ledger.seldom", 2, _entry),
    Kind("Ledger.keep", 6, _item),
    Kind("Ledger.tick", 4, _nothing),
    Kind("Ledger.put", 6, _entry),
    Kind("Ledger.replace", 3, _item),
    Kind("Ledger.count", 9, _entry),
    Kind("Ledger.peer", 2, _slow),
    Kind("Ledger.note", 3, _entry),
    Kind("Ledger.refuse", 5, _entry),
    Kind("Tally.book", 6, _entry),
    Kind("Tally.enter", 2, _entry),
    Kind("Tally.tick", 2, _nothing),
    Kind("Tally.put", 3, _entry),
    Kind("Tally.count", 5, _entry),
    Kind("Tally.refuse", 2, _entry),
)


def kinds(simulation: Simulation) -> list[Kind]:
    """
    @return: those that may be called.  The order in which two threads end is that
        of chance, and some stores have one of their own.
    """
    threads = simulation.store is None
    return [kind for kind in KINDS if threads or kind.name != "Ledger.block"]


class Calls:
    """
    Calls of a client, of methods as chance takes them.
    """

    def __init__(self, caller: Caller, timeout: float) -> None:
        self._caller = caller
        self._random = caller.random
        proxies = {
            "Ledger": caller.client.proxy(IDL.ILedger, timeout=timeout),
            "Tally": caller.client.proxy(IDL.ITally, timeout=timeout),
        }
        self._kinds = kinds(caller.simulation)
        self._weights = [kind.weight for kind in self._kinds]
        self._methods = {
            kind.name: getattr(proxies[service], method)
            for kind in self._kinds
            for service, method in [kind.name.split(".")]
        }

    def make(self, number: int) -> Deferred[Any]:
        """
        @param number: no other call of this process has it.

        @return: fires with C{None} when it has ended as calls may end.
        """
        random = self._random
        (kind,) = random.choices(self._kinds, self._weights)
        args = kind.args(random, entry_of(self._caller, number))
        call: Deferred[Any] = self._methods[kind.name](*args)
        if random.random() < 0.05:
            self._caller.clock.callLater(random.random(), call.cancel)
        return call.addBoth(self._judge, kind.name, args)

    def _judge(self, outcome: Any, name: str, args: tuple[Any, ...]) -> None:
        """
        What ran is the method that was called, with the entry that it was given.
        """
        if isinstance(outcome, Failure):
            outcome.trap(*FAILURES)
            outcome = outcome.value
        if isinstance(outcome, (IDL.Receipt, IDL.Refused)):
            entry = getattr(args[0], "entry", args[0]) if args else 0
            if (outcome.method, outcome.entry) != (name, entry):
                self._caller.simulation.oracle.wrong(
                    "I2", f"{name} of {args!r} was answered with {outcome!r}"
                )


def entry_of(caller: Caller, number: int) -> int:
    """
    @return: a number that no other process has used.
    """
    return (caller.number * 1000 + caller.life) * 1_000_000 + number


def cut(caller: Caller) -> None:
    """
    Cut the connections of a client.
    """
    network = caller.simulation.network
    for end in list(network.transports):
        if end.host is caller.host and end.calling:
            network.trace.note(f"cut {end.name}")
            end.sever(caller.random)


async def work_together(caller: Caller) -> None:
    """
    What one client does whose calls come several at a time, too: a server takes
    them in its straight way, as far as it can.
    """
    calls = Calls(caller, 5)
    waiting = []
    for number in range(6):
        first = 100 + number * TOGETHER
        waiting += [calls.make(first + n) for n in range(TOGETHER)]
        if caller.random.random() < 0.5:
            # Often when they have run and are not answered yet.
            await caller.sleep(caller.random.uniform(0.001, 0.004))
            cut(caller)
        await caller.sleep(caller.random.expovariate(1))
    await work(caller)
    for call in waiting:
        await call


async def work(caller: Caller) -> None:
    """
    What one client does.
    """
    random = caller.random
    calls = Calls(caller, random.choice([1, 5, 30]))
    waiting = []
    for number in range(CALLS):
        waiting.append(calls.make(number))
        if random.random() < 0.1:
            await call_plainly(caller, 500_000 + entry_of(caller, number))
        if random.random() < 0.1:
            await steal(caller)
        if random.random() < 0.7:
            await caller.sleep(random.expovariate(0.6))
    for call in waiting:
        await call


def simulate(seed: int, **options: Any) -> Simulation:
    """
    One seed; in one of two, calls come several at a time, too.

    @return: the simulation, when it is over.
    """
    simulation = Simulation(
        ledgers,
        seed=seed,
        servers=1 + seed % 3,
        clients=4,
        principals=2,
        nemesis=Nemesis(every=0.5 + seed % 4, deaths=1),
        **options,
    )
    simulation.run(work if seed // 3 % 2 else work_together, seconds=35.0)
    return simulation
