"""
How things fail.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.errors import Aborted, Code, NotFound, RPCError, refusal


class ConstructionTests(SynchronousTestCase):
    """
    Making an L{RPCError}.
    """

    def test_message_alone(self) -> None:
        """
        A class that names its code needs no more than the message.
        """
        error = NotFound("no such book")
        self.assertEqual((error.code, error.message), (Code.NOT_FOUND, "no such book"))

    def test_code_and_message(self) -> None:
        """
        A code makes an instance of its class.
        """
        error = RPCError(Code.ABORTED, "a conflict")
        self.assertIsInstance(error, Aborted)
        self.assertEqual((error.code, error.message), (Code.ABORTED, "a conflict"))

    def test_message_in_place_of_the_code(self) -> None:
        """
        Without a code there is nothing to tell the caller: that is said where the
        mistake is made.
        """
        with self.assertRaises(TypeError) as caught:
            RPCError("no such book")
        self.assertEqual(
            str(caught.exception),
            "RPCError takes a Code and a message, not 'no such book'",
        )
        self.assertRaises(TypeError, NotFound, "NOT_FOUND", "no such book")


class ShownTests(SynchronousTestCase):
    """
    What a person sees of an error.
    """

    def test_code_once(self) -> None:
        """
        The code stands there once, also where the sentence on the wire names it.
        """
        for error, text, shown in (
            (
                refusal(Code.RESOURCE_EXHAUSTED, "calls wait"),
                "RESOURCE_EXHAUSTED: calls wait",
                "<ResourceExhausted RESOURCE_EXHAUSTED 'calls wait', executed=no>",
            ),
            (
                RPCError(Code.NOT_FOUND, "no account"),
                "NOT_FOUND: no account",
                "<NotFound NOT_FOUND 'no account', executed=yes>",
            ),
            (
                RPCError(Code.ABORTED),
                "ABORTED",
                "<Aborted ABORTED '', executed=yes>",
            ),
        ):
            self.assertEqual((str(error), repr(error)), (text, shown))
