"""
Tests that one peer cannot take what the others need.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.driven import Driven, MemoryBed
from tests.raw import Conversation
from twisted_rpc import Limits

IDL = """
service Work {
    int add(int a, int b);
    @readonly int wait();
    string text(int length);
}
"""


class Work:
    """
    What is flooded.
    """

    def add(self, a: int, b: int) -> int:
        """The sum."""
        return a + b

    def wait(self) -> Deferred[int]:
        """For ever."""
        return Deferred()

    def text(self, length: int) -> str:
        """So many letters."""
        return "x" * length


class SlowStoreTests(SynchronousTestCase):
    """
    A store that answers later, and a peer that does not wait for its answers.
    """

    def setUp(self) -> None:
        """
        A peer that may have four calls in progress.
        """
        self.store = Driven(MemoryBed().store("a"))
        self.talk = Conversation(
            IDL, Work(), dedup=self.store, limits=Limits(max_inflight=4)
        )
        self.addCleanup(self.close)
        self.peer, self.session = self.talk.extended()
        self.store.slow = True

    def close(self) -> None:
        """
        Let it end.
        """
        self.store.answer()
        self.talk.close()

    def calls(self, count: int) -> list[dict[str, Any]]:
        """
        @return: so many requests.
        """
        ext = {"timeout": 9000, "ack": 1}
        return [
            self.talk.request(f"{self.session}:{seq}", "add", [1, 2], ext=ext)
            for seq in range(1, count + 1)
        ]

    def asked(self) -> int:
        """
        @return: how much the store has not answered.
        """
        return self.talk.server.factory.shared.store_outstanding

    def answer(self) -> list[Any]:
        """
        Let the store answer everything, and what that leads to.

        @return: all that was answered.
        """
        while self.asked():
            self.store.answer()
            self.store.slow = True
            self.talk.pump()
        return self.peer.frames[1:]

    def test_calls(self) -> None:
        """
        At most twice as many calls of a connection as it may have in progress wait
        for the store; the others wait in the kernel, and are answered in the end.
        """
        self.assertEqual(self.talk.say(self.peer, *self.calls(200)), [])
        self.assertEqual(self.asked(), 8)
        answers = self.answer()
        self.assertEqual(len(answers), 200)
        refused = self.talk.server.counters()["limits.max_inflight"]
        self.assertEqual(sum(each["result"] is None for each in answers), refused)

    def test_questions(self) -> None:
        """
        So is what it asks about calls, which takes no place of theirs.
        """
        question = {
            "request_id": "$1",
            "service": "$rpc",
            "method": "resolve",
            "params": [f"{self.session}:1"],
            "timestamp": 1,
        }
        self.assertEqual(self.talk.say(self.peer, *[question] * 200), [])
        self.assertEqual(self.asked(), 4)
        (connection,) = self.talk.server.factory.shared.connections
        self.assertEqual(connection.inflight, 0)
        states = [each["result"]["state"] for each in self.answer()]
        self.assertEqual(states, ["ABSENT"] * 200)

    def test_gone(self) -> None:
        """
        One that goes away meanwhile leaves nothing behind.
        """
        self.talk.say(self.peer, *self.calls(200))
        self.peer.transport.abortConnection()
        self.talk.pump()
        self.answer()
        self.assertEqual(len(self.talk.server.factory.shared.connections), 0)


class AnswerTests(SynchronousTestCase):
    """
    What a peer is told.
    """

    def setUp(self) -> None:
        """
        A server in memory.
        """
        self.talk = Conversation(IDL, Work())
        self.addCleanup(self.talk.close)

    def test_too_big(self) -> None:
        """
        The answer to a control call is no frame that the peer would not take (W4).
        """
        peer, session = self.talk.extended(limits={"max_frame": 1024})
        request = self.talk.request(
            f"{session}:1", "text", [900], ext={"timeout": 9000, "ack": 1}
        )
        (answer,) = self.talk.say(peer, request)
        self.assertEqual(len(answer["result"]), 900)
        answer = self.talk.control(peer, "resolve", f"{session}:1")
        self.assertEqual(answer["ext"]["code"], "RESOURCE_EXHAUSTED")
        self.assertIn("exceeds the limit of 1024 bytes", answer["error"])

    def test_logged_once(self) -> None:
        """
        Of what is not legal a connection has one line in the log, however often it
        sends it; all are counted.
        """
        peer, _ = self.talk.extended()
        foreign = [
            self.talk.request(f"another:{seq}", "add", [1, 2]) for seq in range(1, 101)
        ]
        with capturedLogs() as events:
            self.talk.say(peer, *foreign)
        said = [it for it in events if it["log_level"] >= LogLevel.info]
        self.assertEqual(len(said), 1)
        errors = self.talk.server.counters()
        self.assertEqual(errors["errors.SESSION_UNKNOWN"], 100)
