"""
The simulation over a store that outlives its server: an SQLite file, kept over
every crash.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.proofs.simulated import FAILURES, entry_of, ledgers, work
from twisted_rpc import Registry, current_call, load_idl
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.errors import Aborted, RPCError
from twisted_rpc.testing.simulation import (
    Caller,
    Nemesis,
    ServerNode,
    Simulation,
    Violation,
)

BOOK: Final = load_idl(Path(__file__).with_name("book.idl"))

#: Calls of the book that one client makes.
WRITES: Final = 8


class Book:
    """
    Writes in the transaction in which its answer is recorded.
    """

    def write(self, entry: int) -> int:
        database: Any = current_call().transaction
        database.execute("INSERT INTO book (entry) VALUES (?)", (entry,))
        (count,) = database.execute("SELECT count(*) FROM book").fetchone()
        return int(count)

    def tear(self, entry: int) -> int:
        self.write(entry)
        raise Aborted("as it was asked to")


class Mortal:
    """
    Of a store: its process may die.

    @ivar busy: a life of it is being begun or ended.
    """

    busy = 0

    def start(self, reactor: Any) -> Any:
        return self._while("start", reactor)

    def stop(self) -> Any:
        return self._while("stop")

    def _while(self, name: str, *args: Any) -> Any:
        def over(result: Any) -> Any:
            self.busy -= 1
            return result

        self.busy += 1
        store: Any = super()
        return getattr(store, name)(*args).addBoth(over)

    def free(self) -> None:
        """
        Let others see that it has ended.
        """
        raise NotImplementedError

    def die(self) -> None:
        """
        What comes of the end of a process.  The threads of the store have nothing to
        do, because time stands still until they have done all.
        """
        self.free()
        for name in ("_workers", "_keeper"):
            workers: Any = getattr(self, name, None)
            if workers is not None:
                workers.stop()


class MortalStore(Mortal, SQLiteStore):
    """
    A store in a file.
    """

    def free(self) -> None:
        # The system does that.
        lock: Any = self._lock
        if lock is not None:
            os.close(lock._file)
            self._lock = None


async def write(caller: Caller) -> list[tuple[int, Any]]:
    """
    What a client does beside its other work.

    @return: the entries, and how each call ended.
    """
    await work(caller)
    random = caller.random
    book = caller.client.proxy(BOOK.IBook, timeout=random.choice([2, 10]))
    ended = []
    for number in range(WRITES):
        entry = entry_of(caller, number)
        method = book.tear if random.random() < 0.2 else book.write
        try:
            outcome: Any = await method(entry)
        except FAILURES as error:
            outcome = error
        ended.append((entry, outcome))
        await caller.sleep(random.expovariate(1.0))
    return ended


def check(path: Path, ended: list[tuple[int, Any]]) -> None:
    """
    @raise Violation: an entry is there twice, or not although that was said, or
        although it was said that it is not.
    """
    with sqlite3.connect(path) as database:
        there = Counter(
            entry for (entry,) in database.execute("SELECT entry FROM book")
        )
    database.close()
    # Also of clients that have died.
    for entry, count in there.items():
        if count > 1:
            raise Violation(f"I1: entry {entry} was written {count} times")
    for entry, outcome in ended:
        count = there[entry]
        if isinstance(outcome, int) and count != 1:
            raise Violation(f"I2: entry {entry} was acknowledged and is not there")
        if isinstance(outcome, Aborted) and count:
            raise Violation(f"D13: entry {entry} is there, and its call failed")
        if isinstance(outcome, RPCError) and outcome.executed == "no" and count:
            raise Violation(f"I6: entry {entry} is there, and was said not to be")


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """
    @return: a folder in memory, where the system has one: what is simulated is
        the end of processes, not of disks.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


def simulate_durably(seed: int, folder: Path, **options: Any) -> Simulation:
    """
    One seed: up to three servers, each on its file or all on one.
    """
    servers = 1 + seed % 3
    shared = servers > 1 and seed % 2 == 0
    paths = {
        f"server-{number}": folder / f"{0 if shared else number}.db"
        for number in range(servers)
    }
    for path in set(paths.values()):
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE book (entry INTEGER)")
        database.commit()
        database.close()

    def registry(node: ServerNode) -> Registry:
        made = ledgers(node)
        made.register(BOOK.IBook, Book())
        return made

    def store(node: ServerNode) -> MortalStore:
        return MortalStore(paths[node.name], node=node.name, wall=node.wall)

    simulation = Simulation(
        registry,
        seed=seed,
        servers=servers,
        clients=3,
        store=store,
        principals=2,
        nemesis=Nemesis(every=0.5 + seed % 4, crashes=3, deaths=1),
        **options,
    )
    ended = [each for one in simulation.run(write, seconds=60.0) for each in one]
    if len(set(paths.values())) == 1:
        check(paths["server-0"], ended)
    return simulation
