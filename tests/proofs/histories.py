"""
Histories of concurrent clients, under kills and resets, over every store that
servers are killed with: row 13.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest

from tests.delivery.driven import QuickPostgresStore
from tests.proofs.durable import Mortal, MortalStore, quick_folder
from tests.proofs.linearizable import Operation, count, linearizable
from tests.proofs.proof import Figure, Progress, Proof
from tests.servers import postgres
from twisted_rpc import Registry, current_call, load_idl
from twisted_rpc.errors import RPCError
from twisted_rpc.testing.simulation import (
    Caller,
    Nemesis,
    ServerNode,
    Simulation,
    Violation,
)

IDL: Final = load_idl(Path(__file__).with_name("counters.idl"))

CLIENTS: Final = 8
OPERATIONS: Final = 200
KEYS: Final = tuple("abcdefgh")

#: Those that are in the database, where there is one.
ROWS: Final = tuple("efgh")

STORES: Final = ("memory", "sqlite", "postgresql")

#: Connections that are reset, servers that are killed, and a slow network.
_NEMESIS: Final = Nemesis(
    every=0.7, cuts=6, crashes=2, delays=1, partitions=1, drains=1
)

_TABLE: Final = "CREATE TABLE numbers (key TEXT PRIMARY KEY, value BIGINT NOT NULL)"


class Counters:
    """
    Numbers that outlive the servers.
    """

    def __init__(self, node: ServerNode, numbers: Counter[str]) -> None:
        self._node = node
        self._numbers = numbers

    async def add(self, key: str, by: int) -> int:
        # It takes a while to begin and to end, so that duplicates come meanwhile,
        # and the server ends when it has had its effect.
        await self._sleep()
        self._numbers[key] += by
        there = self._numbers[key]
        await self._sleep()
        return there

    def _sleep(self) -> Deferred[None]:
        return self._node.sleep(self._node.random.expovariate(50))

    def read(self, key: str) -> int:
        return self._numbers[key]


class Rows:
    """
    Numbers in the database of the store.
    """

    def __init__(self, mark: str, read: Callable[[str], Any]) -> None:
        """
        @param mark: what stands for an argument in a statement.
        @param read: reads a row: it has been committed.
        """
        self._read = read
        self._add = (
            f"INSERT INTO numbers (key, value) VALUES ({mark}, {mark})"  # noqa: S608 - a mark
            " ON CONFLICT (key) DO UPDATE SET value = numbers.value + excluded.value"
            " RETURNING value"
        )

    def add(self, key: str, by: int) -> int:
        database: Any = current_call().transaction
        (value,) = database.execute(self._add, (key, by)).fetchone()
        return int(value)

    def read(self, key: str) -> int:
        row = self._read(key)
        return int(row[0]) if row else 0


class Place:
    """
    Where the servers of one history record their calls.

    @ivar servers: how many they are.
    @ivar store: makes what a server records in; C{None}: its memory.
    @ivar rows: numbers in the same database, if there is one.
    """

    servers = 1
    store: Callable[[ServerNode], Any] | None = None
    rows: Rows | None = None


@contextmanager
def in_memory(_: int) -> Iterator[Place]:
    """
    In the memory of one server.
    """
    yield Place()


@contextmanager
def in_sqlite(seed: int) -> Iterator[Place]:
    """
    In a file, of one server or of two.
    """
    with quick_folder() as folder:
        path = Path(folder) / "calls.db"
        database = sqlite3.connect(path, isolation_level=None)
        database.execute(_TABLE)
        ask = "SELECT value FROM numbers WHERE key = ?"
        place = Place()
        place.servers = 1 + seed % 2
        place.rows = Rows("?", lambda key: database.execute(ask, (key,)).fetchone())
        place.store = lambda node: MortalStore(path, node=node.name, wall=node.wall)
        try:
            yield place
        finally:
            database.close()


class MortalPostgresStore(Mortal, QuickPostgresStore):
    """
    A store whose process may die.
    """

    def free(self) -> None:
        # It may have died before it had made its tables.
        (there,) = self.watcher.execute("SELECT to_regclass('rpc_owners')").fetchone()
        if there is not None:
            self.watcher.execute(
                "UPDATE rpc_owners SET lease = 0 WHERE owner = %s", (self.owner,)
            )


@contextmanager
def in_postgres(url: str, seed: int) -> Iterator[Place]:
    """
    In a schema of a PostgreSQL database, of one server or of two.
    """
    import psycopg  # noqa: PLC0415 - not where there is none

    name = f"history{seed}"
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(f"CREATE SCHEMA {name}")
        database.execute(f"SET search_path TO {name}")
        database.execute(_TABLE)
        ask = "SELECT value FROM numbers WHERE key = %s"
        spare: list[Any] = []
        place = Place()
        place.servers = 1 + seed % 2
        place.rows = Rows("%s", lambda key: database.execute(ask, (key,)).fetchone())

        def store(node: ServerNode) -> MortalPostgresStore:
            made = MortalPostgresStore(
                f"{url}?options=-csearch_path%3D{name}",
                spare,
                node=node.name,
                lease=1e6,
            )
            made.watcher = database
            return made

        place.store = store
        try:
            yield place
        finally:
            for each in spare:
                each.let_go()
            database.execute(f"DROP SCHEMA {name} CASCADE")


#: Makes a place for the history of a seed.
Places = Callable[[int], AbstractContextManager[Place]]


async def work(
    caller: Caller, operations: int, rows: tuple[str, ...]
) -> list[tuple[str, Operation]]:
    """
    What one client does.

    @param rows: the keys that are in the database.

    @return: its part of the history, by key.
    """
    random = caller.random
    counters = caller.client.proxy(IDL.ICounters, timeout=3.0)
    in_rows = caller.client.proxy(IDL.IRows, timeout=3.0)
    seen = []
    for _ in range(operations):
        key = random.choice(KEYS)
        by = random.randint(1, 9) if random.random() < 0.6 else 0
        what = ("add", by) if by else ("read", 0)
        numbers = in_rows if key in rows else counters
        began = caller.clock.seconds()
        try:
            result = await (numbers.add(key, by) if by else numbers.read(key))
        except RPCError as error:
            if error.executed != "no" and by:
                seen.append((key, Operation(began, inf, what)))
        else:
            seen.append((key, Operation(began, caller.clock.seconds(), what, result)))
        if random.random() < 0.3:
            await caller.sleep(random.expovariate(10))
    return seen


def history(
    seed: int,
    places: Places = in_memory,
    *,
    clients: int = CLIENTS,
    operations: int = OPERATIONS,
) -> tuple[int, int]:
    """
    Make a history, and check it.

    @return: its operations, and how many of them nobody knows about.

    @raise Violation: it is not linearizable.
    """
    numbers: Counter[str] = Counter()
    with places(seed) as place:

        def registry(node: ServerNode) -> Registry:
            made = Registry()
            made.register(IDL.ICounters, Counters(node, numbers))
            if place.rows is not None:
                made.register(IDL.IRows, place.rows)
            return made

        simulation = Simulation(
            registry,
            seed=seed,
            clients=clients,
            servers=place.servers,
            store=place.store,
            nemesis=_NEMESIS,
        )
        # Here it is the history that says what is wrong.
        simulation.oracle.wrong = lambda *_: None  # type: ignore[method-assign]
        rows = ROWS if place.rows is not None else ()
        by_key = defaultdict(list)
        parts = simulation.run(
            lambda caller: work(caller, operations, rows), seconds=operations / 5
        )
    for part in parts:
        for key, operation in part:
            by_key[key].append(operation)
    for key, seen in by_key.items():
        if not linearizable(seen, count, 0):
            raise Violation(
                f"seed {seed}: what was seen of {key!r} is not linearizable"
            )
    every = [each for seen in by_key.values() for each in seen]
    return len(every), sum(not each.known for each in every)


def _tried(places: Places, seed: int) -> tuple[int, int, int, str]:
    try:
        operations, unknown = history(seed, places)
    except Violation as violation:
        return seed, 0, 0, str(violation)
    return seed, operations, unknown, ""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--histories", type=int, default=200, help="how many over each store (200)"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="at the same time"
    )
    parser.add_argument(
        "stores",
        nargs="*",
        choices=[*STORES, []],
        help="where calls are recorded (all)",
    )


def _places(name: str) -> Places:
    """
    @raise SkipTest: there is no server for it.
    """
    if name == "postgresql":
        return partial(in_postgres, postgres().url)
    return {"memory": in_memory, "sqlite": in_sqlite}[name]


def _over(name: str, options: Any, progress: Progress) -> tuple[int, int, int]:
    """
    @return: histories, their operations, and of how many the outcome is unknown.
    """
    places = _places(name)
    total = unknown = done = 0
    seeds = range(options.first, options.first + options.histories)
    with multiprocessing.Pool(options.processes) as pool:
        tried = partial(_tried, places)
        for seed, operations, open_ones, wrong in pool.imap(tried, seeds, 2):
            if wrong:
                again = (
                    f"python -m tests.proofs histories {name} --first {seed}"
                    " --histories 1"
                )
                raise AssertionError(f"{wrong}\n\nto see it again: {again}")
            done += 1
            total += operations
            unknown += open_ones
            progress(f"{name}: {done} histories, {total:,} operations")
    return done, total, unknown


def _run(options: Any, progress: Progress) -> list[Figure]:
    seen: dict[str, tuple[int, int, int]] = {}
    left = ""
    for name in options.stores or STORES:
        try:
            seen[name] = _over(name, options, progress)
        except SkipTest as missing:
            left += f"; not over {name}: {missing}"
    each = "; ".join(
        f"{done} over {name} ({total:,} operations, {unknown:,} with an unknown outcome)"
        for name, (done, total, unknown) in seen.items()
    )
    return [
        Figure(
            row=13,
            measured=f"histories of {CLIENTS} clients x {OPERATIONS} operations under"
            f" kill, reset and delay: {each}: 0 anomalies{left}",
            met=len(seen) == len(STORES) and options.histories >= 200,
        )
    ]


PROOF = Proof(
    name="histories",
    what="histories of concurrent clients under kill and reset are linearizable",
    rows=(13,),
    run=_run,
    options=_options,
)
