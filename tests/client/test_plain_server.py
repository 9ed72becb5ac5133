"""
Tests for a client of servers that know the plain profile only.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.plain_peer import PlainServer
from tests.raw import RawPeer
from twisted_rpc import Client, Code, Limits, RPCError
from twisted_rpc.errors import (
    DeadlineExceeded,
    InvalidArgument,
    OutcomeUnknown,
    Unavailable,
    Unimplemented,
)
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, MemoryNetwork

IDL = """
service Shop {
    int buy(int a, int b = 7);
    @readonly int look(int a);
    oneway void note(string text);
}
"""

idl = load_idl_text(IDL)


class PlainPeer(RawPeer):
    """
    A server of the plain profile, whose answers the test writes.
    """

    factory: Any

    def stringReceived(self, string: bytes) -> None:
        """Keep it; hello is answered as by any plain server."""
        message = json.loads(string)
        if message["service"] == "$rpc":
            self.factory.hellos += 1
            self.answer(message, None, "Service not found: $rpc")
            return
        self.factory.calls.append((self, message))

    def answer(
        self, message: Any, result: Any, error: str | None = None, **more: Any
    ) -> None:
        """Answer a call."""
        reply = {
            "request_id": message["request_id"],
            "result": result,
            "error": error,
            "timestamp": 1,
            **more,
        }
        self.sendString(json.dumps(reply).encode())


class PlainFactory(ServerFactory):
    """@ivar calls: each with its connection."""

    protocol = PlainPeer

    def __init__(self) -> None:
        self.calls: list[tuple[PlainPeer, Any]] = []
        self.hellos = 0


class Pump:
    """
    Lets things happen between a client and a server that is not ours.
    """

    def __init__(self, clock: MemoryClock, network: MemoryNetwork) -> None:
        self._clock = clock
        self._network = network

    def pump(self) -> None:
        """Deliver everything, without time passing."""
        while self._network.deliver():
            self._clock.advance(0)

    def advance(self, seconds: float, step: float = 0.025) -> None:
        """Let time pass."""
        self.pump()
        for _ in range(round(seconds / step)):
            self._clock.advance(step)
            self.pump()


class PlainServerTests(SynchronousTestCase):
    """
    Calls to a plain server, in memory.
    """

    def start(self, **options: Any) -> Any:
        """
        @return: a proxy.
        """
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.factory = PlainFactory()
        self.endpoint = MemoryEndpoint(self.network, self.factory)
        self.client = Client(
            self.endpoint, reactor=self.clock, wall=self.clock.seconds, **options
        )
        self.pump = Pump(self.clock, self.network)
        self.addCleanup(self.stop)
        return self.client.proxy(idl.IShop)

    def stop(self) -> None:
        """
        Close, and see that no timer is left.
        """
        self.client.close()
        self.pump.advance(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def answer(self, result: Any, error: str | None = None, index: int = 0) -> Any:
        """
        Answer a call that waits.

        @return: its message.
        """
        self.pump.pump()
        peer, message = self.factory.calls.pop(index)
        peer.answer(message, result, error)
        self.pump.pump()
        return message

    def test_exactly_five_members(self) -> None:
        """
        F5, F7: a request has the five members and every parameter.
        """
        shop = self.start()
        answer = shop.buy(1)
        message = self.answer(9)
        self.assertEqual(self.successResultOf(answer), 9)
        self.assertEqual(
            set(message), {"request_id", "method", "params", "timestamp", "service"}
        )
        self.assertEqual(message["params"], [1, 7])

    def test_one_at_a_time_on_each(self) -> None:
        """
        F4: calls on a connection are in order, and more connections take more.
        """
        shop = self.start(max_connections=2)
        answers = [shop.buy(n) for n in range(5)]
        self.pump.pump()
        self.assertEqual(len(self.factory.calls), 2)
        self.assertEqual(self.endpoint.connected, 2)
        for n in range(5):
            self.answer(n)
        self.assertEqual(
            [self.successResultOf(each) for each in answers], [0, 1, 2, 3, 4]
        )
        self.assertEqual(self.factory.hellos, 2)

    def test_errors(self) -> None:
        """
        The code is read off the sentence, and nobody knows whether it ran.
        """
        shop = self.start()
        for sentence, kind in (
            ("Service not found: Shop", Unimplemented),
            ("Method not found: Shop.buy", Unimplemented),
            ("Parameter validation failed: x", InvalidArgument),
            ("anything else", RPCError),
        ):
            answer = shop.buy(1)
            self.answer(None, sentence)
            error = self.failureResultOf(answer, kind).value
            self.assertEqual((error.executed, error.message), ("unknown", sentence))

    def test_lost(self) -> None:
        """
        C13: what may run once only is written once; a lost answer is unknown.
        """
        shop = self.start()
        answer = shop.buy(1)
        self.pump.pump()
        self.network.break_all()
        self.pump.advance(3)
        error = self.failureResultOf(answer, OutcomeUnknown).value
        self.assertEqual(error.executed, "unknown")
        self.assertEqual(len(self.factory.calls), 1)

    def test_repeated(self) -> None:
        """
        C13: what changes nothing is asked again, with the same id and time.
        """
        shop = self.start()
        answer = shop.look(1)
        self.pump.pump()
        self.network.break_all()
        self.pump.advance(3)
        (_, first), (peer, second) = self.factory.calls
        self.assertEqual(first, second)
        peer.answer(second, 5)
        self.pump.pump()
        self.assertEqual(self.successResultOf(answer), 5)

    def test_given_up(self) -> None:
        """
        A call that is late or cancelled does not block the connection.
        """
        shop = self.start(max_connections=1, timeout=2.0)
        late, following = shop.buy(1), shop.look(2)
        self.pump.advance(2.1)
        self.failureResultOf(late, DeadlineExceeded)
        self.failureResultOf(following, Unavailable)
        self.factory.calls.clear()
        cancelled, after = shop.buy(3), shop.look(4)
        self.pump.advance(0.5)
        cancelled.addErrback(lambda _: None).cancel()
        self.pump.advance(0.5)
        self.answer(8, index=-1)
        self.assertEqual(self.successResultOf(after), 8)

    def test_oneway(self) -> None:
        """
        To a plain server it is an ordinary call whose answer is dropped.
        """
        shop = self.start()
        done = shop.note("hello")
        self.pump.pump()
        self.assertIsNone(self.successResultOf(done))
        message = self.answer(None)
        self.assertEqual(message["method"], "note")
        answer = shop.buy(1)
        self.answer(2)
        self.assertEqual(self.successResultOf(answer), 2)

    def test_another_id(self) -> None:
        """
        W13: an answer to another call closes the connection.
        """
        shop = self.start()
        answer = shop.buy(1)
        self.pump.pump()
        peer, message = self.factory.calls.pop()
        peer.answer({**message, "request_id": "other"}, 3)
        self.pump.advance(1)
        self.failureResultOf(answer, OutcomeUnknown)
        self.assertTrue(peer.lost)

    def test_unknown_answers_the_oldest(self) -> None:
        """
        W13: "unknown" answers the call that is open.
        """
        shop = self.start()
        answer = shop.buy(1)
        self.pump.pump()
        peer, message = self.factory.calls.pop()
        peer.answer({**message, "request_id": "unknown"}, None, "frame too big")
        self.pump.pump()
        self.assertEqual(
            self.failureResultOf(answer, RPCError).value.code, Code.UNKNOWN
        )

    def test_not_asked(self) -> None:
        """
        With wire="plain" nothing is asked first.
        """
        shop = self.start(wire="plain")
        answer = shop.buy(1)
        self.answer(4)
        self.assertEqual(self.successResultOf(answer), 4)
        self.assertEqual(self.factory.hellos, 0)

    def test_refused(self) -> None:
        """
        With wire="extended" a plain server is refused.
        """
        shop = self.start(wire="extended")
        answer = shop.buy(1)
        self.pump.pump()
        error = self.failureResultOf(answer, Unimplemented).value
        self.assertEqual(error.executed, "no")

    def test_questions(self) -> None:
        """
        A plain server has no control calls.
        """
        shop = self.start()
        answer = shop.buy(1)
        self.answer(1)
        self.successResultOf(answer)
        self.failureResultOf(self.client.health(), Unimplemented)

    def test_too_big(self) -> None:
        """
        W4: a request above the limit fails here, unsent, and says both figures.
        """
        shop = self.start(limits=Limits(max_frame=1024))
        done: Deferred[Any] = shop.note("x" * 2000)
        self.pump.pump()
        error = self.failureResultOf(done, RPCError).value
        self.assertEqual((error.code, error.executed), (Code.RESOURCE_EXHAUSTED, "no"))
        self.assertIn("1024", error.message)
        self.assertEqual(self.factory.calls, [])

    def test_garbage(self) -> None:
        """
        A server that sends what cannot be read is left.
        """
        shop = self.start()
        answer = shop.buy(1)
        self.pump.pump()
        peer, _ = self.factory.calls.pop()
        peer.sendString(b"{")
        self.pump.advance(1)
        self.failureResultOf(answer, OutcomeUnknown)

    def test_nothing_listens(self) -> None:
        """
        C5: what cannot be sent fails at once, unless it is to wait.
        """
        shop = self.start()
        self.endpoint.factory = None
        error = self.failureResultOf(shop.buy(1), Unavailable).value
        self.assertEqual(error.executed, "no")
        waiting = self.client.proxy(idl.IShop, wait_for_ready=True).buy(2)
        self.pump.advance(1)
        self.assertNoResult(waiting)
        self.endpoint.factory = self.factory
        self.pump.advance(2)
        self.answer(6)
        self.assertEqual(self.successResultOf(waiting), 6)


class SocketTests(TestCase):
    """
    A plain server that shares no code with us, on a real socket.
    """

    async def test_calls(self) -> None:
        """
        Its answers are ours.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        class Shop:
            def buy(self, a: int, b: int) -> int:
                return a + b

            def look(self, a: int) -> int:
                return a

        with PlainServer({"Shop": Shop()}) as server:
            endpoint = f"tcp:127.0.0.1:{server.port}"
            async with Client(endpoint, reactor=reactor) as client:
                shop = client.proxy(idl.IShop)
                self.assertEqual(await shop.buy(2, 3), 5)
                self.assertEqual(
                    [await shop.look(n) for n in range(5)], [0, 1, 2, 3, 4]
                )
