# -*- test-case-name: tests.tools.test_storing -*-
"""
C{twisted-rpc sessions}: lists the sessions in a store of calls.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from twisted_rpc.quantities import shown_size
from twisted_rpc.tools.storing import (
    add_store,
    looking,
    shown_session,
    shown_time,
    shown_totals,
    table,
)
from twisted_rpc.tools.subcommand import Subcommand


async def list_sessions(store: Any, args: argparse.Namespace) -> str:
    """
    @return: what is in the store, and a line for each session.
    """
    totals = await store.totals()
    rows = [
        (
            shown_session(row.session),
            row.principal,
            f"{row.records}",
            f"{row.floor}",
            shown_size(row.size),
            shown_time(row.age),
            row.attached or f"unused for {shown_time(row.idle)}",
        )
        for row in await store.sessions(args.limit)
    ]
    head = ("SESSION", "PRINCIPAL", "RECORDS", "ACKED", "SIZE", "AGE", "USED BY")
    listed = table(head, rows, totals.sessions)
    return "\n".join(filter(None, [shown_totals(totals), listed]))


SESSIONS: Final = Subcommand(
    name="sessions",
    summary="list the sessions in a store of calls",
    add_arguments=add_store,
    run=looking(list_sessions),
    details="The longest unused come first.  Ids are cut: they are secrets.",
    examples="""\
  twisted-rpc sessions sqlite:calls.db
""",
)
