"""
Tests that no server can hang, break or fill the memory of a client.
"""

from __future__ import annotations

from typing import Any

from tests.client.scripted import Scripted, ScriptedCase, answered
from twisted_rpc.structure import MAX_STRUCTURE

#: More of the marks of structure than a message may hold.
WIDE: list[list[int]] = [[]] * MAX_STRUCTURE


class HostileServerTests(ScriptedCase):
    """
    What a server says that means no good.
    """

    def test_never_again(self) -> None:
        """
        A server that refuses hello for ever is asked again after 30 s, as one is
        that does not answer.
        """
        self.server.on_hello = lambda each: each.refuse(
            {"request_id": "$hello"}, "RESOURCE_EXHAUSTED", retry_after=2**53 - 1
        )
        self.start()
        self.told(self.watch(self.shop.look(1)), "RESOURCE_EXHAUSTED", "no")
        self.server.on_hello = Scripted.welcome
        self.server.on_call = answered
        self.advance(37, step=1)
        self.ended(self.watch(self.shop.look(1)), 7)

    def test_wide_welcome(self) -> None:
        """
        An answer to hello that would cost too much to read is not read.
        """
        self.server.on_hello = lambda each: each.welcome(
            schema={str(n): "" for n in range(MAX_STRUCTURE)}
        )
        self.start(wire="extended")
        error = self.told(self.watch(self.shop.look(1)), "UNAVAILABLE", "no")
        self.assertIn("during hello", error.message)
        self.assertEqual(self.client.counters()["broken"], 1)

    def test_wide_answers(self) -> None:
        """
        Nor is what a control call is answered with ...
        """
        connection = self.started()
        self.server.answers_controls = False
        outcome = self.watch(self.client.reflect())
        connection.reply(connection.controls[-1], WIDE)
        self.pump()
        error = self.told(outcome, "RESOURCE_EXHAUSTED", "yes")
        self.assertIn("50000", error.message)
        self.assertFalse(connection.lost)

    def test_wide_errors(self) -> None:
        """
        ... nor what is said about an error.
        """

        def refuse(connection: Scripted, call: dict[str, Any]) -> None:
            connection.refuse(call, "INTERNAL", "yes", type="Other", data={"a": WIDE})

        self.server.on_call = refuse
        self.start()
        error = self.told(self.watch(self.shop.look(1)), "INTERNAL", "yes")
        self.assertIsNone(error.data)

    def test_unanswered_controls(self) -> None:
        """
        One that answers no control calls makes the client keep nothing of those
        that it only tells: a cancel, an ack.
        """
        connection = self.started()
        self.server.answers_controls = False
        for _ in range(50):
            call = self.shop.look(1)
            call.addErrback(lambda _: None)
            self.pump()
            call.cancel()
            self.pump()
        self.advance(3)
        told = {each["method"] for each in connection.controls}
        self.assertEqual(told, {"cancel", "ack"})
        (protocol,) = self.client.pool.protocols
        self.assertEqual(len(protocol._controls), 0)
