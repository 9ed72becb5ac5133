"""
The tables, in the words that SQLite and PostgreSQL share.

What differs stands in braces: C{{share}}, C{{update}}, C{{update_h}} and C{{skip}}
lock rows where a database locks rows, C{{now}} is its clock in Unix seconds, C{{blob}} and
C{{real}} are its types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from twisted_rpc.delivery.claims import StoreError

#: Inserts a record, as L{Transaction.insert
#: <twisted_rpc.delivery.sql.transitions.Transaction.insert>} says.
INSERT: Final = """
    INSERT INTO rpc_records (seq, name, owner, delivery, method, params, size, stamp,
                             holder, state, fence, begun, ended)
    SELECT {columns}, 'IN_PROGRESS', 1, {now}, 0 FROM rpc_holders
    WHERE holder = {holder} AND principal = {principal}
          AND floor < {above} AND floor >= {least}
    ON CONFLICT DO NOTHING RETURNING fence
"""

#: Completes one.
COMPLETE: Final = """
    UPDATE rpc_records
    SET state = {state}, outcome = {outcome}, size = {size}, ended = {now}
    WHERE {key} AND fence = {fence} AND state IN ('IN_PROGRESS', 'IN_DOUBT')
"""

#: Of the tables, and of what their rows mean; a store made by another version is
#: not touched.
VERSION: Final = 2

#: Every name begins with this, so that they may stand beside the tables of the
#: application.
PREFIX: Final = "rpc_"

TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS rpc_facts (
        name TEXT PRIMARY KEY,
        value {real} NOT NULL
    ) {small}
    """,
    # Servers that are alive, as far as is known.
    """
    CREATE TABLE IF NOT EXISTS rpc_owners (
        owner TEXT PRIMARY KEY,
        node TEXT NOT NULL,
        lease {real} NOT NULL
    ) {small}
    """,
    # Sessions, and what principals have asked without one: a floor each.
    """
    CREATE TABLE IF NOT EXISTS rpc_holders (
        holder TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        floor {real} NOT NULL,
        owner TEXT NOT NULL,
        made {real} NOT NULL,
        detached {real} NOT NULL
    ) {small}
    """,
    "CREATE INDEX IF NOT EXISTS rpc_holders_principal ON rpc_holders (principal, detached)",
    """
    CREATE TABLE IF NOT EXISTS rpc_records (
        holder TEXT NOT NULL,
        seq BIGINT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        fence BIGINT NOT NULL,
        owner TEXT NOT NULL,
        delivery TEXT NOT NULL,
        method TEXT NOT NULL,
        params {blob} NOT NULL,
        outcome {blob},
        size BIGINT NOT NULL,
        stamp {real} NOT NULL,
        begun {real} NOT NULL,
        ended {real} NOT NULL,
        PRIMARY KEY (holder, seq, name)
    ) {small}
    """,
    # What runs, and what may have: few rows of many.
    """
    CREATE INDEX IF NOT EXISTS rpc_records_open ON rpc_records (owner)
    WHERE state = 'IN_PROGRESS'
    """,
    """
    CREATE INDEX IF NOT EXISTS rpc_records_doubt ON rpc_records (ended)
    WHERE state = 'IN_DOUBT' OR owner = 'resolved'
    """,
    """
    CREATE INDEX IF NOT EXISTS rpc_records_dated ON rpc_records (ended)
    WHERE seq = 0 AND state <> 'IN_PROGRESS'
    """,
)

#: By which they are told from other tables that have their names.
COLUMNS: Final = {
    "rpc_facts": {"name", "value"},
    "rpc_owners": {"owner", "node", "lease"},
    "rpc_holders": {"holder", "principal", "floor", "owner", "made", "detached"},
    "rpc_records": {
        *("holder", "seq", "name", "state", "fence", "owner", "delivery", "method"),
        *("params", "outcome", "size", "stamp", "begun", "ended"),
    },
}


def check_tables(
    columns: Callable[[str], Iterable[tuple[str]]], where: str, *, create: bool
) -> None:
    """
    See that the tables are ours, before anything is changed.

    @param columns: rows with the names of a table's columns; none: there is no
        such table.
    @param where: the database, for a person.
    @param create: tables may be missing.

    @raise StoreError: they are not.
    """
    found = {table: {name for (name,) in columns(table)} for table in COLUMNS}
    for table, names in found.items():
        missing = sorted(COLUMNS[table] - names)
        if names and missing:
            raise StoreError(
                f"the table {table} in {where} was not made by twisted_rpc (it has no"
                f" column {missing[0]}); keep records elsewhere"
            )
    if not create and not all(found.values()):
        raise StoreError(f"there are no records of twisted_rpc in {where}")
