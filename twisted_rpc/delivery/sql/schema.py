"""
The tables, in the words that SQLite and PostgreSQL share.

What differs stands in braces: C{{share}}, C{{update}}, C{{update_h}} and C{{skip}}
lock rows where a database locks rows, C{{now}} is its clock in Unix seconds, C{{blob}} and
C{{real}} are its types.
"""

from __future__ import annotations

from typing import Final

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

#: Of the tables; a store made by a later version is not touched.
VERSION: Final = 1

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
