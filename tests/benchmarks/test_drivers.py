"""
Tests for L{benchmarks.blocking}, L{benchmarks.futures} and L{benchmarks.aio}.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from threading import current_thread, get_ident
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import aio, blocking, futures
from benchmarks.load import Load, Unsupported


def load(connections: int = 1, in_flight: int = 1) -> Load:
    """Calls of C{add} for a moment."""
    return Load("add", 0, connections, in_flight, 0.001, 0.01)


class Connection:
    """
    Adds here; its sums are off by C{error}.

    @ivar threads: that called.
    """

    def __init__(self, error: int = 0) -> None:
        self.error = error
        self.calls = 0
        self.threads: set[int] = set()

    def add(self, a: int, b: int) -> Any:
        """The sum."""
        self.calls += 1
        self.threads.add(get_ident())
        return a + b + self.error


class Later(Connection):
    """
    Its sums are futures, of a thread.

    @ivar most: how many were open at a time.
    """

    pool = ThreadPoolExecutor(1)

    def __init__(self, error: int = 0) -> None:
        super().__init__(error)
        self.open = self.most = 0

    def add(self, a: int, b: int) -> Any:
        """The sum."""
        self.open += 1
        self.most = max(self.most, self.open)
        return self.pool.submit(self._add, a, b)

    def _add(self, a: int, b: int) -> int:
        self.open -= 1
        total: int = super().add(a, b)
        return total


class Awaited(Connection):
    """
    Its sums are coroutines.

    @ivar closed: whether it was closed.
    """

    closed = False

    async def add(self, a: int, b: int) -> Any:
        """The sum."""
        await asyncio.sleep(0)
        return super().add(a, b)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class BlockingTests(SynchronousTestCase):
    """
    Calls that block.
    """

    def test_one(self) -> None:
        """
        One connection is used by the thread that measures, and the calls that are
        told of were all made.
        """
        connection = Connection()
        started: list[int] = []
        found = blocking.measure(
            [connection], load(), lambda: started.append(connection.calls)
        )
        self.assertEqual(connection.calls - started[0], found.calls)
        self.assertEqual(connection.threads, {current_thread().ident})

    def test_several(self) -> None:
        """
        Each of several keeps a thread of its own.
        """
        connections = [Connection() for _ in range(3)]
        blocking.measure(connections, load(3), lambda: None)
        threads = [each.threads for each in connections]
        self.assertEqual(list(map(len, threads)), [1, 1, 1])
        self.assertEqual(len(set.union(*threads)), 3)

    def test_in_flight(self) -> None:
        """
        Several calls at a time on a connection are more than it can do.
        """
        with self.assertRaises(Unsupported):
            blocking.measure([Connection()], load(1, 64), lambda: None)

    def test_wrong(self) -> None:
        """
        A wrong answer is an error.
        """
        for count in (1, 2):
            connections = [Connection(error=1) for _ in range(count)]
            with self.assertRaisesRegex(ValueError, "answered 9"):
                blocking.measure(connections, load(count), lambda: None)


class FuturesTests(SynchronousTestCase):
    """
    Calls that return futures.
    """

    def test_in_flight(self) -> None:
        """
        So many are open at a time as the load says, and all are answered.
        """
        connection = Later()
        found = futures.measure([connection], load(1, 8), lambda: None)
        self.assertGreaterEqual(connection.calls, found.calls)
        self.assertLessEqual(connection.most, 9)
        self.assertEqual(connection.open, 0)

    def test_wrong(self) -> None:
        """
        A wrong answer is an error, and so is a call that fails.
        """
        with self.assertRaisesRegex(ValueError, "answered 9"):
            futures.measure([Later(error=1)], load(1, 4), lambda: None)
        failed: Future[int] = Future()
        failed.set_exception(RuntimeError("no"))
        connection = Later()
        connection.add = lambda a, b: failed  # type: ignore[method-assign]
        with self.assertRaisesRegex(RuntimeError, "no"):
            futures.measure([connection], load(), lambda: None)


class AsyncioTests(SynchronousTestCase):
    """
    Calls that are coroutines.
    """

    def drive(self, connection: Awaited, in_flight: int = 4) -> Any:
        """Measure."""

        async def connect(_: int) -> Awaited:
            return connection

        return aio.driving(connect)(load(1, in_flight), 0, lambda: None)

    def test_calls(self) -> None:
        """
        The calls that are told of were made, and the connection is closed.
        """
        connection = Awaited()
        found = self.drive(connection)
        self.assertGreaterEqual(connection.calls, found.calls)
        self.assertTrue(connection.closed)

    def test_wrong(self) -> None:
        """
        A wrong answer is an error.
        """
        with self.assertRaisesRegex(ValueError, "answered 9"):
            self.drive(Awaited(error=1))
