# -*- test-case-name: tests.delivery.test_recording -*-
"""
A call between its request and its answer, where a store stands between the two.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.call import Request
from twisted_rpc.delivery.claims import Claim
from twisted_rpc.delivery.records import Outcome, frozen
from twisted_rpc.errors import RPCError


class Call:
    """
    A call under way, and all who wait for it.

    @ivar request: the one that started it.
    @ivar answer: of the implementation, while that runs and has not answered; or
        of what it waits for.
    @ivar held: its connection counts it.
    @ivar given_up: nobody waits any more.
    @ivar refused: why it may not run.
    @ivar delay: seconds until the store is asked again.
    @ivar lost: nobody asks for it; it may be claimed here, and is to be let go.
    @ivar resolved: the application was asked what became of it.
    """

    __slots__ = (
        "_waiting",
        "answer",
        "claim",
        "delay",
        "given_up",
        "held",
        "lost",
        "refused",
        "request",
        "resolved",
    )

    def __init__(self, request: Request, claim: Claim) -> None:
        self.request = request
        self.claim = claim
        self.answer: Deferred[bytes] | None = None
        self.given_up = False
        self.refused: RPCError | None = None
        self.delay = 0.0
        self.lost = False
        self.resolved = False
        self.held = False
        self._waiting: list[tuple[Deferred[bytes], Request]] = []

    def join(self, request: Request) -> Deferred[bytes]:
        """
        Wait, on behalf of C{request}.

        @return: fires with the encoded result, or fails as the call does.
        """
        waiter: Deferred[bytes] = Deferred(self._leave)
        self._waiting.append((waiter, request))
        self.given_up = False
        return waiter

    def __len__(self) -> int:
        return len(self._waiting)

    def _leave(self, waiter: Deferred[bytes]) -> None:
        self._waiting = [each for each in self._waiting if each[0] is not waiter]
        if not self._waiting:
            self.given_up = True
            if self.answer is not None:
                # W27: the last has left.
                self.request.cancelled = True
                self.answer.cancel()

    def tell(self, outcome: Outcome, *, replayed: bool = False) -> None:
        """
        Answer everybody, each exactly once.
        """
        waiting, self._waiting = self._waiting, []
        for waiter, request in waiting:
            request.replayed = replayed
            if isinstance(outcome, RPCError):
                error = frozen(outcome)
                error.replayed = replayed
                waiter.errback(Failure(error))
            else:
                waiter.callback(outcome)

    def hold(self) -> None:
        """
        Count it on its connection, while it waits for the store.
        """
        if not self.held:
            self.held = True
            self.request.origin.begun()

    def free(self) -> None:
        """
        The implementation counts it from now on, or it has ended.
        """
        if self.held:
            self.held = False
            self.request.origin.ended()
