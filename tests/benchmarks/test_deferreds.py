"""
Tests for L{benchmarks.deferreds}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.deferreds import Batch, measure
from benchmarks.load import ORDER, Load, Measurement, Unsupported, calling


class Held:
    """
    A connection whose calls are answered when the test says so.
    """

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []
        self.made = 0
        self.most = 0

    def add(self, a: int, b: int, /) -> Deferred[int]:
        self.made += 1
        waiting: Deferred[int] = Deferred()
        self.waiting.append(waiting)
        self.most = max(self.most, len(self.waiting))
        return waiting

    def answer(self, result: Any = 8) -> None:
        """Answer the oldest call."""
        self.waiting.pop(0).callback(result)


class Echoing(Held):
    """
    A connection that has all methods.
    """

    def echo(self, text: str, /) -> Deferred[str]:
        return Deferred()

    def order(self, **members: Any) -> dict[str, Any]:
        return members

    def store(self, order: Any, /) -> Deferred[Any]:
        return Deferred()


def load(method: str = "add", *, in_flight: int = 1, size: int = 0) -> Load:
    """A case that is over at once."""
    return Load(method, size, 1, in_flight, 0.0, 0.0)


class BatchTests(SynchronousTestCase):
    """
    Tests for L{Batch}.
    """

    def setUp(self) -> None:
        self.held = Held()
        self.batch = Batch(10)

    def start(self, lanes: int) -> None:
        self.batch.start([calling(self.held, load())] * lanes)

    def test_exact(self) -> None:
        """
        A batch makes as many calls as it was told, whatever the lanes.
        """
        self.start(4)
        while self.held.waiting:
            self.assertNoResult(self.batch.done)
            self.held.answer()
        self.successResultOf(self.batch.done)
        self.assertEqual((self.held.made, self.held.most), (10, 4))

    def test_fewer_calls_than_lanes(self) -> None:
        """
        A batch of fewer calls than lanes leaves lanes empty.
        """
        self.start(64)
        self.assertEqual(self.held.made, 10)
        for _ in range(10):
            self.held.answer()
        self.successResultOf(self.batch.done)

    def test_wrong_answer(self) -> None:
        """
        A wrong answer fails the batch, and no more calls are made.
        """
        self.start(2)
        self.held.answer(9)
        self.failureResultOf(self.batch.done, ValueError)
        self.held.answer()
        self.assertEqual(self.held.made, 2)

    def test_failures(self) -> None:
        """
        The first failed call fails the batch; the others are taken note of.
        """
        self.start(2)
        for waiting in self.held.waiting:
            waiting.errback(RuntimeError("down"))
        self.failureResultOf(self.batch.done, RuntimeError)


class CallingTests(SynchronousTestCase):
    """
    Tests for L{calling}.
    """

    def test_echo(self) -> None:
        """
        C{echo} is called with a string of the size of the case, and must return it.
        """
        _, expected = calling(Echoing(), load("echo", size=100))
        self.assertEqual(expected, "x" * 100)

    def test_store(self) -> None:
        """
        C{store} is called with the struct in the peer's own form.
        """
        _, expected = calling(Echoing(), load("store"))
        self.assertEqual(expected, ORDER)

    def test_unsupported(self) -> None:
        """
        A peer without the method of the case is told apart from one that fails.
        """
        with self.assertRaises(Unsupported):
            calling(Held(), load("echo"))


class MeasureTests(SynchronousTestCase):
    """
    Tests for L{measure}.
    """

    def test_window(self) -> None:
        """
        The window opens after the warm-up, between two calls, and its calls alone
        are counted.
        """
        held = Held()
        started: list[int] = []
        asked = load(in_flight=4)

        def start() -> None:
            self.assertEqual(held.waiting, [])
            started.append(held.made)

        measured = measure([held], asked, start)
        result = Deferred.fromCoroutine(measured)
        while held.waiting:
            held.answer()
        found = self.successResultOf(result)
        assert isinstance(found, Measurement)
        self.assertEqual(len(started), 1)
        self.assertEqual(found.calls, held.made - started[0])
        self.assertGreater(found.seconds, 0)
