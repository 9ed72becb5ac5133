# -*- test-case-name: tests.delivery.test_recording -*-
"""
The sessions that the connections of a server use, where the store that issues
them answers later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from twisted_rpc.delivery.claims import Attached, StoreError
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import Session

#: Acknowledged seqs that are told to the store at once; it costs a write.
ACKS: Final = 32

#: Sessions that were asked for while the store did not answer, of which it is
#: remembered that the store may take them to be used.
UNHEARD: Final = 10_000


class Sessions:
    """
    What a store is told of sessions: who uses them, and how far they are.

    A connection counts from when it asks for a session, so that whatever the order
    in which an old one is lost and a new one is answered, the store takes a session
    to be used as long as one of them is there.
    """

    def __init__(
        self,
        store: Any,
        local: MemoryStore,
        ask: Callable[..., Deferred[Any]],
        note: Callable[[Failure], None],
    ) -> None:
        """
        @param store: provides L{IDedupStore<twisted_rpc.interfaces.IDedupStore>}.
        @param local: has the sessions, as connections know them.
        @param ask: asks a step of the store.
        @param note: is told of steps that failed and are repeated.
        """
        self._store = store
        self._local = local
        self._ask = ask
        self._note = note
        #: Floors as the store has them, by session.
        self._floors: dict[str, int] = {}
        #: Connections that use a session, or ask for it.
        self._users: dict[str, int] = {}
        #: Sessions that the store may take to be used here.
        self._held: set[str] = set()
        #: Those that it is being told are not.
        self._leaving: dict[str, Deferred[None]] = {}

    def clear(self) -> None:
        """
        The store has been let go, and all that was held with it.
        """
        for each in (self._floors, self._users, self._held, self._leaving):
            each.clear()

    # -- who uses them ----------------------------------------------------------------

    def attach(
        self, principal: str, wanted: str | None
    ) -> Deferred[tuple[Session, bool]]:
        """
        The session of a new connection.

        @return: fires with the session, and whether it is the one that was asked
            for; fails as the store does.
        """

        def attached(it: Attached) -> tuple[Session, bool]:
            if not it.resumed:
                self._count(it.session)
                if wanted is not None:
                    self._uncount(wanted)
            self._held.add(it.session)
            self._floors[it.session] = it.floor
            return self._local.adopt(principal, it.session, it.floor), it.resumed

        def failed(failure: Failure) -> Failure:
            error = failure.value
            if isinstance(error, StoreError):
                for each in (wanted, error.session):
                    if each and len(self._held) < self._most():
                        self._held.add(each)
            if wanted is not None:
                self._uncount(wanted)
            return failure

        if wanted is None:
            step = self._ask(self._store.attach, principal, None)
        else:
            self._count(wanted)
            # Not beside a step that says the contrary: either might be done first.
            step = self._left(wanted).addCallback(
                lambda _: self._ask(self._store.attach, principal, wanted)
            )
        return step.addCallbacks(attached, failed)

    def _most(self) -> int:
        return len(self._users) + UNHEARD

    def detach(self, session: Session, now: float) -> None:
        """
        A connection that used C{session} has ended.
        """
        self._local.detach(session, now)
        self._unused(session.id)

    def _count(self, session_id: str) -> None:
        self._users[session_id] = self._users.get(session_id, 0) + 1

    def _uncount(self, session_id: str) -> bool:
        """
        @return: whether nobody uses it any more.
        """
        left = self._users.pop(session_id, 0) - 1
        if left > 0:
            self._users[session_id] = left
        return left <= 0

    def _unused(self, session_id: str) -> None:
        """
        One connection fewer.
        """
        if self._uncount(session_id) and session_id in self._held:
            self._tell_floor(session_id)
            self._floors.pop(session_id, None)
            self._leave(session_id)

    def _leave(self, session_id: str) -> None:
        def told(_: object) -> None:
            self._held.discard(session_id)

        def ended(_: object) -> None:
            self._leaving.pop(session_id, None)

        left: Deferred[None] = Deferred()
        self._leaving[session_id] = left
        # What the store has not heard is told again, else the session would never
        # expire while this process lives.
        self._ask(self._store.detach, session_id).addCallbacks(
            told, self._note
        ).addCallback(ended).chainDeferred(left)

    def _left(self, session_id: str) -> Deferred[None]:
        """
        @return: fires when the store is not being told that it is unused.
        """
        leaving = self._leaving.get(session_id)
        if leaving is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        leaving.addCallback(waiter.callback)
        return waiter

    def let_go(self) -> None:
        """
        The store can be reached: undo what it may have done for nobody.
        """
        for session_id in self._held - self._users.keys() - self._leaving.keys():
            self._leave(session_id)

    # -- how far they are -------------------------------------------------------------

    def tell_floors(self) -> None:
        """
        Tell the store what was acknowledged and it was not told with a call.
        """
        for session_id in list(self._floors):
            if session_id in self._local.sessions:
                self._tell_floor(session_id)
            else:
                del self._floors[session_id]

    def _tell_floor(self, session_id: str) -> None:
        session = self._local.sessions.get(session_id)
        if session is not None and session.floor > self._floors.get(session_id, 0):
            self._floors[session_id] = session.floor
            self._ask(self._store.release, session_id, session.floor).addErrback(
                self._note
            )

    def floor_to_tell(self, session: Session, seq: int, window: int) -> int:
        """
        The floor, if it is time to tell the store of it with a call; 0 if not.
        """
        floor, told = session.floor, self._floors.get(session.id, 0)
        if floor - told < ACKS and seq - told <= window:
            return 0
        self._floors[session.id] = floor
        return floor

    def written(self, session_id: str, seq: int) -> None:
        """
        The store has the record of a call.
        """
        session = self._local.sessions.get(session_id)
        if session is not None and seq <= session.floor:
            # It was acknowledged while it ran: tell the store again.
            self._floors[session_id] = min(self._floors.get(session_id, 0), seq - 1)
