# -*- test-case-name: tests.delivery.test_deduplicate -*-
"""
A retried call takes effect once.

The interceptor that stands between authentication and everything that may
refuse or run a call: a repeated call that has ended is answered from its record
even when the server is overloaded or going away.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Interceptor, Request, Responder
from twisted_rpc.delivery.memory import Ledger, MemoryStore
from twisted_rpc.delivery.records import (
    INLINE,
    RECORD_SIZE,
    Outcome,
    Record,
    Session,
    fingerprint,
    frozen,
)
from twisted_rpc.delivery.refusals import known, refused_by, stale
from twisted_rpc.delivery.table import (
    State,
    Verdict,
    judge_session,
    judge_sessionless,
)
from twisted_rpc.errors import Code, RPCError, refusal


class Run:
    """
    A run that has started and not ended, and all who wait for it.

    @ivar request: the one that started it.
    """

    __slots__ = ("_waiting", "answer", "request")

    def __init__(self, request: Request, answer: Deferred[bytes]) -> None:
        self.request = request
        self.answer = answer
        self._waiting: list[Deferred[bytes]] = []

    def join(self) -> Deferred[bytes]:
        """
        Wait.

        @return: fires with the encoded result, or fails as the run does.  The
            run is cancelled when the last who waits has cancelled this (W27).
        """
        waiter: Deferred[bytes] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def __len__(self) -> int:
        return len(self._waiting)

    def _leave(self, waiter: Deferred[bytes]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting:
            self.request.cancelled = True
            self.answer.cancel()

    def ended(self, outcome: Outcome) -> None:
        """
        Answer everybody, each exactly once.
        """
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if isinstance(outcome, RPCError):
                waiter.errback(Failure(frozen(outcome)))
            else:
                waiter.callback(outcome)


def deduplicating(store: MemoryStore) -> Interceptor:
    """
    Answer each call as its record in C{store} says; run what has none, once.
    """

    def interceptor(responder: Responder) -> Responder:
        return Deduplication(store, responder).respond

    return interceptor


def bounded(store: Any) -> Interceptor:
    """
    Refuse what is below the floor of its session or beyond its window (rows 3
    and 4).  That is all there is to judge of a call without a record: once the
    client has said that it is done with a seq, nothing runs under it.
    """

    def interceptor(responder: Responder) -> Responder:
        def respond(request: Request) -> Answer:
            session: Session | None = request.origin.session
            if (
                session is not None
                and not 0 < request.seq - session.floor <= store.window
            ):
                stale = request.seq <= session.floor
                raise refused_by(
                    Verdict.STALE if stale else Verdict.BEYOND_WINDOW, store
                )
            return responder(request)

        return respond

    return interceptor


class Deduplication:
    """
    What L{deduplicating} puts around a responder.
    """

    def __init__(self, store: MemoryStore, responder: Responder) -> None:
        self._store = store
        self._responder = responder

    def respond(self, request: Request) -> Answer:
        """
        Answer one call.
        """
        session: Session | None = request.origin.session
        if session is None:
            return self._sessionless(request)
        store = self._store
        seq = request.seq
        records = session.kept
        params = request.params
        if len(params) > INLINE:
            params = fingerprint(params)
        # What judge_session says of nearly every request, without asking it: no
        # record, above the floor, within the window (test_table compares).
        if (
            seq in records
            or seq in session.noted
            or session.current is not None
            or not 0 < seq - session.floor <= store.window
            or store.bytes >= store.full
        ):
            return self._judged(request, session, params)
        session.current = request
        responder = self._responder
        try:
            answer = responder(request)
        except BaseException as error:
            session.current = None
            record = session.record_of(request, params)
            self._ended(session, seq, record, known(error), request)
            raise
        session.current = None
        if isinstance(answer, bytes):
            # MemoryStore.complete, for the case that nothing has to be evicted.
            size = RECORD_SIZE + len(answer)
            total = store.bytes + size
            if (
                seq > session.floor
                and seq not in records
                and session.bytes + size <= store.session_bytes
                and total <= store.total_bytes
            ):
                session.noted[seq] = request.method.full_name, params, answer
                session.bytes += size
                store.bytes = total
            else:
                record = session.record_of(request, params)
                self._ended(session, seq, record, answer, request)
            return answer
        record = session.record_of(request, params)
        return self._wait(request, session, seq, record, answer)

    def _judged(self, request: Request, session: Session, params: bytes) -> Answer:
        seq = request.seq
        record = session.records.get(seq)
        verdict = judge_session(
            live=True,
            seq=seq,
            floor=session.floor,
            window=self._store.window,
            state=State.ABSENT if record is None else record.state,
            same=record is None or record.same(request.method.full_name, params),
            delivery=request.method.delivery,
        )
        if verdict is not Verdict.RUN:
            return self._answer(verdict, request, record)
        record = Record(request.method.full_name, params)
        return self._run(request, session, seq, record)

    def _sessionless(self, request: Request) -> Answer:
        ledger = self._store.ledger(request.origin.principal)
        record = ledger.records.get(request.id)
        params = fingerprint(request.params)
        verdict = judge_sessionless(
            timestamp=request.timestamp,
            floor=ledger.floor,
            state=State.ABSENT if record is None else record.state,
            same=record is None or record.same(request.method.full_name, params),
            delivery=request.method.delivery,
        )
        if verdict is Verdict.STALE:
            raise stale(request, ledger.floor)
        if verdict is not Verdict.RUN:
            return self._answer(verdict, request, record)
        record = Record(request.method.full_name, params)
        record.timestamp = request.timestamp
        return self._run(request, ledger, request.id, record)

    def _answer(
        self, verdict: Verdict, request: Request, record: Record | None
    ) -> Answer:
        """
        Everything but running it.
        """
        if record is not None:
            if verdict is Verdict.REPLAY:
                return _replay(request, record)
            if verdict is Verdict.JOIN and record.run is not None:
                run: Run = record.run
                if len(run) < self._store.waiters:
                    return run.join()
        raise refused_by(verdict, self._store)

    def _run(
        self, request: Request, holder: Session | Ledger, key: Any, record: Record
    ) -> Answer:
        store = self._store
        if store.bytes >= store.full and not store.room(holder):
            raise refusal(
                Code.RESOURCE_EXHAUSTED,
                "no room to remember another call",
                retry_after=1.0,
            )
        store.claim(holder, key, record)
        return self.claimed(request, holder, key, record, self._responder)

    def claimed(
        self,
        request: Request,
        holder: Session | Ledger,
        key: Any,
        record: Record,
        responder: Responder,
    ) -> Answer:
        """
        Run a call whose record has been made, and write its end there.
        """
        # A duplicate that the implementation itself causes, before it returns,
        # finds the record but nothing to wait for yet.
        try:
            answer = responder(request)
        except BaseException as error:
            self._ended(holder, key, record, known(error), request)
            raise
        if isinstance(answer, bytes):
            self._ended(holder, key, record, answer, request)
            return answer
        return self._wait(request, holder, key, record, answer)

    def _wait(
        self,
        request: Request,
        holder: Session | Ledger,
        key: Any,
        record: Record,
        answer: Deferred[bytes],
    ) -> Deferred[bytes]:
        self._store.goes_on(holder, record)
        run = record.run = Run(request, answer)
        waiter = run.join()
        answer.addCallbacks(
            lambda result: self._ended(holder, key, record, result, request),
            lambda failure: self._ended(
                holder, key, record, known(failure.value), request
            ),
        )
        return waiter

    def _ended(
        self,
        holder: Session | Ledger,
        key: Any,
        record: Record,
        outcome: Outcome,
        request: Request,
    ) -> None:
        run: Run | None = record.run
        if isinstance(outcome, RPCError) and outcome.executed == "no":
            self._store.unclaim(holder, key, record)
        else:
            kept = frozen(outcome) if isinstance(outcome, RPCError) else outcome
            self._store.complete(holder, key, record, kept, request.origin.seconds())
        if run is not None:
            run.ended(outcome)


def _replay(request: Request, record: Record) -> bytes:
    outcome = record.outcome
    request.replayed = True
    if isinstance(outcome, RPCError):
        error = frozen(outcome)
        error.replayed = True
        raise error
    answer: bytes = outcome
    return answer
