"""
Real stores whose steps are over when they have been asked for, so that a state
machine decides what comes before what: their own code, SQL and scripts, and real
databases behind them.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.servers import Postgres, Redis, postgres, redis
from twisted_rpc.delivery.claims import RecordRow, SessionRow, StoreError
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import SESSION_SIZE
from twisted_rpc.delivery.redis.store import RedisStore
from twisted_rpc.delivery.sql.postgres import PostgresConnection, PostgresStore
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.delivery.steps import MemorySteps
from twisted_rpc.interfaces import IDedupStore

#: Seconds that a step may take.
PATIENCE: Final = 30.0

#: Unix seconds when time begins, where a test says what time it is.
START: Final = 4e9

#: A folder in memory, where the system has one: what is tried is not the disk.
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - folders of our own are made there


class Turn(Clock):
    """
    The reactor of a store: what its threads say is heard when it is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., object], *args: Any) -> None:
        """
        Leave a call for whoever waits.
        """
        self._said.put(lambda: callable(*args))

    def over(self, step: Deferred[Any]) -> Deferred[Any]:
        """
        Wait until C{step} has ended.

        @return: has fired as C{step} did.
        """
        ended: list[Any] = []
        step.addBoth(ended.append)
        while not ended:
            self._said.get(timeout=PATIENCE)()
        failed = isinstance(ended[0], Failure)
        return fail(ended[0]) if failed else succeed(ended[0])

    def result(self, step: Deferred[Any]) -> Any:
        """
        @return: what C{step} comes to.
        """
        results: list[Any] = []
        self.over(step).addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]


#: More than there is.
_ALL: Final = 1_000

#: The steps of a store that may fail.
_STEPS: Final = frozenset(
    {
        "attach", "claim", "complete", "detach", "expire", "find", "release",
        "resolve", "transact", "unclaim",
    }
)  # fmt: skip


@implementer(IDedupStore)
class Driven:
    """
    A store, each step of which is over before it is answered.

    @ivar store: the real one.
    @ivar fault: what befalls the next step: C{"before"}: it is not done;
        C{"after"}: it is, and nobody hears of it; C{""}: nothing.
    @ivar slow: answers wait for L{answer}, although the steps are done.
    @ivar watch: is called with each step: its name, its arguments, and what does
        it.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.turn = Turn()
        self.fault = ""
        self.slow = False
        self.watch: Callable[[str, Any, Callable[[], Any]], Any] = lambda *it: it[2]()
        self._unheard: list[tuple[Deferred[Any], Deferred[Any]]] = []

    def start(self, reactor: Any) -> Deferred[None]:
        """
        Begin.
        """
        return self.turn.over(self.store.start(self.turn))

    def stop(self) -> Deferred[None]:
        """
        End.
        """
        self.answer()
        return self.turn.over(self.store.stop())

    def answer(self) -> None:
        """
        Let everything be heard that was not yet.
        """
        self.slow = False
        while self._unheard:
            answer, ended = self._unheard.pop(0)
            ended.chainDeferred(answer)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.store, name)
        if name not in _STEPS:
            return value

        def step(*args: Any) -> Deferred[Any]:
            return self._step(name, args, lambda: self.turn.over(value(*args)))

        return step

    def _step(
        self, name: str, args: Any, do: Callable[[], Deferred[Any]]
    ) -> Deferred[Any]:
        fault, self.fault = self.fault, ""
        if fault == "before":
            return fail(StoreError("it is gone"))
        ended = self.watch(name, args, do)
        if fault == "after":
            ended.addErrback(lambda _: None)
            return fail(StoreError("it has gone", ambiguous=True))
        if not self.slow:
            return ended  # type: ignore[no-any-return]  # as watched
        answer: Deferred[Any] = Deferred()
        self._unheard.append((answer, ended))
        return answer


class Bed:
    """
    What stores of one kind stand on, in one test.

    @cvar classes: the classes of calls that they keep.
    @cvar shared: several servers may use it.
    """

    classes: tuple[str, ...] = ("once", "idempotent", "transactional")
    shared = True

    def store(self, node: str, **limits: Any) -> Any:
        """
        A store, not started.
        """
        raise NotImplementedError

    def clear(self) -> None:
        """
        Forget everything.
        """
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """
        Let the clock of the stores go on.
        """
        raise NotImplementedError

    def wall(self) -> float:
        """
        What it says.
        """
        raise NotImplementedError

    def lapse(self, store: Driven) -> None:
        """
        Others take the server of C{store} for gone, whatever it is.
        """
        raise NotImplementedError

    def die(self, store: Driven) -> None:
        """
        The server of C{store} has ended, and settled nothing.
        """
        raise NotImplementedError

    def seen(self, store: Driven) -> tuple[Sequence[SessionRow], Sequence[RecordRow]]:
        """
        The sessions and the records, which are counted right.
        """
        steps = [store.sessions(_ALL), store.records(None, _ALL), store.totals()]
        sessions, records, totals = [store.turn.result(step) for step in steps]
        size = len(sessions) * SESSION_SIZE + sum(each.size for each in records)
        assert totals.size == size, f"{size} bytes are counted as {totals.size}"
        return sessions, records

    def floors(self) -> dict[str, float]:
        """
        The floors of all holders.
        """
        raise NotImplementedError

    def effects(self) -> list[str]:
        """
        What calls in transactions have done.
        """
        return []

    def remove(self) -> None:
        """
        Leave nothing.
        """


class MemoryBed(Bed):
    """
    The memory of one server: a restart ends it.
    """

    classes = ("once", "idempotent")
    shared = False

    def __init__(self) -> None:
        self._now = 0.0
        self._memory: MemoryStore | None = None

    def store(self, node: str, **limits: Any) -> MemorySteps:
        self._now += 0.001
        self._memory = MemoryStore(**limits)
        return MemorySteps(self._memory, lambda: self._now, self.wall)

    def clear(self) -> None:
        self._now = 0.0

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def wall(self) -> float:
        return START + self._now

    def die(self, store: Driven) -> None:
        self._memory = None

    def floors(self) -> dict[str, float]:
        memory = self._memory
        if memory is None:
            return {}
        floors = {each.id: float(each.floor) for each in memory.sessions.values()}
        return floors | {f"@{it.principal}": it.floor for it in memory.ledgers.values()}


_EMPTY: Final = ("rpc_records", "rpc_holders", "rpc_owners", "effects")


class SQLBed(Bed):
    """
    Tables.
    """

    def seen(self, store: Driven) -> tuple[Sequence[SessionRow], Sequence[RecordRow]]:
        steps = store._transitions
        return store.turn.result(  # type: ignore[no-any-return]  # what is asked for
            store._ask(
                lambda tx: (steps.sessions(tx, _ALL), steps.records(tx, None, _ALL))
            )
        )

    def die(self, store: Driven) -> None:
        self.lapse(store)
        for workers in {store._workers, getattr(store, "_keeper", None)} - {None}:
            store.turn.result(workers.stop())


class SQLiteBed(SQLBed):
    """
    A file.
    """

    def __init__(self) -> None:
        memory = MEMORY if MEMORY.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="rpc-calls-", dir=memory))
        self._path = self._folder / "calls.db"
        self._now = 0.0
        self._database = sqlite3.connect(self._path, isolation_level=None)
        self._database.execute("CREATE TABLE effects (name TEXT)")

    def store(self, node: str, **limits: Any) -> SQLiteStore:
        return SQLiteStore(self._path, wall=self.wall, node=node, **limits)

    def clear(self) -> None:
        self._now = 0.0
        tables = self._database.execute("SELECT name FROM sqlite_master").fetchall()
        for name in _EMPTY:
            if (name,) in tables:
                self._database.execute(f"DELETE FROM {name}")  # noqa: S608 - ours
        if ("rpc_facts",) in tables:
            self._database.execute(
                "UPDATE rpc_facts SET value = 0 WHERE name = 'floor'"
            )

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def wall(self) -> float:
        return START + self._now

    def lapse(self, store: Driven) -> None:
        lock = store.store._lock
        if lock is not None:
            os.close(lock._file)
            store.store._lock = None

    def floors(self) -> dict[str, float]:
        return dict(self._database.execute("SELECT holder, floor FROM rpc_holders"))

    def effects(self) -> list[str]:
        return [name for (name,) in self._database.execute("SELECT name FROM effects")]

    def remove(self) -> None:
        self._database.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Kept(PostgresConnection):
    """
    A connection that is used again.
    """

    def __init__(self, conninfo: str, spare: list[PostgresConnection]) -> None:
        super().__init__(conninfo)
        self._spare = spare

    def close(self) -> None:
        if not self._database.closed:
            self._spare.append(self)

    def let_go(self) -> None:
        """
        Close it.
        """
        self._database.close()


class QuickPostgresStore(PostgresStore):
    """
    A store that connects once for many lives.

    @ivar watcher: a connection of the test's.
    """

    watcher: Any

    def __init__(self, conninfo: str, spare: list[Any], **options: Any) -> None:
        """
        @param spare: connections that are not in use.
        """
        super().__init__(conninfo, connections=1, **options)
        self._spare = spare

    def _connect(self) -> PostgresConnection:
        return self._spare.pop() if self._spare else _Kept(self._conninfo, self._spare)

    def expire(self) -> Deferred[None]:
        # Its own clock stands still.
        return self._renewed().addCallback(
            lambda _: super(PostgresStore, self).expire()
        )


class PostgresBed(SQLBed):
    """
    A schema of a PostgreSQL server, whose clock is real: what it has written
    becomes older.
    """

    def __init__(self, server: Postgres) -> None:
        import psycopg  # noqa: PLC0415 - not where there is none

        self._url = server.schema()
        self._spare: list[Any] = []
        self._database: Any = psycopg.connect(
            self._url, autocommit=True, prepare_threshold=1
        )
        self._run("CREATE UNLOGGED TABLE effects (name TEXT)")
        self._made = False

    def _run(self, sql: str, *args: Any) -> list[Any]:
        cursor = self._database.execute(sql, args)
        return cursor.fetchall() if cursor.description else []

    def store(self, node: str, **limits: Any) -> PostgresStore:
        self._made = True
        return QuickPostgresStore(
            self._url, self._spare, node=node, lease=1e6, **limits
        )

    def clear(self) -> None:
        if self._made:
            self._run(f"TRUNCATE {', '.join(_EMPTY)}")
            self._run("UPDATE rpc_facts SET value = 0 WHERE name = 'floor'")

    def advance(self, seconds: float) -> None:
        if seconds >= 1:
            self._run(
                "UPDATE rpc_holders SET made = made - %s,"
                " detached = CASE WHEN detached > 0 THEN detached - %s ELSE 0 END",
                seconds,
                seconds,
            )
            self._run(
                "UPDATE rpc_records SET begun = begun - %s, ended = ended - %s",
                seconds,
                seconds,
            )

    def wall(self) -> float:
        (row,) = self._run("SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8")
        return float(row[0])

    def lapse(self, store: Driven) -> None:
        self._run("UPDATE rpc_owners SET lease = 0 WHERE owner = %s", store.owner)

    def floors(self) -> dict[str, float]:
        return dict(self._run("SELECT holder, floor FROM rpc_holders"))

    def effects(self) -> list[str]:
        return [name for (name,) in self._run("SELECT name FROM effects")]

    def remove(self) -> None:
        self._database.close()
        for each in self._spare:
            each.let_go()


class Asked:
    """
    A connection to Redis that waits for each answer.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def eval(self, script: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """
        Run a script; the first connection of its server has sent it.
        """
        return self.execute_command("EVAL", script, len(keys), *keys, *args, 1)

    def execute_command(self, *words: Any) -> Deferred[Any]:
        """
        @return: has fired.
        """
        parts = [it if isinstance(it, bytes) else str(it).encode() for it in words]
        text = b"".join(b"$%d\r\n%b\r\n" % (len(it), it) for it in parts)
        self._socket.sendall(b"*%d\r\n%b" % (len(parts), text))
        return succeed(self._read())

    def _read(self) -> Any:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise AssertionError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._file.read(size + 2)[:-2]
        return [self._read() for _ in range(int(rest))]

    def disconnect(self) -> Deferred[None]:
        """
        It goes on to be used.
        """
        return succeed(None)

    def close(self) -> None:
        """
        Let it go.
        """
        self._file.close()
        self._socket.close()


class _Blocking(RedisStore):
    """
    A store that waits for each answer.
    """

    def __init__(self, url: str, asked: Asked, **options: Any) -> None:
        super().__init__(url, **options)
        self._asked = asked

    def _connect(self) -> Any:
        return self._asked

    def expire(self) -> Deferred[None]:
        # Its own clock stands still.
        return self._renew().addCallback(lambda _: super(_Blocking, self).expire())


class RedisBed(Bed):
    """
    A prefix in a Redis server.
    """

    classes = ("once", "idempotent")

    def __init__(self, server: Redis) -> None:
        self._url = server.url
        self._prefix = server.prefix()
        self._asked = Asked(server.port)
        self._skew = 0.0
        self._stores: list[RedisStore] = []

    def _ask(self, *words: Any) -> Any:
        answers: list[Any] = []
        self._asked.execute_command(*words).addCallback(answers.append)
        return answers[0]

    def store(self, node: str, **limits: Any) -> RedisStore:
        store = _Blocking(
            self._url,
            self._asked,
            node=node,
            once=True,
            prefix=self._prefix,
            lease=1e6,
            **limits,
        )
        store.skew = self._skew
        self._stores.append(store)
        return store

    def clear(self) -> None:
        self._skew = 0.0
        self._stores.clear()
        keys = self._ask("KEYS", f"{self._prefix}*")
        if keys:
            self._ask("DEL", *keys)

    def advance(self, seconds: float) -> None:
        self._skew += seconds
        for store in self._stores:
            store.skew = self._skew

    def wall(self) -> float:
        seconds, micros = self._ask("TIME")
        return int(seconds) + int(micros) / 1e6 + self._skew

    def lapse(self, store: Driven) -> None:
        self._ask("ZADD", f"{self._prefix}owners", "1", store.store.owner)

    def die(self, store: Driven) -> None:
        self.lapse(store)
        self._stores.remove(store.store)

    def floors(self) -> dict[str, float]:
        head = f"{self._prefix}h:"
        keys = [key.decode() for key in self._ask("KEYS", f"{head}*")]
        return {
            key.removeprefix(head): float(self._ask("HGET", key, "floor"))
            for key in keys
        }

    def remove(self) -> None:
        self._asked.close()


#: By the name of their kind; one without its server raises C{SkipTest}.
BEDS: Final[dict[str, Callable[[], Bed]]] = {
    "memory": MemoryBed,
    "sqlite": SQLiteBed,
    "postgresql": lambda: PostgresBed(postgres()),
    "redis": lambda: RedisBed(redis()),
}
