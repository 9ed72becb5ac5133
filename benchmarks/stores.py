# -*- test-case-name: tests.benchmarks.test_stores -*-
"""
What the record of calls costs in each store: calls a second of each class of
method, 64 in flight, beside calls that have no record, in turns::

    python -m benchmarks.stores [--rounds 3] [--seconds 3] [--store sqlite ...]

The server and the client are a process each, with a core each where there are two.
PostgreSQL and Redis are those that are installed, started for this with folders
below TMPDIR; they write to the disk, as they should.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import SkipTest

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import react

from benchmarks.report import Spread, figure, shown
from benchmarks.twistd import listening, pin
from tests.servers import Postgres, Redis
from twisted_rpc import Client, current_call, load_idl

IDL: Final = Path(__file__).with_name("peers") / "stores.idl"
INFLIGHT: Final = 64
ACCOUNTS: Final = 1_000
STORES: Final = ("memory", "sqlite", "postgresql", "redis")

#: The methods, each with what it shows.
METHODS: Final = {
    "read": "no record",
    "add": "`@idempotent`",
    "once": "`@once`",
    "transfer": "`@transactional`",
}


idl = load_idl(IDL, module="benchmarks.stores.idl")


class Plain:
    """
    Implements C{Plain}: nothing is done.
    """

    def read(self, a: int) -> int:
        """The same number."""
        return a

    add = once = read


class Moving:
    """
    Implements C{Moving}, on SQLite.
    """

    mark = "?"

    def prepare(self, accounts: int) -> int:
        """Make the accounts."""
        transaction = current_call().transaction
        transaction.execute(
            "CREATE TABLE bench (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL)"
        )
        transaction.executemany(
            f"INSERT INTO bench VALUES ({self.mark}, 0)",  # noqa: S608 - a mark
            [(each,) for each in range(accounts)],
        )
        return accounts

    def transfer(self, source: int, target: int) -> int:
        """Change two rows, in a fixed order."""
        transaction = current_call().transaction
        update = f"UPDATE bench SET cents = cents + {self.mark} WHERE id = {self.mark}"  # noqa: S608 - marks
        for account, cents in sorted(((source, -1), (target, 1))):
            transaction.execute(update, (cents, account))
        return source


class MovingPostgres(Moving):
    """
    The same on PostgreSQL.
    """

    mark = "%s"


def serving(dedup: str, cores: Sequence[int]) -> AbstractContextManager[int]:
    """
    Serve for as long as the block lasts; yields the port.
    """
    moving = {"sqlite": "Moving", "postgr": "MovingPostgres"}.get(dedup[:6])
    path = IDL if moving else _plain_idl(Path(os.environ["TMPDIR"]))
    words = ["--idl", str(path), "--impl", "Plain=benchmarks.stores.Plain"]
    if moving:
        words += ["--impl", f"Moving=benchmarks.stores.{moving}"]
    words += ["--dedup", dedup]
    return listening(f"the server with {dedup}", *words, cores=cores)


def _plain_idl(folder: Path) -> Path:
    """
    The IDL without what needs transactions.
    """
    path = folder / "plain.idl"
    path.write_text(IDL.read_text().partition("/** Moves")[0])
    return path


def calls_of(client: Client, name: str) -> Callable[[], Deferred[Any]]:
    """
    @return: makes one call.
    """
    if name == "transfer":
        moving = client.proxy(idl.IMoving)
        return lambda: moving.transfer(
            random.randrange(ACCOUNTS), random.randrange(ACCOUNTS)
        )
    method = getattr(client.proxy(idl.IPlain), name)
    return lambda: method(7)


async def measure(
    call: Callable[[], Deferred[Any]], seconds: float
) -> tuple[float, float]:
    """
    @return: calls a second with so many in flight, and their 99th percentile in
        milliseconds.
    """
    end = time.perf_counter() + seconds
    took: list[float] = []

    async def one_after_the_other() -> None:
        # At least once, however slow this machine is now.
        now = time.perf_counter()
        while not took or now < end:
            start = now
            await call()
            now = time.perf_counter()
            took.append(now - start)

    begun = time.perf_counter()
    await gatherResults(
        [ensureDeferred(one_after_the_other()) for _ in range(INFLIGHT)]
    )
    rate = len(took) / (time.perf_counter() - begun)
    return rate, sorted(took)[len(took) * 99 // 100] * 1000


Found = dict[tuple[str, str], list[tuple[float, float]]]


async def run(
    reactor: Any, ports: dict[str, int], rounds: int, seconds: float
) -> Found:
    """
    Measure every method of every store, in turns.
    """
    found: Found = {}
    clients = {
        store: Client(f"tcp:127.0.0.1:{port}", reactor=reactor)
        for store, port in ports.items()
    }
    for store, client in clients.items():
        if store in {"sqlite", "postgresql"}:
            await client.proxy(idl.IMoving).prepare(ACCOUNTS)
    for _ in range(rounds):
        for store, client in clients.items():
            for name in METHODS:
                if name != "transfer" or store in {"sqlite", "postgresql"}:
                    call = calls_of(client, name)
                    await measure(call, seconds / 10)
                    found.setdefault((store, name), []).append(
                        await measure(call, seconds)
                    )
                    sys.stderr.write(f"{store} {name}\n")
    for client in clients.values():
        await client.close()
    return found


def table(found: Found) -> str:
    """
    What was found, in Markdown.
    """
    lines = [
        "| store | class | calls/s, median (range) | of those without a record | p99, ms |",
        "|---|---|---|---|---|",
    ]
    for (store, name), samples in found.items():
        rate = Spread.of(each for each, _ in samples)
        plain = Spread.of(each for each, _ in found[store, "read"])
        late = Spread.of(each for _, each in samples)
        assert rate is not None
        assert plain is not None
        lines.append(
            f"| {store} | {METHODS[name]} | {shown(rate)} |"
            f" {figure(100 * rate.median / plain.median)} % | {shown(late)} |"
        )
    return "\n".join(lines)


def databases(stack: ExitStack, stores: Sequence[str], folder: Path) -> dict[str, str]:
    """
    Start what these stores need.

    @return: what C{--dedup} says, by store; what cannot be had is left out.
    """
    texts = {"memory": "memory", "sqlite": f"sqlite:{folder}/bench.db"}
    for name in stores:
        try:
            if name == "postgresql":
                postgres = Postgres()
                stack.callback(postgres.remove)
                texts[name] = postgres.url
            elif name == "redis":
                redis = Redis("--appendonly", "yes", "--appendfsync", "always")
                stack.callback(redis.remove)
                texts[name] = f"{redis.url}?once=yes"
        except SkipTest as error:
            sys.stderr.write(f"{name}: {error}\n")
    return {name: texts[name] for name in stores if name in texts}


def main(words: Sequence[str] | None = None) -> None:
    """
    Measure, and print a table.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.stores", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--store", action="append", choices=STORES)
    args = parser.parse_args(words)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        os.environ["TMPDIR"] = str(folder)
        folder.chmod(0o755)
        cores = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        )
        texts = databases(stack, args.store or STORES, folder)
        ports = {
            name: stack.enter_context(serving(text, cores if len(cores) > 1 else ()))
            for name, text in texts.items()
        }
        pin(0, cores[1:2])
        found: list[Found] = []

        async def measured(reactor: Any) -> None:
            found.append(await run(reactor, ports, args.rounds, args.seconds))

        with suppress(SystemExit):
            react(lambda reactor: ensureDeferred(measured(reactor)))
        print(table(found[0]))


if __name__ == "__main__":
    main()
