"""
Tests for a client as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

from twisted.application.service import IService, MultiService
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.client.scripted import (
    Outcome,
    Scripted,
    ScriptedCase,
    Slow,
    answered,
    idl,
    plain,
)
from twisted_rpc import Client, Limits, Request, RPCError, with_options
from twisted_rpc.call import Answer, Responder, calling
from twisted_rpc.errors import Code
from twisted_rpc.testing.network import MemoryTransport


class LifeTests(ScriptedCase):
    """
    A client is a service, and a context.
    """

    def test_service(self) -> None:
        """
        It connects without being started, and closes with its parent.
        """
        self.server.on_call = answered
        self.start()
        self.assertTrue(verifyObject(IService, self.client))
        parent = MultiService()
        self.client.setServiceParent(parent)
        parent.startService()
        self.ended(self.watch(self.shop.look(1)), 7)
        stopped = parent.stopService()
        self.assertFalse(self.server.here.lost)
        self.pump()
        self.successResultOf(stopped)
        self.assertTrue(self.server.here.lost)
        self.quiet()

    def test_started_again(self) -> None:
        """
        A service that is started again takes calls again.
        """
        self.server.on_call = answered
        self.start()
        self.client.startService()
        self.ended(self.watch(self.shop.look(1)), 7)
        self.client.stopService()
        self.pump()
        self.told(self.watch(self.shop.look(2)), "UNAVAILABLE", "no")
        self.client.startService()
        self.ended(self.watch(self.shop.look(3)), 7)

    def test_started_again_before_it_is_closed(self) -> None:
        """
        Whoever waits for the end of what was open does not wait for what was opened
        after it.
        """
        self.server.on_call = answered
        self.started()
        stopped = self.client.stopService()
        self.client.startService()
        self.ended(self.watch(self.shop.look(1)), 7)
        self.successResultOf(stopped)
        self.assertEqual([each.lost for each in self.server.connections], [True, False])

    def test_started_again_after_a_failure(self) -> None:
        """
        What it knew of the server before, it forgets.
        """
        self.server.on_call = answered
        self.start()
        self.endpoint.factory = None
        self.told(self.watch(self.shop.look(1)), "UNAVAILABLE", "no")
        self.client.stopService()
        self.endpoint.factory = self.server
        self.client.startService()
        self.ended(self.watch(self.shop.look(2)), 7)

    def test_closed(self) -> None:
        """
        Closing ends every call: what was not sent has not run, what was sent
        may have.
        """
        connection = self.started()
        buy, look = self.watch(self.shop.buy(1)), self.watch(self.shop.look(1))
        closed = self.client.close()
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")
        self.told(look, "UNAVAILABLE", "unknown")
        error = self.told(self.watch(self.shop.buy(2)), "UNAVAILABLE", "no")
        self.assertIn("the client is closed", error.message)
        self.pump()
        self.successResultOf(closed)
        self.assertTrue(connection.lost)
        self.successResultOf(self.client.close())
        self.advance(2)
        self.quiet()

    def test_started_again_as_it_closes(self) -> None:
        """
        A client that is started again by who is told of the end takes calls, and
        ends them in time.
        """
        self.started()
        self.endpoint.factory = None
        outcomes: list[Outcome] = []

        def again(_: Failure) -> None:
            self.client.startService()
            patient = with_options(self.shop, timeout=1.0, wait_for_ready=True)
            outcomes.append(Outcome(patient.look(2), self.clock))

        self.shop.look(1).addErrback(again)
        self.pump()
        stopped = self.client.stopService()
        self.advance(1.1)
        self.successResultOf(stopped)
        self.told(outcomes[0], "UNAVAILABLE", "no")

    def test_for_nobody(self) -> None:
        """
        Who is told as another call is given up, or as the client is closed, is not
        told for the call of a server for which that is done.
        """
        for does in ("cancel", "close"):
            self.server.on_hello = lambda connection: connection.welcome(
                limits__max_inflight=1
            )
            self.started()
            first = self.shop.buy(1)
            hurried = with_options(self.shop, timeout=0.6)
            hurried._rpc_targets["buy"].median = 1.0
            second = hurried.buy(2).addErrback(lambda _: calling())
            self.advance(0.5)
            outer = Request(None, b"", "", self.clock.seconds() + 9, self.client)
            ends = first.cancel if does == "cancel" else self.client.close
            outer.run(ends)
            self.failureResultOf(first)
            self.assertIsNone(self.successResultOf(second))

    def test_given_up_as_it_closes(self) -> None:
        """
        Nothing is sent any more, though who is told gives up what held it up.
        """
        self.server.on_hello = lambda connection: connection.welcome(
            limits__max_inflight=1
        )
        connection = self.started()
        first, second = self.shop.buy(1), self.shop.buy(2)
        third = Outcome(self.shop.buy(3), self.clock)
        self.pump()
        again: list[Outcome] = []

        def told(_: Failure) -> None:
            first.cancel()
            again.append(Outcome(self.shop.buy(4), self.clock))

        second.addErrback(told)
        self.client.close()
        self.failureResultOf(first, CancelledError)
        self.pump()
        self.told(third, "UNAVAILABLE", "no")
        self.told(again[0], "UNAVAILABLE", "no")
        self.assertEqual([call["params"] for call in connection.calls], [[1]])

    def test_a_server_that_does_not_hang_up(self) -> None:
        """
        A connection that does not close is aborted after a second.
        """
        connection = self.started()
        transport: Any = connection.transport
        transport.pauseProducing()
        closed = self.client.close()
        self.advance(0.9)
        self.assertNoResult(closed)
        self.advance(0.2)
        self.successResultOf(closed)
        self.quiet()

    def test_context(self) -> None:
        """
        At the end of C{async with} it is closed.
        """
        self.server.on_call = answered
        self.start()

        async def use() -> Any:
            async with self.client as client:
                return await client.proxy(idl.IShop).look(1)

        outcome = self.watch(Deferred.fromCoroutine(use()))
        self.ended(outcome, 7)
        self.assertTrue(self.server.here.lost)

    def test_calls_when_it_closes(self) -> None:
        """
        Who calls again as his call fails by the close is told so.
        """
        self.started()
        again: list[Any] = []

        def retry(_: Failure) -> Any:
            return self.shop.buy(2).addErrback(again.append)

        self.shop.buy(1).addErrback(retry)
        self.client.close()
        self.pump()
        self.assertEqual(again[0].value.message, "the client is closed")
        self.advance(2)
        self.quiet()


class ArgumentTests(ScriptedCase):
    """
    What a client is made of.
    """

    def test_refusals(self) -> None:
        """
        What cannot work is refused by name, when the client is made.
        """
        for options, word in (
            ({"wire": "http"}, "'auto', 'plain' or 'extended'"),
            ({"max_connections": 0}, "max_connections"),
            ({"max_waiting": 0}, "max_waiting"),
            ({"max_waiting_bytes": 0}, "max_waiting_bytes"),
            ({"auth": {"token": "x"}}, "'scheme' and 'token'"),
            ({"auth": {"scheme": "bearer", "token": "x"}, "wire": "plain"}, "no auth"),
            ({"ping": -1}, "ping"),
            ({"connect_timeout": 0}, "connect_timeout"),
            ({"timeout": 0}, "timeout"),
            ({"metadata": {"A": "x"}}, "metadata"),
        ):
            with self.assertRaises(ValueError) as caught:
                self.start(**options)
            self.assertIn(word, str(caught.exception))
        for options, word in (
            ({"retry": 3}, "retry is 3"),
            ({"retry_budget": 3}, "retry_budget is 3"),
        ):
            with self.assertRaises(TypeError) as wrong:
                self.start(**options)
            self.assertIn(word, str(wrong.exception))

    def test_no_endpoint(self) -> None:
        """
        So is an empty list, and what is no endpoint.
        """
        with self.assertRaises(ValueError):
            Client([], reactor=self.clock)
        with self.assertRaises(ValueError):
            Client("nonsense:1", reactor=self.clock)

    def test_the_installed_reactor(self) -> None:
        """
        Without a reactor it takes the installed one.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        client = Client(self.endpoint)
        self.assertIs(client.pool.clock, reactor)


class SecretTests(ScriptedCase):
    """
    Credentials (W18).
    """

    auth = {"scheme": "bearer", "token": "t0k3n"}  # noqa: RUF012 - not a secret

    def abroad(self, **options: Any) -> None:
        """
        Make a client of a server that is not on this machine.
        """

        def peer(_: Any) -> IPv4Address:
            return IPv4Address("TCP", "192.0.2.7", 5000)

        self.patch(MemoryTransport, "getPeer", peer)
        self.start(auth=self.auth, **options)

    def test_on_this_machine(self) -> None:
        """
        They go with hello over loopback.
        """
        self.start(auth=self.auth)
        self.watch(self.shop.look(1))
        self.assertEqual((self.server.here.hello or {})["auth"], self.auth)

    def test_in_clear(self) -> None:
        """
        They are not sent in clear text beyond this machine: calls fail, with
        what to do, and nothing is sent at all.
        """
        self.abroad()
        error = self.told(self.watch(self.shop.look(1)), "FAILED_PRECONDITION", "no")
        self.assertIn("tls:", error.message)
        self.assertIn("auth_in_clear", error.message)
        self.assertIsNone(self.server.here.hello)
        self.assertTrue(self.server.here.lost)

    def test_in_clear_on_purpose(self) -> None:
        """
        Unless it is wished.
        """
        self.abroad(auth_in_clear=True)
        self.watch(self.shop.look(1))
        self.assertEqual((self.server.here.hello or {})["auth"], self.auth)

    def test_hidden(self) -> None:
        """
        The client shows nothing of them.
        """
        self.start(auth=self.auth)
        self.assertNotIn("t0k3n", repr(self.client))


class HelloTests(ScriptedCase):
    """
    What a client says first.
    """

    def test_members(self) -> None:
        """
        Version, the largest frame, the wish to ping, the digests of the IDL
        loaded, and the software.
        """
        self.started(ping=30.0, limits=Limits(max_frame=65536))
        hello = self.server.here.hello or {}
        self.assertEqual(hello["versions"], [1])
        self.assertEqual(hello["limits"], {"max_frame": 65536})
        self.assertEqual(hello["ping"], 30000)
        self.assertEqual(list(hello["schema"]), ["Shop"])
        self.assertTrue(hello["software"].startswith("twisted_rpc/"))
        self.assertNotIn("session", hello)
        self.assertNotIn("auth", hello)

    def test_another_idl(self) -> None:
        """
        A server of another version of the IDL is noted in the log.
        """
        self.server.on_hello = lambda each: each.welcome(schema={"Shop": "sha256:00"})
        with capturedLogs() as events:
            self.started()
        texts = [event.get("log_format", "") for event in events]
        self.assertTrue(any("is not the one loaded here" in text for text in texts))


class QuestionTests(ScriptedCase):
    """
    Questions to the framework.
    """

    def test_answers(self) -> None:
        """
        Each is a call of C{$rpc}, and fires with what it says.
        """
        connection = self.started()
        self.server.answers_controls = False
        for method, *params in (
            ("health",),
            ("health", "Shop"),
            ("reflect",),
            ("reflect", "Shop"),
            ("resolve", "s1:4"),
            ("ping",),
        ):
            outcome = self.watch(getattr(self.client, method)(*params))
            asked = connection.controls[-1]
            self.assertEqual((asked["method"], asked["params"]), (method, params))
            connection.reply(asked, {"of": method})
            self.pump()
            self.ended(outcome, {"of": method})

    def test_refused(self) -> None:
        """
        An error is an L{RPCError}.
        """
        connection = self.started()
        self.server.answers_controls = False
        outcome = self.watch(self.client.health("Other"))
        connection.refuse(connection.controls[-1], "NOT_FOUND", "yes")
        self.pump()
        self.told(outcome, "NOT_FOUND", "yes")

    def test_they_connect(self) -> None:
        """
        A question makes a connection, and waits for it.
        """
        self.start()
        self.ended(self.watch(self.client.health()), {"state": "cancelled"})

    def test_nobody_there(self) -> None:
        """
        It fails as a call does where there is no server, or none any more.
        """
        self.endpoint.factory = None
        self.start()
        self.told(self.watch(self.client.health()), "UNAVAILABLE", "no")
        self.told(self.watch(self.client.health()), "UNAVAILABLE", "no")
        self.client.close()
        self.told(self.watch(self.client.health()), "UNAVAILABLE", "no")

    def test_no_answer(self) -> None:
        """
        It has ten seconds, to connect and to be answered.
        """
        self.start(Slow(), connect_timeout=60.0)
        waiting = self.watch(self.client.health())
        self.advance(10.1)
        self.told(waiting, "DEADLINE_EXCEEDED", "no")
        self.started()
        self.server.answers_controls = False
        asked = self.watch(self.client.health())
        self.advance(10.1)
        self.told(asked, "DEADLINE_EXCEEDED", "unknown")

    def test_lost(self) -> None:
        """
        It is not asked again when its connection is lost.
        """
        connection = self.started()
        self.server.answers_controls = False
        outcome = self.watch(self.client.health())
        connection.drop()
        self.pump()
        self.told(outcome, "UNAVAILABLE", "unknown")

    def test_cancelled(self) -> None:
        """
        A question that is given up leaves nothing.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        waiting = self.client.health()
        outcome = self.watch(waiting)
        waiting.cancel()
        outcome.results[0].trap(CancelledError)
        self.assertEqual(self.client.pool.questions, set())
        self.server.on_hello = Scripted.welcome
        self.server.here.welcome()
        self.pump()
        self.server.answers_controls = False
        asked = self.client.health()
        second = self.watch(asked)
        asked.cancel()
        second.results[0].trap(CancelledError)
        self.server.here.reply(self.server.here.controls[-1])
        self.pump()
        self.assertEqual(len(second.results), 1)

    def test_closed_while_it_waits(self) -> None:
        """
        Closing ends it.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        outcome = self.watch(self.client.health())
        self.client.close()
        self.told(outcome, "UNAVAILABLE", "no")
        self.advance(2)
        self.quiet()


class InterceptorTests(ScriptedCase):
    """
    Interceptors on a client.
    """

    def with_interceptors(self, *interceptors: Any, **options: Any) -> Scripted:
        """
        Make the client.
        """
        return self.started(interceptors=interceptors, **options)

    def test_what_they_see(self) -> None:
        """
        The request, with its method, arguments, metadata and time, and the
        answer as the text it came in; the caller gets the value of its type.
        """
        seen: list[Any] = []

        def watched(text: bytes) -> bytes:
            seen.append(text)
            return text

        def watching(responder: Responder) -> Responder:
            def respond(request: Request) -> Answer:
                seen.append(
                    (
                        request.service,
                        request.name,
                        bytes(request.params),
                        request.time_left,
                    )
                )
                answer: Any = responder(request)
                answer.addCallback(watched)
                return cast("Deferred[bytes]", answer)

            return respond

        connection = self.with_interceptors(watching, metadata={"a": "1"})
        outcome = self.watch(self.shop.look(5))
        connection.reply(connection.calls[0], 9)
        self.pump()
        self.assertEqual(seen, [("Shop", "look", b"[5]", 30.0), b"9"])
        self.ended(outcome, 9)

    def test_order(self) -> None:
        """
        The first is outermost.
        """
        seen: list[str] = []

        def named(name: str) -> Callable[[Responder], Responder]:
            def interceptor(responder: Responder) -> Responder:
                def respond(request: Request) -> Answer:
                    seen.append(name)
                    return responder(request)

                return respond

            return interceptor

        self.with_interceptors(named("first"), named("second"))
        self.watch(self.shop.look(5))
        self.assertEqual(seen, ["first", "second"])

    def test_metadata_and_time(self) -> None:
        """
        What an interceptor adds is sent, and a deadline it draws in counts.
        """

        def adding(responder: Responder) -> Responder:
            def respond(request: Request) -> Answer:
                request.metadata = {**request.metadata, "b": "2"}
                request.deadline = request.origin.seconds() + 0.5
                return responder(request)

            return respond

        connection = self.with_interceptors(adding, metadata={"a": "1"})
        outcome = self.watch(self.shop.look(5))
        self.assertEqual(connection.calls[0]["ext"]["meta"], {"a": "1", "b": "2"})
        self.assertEqual(connection.calls[0]["ext"]["timeout"], 500)
        self.advance(0.6)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")

    def test_answering_by_itself(self) -> None:
        """
        An interceptor may answer: with text at once, with a Deferred of it, from
        a coroutine, or with an error.
        """

        async def three(_: Request) -> bytes:
            return b"3"

        def refusing(_: Request) -> Answer:
            raise RPCError(Code.PERMISSION_DENIED, "closed", executed="no")

        responders: list[Any] = [
            lambda request: b"1",
            lambda request: succeed(b"2"),
            three,
        ]
        for number, answering in enumerate(responders):
            self.start(interceptors=[lambda responder, answering=answering: answering])
            self.ended(self.watch(self.shop.look(1)), number + 1)
        self.start(interceptors=[lambda responder: refusing])
        self.told(self.watch(self.shop.look(1)), "PERMISSION_DENIED", "no")
        self.assertEqual(self.endpoint.connected, 0)

    def test_text_that_is_no_result(self) -> None:
        """
        Text that does not fit the IDL is an error.
        """
        self.start(interceptors=[lambda responder: lambda request: b'"one"'])
        error = self.told(self.watch(self.shop.look(1)), "INTERNAL", "yes")
        self.assertIn("does not fit the IDL", error.message)

    def test_declared_exceptions(self) -> None:
        """
        An exception of the IDL passes as its class, with its members.
        """
        seen: list[Exception] = []

        def watching(responder: Responder) -> Any:
            async def respond(request: Request) -> Any:
                try:
                    return await responder(request)  # type: ignore[misc]
                except idl.Broke as error:
                    seen.append(error)
                    raise

            return respond

        connection = self.with_interceptors(watching)
        outcome = self.watch(self.shop.buy(1))
        connection.refuse(
            connection.calls[0],
            "FAILED_PRECONDITION",
            "yes",
            type="Broke",
            data={"missing": 3},
        )
        self.pump()
        error: Any = outcome.error
        self.assertIsInstance(error, idl.Broke)
        self.assertEqual((error.missing, seen), (3, [error]))

    def test_cancelled(self) -> None:
        """
        Cancelling reaches the server through interceptors.
        """

        def passing(responder: Responder) -> Any:
            async def respond(request: Request) -> Any:
                return await responder(request)  # type: ignore[misc]

            return respond

        connection = self.with_interceptors(passing)
        deferred = self.shop.buy(1)
        outcome = self.watch(deferred)
        deferred.cancel()
        self.pump()
        outcome.results[0].trap(CancelledError)
        self.assertEqual([each["method"] for each in connection.controls], ["cancel"])

    def test_oneway(self) -> None:
        """
        A oneway call has no answer, with interceptors too.
        """
        connection = self.with_interceptors(lambda responder: responder)
        self.ended(self.watch(self.shop.note("x")), None)
        self.assertIs(connection.calls[0]["ext"]["oneway"], True)

    def test_options(self) -> None:
        """
        Options of a proxy count as without interceptors.
        """
        connection = self.with_interceptors(lambda responder: responder)
        self.watch(with_options(self.shop, timeout=0.5).look(1))
        self.assertEqual(connection.calls[0]["ext"]["timeout"], 500)


class ForkTests(ScriptedCase):
    """
    A client that is used after a fork.
    """

    def in_child(self, check: Callable[[], None]) -> None:
        """
        Run C{check} in a fork.
        """
        read, write = os.pipe()
        child = os.fork()
        if not child:
            # Nothing of the test's runner may run here.
            try:
                check()
                os.write(write, b"fine")
            except BaseException as error:  # noqa: BLE001 - it is told to the parent
                os.write(write, repr(error).encode()[:4000])
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as end:
            said = end.read()
        os.waitpid(child, 0)
        self.assertEqual(said, b"fine", said.decode())

    def test_a_session_of_its_own(self) -> None:
        """
        The child makes a connection and a session of its own, and leaves those
        of the parent, with their calls, untouched.
        """
        old = self.started()
        mine: list[Any] = []
        self.shop.buy(1).addBoth(mine.append)
        waits = self.shop.buy(2)
        self.pump()
        old.refuse(old.calls[1], "RESOURCE_EXHAUSTED", retry_after=1000)
        self.pump()

        def check() -> None:
            outcome = self.watch(self.shop.look(3))
            new = self.server.here
            assert new is not old, "the parent's connection was used"
            assert "session" not in (new.hello or {}), new.hello
            assert new.session != old.session, new.session
            new.reply(new.calls[0])
            self.pump()
            assert outcome.results == [7], outcome.results
            self.advance(40)
            assert not old.lost, "the parent's connection was closed"
            assert len(old.calls) == 2, old.calls
            assert old.controls == [], old.controls
            assert not mine, mine
            assert not waits.called

        self.in_child(check)
        old.reply(old.calls[0])
        self.pump()
        self.assertEqual(mine, [7])

    def test_every_state(self) -> None:
        """
        Whatever the parent was doing, no timer of it is left in the child.
        """
        for busy in (
            lambda: self.start(Slow()),
            self.start,
            lambda: self.start(ping=1.0),
            lambda: self.start(timeout=0.5),
        ):
            self.server.on_hello = Scripted.welcome
            self.server.on_call = lambda connection, call: connection.refuse(
                call, "IN_PROGRESS", "unknown", retry_after=500
            )
            busy()
            outcomes = [self.watch(self.shop.buy(n)) for n in range(100)]
            self.advance(0.2)
            if self.server.connections:
                self.server.here.close()
            self.network.deliver()
            # As the fork sees it.
            self.client.pool.pid = -1
            told = sum(len(each.results) for each in outcomes)
            self.shop.look(1).addErrback(lambda _: None)
            self.client.close()
            self.advance(2)
            self.quiet()
            self.assertEqual(sum(len(each.results) for each in outcomes), told)

    def test_a_question(self) -> None:
        """
        So does a question.
        """
        old = self.started()

        def check() -> None:
            outcome = self.watch(self.client.health())
            assert self.server.here is not old
            assert outcome.results == [{"state": "cancelled"}], outcome.results

        self.in_child(check)

    def test_a_plain_server(self) -> None:
        """
        A plain server gets new connections too, and a call that waits in the
        parent is the parent's.
        """
        self.server.on_hello = plain
        self.start(max_connections=1)
        first, second = self.shop.look(1), self.shop.look(2)
        self.pump()
        old = self.server.here

        def check() -> None:
            outcome = self.watch(self.shop.look(3))
            assert self.server.here is not old
            assert [each["params"] for each in self.server.here.calls] == [[3, 2]]
            self.server.here.reply(self.server.here.calls[0])
            self.pump()
            assert outcome.results == [7]
            assert not first.called
            assert not second.called

        self.in_child(check)
