# -*- test-case-name: tests.benchmarks.test_drivers -*-
"""
The driver for peers whose calls return futures that call back from a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Any

from benchmarks.load import Calls, Load, Measurement, calling, check, window


class Batch:
    """
    A number of calls, a fixed number of them in flight; an answer makes the next.
    """

    def __init__(self, total: int) -> None:
        self._left = self._open = total
        self._lock = Lock()
        self._done = Event()
        self._error: BaseException | None = None

    def run(self, lanes: Sequence[tuple[Callable[[], Any], Any]]) -> None:
        """
        Make them all.
        """
        for call, expected in lanes:
            self._next(call, expected)
        self._done.wait()
        if self._error is not None:
            raise self._error

    def _next(self, call: Callable[[], Any], expected: Any) -> None:
        with self._lock:
            if not self._left:
                return
            self._left -= 1

        def answered(future: Any) -> None:
            try:
                check(future.result(), expected)
            except BaseException as error:  # noqa: BLE001 - raised by run
                self._error = error
                self._done.set()
                return
            with self._lock:
                self._open -= 1
                ended = not self._open
            if ended:
                self._done.set()
            else:
                self._next(call, expected)

        call().add_done_callback(answered)


def measure(
    connections: Sequence[Calls], load: Load, start: Callable[[], None]
) -> Measurement:
    """
    Make the calls of C{load}.
    """
    lanes = [calling(each, load) for each in connections] * load.in_flight
    return window(lambda total: Batch(total).run(lanes), len(lanes), load, start)
