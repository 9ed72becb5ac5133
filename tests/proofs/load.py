"""
A server under more than it can do, and one that is restarted: rows 15, 17, 18,
22 and 27.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from itertools import count as counting
from itertools import cycle, product
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from tests.proofs.probing import (
    IDL,
    ServerProcess,
    Serving,
    measuring,
    meet,
    milliseconds,
    quantile,
    sleep,
)
from tests.proofs.proof import Figure, Progress
from tests.proofs.refusing import refusals
from tests.servers import free_port
from twisted_rpc import Client
from twisted_rpc.client.retry import NO_RETRY
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.limits import MIB, Limits

#: A method that takes so many milliseconds, so many of which run at a time.
WORK = 10
SLOTS = 4


class Load:
    """
    Calls at a rate, whatever becomes of them.

    @ivar ended: of each call when it was made, what it took and how it ended.
    """

    def __init__(self, reactor: Any, call: Callable[[], Deferred[Any]]) -> None:
        self.ended: list[tuple[float, float, str]] = []
        self._reactor = reactor
        self._call = call
        self._waiting = 0
        self._owed = 0.0
        self._loop = LoopingCall.withCount(self._tick)
        self._loop.clock = reactor
        self._rate = 0.0
        self._broken: list[Failure] = []

    def start(self, rate: float) -> None:
        """
        So many calls a second.
        """
        self._rate = rate
        self._loop.start(0.01).addErrback(self._broken.append)

    def _tick(self, count: int) -> None:
        self._owed += self._rate * 0.01 * count
        while self._owed >= 1:
            self._owed -= 1
            began = time.monotonic()
            self._waiting += 1
            self._call().addCallbacks(
                self._end, self._fail, callbackArgs=(began,), errbackArgs=(began,)
            )

    def _end(self, _: Any, began: float) -> None:
        self._waiting -= 1
        self.ended.append((began, time.monotonic() - began, "OK"))

    def _fail(self, failure: Any, began: float) -> None:
        self._waiting -= 1
        code = failure.value.code.value if failure.check(RPCError) else repr(failure)
        self.ended.append((began, time.monotonic() - began, code))

    async def stop(self) -> None:
        """
        No more, and wait for the last.
        """
        if self._broken:
            self._broken[0].raiseException()
        self._loop.stop()
        while self._waiting:
            await sleep(self._reactor, 0.01)

    def took(self, code: str = "OK", since: float = 0.0) -> list[float]:
        """What those that ended so took, of those that began since then."""
        return [
            took for began, took, how in self.ended if how == code and began >= since
        ] or [math.inf]


def _in_turn(probes: list[Any], method: str) -> Callable[[], Deferred[Any]]:
    turn = cycle(probes)

    def call() -> Deferred[Any]:
        called: Deferred[Any] = getattr(next(turn), method)(WORK)
        return called

    return call


#: What takes so long, and the name it has in a figure.
KINDS = {"wait": "asynchronous", "block": "in threads"}


def _busy_server() -> ServerProcess:
    return ServerProcess(
        limits={"max_concurrency": SLOTS, "max_connections_per_address": 500}
    )


def _busy_threads() -> ServerProcess:
    return ServerProcess(
        limits={"max_connections_per_address": 500}, server={"threads": SLOTS}
    )


SERVERS = {"wait": _busy_server, "block": _busy_threads}


async def _peak(
    reactor: Any, server: ServerProcess, method: str
) -> tuple[float, float, float]:
    """
    @return: calls a second at the most, what one takes alone, and the server's CPU
        for each at the most.
    """
    client = Client(f"tcp:127.0.0.1:{server.port}", reactor=reactor, retry=NO_RETRY)
    work = getattr(client.proxy(IDL.IProbe), method)
    await work(WORK)
    alone = []
    for _ in range(50):
        began = time.monotonic()
        await work(WORK)
        alone.append(time.monotonic() - began)
    until = time.monotonic() + 2
    used = server.cpu()

    async def keep() -> int:
        done = 0
        while time.monotonic() < until:
            try:
                await work(WORK)
            except RPCError as error:
                # On a machine that others hold the server is behind at times.
                if error.code is not Code.RESOURCE_EXHAUSTED:
                    raise
            else:
                done += 1
        return done

    done: Any = await gatherResults([ensureDeferred(keep()) for _ in range(SLOTS * 2)])
    used = (server.cpu() - used) / sum(done)
    await client.close()
    return sum(done) / 2, quantile(alone, 0.99), used


async def overload(reactor: Any, progress: Progress) -> Figure:
    """
    Row 18: twice as many calls as the server can do.
    """
    parts = []
    met = True
    for method, kind in KINDS.items():
        measured, good = await _overloaded(reactor, method)
        parts.append(f"{kind}: {measured}")
        progress(parts[-1], always=True)
        met = met and good
    measured, good = await refusals(reactor, progress)
    parts.append(measured)
    met = met and good
    return Figure(
        row=18,
        measured=f"at twice the capacity, of {SLOTS} calls of {WORK} ms at a time, "
        + "; ".join(parts),
        met=met,
    )


async def _overloaded(
    reactor: Any, method: str, seconds: float = 6.0
) -> tuple[str, bool]:
    server = SERVERS[method]()
    try:
        peak, alone, alone_cpu = await _peak(reactor, server, method)
        clients = [
            Client(f"tcp:127.0.0.1:{server.port}", reactor=reactor, retry=NO_RETRY)
            for _ in range(20)
        ]
        probes = [client.proxy(IDL.IProbe, timeout=1.0) for client in clients]
        load = Load(reactor, _in_turn(probes, method))
        used = server.cpu()
        load.start(2 * peak)
        await sleep(reactor, seconds)
        await load.stop()
        used = (server.cpu() - used) / len(load.ended)
        for client in clients:
            await client.close()
        # In the first second the clients connect, and what is late is late by that.
        start = min(began for began, _, _ in load.ended) + 1
        good = load.took("OK", start)
        goodput = len(good) / (seconds - 1)
        accepted = quantile(good, 0.99)
        refused = quantile(load.took("RESOURCE_EXHAUSTED", start), 0.99)
        measured = (
            f"{goodput / peak:.0%} of the peak goodput of {peak:.0f}/s, accepted p99"
            f" {milliseconds(accepted)} (unloaded {milliseconds(alone)}), refusals p99"
            f" {milliseconds(refused)}, both after a second; {used * 1e6:.0f} us of CPU a"
            f" call, refused ones included (at the peak {alone_cpu * 1e6:.0f})"
        )
        prompt = accepted <= 3 * alone + 0.05 and refused <= 0.005
        return measured, goodput >= 0.9 * peak and prompt
    finally:
        server.stop()


async def storm(reactor: Any, progress: Progress) -> Figure:
    """
    Row 17: a stall of three seconds, under load.
    """
    parts = []
    met = True
    for method, share in product(KINDS, (0.8, 0.95)):
        server = SERVERS[method]()
        try:
            peak, _, _ = await _peak(reactor, server, method)
            clients = [
                Client(f"tcp:127.0.0.1:{server.port}", reactor=reactor)
                for _ in range(100)
            ]
            probes = [client.proxy(IDL.IProbe, timeout=1.0) for client in clients]
            load = Load(reactor, _in_turn(probes, method))
            load.start(share * peak)
            await sleep(reactor, 2.0)
            server.signal(signal.SIGSTOP)
            await sleep(reactor, 3.0)
            server.signal(signal.SIGCONT)
            resumed = time.monotonic()
            await sleep(reactor, 7.0)
            await load.stop()
            for client in clients:
                await client.close()
            window = [e for e in load.ended if resumed + 2 <= e[0] < resumed + 6]
            good = sum(how == "OK" for _, _, how in window)
            goodput = good / max(1, len(window))
            met = met and goodput >= 0.97
            parts.append(f"{share:.0%} load {KINDS[method]}: {goodput:.1%}")
            progress(parts[-1], always=True)
        finally:
            server.stop()
    return Figure(
        row=17,
        measured="goodput from 2 s after a stall of 3 s, 100 clients, at "
        + ", at ".join(parts),
        met=met,
    )


async def deadlines(reactor: Any, progress: Progress, calls: int = 2000) -> Figure:
    """
    Row 15: deadlines hold, and shrink over three servers in a chain.
    """
    last = await Serving(reactor).start()
    middle = await Serving(reactor, last.client().proxy(IDL.IProbe)).start()
    first = await Serving(reactor, middle.client().proxy(IDL.IProbe)).start()
    probe = first.client(retry=NO_RETRY).proxy(IDL.IProbe, timeout=2.0)
    left = await probe.left(3)
    shrinks = len(left) == 3 and 2000 >= left[0] >= left[1] >= left[2] > 0
    late = 0.0
    hasty = first.client(retry=NO_RETRY).proxy(IDL.IProbe, timeout=0.1)

    async def one() -> None:
        nonlocal late
        began = reactor.seconds()
        try:
            await hasty.wait(10_000)
        except RPCError:
            late = max(late, reactor.seconds() - began - 0.1)

    for start in range(0, calls, 200):
        await gatherResults([ensureDeferred(one()) for _ in range(200)])
        progress(f"{start} calls")
    started_late = sum(each.probe.started_late for each in (first, middle, last))
    for each in (first, middle, last):
        await each.stop()
    return Figure(
        row=15,
        measured=f"{calls:,} calls ended at most {milliseconds(late)} after their"
        f" deadline, {started_late} runs started late; of 2,000 ms three servers in a"
        f" chain saw {', '.join(map(str, left))} ms left",
        met=late <= 0.05 and not started_late and shrinks,
    )


async def frames(reactor: Any, _: Progress) -> Figure:
    """
    Row 22: a frame too big is refused by its first four bytes; a big one that is
    allowed takes little.
    """
    server = ServerProcess(limits={"max_frame": 17 * MIB})
    try:
        before = server.memory()
        peers = []
        for _number in range(50):
            peer = await meet(reactor, server.port)
            peer.transport.write((18 * MIB).to_bytes(4, "big") + b"x" * 60_000)
            peers.append(peer)
        await gatherResults([peer.ended for peer in peers])
        refused = sum(b"exceeds the limit" in b"".join(p.strays) for p in peers)
        held = (server.memory() - before) / 50 / 1024
        client = Client(
            f"tcp:127.0.0.1:{server.port}",
            reactor=reactor,
            limits=Limits(max_frame=17 * MIB),
        )
        probe = client.proxy(IDL.IProbe)
        text = "x" * (16 * MIB - 1000)
        await probe.echo("warm")
        costs = []
        for size in (4 * MIB, 16 * MIB - 1000):
            used = server.cpu()
            for _number in range(5):
                await probe.echo(text[:size])
            costs.append((server.cpu() - used) / 5)
        await client.close()
        linear = costs[1] <= costs[0] * 8 + 0.02
        return Figure(
            row=22,
            measured=f"{refused} of 50 frames too big refused on their 4 bytes,"
            f" {max(0.0, held):.0f} KiB held each; a call of 16 MiB and its answer of"
            f" 16 MiB take {milliseconds(costs[1])} of CPU, of 4 MiB"
            f" {milliseconds(costs[0])}",
            met=refused == 50 and held <= 64 and costs[1] <= 0.2 and linear,
        )
    finally:
        server.stop()


async def rolling(
    reactor: Any, progress: Progress, restarts: int = 20, rate: float = 500.0
) -> Figure:
    """
    Row 27: two replicas, restarted in turn.
    """
    ports = [free_port(), free_port()]
    servers: Any = [ServerProcess(port=port) for port in ports]
    try:
        client = Client([f"tcp:127.0.0.1:{port}" for port in ports], reactor=reactor)
        probe = client.proxy(IDL.IProbe)
        await probe.echo("there?")
        turn = counting()

        def call() -> Deferred[Any]:
            number = next(turn)
            called: Deferred[Any] = (
                probe.echo("x") if number % 2 else probe.count(number % 1000)
            )
            return called

        load = Load(reactor, call)
        load.start(rate)
        for number in range(restarts):
            which = number % 2
            await deferToThread(servers[which].stop)
            servers[which] = await deferToThread(ServerProcess, port=ports[which])
            await sleep(reactor, 0.5)
            bad = sum(how != "OK" for _, _, how in load.ended)
            progress(f"{number + 1} restarts, {len(load.ended):,} calls, {bad} failed")
        await load.stop()
        await client.close()
        failed = [how for _, _, how in load.ended if how != "OK"]
        slow = quantile(load.took(), 0.999)
        return Figure(
            row=27,
            measured=f"{restarts} rolling restarts of two replicas at {rate:g} calls/s:"
            f" {len(failed)} of {len(load.ended):,} failed"
            f"{f' ({sorted(set(failed))})' if failed else ''},"
            f" p99.9 {milliseconds(slow)}",
            met=not failed and slow <= 1.0,
        )
    finally:
        for server in servers:
            server.stop()


PROOF = measuring(
    name="load",
    what="overload, stalls, rolling restarts, deadlines and big frames",
    rows=(15, 17, 18, 22, 27),
    measures={
        "deadlines": deadlines,
        "frames": frames,
        "overload": overload,
        "rolling": rolling,
        "storm": storm,
    },
)
