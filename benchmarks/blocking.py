# -*- test-case-name: tests.benchmarks.test_drivers -*-
"""
The driver for peers whose calls block: one at a time on a connection, and a
thread for each connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.load import (
    Calls,
    Load,
    Measurement,
    Unsupported,
    calling,
    check,
    window,
)


def measure(
    connections: Sequence[Calls], load: Load, start: Callable[[], None]
) -> Measurement:
    """
    Make the calls of C{load}.

    @raise Unsupported: more than one is to be in flight on a connection.
    """
    if load.in_flight > 1:
        raise Unsupported("calls block: one at a time on a connection")
    lanes = [calling(connection, load) for connection in connections]
    if len(lanes) == 1:
        return window(lambda total: _repeat(*lanes[0], total), 1, load, start)
    # A connection keeps its thread; some peers insist on it.
    threads = [ThreadPoolExecutor(1) for _ in lanes]

    def run(total: int) -> None:
        shares = [len(range(index, total, len(lanes))) for index in range(len(lanes))]
        running = [
            thread.submit(_repeat, *lane, share)
            for thread, lane, share in zip(threads, lanes, shares, strict=True)
        ]
        for each in running:
            each.result()

    return window(run, len(lanes), load, start)


def _repeat(call: Callable[[], Any], expected: Any, total: int) -> None:
    for _ in range(total):
        check(call(), expected)


def driving(
    connect: Callable[[int], Any],
) -> Callable[[Load, int, Callable[[], None]], Measurement]:
    """
    A peer's C{drive}, from its C{connect}, which takes a port and returns
    L{Calls} that block.
    """

    def drive(load: Load, port: int, start: Callable[[], None]) -> Measurement:
        return measure([connect(port) for _ in range(load.connections)], load, start)

    return drive
