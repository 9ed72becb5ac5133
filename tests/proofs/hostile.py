"""
Peers that do not behave, each beside a well-behaved one: rows 20, 21, 25, 26, 28
and 30.
"""

from __future__ import annotations

import ast
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred, gatherResults

from tests.proofs.probing import (
    IDL,
    Canary,
    ServerProcess,
    Serving,
    measuring,
    meet,
    quantile,
    sleep,
)
from tests.proofs.proof import Figure, Progress
from tests.proofs.rapid import rapid_cancel
from twisted_rpc import Client
from twisted_rpc.wire.limits import Limits

_MB = 1_000_000


def _request(number: int, method: str, params: list[Any]) -> bytes:
    body = json.dumps(
        {
            "request_id": f"r{number}",
            "service": "Probe",
            "method": method,
            "params": params,
            "timestamp": time.time(),
        }
    ).encode()
    return struct.pack("!I", len(body)) + body


def _hello() -> bytes:
    body = json.dumps(
        {
            "request_id": "$hello",
            "service": "$rpc",
            "method": "hello",
            "params": [{"versions": [1]}],
            "timestamp": time.time(),
        }
    ).encode()
    return struct.pack("!I", len(body)) + body


def _extended(port: int) -> tuple[socket.socket, str]:
    """
    A blocking socket that has said hello, and its session.
    """
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(_hello())
    (length,) = struct.unpack("!I", connection.recv(4, socket.MSG_WAITALL))
    answer = json.loads(connection.recv(length, socket.MSG_WAITALL))
    return connection, answer["result"]["session"]


def _in_session(session: str, seq: int, method: str, params: list[Any]) -> bytes:
    body = json.dumps(
        {
            "request_id": f"{session}:{seq}",
            "service": "Probe",
            "method": method,
            "params": params,
            "timestamp": 1.0,
            "ext": {"timeout": 30000, "ack": max(1, seq - 500)},
        }
    ).encode()
    return struct.pack("!I", len(body)) + body


async def never_reads(reactor: Any, progress: Progress, peers: int = 8) -> Figure:
    """
    Row 20: requests for 10 MB each, and nobody who reads the answers.
    """
    stall = 2.0
    server = ServerProcess(limits={"write_stall": stall})
    try:
        canary = Canary(reactor, server.port)
        canary.begin()
        await sleep(reactor, 0.5)
        before = most = server.memory()
        connections: list[list[Any]] = []
        began = time.monotonic()
        for number in range(peers):
            progress(f"client {number} asks")
            connection, session = _extended(server.port)
            connection.setblocking(False)
            data = b"".join(
                _in_session(session, seq, "big", [20_000]) for seq in range(1, 501)
            )
            connections.append([connection, data])
        gone = 0.0
        while time.monotonic() - began < stall + 5 and connections:
            for each in list(connections):
                connection, data = each
                try:
                    if data:
                        each[1] = data[connection.send(data) :]
                    elif _ended(connection):
                        connections.remove(each)
                        gone = time.monotonic() - began
                except BlockingIOError:
                    if _ended(connection):
                        connections.remove(each)
                        gone = time.monotonic() - began
                except OSError:
                    connections.remove(each)
                    gone = time.monotonic() - began
            most = max(most, server.memory())
            await sleep(reactor, 0.02)
        await canary.stop()
        each_costs = (most - before) / peers / _MB
        closed = not connections
        return Figure(
            row=20,
            measured=f"{peers} clients asked for 10 MB each and read nothing:"
            f" +{each_costs:.2f} MB per connection, +{(most - before) / _MB:.1f} MB in"
            f" all; {'all' if closed else 'NOT ALL'} aborted {gone:.1f} s after they"
            f" began (stall limit {stall:g} s); {canary.said()}",
            met=closed and each_costs <= 2 and gone <= stall + 1.5,
        )
    finally:
        server.stop()


def _ended(connection: socket.socket) -> bool:
    """
    Whether the other side has reset the connection.
    """
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


async def half_frames(
    reactor: Any, progress: Progress, peers: int = 2000, limit: float = 10.0
) -> Figure:
    """
    Row 21: 1 kB frames of which one half comes, from many addresses.
    """
    server = ServerProcess(limits={"frame": limit, "max_connections_per_address": 100})
    try:
        canary = Canary(reactor, server.port)
        canary.begin()
        await sleep(reactor, 0.5)
        before = server.memory()
        half = struct.pack("!I", 1000) + b'{"request_id":"' + b"x" * 485
        began = time.monotonic()
        open_ones: list[socket.socket] = []
        for number in range(peers):
            connection = socket.socket()
            # Spread over 127.0.0.0/24, because there is a limit per address.
            connection.bind((f"127.0.0.{2 + number % 200}", 0))
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(half)
            connection.setblocking(False)
            open_ones.append(connection)
            if number % 50 == 0:
                await sleep(reactor, 0.001)
        most = before
        last = 0.0
        opened = time.monotonic() - began
        while open_ones and time.monotonic() - began < limit + opened + 10:
            for connection in list(open_ones):
                try:
                    if connection.recv(4096) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    continue
                except OSError:
                    connection.close()
                    open_ones.remove(connection)
                    last = time.monotonic() - began
            most = max(most, server.memory())
            progress(f"{len(open_ones)} half frames are open")
            await sleep(reactor, 0.1)
        await canary.stop()
        each = (most - before) / peers / 1000
        left = len(open_ones)
        for connection in open_ones:
            connection.close()
        longest = last - opened
        return Figure(
            row=21,
            measured=f"{peers:,} half frames: {left} left open, the last closed at most"
            f" {longest:.1f} s after it was opened, {each:.1f} kB each; {canary.said()}",
            met=not left
            and longest <= limit + 1
            and each <= 20
            and quantile(canary.times, 0.99) <= 0.02,
        )
    finally:
        server.stop()


#: Writes requests as fast as it can, and reads what comes.
_FLOOD = """
import socket, sys, threading, time
from tests.proofs.hostile import _extended, _in_session
from tests.proofs.probing import written
connection, session = _extended(int(sys.argv[1]))
end = time.monotonic() + float(sys.argv[2])
def read():
    while connection.recv(1 << 20):
        pass
threading.Thread(target=read, daemon=True).start()
seq = 1
while time.monotonic() < end:
    # By turns as our client writes them, and as another may.
    ours = seq // 1000 % 2 == 0
    some = b"".join(
        written(session, seq + n) if ours else _in_session(session, seq + n, "echo", ["x"])
        for n in range(200)
    )
    connection.sendall(some)
    seq += 200
print(seq)
"""


def flooding(port: int, seconds: float) -> subprocess.Popen[str]:
    """
    A process that floods.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _FLOOD, str(port), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


async def flood(reactor: Any, _: Progress, seconds: float = 8.0) -> Figure:
    """
    Row 25: one client floods, another one calls.
    """
    server = ServerProcess()
    try:
        canary = Canary(reactor, server.port, pause=0.01)
        canary.begin()
        flooder = flooding(server.port, seconds)
        await sleep(reactor, 1.5)
        canary.times.clear()
        await sleep(reactor, seconds - 2)
        await canary.stop()
        sent = int(flooder.communicate()[0] or 0)
        return Figure(
            row=25,
            measured=f"beside a flood of {sent / seconds:,.0f} calls/s on one"
            f" connection: {canary.said()}",
            met=quantile(canary.times, 0.5) <= 0.002
            and quantile(canary.times, 0.99) <= 0.010,
        )
    finally:
        server.stop()


async def dead_peer(
    reactor: Any, _: Progress, idle: int = 1000, interval: float = 10.0
) -> Figure:
    """
    Row 28: a server that is stopped, and what a thousand idle connections cost.
    """
    timeout = 5.0
    server = ServerProcess(
        limits={"min_ping": 1.0, "max_connections_per_address": 5000}
    )
    try:
        limits = Limits(ping_timeout=timeout)
        client = Client(
            f"tcp:127.0.0.1:{server.port}",
            reactor=reactor,
            ping=interval,
            limits=limits,
            timeout=120.0,
        )
        probe = client.proxy(IDL.IProbe)
        await probe.echo("there?")
        peers = [await meet(reactor, server.port) for _ in range(idle)]
        await gatherResults([ensureDeferred(each.hello()) for each in peers])
        await sleep(reactor, 1.0)
        used, since = server.cpu(), time.monotonic()
        await sleep(reactor, 5.0)
        share = (server.cpu() - used) / (time.monotonic() - since)
        began = time.monotonic()
        server.signal(signal.SIGSTOP)
        lost = client.pool.protocols
        while lost:
            await sleep(reactor, 0.05)
            if time.monotonic() - began > interval + timeout + 30:
                break
        took = time.monotonic() - began
        server.signal(signal.SIGCONT)
        for each in peers:
            each.transport.abortConnection()
        await client.close()
        return Figure(
            row=28,
            measured=f"SIGSTOP noticed after {took:.1f} s (interval {interval:g} s,"
            f" timeout {timeout:g} s); {idle:,} idle connections take {share:.1%} of a CPU",
            met=took <= interval + timeout + 1 and share <= 0.01,
        )
    finally:
        server.stop()


#: What somebody may try to reach, in names of methods and services.
NAMES = (
    "__class__", "__init__", "__dict__", "__getattribute__", "__reduce__",
    "__subclasses__", "__globals__", "__import__", "eval", "exec", "compile", "open",
    "os.system", "system", "_begin", "_reactor", "runs", "running", "most", "started_late",
    "probe", "echo ", " echo", "Echo", "echo\x00", "echo.__call__", "echo()", "../echo",
    "$rpc", "$rpc.hello", "hello", "ping", "reflect", "", ".", "%s", "{0}", "${x}",
    "echo;count", "Probe.echo", "\u202eecho", "\uff45cho", "echo\u200b", "a" * 5000,
)  # fmt: skip


def hostile_names(count: int) -> list[tuple[str, str]]:
    """
    Services and methods that are not there.
    """
    random_ = random.Random(30)
    found = [("Probe", name) for name in NAMES] + [(name, "echo") for name in NAMES]
    while len(found) < count:
        name = "".join(random_.choices("_abcdefgh.$()[]{}'\"\\%\u00e9\u4e2d", k=12))
        found.append(random_.choice([("Probe", name), (name, "echo"), (name, name)]))
    return found[:count]


async def names(reactor: Any, _: Progress, count: int = 10_000) -> Figure:
    """
    Row 30: names that are not in the IDL reach nothing.
    """
    serving = await Serving(reactor).start()
    peer = await meet(reactor, serving.port)
    await peer.hello()
    dispatched = tracebacks = 0
    seq = 0
    for start in range(0, count, 100):
        some = hostile_names(count)[start : start + 100]
        answers = []
        requests = []
        for service, method in some:
            seq += 1
            request = {**peer.request(seq, method, ["x"], ack=seq), "service": service}
            requests.append(request)
            answers.append(peer.expect(request["request_id"]))
        peer.write(*requests)
        for frame in await gatherResults(answers):
            message = json.loads(frame)
            dispatched += message["error"] is None
            tracebacks += b"Traceback" in frame or b'File \\"' in frame
    runs = len(serving.probe.runs)
    await serving.stop()
    imports = reflecting_modules()
    return Figure(
        row=30,
        measured=f"{count:,} hostile names: {dispatched} dispatched, {runs} runs,"
        f" {tracebacks} tracebacks on the wire; pickle, eval, exec or import by name:"
        f" {', '.join(imports) or 'nowhere on the way of a call'}",
        met=not (dispatched or runs or tracebacks or imports),
    )


def reflecting_modules() -> list[str]:
    """
    Modules on the way of a call that use what reflects.
    """
    package = Path(__file__).parent.parent.parent / "twisted_rpc"
    found = []
    for folder in ("wire", "server", "client", "delivery"):
        for path in sorted((package / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                called = getattr(getattr(node, "func", None), "id", "")
                modules = [alias.name for alias in getattr(node, "names", ())]
                if called in {"eval", "exec", "__import__"} or {
                    "pickle",
                    "marshal",
                    "importlib",
                } & set(modules):
                    found.append(str(path.relative_to(package)))
    return found


PROOF = measuring(
    name="hostile",
    what="peers that flood, stall, drip, cancel and never read",
    rows=(20, 21, 25, 26, 28, 30),
    measures={
        "reader": never_reads,
        "slowloris": half_frames,
        "flood": flood,
        "cancel": rapid_cancel,
        "dead": dead_peer,
        "names": names,
    },
)
