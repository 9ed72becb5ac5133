"""
Tests for the limits that the IDL sets methods.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation
from twisted_rpc import Registry
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, connect

IDL = """
@max_concurrency(1) service Base { int inherited(int a) }
service Work extends Base {
    int free(int a);
    @max_concurrency(1) int wrong(int a);
    @max_concurrency(1) int slow(int a);
}
"""


class Work:
    """
    Fails, and is slow.
    """

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.clock: Any = None

    def inherited(self, a: int) -> Any:
        """Later."""
        return self.slow(a)

    def free(self, a: int) -> int:
        """At once."""
        return a

    def wrong(self, a: int) -> int:
        """Never."""
        raise RPCError(Code.NOT_FOUND, "no")

    async def slow(self, a: int) -> int:
        """When the test says so."""
        self.waiting.append(Deferred())
        return int(await self.waiting[-1])


class MethodLimitsTests(SynchronousTestCase):
    """
    On a server.
    """

    def setUp(self) -> None:
        """
        Start one.
        """
        self.work = Work()
        registry = Registry()
        self.idl = load_idl_text(IDL)
        registry.register(self.idl.IWork, self.work)
        self.pair = connect(registry, clock=MemoryClock())
        self.addCleanup(self.pair.close)
        self.proxy = self.pair.client.proxy(self.idl.IWork)

    def test_failures_give_their_place_back(self) -> None:
        """
        A call that fails, at once or for its arguments, holds none up.
        """
        for _ in range(3):
            error = self.assertRaises(RPCError, self.pair.result, self.proxy.wrong(1))
            self.assertEqual(error.code, Code.NOT_FOUND)

    def test_inherited(self) -> None:
        """
        What the service says that a method comes from holds for it, and not for
        those of the service that inherits it.
        """
        first, second = self.proxy.inherited(1), self.proxy.inherited(2)
        self.assertEqual(self.pair.result(self.proxy.free(3)), 3)
        self.assertEqual(len(self.work.waiting), 1)
        self.work.waiting[0].callback(1)
        self.pair.pump()
        self.assertEqual(len(self.work.waiting), 2)
        self.work.waiting[1].callback(2)
        self.assertEqual([self.pair.result(it) for it in (first, second)], [1, 2])

    def test_drained(self) -> None:
        """
        A call of a method that is full is refused while the server drains, and
        does not wait.
        """
        talk = Conversation(
            "service A { @max_concurrency(1) int slow(int a) }", self.work
        )
        self.addCleanup(talk.close)
        peer, session = talk.extended()
        talk.say(peer, talk.request(f"{session}:1", "slow", [1], ext={}))
        talk.server.stopService()
        talk.pump()
        (answer,) = talk.say(peer, talk.request(f"{session}:2", "slow", [1], ext={}))
        self.assertEqual(answer["ext"]["code"], "UNAVAILABLE")
