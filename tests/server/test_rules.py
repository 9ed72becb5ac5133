"""
Tests of what the rules say besides, and no other test shows.
"""

from __future__ import annotations

import json
from threading import Event
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation, RawPeer
from twisted_rpc import Code, Limits, RPCError
from twisted_rpc.call import Request
from twisted_rpc.errors import Unauthenticated
from twisted_rpc.structure import MAX_STRUCTURE

IDL = """
service Work {
    int add(int a, int b);
    int slow();
    int fail();
    int unfit();
    int hold();
    @threaded int block();
    string text(string text);
}
"""


class Stubborn(Deferred[int]):
    """
    Goes on when it is cancelled.
    """

    def cancel(self) -> None:
        """Not yet."""


class Work:
    """
    What can become of a call.
    """

    talk: Conversation

    def __init__(self) -> None:
        self.started: list[Deferred[int]] = []
        self.gate = Event()
        self.blocked = 0

    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b

    def slow(self) -> Deferred[int]:
        """Later."""
        self.started.append(Stubborn())
        return self.started[-1]

    def fail(self) -> int:
        """Fail."""
        raise ZeroDivisionError

    def unfit(self) -> Any:
        """Not what the IDL allows."""
        return "text"

    def hold(self) -> int:
        """Hold the reactor."""
        self.talk.clock.advance(0.2)
        return 1

    def block(self) -> int:
        """Block a thread."""
        self.blocked += 1
        self.gate.wait(30)
        return 1

    def text(self, text: str) -> str:
        """As it is."""
        return text


class Names:
    """
    Knows who says a name, and nobody else.
    """

    required = True

    def authenticate(self, peer: Any, auth: Any) -> str:
        """By what it says."""
        if auth is None or auth["token"] == "s3cret-wrong":
            raise Unauthenticated(message="who are you?")
        return str(auth["token"]).removeprefix("s3cret-")


class RulesTestCase(SynchronousTestCase):
    """
    A server, and peers that write frames.
    """

    def start(self, **options: Any) -> None:
        """
        Start it.
        """
        self.work = Work()
        self.talk = self.work.talk = Conversation(IDL, self.work, **options)
        self.addCleanup(self.talk.close)
        self.addCleanup(self.work.gate.set)

    def named(self, name: str) -> tuple[RawPeer, str]:
        """
        @return: an authenticated peer, and its session.
        """
        return self.talk.extended(auth={"scheme": "bearer", "token": f"s3cret-{name}"})

    def call(self, peer: RawPeer, request_id: str, method: str, *params: Any) -> Any:
        """
        @return: what came for a call.
        """
        ext = {"timeout": 9000, "ack": 1}
        request = self.talk.request(request_id, method, params, ext=ext)
        return self.talk.say(peer, request)


class OverloadTests(RulesTestCase):
    """
    S1 to S5.
    """

    def test_s1_time_passes_in_a_turn(self) -> None:
        """
        S1: a call whose time is over when its turn comes, because of those before
        it, is not started.
        """
        self.start()
        peer, session = self.talk.extended()
        hurried = {"timeout": 100, "ack": 1}
        self.talk.say(
            peer,
            self.talk.request(f"{session}:1", "hold", [], ext={"ack": 1}),
            self.talk.request(f"{session}:2", "slow", [], ext=hurried),
        )
        answer = peer.frames[-1]
        self.assertEqual(answer["ext"]["code"], "DEADLINE_EXCEEDED")
        self.assertEqual((answer["ext"]["executed"], self.work.started), ("no", []))
        self.assertEqual(self.talk.server.counters()["limits.deadline"], 1)

    def test_s1_threads(self) -> None:
        """
        S1: nor is one whose time is over, or that is given up, before there is a
        thread.
        """
        self.start(threads=1)
        peer, session = self.talk.extended()
        self.call(peer, f"{session}:1", "block")
        self.call(peer, f"{session}:2", "block")
        self.talk.control(peer, "cancel", f"{session}:2")
        hurried = {"timeout": 100, "ack": 1}
        self.talk.say(peer, self.talk.request(f"{session}:3", "block", [], ext=hurried))
        self.talk.advance(0.5, step=0.05)
        self.work.gate.set()
        while self.talk.server.factory.shared.threads.outstanding:
            self.talk.clock.wait_for_thread(10)
            self.talk.pump()
        said = {
            it["request_id"]: (it.get("ext") or {}).get("code") for it in peer.frames
        }
        self.assertIsNone(said[f"{session}:1"])
        self.assertEqual(said[f"{session}:2"], "CANCELLED")
        self.assertEqual(said[f"{session}:3"], "DEADLINE_EXCEEDED")
        self.assertEqual(self.work.blocked, 1)

    def test_s1_transactions(self) -> None:
        """
        S1: nor is one whose time is over before the store's thread has come to it.
        """
        self.start()
        shared = self.talk.server.factory.shared
        method = shared.methods.table["Work"]["hold"]
        before = self.talk.clock.seconds()
        late = Request(method, b"[]", "a:1", before, None, 1)
        error = self.assertRaises(
            RPCError, shared.dispatch.in_transaction, late, object()
        )
        self.assertEqual((error.code, error.executed), (Code.DEADLINE_EXCEEDED, "no"))
        self.assertEqual(self.talk.clock.seconds(), before)

    def test_s2_what_has_a_record(self) -> None:
        """
        S2: a call that has ended is answered from its record, whatever limit is
        reached.
        """
        self.start(limits=Limits(max_inflight=1, max_concurrency=1, max_queue=0))
        peer, session = self.talk.extended()
        self.call(peer, f"{session}:1", "add", 1, 2)
        self.call(peer, f"{session}:2", "slow")
        (refused,) = self.call(peer, f"{session}:3", "add", 1, 2)
        self.assertEqual(refused["ext"]["code"], "RESOURCE_EXHAUSTED")
        (answer,) = self.call(peer, f"{session}:1", "add", 1, 2)
        self.assertEqual((answer["result"], answer["ext"]), (3, {"replayed": True}))

    def test_s3_every_place(self) -> None:
        """
        S3: a cancelled call keeps its place on the server, on its connection and of
        its caller.
        """
        for limit in (
            "max_concurrency",
            "max_inflight",
            "max_concurrency_per_principal",
        ):
            self.start(limits=Limits(**{limit: 1, "max_queue": 0}))
            peer, session = self.talk.extended()
            self.call(peer, f"{session}:1", "slow")
            self.talk.control(peer, "cancel", f"{session}:1")
            (refused,) = self.call(peer, f"{session}:2", "slow")
            self.assertEqual(refused["ext"]["code"], "RESOURCE_EXHAUSTED", limit)
            (running,) = self.work.started
            running.callback(1)
            self.assertEqual(self.call(peer, f"{session}:3", "slow"), [], limit)

    def test_s5_two_intervals(self) -> None:
        """
        S5: a client that agreed to ping is closed when it has been silent for two
        intervals and 20 s, and not before.
        """
        self.start()
        peer, _ = self.talk.extended(ping=10_000)
        self.talk.advance(39.5)
        self.assertFalse(peer.lost)
        self.talk.advance(1.5)
        self.assertTrue(peer.lost)

    def test_s4_nobody_new(self) -> None:
        """
        S4: while a server drains it takes no connection, and one that has not said
        hello yet is told to go elsewhere.
        """
        self.start()
        busy, session = self.talk.extended()
        self.call(busy, f"{session}:1", "slow")
        late = self.talk.connect()
        factory = self.talk.server.factory
        # As a connection that came while the server began to stop.
        self.patch(list(factory.shared.connections)[-1], "go_away", lambda *_: None)
        self.talk.server.stopService()
        self.talk.pump()
        self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))
        answer = self.talk.hello(late)
        self.assertEqual(answer["ext"]["code"], "UNAVAILABLE")
        self.assertEqual(answer["ext"]["executed"], "no")


class HostileTests(RulesTestCase):
    """
    X1 to X9.
    """

    def test_x1_large_frames_after_authentication(self) -> None:
        """
        X1: once it is known who it is, frames may have their usual size.
        """
        self.start(authenticator=Names())
        peer, session = self.named("ann")
        (answer,) = self.call(peer, f"{session}:1", "text", "x" * 100_000)
        self.assertEqual(len(answer["result"]), 100_000)

    def test_x6_control_calls(self) -> None:
        """
        X6: nor is what hello and control calls are given read if that would cost too
        much.
        """
        self.start()
        wide: list[list[int]] = [[]] * MAX_STRUCTURE
        peer, _ = self.talk.extended()
        answer = self.talk.control(peer, "resolve", wide)
        self.assertEqual(answer["ext"]["code"], "INVALID_ARGUMENT")
        self.assertIn("more than 50000", answer["error"])
        answer = self.talk.hello(self.talk.connect(), more=wide)
        self.assertEqual(answer["ext"]["code"], "INVALID_ARGUMENT")
        self.assertIn("more than 50000", answer["error"])

    def test_x8_names_are_cut(self) -> None:
        """
        X8: what does not exist is named in an error, but not at any length.
        """
        self.start()
        peer, session = self.talk.extended()
        (answer,) = self.call(peer, f"{session}:1", "m" * 10_000)
        self.assertEqual(answer["error"], "Method not found: Work." + "m" * 200)
        request = self.talk.request(f"{session}:2", "f", [])
        (answer,) = self.talk.say(peer, {**request, "service": "s" * 10_000})
        self.assertEqual(answer["error"], "Service not found: " + "s" * 200)

    def test_x9_nothing_secret_is_logged(self) -> None:
        """
        X9: whatever becomes of calls and connections, no event of the log has a
        whole session id, or a token.
        """
        with capturedLogs() as events:
            self.start(authenticator=Names(), access_log=1.0)
            self.talk.connect()
            self.talk.hello(
                self.talk.connect(), auth={"scheme": "bearer", "token": "s3cret-wrong"}
            )
            peer, session = self.named("ann")
            for seq, method in enumerate(("add", "fail", "unfit", "hold", "none"), 1):
                self.call(peer, f"{session}:{seq}", method)
            self.call(peer, f"{session}:6", "add", 1, 2)
            self.call(peer, f"{session}:6", "add", 1, 3)
            self.call(peer, f"{session}:6000", "add", 1, 3)
            self.call(peer, f"{session}:7", "slow")
            self.talk.say(peer, {**self.talk.request(session, "add", []), "params": 1})
            peer.transport.loseConnection()
            self.talk.advance(30, step=1)
        said = [str(formatEvent(it)) + repr(it) for it in events]
        self.flushLoggedErrors()
        self.assertGreater(len(said), 8)
        for text in said:
            self.assertNotIn(session, text)
            self.assertNotIn("s3cret-", text)

    def test_x9_one_answer(self) -> None:
        """
        X9: a session that has ended, one of somebody else and one that never was
        are answered in the same bytes, in hello and in calls.
        """
        self.start(authenticator=Names())
        _, foreign = self.named("bob")
        store: Any = self.talk.server.factory.shared.store
        gone, ended = self.named("ann")
        gone.transport.loseConnection()
        self.talk.pump()
        store.end(store.sessions[ended])
        peer, _ = self.named("ann")
        answers = set()
        for session in (foreign, ended, "f" * 32):
            (answer,) = self.call(peer, f"{session}:1", "add", 1, 2)
            self.assertEqual(answer.pop("request_id"), f"{session}:1")
            answers.add(json.dumps(answer))
        (answer,) = answers
        self.assertIn("SESSION_UNKNOWN", answer)
        for session in (foreign, ended, "f" * 32):
            welcome = self.talk.hello(
                self.talk.connect(),
                session=session,
                auth={"scheme": "bearer", "token": "s3cret-ann"},
            )["result"]
            self.assertFalse(welcome["resumed"])
            self.assertNotEqual(welcome["session"], session)
