"""
Tests for calls that wait for a slot.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.call import Answer, Request
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.overload.pressure import Pressure
from twisted_rpc.server.overload.slots import Slots
from twisted_rpc.wire.limits import Limits


class Origin:
    """
    A connection, as far as slots know of one.
    """

    def __init__(self, clock: Clock) -> None:
        self.seconds = clock.seconds
        self.inflight = 0

    @property
    def arrived(self) -> float:
        """Now."""
        return self.seconds()

    def begun(self) -> None:
        """One more."""
        self.inflight += 1

    def ended(self) -> None:
        """One less."""
        self.inflight -= 1


class Room:
    """
    Slots, and what runs in them.
    """

    def __init__(self, limit: float = 2, **limits: Any) -> None:
        self.clock = Clock()
        self.pressure = Pressure()
        self.refused: Counter[str] = Counter()
        self.origin = Origin(self.clock)
        self.slots = Slots(
            limit,
            "of a test",
            limits=Limits(**limits),
            clock=self.clock,
            pressure=self.pressure,
            refused=self.refused,
        )
        self.runs: list[Deferred[bytes]] = []
        self.started: list[str] = []
        self.at_once = False
        self.method = object()

    def request(self, name: str = "", timeout: float = 1e9) -> Request:
        """
        @return: a request.
        """
        deadline = self.clock.seconds() + timeout
        return Request(self.method, b"[]", name, deadline, self.origin)

    def call(self, request: Request) -> Any:
        """
        What admission does.
        """
        if self.slots.full:
            return self.slots.wait(
                request, partial(self.run, request), self.clock.seconds()
            )
        return self.run(request)

    def run(self, request: Request) -> Answer:
        """
        What dispatch does.
        """
        self.started.append(request.id)
        if self.at_once:
            return b"1"
        self.slots.begun()
        run: Deferred[bytes] = Deferred(lambda _: None)
        self.runs.append(run)
        return run.addBoth(self.ended)

    def ended(self, result: Any) -> Any:
        """
        A run has.
        """
        self.slots.ended()
        return result

    def end(self) -> None:
        """
        End the oldest run.
        """
        self.runs.pop(0).callback(b"1")


class SlotsTests(SynchronousTestCase):
    """
    L{Slots}.
    """

    def code(self, answer: Any) -> RPCError:
        """
        @return: what it failed with.
        """
        error: Any = self.failureResultOf(answer, RPCError).value
        return error  # type: ignore[no-any-return]

    def test_in_order(self) -> None:
        """
        Beyond the limit calls wait, and start in the order in which they came.
        """
        room = Room()
        answers = [room.call(room.request(name)) for name in "abcd"]
        self.assertEqual(room.started, ["a", "b"])
        self.assertEqual((room.slots.waiting, room.origin.inflight), (2, 2))
        self.assertEqual(room.pressure.level, 1)
        room.end()
        self.assertEqual(room.started, ["a", "b", "c"])
        for _ in range(3):
            room.end()
        self.assertEqual(room.started, ["a", "b", "c", "d"])
        for answer in answers:
            self.assertEqual(self.successResultOf(answer), b"1")
        self.assertEqual((room.slots.running, room.origin.inflight), (0, 0))
        self.assertEqual(room.pressure.level, 0)

    def test_not_started_yet(self) -> None:
        """
        A call that waits has not started, and says so.
        """
        room = Room(1)
        room.call(room.request())
        request = room.request()
        room.call(request)
        self.assertFalse(request.started)
        room.end()
        self.assertTrue(request.started)

    def test_bounds(self) -> None:
        """
        No more wait than may, in number and in bytes; the rest are refused unrun
        and counted.
        """
        room = Room(1, max_queue=2)
        for _ in range(3):
            room.call(room.request())
        error = self.assertRaises(RPCError, room.call, room.request())
        self.assertEqual((error.code, error.executed), (Code.RESOURCE_EXHAUSTED, "no"))
        self.assertEqual(error.retry_after, 0.25)
        self.assertIn("2 calls of a test wait", error.message)
        room = Room(1, max_queue_bytes=5)
        for _ in range(3):
            room.call(room.request())
        self.assertRaises(RPCError, room.call, room.request())
        self.assertEqual(room.refused, {"max_queue_bytes": 1})

    def test_no_queue(self) -> None:
        """
        Where none may wait, all beyond the limit are refused.
        """
        room = Room(1, max_queue=0)
        room.call(room.request())
        self.assertRaises(RPCError, room.call, room.request())
        room.end()
        room.call(room.request())
        self.assertEqual(room.refused, {"max_queue": 1})

    def test_cancelled(self) -> None:
        """
        A call that is given up while it waits never starts; one that is given up
        while it runs keeps its slot until it has ended.
        """
        room = Room(1)
        first, second, _third = (room.call(room.request(name)) for name in "abc")
        second.cancel()
        error = self.code(second)
        self.assertEqual((error.code, error.executed), (Code.CANCELLED, "no"))
        self.assertEqual(room.slots.waiting, 1)
        room.end()
        self.successResultOf(first)
        self.assertEqual(room.started, ["a", "c"])
        self.assertEqual(room.slots.running, 1)

    def test_cancel_reaches_what_runs(self) -> None:
        """
        A call that has waited is cancelled as one that has not.
        """
        room = Room(1)
        room.call(room.request())
        answer = room.call(room.request())
        room.end()
        answer.cancel()
        self.failureResultOf(answer)
        self.assertEqual(room.slots.running, 0)

    def test_expired(self) -> None:
        """
        Work whose time is up when it could start is not started.
        """
        room = Room(1, delay=9.0)
        room.call(room.request())
        answer = room.call(room.request("late", timeout=0.5))
        room.clock.advance(0.5)
        room.end()
        error = self.code(answer)
        self.assertEqual((error.code, error.executed), (Code.DEADLINE_EXCEEDED, "no"))
        self.assertEqual(room.started, [""])

    def test_standing_queue(self) -> None:
        """
        While calls have waited for over 50 ms for 100 ms, new ones are refused
        at once, and what is too old to be worth it is when its turn comes.
        """
        room = Room(1)
        room.call(room.request())
        old = room.call(room.request("old"))
        room.clock.advance(0.06)
        for _ in range(3):
            room.call(room.request())
        room.clock.advance(0.05)
        room.call(room.request())
        room.clock.advance(0.05)
        error = self.assertRaises(RPCError, room.call, room.request())
        self.assertIn("wait for 0.160 s", error.message)
        room.clock.advance(0.08)
        room.end()
        self.assertIn("the call waited for 0.240 s", self.code(old).message)
        self.assertEqual(room.refused, {"delay": 2})
        # What came later is younger, and runs.
        self.assertEqual(len(room.started), 2)

    def test_foretold(self) -> None:
        """
        What calls take tells how long the queue is: a call that would wait for
        too long is refused as it comes, and so is one whose deadline would be
        over; whoever is refused never waits for that.
        """
        room = Room(2)
        answers = [room.call(room.request()) for _ in range(20)]
        for _ in range(18):
            # Two at a time, each in 10 ms.
            room.clock.advance(0.005)
            room.end()
        answers += [room.call(room.request()) for _ in range(27)]
        hurried = room.request(timeout=0.1)
        error = self.assertRaises(RPCError, room.call, hurried)
        self.assertIn("wait for longer than there is time", error.message)
        self.assertEqual((error.code, error.executed), (Code.RESOURCE_EXHAUSTED, "no"))
        while room.refused["delay"] < 10:
            try:
                answers.append(room.call(room.request()))
            except RPCError as refused:
                self.assertIn("wait for 0.17", refused.message)
        self.assertEqual(room.refused, {"deadline": 1, "delay": 10})
        while room.runs:
            room.clock.advance(0.005)
            room.end()
        self.assertEqual(room.refused, {"deadline": 1, "delay": 10})
        self.assertEqual({self.successResultOf(it) for it in answers}, {b"1"})

    def test_too_little_time(self) -> None:
        """
        A call that has waited until there is less time left than such a call
        takes makes room for those behind it.
        """
        room = Room(1)
        for _ in range(3):
            room.call(room.request())
        for _ in range(2):
            room.clock.advance(0.1)
            room.end()
        # The third has its slot; the second has waited, and taken 100 ms.
        hurried = room.call(room.request(timeout=0.15))
        behind = room.call(room.request())
        room.clock.advance(0.1)
        room.end()
        self.assertIn("too little time is left", self.code(hurried).message)
        self.assertEqual(room.refused, {"deadline": 1})
        room.end()
        self.assertEqual(self.successResultOf(behind), b"1")

    def test_idle_again(self) -> None:
        """
        What calls took an hour ago refuses nobody who comes to free slots.
        """
        room = Room(4)
        answers = [room.call(room.request()) for _ in range(12)]
        while room.runs:
            room.clock.advance(5)
            for _ in list(room.runs):
                room.end()
        room.clock.advance(3600)
        answers += [room.call(room.request(timeout=2.0)) for _ in range(40)]
        while room.runs:
            room.clock.advance(0.0005)
            room.end()
        self.assertEqual({self.successResultOf(it) for it in answers}, {b"1"})
        self.assertEqual(room.refused, {})

    def test_refused_further_in(self) -> None:
        """
        A call that has waited, and is refused by the limit behind this one, does
        not teach that calls take no time; one that is refused its arguments
        neither.
        """

        def refuse() -> Answer:
            raise refusal(Code.RESOURCE_EXHAUSTED, "the next queue is full")

        room = Room(1)
        for _ in range(2):
            room.call(room.request())
        room.clock.advance(0.1)
        room.end()
        room.clock.advance(0.1)
        refused = [
            room.slots.wait(room.request(), refuse, room.clock.seconds())
            for _ in range(4)
        ]
        room.call(room.request())
        room.end()
        for each in refused:
            self.assertEqual(self.code(each).message[:18], "RESOURCE_EXHAUSTED")
        for _ in range(4):
            room.call(room.request())
        error = self.assertRaises(RPCError, room.call, room.request(timeout=0.45))
        self.assertIn("wait for longer than there is time", error.message)

    def test_few_are_no_queue(self) -> None:
        """
        Up to four may wait for one another as long as it takes, as callers of a
        slow method do who call again when they are answered.
        """
        room = Room(1)
        answers = [room.call(room.request()) for _ in range(5)]
        for _ in range(20):
            room.clock.advance(0.09)
            room.end()
            answers.append(room.call(room.request()))
        self.assertEqual(room.refused, {})
        self.assertEqual(len(room.started), 21)

    def test_many_that_end_at_once(self) -> None:
        """
        Calls that need no slot once they start leave the queue, without a depth
        of calls in one another, and not all in one turn.
        """
        room = Room(1, delay=9.0)
        room.call(room.request())
        answers = [room.call(room.request()) for _ in range(1000)]
        room.at_once = True
        room.end()
        self.assertEqual(len(room.started), 65)
        for _ in range(20):
            room.clock.advance(0)
        for answer in answers:
            self.assertEqual(self.successResultOf(answer), b"1")
        self.assertEqual(room.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """
        All that wait can be failed at once.
        """
        room = Room(1)
        room.call(room.request())
        answers = [room.call(room.request()) for _ in range(3)]
        room.slots.stop(refusal(Code.UNAVAILABLE, "over"))
        for answer in answers:
            self.assertEqual(self.code(answer).code, Code.UNAVAILABLE)
        self.assertEqual((room.slots.waiting, room.origin.inflight), (0, 0))

    def test_stop_between_two_turns(self) -> None:
        """
        No timer is left of those that would have started in the next turn.
        """
        room = Room(1, delay=9.0)
        room.call(room.request())
        answers = [room.call(room.request()) for _ in range(100)]
        room.at_once = True
        room.end()
        self.assertEqual(room.slots.waiting, 36)
        room.slots.stop(refusal(Code.UNAVAILABLE, "over"))
        self.assertEqual(room.clock.getDelayedCalls(), [])
        self.assertEqual(room.pressure.level, 0)
        codes = {self.code(it).code for it in answers[64:]}
        self.assertEqual(codes, {Code.UNAVAILABLE})


class SlotsMachine(RuleBasedStateMachine):
    """
    Calls that come, go on, end and are given up, in any order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(3, max_queue=4)
        self.waiting: list[Deferred[bytes]] = []
        self.answered = self.made = 0

    def _answered(self, _: Any) -> None:
        self.answered += 1

    @rule(timeout=st.sampled_from([0.02, 1e9]))
    def call(self, timeout: float) -> None:
        """
        One more.
        """
        room = self.room
        try:
            answer = room.call(room.request(timeout=timeout))
        except RPCError as error:
            assert error.executed == "no"
            return
        self.made += 1
        self.waiting.append(answer)
        answer.addBoth(self._answered)

    @precondition(lambda self: self.room.runs)
    @rule()
    def end(self) -> None:
        """
        The oldest run ends.
        """
        self.room.runs.pop(0).callback(b"1")

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """
        Somebody gives up.
        """
        answer = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(answer)
        answer.cancel()
        self.room.runs = [run for run in self.room.runs if not run.called]

    @rule(seconds=st.sampled_from([0.01, 0.06, 0.2]))
    def pass_time(self, seconds: float) -> None:
        """
        Time goes by.
        """
        self.room.clock.advance(seconds)

    @invariant()
    def within(self) -> None:
        """
        Never more than the limits; a slot is not free while somebody waits; and
        every call is answered once at most.
        """
        slots = self.room.slots
        assert 0 <= slots.running <= 3
        assert slots.waiting <= 4
        assert not slots.waiting or slots.running == 3
        assert self.room.origin.inflight == slots.waiting
        assert slots.running + slots.waiting == self.made - self.answered
        assert slots.full is (slots.running == 3)
        assert self.room.pressure.level == int(slots.full)


class MachineTests(SynchronousTestCase):
    """
    The machine, as a test.
    """

    def test_machine(self) -> None:
        """
        Whatever happens, what must hold does.
        """
        case = SlotsMachine.TestCase
        case.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
        case("runTest").debug()
