# -*- test-case-name: tests.delivery.test_transaction -*-
"""
The transaction that a C{@transactional} method is given.
"""

from __future__ import annotations

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
        if name in {"execute", "executemany", "executescript"}:

            def execute(*args: Any, **kwargs: Any) -> GuardedCursor:
                self._transaction.check()
                value(*args, **kwargs)
                return self

            return execute if name != "executescript" else self._refuse_script
        return value

    def _refuse_script(self, script: str) -> None:
        # sqlite3 commits before it runs one.
        raise RuntimeError("executescript would commit the transaction of the call")

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
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._ended = False

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
        self.check()
        return GuardedCursor(self._connection.execute(*args, **kwargs), self)

    def executemany(self, *args: Any, **kwargs: Any) -> GuardedCursor:
        """
        Run a statement once for each of many arguments.
        """
        self.check()
        cursor = self._connection.cursor()
        cursor.executemany(*args, **kwargs)
        return GuardedCursor(cursor, self)

    def __getattr__(self, name: str) -> Any:
        self.check()
        if name in _OURS or name == "executescript":
            raise RuntimeError(
                f"{name} would end the transaction of the call, which is committed"
                " when its method has returned; raise an error to undo what it did"
            )
        return getattr(self._connection, name)

    def __enter__(self) -> Self:
        raise RuntimeError(
            "'with' would end the transaction of the call, which is committed when its"
            " method has returned"
        )

    def __exit__(self, *_: object) -> None:
        raise RuntimeError("the transaction was not entered")
