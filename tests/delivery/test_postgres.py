"""
Tests for L{twisted_rpc.delivery.sql.postgres}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import TestCase

from tests.servers import postgres
from twisted_rpc.delivery.sql.postgres import PostgresStore
from twisted_rpc.testing import DedupStoreTests


class PostgresStoreTests(DedupStoreTests, TestCase):
    """
    The store in PostgreSQL, by the interface.
    """

    def setUp(self) -> None:
        self.server = postgres()
        self.url = self.server.schema()

    def make_store(self, **limits: Any) -> PostgresStore:
        """Another server on the database."""
        return PostgresStore(self.url, connections=2, patience=0.5, **limits)

    def execute(self, sql: str, *args: Any) -> None:
        """Somebody changes the tables."""
        import psycopg  # noqa: PLC0415 - not where there is none

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql, args)

    def advance(self, seconds: float) -> None:
        """The database's clock is real; what it has written becomes older."""
        self.execute(
            "UPDATE rpc_holders SET made = made - %s,"
            " detached = CASE WHEN detached > 0 THEN detached - %s ELSE 0 END",
            seconds,
            seconds,
        )
        self.execute(
            "UPDATE rpc_records SET begun = begun - %s, ended = ended - %s",
            seconds,
            seconds,
        )

    def crash(self, store: PostgresStore) -> None:
        """Its lease is over."""
        store._transitions.settle = lambda *_: None  # type: ignore[method-assign]
        self.execute("UPDATE rpc_owners SET lease = 0 WHERE owner = %s", store.owner)

    def interrupt(self) -> Callable[[], None]:
        """The database is killed."""
        self.server.kill()
        return self.server.start
