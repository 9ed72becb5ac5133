"""
Calls that are cancelled at once, at every limit on calls in progress: row 26.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    gatherResults,
    inlineCallbacks,
)
from twisted.internet.task import deferLater

from tests.proofs.probing import (
    Canary,
    Peer,
    ServerProcess,
    meet,
    milliseconds,
    quantile,
    sleep,
)
from tests.proofs.proof import Figure, Progress
from twisted_rpc import current_call, load_idl

IDL: Final = load_idl(Path(__file__).with_name("rapid.idl"))

#: Calls at once; C{@max_concurrency} of the IDL says the same.
LIMIT: Final = 20

#: Milliseconds that each takes: one that does not end when it is cancelled is seen
#: by those that are left.
METHODS: Final = {
    "deferred": 60_000,
    "deferred_goes_on": 5,
    "coroutine": 60_000,
    "coroutine_goes_on": 5,
    "thread": 60_000,
    "thread_goes_on": 5,
}

#: What is limited, how a server is told, and what is called.
LIMITS: Final[dict[str, tuple[dict[str, int], str]]] = {
    "the connection": ({"max_inflight": LIMIT}, "Rapid"),
    "the server": ({"max_concurrency": LIMIT}, "Rapid"),
    "the caller": ({"max_concurrency_per_principal": LIMIT}, "Rapid"),
    "the method": ({}, "Few"),
}

#: Pairs in one write.
TOGETHER: Final = 50


class Rapid:
    """
    The implementation.

    @ivar runs: of each method.
    @ivar running: those that have not ended.
    @ivar most: how many there were at one time; of all methods under C{""}.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._lock = threading.Lock()
        self.runs: Counter[str] = Counter()
        self.running: Counter[str] = Counter({"": 0})
        self.most: Counter[str] = Counter()

    def counted(self) -> dict[str, dict[str, int]]:
        """
        What it has counted.
        """
        with self._lock:
            return {
                "runs": dict(self.runs),
                "running": dict(self.running),
                "most": dict(self.most),
            }

    @contextmanager
    def _run(self, name: str) -> Iterator[None]:
        with self._lock:
            self.runs[name] += 1
            for each in ("", name):
                self.running[each] += 1
                self.most[each] = max(self.most[each], self.running[each])
        try:
            yield
        finally:
            with self._lock:
                self.running.subtract(["", name])

    @inlineCallbacks
    def deferred(self, milliseconds: int) -> Generator[Any, Any, int]:
        with self._run("deferred"):
            yield deferLater(self._reactor, milliseconds / 1000)
        return milliseconds

    @inlineCallbacks
    def deferred_goes_on(self, milliseconds: int) -> Generator[Any, Any, int]:
        with self._run("deferred_goes_on"):
            yield from self._regardless(milliseconds)
        return milliseconds

    async def coroutine(self, milliseconds: int) -> int:
        with self._run("coroutine"):
            await deferLater(self._reactor, milliseconds / 1000)
        return milliseconds

    async def coroutine_goes_on(self, milliseconds: int) -> int:
        with self._run("coroutine_goes_on"):
            for each in self._regardless(milliseconds):
                with suppress(CancelledError):
                    await each
        return milliseconds

    def _regardless(self, milliseconds: int) -> Iterator[Deferred[None]]:
        end = self._reactor.seconds() + milliseconds / 1000
        while (left := end - self._reactor.seconds()) > 1e-6:
            with suppress(CancelledError):
                yield deferLater(self._reactor, left)

    def thread(self, milliseconds: int) -> int:
        call = current_call()
        end = time.monotonic() + milliseconds / 1000
        with self._run("thread"):
            while not call.cancelled and time.monotonic() < end:
                time.sleep(0.005)
        return milliseconds

    def thread_goes_on(self, milliseconds: int) -> int:
        with self._run("thread_goes_on"):
            time.sleep(milliseconds / 1000)
        return milliseconds


def pairs(
    peer: Peer, service: str, first: int, count: int = TOGETHER, *, apart: bool = False
) -> list[dict[str, Any]]:
    """
    @param first: seq of the first call.
    @param apart: all calls come before what cancels them.

    @return: calls of each method in turn, each with what cancels it.
    """
    methods = cycle(METHODS.items())
    calls, cancels = [], []
    for seq in range(first, first + count):
        name, milliseconds = next(methods)
        call = peer.request(seq, name, [milliseconds], ack=max(1, seq - 500))
        calls.append({**call, "service": service})
        cancels.append(
            {
                "request_id": f"${seq}",
                "service": "$rpc",
                "method": "cancel",
                "params": [call["request_id"]],
                "timestamp": 1.0,
            }
        )
    if apart:
        return calls + cancels
    return [each for pair in zip(calls, cancels, strict=True) for each in pair]


async def at_limit(
    reactor: Any, progress: Progress, what: str, count: int
) -> tuple[dict[str, Any], list[float]]:
    """
    Call and cancel so often, at one limit, over two connections or over one.

    @return: what the implementation has counted, and what a canary's calls took,
        where the limit is not its own too.
    """
    limits, service = LIMITS[what]
    server = ServerProcess(limits=limits, server={"threads": 2 * LIMIT})
    try:
        # Another caller than the peers.
        canary = Canary(reactor, f"{server.port}:bindAddress=127.0.0.2")
        if what != "the server":
            canary.begin()
        peers = [
            await meet(reactor, server.port)
            for _ in range(1 if what == "the connection" else 2)
        ]
        for peer in peers:
            await peer.hello()
        step = TOGETHER * len(peers)
        for start in range(0, count, step):
            first = 1 + start // len(peers)
            lasts = []
            for peer in peers:
                lasts.append(peer.expect(f"${first + TOGETHER - 1}"))
                apart = start % (2 * step) == 0
                peer.write(*pairs(peer, service, first, apart=apart))
            await gatherResults(lasts)
            for peer in peers:
                peer.strays.clear()
            progress(f"{what}: {start} pairs")
        until = reactor.seconds() + 5
        while (counted := server.holds()["rapid"])["running"][""]:
            if reactor.seconds() >= until:
                break
            await sleep(reactor, 0.02)
        await canary.stop()
        return counted, canary.times
    finally:
        # The peers would not go away when they are told to.
        server.signal(signal.SIGKILL)
        server.stop()


async def rapid_cancel(
    reactor: Any,
    progress: Progress,
    count: int = 100_000,
    limits: Sequence[str] = tuple(LIMITS),
) -> Figure:
    """
    Row 26: each call is cancelled in the frame after it.
    """
    times: list[float] = []
    most, left, fewest = 0, 0, count
    for what in limits:
        counted, its = await at_limit(reactor, progress, what, count)
        times += its
        by_name = counted["most"]
        if what == "the method":
            del by_name[""]
        most = max(most, *by_name.values())
        left += counted["running"][""]
        fewest = min([fewest, *(counted["runs"].get(name, 0) for name in METHODS)])
    late = quantile(times or [0.0], 0.99)
    return Figure(
        row=26,
        measured=f"{count:,} calls at each limit on calls in progress, of"
        f" {', '.join(limits)}, each cancelled at once; Deferreds, coroutines and"
        " threads, of each some that end when they are cancelled and some that go on"
        f" (of every kind at least {fewest:,} ran): at most {most} ran at the same time"
        f" (limit {LIMIT}), {left} left; canary p99 {milliseconds(late)}",
        met=most <= LIMIT and not left and fewest > 0 and late <= 0.02,
    )
