"""
Tests for declared exceptions on their way through interceptors.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation
from twisted_rpc import Code, RPCError
from twisted_rpc.call import Request
from twisted_rpc.errors import NotFound

IDL = """
exception Broke { int missing; }
service Work {
    int direct(int a) throws Broke;
    int later(int a) throws Broke;
    int other(int a);
}
"""


class Work:
    """
    Raises, now and later.
    """

    def __init__(self) -> None:
        self.idl: Any = None
        self.waiting: list[Deferred[int]] = []

    def direct(self, a: int) -> int:
        """At once."""
        raise self.idl.Broke(missing=a, retry_after=2.0)

    def later(self, a: int) -> Deferred[int]:
        """Later."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def other(self, a: int) -> int:
        """Not declared."""
        raise NotFound(message="not here") if a else self.idl.Broke(missing=1)


class DeclaringTests(SynchronousTestCase):
    """
    A server with an interceptor that looks.
    """

    def setUp(self) -> None:
        """
        A client that has said hello.
        """
        self.seen: list[RPCError] = []
        work = self.work = Work()
        self.talk = Conversation(IDL, work, interceptors=[self.looking])
        self.addCleanup(self.talk.close)
        work.idl = self.talk.idl
        self.peer, self.session = self.talk.extended()

    def looking(self, responder: Any) -> Any:
        """
        An interceptor.
        """

        def respond(request: Request) -> Any:
            try:
                answer = responder(request)
            except RPCError as error:
                self.seen.append(error)
                raise
            if isinstance(answer, Deferred):
                answer.addErrback(failed)
            return answer

        def failed(failure: Failure) -> Failure:
            self.seen.append(failure.value)  # type: ignore[arg-type]
            return failure

        return respond

    def call(self, seq: int, method: str, a: int) -> Any:
        """
        @return: the answer, or C{None}.
        """
        request = self.talk.request(f"{self.session}:{seq}", method, [a], ext={})
        answers = self.talk.say(self.peer, request)
        return answers[0] if answers else None

    def test_class(self) -> None:
        """
        An interceptor sees the class of the IDL and its members, of what is
        raised, of what comes from a record, and of what comes later.
        """
        answers = [self.call(1, "direct", 5), self.call(1, "direct", 5)]
        self.call(2, "later", 5)
        self.call(2, "later", 5)
        self.work.waiting[0].errback(self.talk.idl.Broke(missing=5))
        self.talk.pump()
        answers += self.peer.frames[-2:]
        self.assertEqual(len(self.seen), 4)
        for error in self.seen:
            self.assertIsInstance(error, self.talk.idl.Broke)
            self.assertEqual((error.missing, error.executed), (5, "yes"))  # type: ignore[attr-defined]
        self.assertEqual(
            [error.replayed for error in self.seen], [False, True, False, False]
        )
        self.assertEqual(self.seen[0].retry_after, 2.0)
        self.assertIsInstance(self.seen[0].__cause__, self.talk.idl.Broke)
        for answer in answers:
            ext = answer["ext"]
            self.assertEqual((ext["type"], ext["data"]), ("Broke", {"missing": 5}))
            self.assertEqual(
                (ext["code"], ext["executed"]), ("FAILED_PRECONDITION", "yes")
            )
        self.assertTrue(answers[1]["ext"]["replayed"])
        self.assertEqual(answers[0]["ext"]["retry_after"], 2000)

    def test_others(self) -> None:
        """
        What the method does not declare stays as it was.
        """
        for a, kind in ((1, NotFound), (0, RPCError)):
            self.call(a + 1, "other", a)
            self.assertIsInstance(self.seen[-1], kind)
            self.assertIsNone(self.seen[-1].type)
        self.assertEqual(self.seen[-1].code, Code.FAILED_PRECONDITION)
