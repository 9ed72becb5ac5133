# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
The limits of a store, and what the shared ones have in common.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from math import inf
from typing import Final, NamedTuple

from twisted.python.failure import Failure

from twisted_rpc.delivery.claims import Attached, StoreError
from twisted_rpc.wire.limits import KIB, MIB


class Range(NamedTuple):
    """
    What a number of a store may be.

    @ivar low: at least.
    @ivar high: at most.
    @ivar unit: what it counts.
    @ivar off: C{math.inf} switches it off, where the store is in memory.
    """

    low: float
    high: float
    unit: str
    off: bool = True


#: Ten years; less than a millisecond is no time for a store.
_TIME: Final = Range(0.001, 315_360_000, "seconds")
_COUNT: Final = Range(1, 1_000_000, "calls")
#: Numbers that every store and JSON hold exactly.
_SIZE: Final = Range(1, 2**50, "bytes")

#: The numbers of all stores.
RANGES: Final[Mapping[str, Range]] = {
    "retention": _TIME,
    "window": _COUNT._replace(off=False),
    "waiters": _COUNT,
    "session_bytes": _SIZE,
    "principal_bytes": _SIZE,
    "total_bytes": _SIZE._replace(low=64 * KIB, off=False),
    "sessions_per_principal": _COUNT._replace(unit="sessions"),
    "sessions": Range(1, 10_000_000, "sessions"),
    "patience": Range(0.001, 3600, "seconds"),
    # It is renewed at a third of it, which takes a step of the store.
    "lease": Range(0.5, 2_592_000, "seconds"),
    # Each has a thread.
    "connections": Range(1, 1000, "connections"),
    "database": Range(0, 2**31 - 1, "as Redis counts them"),
}


def check_bounds(*, off: bool = False, **numbers: float) -> None:
    """
    @param off: C{math.inf} is allowed where it makes sense.

    @raise ValueError: one of these cannot be kept; the text says what can.
    """
    for name, value in numbers.items():
        low, high, unit, switched = RANGES[name]
        # Not "below" and not "above": NaN is neither.
        if low <= value <= high or (off and switched and value == inf):
            continue
        if off and value == inf:
            raise ValueError(f"{name} cannot be switched off")
        raise ValueError(
            f"{name} is {value:.16g}: it must be from {low:.16g} to {high:.16g} {unit}"
        )


def with_room(sessions: float) -> float:
    """
    @param sessions: that there may be.

    @return: so many there may be with those of callers who are authenticated: a
        tenth more, which strangers cannot take from them (D19).
    """
    return sessions if sessions == inf else sessions + sessions // 10


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

    def _used(self, attached: Attached) -> Attached:
        self.attached.add(attached.session)
        return attached

    def _unheard(self, failure: Failure, session: str) -> Failure:
        """
        What would have made C{session} failed, and may have made it.
        """
        error = failure.value
        if isinstance(error, StoreError) and error.ambiguous:
            error.session = session
        return failure
