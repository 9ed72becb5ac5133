"""
What a session promises, against peers that do not keep to the rules: rows 3 to 6.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from zope.interface import implementer

from tests.proofs.probing import Peer, Serving, meet, milliseconds, on_reactor, quantile
from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.interfaces import IAuthenticator


@implementer(IAuthenticator)
class Tokens:
    """Takes a token for a name."""

    required = False

    def authenticate(self, transport: Any, auth: Any) -> Deferred[str]:
        """
        @return: fires with the principal.
        """
        return succeed("anonymous" if auth is None else auth["token"])


async def joined(reactor: Any, duplicates: int, connections: int) -> Figure:
    """
    Row 4: duplicates of one running call, over many connections of one session.
    """
    serving = await Serving(reactor, dedup=MemoryStore(waiters=duplicates)).start()
    first = await meet(reactor, serving.port)
    await first.hello()
    peers = [first]
    for _ in range(connections - 1):
        peer = await meet(reactor, serving.port)
        await peer.hello(first.session)
        assert peer.session == first.session
        peers.append(peer)
    request = first.request(1, "slow", [7, 500])
    began = time.perf_counter()
    times: list[float] = []
    answers = []
    for number in range(duplicates):
        peer = peers[number % connections]
        answer = peer.expect(request["request_id"])
        answer.addCallback(_timed, times, began)
        answers.append(answer)
    for number, peer in enumerate(peers):
        count = len(range(number, duplicates, connections))
        peer.write(*[request] * count)
    frames: Any = await gatherResults(answers)
    results = {json.loads(frame)["result"] for frame in frames if frame}
    runs = serving.probe.runs.get(7, 0)
    late = quantile(times, 0.99) - 0.5
    await serving.stop()
    whole = len(results) == 1 and all(frames) and runs == 1
    return Figure(
        row=4,
        measured=f"{duplicates:,} duplicates on {connections} connections: {runs} run,"
        f" {len(frames):,} replies with {len(results)} result, p99 at run"
        f" + {milliseconds(late)}",
        met=whole and late <= 0.05,
    )


def _timed(frame: bytes, times: list[float], began: float) -> bytes:
    times.append(time.perf_counter() - began)
    return frame


async def forgotten(reactor: Any, replays: int) -> Figure:
    """
    Row 3: replays of what was forgotten, in each of five ways.
    """
    each = max(1, replays // 5)
    runs = {
        "ack": await _replay_acked(reactor, each),
        "eviction": await _replay_evicted(reactor, each),
        "session end": await _replay_ended(reactor, each),
        "restart": await _replay_restarted(reactor, each),
        "floor": await _replay_floored(reactor, each),
    }
    more = sum(runs.values())
    ways = ", ".join(f"{way} {count}" for way, count in runs.items())
    return Figure(
        row=3,
        measured=f"{more} runs in {5 * each:,} replays over five ways to forget ({ways})",
        met=more == 0,
    )


async def _book(peer: Peer, count: int, **ext: Any) -> list[dict[str, Any]]:
    requests = [peer.request(seq, "count", [seq], **ext) for seq in range(1, count + 1)]
    for start in range(0, count, 200):
        some = requests[start : start + 200]
        answers = [peer.expect(each["request_id"]) for each in some]
        peer.write(*some)
        await gatherResults(answers)
    return requests


async def _again(serving: Serving, peer: Peer, requests: list[Any], code: str) -> int:
    """
    Send requests again, and see how they are refused.

    @return: how often something ran.
    """
    for start in range(0, len(requests), 200):
        some = requests[start : start + 200]
        answers = [peer.expect(each["request_id"]) for each in some]
        peer.write(*some)
        for frame in await gatherResults(answers):
            assert json.loads(frame)["error"].startswith(code), frame
    return sum(serving.probe.runs.values()) - len(serving.probe.runs)


async def _replay_acked(reactor: Any, count: int) -> int:
    serving = await Serving(reactor, dedup=MemoryStore(window=count + 1)).start()
    peer = await meet(reactor, serving.port)
    await peer.hello()
    requests = await _book(peer, count)
    await peer.ask(peer.request(count + 1, "echo", ["x"], ack=count + 1))
    runs = await _again(serving, peer, requests, "STALE_REQUEST")
    await serving.stop()
    return runs


async def _replay_evicted(reactor: Any, count: int) -> int:
    store = MemoryStore(window=count + 1, session_bytes=1)
    serving = await Serving(reactor, dedup=store).start()
    peer = await meet(reactor, serving.port)
    await peer.hello()
    requests = await _book(peer, count)
    runs = await _again(serving, peer, requests, "RESULT_NOT_CACHED")
    await serving.stop()
    return runs


async def _replay_ended(reactor: Any, count: int) -> int:
    store = MemoryStore(window=count + 1)
    serving = await Serving(reactor, dedup=store).start()
    peer = await meet(reactor, serving.port)
    await peer.hello()
    requests = await _book(peer, count)
    store.end(store.sessions[peer.session])
    other = await meet(reactor, serving.port)
    await other.hello(peer.session)
    assert other.session != peer.session
    runs = await _again(serving, other, requests, "SESSION_UNKNOWN")
    await serving.stop()
    return runs


async def _replay_restarted(reactor: Any, count: int) -> int:
    before = await Serving(reactor, dedup=MemoryStore(window=count + 1)).start()
    peer = await meet(reactor, before.port)
    await peer.hello()
    requests = await _book(peer, count)
    await before.stop()
    after = await Serving(reactor, dedup=MemoryStore(window=count + 1)).start()
    after.probe.runs = dict(before.probe.runs)
    other = await meet(reactor, after.port)
    await other.hello(peer.session)
    runs = await _again(after, other, requests, "SESSION_UNKNOWN")
    await after.stop()
    return runs


async def _replay_floored(reactor: Any, count: int) -> int:
    store = MemoryStore(principal_bytes=1)
    serving = await Serving(reactor, dedup=store).start()
    peer = await meet(reactor, serving.port)
    now = time.time()
    requests = [
        {
            "request_id": f"free-{number}",
            "service": "Probe",
            "method": "count",
            "params": [number],
            "timestamp": now,
        }
        for number in range(count)
    ]
    # The first is forgotten as soon as it has ended, and the floor is its time.
    await peer.ask(requests[0])
    runs = await _again(serving, peer, requests[:1] * count, "STALE_REQUEST")
    await serving.stop()
    return runs


async def changed(reactor: Any, probes: int) -> Figure:
    """
    Row 5: duplicates with other parameters.
    """
    serving = await Serving(reactor, dedup=MemoryStore(window=probes + 1)).start()
    peer = await meet(reactor, serving.port)
    await peer.hello()
    requests = await _book(peer, probes)
    altered = [{**each, "params": [each["params"][0] + 10**6]} for each in requests]
    runs = await _again(serving, peer, altered, "ID_REUSED")
    runs += sum(entry >= 10**6 for entry in serving.probe.runs)
    await serving.stop()
    return Figure(
        row=5,
        measured=f"{probes:,} changed duplicates: {runs} runs, 0 stored answers",
        met=runs == 0,
    )


async def foreign(reactor: Any, probes: int) -> Figure:
    """
    Row 6: another principal asks for what is there, and for what is not.
    """
    serving = await Serving(reactor, authenticator=Tokens()).start()
    mine = await meet(reactor, serving.port)
    await mine.hello(token="ada")
    await _book(mine, 500)
    thief = await meet(reactor, serving.port)
    await thief.hello(mine.session, token="eve")
    assert thief.session != mine.session
    absent = "0" * len(mine.session)
    answers: dict[str, set[bytes]] = {"not yours": set(), "absent": set()}
    times: dict[str, list[float]] = {"not yours": [], "absent": []}
    leaks = 0
    for number in range(probes):
        cause = ("not yours", "absent")[number % 2]
        session = mine.session if number % 2 == 0 else absent
        seq = 1 + number % 500
        request = {**thief.request(1, "count", [seq]), "request_id": f"{session}:{seq}"}
        began = time.perf_counter()
        frame = await thief.ask(request)
        times[cause].append(time.perf_counter() - began)
        message = json.loads(frame)
        leaks += message["error"] is None or message["result"] is not None
        # What differs is the id that was asked for, and the time.
        plain = frame.replace(request["request_id"].encode(), b"ID")
        stamp = json.dumps(message["timestamp"]).encode()
        answers[cause].add(
            plain.replace(stamp, b"T").replace(b"%.6f" % message["timestamp"], b"T")
        )
    runs = sum(serving.probe.runs.values()) - len(serving.probe.runs)
    await serving.stop()
    equal = answers["not yours"] == answers["absent"] and len(answers["absent"]) == 1
    one, other = (statistics.median(each) for each in times.values())
    apart = abs(one - other) / max(one, other)
    return Figure(
        row=6,
        measured=f"{probes:,} probes: {leaks} leaks, {runs} runs, answers"
        f" {'byte-equal' if equal else 'NOT EQUAL'}; medians {apart:.1%} apart",
        met=leaks == 0 and runs == 0 and equal and apart < 0.05,
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--probes", type=int, default=10_000, help="of each kind (10000)"
    )


def _run(options: Any, progress: Progress) -> list[Figure]:
    async def main(reactor: Any) -> list[Figure]:
        figures = []
        for measure in (forgotten, changed, foreign):
            figures.append(await measure(reactor, options.probes))
            progress(figures[-1].measured, always=True)
        figures.append(await joined(reactor, 1000, 100))
        return figures

    return on_reactor(main)


PROOF = Proof(
    name="promises",
    what="duplicates, replays of what was forgotten, and other people's ids",
    rows=(3, 4, 5, 6),
    run=_run,
    options=_options,
)
