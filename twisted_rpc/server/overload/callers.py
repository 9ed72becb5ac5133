# -*- test-case-name: tests.server.test_overload -*-
"""
What each caller has in progress, over all of its connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakValueDictionary

from twisted_rpc.delivery.memory import ANONYMOUS
from twisted_rpc.server.overload.slots import Slots


def told_apart(principal: str, host: str) -> tuple[str, str]:
    """
    Who has a limit of its own: each who is authenticated, and each address of
    those who are not; they share a name, and one must not shut the others out.
    """
    return principal, host if principal == ANONYMOUS else ""


class Caller(Slots):
    """
    The slots of one of them.

    Each call in progress on its connections has one, those included that wait
    for another limit; those that wait for this one do not.
    """

    def _entered(self, origin: Any) -> None:
        origin.hold()

    def _left(self, origin: Any) -> None:
        origin.free()


class Callers:
    """
    Those who are connected, or have calls in progress.
    """

    def __init__(self, make: Callable[[], Caller]) -> None:
        self._make = make
        # Connections keep theirs, and calls in progress their connection.
        self._callers: WeakValueDictionary[tuple[str, str], Caller] = (
            WeakValueDictionary()
        )

    def __len__(self) -> int:
        return len(self._callers)

    def __iter__(self) -> Iterator[Caller]:
        return iter(list(self._callers.values()))

    def get(self, principal: str, host: str) -> Caller:
        """
        @param host: where it comes from.
        """
        key = told_apart(principal, host)
        caller = self._callers.get(key)
        if caller is None:
            caller = self._callers[key] = self._make()
        return caller
