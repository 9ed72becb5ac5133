"""
Tests for the calls of a client and the links that carry them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.scripted import (
    Message,
    Outcome,
    Scripted,
    ScriptedCase,
    answered,
    idl,
    plain,
)
from twisted_rpc import with_options
from twisted_rpc.client.retry import NO_RETRY
from twisted_rpc.deadlines import TICK
from twisted_rpc.wire.limits import MIB


class WaitingTests(ScriptedCase):
    """
    Calls that wait for a connection (C5, C9).
    """

    def waiting(self, **options: Any) -> None:
        """
        Make a client whose server cannot be reached.
        """
        self.endpoint.factory = None
        self.start(wait_for_ready=True, **options)

    def test_in_order(self) -> None:
        """
        They are sent in the order in which they were made.
        """
        self.waiting()
        outcomes = [self.watch(self.shop.buy(n)) for n in range(5)]
        self.endpoint.factory = self.server
        self.server.on_call = answered
        self.advance(1)
        for outcome in outcomes:
            self.ended(outcome, 7)
        self.assertEqual(
            [call["params"] for call in self.server.calls], [[n] for n in range(5)]
        )

    def test_in_the_next_turn(self) -> None:
        """
        A call that is not even tried fails in the next turn: who calls again as
        soon as a call fails does not keep the reactor from connecting.
        """
        self.endpoint.factory = None
        self.start(retry=NO_RETRY)
        self.told(self.watch(self.shop.buy(1)), "UNAVAILABLE", "no")
        refused = [Outcome(self.shop.buy(n), self.clock) for n in range(3)]
        self.assertEqual([each.results for each in refused], [[], [], []])
        self.clock.advance(0)
        for each in refused:
            self.told(each, "UNAVAILABLE", "no")

    def test_refused_and_closed(self) -> None:
        """
        Of such calls nothing is left when the client is closed; one that was given
        up is not told twice.
        """
        self.endpoint.factory = None
        self.start(retry=NO_RETRY)
        self.told(self.watch(self.shop.buy(1)), "UNAVAILABLE", "no")
        call = self.shop.buy(1)
        given_up, other = (
            Outcome(call, self.clock),
            Outcome(self.shop.buy(2), self.clock),
        )
        call.cancel()
        self.client.close()
        self.told(other, "UNAVAILABLE", "no")
        self.assertEqual(len(given_up.results), 1)
        self.quiet()

    def test_c9_a_thousand(self) -> None:
        """
        A thousand calls wait; the next is refused at once.
        """
        self.waiting()
        outcomes = [Outcome(self.shop.buy(n), self.clock) for n in range(1000)]
        more = self.watch(self.shop.buy(1000))
        error = self.told(more, "RESOURCE_EXHAUSTED", "no")
        self.assertIn("1000 calls", error.message)
        self.assertEqual([each for each in outcomes if each.results], [])
        self.endpoint.factory = self.server
        self.server.on_call = answered
        self.advance(1)
        for outcome in outcomes:
            self.ended(outcome, 7)
        self.assertEqual(self.client.pool.queue.size, 0)

    def test_c9_8_mib(self) -> None:
        """
        Or 8 MiB of arguments.
        """
        self.waiting()
        text = "x" * (3 * MIB)
        kept = [self.watch(self.shop.name(text)) for _ in range(2)]
        more = self.watch(self.shop.name(text))
        self.told(more, "RESOURCE_EXHAUSTED", "no")
        small = self.watch(self.shop.buy(1))
        self.assertEqual([each.results for each in (*kept, small)], [[], [], []])

    def test_other_bounds(self) -> None:
        """
        Both are arguments.
        """
        self.waiting(max_waiting=2, max_waiting_bytes=1000)
        kept = self.watch(self.shop.name("x" * 500))
        self.told(self.watch(self.shop.name("x" * 500)), "RESOURCE_EXHAUSTED", "no")
        self.watch(self.shop.buy(1))
        self.told(self.watch(self.shop.buy(1)), "RESOURCE_EXHAUSTED", "no")
        self.assertEqual(kept.results, [])

    def test_c9_until_the_deadline(self) -> None:
        """
        A call that waits ends when its time is up, and makes room.
        """
        self.waiting(timeout=1.0)
        start = self.clock.seconds()
        outcome = self.watch(self.shop.buy(1))
        self.advance(1.1)
        self.told(outcome, "UNAVAILABLE", "no")
        assert outcome.at is not None
        self.assertLessEqual(outcome.at - start, 1.05)
        self.assertEqual(len(self.client.pool.queue), 0)

    def test_c5_while_the_first_connection_is_made(self) -> None:
        """
        Without wait_for_ready a call waits for the first connection, and fails
        with it.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        outcome = self.watch(self.shop.buy(1))
        self.advance(1)
        self.assertEqual(outcome.results, [])
        self.endpoint.factory = None
        self.server.here.drop()
        self.pump()
        self.told(outcome, "UNAVAILABLE", "no")

    def test_only_those_who_wished_it(self) -> None:
        """
        When it fails, calls that wait for a connection stay, others end.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        fast = self.watch(self.shop.buy(1))
        patient = self.watch(with_options(self.shop, wait_for_ready=True).buy(2))
        self.server.here.drop()
        self.pump()
        self.told(fast, "UNAVAILABLE", "no")
        self.assertEqual(patient.results, [])

    def test_a_call_made_anew_waits_too(self) -> None:
        """
        A call that has run perhaps, and waits to be made anew, ends as one of
        which nobody knows if the server does not come back.
        """
        connection = self.started()
        outcome = self.watch(self.shop.look(1))
        self.endpoint.factory = None
        connection.refuse(connection.calls[0], "SESSION_UNKNOWN", "unknown")
        self.advance(1)
        self.told(outcome, "UNAVAILABLE", "unknown")

    def test_closed_while_it_waits_to_be_made_anew(self) -> None:
        """
        And so it does if the client is closed.
        """
        connection = self.started()
        outcome = self.watch(self.shop.look(1))
        self.endpoint.factory = None
        connection.refuse(connection.calls[0], "SESSION_UNKNOWN", "unknown")
        self.pump()
        self.client.close()
        self.pump()
        self.told(outcome, "UNAVAILABLE", "unknown")
        self.advance(2)
        self.quiet()

    def test_a_stalled_process(self) -> None:
        """
        What waited for longer than its time in a process that stood still is
        not sent (I13).
        """
        self.server.on_hello = lambda connection: None
        self.start(timeout=1.0)
        outcome = self.watch(self.shop.buy(1))
        # The clock stands at the deadline, and no timer has been looked at.
        self.clock.rightNow += 1.0
        self.server.here.welcome()
        while self.network.deliver():
            pass
        self.told(outcome, "UNAVAILABLE", "no")
        self.assertEqual(self.server.frames, [])


class RoomTests(ScriptedCase):
    """
    Calls that wait because the server takes so many at one time (X5).
    """

    def later(self, connection: Scripted, call: Message) -> None:
        """
        Answer after 0.2 s.
        """
        self.clock.callLater(0.2, connection.reply, call)

    def overloaded(self, every: float) -> list[Outcome]:
        """
        Make a call of a second so often, for 8 s, to a server that takes four and
        answers each after 0.2 s: 20 a second.

        @return: of the last 4 s.
        """
        self.server.on_hello = lambda each: each.welcome(limits__max_inflight=4)
        self.server.on_call = self.later
        self.started()
        shop = with_options(self.shop, timeout=1)
        made = []
        for _ in range(round(8 / every)):
            made.append(Outcome(shop.look(1), self.clock))
            self.advance(every, step=every)
        self.advance(2, step=0.1)
        return made[len(made) // 2 :]

    def test_looks_when_due(self) -> None:
        """
        Deadlines are looked at when the first of them is over, and not before:
        many clients in one process would do little else.
        """
        self.started()
        self.watch(self.shop.look(1))

        def looks() -> list[float]:
            return [
                round(each.getTime() - self.clock.seconds(), 3)
                for each in self.clock.getDelayedCalls()
                if getattr(each, "func", None) == self.client.pool._look
            ]

        self.assertEqual(looks(), [30 + TICK])
        short = self.watch(with_options(self.shop, timeout=1).look(1))
        self.watch(with_options(self.shop, timeout=2).look(1))
        self.assertEqual(looks(), [1 + TICK])
        self.advance(1 + TICK, step=1 + TICK)
        self.told(short, "DEADLINE_EXCEEDED", "unknown")
        self.assertEqual(looks(), [1.0])

    def test_more_than_is_answered(self) -> None:
        """
        Twice as many calls as a server answers lose those that are too many, and
        not all: none is sent with less time left than an answer takes.
        """
        last = self.overloaded(0.025)
        good = sum(it.results == [7] for it in last)
        self.assertGreaterEqual(good, 0.9 * 4 * 20)
        for it in last:
            if it.results != [7]:
                self.assertEqual(it.told, ("UNAVAILABLE", "no"))

    def test_less(self) -> None:
        """
        None is lost where the server answers them all.
        """
        last = self.overloaded(0.0625)
        self.assertEqual([it.results for it in last], [[7]] * len(last))

    def test_many_at_once(self) -> None:
        """
        Nor where they are made all at once, and there is time for them.
        """
        self.server.on_hello = lambda each: each.welcome(limits__max_inflight=4)
        self.server.on_call = self.later
        self.started()
        shop = with_options(self.shop, timeout=8)
        made = [Outcome(shop.look(1), self.clock) for _ in range(140)]
        self.advance(9, step=0.025)
        self.assertEqual([it.results for it in made], [[7]] * 140)


class PlainPoolTests(ScriptedCase):
    """
    Several connections to a plain server.
    """

    def setUp(self) -> None:
        """
        A server that knows the plain profile only.
        """
        super().setUp()
        self.server.on_hello = plain

    def test_one_call_one_connection(self) -> None:
        """
        There are not more connections than calls at one time.
        """
        self.server.on_call = answered
        self.start()
        for n in range(10):
            self.ended(self.watch(self.shop.look(n)), 7)
        self.assertEqual(self.endpoint.connected, 1)

    def test_up_to_four(self) -> None:
        """
        Calls at one time get a connection each, up to four; the others follow
        in order.
        """
        self.start()
        outcomes = [Outcome(self.shop.look(n), self.clock) for n in range(10)]
        self.pump()
        self.assertEqual(self.endpoint.connected, 4)
        self.assertEqual(len(self.server.frames), 4)
        for n in range(10):
            call = self.server.calls[n]
            for connection in self.server.connections:
                if call in connection.calls:
                    connection.reply(call, n)
            self.pump()
        for n, outcome in enumerate(outcomes):
            self.ended(outcome, n)
        self.assertEqual(
            [call["params"][0] for call in self.server.calls], list(range(10))
        )

    def test_after_a_restart(self) -> None:
        """
        When the server comes back, one call makes one connection again, not
        all that there were.
        """
        self.start()
        outcomes = [Outcome(self.shop.look(n), self.clock) for n in range(4)]
        self.pump()
        for connection in self.server.connections:
            connection.reply(connection.calls[0])
        self.pump()
        for outcome in outcomes:
            self.ended(outcome, 7)
        self.network.break_all()
        self.advance(1)
        self.server.on_call = answered
        self.ended(self.watch(self.shop.look(1)), 7)
        self.assertEqual(self.endpoint.connected, 5)

    def test_a_server_that_is_plain_no_more(self) -> None:
        """
        If the server learns the protocol, one connection is enough, and the
        others end.
        """
        self.start()
        first, second = [Outcome(self.shop.look(n), self.clock) for n in range(2)]
        self.pump()
        one, two = self.server.connections
        self.server.on_hello = lambda connection: connection.welcome()
        self.server.on_call = answered
        one.drop()
        self.advance(1)
        self.ended(first, 7)
        self.ended(self.watch(self.shop.look(3)), 7)
        self.assertEqual(len(two.calls), 1)
        two.reply(two.calls[0], 9)
        self.pump()
        self.ended(second, 9)
        self.assertTrue(two.lost)
        self.assertEqual(len(self.client.pool.links), 1)
        self.assertEqual(self.client.pool.retired, {})

    def test_closed_before_a_repetition(self) -> None:
        """
        Closing ends a call that waits to be asked again.
        """
        self.start()
        outcome = self.watch(self.shop.look(1))
        self.server.here.drop()
        self.network.deliver()
        self.client.close()
        self.pump()
        self.told(outcome, "UNAVAILABLE", "unknown")
        self.advance(2)
        self.quiet()

    def test_given_up_before_a_repetition(self) -> None:
        """
        And so does its caller.
        """
        self.start()
        deferred = self.shop.look(1)
        outcome = self.watch(deferred)
        self.server.here.drop()
        self.network.deliver()
        deferred.cancel()
        self.advance(2)
        self.assertEqual(len(outcome.results), 1)
        self.assertEqual(len(self.server.frames), 1)

    def test_one_of_several(self) -> None:
        """
        While one connection works, that another cannot be made fails nothing.
        """
        self.start()
        first = Outcome(self.shop.look(1), self.clock)
        self.pump()
        self.endpoint.factory = None
        second = self.watch(self.shop.look(2))
        self.assertEqual(second.results, [])
        self.server.on_call = answered
        self.server.here.reply(self.server.here.calls[0])
        self.pump()
        self.ended(first, 7)
        self.ended(second, 7)

    def test_closed_while_it_waits(self) -> None:
        """
        Closing ends the call that is waited for.
        """
        self.start()
        outcome = self.watch(self.shop.buy(1))
        self.client.close()
        self.pump()
        self.told(outcome, "OUTCOME_UNKNOWN", "unknown")
        self.advance(2)
        self.quiet()

    def test_oneway_lost(self) -> None:
        """
        A oneway call whose connection is lost has been sent, and is not again.
        """
        self.start()
        outcome = self.watch(self.shop.note("x"))
        self.ended(outcome, None)
        self.server.here.drop()
        self.advance(2)
        self.assertEqual(len(self.server.frames), 1)

    @settings(max_examples=30, deadline=None)
    @given(
        script=st.lists(
            st.sampled_from(["call", "reply", "drop", "error", "wait"]), max_size=25
        )
    )
    def test_every_call_ends_once_and_in_time(self, script: list[str]) -> None:
        """
        Whatever such a server does, each call ends once, by its deadline.
        """
        self.setUp()
        self.start(timeout=2.0, max_connections=2)
        made: list[Outcome] = []
        for step in script:
            if step == "call":
                method = self.shop.look if len(made) % 2 else self.shop.buy
                made.append(Outcome(method(len(made)), self.clock))
                self.pump()
            elif step == "wait":
                self.advance(0.1, step=0.05)
            elif self.server.connections:
                answers = [each for each in self.server.connections if not each.lost]
                for connection in answers[-1:]:
                    if step == "drop":
                        connection.drop()
                    elif connection.calls and step == "reply":
                        connection.reply(connection.calls[-1])
                    elif connection.calls:
                        connection.say(connection.calls[-1], "no")
                self.pump()
        self.advance(2.1, step=0.05)
        self.assertEqual([len(each.results) for each in made], [1] * len(made))
        self.client.close()
        self.advance(2, step=0.5)
        self.quiet()


class ServiceTests(ScriptedCase):
    """
    Two services of one client.
    """

    def test_one_connection(self) -> None:
        """
        The proxies of a client share its connection and its session.
        """
        self.server.on_call = answered
        self.start()
        bank = self.client.proxy(idl.IBank)
        self.ended(self.watch(self.shop.look(1)), 7)
        self.ended(self.watch(bank.look()), 7)
        self.assertEqual(self.ids(), ["s1:1", "s1:2"])
        self.assertEqual(
            [call["service"] for call in self.server.calls], ["Shop", "Bank"]
        )
