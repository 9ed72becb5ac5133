"""
Tests for what happens between a request and its answer, in a server.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import (
    Deferred,
    inlineCallbacks,
    returnValue,
    succeed,
)
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.taken import held
from twisted_rpc import (
    Client,
    Code,
    Registry,
    RPCError,
    Server,
    current_call,
    threaded,
    with_options,
)
from twisted_rpc.call import Request, compose
from twisted_rpc.deadlines import Deadlines
from twisted_rpc.errors import Internal, NotFound, Unimplemented
from twisted_rpc.idl import load_idl_text
from twisted_rpc.server.coroutines import Watch, asyncio_loop, start
from twisted_rpc.testing import MemoryClock, Pair, connect

IDL = """
exception Broke { int missing; }
service Work {
    int direct(int a) throws Broke;
    int soon(int a);
    int later(int a);
    int awaited(int a);
    int generated(int a);
    int blocking(int a);
    int wrong();
    int raising(string what) throws Broke;
    @readonly int reading(int a);
}
"""

idl = load_idl_text(IDL)


class Work:
    """
    One method for each way of answering.
    """

    def __init__(self) -> None:
        self.calls: list[Request] = []
        self.waiting: list[Deferred[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()
        self.clock: Any = None
        self.fails = False
        self.began = threading.Event()

    def direct(self, a: int) -> int:
        """At once."""
        self.calls.append(current_call())
        if a < 0:
            raise idl.Broke(missing=-a)
        if a > 1000:
            self.clock.advance(a / 1000)
        return a

    def soon(self, a: int) -> Deferred[int]:
        """A Deferred that has fired."""
        return succeed(a)

    def later(self, a: int) -> Deferred[int]:
        """A Deferred."""
        self.waiting.append(Deferred())
        return self.waiting[-1].addCallback(lambda _: a)

    async def awaited(self, a: int) -> int:
        """A coroutine."""
        before = current_call()
        if self.fails:
            raise NotFound(message="gone")
        if a:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if a > 1000:
            self.clock.advance(a / 1000)
        assert current_call() is before
        self.calls.append(before)
        return a

    @inlineCallbacks
    def generated(self, a: int) -> Any:
        """A generator."""
        before = current_call()
        self.waiting.append(Deferred())
        yield self.waiting[-1]
        if a > 1000:
            self.clock.advance(a / 1000)
        assert current_call() is before
        if a < 0:
            returnValue(-a)
        if self.fails:
            raise NotFound(message="gone")
        return a

    @threaded
    def blocking(self, a: int) -> int:
        """In a thread."""
        call = current_call()
        self.began.set()
        self.threads.add(threading.get_ident())
        self.gate.wait(30)
        if call.cancelled:
            return -1
        return a

    def wrong(self) -> Any:
        """Not what the IDL says."""
        return "text"

    def raising(self, what: str) -> int:
        """Raise it."""
        raise {
            "exit": SystemExit(3),
            "cancelled": asyncio.CancelledError(),
            "unprintable": Unprintable(),
            "declared wrong": idl.Broke(missing="x"),
        }[what]

    def reading(self, a: int) -> int:
        """At once."""
        return a


class Unprintable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


class RunningTests(SynchronousTestCase):
    """
    A call becomes an answer.
    """

    def start(self, **server: Any) -> Any:
        """
        @return: a proxy of a server in memory.
        """
        self.work = Work()
        registry = Registry()
        registry.register(idl.IWork, self.work)
        self.pair: Pair = connect(registry, server=server)
        self.work.clock = self.pair.clock
        self.addCleanup(self.pair.close)
        return self.pair.client.proxy(idl.IWork)

    def fire(self, result: Any = 0) -> None:
        """
        End what waits.
        """
        self.pair.pump()
        waiting, self.work.waiting = self.work.waiting, []
        for each in waiting:
            each.callback(result)

    def test_every_way(self) -> None:
        """
        A value, a Deferred, a coroutine, a generator and a thread all answer.
        """
        work = self.start()
        for name in ("direct", "soon", "blocking"):
            self.assertEqual(self.pair.result(getattr(work, name)(7)), 7)
        self.assertEqual(self.pair.result(work.awaited(0)), 0)
        for name in ("later", "awaited", "generated"):
            answer = getattr(work, name)(7)
            self.fire()
            self.assertEqual(self.pair.result(answer), 7)
        self.assertNotIn(threading.get_ident(), self.work.threads)

    def test_current_call(self) -> None:
        """
        An implementation sees who calls, with what and how much time is left.
        """
        work = self.start()
        self.pair.result(with_options(work, timeout=3.0, metadata={"a": "b"}).direct(1))
        (call,) = self.work.calls
        self.assertEqual((call.service, call.name, call.attempt), ("Work", "direct", 1))
        self.assertEqual(
            (call.principal, dict(call.metadata)), ("anonymous", {"a": "b"})
        )
        self.assertTrue(2.9 < call.time_left <= 3.0)
        self.assertIn("127.0.0.1", call.peer)
        self.assertNotIn(call.id, repr(call))
        self.assertIs(call.run(current_call), call)
        self.assertRaises(LookupError, current_call)
        call.cancel()
        self.assertTrue(call.cancelled)

    def test_calls_do_not_mix(self) -> None:
        """
        Of two calls that run at once each sees its own.
        """
        work = self.start()
        answers = [work.awaited(1), work.awaited(2)]
        self.fire()
        self.assertEqual([self.pair.result(each) for each in answers], [1, 2])
        self.assertEqual(len({call.id for call in self.work.calls}), 2)

    def test_forgotten(self) -> None:
        """
        A call that nobody waits for any more goes without a word, in whatever
        order the interpreter takes its parts apart.
        """
        seen: list[Any] = []
        self.patch(sys, "unraisablehook", seen.append)
        waiting: list[Any] = [Deferred()]

        async def wait() -> None:
            await waiting[0]

        running = wait()
        answer = start(running, contextvars.copy_context(), None)
        running.close()
        del answer
        waiting.clear()
        gc.collect()
        self.assertEqual(seen, [])

    def test_cancelled_by_itself(self) -> None:
        """
        A call that its implementation gives up has ended, CANCELLED.
        """
        work = self.start()
        answer = work.awaited(1)
        self.pair.pump()
        self.work.waiting[0].cancel()
        error = self.assertRaises(RPCError, self.pair.result, answer)
        self.assertEqual((error.code, error.executed), (Code.CANCELLED, "yes"))

    def test_declared(self) -> None:
        """
        A declared exception arrives as the same class, with its members.
        """
        work = self.start()
        error = self.assertRaises(idl.Broke, self.pair.result, work.direct(-5))
        self.assertEqual(
            (error.missing, error.executed, error.remote), (5, "yes", True)
        )

    def test_undeclared(self) -> None:
        """
        Anything else becomes INTERNAL, and stands in the log under its id.
        """
        work = self.start()
        for what, kind in (("exit", SystemExit), ("unprintable", Unprintable)):
            error = self.assertRaises(Internal, self.pair.result, work.raising(what))
            self.assertIn(str(error.error_id), error.message)
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
        error = self.assertRaises(RPCError, self.pair.result, work.raising("cancelled"))
        self.assertEqual(error.code, Code.CANCELLED)
        with capturedLogs() as events:
            for answer in (work.wrong(), work.raising("declared wrong")):
                self.assertRaises(Internal, self.pair.result, answer)
        said = [
            event["log_format"] for event in events if "IDL type" in event["log_format"]
        ]
        self.assertEqual(len(said), 2)

    def test_debug_errors(self) -> None:
        """
        Callers are told what was raised only where the server says so.
        """
        work = self.start(debug_errors=True)
        for what, said in (
            ("exit", "3"),
            ("unprintable", "its text cannot be had"),
        ):
            error = self.assertRaises(Internal, self.pair.result, work.raising(what))
            self.assertIn(said, error.message)
        self.flushLoggedErrors()

    def test_slow(self) -> None:
        """
        What holds the reactor for more than 100 ms is named in the log.
        """
        work = self.start()
        with capturedLogs() as events:
            self.pair.result(work.direct(1500))
        self.assertEqual(held(events), [("direct", 1500)])

    def test_slow_later(self) -> None:
        """
        So is a coroutine that holds it after it has waited.
        """
        work = self.start()
        answer = with_options(work, timeout=9.0).awaited(1200)
        with capturedLogs() as events:
            self.fire()
        self.assertEqual(self.pair.result(answer), 1200)
        self.assertEqual(held(events), [("awaited", 1200)])

    def test_slow_generator(self) -> None:
        """
        And one of C{inlineCallbacks}, which answers and fails as ever.
        """
        work = self.start()
        answer = with_options(work, timeout=9.0).generated(1200)
        with capturedLogs() as events:
            self.fire()
        self.assertEqual(self.pair.result(answer), 1200)
        self.assertEqual(held(events), [("generated", 1200)])
        answer = work.generated(-5)
        self.fire()
        self.assertEqual(self.pair.result(answer), 5)
        self.flushWarnings([Work.generated])
        self.work.fails = True
        answer = work.generated(1)
        self.fire()
        self.assertRaises(NotFound, self.pair.result, answer)
        answer = work.generated(1)
        self.fire(Failure(NotFound(message="gone")))
        self.assertRaises(NotFound, self.pair.result, answer)

    def test_coroutine_that_fails(self) -> None:
        """
        An error is the caller's before the coroutine has waited and after.
        """
        work = self.start()
        answer = work.awaited(7)
        self.pair.pump()
        self.work.waiting[0].errback(NotFound(message="gone"))
        self.assertRaises(NotFound, self.pair.result, answer)
        self.work.fails = True
        self.assertRaises(NotFound, self.pair.result, work.awaited(0))

    def test_threads_are_bounded(self) -> None:
        """
        Beyond the pool and its queue a call is refused unrun, and a call whose
        time is up in the queue is not started.
        """
        work = self.start(threads=1, thread_queue=1)
        self.work.gate.clear()
        first = work.blocking(1)
        self.pair.pump()
        self.assertTrue(self.work.began.wait(30))
        second = with_options(work, timeout=0.5).blocking(2)
        third = with_options(work, timeout=0.2).blocking(3)
        self.pair.pump()
        error = self.assertRaises(RPCError, self._failure, third)
        self.assertEqual((error.code, error.executed), (Code.RESOURCE_EXHAUSTED, "no"))
        error = self.assertRaises(RPCError, self._failure, second)
        self.assertEqual(error.code, Code.DEADLINE_EXCEEDED)
        self.work.gate.set()
        self.assertEqual(self.pair.result(first), 1)
        while self.pair.server.factory.shared.threads.outstanding:
            self.pair.clock.wait_for_thread(10)
            self.pair.pump()
        self.assertEqual(self.pair.server.factory.shared.dispatch.running, 0)
        self.assertEqual(self.pair.server.counters()["limits.threads"], 1)

    def _failure(self, answer: Deferred[Any]) -> None:
        self.pair.advance(1.0)
        self.failureResultOf(answer).raiseException()

    def test_interceptors(self) -> None:
        """
        The first interceptor is outermost, on a server and on a client.
        """
        seen: list[str] = []

        def noting(name: str) -> Any:
            def interceptor(responder: Any) -> Any:
                def respond(request: Request) -> Any:
                    seen.append(f"{name} {request.name}")
                    return responder(request)

                return respond

            return interceptor

        work = self.start(interceptors=[noting("a"), compose(noting("b"), noting("c"))])
        self.pair.result(work.direct(1))
        self.assertEqual(seen, ["a direct", "b direct", "c direct"])

    def test_access_log(self) -> None:
        """
        Every call is a line where that is asked for.
        """
        work = self.start(access_log=1.0)
        with capturedLogs() as events:
            self.pair.result(work.direct(1))
            self.assertRaises(idl.Broke, self.pair.result, work.direct(-1))
            answer = work.later(1)
            self.fire()
            self.pair.result(answer)
            answer = work.later(1)
            self.pair.pump()
            self.work.waiting[0].errback(NotFound(message="x"))
            self.assertRaises(NotFound, self.pair.result, answer)
        lines = [
            event
            for event in events
            if event.get("log_namespace") == "twisted_rpc.calls"
        ]
        self.assertEqual(
            [each["code"] for each in lines],
            ["OK", "FAILED_PRECONDITION", "OK", "NOT_FOUND"],
        )
        self.assertTrue(all("..." in each["request_id"] for each in lines))

    def test_arguments(self) -> None:
        """
        A server that cannot work is refused when it is made.
        """
        for wrong in (
            {"drain": -1},
            {"default_timeout": 0},
            {"access_log": 2},
            {"sessionless_clock": "moon"},
            {"threads": 0},
        ):
            self.assertRaises(ValueError, Server, Registry(), reactor=Clock(), **wrong)

    def test_unknown_service(self) -> None:
        """
        What the server does not have is UNIMPLEMENTED, and not run.
        """
        self.start()
        other = load_idl_text("service Other { int f() }")
        error = self.assertRaises(
            Unimplemented, self.pair.result, self.pair.client.proxy(other.IOther).f()
        )
        self.assertEqual(error.executed, "no")


class DeadlinesTests(SynchronousTestCase):
    """
    Many deadlines share a timer.
    """

    def test_late_by_little(self) -> None:
        """
        Nothing is told early, nothing more than 50 ms late, and nothing that
        was taken back.
        """
        clock = MemoryClock()
        deadlines = Deadlines(clock)
        told: list[tuple[str, float]] = []

        class Thing:
            def __init__(self, name: str) -> None:
                self.name = name

            def expired(self) -> None:
                told.append((self.name, clock.seconds()))

        now = clock.seconds()
        deadlines.add(Thing("a"), now + 0.1)
        deadlines.add(Thing("b"), now + 0.2)
        taken_back = Thing("c")
        deadlines.discard(taken_back, deadlines.add(taken_back, now + 0.1))
        self.assertEqual(len(deadlines), 2)
        clock.pump([0.01] * 40)
        self.assertEqual([name for name, _ in told], ["a", "b"])
        for (_, at), due in zip(told, (0.1, 0.2), strict=True):
            self.assertTrue(due <= at - now <= due + 0.05, told)
        self.assertEqual(clock.getDelayedCalls(), [])
        deadlines.add(Thing("d"), now + 9)
        deadlines.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_ended_by_another(self) -> None:
        """
        What ends as another is told, is not told, though its time was up as well;
        and one that fails keeps no other from being told.
        """
        clock = MemoryClock()
        deadlines = Deadlines(clock)
        told: list[str] = []

        class Thing:
            def __init__(self, name: str, does: Callable[[], None]) -> None:
                self.name, self.does = name, does

            def expired(self) -> None:
                told.append(self.name)
                self.does()

        due = clock.seconds() + 0.1
        second = Thing("second", lambda: None)
        first = Thing("first", lambda: deadlines.discard(second, tick))
        deadlines.add(first, due)
        tick = deadlines.add(second, due)
        deadlines.add(Thing("failing", lambda: 1 // 0), due)  # type: ignore[arg-type]
        deadlines.add(Thing("third", deadlines.stop), due)
        deadlines.add(Thing("forgotten", lambda: None), due)
        with self.assertRaises(ZeroDivisionError):
            clock.advance(0.2)
        clock.advance(0.1)
        self.assertEqual(told, ["first", "failing", "third"])
        self.assertEqual(clock.getDelayedCalls(), [])


class AsyncioTests(SynchronousTestCase):
    """
    On asyncio's reactor a coroutine may await both kinds of future.
    """

    def test_both(self) -> None:
        """
        asyncio's futures and Deferreds, results and errors alike.
        """
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        fires: Deferred[int] = Deferred()
        fails: Deferred[int] = Deferred()
        late: Deferred[int] = Deferred()
        told: Deferred[int] = Deferred()
        stops: Deferred[int] = Deferred()

        @types.coroutine
        def tells() -> Any:
            # Unlike await, this takes what it is sent.
            return (yield told)

        async def work() -> list[Any]:
            got: list[Any] = [await asyncio.sleep(0, result=1), await fires]
            try:
                await fails
            except ZeroDivisionError:
                got.append("failed")
            got += [await late, await late, await tells()]
            try:
                await stops
            except RuntimeError as error:
                got.append(str(error))
            async with asyncio.timeout(10):
                got.append(await asyncio.sleep(0, result=3))
            return got

        results: list[Any] = []

        def run() -> None:
            watch = Watch(loop.time, 9.0, lambda whose, held: None)
            done = start(work(), contextvars.Context(), loop, watch, None)
            done.addBoth(results.append)
            done.addBoth(lambda _: loop.stop())
            given_up = start(work(), contextvars.Context(), loop, watch, None)
            given_up.addErrback(lambda failure: failure.trap(asyncio.CancelledError))
            given_up.cancel()
            loop.call_soon(fires.callback, 2)
            loop.call_later(0.01, fails.errback, ZeroDivisionError())
            loop.call_later(0.02, late.callback, 4)
            loop.call_later(0.03, told.callback, 5)
            loop.call_later(0.04, stops.errback, StopIteration())
            loop.call_later(20, loop.stop)
            loop.run_forever()

        # This thread may have a loop already: that of the reactor.
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(30)
        stopped = "a Deferred failed with StopIteration"
        self.assertEqual(results, [[1, 2, "failed", 4, 4, 5, stopped, 3]])
        self.assertIsNone(asyncio_loop(Clock()))


class ServiceTests(TestCase):
    """
    A server on real sockets.
    """

    async def test_listens_and_stops(self) -> None:
        """
        A server listens when it starts, serves, and stops without a trace.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        registry = Registry()
        registry.register(idl.IWork, Work())
        server = Server(registry, listen=["tcp:0:interface=127.0.0.1"], reactor=reactor)
        server.privilegedStartService()
        server.startService()
        assert server.listening is not None
        await server.listening
        host: Any = server.ports[0].getHost()
        port = host.port
        async with Client(f"tcp:127.0.0.1:{port}", reactor=reactor) as client:
            self.assertEqual(await client.proxy(idl.IWork).direct(4), 4)
            self.assertEqual(await client.proxy(idl.IWork).blocking(5), 5)
        await server.stopService()

    async def test_port_taken(self) -> None:
        """
        A port that cannot be had is told to whoever asks.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        listening: Any = reactor
        port = listening.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        server = Server(
            Registry(), listen=[f"tcp:{number}:interface=127.0.0.1"], reactor=reactor
        )
        server.startService()
        assert server.listening is not None
        with self.assertRaises(CannotListenError):
            await server.listening
        await server.stopService()
