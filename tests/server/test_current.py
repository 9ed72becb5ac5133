"""
Tests for the current call: it follows the code of its call, and no other's.
"""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_rpc import (
    Client,
    Registry,
    Server,
    current_call,
    with_options,
)
from twisted_rpc.call import Request
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, connect

IDL = """
service Work {
    int coroutine(int a);
    int generator(int a);
    int callbacks(int a);
    int later(int a);
    int timed_out(int a);
    @threaded int thread(int a);
    @readonly int echo(int a);
    @readonly int never(int a);
}
"""
KINDS = ("coroutine", "generator", "callbacks", "later", "timed_out", "thread")

idl = load_idl_text(IDL)


class Work:
    """
    One method for each kind of code; each of them does something in several
    steps, and looks at every step whose call it runs for.
    """

    def __init__(self) -> None:
        self.echoes: Any = None
        self.clock: Any = None
        self.wrong: list[str] = []

    def look(self, a: int, where: str) -> None:
        """
        Inside of a call, where the context is its own.
        """
        if bytes(current_call().params) != b"[%d]" % a:
            self.wrong.append(f"{where} of {a} ran for {current_call().params!r}")

    def glance(self, a: int, where: str) -> None:
        """
        In a bare callback: there is no call, or it is the right one.
        """
        try:
            current_call()
        except LookupError:
            return
        self.look(a, where)

    async def coroutine(self, a: int) -> int:
        """In an C{async def}."""
        for _ in range(3):
            self.look(a, "coroutine")
            await self.echoes.echo(a)
            self.look(a, "coroutine")
            await deferLater(self.clock, 0.001 * a)
        self.look(a, "coroutine")
        return a

    @inlineCallbacks
    def generator(self, a: int) -> Any:
        """With C{inlineCallbacks}."""
        for _ in range(3):
            self.look(a, "generator")
            yield self.echoes.echo(a)
            self.look(a, "generator")
            yield deferLater(self.clock, 0.001 * a)
        self.look(a, "generator")
        return a

    def callbacks(self, a: int) -> Deferred[int]:
        """With callbacks of answers."""
        call = current_call()
        self.look(a, "callbacks")

        def answered(answer: int) -> Deferred[int]:
            self.glance(a, "callback")
            call.run(self.look, a, "captured callback")
            more: Deferred[int] = self.echoes.echo(answer)
            return more.addCallback(again)

        def again(answer: int) -> int:
            self.glance(a, "second callback")
            return answer

        first: Deferred[int] = self.echoes.echo(a)
        return first.addCallback(answered)

    def later(self, a: int) -> Deferred[int]:
        """With timers."""
        done: Deferred[int] = Deferred()
        call = current_call()

        def fire() -> None:
            self.glance(a, "timer")
            call.run(self.look, a, "captured timer")
            done.callback(a)

        self.clock.callLater(0.001 * a, fire)
        return done

    def timed_out(self, a: int) -> Deferred[int]:
        """With an answer that does not come."""

        def failed(_: Any) -> int:
            self.glance(a, "deadline")
            return a

        patient = with_options(self.echoes, timeout=0.01 + 0.001 * a)
        answer: Deferred[int] = patient.never(a)
        return answer.addErrback(failed)

    def thread(self, a: int) -> int:
        """In a thread."""
        self.look(a, "thread")
        time.sleep(0.0001)
        self.look(a, "thread")
        return a

    def echo(self, a: int) -> int:
        """The same."""
        self.look(a, "echo")
        return a

    def never(self, a: int) -> Deferred[int]:
        """No answer."""
        return Deferred()


def intercepting(work: Work) -> Any:
    """
    @return: an interceptor, which stands outside of every call.
    """

    def interceptor(responder: Any) -> Any:
        def respond(request: Request) -> Any:
            try:
                work.wrong.append(f"an interceptor ran for {current_call()}")
            except LookupError:
                pass
            return responder(request)

        return respond

    return interceptor


@st.composite
def calls(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """
    @return: kinds, each with an argument of its own, and how much is delivered
        before the next.
    """
    kinds = draw(st.lists(st.sampled_from(KINDS[:-1]), min_size=2, max_size=12))
    return [
        (kind, number + 1, draw(st.integers(0, 3))) for number, kind in enumerate(kinds)
    ]


class InMemoryTests(SynchronousTestCase):
    """
    Interleaved in every way.
    """

    @settings(max_examples=25, deadline=None)
    @given(calls())
    def test_interleaved(self, steps: list[tuple[str, int, int]]) -> None:
        """
        Calls that begin, go on and end between one another.
        """
        clock = MemoryClock()
        work = Work()
        work.clock = clock
        registry = Registry()
        registry.register(idl.IWork, work)
        behind = connect(registry, clock=clock)
        work.echoes = behind.client.proxy(idl.IWork)
        pair = connect(
            registry, clock=clock, server={"interceptors": [intercepting(work)]}
        )
        proxy = pair.client.proxy(idl.IWork)
        answers = []
        for kind, a, turns in steps:
            answers.append((a, getattr(proxy, kind)(a)))
            for _ in range(turns):
                pair.network.deliver()
                behind.network.deliver()
                clock.advance(0.0005)
        for _ in range(400):
            pair.network.deliver()
            behind.network.deliver()
            clock.advance(0.001)
        for a, answer in answers:
            self.assertEqual(self.successResultOf(answer), a)
        self.assertEqual(work.wrong, [])
        for each in (pair, behind):
            each.close()


class OnSocketsTests(TestCase):
    """
    On the reactor that runs the tests, whichever it is.
    """

    async def test_interleaved(self) -> None:
        """
        Of many calls at once on one connection, none sees another's.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        work = Work()
        work.clock = reactor
        registry = Registry()
        registry.register(idl.IWork, work)
        server = Server(
            registry,
            listen=["tcp:0:interface=127.0.0.1"],
            reactor=reactor,
            interceptors=[intercepting(work)],
            drain=0.0,
        )
        server.startService()
        self.addCleanup(server.stopService)
        assert server.listening is not None
        (port,) = await server.listening
        host: Any = port.getHost()
        where = f"tcp:127.0.0.1:{host.port}"
        inner, outer = Client(where, reactor=reactor), Client(where, reactor=reactor)
        self.addCleanup(inner.close)
        self.addCleanup(outer.close)
        # It connects inside of the first call that needs it.
        work.echoes = inner.proxy(idl.IWork)
        proxy = outer.proxy(idl.IWork)
        answers = [getattr(proxy, KINDS[a % len(KINDS)])(a) for a in range(1, 61)]
        self.assertEqual(await gatherResults(answers), list(range(1, 61)))
        self.assertEqual(work.wrong, [])

    async def test_failed_connection(self) -> None:
        """
        A connection that one call wanted fails all that wait for it, and none
        of them runs for that one.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        Server(Registry(), reactor=reactor)
        client = Client("tcp:127.0.0.1:1", reactor=reactor)
        self.addCleanup(client.close)
        proxy = client.proxy(idl.IWork)
        origin = type("Origin", (), {"seconds": staticmethod(time.monotonic)})
        seen: list[tuple[Request, Any]] = []

        def failed(_: Any, request: Request) -> None:
            try:
                seen.append((request, current_call()))
            except LookupError:
                seen.append((request, request))

        for seq in (1, 2, 3):
            request = Request(None, b"", "", 0.0, origin, seq)
            answer = request.run(proxy.echo, seq)
            answer.addErrback(failed, request)
        while len(seen) < 3:
            await deferLater(reactor, 0.01)
        self.assertTrue(all(mine is found for mine, found in seen))
