"""
Tests for calls that leave no record: those that only read, and one-way ones.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation

IDL = """
service Work {
    @readonly int read(int a);
    oneway void note(int a);
    int add(int a);
}
"""


class Work:
    """
    Counts what runs.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[str, int]] = []

    def read(self, a: int) -> int:
        """The same."""
        self.runs.append(("read", a))
        return a

    def note(self, a: int) -> None:
        """Nothing."""
        self.runs.append(("note", a))

    def add(self, a: int) -> int:
        """The same."""
        self.runs.append(("add", a))
        return a


class UnrecordedTests(SynchronousTestCase):
    """
    A server, and a client that has said hello.
    """

    def setUp(self) -> None:
        """
        They begin.
        """
        self.work = Work()
        self.talk = Conversation(IDL, self.work)
        self.addCleanup(self.talk.close)
        self.peer, self.session = self.talk.extended()

    def call(self, seq: int, method: str, a: int, **ext: Any) -> Any:
        """
        @return: the answer, or C{None}.
        """
        request = self.talk.request(f"{self.session}:{seq}", method, [a], ext=ext)
        answers = self.talk.say(self.peer, request)
        return answers[0] if answers else None

    def test_runs_again(self) -> None:
        """
        What only reads runs at each attempt.
        """
        for _ in range(2):
            self.assertEqual(self.call(1, "read", 1, timeout=9000, ack=1)["result"], 1)
        self.assertEqual(len(self.work.runs), 2)

    def test_floor_and_window(self) -> None:
        """
        Rows 3 and 4 hold for it too: what the client is done with, or may not
        send yet, does not run.
        """
        self.call(5, "read", 1, timeout=9000, ack=5)
        for seq, ack, code, executed in (
            (4, 5, "STALE_REQUEST", "unknown"),
            (4 + 1025, 5, "RESOURCE_EXHAUSTED", "no"),
        ):
            ext = self.call(seq, "read", 2, timeout=9000, ack=ack)["ext"]
            self.assertEqual((ext["code"], ext["executed"]), (code, executed))
            self.call(seq, "note", 2, timeout=9000, oneway=True)
        self.assertEqual(self.work.runs, [("read", 1)])
        self.assertEqual(self.call(4 + 1024, "read", 3, timeout=9000)["result"], 3)

    def test_oneway_that_is_answered(self) -> None:
        """
        A caller of a one-way method who wants an answer, as each of the plain
        profile does, may ask again: it runs once.
        """
        for _ in range(2):
            self.assertIsNone(self.call(1, "note", 1)["error"])
        plain = self.talk.connect()
        request = self.talk.request("a", "note", [2])
        for _ in range(2):
            (answer,) = self.talk.say(plain, request)
            self.assertIsNone(answer["error"])
        self.assertEqual(self.work.runs, [("note", 1), ("note", 2)])
