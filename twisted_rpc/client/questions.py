# -*- test-case-name: tests.client.test_client -*-
"""
What a client asks the framework of a server, not its services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.errors import Code, RPCError

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool


class Question:
    """
    A control call, such as C{health}, from the time it is asked.

    @ivar method: of C{$rpc}.
    @ivar answer: fires with the result, or fails with L{RPCError}.
    """

    def __init__(self, pool: Pool, method: str, params: list[Any]) -> None:
        self._pool = pool
        self._waiting = False
        self._tick = 0
        self.method = method
        self.params = params
        self.answer: Deferred[Any] = Deferred(self._cancelled)
        self._done = False

    def wait(self, deadline: float) -> None:
        """
        Wait for a connection, and then for the answer, until C{deadline}.
        """
        self._waiting = True
        self._pool.questions.add(self)
        self._tick = self._pool.deadlines.add(self, deadline)

    def sent(self) -> None:
        """
        It no longer waits for a connection, only for its answer.
        """
        self._waiting = False
        self._pool.questions.discard(self)

    def settled(self, answer: Any) -> None:
        """
        It has its answer, or a failure.
        """
        self.sent()
        self._pool.deadlines.discard(self, self._tick)
        if not self._done:
            self._done = True
            self.answer.callback(answer)

    def failed(self, error: RPCError) -> None:
        """
        There is no connection, or none that could carry it.
        """
        self.settled(Failure(error))

    def expired(self) -> None:
        """
        Neither a connection nor an answer came in time.
        """
        waited = self._waiting
        self.failed(
            RPCError(
                Code.DEADLINE_EXCEEDED,
                "no connection in time" if waited else "no answer in time",
                executed="no" if waited else "unknown",
            )
        )

    def _cancelled(self, _: Deferred[Any]) -> None:
        self._done = True
        self.settled(None)
