# -*- test-case-name: tests.client.test_pool -*-
"""
The calls that no connection has taken yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted_rpc.deadlines import Deadlines
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.limits import MIB

if TYPE_CHECKING:
    from twisted_rpc.client.calls import Call

#: Calls, and bytes of their arguments, that wait for a connection (C9).
MAX_WAITING: Final = 1_000
MAX_WAITING_BYTES: Final = 8 * MIB


class WaitingCalls(dict["Call", None]):
    """
    Calls in the order in which they came; each ends when its time is up.

    A dict, so that asking whether any wait costs nothing.

    @ivar size: bytes of their arguments.
    """

    def __init__(self, deadlines: Deadlines, calls: int, bytes: int) -> None:
        """
        @param calls: how many may wait for a connection.
        @param bytes: how many their arguments may have together.
        """
        super().__init__()
        self._deadlines = deadlines
        self._calls = calls
        self._bytes = bytes
        self.size = 0

    def add(self, call: Call) -> None:
        """
        C{call} waits.
        """
        self[call] = None
        self.size += len(call.params)
        call.tick = self._deadlines.add(call, call.deadline)

    def discard(self, call: Call) -> None:
        """
        C{call} no longer waits, if it did.
        """
        if call in self:
            del self[call]
            self.size -= len(call.params)
            self._deadlines.discard(call, call.tick)

    def clear(self) -> None:
        """
        None waits.
        """
        for call in list(self):
            self.discard(call)

    def refusal(self, size: int) -> RPCError | None:
        """
        @return: why a call with arguments of C{size} bytes cannot wait for a
            connection, or C{None}.
        """
        if len(self) < self._calls and self.size + size <= self._bytes:
            return None
        return RPCError(
            Code.RESOURCE_EXHAUSTED,
            f"{len(self)} calls with {self.size} bytes wait for a connection already",
            executed="no",
        )
