"""
Tests for calls that a server makes for the calls that it answers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.client.scripted import Outcome, ScriptedCase
from twisted_rpc import (
    BlockingClient,
    Client,
    Registry,
    RetryPolicy,
    Server,
    current_call,
    threaded,
    with_options,
)
from twisted_rpc.call import Request
from twisted_rpc.client.inheriting import passed_on
from twisted_rpc.errors import DeadlineExceeded, Unavailable
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, MemoryNetwork, Pair
from twisted_rpc.wire.limits import Limits

AT_ONCE = RetryPolicy(chance=lambda: 0.0)

CHAIN = load_idl_text(
    """
    service Hop {
        int awaited(int left)
        int generated(int left)
        int bare(int left)
        int forgetful(int left)
        @readonly int end()
        int blocking()
    }
    """
)


class PassedOnTests(SynchronousTestCase):
    """
    Metadata.
    """

    def test_the_trace(self) -> None:
        """
        The trace goes on, and nothing else; what the call says itself wins.
        """
        outer = {"traceparent": "a", "tracestate": "b", "baggage": "c", "tenant": "d"}
        self.assertEqual(
            passed_on(outer, {"baggage": "own", "x": "y"}, Limits()),
            {"traceparent": "a", "tracestate": "b", "baggage": "own", "x": "y"},
        )

    def test_nothing(self) -> None:
        """
        Where there is no trace, the call's own is sent as it is.
        """
        own = {"x": "y"}
        self.assertIs(passed_on({"tenant": "d"}, own, Limits()), own)
        self.assertIsNone(passed_on({}, None, Limits()))

    def test_too_much(self) -> None:
        """
        A trace that would make the metadata too big stays.
        """
        own = {"x": "y" * 5000}
        self.assertIs(passed_on({"baggage": "z" * 5000}, own, Limits()), own)


class WithinTests(ScriptedCase):
    """
    A client that is used inside of a call.
    """

    def within(self, seconds: float, function: Any, **metadata: str) -> Outcome:
        """
        Call C{function} while a call with so much time left is answered.
        """
        outer = Request(None, b"[]", "x", self.clock.seconds() + seconds, self.clock)
        outer.metadata = metadata
        return self.watch(outer.run(function))

    def test_c3_what_remains(self) -> None:
        """
        A call has the less of its own time and of what remains of the outer.
        """
        connection = self.started()
        self.within(1.5, lambda: self.shop.buy(1))
        self.within(1.5, lambda: with_options(self.shop, timeout=0.5).buy(1))
        self.within(90.0, lambda: self.shop.buy(1))
        self.watch(self.shop.buy(1))
        self.assertEqual(
            [call["ext"]["timeout"] for call in connection.calls],
            [1500, 500, 30000, 30000],
        )

    def test_it_ends_with_it(self) -> None:
        """
        And ends when that is over.
        """
        self.started()
        start = self.clock.seconds()
        outcome = self.within(0.3, lambda: self.shop.buy(1))
        self.advance(0.5)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")
        assert outcome.at is not None
        self.assertLessEqual(outcome.at - start, 0.35)

    def test_nothing_remains(self) -> None:
        """
        In a call whose time is over nothing is sent.
        """
        connection = self.started()
        outcome = self.within(0.0, lambda: self.shop.buy(1))
        self.told(outcome, "UNAVAILABLE", "no")
        self.assertEqual(connection.calls, [])

    def test_before_there_is_a_connection(self) -> None:
        """
        Waiting for a connection counts too.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        self.within(2.0, lambda: self.shop.buy(1))
        self.advance(0.5)
        self.server.here.welcome()
        self.pump()
        (call,) = self.server.here.calls
        self.assertIn(call["ext"]["timeout"], (1499, 1500, 1501))

    def test_enough_remains(self) -> None:
        """
        One that has waited for a connection is sent if there is time for an
        answer: no more than half of what it had at first is kept for that,
        whatever its method has.
        """
        self.server.on_call = self.after_800_ms
        connection = self.started()
        shop = with_options(self.shop, timeout=10)
        for _ in range(16):
            outcome = self.watch(shop.look(1))
            self.advance(1)
            self.ended(outcome, 7)
        self.server.on_hello = lambda connection: None
        connection.drop()
        self.pump()
        outcome = self.within(1.1, lambda: shop.look(1))
        self.advance(0.1)
        self.server.here.welcome()
        self.advance(1.2)
        self.ended(outcome, 7)

    def after_800_ms(self, connection: Any, call: Any) -> None:
        """
        Answer.
        """
        self.clock.callLater(0.8, connection.reply, call)

    def test_metadata(self) -> None:
        """
        The trace is passed on.
        """
        connection = self.started(metadata={"a": "1"})
        self.within(9.0, lambda: self.shop.buy(1), traceparent="00-1", tenant="x")
        self.assertEqual(
            connection.calls[0]["ext"]["meta"], {"a": "1", "traceparent": "00-1"}
        )

    def test_through_interceptors(self) -> None:
        """
        Interceptors see what remains, and the trace.
        """
        seen: list[Any] = []

        def watching(responder: Any) -> Any:
            def respond(request: Request) -> Any:
                seen.append((request.time_left, request.metadata))
                return responder(request)

            return respond

        connection = self.started(interceptors=[watching])
        self.within(1.5, lambda: self.shop.buy(1), traceparent="00-1")
        self.assertEqual(seen, [(1.5, {"traceparent": "00-1"})])
        (call,) = connection.calls
        self.assertEqual(call["ext"]["timeout"], 1500)
        self.assertEqual(call["ext"]["meta"], {"traceparent": "00-1"})

    def test_c8_one_layer_retries(self) -> None:
        """
        What was retried here is not to be retried by who gets it from here:
        C{retry_after} is -1.  Outside of a call it is as the server said.
        """
        for interceptors in ((), (lambda responder: responder,)):
            for inside in (True, False):
                self.server.on_call = lambda connection, call: connection.refuse(
                    call, "RESOURCE_EXHAUSTED", retry_after=1
                )
                self.started(retry=AT_ONCE, interceptors=interceptors)
                outcome = (
                    self.within(9.0, lambda: self.shop.look(1))
                    if inside
                    else self.watch(self.shop.look(1))
                )
                self.advance(1)
                error = self.told(outcome, "RESOURCE_EXHAUSTED", "no")
                self.assertEqual(error.retry_after, -1.0 if inside else 0.001)

    def test_c8_not_retried(self) -> None:
        """
        What was not, may be.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED", retry_after=1000
        )
        self.started(retry=RetryPolicy(max_attempts=1))
        error = self.told(
            self.within(9.0, lambda: self.shop.look(1)), "RESOURCE_EXHAUSTED", "no"
        )
        self.assertEqual(error.retry_after, 1.0)

    def test_calls_of_others(self) -> None:
        """
        The callers of others, who are told meanwhile, are not inside of it.
        """
        self.server.on_hello = lambda connection: None
        self.start(timeout=1.0)
        inside: list[bool] = []

        def look(_: Any) -> None:
            try:
                current_call()
            except LookupError:
                inside.append(False)
            else:
                inside.append(True)

        self.shop.buy(1).addErrback(look)
        self.pump()
        # It is late when the next call is made, and no timer has seen it.
        self.server.here.welcome(limits__max_inflight=1)
        self.clock.rightNow += 1.0
        self.within(5.0, lambda: self.shop.buy(2))
        self.advance(0.1)
        self.assertEqual(inside, [False])


class Hop:
    """
    A server that calls the next.

    @ivar seen: what each call had left.
    """

    def __init__(self, clock: MemoryClock) -> None:
        self.clock = clock
        self.next: Any = None
        self.seen: list[tuple[float, str]] = []

    def _note(self) -> None:
        call = current_call()
        self.seen.append((call.time_left, call.metadata.get("traceparent", "")))

    async def awaited(self, left: int) -> int:
        self._note()
        await deferLater(self.clock, 0.1)
        result: int = await (self.next.awaited(left - 1) if left else self.next.end())
        return 1 + result

    @inlineCallbacks
    def generated(self, left: int) -> Any:
        self._note()
        yield deferLater(self.clock, 0.1)
        result = yield (self.next.generated(left - 1) if left else self.next.end())
        return result + 1

    def bare(self, left: int) -> Deferred[int]:
        self._note()
        call = current_call()
        return deferLater(self.clock, 0.1).addCallback(
            lambda _: (
                call.run(self.next.bare, left - 1) if left else call.run(self.next.end)
            )
        )

    def forgetful(self, left: int) -> Deferred[int]:
        return deferLater(self.clock, 0.1).addCallback(lambda _: self.next.end())

    def blocking(self) -> int:
        return 0

    def end(self) -> int:
        self._note()
        return 1


class ChainTests(SynchronousTestCase):
    """
    Three servers, each of which calls the next.
    """

    def setUp(self) -> None:
        """
        Make them: the last calls itself.
        """
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.hops = [Hop(self.clock) for _ in range(3)]
        proxies = []
        for hop in self.hops:
            registry = Registry()
            registry.register(CHAIN.IHop, hop)
            server = Server(registry, reactor=self.clock, wall=self.clock.seconds)
            server.factory.doStart()
            server.startService()
            self.endpoint = MemoryEndpoint(self.network, server.factory)
            self.client = Client(
                self.endpoint, reactor=self.clock, wall=self.clock.seconds
            )
            proxies.append(self.client.proxy(CHAIN.IHop))
            self.pair = Pair(
                self.clock, self.network, self.endpoint, server, self.client
            )
        self.first = proxies[0]
        for hop, following in zip(self.hops, [*proxies[1:], proxies[2]], strict=True):
            hop.next = following

    def test_c3_shrinks_over_three_hops(self) -> None:
        """
        In coroutines, generators, and callbacks that use C{call.run}, each hop
        has what the one before has left, and the trace; the user does nothing.
        """
        first = with_options(self.first, timeout=5.0, metadata={"traceparent": "00-7"})
        for method in (first.awaited, first.generated, first.bare):
            for hop in self.hops:
                hop.seen.clear()
            self.pair.result(method(2))
            seen = [hop.seen[0] for hop in self.hops] + [self.hops[2].seen[-1]]
            for (left, trace), expected in zip(seen, (5.0, 4.9, 4.8, 4.7), strict=True):
                self.assertLess(abs(left - expected), 0.05)
                self.assertEqual(trace, "00-7")

    def test_all_end_with_the_first(self) -> None:
        """
        When the first deadline is over, nothing of the chain goes on.
        """
        outcome: list[Any] = []
        with_options(self.first, timeout=0.25).awaited(2).addBoth(outcome.append)
        self.pair.advance(0.32, step=0.01)
        self.assertIsInstance(outcome[0].value, DeadlineExceeded)
        self.pair.advance(1.0)
        self.assertEqual(len(self.hops[2].seen), 1)

    def test_bare_callbacks(self) -> None:
        """
        In a bare callback without C{call.run} a call is nobody's.
        """
        self.pair.result(with_options(self.first, timeout=2.0).forgetful(0))
        ((left, _),) = self.hops[1].seen
        self.assertGreater(left, 29.0)


class ThreadTests(TestCase):
    """
    Implementations in threads.
    """

    async def test_blocking_client(self) -> None:
        """
        A threaded implementation that uses a L{BlockingClient} has what remains
        too, on a real socket.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        seen: list[tuple[float, str]] = []
        clients: list[BlockingClient] = []

        class Threads(Hop):
            @threaded
            def blocking(self) -> int:
                hop = clients[0].proxy(CHAIN.IHop)
                result: int = hop.end()
                return result

            def end(self) -> int:
                call = current_call()
                seen.append((call.time_left, call.metadata["traceparent"]))
                return 7

        registry = Registry()
        registry.register(CHAIN.IHop, Threads(MemoryClock()))
        server = Server(
            registry, listen=["tcp:0:interface=127.0.0.1"], reactor=reactor, drain=0.1
        )
        server.startService()
        self.addCleanup(server.stopService)
        assert server.listening is not None
        (port,) = await server.listening
        address: Any = port.getHost()
        endpoint = f"tcp:127.0.0.1:{address.port}"
        blocking = await deferToThread(BlockingClient, endpoint)
        clients.append(blocking)
        async with Client(endpoint, reactor=reactor) as client:
            hop = client.proxy(
                CHAIN.IHop, timeout=4.0, metadata={"traceparent": "00-9"}
            )
            self.assertEqual(await hop.blocking(), 7)
        await deferToThread(blocking.close)
        ((left, trace),) = seen
        self.assertLessEqual(left, 4.0)
        self.assertEqual(trace, "00-9")


class PassingOnTests(ScriptedCase):
    """
    A failure that a server passes on.
    """

    def test_c8_over_the_wire(self) -> None:
        """
        Its client is told not to retry, and does not.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "UNAVAILABLE", retry_after=1
        )
        self.started(retry=AT_ONCE)
        shop = self.shop

        class Middle:
            async def end(self) -> int:
                result: int = await shop.look(1)
                return result

            def other(self, left: int = 0) -> int:
                return left

            awaited = generated = bare = forgetful = other

            def blocking(self) -> int:
                return 0

        registry = Registry()
        registry.register(CHAIN.IHop, Middle())
        server = Server(registry, reactor=self.clock, wall=self.clock.seconds)
        server.factory.doStart()
        server.startService()
        self.clock.advance(0.001)
        client = Client(
            MemoryEndpoint(self.network, server.factory),
            reactor=self.clock,
            wall=self.clock.seconds,
            retry=AT_ONCE,
        )
        outcome = self.watch(client.proxy(CHAIN.IHop).end())
        self.advance(1)
        error = outcome.error
        self.assertIsInstance(error, Unavailable)
        self.assertEqual((error.retry_after, error.executed), (-1.0, "yes"))
        # One layer retried: the attempts are those of the middle.
        self.assertEqual(len(self.server.frames), 4)
