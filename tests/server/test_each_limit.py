"""
Tests that each limit of a server has an effect, counts it, and can be switched off:
what L{tests.test_limits_page} finds on the page is tried here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tests.raw import Conversation, RawPeer
from twisted_rpc import Limits, MemoryStore
from twisted_rpc.errors import Unauthenticated
from twisted_rpc.twistd.limits import read_limits
from twisted_rpc.wire.limits import DURATIONS, OFF, SIZES, SWITCHABLE

IDL = """
service Work {
    int slow();
    @idempotent string text(string text);
    @readonly @rate_limit(1, per=60s) int rare();
}
"""


class Work:
    """
    What is limited.
    """

    def slow(self) -> Deferred[int]:
        """It does not end."""
        return Deferred()

    def text(self, text: str) -> str:
        """As it is."""
        return text

    def rare(self) -> int:
        """At once."""
        return 1


class Names:
    """
    Knows who says a name, and nobody else.
    """

    required = True

    def authenticate(self, peer: Any, auth: Any) -> str:
        """By what it says."""
        if auth is None:
            raise Unauthenticated(message="who are you?")
        return str(auth["token"])


class Anybody(Names):
    """
    Lets strangers in too.
    """

    required = False


class Talk(Conversation):
    """
    A server, and what peers do that reaches its limits.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(IDL, Work(), **options)
        self.seq = 0

    def named(self, name: str) -> tuple[RawPeer, str]:
        """
        @return: an authenticated peer, and its session.
        """
        return self.extended(auth={"scheme": "bearer", "token": name})

    def send(
        self, to: tuple[RawPeer, str], method: str, *params: Any, **ext: Any
    ) -> Any:
        """
        Send a call, with a day of time.

        @return: its answer, or C{None}.
        """
        peer, session = to
        self.seq += 1
        ext = {"timeout": 86_400_000, "ack": 1, **ext}
        request = self.request(f"{session}:{self.seq}", method, params, ext=ext)
        answers = self.say(peer, request)
        return answers[0] if answers else None

    def calls(self, count: int = 4) -> None:
        """
        One peer makes so many calls.
        """
        peer = self.extended()
        for _ in range(count):
            self.send(peer, "slow")

    def large_calls(self) -> None:
        """
        Calls wait with more than 100 bytes.
        """
        peer = self.extended()
        for _ in range(4):
            self.send(peer, "slow")
            self.send(peer, "text", "x" * 90)

    def standing_queue(self) -> None:
        """
        Calls come while others have waited for long.
        """
        peer = self.extended()
        for _ in range(30):
            self.send(peer, "slow")
            self.advance(0.1)

    def many_callers(self) -> None:
        """
        Three callers make a call each of a method with a limit on its rate.
        """
        for name in ("ann", "bob", "eve"):
            self.send(self.named(name), "rare")

    def from_the_future(self) -> None:
        """
        A plain peer's clock is a minute ahead.
        """
        request = self.request("a", "text", ["x"])
        self.say(self.connect(), {**request, "timestamp": request["timestamp"] + 60})

    def two_connections(self) -> None:
        """
        A peer connects twice.
        """
        self.connect()
        self.connect()

    def no_tls(self) -> None:
        """
        TLS is not agreed within 90 s.
        """
        alsoProvides(self.connect().transport.peer, ISSLTransport)
        self.advance(90, step=5)

    def silence(self) -> None:
        """
        A peer says nothing for 10 min.
        """
        self.connect()
        self.advance(600, step=10)

    def half_a_frame(self) -> None:
        """
        A frame is not complete within 90 s.
        """
        self.connect().transport.write(b"\x00\x00\x10\x00{")
        self.advance(90, step=5)

    def never_reads(self) -> None:
        """
        A peer takes nothing for 90 s.
        """
        self.extended()
        (connection,) = self.server.factory.shared.connections
        connection.pauseProducing()
        self.advance(90, step=5)

    def kept_open(self) -> None:
        """
        A peer keeps its end open for 90 s after the close.
        """
        self.extended()
        connection: Any
        (connection,) = self.server.factory.shared.connections
        connection._finish = lambda: None
        connection.close()
        self.advance(90, step=5)
        connection.abort()

    def unended_call(self) -> None:
        """
        A call does not end for five minutes.
        """
        self.calls(1)
        self.advance(300, step=5)

    def few_pings(self) -> None:
        """
        A client agrees to ping, and is silent for 3 min.
        """
        self.extended(ping=15_000)
        self.advance(180, step=5)

    def many_pings(self) -> None:
        """
        A client wishes to ping often.
        """
        self.extended(ping=1)

    def large_frame(self) -> None:
        """
        A frame of 3,000 bytes.
        """
        self.send(self.extended(), "text", "x" * 3000)

    def large_hello(self) -> None:
        """
        The same, before it is known who it is.
        """
        self.hello(
            self.connect(),
            software="x" * 128,
            session="y" * 64,
            more="z" * 999,
            all="z" * 999,
        )

    def metadata(self) -> None:
        """
        Two names, 22 bytes.
        """
        meta = {"one": "12345678", "two": "12345678"}
        self.send(self.extended(), "text", "x", meta=meta)

    def illegal(self) -> None:
        """
        Fifty messages that are not legal.
        """
        peer, _ = self.extended()
        for _ in range(50):
            if not peer.lost:
                self.say(peer, self.request("no number", "slow", []))


class Limited(NamedTuple):
    """
    @ivar value: that is reached.
    @ivar reach: what reaches it.
    @ivar counter: what counts that.
    @ivar more: what else is needed for it.
    @ivar off: a value that is not reached; C{OFF} unless it cannot be.
    """

    value: float
    reach: Callable[[Talk], None]
    counter: str = ""
    more: Mapping[str, Any] = MappingProxyType({})
    off: float = OFF


ALONE: dict[str, Any] = {"max_concurrency": 1, "delay": OFF}
KNOWN: dict[str, Any] = {"authenticator": Names()}

#: Each limit of a server.  C{output} is the kernel's business (L{tests.test_transport}),
#: C{hello} a client's.
LIMITED: dict[str, Limited] = {
    "max_concurrency": Limited(2, Talk.calls),
    "max_concurrency_per_principal": Limited(2, Talk.calls),
    "max_inflight": Limited(2, Talk.calls),
    "max_queue": Limited(2, Talk.calls, more=ALONE),
    "max_queue_bytes": Limited(100, Talk.large_calls, more=ALONE),
    "delay": Limited(0.05, Talk.standing_queue, more={"max_concurrency": 1}),
    "delay_interval": Limited(
        0.1, Talk.standing_queue, "limits.delay", {"max_concurrency": 1}, off=1e9
    ),
    "max_buckets": Limited(2, Talk.many_callers, more=KNOWN),
    "ahead": Limited(30, Talk.from_the_future, "errors.INVALID_ARGUMENT"),
    "max_connections": Limited(1, Talk.two_connections),
    "max_connections_per_address": Limited(1, Talk.two_connections),
    "handshake": Limited(30, Talk.no_tls),
    "first_frame": Limited(30, Talk.silence, more=KNOWN),
    "frame": Limited(30, Talk.half_a_frame),
    "idle": Limited(30, Talk.silence),
    "write_stall": Limited(30, Talk.never_reads),
    "close": Limited(30, Talk.kept_open, off=1000),
    "max_age": Limited(30, Talk.unended_call),
    "grace": Limited(30, Talk.unended_call, more={"max_age": 60}, off=1e9),
    "min_ping": Limited(30, Talk.many_pings, off=0),
    "ping_timeout": Limited(30, Talk.few_pings),
    "max_frame": Limited(2048, Talk.large_frame, off=4096),
    "max_frame_unauthenticated": Limited(
        1024, Talk.large_hello, "limits.max_frame", KNOWN
    ),
    "max_meta": Limited(20, Talk.metadata, "errors.INVALID_ARGUMENT"),
    "max_meta_names": Limited(1, Talk.metadata, "errors.INVALID_ARGUMENT"),
    "max_faults": Limited(30, Talk.illegal, "errors.INVALID_ARGUMENT"),
}


class EachLimitTests(SynchronousTestCase):
    """
    Limits, one by one.
    """

    def talk(self, limits: dict[str, Any], **options: Any) -> Talk:
        """
        @return: a server with these limits, and its peers.
        """
        talk = Talk(limits=Limits(**limits), **options)
        self.addCleanup(talk.close)
        return talk

    def count(self, name: str, value: float) -> int:
        """
        Reach a limit.

        @return: what was counted.
        """
        row = LIMITED[name]
        more = dict(row.more)
        options = {"authenticator": more.pop("authenticator", None)}
        talk = self.talk({"idle": OFF, **more, name: value}, **options)
        row.reach(talk)
        return talk.server.counters().get(row.counter or f"limits.{name}", 0)

    def test_all(self) -> None:
        """
        There is no other.
        """
        names = {field.name for field in fields(Limits)}
        self.assertEqual(names - {"hello", "output"}, set(LIMITED))

    def test_reached(self) -> None:
        """
        Beyond it something is refused, ended or made to wait, and counted.
        """
        for name, row in LIMITED.items():
            self.assertGreater(self.count(name, row.value), 0, name)

    def test_off(self) -> None:
        """
        Switched off, or where it cannot be, with a larger value, it does nothing.
        """
        for name, row in LIMITED.items():
            if name == "max_faults":
                # They are counted all the same, all of them.
                self.assertEqual(self.count(name, row.value), row.value)
                self.assertEqual(self.count(name, OFF), 50)
                continue
            self.assertEqual(row.off == OFF, name in SWITCHABLE, name)
            self.assertEqual(self.count(name, row.off), 0, name)

    def test_options(self) -> None:
        """
        C{twistd rpc} takes each by its name, and C{off} where it can be.
        """
        for field in fields(Limits):
            name = field.name
            words = {f"{name}=2048": 2048.0}
            if name in DURATIONS:
                words = {f"{name}=2s": 2.0, f"{name}=500ms": 0.5}
            elif name in SIZES:
                words = {f"{name}=2KiB": 2048.0}
            if name in SWITCHABLE:
                words[f"{name}=off"] = inf
            for text, value in words.items():
                self.assertEqual(getattr(read_limits([text]), name), value, text)


class ArgumentTests(SynchronousTestCase):
    """
    Limits that are arguments of L{Server<twisted_rpc.Server>} themselves.
    """

    def test_default_timeout(self) -> None:
        """
        A call that names no time has C{default_timeout}.
        """
        talk = Talk(default_timeout=2.0)
        self.addCleanup(talk.close)
        peer, session = talk.extended()
        self.assertEqual(
            talk.say(peer, talk.request(f"{session}:1", "slow", [], ext={"ack": 1})), []
        )
        talk.advance(1.9, step=0.1)
        self.assertEqual(len(peer.frames), 1)
        talk.advance(0.3, step=0.1)
        self.assertEqual(peer.frames[-1]["ext"]["code"], "DEADLINE_EXCEEDED")
        self.assertEqual(talk.server.counters()["errors.DEADLINE_EXCEEDED"], 1)


class RecordTests(SynchronousTestCase):
    """
    The bounds of the record of calls.
    """

    def counters(self, reach: Callable[[Talk], None], **bounds: Any) -> dict[str, int]:
        """
        @return: what was counted.
        """
        talk = Talk(
            dedup=MemoryStore(**bounds),
            limits=Limits(idle=OFF),
            authenticator=Anybody(),
        )
        self.addCleanup(talk.close)
        reach(talk)
        return talk.server.counters()

    def test_answers_evicted(self) -> None:
        """
        Answers for which there was no room are counted, of a session, of a
        principal's plain requests and of all together; without the bound none is.
        """
        for reach, name, value, off in (
            (self.session, "session_bytes", 40_000, OFF),
            (self.plain, "principal_bytes", 40_000, OFF),
            (self.session, "total_bytes", 65_536, 10**9),
        ):
            counters = self.counters(reach, **{name: value})
            self.assertGreater(counters["answers_evicted"], 5, name)
            self.assertNotIn("answers_evicted", self.counters(reach, **{name: off}))

    def session(self, talk: Talk) -> None:
        """
        Twenty answers of 4 kB, of a session.
        """
        peer = talk.extended()
        for _ in range(20):
            talk.send(peer, "text", "x" * 4000)

    def plain(self, talk: Talk) -> None:
        """
        And without one.
        """
        peer = talk.connect()
        for n in range(20):
            talk.say(peer, talk.request(str(n), "text", ["x" * 4000]))

    def test_refused(self) -> None:
        """
        What is beyond the others is answered with the code that counts it, and not
        without the bound.
        """
        for reach, name, value, off, code in (
            (self.far, "window", 10, 1024, "RESOURCE_EXHAUSTED"),
            (self.duplicates, "waiters", 2, OFF, "IN_PROGRESS"),
            (self.sessions, "sessions", 2, OFF, "RESOURCE_EXHAUSTED"),
            (self.sessions, "sessions_per_principal", 2, OFF, "RESOURCE_EXHAUSTED"),
            (self.back, "retention", 30, OFF, "SESSION_UNKNOWN"),
        ):
            named = self.counters(reach, **{name: value})
            self.assertGreater(named.get(f"errors.{code}", 0), 0, name)
            self.assertEqual(self.counters(reach, **{name: off})["errors"], 0, name)

    def far(self, talk: Talk) -> None:
        """
        A call far ahead of the first.
        """
        peer = talk.extended()
        talk.seq = 11
        talk.send(peer, "text", "x")

    def duplicates(self, talk: Talk) -> None:
        """
        A call is sent four times.
        """
        peer = talk.extended()
        for _ in range(4):
            talk.seq = 0
            talk.send(peer, "slow")

    def sessions(self, talk: Talk) -> None:
        """
        Four sessions of one caller.
        """
        for _ in range(4):
            talk.hello(talk.connect(), auth={"scheme": "bearer", "token": "ann"})

    def back(self, talk: Talk) -> None:
        """
        A client comes back to its session after a minute, and repeats a call.
        """
        peer, session = talk.extended()
        request = talk.request(f"{session}:1", "text", ["x"], ext={"ack": 1})
        talk.say(peer, request)
        peer.transport.loseConnection()
        talk.advance(60)
        again, _ = talk.extended(session=session)
        talk.say(again, request)
