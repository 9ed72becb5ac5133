# -*- test-case-name: tests.delivery.test_transaction -*-
"""
The transaction that a C{@transactional} method is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Self

#: What ends a transaction, or the connection, or changes what either means.
_OURS: Final = frozenset(
    {
        "autocommit",
        "backup",
        "cancel",
        "close",
        "commit",
        "isolation_level",
        "pipeline",
        "rollback",
        "set_authorizer",
        "set_autocommit",
        "transaction",
        "tpc_begin",
        "tpc_commit",
        "tpc_prepare",
        "tpc_rollback",
    }
)


_BLANK: Final = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*"
_ENDING: Final = (
    r"ABORT|COMMIT|PREPARE\s+TRANSACTION|"
    r"ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)"
)

#: A statement that ends a transaction, alone or after another one; C{ROLLBACK TO}
#: does not, nor does the C{END} of a block of PL/pgSQL.
_ENDS: Final = re.compile(
    rf"(?:\A{_BLANK}(BEGIN|END|START|{_ENDING})|;{_BLANK}({_ENDING}))\b",
    re.IGNORECASE | re.DOTALL,
)


#: What deallocates prepared statements, or lets psycopg do so.
_DEALLOCATES: Final = re.compile(
    r"\b(?:ALTER|DEALLOCATE|DISCARD|DROP|ROLLBACK)\b", re.IGNORECASE
)


@lru_cache(512)
def _looked_at(text: str) -> tuple[str, bool]:
    """
    @return: the word in a statement that would end its transaction, if there is
        one, and whether it may deallocate what was prepared.
    """
    ending = _ENDS.search(text)
    word = "" if ending is None else ending[1] or ending[2]
    return word, _DEALLOCATES.search(text) is not None


def _ends(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} would end the transaction of the call, which is committed when its"
        " method has returned; raise an error to undo what it did"
    )


class TransactionEndedError(Exception):
    """
    A transaction was used after the method that was given it had returned.
    """


class GuardedCursor:
    """
    A cursor that is of no use once its transaction has ended.
    """

    def __init__(self, cursor: Any, transaction: GuardedTransaction) -> None:
        self._cursor = cursor
        self._transaction = transaction

    def __getattr__(self, name: str) -> Any:
        self._transaction.check()
        value = getattr(self._cursor, name)
        if name == "executescript":
            # sqlite3 commits before it runs one.
            raise _ends("executescript")
        return value

    def execute(self, sql: Any, *args: Any, **kwargs: Any) -> Self:
        """
        Run a statement.
        """
        self._transaction.run(self._cursor.execute, sql, *args, **kwargs)
        return self

    def executemany(self, sql: Any, *args: Any, **kwargs: Any) -> Self:
        """
        Run a statement once for each of many arguments.
        """
        self._transaction.run(self._cursor.executemany, sql, *args, **kwargs)
        return self

    def __iter__(self) -> GuardedCursor:
        return self

    def __next__(self) -> Any:
        self._transaction.check()
        return next(self._cursor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()


class GuardedTransaction:
    """
    A DB-API connection without what would end its transaction.

    Everything else is the connection's own: C{cursor()}, and C{execute()} where
    it has that.

    @ivar broken: an error after which the database has to be asked again from
        the beginning, whatever the method makes of it; C{None}, there was none.
    @ivar deallocates: whether a statement may have deallocated what was prepared.
    """

    def __init__(
        self, connection: Any, breaks: Callable[[BaseException], bool]
    ) -> None:
        """
        @param breaks: whether an error of the database is such.
        """
        self._connection = connection
        self._breaks = breaks
        self._ended = False
        self.broken: Exception | None = None
        self.deallocates = False

    def check(self) -> None:
        """
        @raise TransactionEndedError: it has ended.
        """
        if self._ended:
            raise TransactionEndedError(
                "the transaction of a call ends when its method returns; this one has"
            )

    def end(self) -> None:
        """
        The method has returned.
        """
        self._ended = True

    def cursor(self, *args: Any, **kwargs: Any) -> GuardedCursor:
        """
        A cursor of the connection.
        """
        self.check()
        return GuardedCursor(self._connection.cursor(*args, **kwargs), self)

    def execute(self, *args: Any, **kwargs: Any) -> GuardedCursor:
        """
        Run a statement.

        @return: the cursor of its rows.
        """
        return self.cursor().execute(*args, **kwargs)

    def executemany(self, *args: Any, **kwargs: Any) -> GuardedCursor:
        """
        Run a statement once for each of many arguments.
        """
        return self.cursor().executemany(*args, **kwargs)

    def run(self, execute: Callable[..., Any], sql: Any, *args: Any, **kw: Any) -> None:
        """
        Run a statement, unless it would end the transaction.
        """
        self.check()
        text = sql.decode(errors="replace") if isinstance(sql, bytes) else sql
        if hasattr(text, "as_string"):
            # One that psycopg composes.
            text = text.as_string(self._connection)
        ending, deallocates = _looked_at(text) if isinstance(text, str) else ("", True)
        if ending:
            raise _ends(ending)
        self.deallocates = self.deallocates or deallocates
        try:
            execute(sql, *args, **kw)
        except Exception as error:
            if self._breaks(error):
                self.broken = error
            raise

    def __getattr__(self, name: str) -> Any:
        self.check()
        if name in _OURS or name == "executescript":
            raise _ends(name)
        return getattr(self._connection, name)

    def __enter__(self) -> Self:
        raise _ends("'with'")

    def __exit__(self, *_: object) -> None:
        raise RuntimeError("the transaction was not entered")
