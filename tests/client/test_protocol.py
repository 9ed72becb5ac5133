"""
Tests for L{twisted_rpc.client.protocol}: frames of servers that misbehave, and
silence.
"""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.failure import Failure

from tests.client.scripted import Outcome, Scripted, ScriptedCase, answered
from twisted_rpc import Limits, RPCError


class StrayTests(ScriptedCase):
    """
    C12: a reply is matched by its id only.
    """

    def test_c12_unknown_replies(self) -> None:
        """
        A reply to a call that was never made is counted and dropped.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        connection.reply({"request_id": "s1:99"}, 5)
        connection.refuse({"request_id": "nobody's"}, "INTERNAL")
        connection.reply({"request_id": "$77"})
        self.pump()
        self.assertEqual(outcome.results, [])
        self.assertEqual(self.client.pool.counters.strays, 3)
        connection.reply(connection.calls[0])
        self.pump()
        self.ended(outcome, 7)

    def test_c12_doubled_replies(self) -> None:
        """
        Of two replies the first counts.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        connection.reply(connection.calls[0], 1)
        connection.reply(connection.calls[0], 2)
        self.pump()
        self.ended(outcome, 1)
        self.assertEqual(self.client.pool.counters.strays, 1)

    def test_c12_doubled_errors(self) -> None:
        """
        Of two refusals the first makes a retry, and the second none.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        for _ in range(2):
            connection.refuse(
                connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=100
            )
        self.advance(0.5)
        self.assertEqual(len(connection.calls), 2)
        self.assertEqual(self.client.pool.counters.strays, 1)
        connection.reply(connection.calls[1])
        self.pump()
        self.ended(outcome, 7)
        self.client.close()
        self.pump()
        self.quiet()

    def test_c12_a_result_overtakes_a_retry(self) -> None:
        """
        A result that comes after a refusal ends the call all the same.
        """
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        connection.refuse(connection.calls[0], "RESOURCE_EXHAUSTED", retry_after=100)
        connection.reply(connection.calls[0], 3)
        self.advance(0.5)
        self.ended(outcome, 3)
        self.assertEqual(len(connection.calls), 1)

    def test_replies_in_any_order(self) -> None:
        """
        Calls are answered in whatever order the server likes.
        """
        connection = self.started()
        outcomes = [self.watch(self.shop.buy(n)) for n in range(5)]
        for n in (3, 1, 4, 0, 2):
            connection.reply(connection.calls[n], n)
        self.pump()
        for n, outcome in enumerate(outcomes):
            self.ended(outcome, n)


class GarbageTests(ScriptedCase):
    """
    Servers that break the protocol.
    """

    def broken(self, *frames: bytes, name: str = "buy") -> Outcome:
        """
        Answer a call with C{frames}; the connection is given up.
        """
        connection = self.started()
        outcome = self.watch(getattr(self.shop, name)(1))
        for frame in frames:
            connection.send_raw(frame)
        self.pump()
        self.assertTrue(connection.lost, frames)
        return outcome

    def test_what_cannot_be_read(self) -> None:
        """
        What is no reply ends the connection, and the call goes on over another,
        under its id.
        """
        for garbage in (
            b"{",
            b"[]",
            b"null",
            b"\xff",
            b'{"result":1}',
            b'{"request_id":"s1:1","result":1,"ext":7}',
            b"[" * 100_000,
        ):
            outcome = self.broken(garbage)
            self.server.on_call = answered
            self.advance(0.5)
            self.ended(outcome, 7)
            self.assertEqual(len(set(self.ids())), 1)
            self.setUp()

    def test_figure_beyond_all_others(self) -> None:
        """
        The same goes for a pause that no number holds.
        """
        frame = (
            b'{"request_id":"s1:1","error":"x","ext":{"code":"UNAVAILABLE",'
            b'"retry_after":1%b}}' % (b"0" * 400)
        )
        outcome = self.broken(frame)
        self.server.on_call = answered
        self.advance(0.5)
        self.ended(outcome, 7)

    def test_members_that_cannot_be_read(self) -> None:
        """
        An error whose members are none ends the call, without them.
        """
        for data in (b'{"a":"\xff"}', b'{"a":1e999}', b"7"):
            connection = self.started()
            outcome = self.watch(self.shop.buy(1))
            connection.send_raw(
                b'{"request_id":"s1:1","error":"x","ext":{"code":"ABORTED",'
                b'"executed":"yes","type":"Broke","data":%b}}' % data
            )
            self.pump()
            error = self.told(outcome, "ABORTED", "yes")
            self.assertEqual((error.type, error.data), ("Broke", None))
            self.setUp()

    def test_control_answer_that_cannot_be_read(self) -> None:
        """
        A control call whose answer is no JSON fails as one without an answer.
        """
        self.server.answers_controls = False
        connection = self.started()
        for garbage in (b'"\xff"', b"1e999"):
            outcome = self.watch(self.client.health())
            connection = self.server.here
            connection.send_raw(
                b'{"request_id":"%b","result":%b}'
                % (connection.controls[-1]["request_id"].encode(), garbage)
            )
            self.pump()
            self.told(outcome, "UNAVAILABLE", "unknown")
            self.advance(0.5)

    def test_control_refused(self) -> None:
        """
        A control call that the server refuses fails so.
        """
        self.server.answers_controls = False
        connection = self.started()
        outcome = self.watch(self.client.reflect("Nothing"))
        connection.refuse(connection.controls[-1], "NOT_FOUND")
        self.pump()
        self.told(outcome, "NOT_FOUND", "no")

    def test_goaway_that_cannot_be_read(self) -> None:
        """
        A notice without its members breaks the protocol.
        """
        self.broken(b'{"request_id":"$goaway","result":{"reason":7}}')
        self.setUp()
        self.broken(b'{"request_id":"$goaway","result":{"reason":"\xff","grace":1}}')

    def test_unknown(self) -> None:
        """
        A server that could not read a frame does not say of which call; the
        connection is given up.
        """
        self.broken(b'{"request_id":"unknown","error":"Invalid request: what?"}')
        self.setUp()
        self.broken(b'{"request_id":"unknown","result":3}')

    def test_frame_above_the_limit(self) -> None:
        """
        A frame above what hello told is not read.
        """
        connection = self.started(limits=Limits(max_frame=1024))
        self.assertEqual((connection.hello or {})["limits"], {"max_frame": 1024})
        self.watch(self.shop.buy(1))
        assert connection.transport is not None
        connection.transport.write(struct.pack("!I", 1025))
        self.pump()
        self.assertTrue(connection.lost)
        self.assertEqual(self.client.counters()["broken"], 1)

    def test_frame_that_never_ends(self) -> None:
        """
        A frame that is begun and not finished ends the connection.
        """
        connection = self.started()
        assert connection.transport is not None
        connection.transport.write(struct.pack("!I", 100) + b"{")
        self.advance(9, step=0.5)
        self.assertFalse(connection.lost)
        self.advance(4, step=0.5)
        self.assertTrue(connection.lost)

    def test_server_that_does_not_read(self) -> None:
        """
        A server that takes nothing for 30 s is given up; what was meant for it
        ends.
        """
        connection = self.started()
        end: Any = connection.transport
        end.pauseProducing()
        shop = self.client.proxy(self.shop._rpc_service, timeout=20)
        outcomes = [self.watch(shop.name("x" * 50_000)) for _ in range(10)]
        self.advance(21, step=0.5)
        for outcome in outcomes:
            self.told(outcome, "DEADLINE_EXCEEDED", "unknown")
        self.advance(12, step=0.5)
        self.assertTrue(connection.lost)

    def test_hello_answered_with_garbage(self) -> None:
        """
        A server whose welcome cannot be used cannot be reached.
        """

        def nonsense(**changes: Any) -> Any:
            return lambda connection: connection.welcome(**changes)

        for on_hello in (
            nonsense(version=2),
            nonsense(session="not legal"),
            nonsense(session="s" * 65),
            nonsense(software="\udcff"),
            nonsense(guarantee=7),
            nonsense(guarantee__window=0),
            nonsense(limits__max_inflight=0),
            nonsense(ping=-1),
            lambda connection: connection.send_raw(b"{"),
            lambda connection: connection.reply({"request_id": "s1:1"}),
            lambda connection: connection.send_raw(
                b'{"request_id":"$hello","result":{"version":"\xff"}}'
            ),
            Scripted.drop,
            Scripted.close,
        ):
            self.setUp()
            self.server.on_hello = on_hello
            self.start()
            outcome = self.watch(self.shop.buy(1))
            error = self.told(outcome, "UNAVAILABLE", "no")
            self.assertIn("lost during hello", error.message)

    def test_reply_after_a_refusal(self) -> None:
        """
        Nothing may come after a refusal of hello.
        """

        def refuse(connection: Scripted) -> None:
            connection.refuse({"request_id": "$hello"}, "UNAUTHENTICATED")
            connection.reply({"request_id": "s1:1"})

        self.server.on_hello = refuse
        self.start()
        outcome = self.watch(self.shop.buy(1))
        self.told(outcome, "UNAUTHENTICATED", "no")

    @settings(max_examples=150, deadline=None)
    @given(
        st.one_of(
            st.binary(min_size=1, max_size=60),
            st.builds(
                lambda head, tail: head + tail,
                st.sampled_from(
                    [
                        b'{"request_id":"s1:1",',
                        b'{"request_id":"$goaway",',
                        b'{"request_id":"$1","result":',
                        b'{"request_id":"s1:1","error":"x","ext":{"code":',
                        b'{"request_id":"s1:1","result":',
                    ]
                ),
                st.binary(max_size=40),
            ),
        )
    )
    def test_any_frame(self, frame: bytes) -> None:
        """
        Whatever a server sends, nothing is raised and every call ends typed.
        """
        self.setUp()
        connection = self.started()
        outcome = self.watch(self.shop.buy(1))
        connection.send_raw(frame)
        self.server.on_call = answered
        self.pump()
        if not connection.lost:
            connection.reply(connection.calls[0])
        self.advance(0.2)
        self.assertEqual(len(outcome.results), 1)
        result = outcome.results[0]
        if isinstance(result, Failure):
            self.assertIsInstance(result.value, RPCError)
        self.client.close()


class PingTests(ScriptedCase):
    """
    Keeping a connection alive: W29.
    """

    def pinged(self, interval: float = 10.0, agreed: int | None = None) -> Scripted:
        """
        A client that pings.
        """
        self.server.on_hello = lambda each: each.welcome(
            ping=round(interval * 1000) if agreed is None else agreed
        )
        connection = self.started(ping=interval)
        self.assertEqual((connection.hello or {})["ping"], interval * 1000)
        return connection

    def test_w29_interval(self) -> None:
        """
        An idle connection is pinged once an interval.
        """
        connection = self.pinged()
        self.advance(35, step=0.5)
        methods = [each["method"] for each in connection.controls]
        self.assertEqual(methods, ["ping"] * 3)
        self.assertEqual(self.client.counters()["pings"], 3)
        self.assertFalse(connection.lost)

    def test_w29_the_larger_interval(self) -> None:
        """
        The agreed interval is the larger one, whatever the server says.
        """
        connection = self.pinged(10, agreed=20000)
        self.advance(35, step=0.5)
        self.assertEqual(len(connection.controls), 1)
        self.setUp()
        connection = self.pinged(10, agreed=1)
        self.advance(15, step=0.5)
        self.assertEqual(len(connection.controls), 1)

    def test_w29_silence(self) -> None:
        """
        A server that sends nothing for 20 s after a ping is given up, however
        short the interval is; its calls are attempts without an answer.
        """
        for interval in (10.0, 15.0, 30.0):
            self.setUp()
            self.server.answers_controls = False
            connection = self.pinged(interval)
            shop = self.client.proxy(self.shop._rpc_service, timeout=90)
            outcome = self.watch(shop.buy(1))
            self.advance(interval + 19, step=0.5)
            self.assertFalse(connection.lost)
            self.server.on_call = answered
            self.advance(4, step=0.5)
            self.assertTrue(connection.lost)
            self.assertEqual(self.client.counters()["ping_timeouts"], 1)
            self.ended(outcome, 7)

    def test_w29_any_frame_is_a_sign_of_life(self) -> None:
        """
        A server that answers calls and no pings lives.
        """
        self.server.answers_controls = False
        self.server.on_call = answered
        connection = self.pinged()
        for _ in range(6):
            self.watch(self.shop.buy(1))
            self.advance(10, step=0.5)
        self.assertFalse(connection.lost)

    def test_no_ping(self) -> None:
        """
        Without an agreed interval there is none.
        """
        connection = self.started()
        self.advance(100, step=1)
        self.assertEqual(connection.controls, [])

    def test_ping_by_hand(self) -> None:
        """
        A user may ask for a sign of life, and learns that the connection is lost.
        """
        connection = self.started()
        self.ended(self.watch(self.client.ping()), {"state": "cancelled"})
        self.server.answers_controls = False
        outcome = self.watch(self.client.ping())
        connection.drop()
        self.pump()
        self.told(outcome, "UNAVAILABLE", "unknown")
