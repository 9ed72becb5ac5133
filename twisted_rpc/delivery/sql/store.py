# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
A store in a database: the steps, in the threads.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.delivery.bounds import SharedStore
from twisted_rpc.delivery.claims import (
    Attached,
    Claim,
    Found,
    Key,
    RecordRow,
    SessionRow,
    StoreError,
    Totals,
)
from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.sql.transitions import Transitions
from twisted_rpc.delivery.sql.workers import Step, Workers

#: Seconds after which a thread that wants to run may: with 64 calls in flight it
#: halves the longest waits, and costs nothing that can be measured.
_SWITCH: Final = 0.0005


class SQLStore(SharedStore):
    """
    What the stores in databases have in common.
    """

    _log = Logger(namespace="twisted_rpc.delivery")

    name: str
    durable: Final = True
    shared: Final = True
    classes: Final = ("readonly", "idempotent", "once", "transactional")
    #: Whether each run has a transaction of its own, so that it holds the locks
    #: of no other.
    alone: bool = False

    def __init__(self, **limits: Any) -> None:
        """
        @param limits: as of L{SharedStore}.
        """
        super().__init__(**limits)
        self._transitions = Transitions(self, "")
        self._workers: Workers | None = None

    def _begin_life(self) -> None:
        self.owner = f"{self.node}/{secrets.token_hex(4)}"
        self.attached.clear()
        self._transitions = Transitions(self, self.owner)
        # A thread that comes back from a statement waits for the reactor's: 5 ms by
        # default, which is ten commits.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH))

    @property
    def evicted(self) -> int:
        """
        Answers that were dropped to make room, so far.
        """
        return self._transitions.usage.evicted

    @property
    def bytes(self) -> int:
        """
        What is in use now; with several servers, about.
        """
        return self._transitions.usage.total

    def _ask(self, step: Step, *, alone: bool = False) -> Deferred[Any]:
        if self._workers is None:
            return fail(StoreError("the store is closed"))
        return self._workers.ask(step, alone=alone)

    def stop(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.stop<twisted_rpc.interfaces.IDedupStore>}
        """
        if self._workers is None:
            return succeed(None)
        return self._end_life(self._workers).addCallback(self._stopped)

    def _end_life(self, workers: Workers, since: float | None = None) -> Deferred[Any]:
        """
        Settle what this life leaves, as the last step of C{workers}.

        @param since: when the end was asked for, if that is not now.
        """
        settled = workers.ask(lambda tx: self._transitions.settle(tx, self.owner))
        settled.addErrback(self._not_settled)
        return workers.stop(since)

    def _not_settled(self, failure: Failure) -> None:
        # Others, and its next life, do that when they find it gone.
        failure.trap(StoreError)
        self._log.warn(
            "{name}: the end of this server is not recorded: {error}",
            name=self.name,
            error=failure.value,
        )

    def _stopped(self, _: Any) -> None:
        self._workers = None

    # -- the steps --------------------------------------------------------------------

    def attach(self, principal: str, wanted: str | None) -> Deferred[Attached]:
        """
        @see: L{IDedupStore.attach<twisted_rpc.interfaces.IDedupStore>}
        """
        # The same however often the step is done.
        new = secrets.token_hex(16)
        step: Deferred[Attached] = self._ask(
            lambda tx: self._transitions.attach(tx, principal, wanted, new)
        )
        return step.addCallbacks(self._used, self._unheard, errbackArgs=(new,))

    def detach(self, session: str) -> Deferred[None]:
        """
        @see: L{IDedupStore.detach<twisted_rpc.interfaces.IDedupStore>}
        """
        self.attached.discard(session)
        return self._ask(lambda tx: self._transitions.detach(tx, session))

    def end(self, session: str) -> Deferred[None]:
        """
        @see: L{IDedupStore.end<twisted_rpc.interfaces.IDedupStore>}
        """
        self.attached.discard(session)
        return self._ask(lambda tx: self._transitions.end(tx, session))

    def claim(self, claim: Claim) -> Deferred[Found]:
        """
        @see: L{IDedupStore.claim<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.claim(tx, claim))

    def transact(
        self, claim: Claim, run: Callable[[Any], Outcome | None]
    ) -> Deferred[Found]:
        """
        @see: L{IDedupStore.transact<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(
            lambda tx: self._transitions.transact(tx, claim, run), alone=self.alone
        )

    def complete(
        self, key: Key, fence: int, outcome: Outcome
    ) -> Deferred[Found | None]:
        """
        @see: L{IDedupStore.complete<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.complete(tx, key, fence, outcome))

    def unclaim(self, key: Key, fence: int) -> Deferred[None]:
        """
        @see: L{IDedupStore.unclaim<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.unclaim(tx, key, fence))

    def resolve(self, key: Key, fence: int, outcome: Outcome) -> Deferred[bool]:
        """
        @see: L{IDedupStore.resolve<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.resolve(tx, key, fence, outcome))

    def release(self, session: str, floor: int) -> Deferred[None]:
        """
        @see: L{IDedupStore.release<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.release(tx, session, floor))

    def find(self, key: Key) -> Deferred[RecordRow | None]:
        """
        @see: L{IDedupStore.find<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.find(tx, key))

    def expire(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.expire<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(self._transitions.expire)

    def totals(self) -> Deferred[Totals]:
        """
        @see: L{IDedupStore.totals<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(self._transitions.totals)

    def sessions(self, limit: int) -> Deferred[Sequence[SessionRow]]:
        """
        @see: L{IDedupStore.sessions<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.sessions(tx, limit))

    def records(self, state: str | None, limit: int) -> Deferred[Sequence[RecordRow]]:
        """
        @see: L{IDedupStore.records<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._ask(lambda tx: self._transitions.records(tx, state, limit))
