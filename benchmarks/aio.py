# -*- test-case-name: tests.benchmarks.test_drivers -*-
"""
The driver for peers whose calls are coroutines of asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time
from typing import Any

from benchmarks.load import FIRST_BATCH, Load, Measurement, calling, check


async def _run(lanes: list[tuple[Callable[[], Any], Any]], total: int) -> None:
    left = total

    async def lane(call: Callable[[], Any], expected: Any) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            check(await call(), expected)

    await asyncio.gather(*(lane(*each) for each in lanes))


async def _measure(
    connect: Callable[[int], Awaitable[Any]],
    load: Load,
    port: int,
    start: Callable[[], None],
) -> Measurement:
    connections = [await connect(port) for _ in range(load.connections)]
    lanes = [calling(each, load) for each in connections] * load.in_flight
    total = FIRST_BATCH * len(lanes)
    began = perf_counter()
    while True:
        batch = perf_counter()
        await _run(lanes, total)
        now = perf_counter()
        if now - began >= load.warm:
            break
        total *= 2
    total = max(len(lanes), int(total * load.seconds / (now - batch)))
    start()
    cpu, wall = process_time(), perf_counter()
    await _run(lanes, total)
    found = Measurement(total, perf_counter() - wall, process_time() - cpu)
    for each in connections:
        closed = each.close()
        if closed is not None:
            await closed
    return found


def driving(
    connect: Callable[[int], Awaitable[Any]],
) -> Callable[[Load, int, Callable[[], None]], Measurement]:
    """
    A peer's C{drive}, from its C{connect}, a coroutine function that takes a
    port and returns calls that are coroutines, with C{close}.
    """

    def drive(load: Load, port: int, start: Callable[[], None]) -> Measurement:
        return asyncio.run(_measure(connect, load, port, start))

    return drive
