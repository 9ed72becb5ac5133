"""
What the proofs on sockets have in common: a service, a server of it in this
process or in another, peers that write frames by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from twisted.internet.defer import Deferred, FirstError, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.proofs.proof import Figure, Progress, Proof
from twisted_rpc import Client, Registry, Server, current_call, load_idl
from twisted_rpc.errors import RPCError

_T = TypeVar("_T")

IDL: Final = load_idl(Path(__file__).with_name("probe.idl"))


class Probe:
    """
    The implementation.

    @ivar runs: how often each entry was noted.
    @ivar running: runs of C{slow} and C{wait} that have not ended.
    @ivar most: how many there were at one time.
    @ivar started_late: runs that began after their deadline.
    """

    def __init__(self, reactor: Any, behind: Any = None) -> None:
        self._reactor = reactor
        self._behind = behind
        self.runs: dict[int, int] = {}
        self.running = 0
        self.most = 0
        self.started_late = 0

    def _begin(self) -> None:
        if current_call().time_left <= 0:
            self.started_late += 1

    def echo(self, text: str) -> str:
        self._begin()
        return text

    seldom = echo

    def count(self, entry: int) -> int:
        self._begin()
        self.runs[entry] = self.runs.get(entry, 0) + 1
        return len(self.runs)

    def slow(self, entry: int, milliseconds: int) -> Deferred[int]:
        self.count(entry)
        return self.wait(milliseconds)

    def wait(self, milliseconds: int) -> Deferred[int]:
        self._begin()
        self.running += 1
        self.most = max(self.most, self.running)

        def ended(result: Any) -> Any:
            self.running -= 1
            return result

        waited: Deferred[int] = deferLater(
            self._reactor, milliseconds / 1000, lambda: milliseconds
        )
        return waited.addBoth(ended)

    def block(self, milliseconds: int) -> int:
        self._begin()
        time.sleep(milliseconds / 1000)
        return milliseconds

    def big(self, size: int) -> str:
        return "x" * size

    async def left(self, hops: int) -> list[int]:
        here = round(current_call().time_left * 1000)
        if hops <= 1 or self._behind is None:
            return [here]
        behind: list[int] = await self._behind.left(hops - 1)
        return [here, *behind]


def on_reactor(main: Callable[[Any], Awaitable[_T]]) -> _T:
    """
    Run the reactor of this process until C{main} has ended.

    @return: its result.
    """
    from twisted.internet import reactor as installed  # noqa: PLC0415 - not at import: it would install one

    reactor: Any = installed
    came: list[Any] = []

    def begin() -> None:
        doing: Any = main(reactor)
        ensureDeferred(doing).addBoth(came.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not came:
        raise AssertionError("the reactor was stopped before the proof had ended")
    if isinstance(came[0], Failure):
        came[0].raiseException()
    result: _T = came[0]
    return result


#: Takes the figure of one row.
Measure = Callable[[Any, Progress], Awaitable[Figure]]


def measuring(
    name: str, what: str, rows: Sequence[int], measures: Mapping[str, Measure]
) -> Proof:
    """
    @param measures: by the names of the command's arguments.

    @return: a proof that takes them one after the other, all or some.
    """

    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "only", nargs="*", choices=[*measures, []], help="some of them (all)"
        )

    def run(chosen: Any, progress: Progress) -> list[Figure]:
        async def main(reactor: Any) -> list[Figure]:
            figures = []
            for each in chosen.only or measures:
                try:
                    figures.append(await measures[each](reactor, progress))
                except FirstError as error:
                    text = error.subFailure.getTraceback()
                    raise AssertionError(f"{each}: {text}") from error
                except RPCError as error:
                    raise AssertionError(f"{each}: {error}") from error
                progress(figures[-1].measured, always=True)
            return figures

        return on_reactor(main)

    return Proof(name=name, what=what, rows=rows, run=run, options=options)


class Serving:
    """
    A server in this process, on a free port.
    """

    def __init__(self, reactor: Any, behind: Any = None, **options: Any) -> None:
        self.probe = Probe(reactor, behind)
        registry = Registry()
        registry.register(IDL.IProbe, self.probe)
        self.server = Server(
            registry, listen=["tcp:0:interface=127.0.0.1"], reactor=reactor, **options
        )
        self.port = 0
        self._reactor = reactor
        self._clients: list[Client] = []

    async def start(self) -> Serving:
        """Listen."""
        self.server.startService()
        listening: Any = self.server.listening
        (port,) = await listening
        self.port = port.getHost().port
        return self

    def client(self, **options: Any) -> Client:
        """A client of it."""
        client = Client(f"tcp:127.0.0.1:{self.port}", reactor=self._reactor, **options)
        self._clients.append(client)
        return client

    async def stop(self) -> None:
        """Close everything."""
        for client in self._clients:
            await client.close()
        # Peers that write by hand do not go away when they are told to.
        self.server.abort()
        await self.server.stopService()


class _Id(msgspec.Struct):
    request_id: str


_read_id = msgspec.json.Decoder(_Id).decode


class Peer(Protocol):
    """
    Writes frames by hand.

    @ivar strays: frames that nobody waits for.
    """

    transport: Any

    def __init__(self) -> None:
        self._held = b""
        self._waiting: dict[str, list[Deferred[Any]]] = {}
        self.strays: list[bytes] = []
        self.ended: Deferred[None] = Deferred()
        self.session = ""

    def write(self, *messages: Any) -> None:
        """Write messages in one go."""
        frames = []
        for message in messages:
            body = (
                message if isinstance(message, bytes) else json.dumps(message).encode()
            )
            frames.append(struct.pack("!I", len(body)) + body)
        self.transport.write(b"".join(frames))

    def expect(self, request_id: str) -> Deferred[Any]:
        """
        @return: fires with the frame that answers next under an id; with C{b""}
            at the end of the connection.
        """
        answer: Deferred[Any] = Deferred()
        self._waiting.setdefault(request_id, []).append(answer)
        return answer

    def ask(self, message: dict[str, Any]) -> Deferred[Any]:
        """
        @return: fires with the frame that answers.
        """
        answer = self.expect(message["request_id"])
        self.write(message)
        return answer

    async def hello(self, session: str | None = None, token: str | None = None) -> Any:
        """
        Say hello.

        @return: the answer.
        """
        params: dict[str, Any] = {"versions": [1]}
        if session is not None:
            params["session"] = session
        if token is not None:
            params["auth"] = {"scheme": "bearer", "token": token}
        answer = json.loads(
            await self.ask(
                {
                    "request_id": "$hello",
                    "service": "$rpc",
                    "method": "hello",
                    "params": [params],
                    "timestamp": time.time(),
                }
            )
        )
        self.session = answer["result"]["session"]
        return answer

    def request(self, seq: int, method: str, params: Any, **ext: Any) -> dict[str, Any]:
        """A request of its session."""
        return {
            "request_id": f"{self.session}:{seq}",
            "service": "Probe",
            "method": method,
            "params": params,
            "timestamp": 1.0,
            "ext": {"timeout": 30_000, **ext},
        }

    def dataReceived(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= 4:
            end = 4 + int.from_bytes(self._held[:4], "big")
            if len(self._held) < end:
                return
            frame, self._held = self._held[4:end], self._held[end:]
            waiting = self._waiting.get(_read_id(frame).request_id)
            if waiting:
                waiting.pop(0).callback(frame)
            else:
                self.strays.append(frame)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        # Whoever hears of it may wait for something else.
        before, self._waiting = self._waiting, {}
        for waiting in before.values():
            for answer in waiting:
                answer.callback(b"")
        self.ended.callback(None)


async def meet(reactor: Any, port: int) -> Peer:
    """
    @return: a peer that is connected.
    """
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    peer: Any = await endpoint.connect(Factory.forProtocol(Peer))
    assert isinstance(peer, Peer)
    return peer


def sleep(reactor: Any, seconds: float) -> Deferred[None]:
    """
    @return: fires in so many seconds.
    """
    return deferLater(reactor, seconds)


class ServerProcess:
    """
    A server in a process of its own.
    """

    def __init__(self, **options: Any) -> None:
        """
        @param options: of L{tests.proofs.served}.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.served", json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("port "):
            raise AssertionError(f"the server did not start: {line!r}")
        self.port = int(line.split()[1])
        self.pid = self._process.pid

    def memory(self) -> int:
        """
        Bytes of it that are in memory.
        """
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the server has ended")

    def descriptors(self) -> int:
        """
        Files that it has open.
        """
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu(self) -> float:
        """
        Seconds of CPU it has used.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number: signal.Signals) -> None:
        """
        Send a signal.
        """
        self._process.send_signal(number)

    def holds(self) -> dict[str, Any]:
        """
        Timers, sessions and connections of it.
        """
        self.signal(signal.SIGUSR1)
        assert self._process.stdout is not None
        held: dict[str, Any] = json.loads(self._process.stdout.readline())
        return held

    def stop(self) -> None:
        """
        End it.
        """
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def written(
    session: str, seq: int, method: str = "echo", timeout: int = 30_000
) -> bytes:
    """
    @return: the frame of a call, as our client writes it: it goes the server's
        straight way.
    """
    body = (
        f'{{"request_id":"{session}:{seq}","method":"{method}","params":["x"],'
        f'"timestamp":1.5,"service":"Probe",'
        f'"ext":{{"timeout":{timeout},"ack":{max(1, seq - 500)}}}}}'
    ).encode()
    return struct.pack("!I", len(body)) + body


def quantile(values: list[float], part: float) -> float:
    """
    What so great a part of the values is not above.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def milliseconds(seconds: float) -> str:
    """As a figure is written."""
    return f"{seconds * 1000:.1f} ms"


class Canary:
    """
    A well-behaved client that calls all the time.

    @ivar times: what its calls took.
    """

    def __init__(self, reactor: Any, port: int | str, pause: float = 0.005) -> None:
        """
        @param port: and perhaps more of an endpoint.
        """
        self.times: list[float] = []
        self._reactor = reactor
        self._pause = pause
        self._client = Client(f"tcp:127.0.0.1:{port}", reactor=reactor)
        self._singing = True
        self._song: Deferred[None] | None = None

    def begin(self) -> None:
        """
        Call all the time from now on.
        """
        self._song = ensureDeferred(self.sing())

    async def sing(self) -> None:
        """
        Call until it is told to stop.
        """
        echo = self._client.proxy(IDL.IProbe).echo
        await echo("first")
        while self._singing:
            began = time.perf_counter()
            await echo("tweet")
            self.times.append(time.perf_counter() - began)
            await sleep(self._reactor, self._pause)

    async def stop(self) -> None:
        """
        No more.
        """
        self._singing = False
        if self._song is not None:
            await self._song
        await self._client.close()

    def said(self) -> str:
        """What its calls took, in words."""
        return (
            f"canary p50 {milliseconds(quantile(self.times, 0.5))},"
            f" p99 {milliseconds(quantile(self.times, 0.99))}"
        )
