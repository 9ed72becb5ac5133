"""
Tests for a client's sessions, and the connections that carry them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.error import ConnectError
from twisted.python.failure import Failure

from tests.client.scripted import (
    Message,
    Outcome,
    Scripted,
    ScriptedCase,
    Server,
    Slow,
    answered,
    plain,
)
from twisted_rpc import Code, RetryPolicy, RPCError, with_options
from twisted_rpc.client.protocol import ClientProtocol
from twisted_rpc.client.retry import NO_RETRY
from twisted_rpc.testing import MemoryEndpoint

#: Another attempt follows at once.
AT_ONCE = RetryPolicy(chance=lambda: 0.0)


class ConnectingTests(ScriptedCase):
    """
    Connections are made at the first call and made again.
    """

    def test_nothing_before_the_first_call(self) -> None:
        """
        A client that is not used does not connect.
        """
        self.start()
        self.advance(5)
        self.assertEqual(self.endpoint.connected, 0)
        self.quiet()

    def test_w15_nothing_before_the_answer_to_hello(self) -> None:
        """
        A call waits until hello is answered.
        """
        self.server.on_hello = lambda connection: None
        self.server.on_call = answered
        self.start()
        outcome = self.watch(self.shop.look(1))
        self.advance(1)
        self.assertEqual(self.server.frames, [])
        self.server.here.welcome()
        self.pump()
        self.ended(outcome, 7)

    def test_w15_hello_has_5_s(self) -> None:
        """
        A server that does not answer hello is left after five seconds, and the
        error says so.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        outcome = self.watch(self.shop.look(1))
        self.advance(4.9)
        self.assertEqual(outcome.results, [])
        self.advance(0.2)
        error = self.told(outcome, "UNAVAILABLE", "no")
        self.assertIn("hello was not answered within 5 s", error.message)
        self.assertTrue(self.server.here.lost)

    def test_connecting_has_a_time(self) -> None:
        """
        So is one that cannot be connected to in time; the attempt is given up.
        """
        slow = Slow()
        self.start(slow, connect_timeout=3)
        outcome = self.watch(self.shop.look(1))
        self.advance(2.9)
        self.assertEqual(outcome.results, [])
        self.advance(0.2)
        error = self.told(outcome, "UNAVAILABLE", "no")
        self.assertIn("no connection within 3 s", error.message)
        self.assertEqual(slow.cancelled, 1)

    def test_lost_during_hello(self) -> None:
        """
        A server that hangs up instead of answering has not been reached.
        """
        self.server.on_hello = Scripted.close
        self.start()
        outcome = self.watch(self.shop.look(1))
        error = self.told(outcome, "UNAVAILABLE", "no")
        self.assertIn("lost during hello", error.message)

    def test_c9_delays(self) -> None:
        """
        Attempts to connect come 100 ms, then 1.6 times as long after one
        another, as long as a call waits for them.
        """
        self.endpoint.factory = None
        self.start(wait_for_ready=True)
        attempts: list[float] = []
        original = self.endpoint.connect

        def connect(factory: Any) -> Any:
            attempts.append(self.clock.seconds())
            return original(factory)

        self.patch(self.endpoint, "connect", connect)
        self.watch(self.shop.look(1))
        self.advance(2, step=0.001)
        gaps = [later - earlier for earlier, later in pairwise(attempts)]
        for gap, expected in zip(gaps, [0.1, 0.16, 0.256, 0.41, 0.655], strict=False):
            self.assertLess(abs(gap - expected), 0.005)
        self.assertGreaterEqual(len(gaps), 5)

    def test_nobody_waits(self) -> None:
        """
        Where no call waits, nobody connects again.
        """
        connection = self.started()
        connection.drop()
        self.advance(60)
        self.assertEqual(self.endpoint.connected, 1)
        self.quiet()

    def test_fail_fast_then_try_again(self) -> None:
        """
        Calls during the delay between two attempts fail at once; one after it
        waits for the next attempt.
        """
        self.endpoint.factory = None
        self.start()
        self.told(self.watch(self.shop.look(1)), "UNAVAILABLE", "no")
        self.told(self.watch(self.shop.look(2)), "UNAVAILABLE", "no")
        self.endpoint.factory = self.server
        self.server.on_call = answered
        self.told(self.watch(self.shop.look(3)), "UNAVAILABLE", "no")
        self.advance(0.2)
        self.ended(self.watch(self.shop.look(4)), 7)

    def test_a_refusal_that_names_a_time(self) -> None:
        """
        A server that refuses hello for a while is not asked before, nor much later
        (C6).
        """
        self.server.on_hello = lambda each: each.refuse(
            {"request_id": "$hello"}, "RESOURCE_EXHAUSTED", retry_after=3000
        )
        self.start(wait_for_ready=True)
        outcome = self.watch(self.shop.look(1))
        self.advance(2.9)
        self.assertEqual(self.endpoint.connected, 1)
        self.server.on_hello = Scripted.welcome
        self.server.on_call = answered
        self.advance(0.5)
        self.ended(outcome, 7)

    def test_close_while_connecting(self) -> None:
        """
        Closing gives up the attempt, and its calls.
        """
        slow = Slow()
        self.start(slow)
        outcome = self.watch(self.shop.look(1))
        self.client.close()
        self.told(outcome, "UNAVAILABLE", "no")
        self.assertEqual(slow.cancelled, 1)
        self.quiet()

    def test_connected_after_the_close(self) -> None:
        """
        A connection that comes nevertheless is aborted.
        """
        slow = Slow()
        self.start(slow)
        self.watch(self.shop.look(1))
        link = self.client.pool.links[0]
        self.client.close()
        self.network.connect(ClientProtocol(link), self.server.buildProtocol(None))
        self.pump()
        self.assertTrue(self.server.here.lost)
        self.assertIsNone(self.server.here.hello)
        self.quiet()


class RefusalTests(ScriptedCase):
    """
    Servers that refuse hello.
    """

    def refusing(self, code: str, **options: Any) -> Outcome:
        """
        @return: what becomes of a call.
        """
        self.server.on_hello = lambda each: each.refuse(
            {"request_id": "$hello"}, code, text=f"{code}: no"
        )
        self.start(**options)
        return self.watch(self.shop.buy(1))

    def test_w16_never_plain(self) -> None:
        """
        A refusal with C{ext} fails the call with its code, and nothing is sent
        in the plain profile.
        """
        outcome = self.refusing("UNAUTHENTICATED")
        error = self.told(outcome, "UNAUTHENTICATED", "no")
        self.assertTrue(error.remote)
        self.advance(5)
        self.assertEqual(self.server.frames, [])
        self.assertTrue(self.server.here.lost)

    def test_w16_wait_for_ready_does_not_help(self) -> None:
        """
        Nor does waiting: the same hello would be refused again.
        """
        outcome = self.refusing("UNAUTHENTICATED", wait_for_ready=True)
        self.told(outcome, "UNAUTHENTICATED", "no")

    def test_what_passes(self) -> None:
        """
        UNAVAILABLE and RESOURCE_EXHAUSTED may pass: with wait_for_ready a call
        waits.
        """
        outcome = self.refusing("RESOURCE_EXHAUSTED", wait_for_ready=True)
        self.assertEqual(outcome.results, [])
        self.server.on_hello = Scripted.welcome
        self.server.on_call = answered
        self.advance(1)
        self.ended(outcome, 7)

    def test_written_calls(self) -> None:
        """
        Calls that were written before, and cannot be sent again to a server that
        now refuses, end without waiting for their deadline.
        """
        connection = self.started()
        buy, look = self.watch(self.shop.buy(1)), self.watch(self.shop.look(2))
        self.server.on_hello = lambda each: each.refuse(
            {"request_id": "$hello"}, "PERMISSION_DENIED"
        )
        connection.drop()
        self.advance(1)
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")
        self.told(look, "UNAVAILABLE", "unknown")

    def test_w17_what_was_learned_is_a_hint(self) -> None:
        """
        A server that was plain is asked again on the next connection.
        """
        self.server.on_hello = plain
        self.start()
        outcome = self.watch(self.shop.look(1))
        (call,) = self.server.calls
        self.assertNotIn("ext", call)
        self.server.here.reply(call)
        self.pump()
        self.ended(outcome, 7)
        self.server.here.drop()
        self.server.on_hello = Scripted.welcome
        self.server.on_call = answered
        self.advance(1)
        self.ended(self.watch(self.shop.look(2)), 7)
        self.assertEqual(self.server.calls[1]["request_id"], "s1:1")

    def test_a_server_that_becomes_plain(self) -> None:
        """
        The sessions of a server that speaks the plain profile from now on are
        gone: once calls end, and others are asked in the plain profile.
        """
        connection = self.started()
        buy, look = self.watch(self.shop.buy(1)), self.watch(self.shop.look(2))
        self.server.on_hello = plain
        self.server.on_call = lambda each, call: each.reply(call)
        connection.drop()
        self.advance(1)
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")
        self.ended(look, 7)
        self.assertNotIn("ext", self.server.here.calls[0])


class AddressTests(ScriptedCase):
    """
    Several endpoints.
    """

    def servers(self, count: int = 2, **options: Any) -> None:
        """
        Make them, and a client of all.
        """
        self.others = [Server(f"x{n}") for n in range(count)]
        for each in self.others:
            each.on_call = answered
        self.endpoints = [MemoryEndpoint(self.network, each) for each in self.others]
        self.start(self.endpoints, **options)

    def made(self) -> list[int]:
        """
        @return: how many connections went to each.
        """
        return [len(each.connections) for each in self.others]

    def test_the_first_that_answers(self) -> None:
        """
        The first endpoint is used as long as it works.
        """
        self.servers()
        for n in range(3):
            self.ended(self.watch(self.shop.look(n)), 7)
        self.assertEqual(self.made(), [1, 0])

    def test_the_next_at_once(self) -> None:
        """
        If it does not, the next is tried at once, and the call knows nothing.
        """
        self.servers()
        self.endpoints[0].factory = None
        self.ended(self.watch(self.shop.look(1)), 7)
        self.assertEqual(self.made(), [0, 1])

    def test_none_works(self) -> None:
        """
        If none works, the call fails after one attempt at each.
        """
        self.servers(3)
        for each in self.endpoints:
            each.factory = None
        self.told(self.watch(self.shop.look(1)), "UNAVAILABLE", "no")

    def test_a_server_that_drains(self) -> None:
        """
        One that refuses hello because it drains is passed over too.
        """
        self.servers()
        self.others[0].on_hello = lambda each: each.refuse(
            {"request_id": "$hello"}, "UNAVAILABLE", retry_after=0
        )
        self.ended(self.watch(self.shop.look(1)), 7)
        self.assertEqual(len(self.others[1].frames), 1)

    def test_goaway_goes_to_the_next(self) -> None:
        """
        After C{$goaway} the next address is tried first.
        """
        self.servers()
        self.watch(self.shop.look(1))
        self.others[0].here.go_away()
        self.pump()
        self.ended(self.watch(self.shop.look(2)), 7)
        self.assertEqual(self.made(), [1, 1])

    def test_lost_and_gone(self) -> None:
        """
        A server that dies is tried once more, then the next one; calls that may
        run twice are made anew there.
        """
        self.servers(retry=AT_ONCE)
        self.others[0].on_call = lambda connection, call: None
        self.others[1].on_hello = lambda each: each.welcome("x11", resumed=False)
        look = self.watch(self.shop.look(1))
        buy = self.watch(self.shop.buy(1))
        self.others[0].here.drop()
        self.endpoints[0].factory = None
        self.advance(1)
        self.ended(look, 7)
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")


class GoAwayTests(ScriptedCase):
    """
    Servers that drain.
    """

    def test_w28_new_calls_go_elsewhere(self) -> None:
        """
        In the middle of calls: new ones go to a new connection, which resumes
        the session; the old one answers what it has, and is closed then.
        """
        old = self.started()
        running = [self.watch(self.shop.buy(n)) for n in range(3)]
        old.go_away()
        self.pump()
        new = self.server.here
        self.assertIsNot(new, old)
        self.assertEqual((new.hello or {})["session"], "s1")
        later = self.watch(self.shop.buy(9))
        self.assertEqual([call["request_id"] for call in new.calls], ["s1:4"])
        self.assertEqual(len(old.calls), 3)
        for number, call in enumerate(old.calls):
            self.assertFalse(old.lost)
            old.reply(call, number)
            self.pump()
        self.assertTrue(old.lost)
        for number, outcome in enumerate(running):
            self.ended(outcome, number)
        new.reply(new.calls[0])
        self.pump()
        self.ended(later, 7)
        # The ack of the new connection did not pass what was open on the old.
        self.assertEqual(new.calls[0]["ext"]["ack"], 1)

    def test_w28_idle(self) -> None:
        """
        A connection without calls is closed at once, and none is made.
        """
        old = self.started()
        old.go_away()
        self.advance(5)
        self.assertTrue(old.lost)
        self.assertEqual(self.endpoint.connected, 1)
        self.server.on_call = answered
        self.ended(self.watch(self.shop.buy(1)), 7)

    def test_calls_that_crossed_it(self) -> None:
        """
        Calls refused because they crossed C{$goaway} are repeated on the new
        connection, under their ids.
        """
        old = self.started()
        outcomes = [self.watch(self.shop.buy(n)) for n in range(20)]
        self.server.on_call = answered
        old.go_away()
        for call in old.calls:
            old.refuse(call, "UNAVAILABLE", retry_after=0)
        self.pump()
        for outcome in outcomes:
            self.ended(outcome, 7)
        self.assertEqual(
            [call["request_id"] for call in self.server.here.calls],
            [f"s1:{n}" for n in range(1, 21)],
        )
        self.assertTrue(old.lost)
        budget = self.client.pool.budget
        self.assertEqual(budget.tokens, budget.size)

    def test_lost_after_goaway(self) -> None:
        """
        If the old connection is lost, its calls are sent again on the new one.
        """
        old = self.started()
        outcome = self.watch(self.shop.buy(1))
        old.go_away()
        self.pump()
        new = self.server.here
        old.drop()
        self.pump()
        self.assertEqual([call["request_id"] for call in new.calls], ["s1:1"])
        self.assertEqual(new.calls[0]["ext"]["attempt"], 2)
        new.reply(new.calls[0])
        self.pump()
        self.ended(outcome, 7)

    def test_a_server_that_only_goes_away(self) -> None:
        """
        A server that welcomes and goes away, again and again, is asked at most
        as often as one that cannot be reached.
        """

        def unwelcoming(connection: Scripted) -> None:
            connection.welcome()
            connection.go_away()

        self.server.on_hello = unwelcoming
        self.start(wait_for_ready=True, timeout=2.0)
        outcome = Outcome(self.shop.look(1), self.clock)
        for _ in range(300):
            self.network.deliver()
            self.clock.advance(0.01)
        self.assertLess(self.endpoint.connected, 12)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")

    def test_short_connections_that_answer(self) -> None:
        """
        A server that is killed again and again, but answers in between, is
        connected to again at once: it works.
        """
        connection = self.started()
        for number in range(1, 13):
            outcome = self.watch(self.shop.look(number))
            connection.reply(connection.calls[-1])
            self.pump()
            self.ended(outcome, 7)
            connection.drop()
            self.pump()
            waiting = self.watch(self.shop.look(100 + number))
            self.advance(0.2)
            connection = self.server.connections[-1]
            self.assertEqual(self.endpoint.connected, number + 1)
            connection.reply(connection.calls[-1])
            self.pump()
            self.ended(waiting, 7)

    def test_goaway_twice(self) -> None:
        """
        A second one says nothing new.
        """
        old = self.started()
        outcome = self.watch(self.shop.buy(1))
        old.go_away()
        old.go_away()
        self.pump()
        self.assertEqual(self.endpoint.connected, 2)
        old.reply(old.calls[0])
        self.pump()
        self.ended(outcome, 7)


class WindowTests(ScriptedCase):
    """
    The numbers of a session (W19, W20).
    """

    def started_with(self, window: int, inflight: int = 256) -> Scripted:
        """
        Make a client of a server with so small a window.
        """
        self.server.on_hello = lambda each: each.welcome(
            guarantee__window=window, limits__max_inflight=inflight
        )
        return self.started()

    def test_w19_from_1_upwards(self) -> None:
        """
        Each number is given once.
        """
        connection = self.started()
        self.server.on_call = answered
        for n in range(40):
            self.watch(self.shop.look(n))
        self.assertEqual(
            [call["request_id"] for call in connection.calls],
            [f"s1:{n}" for n in range(1, 41)],
        )

    def test_w20_ack(self) -> None:
        """
        C{ack} is never above a call that may be sent again, and follows.
        """
        connection = self.started()
        self.watch(self.shop.buy(0))
        for n in range(40):
            self.watch(self.shop.look(n))
            connection.reply(connection.calls[-1])
            self.pump()
        self.assertEqual({call["ext"]["ack"] for call in connection.calls}, {1})
        connection.reply(connection.calls[0])
        for n in range(40):
            self.watch(self.shop.look(n))
            connection.reply(connection.calls[-1])
            self.pump()
        self.assertGreater(connection.calls[-1]["ext"]["ack"], 60)

    def test_w20_nothing_at_or_above_ack_and_window(self) -> None:
        """
        While one old call is open, numbers at or above ack + window are not
        sent; new calls go on in another session, on another connection, which
        ends with the old call.
        """
        first = self.started_with(8)
        old = self.watch(self.shop.buy(0))
        answers = []
        for n in range(1, 20):
            answers.append(self.watch(self.shop.look(n)))
            connection = self.server.here
            connection.reply(connection.calls[-1])
            self.pump()
        for outcome in answers:
            self.ended(outcome, 7)
        for call in self.server.calls:
            seq = int(call["request_id"].partition(":")[2])
            self.assertLess(seq, call["ext"]["ack"] + 8)
        second = self.server.here
        self.assertIsNot(first, second)
        self.assertNotIn("session", second.hello or {})
        self.assertFalse(first.lost)
        first.reply(first.calls[0])
        self.pump()
        self.ended(old, 7)
        self.assertTrue(first.lost)
        self.assertFalse(second.lost)

    def test_not_more_than_eight_old_sessions(self) -> None:
        """
        A session for each old call would have no bound: beyond eight of them,
        calls wait.
        """
        self.started_with(2)
        self.server.on_call = lambda connection, call: (
            connection.reply(call) if call["method"] == "look" else None
        )
        looks = []
        for _ in range(12):
            self.watch(self.shop.buy(0))
            looks.append(self.watch(self.shop.look(1)))
        self.assertEqual(self.endpoint.connected, 9)
        self.assertEqual(len(self.client.pool.retired), 8)
        self.assertGreater(len(self.client.pool.queue), 0)
        first = self.server.connections[0]
        first.reply(first.calls[0])
        self.pump()
        self.assertEqual(self.endpoint.connected, 10)
        self.client.close()
        self.pump()
        self.quiet()

    def test_max_inflight(self) -> None:
        """
        Not more calls are open on a connection than the server takes; the rest
        wait their turn, in order.
        """
        connection = self.started_with(1024, inflight=4)
        outcomes = [self.watch(self.shop.buy(n)) for n in range(10)]
        self.assertEqual(len(connection.calls), 4)
        for n in range(10):
            connection.reply(connection.calls[n], n)
            self.pump()
            self.assertLessEqual(len(connection.calls), n + 5)
        for n, outcome in enumerate(outcomes):
            self.ended(outcome, n)
        self.assertEqual(
            [call["params"][0] for call in connection.calls], list(range(10))
        )

    def test_max_inflight_after_a_reconnection(self) -> None:
        """
        Nor are more sent again, if the server takes fewer now.
        """
        connection = self.started()
        outcomes = [self.watch(self.shop.buy(n)) for n in range(10)]
        self.server.on_hello = lambda each: each.welcome(limits__max_inflight=4)
        connection.drop()
        self.advance(0.2)
        new = self.server.here
        self.assertEqual(len(new.calls), 4)
        for n in range(10):
            new.reply(new.calls[n], n)
            self.advance(0.05)
        for n, outcome in enumerate(outcomes):
            self.ended(outcome, n)

    def test_ack_alone(self) -> None:
        """
        When there is nothing to send, the server is told by C{$rpc.ack} what it
        need not keep, once.
        """
        connection = self.started()
        for n in range(5):
            self.watch(self.shop.buy(n))
            connection.reply(connection.calls[-1])
            self.pump()
        self.assertEqual(connection.controls, [])
        self.advance(3)
        (ack,) = connection.controls
        self.assertEqual((ack["method"], ack["params"]), ("ack", [6]))
        self.advance(30)
        self.assertEqual(len(connection.controls), 1)

    def test_no_ack_alone_while_calls_are_made(self) -> None:
        """
        As long as calls come, they carry it.
        """
        connection = self.started()
        self.server.on_call = answered
        for n in range(60):
            self.watch(self.shop.look(n))
            self.advance(0.1)
        self.assertEqual(connection.controls, [])

    def test_no_ack_alone_while_one_is_open(self) -> None:
        """
        While the oldest call is open there is nothing to tell.
        """
        connection = self.started()
        self.watch(self.shop.buy(1))
        self.watch(self.shop.buy(2))
        connection.reply(connection.calls[1])
        self.advance(10)
        self.assertEqual(connection.controls, [])

    def test_ack_alone_of_a_part(self) -> None:
        """
        What is finished before the oldest open call is told.
        """
        connection = self.started()
        for n in range(3):
            self.watch(self.shop.buy(n))
        for call in connection.calls[:2]:
            connection.reply(call)
        self.advance(3)
        self.assertEqual([each["params"] for each in connection.controls], [[3]])


class ResendTests(ScriptedCase):
    """
    After a reconnection.
    """

    def test_c9_in_the_order_of_seq_and_paced(self) -> None:
        """
        Calls are sent again in the order of their numbers, at most 64 a turn.
        """
        connection = self.started()
        outcomes = [self.watch(self.shop.buy(n)) for n in range(150)]
        connection.drop()
        self.network.deliver()
        sent: list[int] = []
        while self.server.here is connection or len(self.server.here.calls) < 150:
            self.clock.advance(0.02)
            sent.append(len(self.server.here.calls))
            # Nothing leaves between two turns of the reactor.
            while self.network.deliver():
                pass
            sent.append(len(self.server.here.calls))
        self.assertIn(64, sent)
        new = self.server.here
        self.assertEqual(
            [call["request_id"] for call in new.calls],
            [f"s1:{n}" for n in range(1, 151)],
        )
        for call in new.calls:
            new.reply(call)
        self.pump()
        for outcome in outcomes:
            self.ended(outcome, 7)

    def test_c9_one_failure(self) -> None:
        """
        A lost connection is one failure for the budget, however many calls it
        held; two, if it held some that had been lost before.
        """
        connection = self.started()
        for n in range(50):
            self.watch(self.shop.buy(n))
        budget = self.client.pool.budget
        connection.drop()
        self.advance(0.5)
        self.assertEqual(budget.tokens, budget.size - 1)
        self.assertEqual(len(self.server.here.calls), 50)
        self.server.here.drop()
        self.advance(0.5)
        self.assertEqual(budget.tokens, budget.size - 3)
        self.assertEqual(len(self.server.here.calls), 50)

    def test_w21_written_calls_wait_whatever_wait_for_ready_says(self) -> None:
        """
        A written call waits for the reconnection, which may take a while.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        self.endpoint.factory = None
        connection.drop()
        self.advance(10)
        self.assertEqual(outcome.results, [])
        self.told(self.watch(self.shop.buy(2)), "UNAVAILABLE", "no")
        self.endpoint.factory = self.server
        self.server.on_call = answered
        self.advance(10)
        self.ended(outcome, 7)

    def test_until_the_deadline(self) -> None:
        """
        If the server does not come back, the call ends at its deadline, and
        nobody knows whether it ran.
        """
        connection = self.started(timeout=3.0)
        start = self.clock.seconds()
        outcome = self.watch(self.shop.buy(1))
        self.endpoint.factory = None
        connection.drop()
        self.advance(4)
        self.told(outcome, "DEADLINE_EXCEEDED", "unknown")
        assert outcome.at is not None
        self.assertLessEqual(outcome.at - start, 3.05)

    def test_calls_that_are_not_attempted_again(self) -> None:
        """
        A call whose policy allows no further attempt ends when its connection is
        lost; it does not wait for the next.
        """
        connection = self.started()
        self.endpoint.factory = None
        once = with_options(self.shop, retry=NO_RETRY)
        buy, look = self.watch(once.buy(1)), self.watch(once.look(1))
        connection.drop()
        self.pump()
        self.told(buy, "OUTCOME_UNKNOWN", "unknown")
        self.told(look, "UNAVAILABLE", "unknown")
        self.client.close()
        self.pump()
        self.quiet()

    def test_a_spent_budget(self) -> None:
        """
        Nor do calls wait if the budget is spent.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        self.client.pool.budget.tokens = 3.0
        connection.drop()
        self.pump()
        self.told(outcome, "OUTCOME_UNKNOWN", "unknown")

    def test_lost_again_while_sending_again(self) -> None:
        """
        A connection that is lost while calls are sent again leaves the rest to
        the next one.
        """
        connection = self.started(retry=RetryPolicy(max_attempts=5))
        outcomes = [self.watch(self.shop.buy(n)) for n in range(100)]
        seen: list[Message] = []

        def killed(each: Scripted, call: Message) -> None:
            seen.append(call)
            if len(seen) == 10:
                self.server.on_call = answered
                each.drop()

        self.server.on_call = killed
        connection.drop()
        self.advance(2)
        for outcome in outcomes:
            self.ended(outcome, 7)

    def test_too_big_when_sent_again(self) -> None:
        """
        A server that takes less than before is not sent what it refuses.
        """
        connection = self.started()
        outcome = self.watch(self.shop.name("x" * 3000))
        self.server.on_hello = lambda each: each.welcome(limits__max_frame=2000)
        connection.drop()
        self.advance(1)
        self.told(outcome, "RESOURCE_EXHAUSTED", "unknown")
        self.assertEqual(len(self.server.frames), 1)

    def test_close_while_sending_again(self) -> None:
        """
        Closing in the middle leaves no timer.
        """
        connection = self.started()
        outcomes = [self.watch(self.shop.buy(n)) for n in range(100)]
        connection.drop()
        (link,) = self.client.pool.links
        while link.retrying._sending is None:
            self.clock.advance(0.01)
            self.network.deliver()
        self.client.close()
        self.pump()
        for outcome in outcomes:
            self.told(outcome, "OUTCOME_UNKNOWN", "unknown")
        self.advance(2)
        self.quiet()

    def test_another_loss_meanwhile(self) -> None:
        """
        What is lost with an old connection in the middle takes its turn.
        """
        old = self.started()
        first = self.watch(self.shop.buy(0))
        old.go_away()
        self.pump()
        middle = self.server.here
        outcomes = [self.watch(self.shop.buy(n)) for n in range(1, 150)]
        self.server.on_call = answered
        middle.drop()
        (link,) = self.client.pool.links
        while link.retrying._sending is None:
            self.clock.advance(0.01)
            self.network.deliver()
        old.drop()
        self.network.deliver()
        self.advance(1)
        for outcome in (first, *outcomes):
            self.ended(outcome, 7)
        self.assertEqual(len(self.server.here.calls), 150)


class ReentryTests(ScriptedCase):
    """
    Callers that do something to other calls as theirs ends.
    """

    def cancelling(self, other: Any) -> Any:
        """
        @return: an errback that cancels C{other}, whose own failure is kept.
        """
        other.addErrback(lambda _: None)

        def errback(_: Failure) -> None:
            other.cancel()

        return errback

    def test_when_the_connection_is_lost(self) -> None:
        """
        A call that another's errback cancels is not failed a second time.
        """
        connection = self.started(retry=NO_RETRY)
        first, second = self.shop.buy(1), self.shop.buy(2)
        first.addErrback(self.cancelling(second))
        self.pump()
        connection.drop()
        self.advance(1)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_when_they_are_sent_again(self) -> None:
        """
        Nor is it sent again.
        """
        connection = self.started(timeout=10.0)
        shop = with_options(self.shop)
        shop._rpc_targets["buy"].median = 4.0
        first, second = shop.buy(1), self.shop.look(2)
        first.addErrback(self.cancelling(second))
        self.pump()
        self.advance(7)
        connection.drop()
        self.advance(1)
        self.successResultOf(first)
        self.assertEqual(len(self.server.frames), 2)

    def test_when_the_session_has_ended(self) -> None:
        """
        Nor made anew.
        """
        connection = self.started()
        first, second = self.shop.buy(1), self.shop.look(2)
        first.addErrback(self.cancelling(second))
        self.pump()
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        connection.drop()
        self.advance(1)
        self.successResultOf(first)
        self.assertEqual(len(self.server.frames), 2)

    def test_when_nobody_can_be_reached(self) -> None:
        """
        Nor failed while it waits.
        """
        self.server.on_hello = lambda connection: None
        self.start()
        first, second = self.shop.buy(1), self.shop.buy(2)
        first.addErrback(self.cancelling(second))
        self.pump()
        self.endpoint.factory = None
        self.server.here.drop()
        self.pump()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_an_id_of_two_sessions(self) -> None:
        """
        A server that gives the id of a session that it has forgotten to a new one
        does not get what was sent in the old one: it could run again.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        self.server.on_hello = lambda each: each.welcome("s1", resumed=False)
        connection.drop()
        self.advance(0.5)
        self.assertEqual(len(self.server.frames), 1)
        self.assertGreater(self.client.counters()["broken"], 0)
        self.server.on_hello = Scripted.welcome
        self.advance(5)
        self.assertEqual(self.ids(), ["s1:1", "s1:1"])
        self.server.here.reply(self.server.here.calls[0])
        self.pump()
        self.ended(outcome, 7)

    def test_when_a_question_has_no_answer(self) -> None:
        """
        A call that is made as a question fails, because the connection was lost,
        is not written to that connection.
        """
        connection = self.started(retry=NO_RETRY)
        self.server.answers_controls = False
        asked = self.client.ping().addErrback(lambda _: self.shop.buy(1))
        self.pump()
        connection.drop()
        self.server.on_call = answered
        self.advance(1)
        self.assertEqual(self.successResultOf(asked), 7)
        self.assertEqual(self.ids(), ["s1:1"])

    def test_when_a_plain_client_is_closed(self) -> None:
        """
        A call that is being asked may be given up by who waited to ask again.
        """
        self.server.on_hello = plain
        patient = RetryPolicy(initial=2.0, chance=lambda: 1.0)
        self.start(max_connections=1, retry=patient)
        first = self.shop.look(1)
        self.pump()
        self.server.here.drop()
        second = self.shop.buy(2)
        self.advance(0.5)
        first.addErrback(self.cancelling(second))
        self.assertEqual(len(self.server.frames), 2)
        closed = self.client.close()
        self.advance(2)
        self.successResultOf(closed)
        self.successResultOf(first)
        self.successResultOf(second)
        self.quiet()

    def test_when_a_plain_call_is_late(self) -> None:
        """
        A call whose time is up may be given up by who cannot be asked after it.
        """
        self.server.on_hello = plain
        self.start(max_connections=1)
        late = with_options(self.shop, timeout=0.5).buy(1)
        outcome = self.watch(late)
        self.endpoint.factory = None
        behind = self.shop.buy(2)
        behind.addErrback(lambda _: late.cancel())
        self.advance(1)
        self.assertEqual(len(outcome.results), 1)
        self.successResultOf(behind)


class RetiredTests(ScriptedCase):
    """
    A session that ends with its last call.
    """

    def retired(self, **options: Any) -> tuple[Scripted, Outcome]:
        """
        @return: the connection and the open call of a session whose window is
            full; new calls have another.
        """
        self.server.on_hello = lambda each: each.welcome(guarantee__window=2)
        connection = self.started(**options)
        old = self.watch(self.shop.buy(0))
        for n in range(2):
            self.watch(self.shop.look(n))
            self.server.here.reply(self.server.here.calls[-1])
            self.pump()
        self.assertEqual(len(self.client.pool.retired), 1)
        return connection, old

    def test_not_reached(self) -> None:
        """
        That it cannot connect again is no matter for new calls.
        """
        connection, old = self.retired(timeout=3.0)
        new = self.server.here
        self.endpoint.factory = None
        connection.drop()
        self.advance(1)
        outcome = self.watch(self.shop.look(5))
        new.reply(new.calls[-1])
        self.pump()
        self.ended(outcome, 7)
        self.advance(3)
        self.told(old, "DEADLINE_EXCEEDED", "unknown")
        self.assertEqual(self.client.pool.retired, {})

    def test_refused_for_good(self) -> None:
        """
        If hello is refused now, what flies on a connection that goes away may
        still be answered there; what does not, ends.
        """
        connection, old = self.retired()
        self.server.on_hello = lambda each: each.refuse(
            {"request_id": "$hello"}, "PERMISSION_DENIED"
        )
        connection.go_away()
        self.advance(1)
        self.assertEqual(old.results, [])
        connection.reply(connection.calls[0], 5)
        self.advance(1)
        self.ended(old, 5)
        self.assertEqual(self.client.pool.retired, {})
        self.assertTrue(connection.lost)

    def test_its_last_call_goes_elsewhere(self) -> None:
        """
        It ends too when its last call is made anew in the other session.
        """
        connection, old = self.retired(retry=AT_ONCE)
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=500)
        self.pump()
        self.server.on_hello = lambda each: each.welcome("x", resumed=False)
        self.server.on_call = answered
        connection.drop()
        self.advance(1)
        self.ended(old, 7)
        self.assertEqual(self.client.pool.retired, {})
        self.client.close()
        self.advance(2)
        self.quiet()

    def test_nothing_left_to_send_again(self) -> None:
        """
        Or when there is no time left for it after a reconnection.
        """
        connection, old = self.retired(timeout=10.0)
        for call in self.client.pool.retired.copy().popitem()[0].pending.values():
            call.target.median = 4.0
        self.advance(7)
        connection.drop()
        self.advance(1)
        self.told(old, "OUTCOME_UNKNOWN", "unknown")
        self.assertEqual(self.client.pool.retired, {})


class PermanentTests(ScriptedCase):
    """
    Endpoints that fail in their own way.
    """

    def test_any_failure_to_connect(self) -> None:
        """
        Whatever an endpoint fails with, the call fails with UNAVAILABLE and its
        words.
        """
        slow = Slow()
        self.start(slow)
        outcome = self.watch(self.shop.look(1))
        slow.attempts[0].errback(Failure(ConnectError(string="no route to host")))
        self.pump()
        error = self.told(outcome, "UNAVAILABLE", "no")
        self.assertIn("no route to host", error.message)
        self.assertIs(error.code, Code.UNAVAILABLE)
        self.assertIsInstance(error, RPCError)

    def test_connected_after_all(self) -> None:
        """
        A connection of an endpoint that goes on with what was given up is closed,
        and the one that is used stays in use.
        """
        late: list[Any] = []

        class Careless(Slow):
            def connect(self, protocolFactory: Any) -> Any:
                late.append(protocolFactory)
                return super().connect(protocolFactory)

        self.server.on_call = answered
        self.start([Careless(), self.endpoint], connect_timeout=1.0)
        outcome = self.watch(self.shop.look(1))
        self.advance(1.1)
        self.ended(outcome, 7)
        address: Any = None
        self.network.connect(
            late[0].buildProtocol(address), self.server.buildProtocol(address)
        )
        self.pump()
        self.assertEqual([each.lost for each in self.server.connections], [False, True])
        self.ended(self.watch(self.shop.look(2)), 7)
        self.assertEqual(self.ids(), ["s1:1", "s1:2"])
        closed = self.client.close()
        self.advance(2)
        self.successResultOf(closed)
        self.quiet()
