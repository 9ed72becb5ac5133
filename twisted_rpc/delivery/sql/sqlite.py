# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
Records in an SQLite file: they outlive the process, and several processes of one
machine may share them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from twisted_rpc.delivery.claims import StoreError, UncommittedError
from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.sql.locks import OwnerLock, is_gone, lock_path, remove_if_free
from twisted_rpc.delivery.sql.schema import (
    COMPLETE,
    INSERT,
    PREFIX,
    TABLES,
    VERSION,
    check_tables,
)
from twisted_rpc.delivery.sql.store import SQLStore
from twisted_rpc.delivery.sql.transaction import GuardedTransaction
from twisted_rpc.delivery.sql.workers import Workers
from twisted_rpc.errors import RPCError
from twisted_rpc.interfaces import IDedupStore

_WORDS: Final = {
    "share": "",
    "update": "",
    "update_h": "",
    "skip": "",
    "now": "rpc_now()",
    "blob": "BLOB",
    "real": "REAL",
    "small": "WITHOUT ROWID",
    "int": "?",
    "text": "?",
    "bytes": "?",
    "float": "?",
}

# Not the texts that an application would write: sqlite3 keeps statements by
# their text, and the guard looks at them when they are read.
_BEGIN: Final = "BEGIN IMMEDIATE /* rpc */"
_COMMIT: Final = "COMMIT /* rpc */"
_ROLLBACK: Final = "ROLLBACK /* rpc */"
_SAVEPOINT: Final = "SAVEPOINT rpc_call"
_RELEASE: Final = "RELEASE rpc_call"
_UNDO: Final = "ROLLBACK TO rpc_call"

_CLAIM: Final = INSERT.format(
    columns="?, ?, ?, ?, ?, ?, ?, ?, ?9",
    holder="?9",
    principal="?",
    above="?",
    least="?",
    now="rpc_now()",
)

_FINISH: Final = COMPLETE.format(
    state="?",
    outcome="?",
    size="?",
    key="holder = ? AND seq = ? AND name = ?",
    fence="?",
    now="rpc_now()",
)

_STRUCTURE: Final = frozenset(
    {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
)
#: What reads or changes a table, whose name comes first.
_TABLES: Final = frozenset(
    {
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_CREATE_TABLE,
    }
)

#: Seconds that one attempt waits for others that write, at most; between two it is
#: seen who has waited long enough.
_ATTEMPT: Final = 1.0

#: SQLite's own numbers, without the details.
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class _UndoneError(Exception):
    """The database undid a transaction by itself, e.g. for want of room."""


class SQLiteConnection:
    """
    A connection of one thread, and the transaction that is open on it.
    """

    def __init__(self, path: Path, wall: Callable[[], float], patience: float) -> None:
        """
        @param patience: seconds to wait for others that write.
        """
        self._path = path
        self._running = False
        self._texts: dict[str, str] = {}
        self.grown: dict[str, int] = {}
        self._database = database = sqlite3.connect(
            path, timeout=patience, isolation_level=None, cached_statements=256
        )
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
            database.create_function("rpc_now", 0, wall)
            database.set_authorizer(self._allow)
        except BaseException:
            database.close()
            raise
        self._run = database.execute

    def _allow(
        self, action: int, first: str | None, second: str | None, *_: Any
    ) -> int:
        """
        Keep an implementation from ending its transaction, and from our tables.
        """
        if not self._running:
            return sqlite3.SQLITE_OK
        if (
            action in _STRUCTURE
            or (action == sqlite3.SQLITE_PRAGMA and second is not None)
            or (action in _TABLES and (first or "").startswith(PREFIX))
        ):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def begin(self) -> SQLiteConnection:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        self._run(_BEGIN)
        self.grown = {}
        return self

    def commit(self) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        try:
            self._run(_COMMIT)
        except sqlite3.IntegrityError as error:
            # Of a constraint that is deferred: our own are not.
            raise UncommittedError(str(error)) from error

    def rollback(self) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        self._running = False
        if self._database.in_transaction:
            self._run(_ROLLBACK)

    def close(self) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        self._database.close()

    def lost(self, error: BaseException) -> bool:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        return False

    def passing(self, error: BaseException) -> bool:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        return _number(error) in _PASSING

    def trouble(self, error: BaseException) -> str | None:
        """
        @see: L{twisted_rpc.delivery.sql.workers.Connection}
        """
        if isinstance(error, sqlite3.Error | _UndoneError):
            return f"{self._path}: {error}"
        return None

    # -- the transaction --------------------------------------------------------------

    def execute(self, sql: str, args: Sequence[Any] = ()) -> sqlite3.Cursor:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        text = self._texts.get(sql)
        if text is None:
            text = self._texts[sql] = sql.format(**_WORDS)
        return self._run(text, args)

    def insert(self, row: Sequence[Any], *, runs: bool) -> int | None:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        found = self._run(_CLAIM, row).fetchone()
        return None if found is None else found[0]

    def finish(self, row: Sequence[Any]) -> None:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        if not self._run(_FINISH, row).rowcount:
            raise _UndoneError("the record of a call is gone while it runs")

    def gone(self, owner: str) -> bool:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        return is_gone(self._path, owner)

    def alone(self, run: Callable[[Any], Outcome | None]) -> Outcome | None:
        """
        @see: L{twisted_rpc.delivery.sql.transitions.Transaction}
        """
        guarded = GuardedTransaction(self._database, self.passing)
        self._run(_SAVEPOINT)
        self._running = True
        try:
            outcome = run(guarded)
        finally:
            self._running = False
            guarded.end()
        if guarded.broken is not None:
            raise guarded.broken
        if not self._database.in_transaction:
            raise _UndoneError("the transaction was undone by the database")
        if outcome is None or isinstance(outcome, RPCError):
            self._run(_UNDO)
        self._run(_RELEASE)
        return outcome


def _number(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _file(path: str | Path) -> Path:
    text = str(path)
    if text.startswith("file:"):
        # As a path it would be a file of that name.
        raise ValueError(f"sqlite: {text!r} is a URI; write the path alone: calls.db")
    if not text or text.startswith(":memory:"):
        # Records that are gone with the process need no database.
        raise ValueError(
            f"sqlite: {text!r} names no file; write, for example, calls.db"
        )
    return Path(path)


@implementer(IDedupStore)
class SQLiteStore(SQLStore):
    """
    Records in an SQLite file.

    C{@transactional} methods run in the one thread that writes it, one after the
    other, on tables that are in the same file.

    @ivar path: the file; it is made if there is none.
    """

    name: Final = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        wall: Callable[[], float] = time.time,
        **limits: Any,
    ) -> None:
        """
        @param wall: Unix seconds.
        @param limits: as of L{SharedStore<twisted_rpc.delivery.bounds.SharedStore>}.

        @raise ValueError: C{path} is no file's: SQLite has other names too.
        """
        super().__init__(**limits)
        self.path = _file(path).absolute()
        self._wall = wall
        self._lock: OwnerLock | None = None

    def start(self, reactor: Any) -> Deferred[None]:
        """
        @see: L{IDedupStore.start<twisted_rpc.interfaces.IDedupStore>}

        @return: has fired already.
        """
        self._begin_life()
        try:
            self._open()
        except (sqlite3.Error, OSError, ValueError, StoreError) as error:
            # ValueError: a path with a null byte.
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            return fail(StoreError(f"the store cannot be used: {self._why(error)}"))
        self._workers = Workers(
            reactor,
            self._connect,
            self._transitions.usage.committing,
            patience=self.patience,
        )
        return succeed(None)

    def _connect(self) -> SQLiteConnection:
        try:
            return SQLiteConnection(self.path, self._wall, min(self.patience, _ATTEMPT))
        except sqlite3.Error as error:
            raise StoreError(self._why(error)) from error

    def _why(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{self.path}: {error.strerror or error}"
        if _number(error) in _CORRUPT:
            return f"{self.path} is not an SQLite database, or is damaged ({error})"
        return str(error) if isinstance(error, StoreError) else f"{self.path}: {error}"

    def _open(self) -> None:
        """
        Make what is missing, and settle what earlier lives left (D22).
        """
        if not self.path.parent.is_dir():
            raise StoreError(f"there is no folder {self.path.parent}")
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder")
        if not self.path.exists():
            if not self.create:
                raise StoreError(f"there is no file {self.path}")
            # Answers and ids of sessions are nobody else's business.
            self.path.touch(0o600)
        if not os.access(self.path, os.R_OK | os.W_OK):
            raise StoreError(f"{self.path} may not be read and written by this user")
        self._check_tables()
        connection = SQLiteConnection(self.path, self._wall, self.patience)
        try:
            connection.begin()
            for table in TABLES:
                connection.execute(table)
            self._check_version(connection)
            self._lock = OwnerLock(self.path, self.owner)
            connection.execute(
                "INSERT INTO rpc_owners (owner, node, lease) VALUES (?, ?, 0)",
                (self.owner, self.node),
            )
            self._transitions.settle_gone(connection)
            self._transitions.look(connection, first=True)
            connection.commit()
        finally:
            connection.close()
        for left in self.path.parent.glob(f"{self.path.name}-owner-*"):
            if left != lock_path(self.path, self.owner):
                remove_if_free(left)

    def _check_tables(self) -> None:
        # A connection of ours makes the file one with a log, whosever it is.
        with closing(sqlite3.connect(self.path, timeout=self.patience)) as database:
            ask = "SELECT name FROM pragma_table_info(?)"
            check_tables(
                lambda table: database.execute(ask, (table,)),
                f"{self.path}",
                create=self.create,
            )

    def _check_version(self, connection: SQLiteConnection) -> None:
        for name, value in (("version", VERSION), ("floor", 0), ("sessions", 0)):
            connection.execute(
                "INSERT INTO rpc_facts (name, value) VALUES (?, ?)"
                " ON CONFLICT DO NOTHING",
                (name, value),
            )
        version = connection.execute(
            "SELECT value FROM rpc_facts WHERE name = 'version'"
        ).fetchone()[0]
        if version != VERSION:
            raise StoreError(
                f"{self.path} was made by another version of this program: its tables"
                f" are version {version:g}, not {VERSION}"
            )

    def _stopped(self, result: Any) -> None:
        super()._stopped(result)
        if self._lock is not None:
            with suppress(OSError):
                self._lock.release()
            self._lock = None

    def __repr__(self) -> str:
        return f"<SQLiteStore {self.path}>"
