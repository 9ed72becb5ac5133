# -*- test-case-name: tests.benchmarks.test_deferreds -*-
"""
The driver for peers whose calls return Deferreds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure

from benchmarks.load import FIRST_BATCH, Calls, Load, Measurement, calling

Call = Callable[[], "Deferred[Any]"]


class Batch:
    """
    A number of calls, a fixed number of them in flight.

    @ivar done: fires with C{None} when all are answered, or fails with the first
        failure.
    """

    def __init__(self, total: int) -> None:
        self._left = total
        self._open = 0
        self.done: Deferred[None] = Deferred()

    def start(self, lanes: list[tuple[Call, Any]]) -> None:
        """
        Make the first call of each lane; its answer makes the next.
        """
        for call, expected in lanes:
            if not self._left:
                return
            self._left -= 1
            self._open += 1
            self._run(call, expected)

    def _run(self, call: Call, expected: Any) -> None:
        def again(result: Any) -> None:
            if result != expected:
                failed(Failure(ValueError(f"answered {result!r:.80}")))
            elif self._left:
                self._left -= 1
                call().addCallbacks(again, failed)
            else:
                self._open -= 1
                if not self._open and not self.done.called:
                    self.done.callback(None)

        # One pair a call and no more: what the driver costs is in the client's
        # figures, of each peer alike, and blurs the ratios between them.
        failed = self._failed
        call().addCallbacks(again, failed)

    def _failed(self, failure: Failure) -> None:
        self._left = 0
        if not self.done.called:
            self.done.errback(failure)


async def measure(
    connections: Sequence[Calls], load: Load, start: Callable[[], None]
) -> Measurement:
    """
    Warm up, and make as many calls as fill the window.
    """
    each = [calling(connection, load) for connection in connections]
    lanes = each * load.in_flight
    total = FIRST_BATCH * len(lanes)
    began = perf_counter()
    while True:
        batch = perf_counter()
        await _run(total, lanes)
        now = perf_counter()
        if now - began >= load.warm:
            break
        total *= 2
    total = max(len(lanes), int(total * load.seconds / (now - batch)))
    start()
    cpu, wall = process_time(), perf_counter()
    await _run(total, lanes)
    return Measurement(total, perf_counter() - wall, process_time() - cpu)


def _run(total: int, lanes: list[tuple[Call, Any]]) -> Deferred[None]:
    batch = Batch(total)
    batch.start(lanes)
    return batch.done


def _reason(failure: Failure) -> BaseException:
    # Of several connections, what befell the first that was not made.
    error = failure.value
    if isinstance(error, FirstError):
        return _reason(error.subFailure)
    assert error is not None
    return error


def driving(
    connect: Callable[[int], Deferred[Any]],
) -> Callable[[Load, int, Callable[[], None]], Measurement]:
    """
    A peer's C{drive}, from its C{connect}, which takes a port and returns a
    Deferred of L{Calls}.
    """

    def drive(load: Load, port: int, start: Callable[[], None]) -> Measurement:
        found: list[Measurement | Failure] = []

        async def run() -> Measurement:
            connections = await gatherResults(
                [connect(port) for _ in range(load.connections)], consumeErrors=True
            )
            return await measure(connections, load, start)

        def begin() -> None:
            finished = Deferred.fromCoroutine(run()).addBoth(found.append)
            finished.addCallback(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        reactor.run()
        (outcome,) = found
        if isinstance(outcome, Failure):
            raise _reason(outcome)
        return outcome

    return drive


def serve_factory(factory: Any, ready: Callable[[int], None]) -> None:
    """
    A peer's C{serve}, from its C{IProtocolFactory}.
    """
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    reactor.callWhenRunning(ready, port.getHost().port)
    reactor.run()
