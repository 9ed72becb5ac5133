"""
kill -9 of real servers while money is moved: row 2.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from tests.proofs.banker import IDL
from tests.proofs.probing import on_reactor, sleep
from tests.proofs.proof import Figure, Progress, Proof
from tests.servers import Postgres, free_port
from twisted_rpc import Client
from twisted_rpc.errors import RPCError

#: Accounts, and what is in each at the start.
ACCOUNTS = 20
BALANCE = 1_000_000

#: Seconds that a server lives at least.  A client takes one that lives for less
#: than a second for one that cannot be reached, and waits longer each time.
LIFE = 1.1

#: Calls that are made at the same time.
CALLERS = 16

#: Seconds within which what was asked for between two kills has been done.
STUCK = 60.0

#: What can be killed.
STORES = ["sqlite", "postgresql", "replicas", "restart"]

_TABLES = (
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
    """CREATE TABLE moves (
        number INTEGER NOT NULL, source INTEGER, target INTEGER, amount INTEGER,
        remains INTEGER
    )""",
)


class Bank:
    """
    The database, and what is in it afterwards.
    """

    def __init__(self, store: str) -> None:
        """
        @param store: as for C{--dedup}.
        """
        self.store = store
        with self.open() as database:
            for table in _TABLES:
                database.execute(table)
            for account in range(ACCOUNTS):
                database.execute(
                    f"INSERT INTO accounts VALUES ({account}, {BALANCE})"  # noqa: S608 - numbers
                )
            database.commit()

    def open(self) -> Any:
        """A connection."""
        if self.store.startswith("sqlite:"):
            return sqlite3.connect(self.store.removeprefix("sqlite:"), timeout=30)
        import psycopg  # noqa: PLC0415 - not where there is none

        return psycopg.connect(self.store)

    def judge(
        self,
        asked: list[tuple[int, int, int]],
        acknowledged: dict[int, int],
        refused: set[int],
    ) -> Counter[str]:
        """
        Count what must not be.

        @param asked: source, target and amount of each move, from number 1.
        @param acknowledged: what was answered to those that were said to be done.
        """
        with self.open() as database:
            rows = database.execute("SELECT * FROM moves").fetchall()
            (money,) = database.execute("SELECT sum(balance) FROM accounts").fetchone()
        there = Counter(number for number, *_ in rows)
        return Counter(
            lost=sum(not there[number] for number in acknowledged),
            doubled=sum(count > 1 for count in there.values()),
            denied=sum(there[number] > 0 for number in refused),
            mixed=sum(
                asked[number - 1] != (source, target, amount)
                or acknowledged.get(number, remains) != remains
                for number, source, target, amount, remains in rows
            ),
            money=int(money) - ACCOUNTS * BALANCE,
            moved=len(there),
        )


class Zygote:
    """
    Starts servers.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.banker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )

    def start(self, port: int, node: str, store: str) -> int:
        """
        @return: the number of the process.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port} {node} {store}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def stop(self) -> None:
        """
        No more.
        """
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Killing:
    """
    Servers that are killed, and a client that goes on.

    @ivar asked: source, target and amount of each move.
    @ivar acknowledged: what was answered to those that were said to be done, by their
        numbers.
    @ivar refused: of those that were said not to be.
    @ivar ended: how calls ended.
    """

    def __init__(self, reactor: Any, bank: Bank, replicas: int, seed: int = 0) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self.acknowledged: dict[int, int] = {}
        self.refused: set[int] = set()
        self.ended: Counter[str] = Counter()
        self._reactor = reactor
        self._bank = bank
        self._random = random.Random(seed)
        self._ports = [free_port() for _ in range(replicas)]
        self._zygote = Zygote()
        self._starts = 0
        self._pids = [self._start(number) for number in range(replicas)]
        self._calling = True
        self.client = Client(
            [f"tcp:127.0.0.1:{port}" for port in self._ports],
            reactor=reactor,
            wait_for_ready=True,
            timeout=60.0,
        )

    def _start(self, number: int) -> int:
        self._starts += 1
        return self._zygote.start(
            self._ports[number], f"node{number}", self._bank.store
        )

    def kill(self) -> None:
        """
        Kill a server, and start it again.
        """
        number = self._random.randrange(len(self._pids))
        os.kill(self._pids[number], signal.SIGKILL)
        self._pids[number] = self._start(number)

    def _look_after(self) -> None:
        """
        Start again what has ended by itself: the file was locked for too long
        by a process that was being killed.
        """
        for number, pid in enumerate(self._pids):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                self._pids[number] = self._start(number)

    def _state(self) -> str:
        """
        Where everybody is.
        """
        servers = []
        for port, pid in zip(self._ports, self._pids, strict=True):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                stat = ") gone"
            with socket.socket() as asked:
                refused = asked.connect_ex(("127.0.0.1", port))
            listens = "does not listen" if refused else "listens"
            state = stat.rpartition(")")[2].split()[0]
            servers.append(f"process {pid} is {state} and {listens}")
        links = ", ".join(
            f"a link is {link.connector.state.value}" for link in self.client.pool.links
        )
        return f"{', '.join(servers)}; {self._starts} starts; {links}; {self.ended}"

    async def call(self) -> None:
        """
        Move money until it is enough.
        """
        transfers = self.client.proxy(IDL.ITransfers)
        while self._calling:
            source, target = self._random.sample(range(ACCOUNTS), 2)
            amount = self._random.randint(1, 9)
            self.asked.append((source, target, amount))
            number = len(self.asked)
            try:
                left = await transfers.move(number, source, target, amount)
            except RPCError as error:
                self.ended[error.code.value] += 1
                if error.executed == "no":
                    self.refused.add(number)
            else:
                self.ended["OK"] += 1
                self.acknowledged[number] = left

    async def run(
        self,
        cycles: int,
        each: int,
        progress: Callable[[str], None],
        between: Any = None,
        life: float = LIFE,
    ) -> Counter[str]:
        """
        So many times: some acknowledged moves, then a kill.

        @param between: also called after each cycle, with its number.

        @return: what must not be, counted.
        """
        callers = [ensureDeferred(self.call()) for _ in range(CALLERS)]
        for cycle in range(cycles):
            before = len(self.acknowledged)
            began = time.monotonic()
            first = 0.0
            while (
                len(self.acknowledged) - before < each
                or time.monotonic() - first < life
            ):
                await sleep(self._reactor, 0.002 + self._random.random() * 0.01)
                if not first and len(self.acknowledged) > before:
                    first = time.monotonic()
                self._look_after()
                if time.monotonic() - began > STUCK:
                    raise AssertionError(
                        f"nothing moves after {cycle} kills: {self._state()}"
                    )
            self.kill()
            if between is not None:
                between(cycle)
            progress(f"{cycle + 1} kills, {len(self.acknowledged):,} acknowledged")
        self._calling = False
        await gatherResults(callers)
        await self.stop()
        return self._bank.judge(self.asked, self.acknowledged, self.refused)

    async def stop(self) -> None:
        """
        Leave no process.
        """
        self._calling = False
        await self.client.close()
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._zygote.stop()


async def kills(
    reactor: Any,
    progress: Callable[[str], None],
    bank: Bank,
    *,
    cycles: int,
    each: int = 100,
    replicas: int = 1,
    between: Any = None,
    life: float = LIFE,
) -> tuple[str, bool]:
    """
    @return: what was seen, and whether it is what was promised.
    """
    killing = Killing(reactor, bank, replicas)
    try:
        wrong = await killing.run(cycles, each, progress, between, life)
    except AssertionError:
        await killing.stop()
        raise
    kind = bank.store.partition(":")[0]
    how = ", ".join(f"{name} {count:,}" for name, count in killing.ended.most_common())
    text = (
        f"{kind}{f', {replicas} replicas' * (replicas > 1)}: {cycles} kill -9,"
        f" {len(killing.acknowledged):,} acknowledged ({how}): {wrong['lost']} lost,"
        f" {wrong['doubled']} doubled, {wrong['denied']} done that were denied,"
        f" {wrong['mixed']} with other parameters or another answer,"
        f" money {'conserved' if not wrong['money'] else wrong['money']}"
    )
    bad = any(wrong[each] for each in ("lost", "doubled", "denied", "mixed", "money"))
    return text, not bad


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cycles", type=int, default=500, help="kills (500)")
    parser.add_argument(
        "--each", type=int, default=100, help="acknowledged moves before a kill (100)"
    )
    parser.add_argument(
        "stores",
        nargs="*",
        choices=[*STORES, []],
        help="sqlite; postgresql; two replicas on PostgreSQL; PostgreSQL itself"
        " restarted (all of them at once)",
    )


def _restart(server: Postgres) -> Callable[[int], None]:
    """
    @return: kills the server of the database every tenth time, and starts it again.
    """

    def between(cycle: int) -> None:
        if cycle % 10 == 9:
            server.kill()
            server.start()

    return between


async def _at_once(reactor: Any, options: Any, progress: Progress) -> list[Figure]:
    """
    All that was asked for at the same time: for the most part of it a server is
    waited for, and what disturbs one another is welcome.
    """
    wanted = options.stores or STORES
    running: list[Deferred[tuple[str, bool]]] = []
    servers: list[Postgres] = []

    def start(bank: Bank, name: str, **more: Any) -> None:
        def say(text: str) -> None:
            progress(f"{name}: {text}")

        sizes = {"cycles": options.cycles, "each": options.each}
        running.append(ensureDeferred(kills(reactor, say, bank, **sizes, **more)))

    def database() -> Postgres:
        servers.append(Postgres())
        return servers[-1]

    with tempfile.TemporaryDirectory() as folder:
        try:
            if "sqlite" in wanted:
                start(Bank(f"sqlite:{folder}/bank.db"), "sqlite")
            if {"postgresql", "replicas"} & set(wanted):
                server = database()
            if "postgresql" in wanted:
                start(Bank(server.schema()), "postgresql")
            if "replicas" in wanted:
                start(Bank(server.schema()), "replicas", replicas=2)
            if "restart" in wanted:
                server = database()
                start(Bank(server.schema()), "restart", between=_restart(server))
            seen = await gatherResults(running, consumeErrors=True)
        finally:
            for server in servers:
                server.remove()
    texts = [
        text + "; PostgreSQL restarted every tenth" * (name == "restart")
        for name, (text, _) in zip(
            [name for name in STORES if name in wanted], seen, strict=True
        )
    ]
    if not all(good for _, good in seen):
        raise AssertionError("; ".join(texts))
    whole = options.cycles >= 500 and len(seen) == len(STORES)
    return [Figure(row=2, measured="; ".join(texts), met=whole)]


def _run(options: Any, progress: Progress) -> list[Figure]:
    return on_reactor(lambda reactor: _at_once(reactor, options, progress))


PROOF = Proof(
    name="kill",
    what="kill -9 of servers that move money: nothing lost, nothing doubled",
    rows=(2,),
    run=_run,
    options=_options,
)
