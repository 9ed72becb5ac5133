"""
Tests for L{twisted_rpc.delivery.recording}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.requests import START, FakeMethod
from twisted_rpc.call import Answer, Request
from twisted_rpc.delivery import recording, sessions
from twisted_rpc.delivery.claims import (
    Attached,
    Claim,
    Found,
    Key,
    StoreError,
    UncommittedError,
)
from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import REWRITE, Recording
from twisted_rpc.delivery.records import Outcome, Session
from twisted_rpc.delivery.sessions import ACKS
from twisted_rpc.delivery.steps import MemorySteps
from twisted_rpc.delivery.table import State, Verdict
from twisted_rpc.errors import Code, RPCError, refusal

PAY = FakeMethod()
MOVE = FakeMethod(wire_name="move", delivery="transactional")


class ScriptedStore(MemorySteps):
    """
    A store in memory that answers when it is told to, or as it is told to.

    @ivar slow: steps wait for L{answer}.
    @ivar gone: every step fails.
    @ivar script: what claims find, instead of what there is.
    @ivar asked: the names of the steps, in order.
    """

    classes = ("readonly", "idempotent", "once", "transactional")  # type: ignore[misc,assignment]

    def __init__(self, memory: MemoryStore, clock: Clock) -> None:
        super().__init__(memory, clock.seconds, lambda: START + clock.seconds())
        self.slow = False
        self.gone = False
        self.script: list[Found] = []
        self.asked: list[str] = []
        self.claims: list[Claim] = []
        self.waiting: list[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] = []
        self.starting: Deferred[None] = succeed(None)
        self.stopped = False
        self.resolved: list[tuple[Key, Any]] = []
        #: Each step is done, and then fails: nobody hears of it.
        self.deaf = False

    def start(self, reactor: Any) -> Deferred[None]:
        super().start(reactor)
        return self.starting

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)

    def step(self, name: str, do: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        self.asked.append(name)
        if self.gone:
            return fail(StoreError("it is gone", ambiguous=True))
        if self.deaf:
            do().addErrback(lambda _: None)
            return fail(StoreError("it has gone", ambiguous=True))
        if not self.slow:
            return do()
        answer: Deferred[Any] = Deferred()
        self.waiting.append((do, answer))
        return answer

    def answer(self) -> None:
        """Do what waits."""
        waiting, self.waiting = self.waiting, []
        for do, answer in waiting:
            do().chainDeferred(answer)

    def claim(self, claim: Claim) -> Deferred[Found]:
        self.claims.append(claim)

        def do() -> Deferred[Found]:
            if self.script:
                return succeed(self.script.pop(0))
            return super(ScriptedStore, self).claim(claim)

        return self.step("claim", do)

    def transact(
        self, claim: Claim, run: Callable[[Any], Outcome | None]
    ) -> Deferred[Found]:
        def do() -> Deferred[Found]:
            found = self._claim(claim)
            if found.verdict is not Verdict.RUN:
                return succeed(found)
            outcome = run("the transaction")
            if outcome is None:
                self.unclaim(claim.key, found.fence)
            else:
                super(ScriptedStore, self).complete(claim.key, found.fence, outcome)
                found.ran, found.outcome = True, outcome
            return succeed(found)

        return self.step("transact", do)

    def complete(self, key: Key, fence: int, outcome: Outcome) -> Deferred[Any]:
        return self.step(
            "complete",
            lambda: super(ScriptedStore, self).complete(key, fence, outcome),
        )

    def unclaim(self, key: Key, fence: int) -> Deferred[None]:
        return self.step(
            "unclaim", lambda: super(ScriptedStore, self).unclaim(key, fence)
        )

    def resolve(self, key: Key, fence: int, outcome: Outcome) -> Deferred[bool]:
        self.resolved.append((key, outcome))
        return self.step("resolve", lambda: succeed(True))

    def release(self, session: str, floor: int) -> Deferred[None]:
        return self.step(
            "release", lambda: super(ScriptedStore, self).release(session, floor)
        )

    def detach(self, session: str) -> Deferred[None]:
        return self.step("detach", lambda: super(ScriptedStore, self).detach(session))

    def expire(self) -> Deferred[None]:
        return self.step("expire", super().expire)

    def find(self, key: Key) -> Deferred[Any]:
        return self.step("find", lambda: super(ScriptedStore, self).find(key))

    def attach(self, principal: str, wanted: str | None) -> Deferred[Any]:
        made: list[str] = []

        def attached(it: Attached) -> Attached:
            made.append(it.session)
            return it

        def attach() -> Deferred[Attached]:
            step = super(ScriptedStore, self).attach(principal, wanted)
            return step.addCallback(attached)

        def failed(failure: Failure) -> Failure:
            error = failure.value
            if made and isinstance(error, StoreError):
                error.session = made[0]
            return failure

        return self.step("attach", attach).addErrback(failed)


class Connection:
    """A connection, as far as requests know theirs."""

    def __init__(self, clock: Clock, session: Session | None) -> None:
        self.principal = "ada"
        self.peer = "192.0.2.1:4000"
        self.session = session
        self.seconds = clock.seconds
        self.inflight = 0

    def wall(self) -> float:
        """The server's clock in Unix seconds."""
        return START + self.seconds()

    def begun(self) -> None:
        """A call goes on."""
        self.inflight += 1

    def ended(self) -> None:
        """It does not."""
        self.inflight -= 1


class RecordingTestCase(SynchronousTestCase):
    """
    A server's use of a store that answers later.

    @ivar ran: the requests that were run.
    @ivar running: the Deferreds of those that have not ended.
    @ivar refuse: why nothing may run now.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = ScriptedStore(MemoryStore(waiters=3), self.clock)
        self.recording = Recording(self.store, self.clock)
        self.ran: list[Request] = []
        self.running: list[Deferred[bytes]] = []
        self.refuse: RPCError | None = None
        self.result: bytes | RPCError | None = b"1"
        self.unknown: list[UnknownCall] = []
        self.known: Callable[[], Deferred[Outcome]] | None = None
        interceptor = self.recording.serve(
            lambda request: self.refuse, self.in_transaction, self.resolver
        )
        self.respond = interceptor(self.run_it)
        self.successResultOf(self.recording.start(self.clock))
        self.connection = self.connect()

    def connect(self) -> Connection:
        """A connection with a session."""
        session, _ = self.successResultOf(self.recording.attach("ada", None))
        return Connection(self.clock, session)

    def run_it(self, request: Request) -> Answer:
        """The implementation."""
        self.ran.append(request)
        if isinstance(self.result, RPCError):
            raise self.result
        if self.result is not None:
            return self.result
        answer: Deferred[bytes] = Deferred()
        self.running.append(answer)
        return answer

    def in_transaction(self, request: Request, transaction: Any) -> Outcome:
        """The implementation, in a transaction."""
        self.ran.append(request)
        self.assertEqual(transaction, "the transaction")
        assert self.result is not None
        if isinstance(self.result, RPCError) and self.result.executed == "no":
            raise self.result
        return self.result

    def resolver(self, call: UnknownCall) -> Deferred[Outcome] | None:
        """The application, asked what became of a call."""
        self.unknown.append(call)
        return None if self.known is None else self.known()

    def request(
        self, call: int | str = 1, params: bytes = b"[1]", method: FakeMethod = PAY
    ) -> Request:
        """A request."""
        now = self.clock.seconds()
        session = self.connection.session
        if session is None:
            request = Request(method, params, str(call), now + 30, self.connection)
            request.timestamp = START + 1 + now
        else:
            name = f"{session.id}:{call}"
            request = Request(method, params, name, now + 30, self.connection)
            assert isinstance(call, int)
            request.seq = call
        return request

    def ask(self, *args: Any, **options: Any) -> Deferred[bytes]:
        """Ask, on the connection."""
        answer = self.respond(self.request(*args, **options))
        assert isinstance(answer, Deferred)
        return answer

    def failed(self, answer: Deferred[bytes]) -> RPCError:
        """How it failed."""
        error: RPCError = self.failureResultOf(answer, RPCError).value
        return error

    def noted(self) -> list[str]:
        """What the log was told of the store."""
        return [str(it.value) for it in self.flushLoggedErrors(StoreError)]


class AnswerTests(RecordingTestCase):
    """
    What becomes of a request.
    """

    def test_runs_once(self) -> None:
        """
        A call is claimed, run and written, and then answered; a duplicate gets
        the same bytes, marked.
        """
        self.assertEqual(self.successResultOf(self.ask()), b"1")
        self.assertEqual(self.store.asked, ["attach", "claim", "complete"])
        request = self.request()
        answer: Any = self.respond(request)
        self.assertEqual(self.successResultOf(answer), b"1")
        self.assertTrue(request.replayed)
        self.assertEqual(len(self.ran), 1)

    def test_order(self) -> None:
        """
        Nothing runs before the claim is durable, and nothing is told before the
        answer is.
        """
        self.store.slow = True
        answer = self.ask()
        self.assertEqual(self.ran, [])
        self.store.answer()
        self.assertEqual(len(self.ran), 1)
        self.assertNoResult(answer)
        self.store.answer()
        self.assertEqual(self.successResultOf(answer), b"1")

    def test_without_a_session(self) -> None:
        """
        A request without a session is its principal's.
        """
        self.connection.session = None
        self.assertEqual(self.successResultOf(self.ask("a")), b"1")
        self.assertEqual(self.successResultOf(self.ask("a")), b"1")
        self.assertEqual(len(self.ran), 1)
        late = self.request("b")
        late.timestamp = START - 5
        answer: Any = self.respond(late)
        error = self.failed(answer)
        self.assertIs(error.code, Code.STALE_REQUEST)
        self.assertIn("5 s behind the server's; see --sessionless-clock", str(error))

    def test_joins(self) -> None:
        """
        A duplicate joins from the moment that the first is asked for, in all
        that it goes through; too many are told to come again.
        """
        self.store.slow = True
        self.result = None
        answers = [self.ask()]
        for answer_now in (self.store.answer, lambda: self.running[0].callback(b"7")):
            answers.append(self.ask())
            answer_now()
        error: RPCError = self.assertRaises(RPCError, self.ask)
        self.assertIs(error.code, Code.IN_PROGRESS)
        self.store.answer()
        self.assertEqual([self.successResultOf(it) for it in answers], [b"7"] * 3)
        self.assertEqual(len(self.ran), 1)

    def test_errors(self) -> None:
        """
        All who wait for a run that fails get errors of their own, and so does
        a duplicate.
        """
        self.result = RPCError(Code.NOT_FOUND, "nobody")
        self.store.slow = True
        answers = [self.ask(), self.ask()]
        self.store.answer()
        self.store.answer()
        errors = [self.failed(each) for each in answers]
        self.assertEqual([error.code for error in errors], [Code.NOT_FOUND] * 2)
        self.assertIsNot(errors[0], errors[1])
        self.store.slow = False
        error = self.failed(self.ask())
        self.assertTrue(error.replayed)
        self.assertFalse(errors[0].replayed)

    def test_other_parameters(self) -> None:
        """
        An id with other parameters is refused, also while the first runs.
        """
        self.result = None
        self.ask()
        error = self.failed(self.ask(params=b"[2]"))
        self.assertIs(error.code, Code.ID_REUSED)
        self.running[0].callback(b"1")
        self.assertIs(self.failed(self.ask(params=b"[2]")).code, Code.ID_REUSED)
        self.assertEqual(len(self.ran), 1)

    def test_refused(self) -> None:
        """
        What may not run is only looked up: a call that has ended is answered,
        and one that has no record is refused without a claim.
        """
        self.successResultOf(self.ask(1))
        self.refuse = refusal(Code.UNAVAILABLE, "draining")
        self.assertEqual(self.successResultOf(self.ask(1)), b"1")
        error = self.failed(self.ask(2))
        self.assertEqual((error.code, error.executed), (Code.UNAVAILABLE, "no"))
        self.assertEqual(self.store.asked[-2:], ["claim", "claim"])
        self.refuse = None
        self.assertEqual(self.successResultOf(self.ask(2)), b"1")

    def test_refused_after_the_claim(self) -> None:
        """
        What is refused when its turn comes is not recorded.
        """
        self.result = refusal(Code.DEADLINE_EXCEEDED, "too late")
        self.assertIs(self.failed(self.ask()).code, Code.DEADLINE_EXCEEDED)
        self.assertEqual(self.store.asked[-1], "unclaim")
        self.result = b"1"
        self.assertEqual(self.successResultOf(self.ask()), b"1")

    def test_broken_implementation(self) -> None:
        """
        Whatever ends a run is recorded.
        """

        def interrupt(_: Request) -> bytes:
            raise KeyboardInterrupt

        self.respond = self.recording.serve(
            lambda request: None, self.in_transaction, self.resolver
        )(interrupt)
        answer = self.ask()
        self.assertIs(self.failed(answer).code, Code.INTERNAL)
        self.assertEqual(len(self.flushLoggedErrors(KeyboardInterrupt)), 1)
        self.assertTrue(self.failed(self.ask()).replayed)

    def test_counted_on_its_connection(self) -> None:
        """
        A call is in progress on its connection while it waits for the store, and
        the implementation counts it while that runs.
        """
        self.store.slow = True
        self.result = None
        self.ask()
        self.assertEqual(self.connection.inflight, 1)
        self.store.answer()
        self.assertEqual(self.connection.inflight, 0)
        self.running[0].callback(b"1")
        self.assertEqual(self.connection.inflight, 1)
        self.store.answer()
        self.assertEqual(self.connection.inflight, 0)

    def test_verdicts(self) -> None:
        """
        What else a store finds is told as it is.
        """
        for verdict, code, executed in (
            (Verdict.SESSION_UNKNOWN, Code.SESSION_UNKNOWN, "unknown"),
            (Verdict.STALE, Code.STALE_REQUEST, "unknown"),
            (Verdict.NOT_CACHED, Code.RESULT_NOT_CACHED, "yes"),
            (Verdict.IN_DOUBT, Code.OUTCOME_UNKNOWN, "unknown"),
        ):
            self.store.script = [Found(verdict)]
            error = self.failed(self.ask())
            self.assertEqual((error.code, error.executed), (code, executed))
        self.assertEqual(self.ran, [])


class GivingUpTests(RecordingTestCase):
    """
    Callers that do not wait any more.
    """

    def test_before_the_claim(self) -> None:
        """
        If all have left before it is claimed, it does not run and leaves no
        record.
        """
        self.store.slow = True
        answer = self.ask()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.store.answer()
        self.store.answer()
        self.assertEqual(self.ran, [])
        self.assertEqual(self.store.asked[-1], "unclaim")
        self.store.slow = False
        self.assertEqual(self.successResultOf(self.ask()), b"1")

    def test_somebody_else_came(self) -> None:
        """
        If somebody came meanwhile, it runs.
        """
        self.store.slow = True
        first = self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.ask()
        self.store.answer()
        self.store.answer()
        self.assertEqual(self.successResultOf(second), b"1")

    def test_while_running(self) -> None:
        """
        The run is cancelled when the last has left, and recorded as it ends.
        """
        self.result = None
        answers = [self.ask(), self.ask()]
        answers[0].cancel()
        self.failureResultOf(answers[0], CancelledError)
        self.assertFalse(self.ran[0].cancelled)
        answers[1].cancel()
        self.failureResultOf(answers[1], CancelledError)
        self.assertTrue(self.ran[0].cancelled)
        self.assertEqual(self.store.asked[-1], "complete")

    def test_while_it_is_written(self) -> None:
        """
        What is being written is written.
        """
        self.store.slow = True
        answer = self.ask()
        self.store.answer()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.store.slow = False
        self.store.answer()
        self.assertEqual(self.successResultOf(self.ask()), b"1")
        self.assertEqual(len(self.ran), 1)


class FailureTests(RecordingTestCase):
    """
    A store that cannot be reached.
    """

    def test_claim(self) -> None:
        """
        What cannot be claimed does not run, and its caller may come again.
        """
        self.store.gone = True
        error = self.failed(self.ask())
        self.assertEqual((error.code, error.executed), (Code.UNAVAILABLE, "no"))
        self.assertIsNotNone(error.retry_after)
        self.assertEqual(self.ran, [])
        self.store.gone = False
        self.assertEqual(self.successResultOf(self.ask()), b"1")

    def state(self, seq: int) -> State | None:
        """What the store has of a call."""
        assert self.connection.session is not None
        _, record = self.store._record(Key(self.connection.session.id, seq))
        return None if record is None else record.state

    def test_claim_that_nobody_heard_of(self) -> None:
        """
        What was claimed although the store did not answer does not stand in the
        way of other servers for ever: it is let go when the store answers again.
        """
        self.store.deaf = True
        self.assertIs(self.failed(self.ask(1)).code, Code.UNAVAILABLE)
        self.assertIs(self.state(1), State.IN_PROGRESS)
        self.recording.expire(0.0, START)
        self.assertIs(self.state(1), State.IN_PROGRESS)
        self.store.deaf = False
        self.recording.expire(0.0, START)
        self.assertIn(self.state(1), {None, State.RECLAIMABLE})
        self.assertEqual(self.ran, [])
        self.assertEqual(self.recording._calls, {})
        self.assertEqual(self.connection.inflight, 0)
        asked = len(self.store.asked)
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.asked[asked:], ["expire"])
        self.assertEqual(self.successResultOf(self.ask(1)), b"1")

    def test_claims_of_one_id_that_nobody_heard_of(self) -> None:
        """
        Whoever uses the id for something else meanwhile changes nothing of that.
        """
        self.store.deaf = True
        self.failed(self.ask(1))
        self.failed(self.ask(1, params=b"[2]"))
        self.store.deaf = False
        for _ in range(2):
            self.recording.expire(0.0, START)
        self.assertIn(self.state(1), {None, State.RECLAIMABLE})
        self.assertEqual(self.recording._lost, {})
        self.assertEqual(self.ran, [])

    def test_unclaiming_that_failed(self) -> None:
        """
        Nor does a claim that was to be given back while the store was away.
        """
        self.store.slow = True
        answer = self.ask(1)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.store.slow, self.store.gone = False, True
        self.store.answer()
        self.assertIs(self.state(1), State.IN_PROGRESS)
        self.store.gone = False
        self.recording.expire(0.0, START)
        self.assertIn(self.state(1), {None, State.RECLAIMABLE})

    def test_asked_while_it_is_let_go(self) -> None:
        """
        Whoever asks for a call that is being let go may ask again at once; it
        runs once.
        """
        self.store.deaf = True
        self.failed(self.ask(1))
        self.store.deaf, self.store.slow = False, True
        self.recording.expire(0.0, START)
        self.store.answer()
        answer = self.ask(1)
        self.store.answer()
        error = self.failed(answer)
        self.assertEqual((error.code, error.executed), (Code.UNAVAILABLE, "no"))
        self.store.slow = False
        self.store.answer()
        self.assertEqual(self.successResultOf(self.ask(1)), b"1")
        self.assertEqual(len(self.ran), 1)

    def test_asked_before_it_is_let_go(self) -> None:
        """
        A call that is asked for again is not let go: it runs.
        """
        self.result = None
        self.store.deaf = True
        self.failed(self.ask(1))
        self.store.deaf = False
        answer = self.ask(1)
        for _ in range(2):
            self.recording.expire(0.0, START)
            self.assertIs(self.state(1), State.IN_PROGRESS)
        self.running[0].callback(b"7")
        self.recording.expire(0.0, START)
        self.assertEqual(self.successResultOf(answer), b"7")
        self.assertEqual(len(self.ran), 1)
        self.assertIs(self.state(1), State.DONE)

    def test_many_lost_claims(self) -> None:
        """
        However long the store is away, what is remembered of it is bounded.
        """
        self.patch(recording, "QUEUE", 3)
        self.store.gone = True
        for seq in range(1, 9):
            self.failed(self.ask(seq))
        self.assertEqual(len(self.recording._lost), 3)

    def test_detaching(self) -> None:
        """
        A session whose end of use the store has not heard of is told again, so
        that it can expire; not one that is used again meanwhile.
        """
        connections = [self.connection, self.connect()]
        self.store.gone = True
        for each in connections:
            assert each.session is not None
            self.recording.detach(each.session, 0.0)
        self.store.gone = False
        assert connections[0].session is not None
        self.recording.attach("ada", connections[0].session.id)
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.asked.count("detach"), 3)
        attached = [it.attached for it in self.store.memory.sessions.values()]
        self.assertEqual(sorted(attached), [0, 2])

    def test_attaching_that_nobody_heard_of(self) -> None:
        """
        A session that was to be resumed while the store was away is not used.
        """
        session = self.connection.session
        assert session is not None
        self.recording.detach(session, 0.0)
        self.store.deaf = True
        self.failureResultOf(self.recording.attach("ada", session.id), RPCError)
        self.store.deaf = False
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.memory.sessions[session.id].attached, 0)

    def test_completion(self) -> None:
        """
        When an answer cannot be written nobody is told it; it is written again,
        and whoever asks then gets it.
        """
        self.result = None
        first = self.ask()
        self.store.gone = True
        self.running[0].callback(b"7")
        error = self.failed(first)
        self.assertEqual(
            (error.code, error.executed), (Code.OUTCOME_UNKNOWN, "unknown")
        )
        second = self.ask()
        self.clock.advance(REWRITE[0])
        self.assertIs(self.failed(second).code, Code.OUTCOME_UNKNOWN)
        third = self.ask()
        self.store.gone = False
        self.clock.advance(REWRITE[0] * 2)
        self.assertEqual(self.successResultOf(third), b"7")
        self.assertEqual(self.successResultOf(self.ask()), b"7")
        self.assertEqual(len(self.ran), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_attach(self) -> None:
        """
        No session can be had; one that is refused is refused.
        """
        self.store.gone = True
        error = self.failureResultOf(self.recording.attach("ada", None), RPCError)
        self.assertIs(error.value.code, Code.UNAVAILABLE)
        self.store.gone = False
        self.store.memory.sessions_per_principal = 1
        error = self.failureResultOf(self.recording.attach("ada", None), RPCError)
        self.assertIs(error.value.code, Code.RESOURCE_EXHAUSTED)

    def test_taken_over(self) -> None:
        """
        A run whose record is not its own any more counts for nothing: its caller
        gets what the record says, or that nobody knows.
        """
        key = Key(self.connection.session.id if self.connection.session else "", 1)
        for seq, other in ((1, b"8"), (2, None)):
            self.result = None
            answer = self.ask(seq)
            key = key._replace(seq=seq)
            _, record = self.store._record(key)
            assert record is not None
            record.fence = 2
            if other is not None:
                MemorySteps.complete(self.store, key, 2, other)
            self.running.pop().callback(b"7")
            if other is not None:
                self.assertEqual(self.successResultOf(answer), other)
            else:
                self.assertIs(self.failed(answer).code, Code.OUTCOME_UNKNOWN)

    def test_our_mistake(self) -> None:
        """
        A mistake in a store leaves nobody waiting.
        """
        self.store.script = [Found(None)]  # type: ignore[arg-type]
        self.assertIs(self.failed(self.ask()).code, Code.OUTCOME_UNKNOWN)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class ElsewhereTests(RecordingTestCase):
    """
    Calls that other servers run, or ran.
    """

    def test_waits(self) -> None:
        """
        The record is looked for, less and less often, until it is there.
        """
        self.store.script = [Found(Verdict.WAIT)] * 3
        answer = self.ask()
        self.assertEqual(len(self.store.claims), 1)
        self.clock.advance(0.011)
        self.assertEqual(len(self.store.claims), 2)
        self.clock.advance(0.011)
        self.assertEqual(len(self.store.claims), 2)
        self.store.script = [Found(Verdict.REPLAY, 1, b"9")]
        self.clock.advance(0.01)
        self.assertEqual(self.successResultOf(answer), b"9")
        self.assertEqual(self.ran, [])

    def test_nobody_waits(self) -> None:
        """
        When nobody waits any more it is not looked for.
        """
        self.store.script = [Found(Verdict.WAIT)] * 9
        answer = self.ask()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.clock.pump([1.0] * 5)
        self.assertEqual(len(self.store.claims), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_given_up_during_a_look(self) -> None:
        """
        Also if the last leaves while the store is asked.
        """
        self.store.slow = True
        answer = self.ask()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.store.script = [Found(Verdict.WAIT)]
        self.store.answer()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_resolver(self) -> None:
        """
        The application is asked what became of a call in doubt; what it says is
        recorded, and is the answer.
        """
        self.known = lambda: succeed(b"5")
        self.store.script = [Found(Verdict.IN_DOUBT, 3), Found(Verdict.REPLAY, 3, b"5")]
        request = self.request()
        answer: Any = self.respond(request)
        self.assertEqual(self.successResultOf(answer), b"5")
        ((key, outcome),) = self.store.resolved
        self.assertEqual((key.request_id, outcome), (request.id, b"5"))
        (call,) = self.unknown
        self.assertEqual(
            (call.service, call.method, call.request_id, call.principal),
            ("Bank", "pay", request.id, "ada"),
        )
        self.assertEqual(call.effect_key("card"), request.effect_key("card"))
        self.assertNotEqual(call.effect_key("card"), request.effect_key("mail"))

    def test_resolver_whose_answer_is_not_taken(self) -> None:
        """
        The application is asked once: if the call is in doubt even then, it stays
        unknown.
        """
        self.known = lambda: succeed(b"5")
        self.store.script = [Found(Verdict.IN_DOUBT, 3)] * 5
        self.assertIs(self.failed(self.ask()).code, Code.OUTCOME_UNKNOWN)
        self.assertEqual(len(self.unknown), 1)
        self.assertEqual(len(self.store.script), 3)

    def test_resolver_does_not_know(self) -> None:
        """
        If it cannot tell, or fails, the call stays unknown.
        """
        for error, text in (
            (RPCError(Code.OUTCOME_UNKNOWN, "ask the card company"), "ask the card"),
            (RPCError(Code.OUTCOME_UNKNOWN), "the server stopped"),
            (ZeroDivisionError("a mistake"), "the server stopped"),
        ):
            self.known = lambda error=error: fail(error)
            self.store.script = [Found(Verdict.IN_DOUBT, 3)]
            told = self.failed(self.ask())
            self.assertEqual(
                (told.code, told.executed), (Code.OUTCOME_UNKNOWN, "unknown")
            )
            self.assertIn(text, str(told))
        self.assertEqual(self.store.resolved, [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TransactionTests(RecordingTestCase):
    """
    Calls that run in a transaction of the store.
    """

    def test_runs(self) -> None:
        """
        The store runs it, in one step.
        """
        self.assertEqual(self.successResultOf(self.ask(method=MOVE)), b"1")
        self.assertEqual(self.store.asked, ["attach", "transact"])
        self.assertEqual(self.successResultOf(self.ask(method=MOVE)), b"1")
        self.assertEqual(len(self.ran), 1)

    def test_fails(self) -> None:
        """
        An error is its answer, and is kept.
        """
        self.result = RPCError(Code.ABORTED, "no")
        self.assertFalse(self.failed(self.ask(method=MOVE)).replayed)
        self.assertTrue(self.failed(self.ask(method=MOVE)).replayed)
        self.assertEqual(len(self.ran), 1)

    def test_refused(self) -> None:
        """
        A refusal is not kept.
        """
        self.result = refusal(Code.DEADLINE_EXCEEDED, "too late")
        self.assertIs(self.failed(self.ask(method=MOVE)).code, Code.DEADLINE_EXCEEDED)
        self.result = b"1"
        self.assertEqual(self.successResultOf(self.ask(method=MOVE)), b"1")

    def test_given_up(self) -> None:
        """
        If nobody waits any more when its turn comes, it does not run.
        """
        self.store.slow = True
        answer = self.ask(method=MOVE)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.store.answer()
        self.assertEqual(self.ran, [])

    def test_given_up_before_its_turn(self) -> None:
        """
        If nobody waits any more before its turn has come, it is not asked for, and
        nothing has gone wrong.
        """
        waiting: list[Deferred[Any]] = []

        class Full:
            def full(self, _: Request) -> bool:
                return False

            def take(self, *_: Any) -> Deferred[Any]:
                waiting.append(Deferred())
                return waiting[-1]

        self.recording._turns = Full()
        answer = self.ask(method=MOVE)
        with capturedLogs() as said:
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
        self.assertEqual(said, [])
        self.assertTrue(waiting[0].called)
        self.assertEqual(self.store.asked, ["attach"])
        self.assertEqual(self.connection.inflight, 0)

    def test_not_committed(self) -> None:
        """
        What the database does not commit of what it did is its mistake: its caller
        is told so, and that nothing is left of it; the store is not to blame.
        """
        error = UncommittedError("no such account")
        self.store.transact = lambda *_: fail(error)  # type: ignore[method-assign]
        told = self.failed(self.ask(method=MOVE))
        self.assertEqual((told.code, told.executed), (Code.INTERNAL, "no"))
        self.assertEqual(told.message, "no such account: nothing was committed")

    def test_not_to_be_run(self) -> None:
        """
        What may not run is looked up only.
        """
        self.refuse = refusal(Code.UNAVAILABLE, "draining")
        self.failed(self.ask(method=MOVE))
        self.assertEqual(self.store.asked[-1], "claim")

    def test_gone(self) -> None:
        """
        If nobody knows whether it was committed, that is what its caller is told;
        asked again, the record says it.
        """
        self.store.gone = True
        error = self.failed(self.ask(method=MOVE))
        self.assertEqual(
            (error.code, error.executed), (Code.OUTCOME_UNKNOWN, "unknown")
        )
        self.store.gone = False
        self.assertEqual(self.successResultOf(self.ask(method=MOVE)), b"1")


class SessionTests(RecordingTestCase):
    """
    Sessions, here and in the store.
    """

    def release(self, ack: int) -> Session:
        """The client acknowledges."""
        session = self.connection.session
        assert session is not None
        self.recording.release(session, ack)
        return session

    def test_below_the_floor(self) -> None:
        """
        What was acknowledged here does not reach the store.
        """
        self.successResultOf(self.ask(1))
        self.release(2)
        error: RPCError = self.assertRaises(RPCError, self.ask, 1)
        self.assertIs(error.code, Code.STALE_REQUEST)

    def test_told_together(self) -> None:
        """
        The store is told of acknowledgements with a later call, many at a time.
        """
        for seq in range(1, ACKS + 3):
            self.successResultOf(self.ask(seq))
            self.release(seq + 1)
        floors = [claim.floor for claim in self.store.claims]
        self.assertEqual(floors, [0] * ACKS + [ACKS, 0])
        self.assertNotIn("release", self.store.asked)

    def test_told_soon(self) -> None:
        """
        Or soon, if there is no call; once.
        """
        self.successResultOf(self.ask(1))
        session = self.release(2)
        self.recording.expire(0.0, START)
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.asked[-3:], ["release", "expire", "expire"])
        self.assertEqual(self.store.memory.sessions[session.id].floor, 1)

    def test_store_behind(self) -> None:
        """
        A store that has not heard of the floor yet is told, if a call seems to be
        beyond the window.
        """
        self.release(2)
        self.store.script = [Found(Verdict.BEYOND_WINDOW)]
        self.assertEqual(self.successResultOf(self.ask(1024)), b"1")
        self.assertEqual([claim.floor for claim in self.store.claims[-1:]], [1])
        self.store.script = [Found(Verdict.BEYOND_WINDOW)]
        self.assertIs(self.failed(self.ask(5000)).code, Code.RESOURCE_EXHAUSTED)

    def test_acknowledged_while_it_is_written(self) -> None:
        """
        A record that was written below the floor is dropped with the next word.
        """
        self.result = None
        self.ask(1)
        session = self.release(2)
        self.recording.expire(0.0, START)
        self.running[0].callback(b"1")
        self.assertEqual(len(self.store.memory.sessions[session.id].records), 0)
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.asked.count("release"), 2)

    def test_detached(self) -> None:
        """
        When the last connection has gone the store is told, and how far the
        session was.
        """
        self.successResultOf(self.ask(1))
        session = self.release(2)
        self.successResultOf(self.recording.attach("ada", session.id))
        self.recording.detach(session, 0.0)
        self.assertNotIn("detach", self.store.asked)
        self.recording.detach(session, 0.0)
        self.assertEqual(self.store.asked[-2:], ["release", "detach"])
        again, resumed = self.successResultOf(self.recording.attach("ada", session.id))
        self.assertEqual((again.floor, resumed), (1, True))

    def lost_while(self, asked: Callable[[Session], None]) -> Session:
        """A session whose only connection is lost, and then C{asked} for."""
        session = self.connection.session
        assert session is not None
        asked(session)
        self.store.slow = False
        self.store.answer()
        self.assertGreater(self.store.memory.sessions[session.id].attached, 0)
        self.assertEqual(session.attached, 1)
        self.recording.detach(session, 0.0)
        self.assertEqual(self.store.memory.sessions[session.id].attached, 0)
        return session

    def test_reconnected_before_the_loss_is_noticed(self) -> None:
        """
        A client that comes again before its old connection is lost keeps its
        session, also if the store takes its time.
        """

        def asked(session: Session) -> None:
            self.store.slow = True
            self.recording.attach("ada", session.id)
            self.recording.detach(session, 0.0)
            self.recording.expire(0.0, START)

        self.lost_while(asked)

    def test_reconnected_while_it_is_left(self) -> None:
        """
        What says that a session is used is not asked beside what says that it is
        not: a store may do either first.
        """

        def asked(session: Session) -> None:
            self.store.slow = True
            self.recording.detach(session, 0.0)
            self.recording.attach("ada", session.id)
            self.recording.attach("eve", session.id)
            self.assertEqual(self.store.asked[-1], "detach")
            self.store.answer()
            self.assertEqual(self.store.asked[-3:], ["detach", "attach", "attach"])

        self.lost_while(asked)

    def test_reconnected_while_it_is_told_again(self) -> None:
        """
        Nor does the store hear again that nobody uses it, when somebody asks for
        it.
        """

        def asked(session: Session) -> None:
            self.store.gone = True
            self.recording.detach(session, 0.0)
            self.store.gone, self.store.slow = False, True
            self.recording.expire(0.0, START)
            self.recording.attach("ada", session.id)
            self.store.waiting.reverse()

        self.lost_while(asked)

    def test_asked_for_by_another(self) -> None:
        """
        Whoever asks for the session of somebody else changes nothing of it.
        """
        session = self.connection.session
        assert session is not None
        self.store.slow = True
        self.recording.attach("eve", session.id)
        self.recording.detach(session, 0.0)
        self.store.slow = False
        self.store.answer()
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.memory.sessions[session.id].attached, 0)

    def test_made_for_nobody(self) -> None:
        """
        A session that was made while its answer was lost, whichever was asked for, is
        let go when the store answers again.
        """
        self.store.deaf = True
        for wanted in (None, "no such session"):
            self.failureResultOf(self.recording.attach("bob", wanted), RPCError)
        self.store.deaf = False
        made = [
            it for it in self.store.memory.sessions.values() if it.principal == "bob"
        ]
        self.assertEqual([it.attached for it in made], [1, 1])
        self.recording.expire(0.0, START)
        self.assertEqual([it.attached for it in made], [0, 0])

    def test_asked_for_while_the_store_is_away(self) -> None:
        """
        However many sessions are asked for while the store is away, what is
        remembered of them is bounded.
        """
        self.patch(sessions, "UNHEARD", 3)
        self.store.gone = True
        for number in range(10):
            self.failureResultOf(self.recording.attach("ada", f"{number}"), RPCError)
        self.store.gone = False
        self.recording.expire(0.0, START)
        self.assertLessEqual(self.store.asked.count("detach"), 4)
        session = self.connection.session
        assert session is not None
        self.assertEqual(self.store.memory.sessions[session.id].attached, 1)

    def test_floors_of_sessions_that_ended(self) -> None:
        """
        Nothing is left of a session that has ended here.
        """
        self.result = None
        self.ask(1)
        session = self.release(2)
        self.recording.detach(session, 0.0)
        self.running[0].callback(b"1")
        retention = self.recording.local.retention
        self.recording.expire(retention + 1, START)
        self.recording.expire(retention + 2, START)
        self.assertEqual(self.recording._sessions._floors, {})

    def test_bounded_here(self) -> None:
        """
        What is kept here of sessions without a connection is bounded, however
        many there are in the store.
        """
        self.recording.local.max_sessions = 3
        for _ in range(10):
            session, _ = self.successResultOf(self.recording.attach("ada", None))
            self.recording.detach(session, 0.0)
        self.assertLessEqual(len(self.recording.local.sessions), 4)
        self.assertEqual(len(self.store.memory.sessions), 11)

    def test_expires_one_at_a_time(self) -> None:
        """
        Housekeeping that takes long is not asked for again meanwhile, and its
        failure is only noted.
        """
        self.store.slow = True
        self.recording.expire(0.0, START)
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.asked.count("expire"), 1)
        self.store.slow = False
        self.store.answer()
        self.store.gone = True
        self.recording.expire(0.0, START)
        self.store.gone = False
        self.recording.expire(0.0, START)
        self.assertEqual(self.store.asked.count("expire"), 3)


class FindTests(RecordingTestCase):
    """
    What became of a call.
    """

    def find(self, request_id: str) -> Any:
        """Ask, as the connection's principal."""
        return self.successResultOf(
            self.recording.find("ada", self.connection.session, request_id)
        )

    def name(self, seq: int) -> str:
        """The id of a call."""
        assert self.connection.session is not None
        return f"{self.connection.session.id}:{seq}"

    def test_states(self) -> None:
        """
        Done, running, acknowledged, never heard of.
        """
        self.successResultOf(self.ask(1))
        self.result = None
        self.ask(2)
        state, record = self.find(self.name(1))
        self.assertEqual((state, record.outcome), (State.DONE, b"1"))
        self.assertIs(self.find(self.name(2))[0], State.IN_PROGRESS)
        self.assertIs(self.find(self.name(3))[0], State.ABSENT)
        self.store.slow = True
        self.ask(4)
        self.store.slow = False
        self.assertIs(self.find(self.name(4))[0], State.IN_PROGRESS)
        assert self.connection.session is not None
        self.recording.release(self.connection.session, 2)
        self.assertIs(self.find(self.name(1))[0], State.DONE)
        self.recording.expire(0.0, START)
        self.assertIs(self.find(self.name(1))[0], State.FORGOTTEN)

    def test_not_the_callers(self) -> None:
        """
        Of an id that is not the caller's nothing is told.
        """
        for name in ("a", "0" * 32 + ":1"):
            answer = self.recording.find("ada", self.connection.session, name)
            error = self.failureResultOf(answer, RPCError).value
            self.assertIs(error.code, Code.SESSION_UNKNOWN)

    def test_volatile(self) -> None:
        """
        Also of a method whose records are in memory only.
        """
        session = self.connection.session
        assert session is not None
        from twisted_rpc.delivery.deduplicate import deduplicating  # noqa: PLC0415 - as the server composes them

        respond = deduplicating(self.recording.local)(self.run_it)
        respond(self.request(1, method=FakeMethod(delivery="idempotent")))
        state, record = self.find(self.name(1))
        self.assertEqual((state, record.outcome), (State.DONE, b"1"))

    def test_doubt(self) -> None:
        """
        The application is asked, once.
        """
        self.result = None
        self.ask(1)
        _, record = self.store._record(Key(self.name(1).partition(":")[0], 1))
        assert record is not None
        record.state = State.IN_DOUBT
        self.assertIs(self.find(self.name(1))[0], State.IN_DOUBT)
        self.known = lambda: fail(RPCError(Code.OUTCOME_UNKNOWN))
        self.assertIs(self.find(self.name(1))[0], State.IN_DOUBT)
        self.known = lambda: succeed(b"5")
        self.find(self.name(1))
        self.assertEqual([outcome for _, outcome in self.store.resolved], [b"5"])
        self.assertEqual(len(self.unknown), 3)


class LifeTests(RecordingTestCase):
    """
    The beginning and the end.
    """

    def test_starting(self) -> None:
        """
        Before the store has started nothing is served; all who wait for it are
        told, and a failure too.
        """
        store = ScriptedStore(MemoryStore(), self.clock)
        store.starting = Deferred()
        recording = Recording(store, self.clock)
        waiting = [recording.start(self.clock), recording.start(self.clock)]
        for ask in (
            lambda: recording.attach("ada", None),
            lambda: recording.respond(self.request()),
            lambda: recording.find("ada", None, "a"),
        ):
            error: RPCError = self.assertRaises(RPCError, ask)
            self.assertEqual((error.code, error.executed), (Code.UNAVAILABLE, "no"))
        recording.expire(0.0, START)
        self.assertEqual(store.asked, [])
        store.starting.errback(StoreError("no such folder"))
        for each in waiting:
            self.failureResultOf(each, StoreError)
        store.starting = succeed(None)
        self.successResultOf(recording.start(self.clock))
        self.successResultOf(recording.start(self.clock))
        self.assertIn("MemorySteps", repr(recording))

    def test_start_raises(self) -> None:
        """
        A store that raises when it starts is as one that fails; it is not stopped,
        and may start another time.
        """
        store = ScriptedStore(MemoryStore(), self.clock)
        recording = Recording(store, self.clock)
        start = store.start

        def raises(_: Any) -> Deferred[None]:
            raise ZeroDivisionError

        self.patch(store, "start", raises)
        for _ in range(2):
            self.failureResultOf(recording.start(self.clock), ZeroDivisionError)
        stopped = recording.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertFalse(store.stopped)
        self.patch(store, "start", start)
        self.successResultOf(recording.start(self.clock))

    def test_steps_raise(self) -> None:
        """
        A step that raises is as one that fails: nobody waits for ever.
        """

        def raises(*_: Any) -> Deferred[Any]:
            raise ZeroDivisionError

        for name in ("claim", "attach", "expire", "stop"):
            self.patch(self.store, name, raises)
        self.assertIs(self.failed(self.ask(1)).code, Code.UNAVAILABLE)
        attached = self.recording.attach("ada", None)
        self.failureResultOf(attached, RPCError)
        self.recording.expire(0.0, START)
        stopped = self.recording.stop()
        self.clock.advance(0)
        self.failureResultOf(stopped, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_stop(self) -> None:
        """
        At the end what is being written is written, what waits for a claim does
        not run, and then the store is let go.
        """
        self.store.slow = True
        written = self.ask(1)
        self.store.answer()
        claimed = self.ask(2)
        stopped = self.recording.stop()
        self.store.answer()
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(written), b"1")
        self.assertIs(self.failed(claimed).code, Code.UNAVAILABLE)
        self.assertFalse(self.store.stopped)
        self.store.answer()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(self.store.stopped)
        self.assertEqual(len(self.ran), 1)
        error: RPCError = self.assertRaises(RPCError, self.ask, 3)
        self.assertIs(error.code, Code.UNAVAILABLE)

    def test_stop_while_waiting(self) -> None:
        """
        What waits for another server, or for its answer to be written again, is
        ended.
        """
        self.store.script = [Found(Verdict.WAIT)]
        elsewhere = self.ask(1)
        self.result = None
        first = self.ask(2)
        self.store.gone = True
        self.running[0].callback(b"1")
        self.assertIs(self.failed(first).code, Code.OUTCOME_UNKNOWN)
        again = self.ask(2)
        stopped = self.recording.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertIs(self.failed(elsewhere).code, Code.IN_PROGRESS)
        self.assertIs(self.failed(again).code, Code.OUTCOME_UNKNOWN)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_starting(self) -> None:
        """
        A store is stopped when it has started, not before: what it would begin
        afterwards, such as to renew a lease, would never end.  Who starts it again
        meanwhile waits for that.
        """
        for result, begun in ((None, True), (StoreError("no such folder"), False)):
            store = ScriptedStore(MemoryStore(), self.clock)
            store.starting = Deferred()
            recording = Recording(store, self.clock)
            started = recording.start(self.clock).addErrback(lambda it: it.value)
            stopped = recording.stop()
            again = recording.start(self.clock)
            self.clock.advance(0)
            self.assertNoResult(stopped)
            self.assertFalse(store.stopped)
            starting, store.starting = store.starting, succeed(None)
            starting.callback(result) if begun else starting.errback(result)  # type: ignore[arg-type]  # an error then
            self.assertIs(self.successResultOf(started), result)
            self.assertNoResult(again)
            self.clock.advance(0)
            self.successResultOf(stopped)
            self.assertIs(store.stopped, begun)
            self.successResultOf(again)
            self.assertTrue(recording.started)

    def test_stop_twice(self) -> None:
        """
        Stopped again before the first stop has ended, it stops once, and both are
        told; afterwards it may be started again.
        """
        stops: list[None] = []

        def stop() -> Deferred[None]:
            stops.append(None)
            return succeed(None)

        self.patch(self.store, "stop", stop)
        waiting = [self.recording.stop() for _ in range(3)]
        started = self.recording.start(self.clock)
        for each in waiting:
            self.assertNoResult(each)
        self.clock.advance(0)
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(len(stops), 1)
        self.successResultOf(started)
        self.assertTrue(self.recording.started)

    def test_lives_in_order(self) -> None:
        """
        Starts and stops that are asked for while it stops follow one another in
        their order, and each is told; a store that cannot be stopped is told to who
        asked for that.
        """
        lived: list[str] = []
        start = self.store.start

        def starts(reactor: Any) -> Deferred[None]:
            lived.append("start")
            return start(reactor)

        def stops() -> Deferred[None]:
            lived.append("stop")
            return fail(StoreError("no")) if len(lived) > 1 else succeed(None)

        self.patch(self.store, "start", starts)
        self.patch(self.store, "stop", stops)
        told: list[Any] = []
        recording = self.recording
        for ask in (
            recording.stop,
            lambda: recording.start(self.clock),
            recording.stop,
            lambda: recording.start(self.clock),
        ):
            ask().addBoth(told.append)
        self.assertEqual(told, [])
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual(lived, ["stop", "start", "stop", "start"])
        self.assertEqual(
            [type(each) for each in told], [type(None)] * 2 + [Failure, type(None)]
        )
        self.assertTrue(recording.started)

    def test_starts_again(self) -> None:
        """
        It may be started again when it has stopped.
        """
        stopped = self.recording.stop()
        started = self.recording.start(self.clock)
        self.assertNoResult(started)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.successResultOf(started)
        self.connection = self.connect()
        self.assertEqual(self.successResultOf(self.ask(1)), b"1")
