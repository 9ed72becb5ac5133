"""
Tests for how long calls may wait.
"""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.call import Request
from twisted_rpc.server.overload.delay import FEW
from twisted_rpc.server.overload.patience import Patience
from twisted_rpc.wire.limits import OFF, Limits

DEFAULT = Limits()


class Method:
    """
    One, whatever it is.
    """


def learn(
    patience: Patience,
    took: float,
    method: Any = None,
    deadline: float = 1e9,
    *,
    cancelled: bool = False,
) -> None:
    """
    Let a call have taken so long.
    """
    request = Request(method or Method(), b"", "", deadline, None, cancelled=cancelled)
    patience.learn(request, took, took)


class PatienceTests(SynchronousTestCase):
    """
    L{Patience}, with 50 ms and 100 ms.
    """

    def patience(self, slots: float = 4, took: float = 0.01) -> Patience:
        """
        @return: one that has seen calls which took so long.
        """
        patience = Patience(slots, DEFAULT)
        for _ in range(20):
            learn(patience, took)
        return patience

    def test_wait(self) -> None:
        """
        The wait is foretold from those ahead, and from what calls take.
        """
        patience = self.patience()
        self.assertAlmostEqual(patience.wait(0, 0.0), 0)
        self.assertAlmostEqual(patience.wait(20, 0.0), 0.05)
        for _ in range(200):
            learn(patience, 0.1)
        self.assertAlmostEqual(patience.wait(20, 0.0), 0.5, places=3)

    def test_burst(self) -> None:
        """
        A burst may wait for 150 ms and for what two calls take; what is behind
        is refused as it comes, not when it has waited.
        """
        patience = self.patience()
        refused = [patience.refuses(ahead, 0.0, 0.0) for ahead in range(100)]
        self.assertEqual(refused.index(True), 69)
        self.assertTrue(all(refused[69:]))

    def test_standing(self) -> None:
        """
        Once the queue stands, only what takes one call, and 50 ms.
        """
        patience = self.patience()
        for step in range(12):
            patience.refuses(40, 0.0, step * 0.01)
        refused = [patience.refuses(ahead, 0.0, 0.12) for ahead in range(40)]
        self.assertEqual(refused.index(True), 25)
        self.assertTrue(all(refused[25:]))

    def test_slow_calls(self) -> None:
        """
        Those who call what takes two seconds wait for one another, as a matter
        of course.
        """
        patience = self.patience(4, 2.0)
        refused = [patience.refuses(ahead, 0.0, 0.0) for ahead in range(20)]
        self.assertEqual(refused.index(True), 9)

    def test_nothing_known(self) -> None:
        """
        Until a call has ended only the age of the first that waits counts.
        """
        patience = Patience(4, DEFAULT)
        self.assertFalse(patience.refuses(900, 0.0, 0.0))
        self.assertFalse(patience.refuses(900, 0.06, 0.06))
        self.assertTrue(patience.refuses(900, 0.16, 0.16))

    def test_a_few(self) -> None:
        """
        Few that wait are no queue, however long they do.
        """
        patience = self.patience(1, 10.0)
        for now in range(9):
            self.assertFalse(patience.refuses(FEW - 1, 60.0, now * 0.05))
            self.assertFalse(patience.drops(FEW - 1, 60.0, now * 0.05))

    def test_in_vain(self) -> None:
        """
        A call need not wait if it would start when there is less time left than
        calls of its method take; half of them, that is.
        """
        patience = self.patience()
        method = Method()
        for took in (0.02, 0.02, 0.3, 0.02, 0.02):
            learn(patience, took, method)
        self.assertAlmostEqual(self.median(patience, method), 0.02, places=2)
        for deadline, vain in ((0.13, False), (0.11, True), (0.05, True)):
            request = Request(method, b"", "", deadline, None)
            self.assertIs(patience.in_vain(request, 0.06, 0.1), vain)
            # What waits for so little is not looked at.
            self.assertFalse(patience.in_vain(request, 0.04, 0.1))

    def test_cut_short(self) -> None:
        """
        A run that was given up, at its deadline or before, tells at most that
        such calls take longer.
        """
        patience, method = self.patience(), Method()
        learn(patience, 0.1, method)
        learn(patience, 0.02, method, deadline=0.02)
        learn(patience, 0.02, method, cancelled=True)
        self.assertEqual(self.median(patience, method), 0.1)
        learn(patience, 0.2, method, deadline=0.2)
        once = self.median(patience, method)
        self.assertGreater(once, 0.1)
        learn(patience, 0.2, method, cancelled=True)
        self.assertGreater(self.median(patience, method), once)

    def test_forgotten(self) -> None:
        """
        What was learned is forgotten when a second has passed without a queue,
        and not while there is one.
        """
        patience, method = Patience(4, DEFAULT), Method()
        learn(patience, 5.0, method)
        for ahead, now in ((0, 5.9), (1, 99.0), (8, 99.0)):
            patience.wait(ahead, now)
            self.assertEqual(patience.wait(4, now), 5.0)
            self.assertEqual(self.median(patience, method), 5.0)
        self.assertEqual(patience.wait(0, 6.1), 0.0)
        self.assertEqual(patience.wait(4, 6.1), 0.0)
        self.assertEqual(self.median(patience, method), 0.0)
        learn(patience, 0.002, method)
        self.assertEqual(patience.wait(4, 6.1), 0.002)

    def median(self, patience: Patience, method: Any) -> float:
        """
        @return: what calls of a method take.
        """
        return patience.median(Request(method, b"", "", 0.0, None))

    def test_drops(self) -> None:
        """
        What has waited for longer than was foretold is dropped when it could
        start, while the queue stands.
        """
        patience = self.patience()
        self.assertFalse(patience.drops(9, 0.4, 0.0))
        self.assertFalse(patience.drops(9, 0.4, 0.06))
        self.assertTrue(patience.drops(9, 0.4, 0.12))
        self.assertFalse(patience.drops(9, 0.1, 0.13))
        self.assertFalse(patience.drops(FEW - 1, 0.3, 0.14))

    def test_off(self) -> None:
        """
        Without C{delay} calls wait for as long as they have time.
        """
        patience = Patience(1, Limits(delay=OFF))
        learn(patience, 1.0)
        for now in range(9):
            self.assertFalse(patience.refuses(1000, 1e6, now * 0.05))
            self.assertFalse(patience.drops(1000, 1e6, now * 0.05))

    def test_overload(self) -> None:
        """
        However much more is asked than can be done, the slots stay busy, what is
        started has not waited for much longer than it may, and hardly anything
        waits to be refused.
        """
        for slots, took, load in product((1, 4, 20), (0.01, 0.05, 0.2), (1.5, 2, 5)):
            waited, dropped, idle = self.run_under(slots, took, load)
            usual = waited[int(len(waited) * 0.9)]
            few = (FEW + 1) * took * 1.5 / slots
            case = f"{slots} slots, {took} s, {load} times the load"
            self.assertLessEqual(usual, 1.2 * (0.05 + took) + few, case)
            self.assertLessEqual(idle, 0.05, case)
            self.assertLessEqual(dropped, 3 + 0.02 * len(waited), case)

    def run_under(
        self, slots: int, took: float, load: float
    ) -> tuple[list[float], int, float]:
        """
        Ask for so many times what so many slots can do, for a while.

        @return: how long those that were started in its second half had waited;
            how many were dropped; and the part of the time that slots were idle.
        """
        chance = random.Random(1)
        patience = Patience(slots, DEFAULT)
        free_at = [0.0] * slots
        queue: list[float] = []
        waited, now, idle, dropped = [], 0.0, 0.0, 0
        end = max(3.0, 40 * took)
        while now < end:
            now += chance.expovariate(load * slots / took)
            while queue and min(free_at) <= now:
                slot = free_at.index(min(free_at))
                arrived = queue.pop(0)
                start = max(free_at[slot], arrived)
                if patience.drops(len(queue), start - arrived, start):
                    dropped += 1
                    continue
                if start > end / 2:
                    waited.append(start - arrived)
                    idle += start - max(free_at[slot], end / 2)
                runs = took * chance.uniform(0.5, 1.5)
                free_at[slot] = start + runs
                learn(patience, runs)
            age = now - queue[0] if queue else 0.0
            if not patience.refuses(len(queue), age, now):
                queue.append(now)
        return sorted(waited), dropped, idle / (slots * end / 2)
