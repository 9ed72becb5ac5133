# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
The limits of a store, and what the shared ones have in common.
"""

from __future__ import annotations

import socket
from typing import Final

from twisted_rpc.wire.limits import KIB, MIB


def check_positive(**numbers: float) -> None:
    """
    @raise ValueError: one of these limits cannot be kept; the text says why.
    """
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{name} is {value}: it must be above 0")


def check_bounds(**numbers: float) -> None:
    """
    The same of a store's bounds, of which C{total_bytes} is one.
    """
    check_positive(**numbers)
    total = numbers["total_bytes"]
    if total < 64 * KIB:
        raise ValueError(f"total_bytes is {total}: it must be at least 65536")


#: Characters that the name of a server may have.
_NODE: Final = 100


def check_node(name: str) -> None:
    """
    @raise ValueError: it is no name of a server.
    """
    if len(name) > _NODE or not name.isprintable():
        raise ValueError(
            f"node is {name[:200]!r}: at most {_NODE} characters that can be printed"
        )


class SharedStore:
    """
    What all stores that servers can share are told.

    @ivar node: the server's name, among those that share the store.
    @ivar named: whether it was given one.
    @ivar owner: this life of it, once it has begun.
    @ivar attached: the sessions that connections to it use.
    @ivar create: whether what is missing is made; else a store without records
        does not start.
    @ivar session_bytes: answers kept for one session.
    @ivar principal_bytes: answers kept for one principal's requests that have no
        session.
    @ivar total_bytes: everything together.
    @ivar sessions_per_principal: for C{anonymous}, whom all strangers share,
        C{sessions} holds instead.
    @ivar patience: seconds in which a step is tried again, or an answer waited
        for, when the store cannot be reached.
    """

    def __init__(
        self,
        *,
        node: str = "",
        retention: float = 86_400.0,
        window: int = 1024,
        waiters: int = 64,
        session_bytes: int = 4 * MIB,
        principal_bytes: int = 16 * MIB,
        total_bytes: int = 1024 * MIB,
        sessions_per_principal: int = 64,
        sessions: int = 10_000,
        patience: float = 5.0,
        create: bool = True,
    ) -> None:
        check_bounds(
            retention=retention,
            window=window,
            waiters=waiters,
            session_bytes=session_bytes,
            principal_bytes=principal_bytes,
            total_bytes=total_bytes,
            sessions_per_principal=sessions_per_principal,
            sessions=sessions,
            patience=patience,
        )
        check_node(node)
        self.named = bool(node)
        self.node = node or socket.gethostname()
        self.owner = ""
        self.attached: set[str] = set()
        self.patience = patience
        self.create = create
        self.retention = retention
        self.window = window
        self.waiters = waiters
        self.session_bytes = session_bytes
        self.principal_bytes = principal_bytes
        self.total_bytes = total_bytes
        self.sessions_per_principal = sessions_per_principal
        self.max_sessions = sessions
