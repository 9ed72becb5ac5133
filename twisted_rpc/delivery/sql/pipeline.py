# -*- test-case-name: tests.delivery.test_postgres -*-
"""
Several statements for PostgreSQL in one round trip.

psycopg has a pipeline too, which takes more time than the round trips it saves:
it adapts, prepares and looks after each statement by itself.  This uses libpq's
by psycopg's C{psycopg.pq}, with all that is sent at once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Sequence
from types import ModuleType
from typing import Any, Final

#: What a value is sent as: binary, so that a text is neither quoted nor cut at a
#: NUL, which the database refuses.
_BINARY: Final[dict[str, Callable[[Any], bytes]]] = {
    "bigint": struct.Struct("!q").pack,
    "float8": struct.Struct("!d").pack,
    "text": str.encode,
    "bytea": bytes,
}


_PREPARED: Final = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'rpc %'"


class Statement:
    """
    A statement without values, or the call of a function with some.

    @ivar name: what it is prepared as.
    @ivar text: what is prepared.
    """

    __slots__ = ("_formats", "_packs", "name", "text")

    def __init__(self, text: str, kinds: Sequence[str] = ()) -> None:
        """
        @param text: the statement, or the name of the function.
        @param kinds: the types of its values.
        """
        if kinds:
            marks = ", ".join(f"${at}::{kind}" for at, kind in enumerate(kinds, 1))
            text = f"SELECT {text}({marks})"
        self.text = text.encode()
        # No name of psycopg's.
        self.name = b"rpc " + self.text[:40]
        self._packs = [_BINARY[kind] for kind in kinds]
        self._formats = [1] * len(kinds)

    def send(self, pgconn: Any, values: Sequence[Any]) -> None:
        """
        Put it into the pipeline.
        """
        packed = [
            None if value is None else pack(value)
            for pack, value in zip(self._packs, values, strict=True)
        ]
        pgconn.send_query_prepared(self.name, packed, self._formats)


#: A statement and its values.
Sent = tuple[Statement, Sequence[Any]]


class Pipeline:
    """
    The pipeline of one connection.

    @ivar at: the statement whose result was looked at last.
    """

    def __init__(self, library: ModuleType, connection: Any) -> None:
        """
        @param library: psycopg.
        @param connection: of it, whose client encoding is UTF8.
        """
        self._library = library
        self._connection = connection
        self._pgconn = connection.pgconn
        self._prepared: set[bytes] = set()
        self.at: Statement | None = None
        status = library.pq.ExecStatus
        self._end = status.PIPELINE_SYNC
        self._good = {status.COMMAND_OK, status.TUPLES_OK}
        self._read_or_write = library.waiting.Wait.RW
        self._read = library.waiting.Wait.R
        self._readable = library.waiting.Ready.R

    def look(self) -> None:
        """
        Look what is prepared still: somebody may have deallocated it.  psycopg does
        so after what may have changed tables and types, at the latest after its
        next statement.
        """
        execute = self._connection.execute
        execute("SELECT", prepare=False)
        rows = execute(_PREPARED, prepare=False).fetchall()
        self._prepared = {name.encode() for (name,) in rows}

    def run(self, statements: Sequence[Sent]) -> list[Any]:
        """
        Send the statements, and wait for the results of all.

        @return: a C{PGresult} of each.

        @raise psycopg.Error: what the first that failed says; none after it was
            run.  The connection is closed if the answers could not be read to
            their end.
        """
        pgconn, prepared = self._pgconn, self._prepared
        self.at = None
        names: list[bytes] = []
        try:
            pgconn.enter_pipeline_mode()
            for statement, values in statements:
                name = statement.name
                if name not in prepared and name not in names:
                    names.append(name)
                    pgconn.send_prepare(name, statement.text)
                statement.send(pgconn, values)
            pgconn.pipeline_sync()
            results = self._connection.wait(self._results())
            pgconn.exit_pipeline_mode()
        except BaseException:
            # Nobody knows what is still under way.
            self._connection.close()
            raise
        return self._checked(statements, names, results)

    def _results(self) -> Generator[Any, int, list[Any]]:
        pgconn = self._pgconn
        results: list[Any] = []
        while True:
            unsent = pgconn.flush()
            ready = yield self._read_or_write if unsent else self._read
            if not ready & self._readable:
                continue
            pgconn.consume_input()
            ended = False
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    if ended:
                        raise self._library.OperationalError("the connection is lost")
                elif result.status == self._end:
                    return results
                else:
                    results.append(result)
                ended = result is None

    def _checked(
        self, statements: Sequence[Sent], names: list[bytes], results: list[Any]
    ) -> list[Any]:
        """
        @param names: of the statements that were prepared, each before its first
            use.
        """
        rest = iter(results)
        kept = []
        for statement, _ in statements:
            self.at = statement
            if statement.name in names:
                self._check(next(rest))
                names.remove(statement.name)
                self._prepared.add(statement.name)
            kept.append(self._check(next(rest)))
        return kept

    def _check(self, result: Any) -> Any:
        if result.status not in self._good:
            raise self._library.errors.error_from_result(result)
        return result
