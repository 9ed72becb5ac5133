"""
Tests for many clients of a server that is in trouble (rows 16 and 19 of the
scorecard).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.client.scripted import Scripted
from tests.client.storms import Answer, Storm


def refusing(code: str, executed: str = "no", **ext: Any) -> Answer:
    """
    @return: how a server answers that refuses every call.
    """
    return lambda connection, call: connection.refuse(call, code, executed, **ext)


class AmplificationTests(SynchronousTestCase):
    """
    Row 16: what retries add to the load of a server that fails for 10 s.
    """

    def outage(self, answer: Answer, **options: Any) -> Storm:
        """
        Check ten clients with twenty calls a second each.
        """
        storm = Storm(10, 20, **options)
        storm.run(1, step=0.025)
        storm.answer = answer
        storm.run(10, step=0.025)
        sustained = storm.amplification(1, 11)
        worst = max(storm.amplification(n, n + 1) for n in range(1, 11))
        self.assertLessEqual(sustained, 1.1)
        self.assertLessEqual(worst, 1.5)
        return storm

    def recovered(self, storm: Storm) -> None:
        """
        Check that it serves as before.
        """
        storm.answer = Scripted.reply
        storm.run(1, step=0.025)
        storm.ended.clear()
        storm.run(1, step=0.025)
        self.assertEqual(set(storm.ended), {"OK"})

    def test_refused(self) -> None:
        """
        A server that refuses every call gets hardly more of them, and all again
        as soon as it serves.
        """
        self.recovered(self.outage(refusing("UNAVAILABLE")))

    def test_told_to_wait(self) -> None:
        """
        So does one that says when to come back (pushback).
        """
        self.recovered(self.outage(refusing("RESOURCE_EXHAUSTED", retry_after=500)))

    def test_told_not_to(self) -> None:
        """
        One that says not to come back gets each call once.
        """
        storm = self.outage(refusing("RESOURCE_EXHAUSTED", retry_after=-1))
        self.assertEqual(storm.repeated.total(), 0)

    def test_dropped(self) -> None:
        """
        One that closes the connection at every call.
        """
        self.recovered(self.outage(lambda connection, call: connection.drop()))

    def test_a_part_is_refused(self) -> None:
        """
        While one call in fifteen fails, each of them is attempted again, and that
        is not more than a tenth.
        """
        refused = Counter[str]()

        def answer(connection: Scripted, call: Any) -> None:
            refused.update(["calls"])
            if refused["calls"] % 15:
                connection.reply(call)
            else:
                connection.refuse(call, "RESOURCE_EXHAUSTED")

        storm = self.outage(answer)
        self.assertGreater(storm.ended["OK"], 0.99 * storm.ended.total())


class RestartTests(SynchronousTestCase):
    """
    Row 19: how clients come back after a restart.
    """

    def test_spread(self) -> None:
        """
        200 clients with a call under way come back within 5 s, at most twice the
        mean of them in any tenth of a second, and each call is answered.
        """
        for outage in (0.3, 1.5):
            storm = Storm(200, 0)
            done, back = storm.restart(outage, outage)
            self.assertEqual(len(back), 200)
            self.assertEqual(done, [7] * 200)
            bins = Counter(int(10 * each) for each in back)
            mean = 200 / (int(10 * max(back)) + 1)
            self.assertLessEqual(max(bins.values()), 2 * mean)
