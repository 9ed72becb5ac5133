"""
Small fixed versions of the proofs on sockets, in memory and by the clock: the same
counts and orders on any machine, however busy it is.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from itertools import cycle, product
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from tests.proofs.probing import IDL, Probe, quantile, written
from tests.proofs.rapid import LIMIT, LIMITS, METHODS, Rapid
from tests.proofs.refusing import ACCEPTED, REFUSING, Refusing
from tests.raw import Conversation, RawPeer
from twisted_rpc import Client, Limits, Registry, Server
from twisted_rpc.client.retry import NO_RETRY
from twisted_rpc.errors import RPCError
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, MemoryNetwork

TEXT = Path(__file__).with_name("probe.idl").read_text()

#: Of the clock, in seconds.
STEP = 0.0025


class Talk(Conversation):
    """
    A server of L{Probe}, and clients.
    """

    def __init__(self, **options: Any) -> None:
        self._clients: list[Client] = []
        self.probe = Probe(None)
        super().__init__(TEXT, self.probe, **options)
        self.probe._reactor = self.clock

    def client(self, **options: Any) -> Client:
        """
        @return: a client of it.
        """
        endpoint = MemoryEndpoint(self.network, self.server.factory)
        client = Client(
            endpoint, reactor=self.clock, wall=self.clock.seconds, **options
        )
        self._clients.append(client)
        return client

    def close(self) -> None:
        """
        Close the clients too.
        """
        for client in self._clients:
            client.close()
        super().close()


class Canary:
    """
    A well-behaved client that calls every 100 ms, and is answered at once.
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._probe = talk.client().proxy(IDL.IProbe)
        self.answers = 0

    def sing(self, seconds: float) -> None:
        """
        Do so for some time.
        """
        for _ in range(round(seconds / 0.1)):
            before = self.answers
            self._probe.echo("tweet").addCallback(self._answered)
            self._talk.pump()
            assert self.answers == before + 1, "it was not answered at once"
            self._talk.advance(0.1, step=0.05)

    def _answered(self, _: str) -> None:
        self.answers += 1


class HostileTests(SynchronousTestCase):
    """
    Peers that do not behave, each beside one that does.
    """

    def start(self, **limits: Any) -> Talk:
        """
        @return: a server.
        """
        talk = Talk(limits=Limits(**limits))
        self.addCleanup(talk.close)
        return talk

    def requests(self, talk: Talk, session: str, method: str, *args: Any) -> bytes:
        """
        @return: the frames of 500 calls, as one piece.
        """
        bodies = [
            json.dumps(
                talk.request(f"{session}:{seq}", method, list(args), ext={"ack": 1})
            ).encode()
            for seq in range(1, 501)
        ]
        return b"".join(struct.pack("!I", len(body)) + body for body in bodies)

    def test_flood(self) -> None:
        """
        Row 25: a client that floods gets 64 calls a turn of the reactor; another
        client's call is answered in the turn in which it comes.
        """
        talk = self.start()
        flooder, session = talk.extended()
        other, its = talk.extended()
        flooder.transport.write(self.requests(talk, session, "echo", "x"))
        talk.network.deliver()
        call = talk.request(f"{its}:1", "echo", ["y"], ext={"ack": 1})
        other.sendString(json.dumps(call).encode())
        before = len(other.frames)
        for _ in range(2):
            talk.network.deliver()
        self.assertEqual(len(other.frames), before + 1)
        self.assertLessEqual(len(flooder.frames), 2 * 64)
        talk.pump()
        self.assertEqual(len(flooder.frames), 501)

    def test_half_frames(self) -> None:
        """
        Row 21: frames that never become whole are refused and closed after 10 s,
        with no more held than what has come.
        """
        talk = self.start()
        canary = Canary(talk)
        peers = []
        for _ in range(200):
            peer = talk.connect()
            peer.transport.write(struct.pack("!I", 1000) + b"{" * 500)
            peers.append(peer)
        canary.sing(9.0)
        self.assertEqual(sum(peer.lost for peer in peers), 0)
        held = [it._held_size for it in talk.server.factory.shared.connections]
        self.assertLessEqual(max(held), 504)
        canary.sing(2.0)
        self.assertEqual(sum(peer.lost for peer in peers), 200)
        self.assertEqual(talk.server.counters()["limits.frame"], 200)
        self.assertEqual(talk.server.gauges()["connections_open"], 1)

    def test_never_reads(self) -> None:
        """
        Row 20: who asks for 10 MB and reads nothing is read no further after a
        few answers, and aborted when it has not read for so long.
        """
        talk = self.start(write_stall=2.0)
        canary = Canary(talk)
        peers: list[RawPeer] = []
        for _ in range(4):
            peer, session = talk.extended()
            peer.transport.pauseProducing()
            peer.transport.write(self.requests(talk, session, "big", 20_000))
            peers.append(peer)
        canary.sing(1.5)
        for peer in peers:
            self.assertLess(len(peer.transport.inbox), 2_000_000)
        held = [it.output_waiting for it in talk.server.factory.shared.connections]
        self.assertLess(max(held), 2_000_000)
        canary.sing(2.0)
        self.assertEqual([peer.lost for peer in peers], [True] * 4)
        self.assertEqual(talk.server.counters()["limits.write_stall"], 4)

    def test_dead_server(self) -> None:
        """
        Row 28: a server that does nothing any more, and does not close either, is
        left after the interval of pings and the time for the answer; the call is
        answered elsewhere.
        """
        talk = self.start(min_ping=1.0)
        client = talk.client(ping=10.0, limits=Limits(ping_timeout=5.0), timeout=60.0)
        probe = client.proxy(IDL.IProbe)
        answers: list[Any] = []
        probe.echo("there?").addCallback(answers.append)
        talk.pump()
        (dead,) = [it for it in talk.network.transports if it.name == "server"]
        dead.pauseProducing()
        probe.echo("still there?").addCallback(answers.append)
        talk.advance(9.5, step=0.1)
        self.assertEqual(answers, ["there?"])
        self.assertEqual(client.counters()["connections"], 1)
        talk.advance(6.5, step=0.1)
        self.assertNotIn(dead, talk.network.transports)
        talk.advance(0.5, step=0.1)
        self.assertEqual(answers, ["there?", "still there?"])
        self.assertEqual(client.counters()["connections"], 2)

    def test_dead_client(self) -> None:
        """
        So is a client that has agreed to ping and is silent for two intervals
        and that time; one that has not agreed may be.
        """
        talk = self.start(min_ping=1.0, ping_timeout=5.0)
        dead, _ = talk.extended(ping=10_000)
        idle, _ = talk.extended()
        talk.advance(24.5)
        self.assertFalse(dead.lost)
        talk.advance(1.5)
        self.assertEqual((dead.lost, idle.lost), (True, False))
        self.assertEqual(talk.server.counters()["limits.ping_timeout"], 1)


class Calls:
    """
    Calls at a rate, whatever becomes of them.

    @ivar ended: of each when it was made, what it took, and how it ended.
    """

    def __init__(self, clock: MemoryClock, methods: list[Any]) -> None:
        self.clock = clock
        self.ended: list[tuple[float, float, str]] = []
        self.made = 0
        self._methods = cycle(methods)

    def make(self, *args: Any) -> None:
        """
        One more.
        """
        began = self.clock.seconds()
        self.made += 1
        call: Deferred[Any] = next(self._methods)(*args)
        call.addCallbacks(lambda _: "OK", _code).addCallback(
            lambda how: self.ended.append((began, self.clock.seconds() - began, how))
        )

    def took(self, code: str, since: float) -> list[float]:
        """
        @return: what those took that ended so.
        """
        return [took for at, took, how in self.ended if how == code and at >= since]


def _code(failure: Any) -> str:
    failure.trap(RPCError)
    return str(failure.value.code.value)


class LoadTests(SynchronousTestCase):
    """
    A server under more than it can do, and one that is restarted.
    """

    def overloaded(self, times: float, work: int = 10, timeout: float = 1.0) -> Calls:
        """
        Four calls at a time, of 10 ms each: 400 a second; ask for more.

        @return: those of one second, when the queue stands.
        """
        talk = Talk(limits=Limits(max_concurrency=4))
        self.addCleanup(talk.close)
        clients = [talk.client(retry=NO_RETRY) for _ in range(5)]
        probes = [each.proxy(IDL.IProbe, timeout=timeout) for each in clients]
        calls = Calls(talk.clock, [probe.wait for probe in probes])
        owed = 0.0
        began = talk.clock.seconds()
        while talk.clock.seconds() < began + 2.5:
            owed += times * 4000 / work * STEP
            while owed >= 1:
                owed -= 1
                calls.make(work)
            talk.pump()
            talk.advance(STEP, step=STEP)
        talk.advance(1.0, step=STEP)
        self.assertEqual(len(calls.ended), calls.made)
        calls.ended = [it for it in calls.ended if began + 1 <= it[0] < began + 2]
        return calls

    def test_overload(self) -> None:
        """
        Row 18: at twice the capacity the server does as much as ever, what it
        takes is answered in 50 ms and three times what a call takes alone, and
        what it refuses is refused in the moment in which it comes.
        """
        calls = self.overloaded(2.0)
        good = calls.took("OK", 0.0)
        self.assertGreaterEqual(len(good), 0.95 * 400)
        self.assertLessEqual(quantile(good, 0.99), 3 * 0.01 + 0.05 + 2 * STEP)
        refused = calls.took("RESOURCE_EXHAUSTED", 0.0)
        self.assertEqual(len(good) + len(refused), len(calls.ended))
        self.assertEqual(max(refused), 0.0)

    def test_five_times(self) -> None:
        """
        At five times it is the same.
        """
        calls = self.overloaded(5.0)
        good = calls.took("OK", 0.0)
        self.assertGreaterEqual(len(good), 0.95 * 400)
        self.assertLessEqual(quantile(good, 0.99), 3 * 0.01 + 0.05 + 2 * STEP)
        self.assertEqual(max(calls.took("RESOURCE_EXHAUSTED", 0.0)), 0.0)

    def test_little_time(self) -> None:
        """
        Nor does less get done where calls have only twice the time that they take:
        none is started that would be given up.
        """
        calls = self.overloaded(3.0, work=150, timeout=0.3)
        self.assertGreaterEqual(len(calls.took("OK", 0.0)), 0.9 * 4 / 0.15)
        self.assertLessEqual(len(calls.took("DEADLINE_EXCEEDED", 0.0)), 2)

    def test_just_enough(self) -> None:
        """
        Nothing is refused of what the server can do.
        """
        calls = self.overloaded(0.95)
        self.assertEqual(Counter(how for _, _, how in calls.ended), {"OK": 380})

    def test_rolling_restarts(self) -> None:
        """
        Row 27: two servers are restarted in turn, six times, under 200 calls a
        second of every class; none fails, and those that change something run
        once.
        """
        clock, network = MemoryClock(), MemoryNetwork()
        runs: Counter[int] = Counter()
        endpoints = [MemoryEndpoint(network, None) for _ in range(2)]
        servers = [self.serve(clock, runs, endpoint) for endpoint in endpoints]
        client = Client(endpoints, reactor=clock, wall=clock.seconds)
        probe = client.proxy(IDL.IProbe)
        calls = Calls(clock, [probe.echo, probe.count])

        def pass_time(seconds: float) -> None:
            for _ in range(round(seconds / 0.01)):
                calls.make("x")
                calls.make(calls.made)
                clock.advance(0.01)
                busy = True
                while busy:
                    busy = network.deliver()
                    due = [
                        it
                        for it in clock.getDelayedCalls()
                        if not it.getTime() > clock.seconds()
                    ]
                    if due:
                        clock.advance(0)
                        busy = True

        pass_time(0.2)
        for number in range(6):
            which = number % 2
            stopped = servers[which].stopService()
            endpoints[which].factory = None
            pass_time(0.3)
            self.successResultOf(stopped)
            servers[which] = self.serve(clock, runs, endpoints[which])
            pass_time(0.1)
        made = calls.made
        pass_time(1.0)
        self.assertGreaterEqual(len(calls.ended), made)
        self.assertEqual({how for _, _, how in calls.ended}, {"OK"})
        self.assertEqual(set(runs.values()), {1})
        client.close()
        for server in servers:
            server.stopService()
        clock.advance(2)

    def serve(
        self, clock: MemoryClock, runs: Counter[int], endpoint: MemoryEndpoint
    ) -> Server:
        """
        @return: a server that is reached by C{endpoint}.
        """
        probe = Probe(clock)
        probe.runs = runs
        registry = Registry()
        registry.register(IDL.IProbe, probe)
        server = Server(registry, reactor=clock, wall=clock.seconds)
        server.factory.doStart()
        server.startService()
        endpoint.factory = server.factory
        return server


def _events(do: Callable[[], object]) -> int:
    """
    @return: how many functions were called, and have returned: what it costs, the
        same on any machine.
    """
    events = 0

    def seen(*_: object) -> None:
        nonlocal events
        events += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        do()
    finally:
        sys.setprofile(before)
    return events


class CheapTests(SynchronousTestCase):
    """
    Row 18: a call that is refused costs little.
    """

    def cost(self, refusing: Refusing, code: str) -> float:
        """
        @return: of a call that ends so.
        """
        talk = Talk(limits=Limits(**refusing.limits))
        self.addCleanup(talk.close)
        holder, its = talk.extended()
        for seq in range(1, 1 + refusing.held):
            call = talk.request(f"{its}:{seq}", "wait", [50_000], ext={"ack": 1})
            call["ext"]["timeout"] = 60_000
            talk.say(holder, call)
        peer, session = talk.extended()
        frames = [
            written(session, seq, refusing.method, refusing.timeout)
            for seq in range(1, 102)
        ]
        server: Any = next(iter(reversed(list(talk.server.factory.shared.connections))))
        # The first may be another case: it takes the only token.
        talk.clock.stall(refusing.stall)
        server.dataReceived(b"".join(frames[:51]))
        talk.pump()
        talk.clock.stall(refusing.stall)
        costs = _events(lambda: server.dataReceived(b"".join(frames[51:])))
        talk.pump()
        codes = [it.get("ext", {}).get("code", "OK") for it in peer.frames[2:]]
        self.assertEqual(codes, [code] * 100)
        return costs / 50

    def test_refusals(self) -> None:
        """
        Whichever limit refuses it, it costs the server not much more than one that
        is done, of the cheapest kind.
        """
        # What the tests' own observers make of it is not the server's affair.
        self.patch(Logger, "debug", lambda *_, **__: None)
        accepted = self.cost(ACCEPTED, "OK")
        for name, refusing in REFUSING.items():
            code = "DEADLINE_EXCEEDED" if name == "deadline" else "RESOURCE_EXHAUSTED"
            costs = self.cost(refusing, code)
            self.assertLess(costs, 5 * accepted, name)


class Gated(Rapid):
    """
    What goes on in a thread does so until it is let go.

    @ivar gate: lets it go.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.gate = threading.Event()

    def thread_goes_on(self, milliseconds: int) -> int:
        with self._run("thread_goes_on"):
            self.gate.wait(30)
        return milliseconds


class RapidTests(SynchronousTestCase):
    """
    Row 26: what is cancelled gives up its slot when it has ended, and not before,
    at each limit on calls in progress.
    """

    def start(self, what: str) -> None:
        """
        Serve one that is limited so.
        """
        limits, service = LIMITS[what]
        text = Path(__file__).with_name("rapid.idl").read_text()
        text = text.partition("/** The same")[0]
        if service == "Few":
            text = text.replace("service", f"@max_concurrency({LIMIT}) service")
        self.rapid = Gated()
        self.talk = Conversation(
            text, self.rapid, limits=Limits(**limits), threads=2 * LIMIT
        )
        self.rapid._reactor = self.talk.clock
        self.addCleanup(self.talk.close)
        self.addCleanup(self.rapid.gate.set)
        self.peer, self.session = self.talk.extended()

    def call(self, name: str, *seqs: int) -> None:
        """
        Call.
        """
        self.talk.say(
            self.peer,
            *(
                self.talk.request(
                    f"{self.session}:{seq}",
                    name,
                    [METHODS[name]],
                    ext={"timeout": 30_000, "ack": 1},
                )
                for seq in seqs
            ),
        )

    def cancel(self, *seqs: int) -> None:
        """
        Give up.
        """
        self.talk.say(
            self.peer,
            *(
                {
                    "request_id": f"${seq}",
                    "service": "$rpc",
                    "method": "cancel",
                    "params": [f"{self.session}:{seq}"],
                    "timestamp": 1.0,
                }
                for seq in seqs
            ),
        )

    def until_begun(self) -> None:
        """
        Wait until so many run as may.
        """
        while self.rapid.running[""] < LIMIT:
            self.talk.clock.wait_for_thread(0.001)

    def until_ended(self) -> None:
        """
        Wait until nothing runs.
        """
        threads = self.talk.server.factory.shared.threads
        self.rapid.gate.set()
        while self.rapid.running[""] or threads.outstanding:
            self.talk.clock.wait_for_thread(0.001)
            self.talk.advance(0.005)

    def test_ends(self) -> None:
        """
        What ends when it is cancelled makes room at once; what waits is given up
        too, and what comes then runs.
        """
        for what, name in product(LIMITS, ("deferred", "coroutine", "thread")):
            self.start(what)
            self.call(name, *range(1, 61))
            self.until_begun()
            self.cancel(*range(1, 61))
            while self.rapid.running[""]:
                self.talk.clock.wait_for_thread(0.001)
            self.talk.pump()
            while self.talk.server.gauges()["calls_running"]:
                self.talk.clock.wait_for_thread(0.001)
                self.talk.pump()
            self.call(name, *range(61, 121))
            self.until_begun()
            self.cancel(*range(61, 121))
            self.until_ended()
            self.assertEqual(self.rapid.most[name], LIMIT, (what, name))

    def test_goes_on(self) -> None:
        """
        What goes on keeps its slot: nothing else runs until it has ended.
        """
        kinds = ("deferred_goes_on", "coroutine_goes_on", "thread_goes_on")
        for what, name in product(LIMITS, kinds):
            self.start(what)
            self.call(name, *range(1, 61))
            self.until_begun()
            self.cancel(*range(1, 61))
            self.call(name, *range(61, 121))
            self.assertEqual(self.rapid.running[name], LIMIT, (what, name))
            self.assertEqual(self.rapid.runs[name], LIMIT, (what, name))
            self.assertEqual(self.talk.server.gauges()["calls_running"], LIMIT)
            self.until_ended()
            self.assertEqual(self.rapid.most[name], LIMIT, (what, name))
            self.call(name, 121)
            self.until_ended()
            self.assertGreater(self.rapid.runs[name], LIMIT, (what, name))
