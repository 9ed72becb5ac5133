# -*- test-case-name: tests.delivery.test_postgres -*-
"""
Records in a PostgreSQL database, shared by servers on many machines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, succeed
from zope.interface import implementer

from twisted_rpc.delivery.bounds import check_bounds
from twisted_rpc.delivery.claims import StoreError, UncommittedError
from twisted_rpc.delivery.lease import Lease
from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.sql.pipeline import Pipeline, Sent, Statement
from twisted_rpc.delivery.sql.schema import (
    COMPLETE,
    INSERT,
    TABLES,
    VERSION,
    check_tables,
)
from twisted_rpc.delivery.sql.silence import watched
from twisted_rpc.delivery.sql.store import SQLStore
from twisted_rpc.delivery.sql.transaction import GuardedTransaction
from twisted_rpc.delivery.sql.transitions import USE, mark_of
from twisted_rpc.delivery.sql.workers import Workers
from twisted_rpc.errors import RPCError
from twisted_rpc.interfaces import IDedupStore

#: Steps in one transaction: it holds the locks of all of them.
_TOGETHER: Final = 16

#: Seconds that a transaction waits for a lock of another, e.g. for the run of the
#: same call in another server.
_LOCK: Final = 2

#: Seconds that a transaction may do nothing: its process has been stopped.
_IDLE: Final = 60

#: What a connection is made with, unless its address says otherwise.  A server that
#: is gone without a word is noticed within eleven seconds.
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "application_name": "twisted_rpc",
    # Of a connection on which nothing is sent, or an answer awaited.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    # Milliseconds, of one on which something was sent.
    "tcp_user_timeout": "10000",
}

#: What servers that make the tables at the same time wait for each other with.
_MAKING: Final = 0x7270635F

_WORDS: Final = {
    "share": "FOR SHARE",
    "update": "FOR UPDATE",
    "update_h": "FOR UPDATE OF h",
    "skip": "FOR UPDATE OF h SKIP LOCKED",
    "now": "EXTRACT(EPOCH FROM clock_timestamp())::float8",
    "blob": "BYTEA",
    "real": "DOUBLE PRECISION",
    "small": "",
    "int": "%s::bigint",
    "text": "%s::text",
    "bytes": "%s::bytea",
    "float": "%s::float8",
}

#: The statements of a function see what was committed before each of them, so the
#: second look at the floor is no older than the insertion: a record that somebody
#: dropped, which made room for this one, was dropped with a rise of the floor.
#: Nobody waits for anybody's lock.
_FUNCTION: Final = "".join(
    (
        """
        CREATE OR REPLACE FUNCTION rpc_claim_1 (
            bigint, text, text, text, text, bytea, bigint, float8, text, text, float8,
            float8
        ) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE claimed bigint;
        BEGIN
        """,
        INSERT.replace("RETURNING fence", "RETURNING fence INTO claimed;").format(
            columns="$1, $2, $3, $4, $5, $6, $7, $8, $9",
            holder="$9",
            principal="$10",
            above="$11",
            least="$12",
            now=_WORDS["now"],
        ),
        """
            IF claimed IS NOT NULL THEN
                PERFORM 1 FROM rpc_holders
                WHERE holder = $9 AND principal = $10 AND floor < $11;
                IF NOT FOUND THEN
                    DELETE FROM rpc_records
                    WHERE holder = $9 AND seq = $1 AND name = $2;
                    RETURN NULL;
                END IF;
            END IF;
            RETURN claimed;
        END $$
        """,
    )
)

_CLAIM: Final = Statement(
    "rpc_claim_1",
    [
        *("bigint", "text", "text", "text", "text", "bytea", "bigint", "float8"),
        *("text", "text", "float8", "float8"),
    ],
)

#: What it completes is locked by the transaction; that it is there is made sure of
#: all the same, before the commit that follows it unseen.
_FINISHING: Final = (
    """
    CREATE OR REPLACE FUNCTION rpc_finish_1 (
        text, bytea, bigint, text, bigint, text, bigint
    ) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
    """
    + COMPLETE.format(
        state="$1",
        outcome="$2",
        size="$3",
        key="holder = $4 AND seq = $5 AND name = $6",
        fence="$7",
        now=_WORDS["now"],
    )
    + """;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the record of a call is gone while it runs';
        END IF;
    END $$
    """
)

_FINISH: Final = Statement(
    "rpc_finish_1", ["text", "bytea", "bigint", "text", "bigint", "text", "bigint"]
)

_COLUMNS: Final = (
    "SELECT attname FROM pg_attribute"
    " WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped"
)

_BEGIN: Final = (Statement("BEGIN"), ())
_COMMIT: Final = (Statement("COMMIT"), ())
_SAVEPOINT: Final = (Statement("SAVEPOINT rpc_call"), ())
_UNDO: Final = (Statement("ROLLBACK TO rpc_call"), ())
_RELEASE: Final = (Statement("RELEASE rpc_call"), ())

#: Deadlocks, lock timeouts, a server that starts or shuts down, a statement that
#: somebody deallocated.
_PASSING: Final = re.compile(r"40...|55P03|57P0[1-3]|53300|26000")

#: Connections, states, resources, limits, operators, the system: nothing that the
#: methods of a transaction can help.
_NOBODYS: Final = re.compile(r"(?:08|25|40|5[3-8]|F0|XX)...")


def psycopg() -> ModuleType:
    """
    The library.

    @raise ImportError: it is not installed; the text says what to do.
    """
    try:
        import psycopg  # noqa: PLC0415 - only where it is used
    except ImportError as error:
        raise ImportError(
            "the postgresql store needs psycopg: pip install 'twisted_rpc[postgres]'"
        ) from error
    return psycopg


class _UndoneError(Exception):
    """A transaction was ended by somebody else."""


class PostgresConnection:
    """
    A connection of one thread, and the transaction that is open on it.

    A statement whose result is of no interest by itself is sent with the next
    one, so that a call in a transaction takes two round trips beside its own.
    """

    def __init__(self, conninfo: str) -> None:
        self._library = psycopg()
        self._texts: dict[str, str] = {}
        self.grown: dict[str, int] = {}
        self._unsent: list[Sent] = []
        self._saved = False
        conninfo = self._library.conninfo.make_conninfo(
            **_DEFAULTS | self._library.conninfo.conninfo_to_dict(conninfo)
        )
        self._database = watched(self._library, conninfo).connect(
            conninfo,
            autocommit=True,
            prepare_threshold=1,
            client_encoding="utf8",
        )
        self._pipeline = Pipeline(self._library, self._database)
        self._database.execute(
            f"SET lock_timeout = '{_LOCK}s';"
            f" SET idle_in_transaction_session_timeout = '{_IDLE}s';"
            " SET synchronous_commit = on;"
            " SET default_transaction_isolation = 'read committed'"
        )

    def begin(self) -> PostgresConnection:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        self._unsent = [_BEGIN]
        self._saved = False
        self.grown = {}
        return self

    def commit(self) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        try:
            (*_, result) = self._pipeline.run([*self._unsent, _COMMIT])
        except self._library.Error as error:
            if (
                self._pipeline.at is not _COMMIT[0]
                or self.passing(error)
                or _NOBODYS.fullmatch(error.sqlstate or "08000")
            ):
                raise
            raise UncommittedError(_line(error)) from error
        if result.command_status != b"COMMIT":
            raise _UndoneError("the transaction of a call was undone")

    def rollback(self) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        self._unsent = []
        self._database.execute("ROLLBACK")
        self._pipeline.look()

    def close(self) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        self._database.close()

    def lost(self, error: BaseException) -> bool:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        return bool(self._database.closed)

    def passing(self, error: BaseException) -> bool:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        return _PASSING.fullmatch(getattr(error, "sqlstate", None) or "") is not None

    def trouble(self, error: BaseException) -> str | None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        if isinstance(error, self._library.Error | _UndoneError):
            return _line(error)
        return None

    # -- the transaction --------------------------------------------------------------

    def execute(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        text = self._texts.get(sql)
        if text is None:
            text = self._texts[sql] = sql.replace("?", "%s").format(**_WORDS)
        return self._run(text, args)

    def _run(self, text: str, args: Sequence[Any] = ()) -> Any:
        self._send()
        return self._database.execute(text, args)

    def _send(self) -> None:
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            self._pipeline.run(unsent)

    def insert(self, row: Sequence[Any], *, runs: bool) -> int | None:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        unsent, self._unsent = self._unsent, []
        after = [_SAVEPOINT] if runs else []
        results = self._pipeline.run([*unsent, (_CLAIM, row), *after])
        fence = results[len(unsent)].get_value(0, 0)
        self._saved = runs and fence is not None
        return None if fence is None else int(fence)

    def finish(self, row: Sequence[Any]) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        self._unsent.append((_FINISH, row))

    def gone(self, owner: str) -> bool:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        return (
            self.execute(
                "SELECT 1 FROM rpc_owners WHERE owner = ? AND lease >= {now}", (owner,)
            ).fetchone()
            is None
        )

    def alone(self, run: Callable[[Any], Outcome | None]) -> Outcome | None:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        guarded = GuardedTransaction(
            self._database, lambda it: self.passing(it) or self.lost(it)
        )
        if not self._saved:
            self._unsent.append(_SAVEPOINT)
        self._send()
        try:
            outcome = run(guarded)
        finally:
            guarded.end()
        if guarded.broken is not None:
            # A deadlock, a lost connection: none of the method's business.
            raise guarded.broken
        status = self._database.info.transaction_status
        if status == self._library.pq.TransactionStatus.INERROR and isinstance(
            outcome, bytes
        ):
            raise _UndoneError("a statement failed, and its method went on regardless")
        if status in {
            self._library.pq.TransactionStatus.IDLE,
            self._library.pq.TransactionStatus.UNKNOWN,
        }:
            raise _UndoneError("the transaction of a call was ended")
        if outcome is None or isinstance(outcome, RPCError):
            self._unsent.append(_UNDO)
        if guarded.deallocates:
            self._send()
            self._pipeline.look()
        self._unsent.append(_RELEASE)
        return outcome


@implementer(IDedupStore)
class PostgresStore(SQLStore):
    """
    Records in a PostgreSQL database.

    Servers are alive while they renew their lease, by the database's clock.
    C{@transactional} methods run in one of its threads, on tables of the same
    database.
    """

    name: Final = "postgresql"
    alone = True

    def __init__(
        self, conninfo: str, *, lease: float = 15.0, connections: int = 8, **limits: Any
    ) -> None:
        """
        @param conninfo: C{"postgresql://user@host/database"}, or as libpq takes
            it.
        @param lease: seconds that a server is taken to be alive after its last
            sign of life; there are three in that time.
        @param connections: to the database, each with a thread; there is one more
            for the signs of life.
        @param limits: as of L{SharedStore<twisted_rpc.delivery.bounds.SharedStore>}.

        @raise ImportError: psycopg is not installed.
        @raise ValueError: libpq cannot read C{conninfo}.
        """
        super().__init__(**limits)
        check_bounds(lease=lease, connections=connections)
        library = psycopg()
        self._conninfo = conninfo
        self.lease = lease
        self._connections = connections
        self._lease: Lease | None = None
        self._keeper: Workers | None = None
        try:
            parts = library.conninfo.conninfo_to_dict(conninfo)
        except library.ProgrammingError as error:
            # Without what it quotes of the text, which may hold a password.
            reason = _line(error).partition(": ")[0]
            raise ValueError(
                f"PostgreSQL's library cannot read the address: {reason}; write"
                " postgresql://USER@HOST/DATABASE[?NAME=VALUE&...] with options of"
                " libpq's, or lease and connections"
            ) from error
        # Without the password.
        self._where = f"{parts.get('host') or 'localhost'}/{parts.get('dbname') or ''}"

    def start(self, reactor: Any) -> Deferred[None]:
        """
        @see: L{IDedupStore.start<twisted_rpc.interfaces.IDedupStore>}
        """
        self._begin_life()
        self._workers = self._work(reactor, self._connections)
        # By itself: no transaction of anybody's keeps a life from being renewed.
        self._keeper = self._work(reactor, 1)
        started: Deferred[None] = self._keeper.ask(self._begin)

        def began(_: Any) -> None:
            self._lease = Lease(reactor, self.lease, self._renewed)

        return started.addCallbacks(began, self._not_started)

    def _work(self, reactor: Any, threads: int) -> Workers:
        return Workers(
            reactor,
            self._connect,
            self._transitions.usage.committing,
            threads=threads,
            together=_TOGETHER,
            patience=self.patience,
        )

    def _not_started(self, failure: Any) -> Deferred[Any]:
        workers, self._workers = self._workers, None
        keeper, self._keeper = self._keeper, None
        assert workers is not None
        assert keeper is not None
        error = failure.value
        text = str(error) if isinstance(error, StoreError) else _line(error)
        failed = StoreError(f"the store cannot be used: {self._where}: {text}")

        def fail(_: Any) -> None:
            raise failed from error

        return gatherResults([workers.stop(), keeper.stop()]).addCallback(fail)

    def stop(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.stop<twisted_rpc.interfaces.IDedupStore>}
        """
        if self._workers is None:
            return succeed(None)
        # It lives until its transactions have ended.
        ended = self._workers.stop().addCallback(self._end, time.monotonic())
        return ended.addCallback(self._stopped)

    def _end(self, _: Any, since: float) -> Deferred[Any]:
        assert self._keeper is not None
        if self._lease is not None:
            self._lease.stop()
        return self._end_life(self._keeper, since)

    def _connect(self) -> PostgresConnection:
        try:
            return PostgresConnection(self._conninfo)
        except psycopg().Error as error:
            raise StoreError(_line(error)) from error

    def _begin(self, tx: PostgresConnection) -> None:
        """
        Make what is missing, begin a life, and settle what earlier lives left.
        """
        tx.execute("SELECT pg_advisory_xact_lock(?)", (_MAKING,))
        check_tables(
            lambda table: tx.execute(_COLUMNS, (table,)).fetchall(),
            "this database",
            create=self.create,
        )
        if self.create:
            self._make(tx)
        (version,) = tx.execute(
            "SELECT COALESCE(MAX(value), 0) FROM rpc_facts WHERE name = 'version'"
        ).fetchone()
        if version != VERSION:
            raise StoreError(
                "the tables were made by another version of this program: they are"
                f" version {version:g}, not {VERSION}"
            )
        self._revive(tx)
        if self.named:
            # Nobody else has the name, so whoever had it has ended.
            earlier = tx.execute(
                "SELECT owner FROM rpc_owners WHERE node = ? AND owner <> ?",
                (self.node, self.owner),
            ).fetchall()
            for (owner,) in earlier:
                self._transitions.settle(tx, owner)
        self._transitions.settle_gone(tx)
        self._transitions.look(tx, first=True)

    def _make(self, tx: PostgresConnection) -> None:
        for statement in (*TABLES, _FUNCTION, _FINISHING):
            tx.execute(statement)
        for name, value in (("version", VERSION), ("floor", 0), ("sessions", 0)):
            tx.execute(
                "INSERT INTO rpc_facts (name, value) VALUES (?, ?)"
                " ON CONFLICT DO NOTHING",
                (name, value),
            )

    def _renewed(self) -> Deferred[None]:
        assert self._keeper is not None
        renewed: Deferred[None] = self._keeper.ask(self._renew)
        return renewed

    def _renew(self, tx: PostgresConnection) -> None:
        renewed = tx.execute(
            "UPDATE rpc_owners SET lease = {now} + ? WHERE owner = ?",
            (self.lease, self.owner),
        ).rowcount
        if not renewed:
            self._revive(tx)

    def _revive(self, tx: PostgresConnection) -> None:
        """
        Begin this life, or go on with it after others have taken it for over: who
        is connected here uses a session all the same (D20).
        """
        tx.execute(
            "INSERT INTO rpc_owners (owner, node, lease) VALUES (?, ?, {now} + ?)"
            " ON CONFLICT (owner) DO UPDATE SET lease = excluded.lease",
            (self.owner, self.node, self.lease),
        )
        mark = mark_of(self.owner)
        tx.execute(USE + " WHERE holder = ANY(?)", (mark, mark, list(self.attached)))

    def __repr__(self) -> str:
        return f"<PostgresStore {self._where}>"


def _line(error: BaseException) -> str:
    """
    What a database says, in one line.
    """
    return " ".join(str(error).split()) or type(error).__name__
