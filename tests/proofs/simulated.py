"""
The simulation that the project proves itself with: every class of method, many
clients, and everything that may go wrong.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred

from tests.proofs.strangers import call_plainly, steal
from twisted_rpc import Registry, load_idl
from twisted_rpc.errors import Aborted, RPCError
from twisted_rpc.testing.simulation import Caller, Nemesis, ServerNode, Simulation

IDL: Final = load_idl(Path(__file__).with_name("ledger.idl"))

#: How calls may fail.
FAILURES: Final = (RPCError, CancelledError)

#: Calls that one client makes.
CALLS: Final = 25

#: Calls that are made together, so that they arrive together.
TOGETHER: Final = 9


class Ledger:
    """
    The implementation on one server, in one life.
    """

    def __init__(self, node: ServerNode, entries: Counter[int]) -> None:
        self._node = node
        self._entries = entries

    def book(self, entry: int) -> int:
        self._entries[entry] += 1
        return sum(self._entries.values())

    def slowly(self, entry: int, milliseconds: int) -> Deferred[int]:
        waited: Any = self._node.sleep(milliseconds / 1000)
        return waited.addCallback(lambda _: self.book(entry))  # type: ignore[no-any-return]

    def put(self, entry: int) -> int:
        return self.book(entry)

    def count(self, entry: int) -> int:
        return self._entries[entry]

    def refuse(self, entry: int) -> int:
        self.book(entry)
        raise Aborted("as it was asked to")


def entry_of(caller: Caller, number: int) -> int:
    """
    @return: a number that no other process has used.
    """
    return (caller.number * 1000 + caller.life) * 1_000_000 + number


def together(caller: Caller, number: int) -> list[Deferred[Any]]:
    """
    Calls of one turn: a server takes them in its straight way.
    """
    ledger = caller.client.proxy(IDL.ILedger, timeout=5)
    first = 100 + number * TOGETHER
    entries = [entry_of(caller, first + n) for n in range(TOGETHER)]
    return [
        ledger.book(entry).addErrback(lambda failure: failure.trap(*FAILURES))
        for entry in entries
    ]


async def work_together(caller: Caller) -> None:
    """
    What one client does whose calls come several at a time, too.
    """
    waiting = []
    for number in range(6):
        waiting += together(caller, number)
        await caller.sleep(caller.random.expovariate(1))
    await work(caller)
    for call in waiting:
        await call


async def work(caller: Caller) -> None:
    """
    What one client does.
    """
    random = caller.random
    ledger = caller.client.proxy(IDL.ILedger, timeout=random.choice([1, 5, 30]))
    waiting = []
    for number in range(CALLS):
        entry = entry_of(caller, number)
        kind = random.random()
        if kind < 0.45:
            call = ledger.book(entry)
        elif kind < 0.65:
            call = ledger.slowly(entry, int(random.expovariate(1 / 300)))
        elif kind < 0.8:
            call = ledger.put(entry)
        elif kind < 0.9:
            call = ledger.count(entry)
        else:
            call = ledger.refuse(entry)
        if random.random() < 0.05:
            caller.clock.callLater(random.random(), call.cancel)
        waiting.append(call.addErrback(lambda failure: failure.trap(*FAILURES)))
        if random.random() < 0.1:
            await call_plainly(caller, 500_000 + entry)
        if random.random() < 0.1:
            await steal(caller)
        if random.random() < 0.7:
            await caller.sleep(random.expovariate(0.6))
    for call in waiting:
        await call


def simulate(seed: int, **options: Any) -> Simulation:
    """
    One seed; in one of three, calls come several at a time, too.

    @return: the simulation, when it is over.
    """
    entries: dict[str, Counter[int]] = {}

    def registry(node: ServerNode) -> Registry:
        made = Registry()
        implementation = Ledger(node, entries.setdefault(node.name, Counter()))
        made.register(IDL.ILedger, implementation)
        return made

    simulation = Simulation(
        registry,
        seed=seed,
        servers=1 + seed % 3,
        clients=4,
        principals=2,
        nemesis=Nemesis(every=0.5 + seed % 4, deaths=1),
        **options,
    )
    simulation.run(work if seed % 3 else work_together, seconds=35.0)
    return simulation
