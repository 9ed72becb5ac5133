# -*- test-case-name: tests.server.test_conversation -*-
"""
A call whose answer has not come yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.call import Request
from twisted_rpc.errors import Code, Executed, RPCError, refusal

if TYPE_CHECKING:
    from twisted_rpc.server.protocol import ServerProtocol


class Waiting:
    """
    One attempt that waits on one connection; it is answered exactly once.
    """

    __slots__ = ("_allowed", "_answer", "_deadlines", "_protocol", "_tick", "request")

    def __init__(
        self, protocol: ServerProtocol, request: Request, answer: Deferred[bytes]
    ) -> None:
        self.request = request
        self._protocol: ServerProtocol | None = protocol
        self._answer = answer
        self._allowed = request.deadline - protocol.arrived
        self._deadlines = protocol.shared.deadlines
        self._tick = self._deadlines.add(self, request.deadline)
        answer.addCallbacks(self._succeeded, self._failed)

    @property
    def open(self) -> bool:
        """
        Whether it has not been answered yet.
        """
        return self._protocol is not None

    def _succeeded(self, result: bytes) -> None:
        protocol = self._end()
        if protocol is not None:
            protocol.reply(self.request, result)

    def _failed(self, failure: Failure) -> None:
        protocol = self._end()
        if protocol is not None:
            error = failure.value
            if not isinstance(error, RPCError):
                error = protocol.unexpected(self.request, failure)
            protocol.fail(self.request, error)

    def _end(self) -> ServerProtocol | None:
        self._deadlines.discard(self, self._tick)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.forget(self)
        return protocol

    def expired(self) -> None:
        """
        The caller no longer waits.  The run is cancelled if nobody else does.
        """
        self._give_up(
            refusal(
                Code.DEADLINE_EXCEEDED,
                f"still running after {self._allowed * 1000:.0f} ms",
                executed=self._ran,
            )
        )

    def cancelled(self) -> None:
        """
        The caller has given the call up.
        """
        self._give_up(
            refusal(Code.CANCELLED, "cancelled by the caller", executed=self._ran)
        )

    def lost(self) -> None:
        """
        The connection is lost.  That cancels only calls that change nothing;
        others are recorded when they end, and cancelled at their deadline if
        nobody else waits.
        """
        self._protocol = None
        if self.request.method.delivery == "readonly":
            self._deadlines.discard(self, self._tick)
            self._answer.cancel()

    def _give_up(self, error: RPCError) -> None:
        protocol = self._end()
        if protocol is not None:
            protocol.fail(self.request, error)
        self._answer.cancel()

    @property
    def _ran(self) -> Executed:
        return "unknown" if self.request.started else "no"
