"""
Tests for a server of which more is asked than it can do.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation, RawPeer
from twisted_rpc import Limits
from twisted_rpc.wire.limits import OFF

IDL = """
@rate_limit(1000, per=1s)
service Work {
    int add(int a, int b);
    int slow(int a);
    @readonly @max_concurrency(2) int few(int a);
    @rate_limit(2, per=1s) int seldom(int a);
    @readonly @aliases(["also"]) @max_concurrency(1) int one(int a);
    int stubborn(int a);
    @threaded int blocking(int a);
}
"""


class Work:
    """
    What runs is ended by the tests.
    """

    def __init__(self) -> None:
        self.started: list[Deferred[int]] = []
        self.runs = self.running = self.most = 0
        self.gate = threading.Event()

    def add(self, a: int, b: int) -> int:
        """At once."""
        self.runs += 1
        return a + b

    def slow(self, a: int) -> Deferred[int]:
        """Later."""
        self.runs += 1
        self.started.append(Deferred())
        return self.started[-1]

    few = one = slow

    def seldom(self, a: int) -> int:
        """At once."""
        self.runs += 1
        return a

    async def stubborn(self, a: int) -> int:
        """It has to clean up when it is cancelled."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.started.append(Deferred())
            try:
                await self.started[-1]
            except CancelledError:
                self.started.append(Deferred())
                await self.started[-1]
        finally:
            self.running -= 1
        return a

    def blocking(self, a: int) -> int:
        """In a thread."""
        self.runs += 1
        self.gate.wait(30)
        return a

    def end(self) -> None:
        """End the oldest that runs."""
        self.started.pop(0).callback(7)


class OverloadTestCase(SynchronousTestCase):
    """
    A server, and peers that write frames.
    """

    def start(self, limits: Limits | None = None, **options: Any) -> None:
        """
        Start it.
        """
        self.work = Work()
        self.talk = Conversation(
            IDL, self.work, limits=limits if limits is not None else Limits(), **options
        )
        self.addCleanup(self.talk.close)
        self.addCleanup(self.work.gate.set)
        self.peer, self.session = self.talk.extended()
        self.seq = 0

    def send(self, method: str, *params: int, timeout: int = 60_000) -> str:
        """
        Send a call.

        @return: its id.
        """
        self.seq += 1
        request_id = f"{self.session}:{self.seq}"
        ext = {"timeout": timeout, "ack": 1}
        request = self.talk.request(request_id, method, list(params), ext=ext)
        self.talk.say(self.peer, request)
        return request_id

    def answer(self, request_id: str, peer: RawPeer | None = None) -> Any:
        """
        @return: the answer to a call; C{None}: none has come.
        """
        self.talk.pump()
        for frame in (peer or self.peer).frames:
            if frame["request_id"] == request_id:
                return frame
        return None

    def refused(self, request_id: str, code: str = "RESOURCE_EXHAUSTED") -> str:
        """
        A call was refused unrun.

        @return: why.
        """
        answer = self.answer(request_id)
        assert answer is not None
        ext = answer["ext"]
        self.assertEqual((ext["code"], ext["executed"]), (code, "no"))
        if code == "RESOURCE_EXHAUSTED":
            self.assertGreater(ext["retry_after"], 0)
        return str(answer["error"])

    def counted(self, name: str) -> int:
        """
        @return: the counter of a limit.
        """
        return self.talk.server.counters().get(f"limits.{name}", 0)


class ConcurrencyTests(OverloadTestCase):
    """
    Limits on calls in progress.
    """

    def test_of_the_server(self) -> None:
        """
        Beyond the server's limit calls wait, those too that would answer at
        once; beyond the queue they are refused.
        """
        self.start(Limits(max_concurrency=2, max_queue=2))
        running = [self.send("slow", 1) for _ in range(2)]
        waiting = [self.send("add", 1, 2), self.send("slow", 1)]
        late = self.send("add", 1, 2)
        self.assertIn("2 calls of this server wait", self.refused(late))
        self.assertEqual(self.work.runs, 2)
        self.assertEqual(self.talk.server.gauges()["calls_waiting"], 2)
        self.work.end()
        self.assertEqual(self.answer(running[0])["result"], 7)
        self.assertEqual(self.answer(waiting[0])["result"], 3)
        self.assertIsNone(self.answer(waiting[1]))
        self.assertEqual(self.work.runs, 4)
        self.assertEqual(self.counted("max_queue"), 1)
        self.assertEqual(self.counted("max_concurrency"), 2)
        # What was refused has no record: it may be asked again.
        again = self.talk.request(late, "add", [1, 2], ext={"attempt": 2})
        self.work.end()
        (answer,) = self.talk.say(self.peer, again)[-1:]
        self.assertEqual(answer["result"], 3)

    def test_duplicate_of_one_that_waits(self) -> None:
        """
        A duplicate joins the call that waits; there is one run.
        """
        self.start(Limits(max_concurrency=1))
        self.send("slow", 1)
        waiting = self.send("add", 1, 2)
        self.talk.say(
            self.peer, self.talk.request(waiting, "add", [1, 2], ext={"attempt": 2})
        )
        self.work.end()
        self.talk.pump()
        answers = [it for it in self.peer.frames if it["request_id"] == waiting]
        self.assertEqual([it["result"] for it in answers], [3, 3])
        self.assertEqual(self.work.runs, 2)

    def test_of_a_method(self) -> None:
        """
        C{@max_concurrency} holds calls of its method back, under whichever name,
        and no others.
        """
        self.start()
        one, other, third = (self.send(name, 1) for name in ("one", "also", "one"))
        self.assertEqual(self.work.runs, 1)
        self.assertEqual(self.answer(self.send("add", 1, 2))["result"], 3)
        for request_id in (one, other, third):
            self.assertIsNone(self.answer(request_id))
            self.work.end()
            self.assertEqual(self.answer(request_id)["result"], 7)
        self.assertEqual(self.counted("max_concurrency_per_method"), 2)

    def test_given_up(self) -> None:
        """
        A call that is given up while it waits is answered at once, and never
        runs; so is one whose time is up.
        """
        self.start()
        running = self.send("one", 1)
        waiting, late = self.send("one", 1), self.send("one", 1, timeout=300)
        self.talk.control(self.peer, "cancel", waiting)
        self.assertIn("cancelled", self.refused(waiting, "CANCELLED"))
        self.talk.advance(0.4, step=0.025)
        self.refused(late, "DEADLINE_EXCEEDED")
        self.work.end()
        self.assertEqual(self.answer(running)["result"], 7)
        self.assertEqual(self.work.runs, 1)

    def test_lost_while_it_waits(self) -> None:
        """
        What only reads does not start for a connection that is gone.
        """
        self.start()
        self.send("one", 1)
        self.send("one", 1)
        self.peer.transport.abortConnection()
        self.talk.pump()
        self.assertEqual(self.talk.server.gauges()["calls_waiting"], 0)

    def test_drain(self) -> None:
        """
        Calls that wait when the server is stopped are in flight too.
        """
        self.start(Limits(max_concurrency=1))
        running, waiting = self.send("slow", 1), self.send("add", 1, 2)
        stopped = self.talk.server.stopService()
        self.refused(self.send("add", 1, 2), "UNAVAILABLE")
        self.work.end()
        self.assertEqual(self.answer(running)["result"], 7)
        self.assertEqual(self.answer(waiting)["result"], 3)
        self.peer.transport.loseConnection()
        self.talk.pump()
        self.successResultOf(stopped)

    def test_end_of_the_drain(self) -> None:
        """
        What still waits when the server has stopped never runs.
        """
        self.start(Limits(max_concurrency=1), drain=1.0)
        self.send("slow", 1)
        self.send("add", 1, 2)
        stopped = self.talk.server.stopService()
        self.talk.advance(3)
        self.successResultOf(stopped)
        self.work.end()
        self.assertEqual(self.work.runs, 1)

    def test_request_and_cancel(self) -> None:
        """
        A cancelled call keeps its slot until its implementation has ended: no
        number of requests and cancels makes more run than may.
        """
        self.start(Limits(max_concurrency=5, max_inflight=5))
        for _ in range(500):
            request_id = self.send("stubborn", 1)
            self.talk.control(self.peer, "cancel", request_id)
            self.assertIsNotNone(self.answer(request_id))
        self.assertEqual((self.work.running, self.work.most), (5, 5))
        for _ in range(20):
            for each in self.work.started:
                if not each.called:
                    each.callback(7)
            self.talk.pump()
        self.assertEqual(self.work.running, 0)
        self.assertEqual(self.talk.server.gauges()["calls_running"], 0)
        self.assertLessEqual(self.work.most, 5)

    def test_off(self) -> None:
        """
        The limits can be switched off.
        """
        self.start(Limits(max_concurrency=OFF, delay=OFF))
        for _ in range(200):
            self.send("slow", 1)
        self.assertEqual(self.work.runs, 200)


class Names:
    """
    Believes everybody.
    """

    required = False

    def authenticate(self, peer: Any, auth: Any) -> str:
        """By what it says."""
        return auth["token"] if auth else "anonymous"


class PrincipalTests(OverloadTestCase):
    """
    Limits of callers who are known.
    """

    def test_each_their_own(self) -> None:
        """
        One caller's calls in progress are bounded over all connections, and some
        more wait; others are not held up.
        """
        limits = Limits(max_concurrency_per_principal=2, max_queue=3)
        self.start(limits, authenticator=Names())
        said: dict[str, list[Any]] = {}
        for name in ("ann", "ann", "bob"):
            peer, session = self.talk.extended(auth={"scheme": "bearer", "token": name})
            for seq in (1, 2, 3):
                request = self.talk.request(f"{session}:{seq}", "slow", [1], ext={})
                said.setdefault(name, []).extend(self.talk.say(peer, request))
        (refused,) = said.pop("ann")
        self.assertEqual(refused["ext"]["code"], "RESOURCE_EXHAUSTED")
        self.assertIn("3 calls of this caller wait", refused["error"])
        self.assertEqual(said, {"bob": []})
        self.assertEqual(self.work.runs, 4)
        self.assertEqual(self.counted("max_queue"), 1)
        self.assertEqual(self.counted("max_concurrency_per_principal"), 4)
        self.assertEqual(self.talk.server.gauges()["calls_waiting"], 4)
        shared = self.talk.server.factory.shared
        self.assertEqual(len(shared.admission.callers), 3)
        while self.work.started:
            self.work.end()
            self.talk.pump()
            self.assertLessEqual(self.talk.server.gauges()["calls_running"], 4)
        self.assertEqual(self.work.runs, 8)
        self.all_free()

    def all_free(self) -> None:
        """
        Check that nothing is counted any more.
        """
        shared = self.talk.server.factory.shared
        for connection in shared.connections:
            self.assertEqual(connection.inflight, 0)
            assert connection.caller is not None
            self.assertEqual(connection.caller.running, 0)
        self.assertEqual(self.talk.server.gauges()["calls_running"], 0)
        self.assertEqual(shared.admission.pressure.level, 0)

    def test_of_a_method_too(self) -> None:
        """
        A call that waits for its caller's limit holds no slot of its method, nor
        of the server; and one that waits for those has its caller's.
        """
        limits = Limits(max_concurrency_per_principal=2, max_concurrency=3)
        self.start(limits, authenticator=Names())
        bob, session = self.talk.extended(auth={"scheme": "bearer", "token": "bob"})
        mine = [self.send("slow", 1), self.send("one", 1), self.send("one", 2)]
        self.assertEqual(self.work.runs, 2)
        for seq in (1, 2, 3):
            name = "one" if seq == 1 else "slow"
            self.talk.say(bob, self.talk.request(f"{session}:{seq}", name, [1], ext={}))
        # His first waits for the method, his second runs, and his third waits for
        # him.
        self.assertEqual(self.work.runs, 3)
        self.work.started.pop(1).callback(7)
        self.assertEqual(self.answer(mine[1])["result"], 7)
        # The method goes to him, who came first there.
        self.assertEqual(self.work.runs, 4)
        while self.work.started:
            self.work.end()
            self.talk.pump()
            self.assertLessEqual(self.talk.server.gauges()["calls_running"], 3)
        self.assertEqual(self.work.runs, 6)
        self.all_free()


class RateTests(OverloadTestCase):
    """
    C{@rate_limit}.
    """

    def test_too_often(self) -> None:
        """
        Beyond its rate a method is refused, with the time to wait; what the
        record answers is not counted, and other methods are not concerned.
        """
        self.start()
        first, second, third = (self.send("seldom", n) for n in range(3))
        self.assertEqual(self.answer(first)["result"], 0)
        self.assertEqual(self.answer(second)["result"], 1)
        self.assertIn("Work.seldom is called too often", self.refused(third))
        self.assertEqual(self.answer(third)["ext"]["retry_after"], 500)
        again = self.talk.request(first, "seldom", [0], ext={"attempt": 2})
        (answer,) = self.talk.say(self.peer, again)
        self.assertTrue(answer["ext"]["replayed"])
        self.assertEqual(self.answer(self.send("add", 1, 2))["result"], 3)
        self.assertEqual(self.counted("rate_limit"), 1)
        self.talk.advance(0.5)
        again = self.talk.request(third, "seldom", [2], ext={"attempt": 2})
        (answer,) = self.talk.say(self.peer, again)
        self.assertEqual(answer["result"], 2)

    def test_of_the_service(self) -> None:
        """
        What is written at the service holds for each of its methods.
        """
        self.start()
        sent = [self.send("add", 1, 2) for _ in range(1001)]
        self.assertEqual(self.answer(sent[999])["result"], 3)
        self.refused(sent[1000])


class AgeTests(OverloadTestCase):
    """
    Calls that have waited where nobody sees it.
    """

    def queue(self, method: str, *params: int, timeout: int = 60_000) -> str:
        """
        Send a call that nobody reads yet.
        """
        self.seq += 1
        request_id = f"{self.session}:{self.seq}"
        ext = {"timeout": timeout, "ack": 1}
        request = self.talk.request(request_id, method, list(params), ext=ext)
        self.peer.sendString(_encoded(request))
        return request_id

    def test_expired_in_the_kernel(self) -> None:
        """
        What piled up during a stall is as old as that: its time may be up.
        """
        self.start()
        self.send("add", 1, 1)
        late, patient = self.queue("add", 1, 2, timeout=2000), self.queue("add", 2, 2)
        self.talk.clock.stall(3.0)
        self.assertIn(
            "before the call started", self.refused(late, "DEADLINE_EXCEEDED")
        )
        self.assertEqual(self.answer(patient)["result"], 4)
        self.assertEqual(self.work.runs, 2)
        self.assertEqual(self.counted("deadline"), 1)

    def test_idle_is_not_old(self) -> None:
        """
        A call that comes after a pause has just come, however long that was.
        """
        self.start()
        self.send("add", 1, 1)
        self.talk.advance(30, step=0.025)
        quick = self.send("add", 1, 2, timeout=10)
        self.assertEqual(self.answer(quick)["result"], 3)

    def test_busy_elsewhere(self) -> None:
        """
        Nor is one on a connection that was idle while others were not.
        """
        self.start()
        busy, session = self.talk.extended()
        for seq in range(1, 60):
            self.talk.say(
                busy, self.talk.request(f"{session}:{seq}", "add", [1, 1], ext={})
            )
            self.talk.advance(0.02, step=0.02)
        quick = self.send("add", 1, 2, timeout=10)
        self.assertEqual(self.answer(quick)["result"], 3)

    def test_refused_under_overload(self) -> None:
        """
        When calls have come over 50 ms late for 100 ms, those are refused unrun,
        but for duplicates of what has ended; one that is not late ends it.
        """
        self.start()
        done = self.send("add", 1, 1)
        sent: list[str] = []
        for _ in range(4):
            sent = [self.queue("add", 1, 2) for _ in range(6)]
            self.talk.clock.stall(0.08)
            self.talk.pump()
        # A few are let through each time: those may only have waited for one
        # another.
        self.assertEqual(self.answer(sent[3])["result"], 3)
        self.assertIn("late", self.refused(sent[4]))
        again = self.talk.request(done, "add", [1, 1], ext={"attempt": 2})
        self.peer.sendString(_encoded(again))
        self.talk.clock.stall(0.08)
        self.talk.pump()
        self.assertEqual(self.peer.frames[-1]["ext"], {"replayed": True})
        self.assertGreaterEqual(self.counted("delay"), 1)
        self.talk.advance(0.1, step=0.02)
        fresh = self.send("add", 2, 2)
        self.assertEqual(self.answer(fresh)["result"], 4)
        self.assertEqual(self.talk.server.factory.shared.admission.pressure.level, 0)

    def test_told_together(self) -> None:
        """
        What limits refused is told in the log in one line, not in thousands.
        """
        self.start(Limits(max_concurrency=1, max_queue=1))
        with capturedLogs() as events:
            for _ in range(10):
                self.send("slow", 1)
            self.talk.advance(1.0)
        said = [it for it in events if it["log_format"].startswith("refused or ended")]
        self.assertEqual([it["what"] for it in said], ["8 by max_queue"])

    def test_no_pulse_at_rest(self) -> None:
        """
        A server that has nothing to read does nothing about it.
        """
        self.start()
        self.send("add", 1, 1)
        self.talk.advance(3, step=0.025)
        timers = {call.getTime() for call in self.talk.clock.getDelayedCalls()}
        soon = self.talk.clock.seconds() + 0.05
        self.assertEqual([at for at in timers if at < soon and at > soon - 0.045], [])


class ThreadTests(OverloadTestCase):
    """
    The queue for threads.
    """

    def test_standing_queue(self) -> None:
        """
        While calls wait for over 50 ms for a thread, new ones are refused.
        """
        self.start(threads=1, thread_queue=18)
        threads = self.talk.server.factory.shared.threads
        self.work.gate.set()
        for _ in range(16):
            # So that it is known what such a call takes: next to nothing.
            quick = self.send("blocking", 1)
            while threads.outstanding:
                self.talk.clock.wait_for_thread(10)
                self.talk.pump()
            self.assertEqual(self.answer(quick)["result"], 1)
        self.work.gate.clear()
        self.work.runs = 0
        self.send("blocking", 1)
        while not self.work.runs:
            self.talk.clock.wait_for_thread(0.001)
        waiting, *_ = [self.send("blocking", 2) for _ in range(5)]
        refusals = []
        for _ in range(4):
            self.talk.advance(0.08, step=0.02)
            refusals.append(self.send("blocking", 3))
        self.assertIn("for a thread", self.refused(refusals[-1]))
        self.work.gate.set()
        while threads.outstanding:
            self.talk.clock.wait_for_thread(10)
            self.talk.pump()
        # It had waited for 320 ms.
        self.assertIn("waited", self.refused(waiting))
        self.assertLess(self.work.runs, 6)
        self.assertGreaterEqual(self.counted("delay"), 2)

    def test_too_little_time(self) -> None:
        """
        A call that gets its thread with less time left than such a call takes is
        refused for its deadline, and counted so.
        """
        self.start(threads=1, thread_queue=9)
        taught = self.running("blocking")
        self.end_after(0.1)
        self.assertEqual(self.answer(taught)["result"], 1)
        self.running("blocking")
        hurried = self.send("blocking", 1, timeout=150)
        behind = self.send("blocking", 1)
        self.end_after(0.1)
        self.assertIn("too little time is left", self.refused(hurried))
        self.assertEqual(self.answer(behind)["result"], 1)
        self.assertEqual((self.counted("deadline"), self.counted("delay")), (1, 0))

    def test_free_threads(self) -> None:
        """
        A server that is idle refuses nothing, whatever it did a moment ago: calls
        that come together find a free thread each.
        """
        self.start(threads=8, thread_queue=9)
        taught = self.running("blocking")
        self.end_after(5.0)
        self.assertEqual(self.answer(taught)["result"], 1)
        hurried = [self.send("blocking", 1, timeout=500) for _ in range(8)]
        self.end_after(0.0)
        self.assertEqual([self.answer(it)["result"] for it in hurried], [1] * 8)

    def test_share(self) -> None:
        """
        One caller has all the threads that are free, but at most half of the queue
        for them, over all of its connections: others get in.
        """
        self.start(threads=2, thread_queue=5, authenticator=Names())
        said: dict[str, list[Any]] = {}
        for name, calls in (("ann", 3), ("ann", 4), ("bob", 3), ("ann", 1), ("cy", 1)):
            peer, session = self.talk.extended(auth={"scheme": "bearer", "token": name})
            for seq in range(1, calls + 1):
                request = self.talk.request(
                    f"{session}:{seq}", "blocking", [1], ext={"timeout": 60_000}
                )
                said.setdefault(name, []).extend(self.talk.say(peer, request))
        share = "RESOURCE_EXHAUSTED: 3 calls of this caller wait for a thread"
        full = "RESOURCE_EXHAUSTED: 5 calls wait for a thread"
        self.assertEqual(
            {name: [it["error"] for it in answers] for name, answers in said.items()},
            {"ann": [share, share, full], "bob": [full], "cy": [full]},
        )
        self.assertEqual(self.counted("thread_queue"), 5)
        self.end_after(0.0)
        self.assertEqual(self.work.runs, 7)

    def running(self, method: str) -> str:
        """
        @return: the id of a call that has its thread.
        """
        self.work.gate.clear()
        self.work.runs = 0
        request_id = self.send(method, 1)
        while not self.work.runs:
            self.talk.clock.wait_for_thread(0.001)
        return request_id

    def end_after(self, seconds: float) -> None:
        """
        Let calls in threads end in so many seconds.
        """
        self.talk.advance(seconds)
        self.work.gate.set()
        while self.talk.server.factory.shared.threads.outstanding:
            self.talk.clock.wait_for_thread(10)
            self.talk.pump()


def _encoded(request: Any) -> bytes:
    return json.dumps(request).encode()
