# -*- test-case-name: tests.delivery.test_recording -*-
"""
A retried call takes effect once, by a store that answers later.

What L{twisted_rpc.delivery.deduplicate} does with the store of the process, for
every L{IDedupStore<twisted_rpc.interfaces.IDedupStore>}: the same table, and
waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Interceptor, Request, Responder
from twisted_rpc.delivery.claims import (
    Claim,
    Found,
    Key,
    StoreError,
    UncommittedError,
    ledger,
)
from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import (
    Outcome,
    Record,
    Session,
    fingerprint,
    frozen,
)
from twisted_rpc.delivery.refusals import known, not_committed, refused_by, stale
from twisted_rpc.delivery.sessions import Sessions
from twisted_rpc.delivery.table import State, Verdict
from twisted_rpc.delivery.underway import Call
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.text import legal_id

#: Calls that wait for the store at one time.
QUEUE: Final = 10_000

#: Seconds between two looks for the record of a run elsewhere: the first, and
#: the longest.  Each is half as long again as the one before.
LOOK: Final = (0.01, 0.5)

#: Seconds until an answer that could not be written is written again: first, and
#: at most.
REWRITE: Final = (0.1, 5.0)

#: Says why a request may not run (rows 13 and 14); C{None}: it may.
Admit = Callable[[Request], RPCError | None]

#: Makes what runs a request in a transaction: it returns the answer, and raises
#: a refusal.
InTransaction = Callable[[Request, Any], Outcome]


class Turns(Protocol):
    """
    What a transaction waits for.
    """

    def full(self, request: Request) -> bool:
        """Whether it would wait."""
        ...

    def take(
        self, request: Request, start: Callable[[], Deferred[Any]]
    ) -> Deferred[Any]:
        """
        Start it, now or when it may; cancelled while it waits, it never starts.

        @raise RPCError: it must not even wait.
        """
        ...


class _AtOnce:
    """
    It waits for nothing.
    """

    def full(self, _: Request) -> bool:
        return False

    def take(self, _: Request, start: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        return start()


#: Asks the application what became of a call; C{None}: it has nobody to ask.
Resolve = Callable[[UnknownCall], "Deferred[Outcome] | None"]

#: Makes what the caller is told of a call whose effects are not committed.
Uncommitted = Callable[[Request, UncommittedError], RPCError]


class Recording:
    """
    A server's use of a store that answers later.

    Sessions, as connections know them, and the records of C{@idempotent}
    methods, which need not outlive the process (D14), are in a L{MemoryStore}
    here.

    @ivar store: provides L{IDedupStore<twisted_rpc.interfaces.IDedupStore>}.
    @ivar local: the memory store.
    @ivar name: as of C{store}; so are C{durable}, C{classes}, C{window},
        C{waiters} and C{retention}.
    @ivar outstanding: steps of the store that have not ended.
    @ivar started: the store may be used.
    """

    _log = Logger(namespace="twisted_rpc.delivery")

    def __init__(self, store: Any, clock: IReactorTime) -> None:
        self.store = store
        self.name: str = store.name
        self.durable: bool = store.durable
        self.classes = tuple(store.classes)
        self.window: int = store.window
        self.waiters: int = store.waiters
        self.retention: float = store.retention
        self.local = MemoryStore(window=store.window, waiters=store.waiters)
        self.started = False
        self._sessions = Sessions(store, self.local, self._asked, self._note)
        self._clock = clock
        self._starting: list[Deferred[None]] = []
        self._stopping = False
        self._stopped: Deferred[None] | None = None
        self._ended_life: Deferred[None] = succeed(None)
        self.outstanding = 0
        self._expiring = False
        self._timers: dict[Any, Callable[[], None]] = {}
        #: One of a key, but for ids that are used for several calls.
        self._calls: dict[Key, list[Call]] = {}
        #: Calls that may be claimed although nobody here asks for them.
        self._lost: dict[tuple[Key, str, bytes], Call] = {}
        self._responder: Responder
        self._admit: Admit
        self._in_transaction: InTransaction
        self._resolve: Resolve
        self._uncommitted: Uncommitted
        self._turns: Turns = _AtOnce()

    # -- the server -------------------------------------------------------------------

    def serve(
        self,
        admit: Admit,
        in_transaction: InTransaction,
        resolve: Resolve,
        turns: Turns | None = None,
        uncommitted: Uncommitted = not_committed,
    ) -> Interceptor:
        """
        @param turns: of transactions; C{None}: they wait for nothing.
        @param uncommitted: called when a database does not commit one.

        @return: what answers each call as its record says, and runs what has
            none, once.
        """
        self._admit = admit
        self._in_transaction = in_transaction
        self._resolve = resolve
        self._uncommitted = uncommitted
        if turns is not None:
            self._turns = turns

        def interceptor(responder: Responder) -> Responder:
            self._responder = responder
            return self.respond

        return interceptor

    def start(self, reactor: Any) -> Deferred[None]:
        """
        Begin, once.

        @return: fires when calls can be recorded.
        """
        if self.started and not self._stopping:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        waiting = self._starting
        waiting.append(waiter)
        if len(waiting) == 1:
            # After the end of an earlier life, if there was one.
            self._ended_life.addCallback(lambda _: self._start(reactor, waiting))
        return waiter

    def _start(self, reactor: Any, waiting: list[Deferred[None]]) -> None:
        self._stopping = False
        self._stopped = None

        def started(result: Any) -> None:
            self.started = not isinstance(result, Failure)
            if self._starting is waiting:
                self._starting = []
            for waiter in waiting:
                waiter.callback(result)

        # A stop waits for it, as for every step.
        self._asked(self.store.start, reactor).addBoth(started)

    def stop(self) -> Deferred[None]:
        """
        Start nothing any more, write what has ended, and let the store go.

        @return: fires when it is; of several at a time, each.
        """
        # Who starts it from now on waits for another life.
        self._starting = []
        return self._stop()

    def _stop(self) -> Deferred[None]:
        if not self._ended_life.called:
            # An earlier stop has not ended, and may have been followed by a start.
            waiter: Deferred[None] = Deferred()
            self._ended_life.addCallback(
                lambda _: self._stop_again().addBoth(waiter.callback)
            )
            return waiter
        self._stopping = True
        self._stopped = Deferred()
        stopped = self._stopped.addCallback(lambda _: self._stop_store())
        self._ended_life = Deferred()
        stopped.addBoth(self._life_ended)
        timers, self._timers = self._timers, {}
        for timer, act in timers.items():
            timer.cancel()
            act()
        self._step_ended(None, 0)
        return stopped

    def _stop_again(self) -> Deferred[None]:
        ended = self._stopped is not None and self._ended_life.called
        return succeed(None) if ended else self._stop()

    def _stop_store(self) -> Deferred[None]:
        # What could not be started has nothing to stop.
        return self._asked(self.store.stop) if self.started else succeed(None)

    def _life_ended(self, result: Any) -> Any:
        self.started = False
        self._sessions.clear()
        self._ended_life.callback(None)
        return result

    def _later(self, delay: float, act: Callable[[], None]) -> None:
        """
        Call C{act} in so many seconds, or when the server stops.
        """

        def due() -> None:
            del self._timers[timer]
            act()

        timer: Any = self._clock.callLater(delay, due)
        self._timers[timer] = act

    def _asked(self, step: Callable[..., Deferred[Any]], *args: Any) -> Deferred[Any]:
        """
        Ask the store; what its step raises is how that fails.
        """
        self.outstanding += 1
        return maybeDeferred(step, *args).addBoth(self._step_ended)

    def _step_ended(self, result: Any, count: int = 1) -> Any:
        self.outstanding -= count
        stopped = self._stopped
        if stopped is not None and not self.outstanding and not stopped.called:
            # After what this answer leads to.
            self._clock.callLater(0, self._stop_if_idle)
        return result

    def _stop_if_idle(self) -> None:
        stopped = self._stopped
        if stopped is not None and not self.outstanding and not stopped.called:
            stopped.callback(None)

    # -- sessions ---------------------------------------------------------------------

    def attach(
        self, principal: str, wanted: str | None
    ) -> Deferred[tuple[Session, bool]]:
        """
        The session of a new connection.

        @return: fires with the session, and whether it is the one that was asked
            for; fails with UNAVAILABLE, the store does not answer.
        """
        if not self.started or self._stopping:
            raise _unavailable()
        return self._sessions.attach(principal, wanted).addErrback(self._unavailable)

    def _unavailable(self, failure: Failure) -> Any:
        error = failure.value
        if isinstance(error, RPCError):
            return failure
        self._note(failure)
        raise _unavailable() from None

    def _note(self, failure: Failure) -> None:
        """
        Say what went wrong in the store; more only if it is no failure of that.
        """
        if failure.check(StoreError):
            self._log.error("{name}: {error}", name=self.name, error=failure.value)
        else:
            self._log.failure("{name} failed", failure=failure, name=self.name)

    def detach(self, session: Session, now: float) -> None:
        """
        A connection that used C{session} has ended.
        """
        self._sessions.detach(session, now)

    def release(self, session: Session, ack: int) -> None:
        """
        The client will send nothing below C{ack} again.  The store is told with
        a later call, or soon (D7).
        """
        self.local.release(session, ack)

    def expire(self, now: float, wall: float) -> None:
        """
        Called every few seconds.
        """
        self.local.expire(now, wall)
        if not self.started or self._expiring or self._stopping:
            return
        self._sessions.tell_floors()
        self._expiring = True

        def expired(result: Any) -> None:
            self._expiring = False
            if isinstance(result, Failure):
                self._note(result)
            elif not self._stopping:
                self._sessions.let_go()
                self._let_go()

        self._asked(self.store.expire).addBoth(expired)

    def _let_go(self) -> None:
        """
        The store can be reached: let go what may be claimed here for nobody.
        """
        lost, self._lost = self._lost, {}
        for what, call in lost.items():
            key = call.claim.key
            if key in self._calls:
                # Whoever asks for it claims it anew.
                self._lost[what] = call
            else:
                self._calls[key] = [call]
                self._claim(call)

    # -- a request --------------------------------------------------------------------

    def respond(self, request: Request) -> Answer:
        """
        Answer one call.
        """
        session: Session | None = request.origin.session
        if session is None:
            key = Key(ledger(request.origin.principal), 0, request.id)
            floor = 0
        else:
            seq = request.seq
            if seq <= session.floor:
                raise refused_by(Verdict.STALE, self)
            key = Key(session.id, seq)
            floor = self._sessions.floor_to_tell(session, seq, self.window)
        method = request.method
        params = request.params = bytes(request.params)
        name = f"{method.service}.{method.wire_name}"
        mark = fingerprint(params)
        for call in self._calls.get(key, ()):
            if call.claim.method == name and call.claim.params == mark:
                if len(call) >= self.waiters:
                    raise refused_by(Verdict.JOIN, self)
                return call.join(request)
        if not self.started or self._stopping:
            raise _unavailable()
        if len(self._calls) >= QUEUE:
            raise refusal(
                Code.RESOURCE_EXHAUSTED,
                f"{QUEUE} calls are under way already",
                retry_after=1.0,
            )
        claim = Claim(
            key,
            request.origin.principal,
            method.delivery,
            name,
            mark,
            request.timestamp,
            floor,
        )
        call = Call(request, claim)
        self._calls.setdefault(key, []).append(call)
        request.started = False
        waiter = call.join(request)
        self._ask(call)
        return waiter

    def _ask(self, call: Call) -> None:
        """
        Look the call up, and claim it if it may run.
        """
        claim = call.claim
        call.free()
        call.refused = self._admit(call.request)
        claim.run = call.refused is None
        if claim.run and claim.delivery == "transactional":
            if not self._turns.full(call.request):
                self._transact(call)
                return
            # What has a record does not wait.
            claim.run = False
        call.hold()
        self._claim(call)

    def _claim(self, call: Call) -> None:
        self._judge(self._asked(self.store.claim, call.claim), call)

    def _judge(self, step: Deferred[Found], call: Call) -> None:
        step.addCallbacks(
            self._found, self._not_asked, callbackArgs=(call,), errbackArgs=(call,)
        ).addErrback(self._broken, call)

    def _transact(self, call: Call) -> None:
        """
        Claim it and run it in one transaction, when its limits let it.
        """

        def start() -> Deferred[Found]:
            if self._stopping:
                raise _unavailable()
            call.answer = None
            call.request.started = False
            call.hold()
            return self._asked(self.store.transact, call.claim, self._transacting(call))

        call.free()
        call.claim.run = True
        try:
            step = self._turns.take(call.request, start)
        except RPCError as error:
            self._end(call, error)
            return
        if not call.held:
            call.answer = step
        self._judge(step, call)

    def _transacting(self, call: Call) -> Callable[[Any], Outcome | None]:
        """
        What runs C{call} in a transaction, in a thread.
        """

        def run(transaction: Any) -> Outcome | None:
            if call.given_up:
                call.refused = _cancelled()
                return None
            call.refused = None
            try:
                return self._in_transaction(call.request, transaction)
            except RPCError as error:
                # Refused: the time is over, or the caller has gone.
                call.refused = error
                return None

        return run

    def _found(self, found: Found, call: Call) -> None:
        verdict = found.verdict
        if verdict is Verdict.RUN:
            if found.ran:
                self._end(call, found.outcome)
            elif call.refused is not None:
                self._end(call, call.refused)
            elif not call.claim.run:
                self._transact(call)
            else:
                self._run(call, found.fence)
        elif verdict is Verdict.REPLAY:
            self._end(call, found.outcome, replayed=True)
        elif verdict is Verdict.WAIT:
            self._look_later(call)
        elif verdict is Verdict.IN_DOUBT:
            self._ask_application(call, found)
        elif verdict is Verdict.BEYOND_WINDOW and self._knows_better(call):
            self._ask(call)
        elif verdict is Verdict.STALE and not call.claim.key.seq:
            self._end(call, stale(call.request, found.floor))
        else:
            self._end(call, refused_by(verdict, self))

    def _knows_better(self, call: Call) -> bool:
        """
        Whether the store has not heard yet how far the session is: it is told
        with the claim then.
        """
        claim = call.claim
        session = self.local.sessions.get(claim.key.holder)
        if session is None or claim.key.seq > session.floor + self.window:
            return False
        behind = claim.floor < session.floor
        claim.floor = session.floor
        return behind

    def _not_asked(self, failure: Failure, call: Call) -> None:
        """
        The store did not answer.  Nothing runs by this attempt; what ran in a
        transaction of which nobody knows whether it was committed may have.
        """
        error = failure.value
        if isinstance(error, CancelledError):
            # Nobody waits for it any more, and it has not begun.
            error = _cancelled()
        elif isinstance(error, UncommittedError):
            error = self._uncommitted(call.request, error)
        if isinstance(error, RPCError):
            self._end(call, error)
            return
        self._note(failure)
        claim = call.claim
        ambiguous = getattr(error, "ambiguous", True)
        if ambiguous and claim.run and claim.delivery == "transactional":
            self._end(call, _unknown("whether it was committed is not known yet"))
            return
        self._end(call, _unavailable())
        if claim.run and (ambiguous or call.lost):
            self._lose(call)

    def _lose(self, call: Call) -> None:
        """
        It may be claimed, and did not run.  Other servers would wait for it as
        long as this one lives, so it is let go when the store answers again.
        """
        if len(self._lost) >= QUEUE:
            del self._lost[next(iter(self._lost))]
        claim = call.claim
        # An id may be used for several calls, of which one has the record.
        what = (claim.key, claim.method, claim.params)
        lost = self._lost[what] = Call(call.request, claim)
        lost.lost = lost.given_up = True

    def _broken(self, failure: Failure, call: Call) -> None:
        """
        A mistake of ours must not leave a caller waiting.
        """
        self._log.failure("the record of a call failed", failure=failure)
        self._end(call, _unknown("the server failed"))

    def _look_later(self, call: Call) -> None:
        """
        Another server runs it (row 10): look again, until nobody waits.
        """
        if call.given_up or self._stopping:
            self._end(call, refused_by(Verdict.WAIT, self))
            return
        call.delay = min(call.delay * 1.5 or LOOK[0], LOOK[1])
        self._later(call.delay, lambda: self._look_again(call))

    def _look_again(self, call: Call) -> None:
        if call.given_up or self._stopping:
            self._end(call, refused_by(Verdict.WAIT, self))
        else:
            self._ask(call)

    # -- a run ------------------------------------------------------------------------

    def _run(self, call: Call, fence: int) -> None:
        request = call.request
        if call.given_up or call.lost or self._stopping:
            error = _cancelled() if call.given_up else _unavailable()
            self._ended(call, fence, error)
            return
        request.started = True
        call.free()
        try:
            answer = self._responder(request)
        except BaseException as error:
            self._ended(call, fence, known(error))
            if not isinstance(error, RPCError):
                raise
            return
        if isinstance(answer, bytes):
            self._ended(call, fence, answer)
            return
        call.answer = answer
        answer.addCallbacks(
            lambda result: self._ended(call, fence, result),
            lambda failure: self._ended(call, fence, known(failure.value)),
        ).addErrback(self._broken, call)

    def _ended(self, call: Call, fence: int, outcome: Outcome) -> None:
        """
        The run has ended, or did not begin: write it, and then tell.
        """
        call.answer = None
        key = call.claim.key
        if isinstance(outcome, RPCError):
            outcome = frozen(outcome)
            if outcome.executed == "no":
                # Refusals are not recorded.
                self._asked(self.store.unclaim, key, fence).addErrback(
                    self._not_unclaimed, call
                )
                self._end(call, outcome)
                return
        call.hold()
        self._write(call, fence, outcome, REWRITE[0])

    def _not_unclaimed(self, failure: Failure, call: Call) -> None:
        self._note(failure)
        self._lose(call)

    def _write(self, call: Call, fence: int, outcome: Outcome, delay: float) -> None:
        self._asked(self.store.complete, call.claim.key, fence, outcome).addCallbacks(
            self._written,
            self._not_written,
            callbackArgs=(call, outcome),
            errbackArgs=(call, fence, outcome, delay),
        ).addErrback(self._broken, call)

    def _written(self, found: Found | None, call: Call, outcome: Outcome) -> None:
        key = call.claim.key
        self._sessions.written(key.holder, key.seq)
        if found is None:
            self._end(call, outcome)
        elif found.verdict is Verdict.REPLAY:
            # The record is another run's, and so is the answer (D10).
            self._end(call, found.outcome, replayed=True)
        else:
            self._end(call, _unknown("another server has taken the call over"))

    def _not_written(
        self, failure: Failure, call: Call, fence: int, outcome: Outcome, delay: float
    ) -> None:
        """
        It ran, and the answer is not durable, so nobody may be told; it is
        written again until that works (D12).
        """
        self._note(failure)
        call.free()
        call.tell(_unknown("the answer could not be recorded yet"))
        if self._stopping:
            self._end(call, _unknown("the answer could not be recorded"))
            return
        longer = min(delay * 2, REWRITE[1])
        self._later(delay, lambda: self._write(call, fence, outcome, longer))

    def _end(self, call: Call, outcome: Outcome, *, replayed: bool = False) -> None:
        key = call.claim.key
        calls = self._calls.get(key, [])
        if call in calls:
            calls.remove(call)
            if not calls:
                del self._calls[key]
        call.free()
        # Whoever is told that it ran is not told that it had not started.
        call.request.started = True
        call.tell(outcome, replayed=replayed)

    # -- doubt ------------------------------------------------------------------------

    def _ask_application(self, call: Call, found: Found) -> None:
        claim = call.claim
        # Once: a store that does not take the answer would be asked for ever.
        asked = (
            None
            if call.resolved
            else self._doubt(claim.key, claim.method, claim.principal)
        )
        call.resolved = True
        if asked is None:
            self._end(call, refused_by(Verdict.IN_DOUBT, self))
            return

        def resolved(outcome: Outcome) -> Deferred[bool]:
            step: Deferred[bool] = self._asked(
                self.store.resolve, claim.key, found.fence, outcome
            )
            return step

        asked.addCallback(resolved).addCallbacks(
            # Whoever resolved it: the record says now what it is.
            lambda _: self._ask(call),
            lambda failure: self._end(call, self._still_unknown(failure)),
        ).addErrback(self._broken, call)

    def _still_unknown(self, failure: Failure) -> RPCError:
        error = failure.value
        if isinstance(error, RPCError) and error.code is Code.OUTCOME_UNKNOWN:
            return refusal(
                Code.OUTCOME_UNKNOWN,
                error.message or "the server stopped while this call ran",
                executed="unknown",
            )
        self._note(failure)
        return refused_by(Verdict.IN_DOUBT, self)

    def _doubt(self, key: Key, method: str, principal: str) -> Deferred[Outcome] | None:
        service, _, name = method.rpartition(".")
        return self._resolve(UnknownCall(service, name, key.request_id, principal))

    def find(
        self, principal: str, session: Session | None, request_id: str
    ) -> Deferred[tuple[State, Record | None]]:
        """
        What is known of a call now; where that is nothing, the application is
        asked.

        @return: fails with SESSION_UNKNOWN, the id belongs to a session that is
            not the caller's.
        """
        if not self.started or self._stopping:
            raise _unavailable()
        key = Key(ledger(principal), 0, request_id)
        try:
            state, record = self.local.find(principal, session, request_id)
        except RPCError:
            if not legal_id(request_id):
                # No call has it, and no store has to hear of it.
                raise
        else:
            if record is not None:
                return succeed((state, record))
            assert session is not None  # a call of one, without a record
            key = Key(session.id, int(request_id.rpartition(":")[2]))
            return self._find(key, principal, absent=state)
        return self._find(key, principal)

    def _find(
        self,
        key: Key,
        principal: str,
        *,
        absent: State = State.ABSENT,
        asked: bool = False,
    ) -> Deferred[tuple[State, Record | None]]:
        def found(row: Any) -> Any:
            if row is None:
                if key in self._calls:
                    return State.IN_PROGRESS, None
                if key.seq:
                    return absent, None
                raise refusal(
                    Code.SESSION_UNKNOWN, "no such session", executed="unknown"
                )
            doubt = None
            if row.state is State.IN_DOUBT and not asked:
                doubt = self._doubt(key, row.method, principal)
            if doubt is None:
                return row.state, Record(
                    row.method, b"", row.state, row.fence, row.outcome
                )
            return doubt.addCallback(
                lambda outcome: self._asked(self.store.resolve, key, row.fence, outcome)
            ).addBoth(lambda _: self._find(key, principal, asked=True))

        step: Deferred[Any] = self._asked(self.store.find, key)
        return step.addErrback(self._unavailable).addCallback(found)

    def __repr__(self) -> str:
        return f"<Recording in {self.store!r}, {len(self._calls)} calls>"


def _cancelled() -> RPCError:
    return refusal(Code.CANCELLED, "cancelled by the caller")


def _unavailable() -> RPCError:
    return refusal(
        Code.UNAVAILABLE, "the record of calls cannot be reached", retry_after=0.5
    )


def _unknown(text: str) -> RPCError:
    return refusal(Code.OUTCOME_UNKNOWN, text, executed="unknown")
