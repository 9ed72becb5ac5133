"""
Tests for calls that come together: they are answered as those that come alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextvars import ContextVar
from itertools import pairwise, product
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation, RawPeer
from tests.taken import held, taken
from twisted_rpc import Limits, RPCError, current_call, threaded, transport
from twisted_rpc.call import calling
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import RECORD_SIZE
from twisted_rpc.delivery.steps import MemorySteps
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code
from twisted_rpc.server.protocol import ServerProtocol
from twisted_rpc.server.straight import StraightProtocol

IDL = """
service Work {
    int add(int a, int b);
    int sub(int a, int b);
    @readonly int peek(int a);
    @idempotent string text(int length);
    int later(int a);
    int awaited(int a);
    int soon(int a);
    int fail(string how);
    int seen(int a);
    int hold(int milliseconds);
    @deprecated("gone soon") int old(int a);
    int thread(int a);
    string wrong();
    @idempotent oneway void tell(int a);
    int nest(int a);
}

service Rest {
    int add(int a, int b);
    int peek(int a);
    @readonly int nest(int a);
    @deprecated("gone soon") int sub(int a, int b);
}
"""

#: Set by an implementation, as by a library that it uses.
COLOUR: ContextVar[str] = ContextVar("colour", default="none")


class Work:
    """
    Notes what ran, and what it saw.

    @ivar nested: called while a call runs, once.
    """

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.log: list[tuple[Any, ...]] = []
        self.waiting: list[Deferred[int]] = []
        self.nested: list[Callable[[], object]] = []

    def _note(self, *what: Any) -> None:
        call = current_call()
        self.log.append(
            (
                *what,
                call.service,
                call.name,
                call.id.partition(":")[2],
                call.seq,
                call.params,
                round(call.time_left, 6),
                call.attempt,
                COLOUR.get(),
            )
        )

    def add(self, a: int, b: int) -> int:
        """The sum."""
        self._note(a, b)
        return a + b

    def sub(self, a: int, b: int) -> int:
        """The difference."""
        self._note(a, b)
        return a - b

    def peek(self, a: int) -> int:
        """Itself."""
        self._note(a)
        return a

    def text(self, length: int) -> str:
        """So many letters."""
        self._note(length)
        return "x" * length

    def later(self, a: int) -> Deferred[int]:
        """When the test says so."""
        self._note(a)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def soon(self, a: int) -> Deferred[int]:
        """At once, in a Deferred."""
        self._note(a)
        return succeed(a)

    async def awaited(self, a: int) -> int:
        """When the test says so; what it has set goes with it."""
        self._note(a)
        COLOUR.set("awaited")
        self.waiting.append(Deferred())
        await self.waiting[-1]
        self._note("after")
        return a

    def fail(self, how: str) -> int:
        """Fail."""
        self._note(how)
        if how == "unrun":
            raise RPCError(Code.UNAVAILABLE, "not now", executed="no")
        if how == "rpc":
            raise RPCError(Code.NOT_FOUND, "no such thing")
        raise ZeroDivisionError("a secret")

    def seen(self, a: int) -> int:
        """Set a variable, and say what was there."""
        self._note(a)
        COLOUR.set(f"of {a}")
        return a

    def hold(self, milliseconds: int) -> int:
        """Let time pass."""
        self._note(milliseconds)
        self.clock.advance(milliseconds / 1000)
        return milliseconds

    def old(self, a: int) -> int:
        """Itself."""
        self._note(a)
        return a

    @threaded
    def thread(self, a: int) -> int:
        """Itself."""
        return a

    def wrong(self) -> Any:
        """Not what the IDL says."""
        self._note()
        return 5

    def tell(self, a: int) -> None:
        """Nothing."""
        self._note(a)

    def nest(self, a: int) -> int:
        """Itself, when what comes meanwhile has been handed on."""
        self._note(a)
        if self.nested:
            self.nested.pop()()
        return a


def frame(
    session: str,
    seq: int | str,
    method: str = "add",
    params: bytes = b"[5,3]",
    *,
    timeout: int = 10_000,
    ack: int = 1,
    more: str = "",
    service: str = "Work",
    layout: str = '{"request_id":"%s","method":"%s","params":%s,"timestamp":1.5,"service":"%s","ext":{%s}}',
) -> bytes:
    """
    A request, as our own client writes it but for what is said otherwise.
    """
    ext = f'"timeout":{timeout},"ack":{ack}{more}'
    given = f"{session}:{seq}", method, params.decode(), service, ext
    return (layout % given).encode()


def framed(frames: list[bytes]) -> bytes:
    """
    Frames as they are sent.
    """
    return b"".join(len(each).to_bytes(4, "big") + each for each in frames)


class Line(NamedTuple):
    """
    A connection: its peer, its session, and the server's end.
    """

    peer: RawPeer
    session: str
    protocol: ServerProtocol


class Told:
    """
    A server, and a peer that sends it frames.

    @ivar lines: its connections, as far as their state is told.
    """

    def __init__(self, **options: Any) -> None:
        self.work = Work(None)
        self.talk = Conversation(IDL, self.work, **options)
        self.work.clock = self.talk.clock
        self.shared: Any = self.talk.server.factory.shared
        self.store: Any = self.shared.store
        self.use(self.join())

    def use(self, line: Line) -> None:
        """
        From here on this is its connection.
        """
        self.lines = [line]
        self.peer, self.session, self.protocol = line
        self.kept: Any = self.protocol.session
        self.work.log.clear()

    def join(self, **hello: Any) -> Line:
        """
        Open another connection.
        """
        peer, session = self.talk.extended(**hello)
        return Line(peer, session, [*self.shared.connections][-1])

    def tell(self, frames: list[bytes]) -> list[Any]:
        """
        Send frames, all at once.

        @return: what is answered.
        """
        return self.tell_bytes(framed(frames))

    def tell_bytes(self, *reads: bytes) -> list[Any]:
        """
        Send bytes, which arrive in these pieces.

        @return: what is answered.
        """
        before = len(self.peer.frames)
        for data in reads:
            if self.peer.lost:
                break
            self.peer.transport.write(data)
            self.talk.pump()
        return self.peer.frames[before:]

    @property
    def state(self) -> dict[str, Any]:
        """
        What is left behind in the server.
        """
        shared = self.shared
        received = sum(line.protocol.frames_received for line in self.lines)
        figures = shared.counters.figures(received)
        # How the answers were cut into writes is no matter.
        figures.pop("limits.output", None)
        return {
            "sessions": [_remembered(line.protocol.session) for line in self.lines],
            "bytes": self.store.bytes,
            "running": shared.dispatch.running,
            "connections": [
                (line.protocol.inflight, line.protocol.closing) for line in self.lines
            ],
            "figures": figures,
            "log": self.work.log,
        }

    def end(self) -> None:
        """
        Let everything end.
        """
        for each in self.work.waiting:
            each.callback(7)
        self.work.waiting.clear()
        self.talk.pump()


def _remembered(session: Any) -> dict[str, Any]:
    """
    What a server remembers of a session; not by L{Session.records}, which makes
    others of what it finds.
    """
    records = {
        seq: (method, params, State.DONE, str(answer), RECORD_SIZE + len(answer))
        for seq, (method, params, answer) in session.noted.items()
    }
    for seq, record in session.kept.items():
        outcome = re.sub("error_id [0-9a-f]+", "", str(record.outcome))
        records[seq] = (
            record.method,
            record.params,
            record.state,
            outcome,
            record.size,
        )
    return {
        "records": records,
        "floor": session.floor,
        "bytes": session.bytes,
        "running": session.running,
    }


def plain(answers: list[Any], session: str) -> list[Any]:
    """
    Answers without what differs from server to server.
    """
    text = json.dumps(answers).replace(session, "SESSION")
    found: list[Any] = json.loads(text)
    for answer in found:
        # Of when the turn, or its first answer, began.
        del answer["timestamp"]
        if "error_id" in answer.get("ext", {}):
            answer["ext"]["error_id"] = answer["error"] = "some"
    return found


def _instead(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """
    A frame in which one text stands for another.
    """
    return lambda data: framed([data.replace(old, new, 1)])


class StraightTests(SynchronousTestCase):
    """
    Calls that come in one piece.
    """

    def setUp(self) -> None:
        """
        One is several.
        """
        self.patch(transport, "SEVERAL", 1)

    def start(self, **options: Any) -> Told:
        """
        A server, and a peer of it.
        """
        told = Told(**options)
        self.addCleanup(told.talk.close)
        return told

    def test_together(self) -> None:
        """
        Calls that come together go the straight way: several methods, each with its
        time, and acks.
        """
        counter, told = taken(self), self.start()
        answers = told.tell(
            [
                frame(told.session, 1),
                frame(told.session, 2),
                frame(told.session, 3, "peek", b"[7]", timeout=500),
                frame(told.session, 4, "text", b"[2]", ack=3),
                frame(told.session, 5, "add", b"[1,1]", ack=3),
            ]
        )
        self.assertEqual([each["result"] for each in answers], [8, 8, 7, "xx", 2])
        self.assertEqual(counter.frames, 5)
        self.assertEqual(
            [(name, time) for *_, name, _, _, _, time, _, _ in told.work.log],
            [("add", 10), ("add", 10), ("peek", 0.5), ("text", 10), ("add", 10)],
        )
        # What was acknowledged is gone; what only reads was never there.
        self.assertEqual(sorted(told.kept.records), [4, 5])
        self.assertEqual(told.kept.floor, 2)

    def test_in_turn(self) -> None:
        """
        Methods that are called in turn are taken in one go, like one.
        """
        went: list[int] = []
        go: Any = StraightProtocol._go_straight

        def counted(*args: Any) -> Any:
            taken, *rest = go(*args)
            went.append(taken)
            return taken, *rest

        self.patch(StraightProtocol, "_go_straight", counted)
        told = self.start()
        answers = told.tell(
            [
                frame(told.session, seq, ("add", "peek")[seq % 2], params)
                for seq in range(1, 31)
                for params in [(b"[5,3]", b"[7]")[seq % 2]]
            ]
        )
        self.assertEqual([each["result"] for each in answers], [7, 8] * 15)
        self.assertEqual(went, [9, 21])

    def test_alone(self) -> None:
        """
        A call that comes alone does not, nor do a few.
        """
        self.patch(transport, "SEVERAL", 6)
        counter, told = taken(self), self.start()
        for seq in (1, 2, 3):
            (answer,) = told.tell([frame(told.session, seq)])
            self.assertEqual(answer["result"], 8)
        self.assertEqual(counter.frames, 0)

    def test_cut(self) -> None:
        """
        A call is run when all of its frame is there, wherever that is cut, and not
        before.
        """
        whole = len(framed([frame("0" * 32, 8)]))
        told = self.start()
        for cut in range(1, whole):
            told.use(told.join())
            data = framed([frame(told.session, seq) for seq in range(1, 9)])
            at = len(data) - whole + cut
            early = told.tell_bytes(data[:at])
            self.assertEqual([each["result"] for each in early], [8] * 7, cut)
            self.assertEqual(len(told.work.log), 7, cut)
            (last,) = told.tell_bytes(data[at:])
            self.assertEqual(last["result"], 8, cut)
            self.assertFalse(told.protocol.closing)
            told.peer.transport.loseConnection()

    def test_segments(self) -> None:
        """
        A turn of a client may come in segments of any size.
        """
        told = self.start()
        for size in (*range(1, 180, 25), *range(1300, 1461, 5)):
            told.use(told.join())
            data = framed([frame(told.session, seq) for seq in range(1, 65)])
            answers = told.tell_bytes(
                *(data[at : at + size] for at in range(0, len(data), size))
            )
            self.assertEqual([each["result"] for each in answers], [8] * 64, size)
            told.peer.transport.loseConnection()

    def test_shorter_alike(self) -> None:
        """
        Bytes that end as a call does are none.
        """
        told = self.start()
        frames = [frame(told.session, seq) for seq in range(1, 4)]
        answers = told.tell_bytes(framed(frames) + framed(frames)[-100:])
        self.assertEqual([each["result"] for each in answers[:3]], [8] * 3)
        self.assertEqual(len(told.work.log), 3)

    def test_beyond_window(self) -> None:
        """
        Of calls beyond the window none is run, also if they come together.
        """
        counter, told = taken(self), self.start()
        answers = told.tell([frame(told.session, seq) for seq in range(1026, 1130)])
        self.assertEqual(
            {each["ext"]["code"] for each in answers}, {"RESOURCE_EXHAUSTED"}
        )
        self.assertEqual((len(answers), told.work.log), (104, []))
        self.assertEqual(counter.frames, 0)

    def test_a_turn(self) -> None:
        """
        No turn has more frames than it may, also beyond the window.
        """
        turns: list[int] = []
        ended = ServerProtocol.turnEnded

        def noted(protocol: ServerProtocol) -> None:
            turns.append(protocol.frames_received)
            ended(protocol)

        self.patch(ServerProtocol, "turnEnded", noted)
        for start in (1, 1026):
            told = self.start()
            turns.clear()
            told.tell([frame(told.session, start)])
            told.tell([frame(told.session, start + n) for n in range(1, 600)])
            self.assertEqual(
                max(after - before for before, after in pairwise(turns)),
                transport.FRAMES_A_TURN,
            )

    def test_space_around_arguments(self) -> None:
        """
        Space around arguments is none of them: a repetition that comes alone has
        the answer of a call that came with others.
        """
        for params in (b"[5,3] ", b" [5,3]", b"[5,3]\n"):
            told = self.start()
            told.tell(
                [frame(told.session, 1)]
                + [frame(told.session, seq, params=params) for seq in range(2, 9)]
            )
            self.assertEqual({each[-4] for each in told.work.log}, {b"[5,3]"})
            (answer,) = told.tell(
                [frame(told.session, 8, params=params, more=',"attempt":2')]
            )
            self.assertEqual((answer["result"], answer["error"]), (8, None))

    def test_no_other_way(self) -> None:
        """
        Neither do calls of which the straight way does not do all: with
        interceptors, in threads, of deprecated methods, or with strict JSON.
        """
        counter = taken(self)
        for options, method in (
            ({"interceptors": [lambda responder: responder]}, "soon"),
            ({"strict_json": True}, "soon"),
            ({}, "old"),
        ):
            told = self.start(**options)
            answers = told.tell(
                [frame(told.session, seq, method, b"[4]") for seq in (1, 2, 3)]
            )
            self.assertEqual([each["result"] for each in answers], [4, 4, 4])
        told = self.start()
        told.tell([frame(told.session, seq, "thread", b"[4]") for seq in (1, 2)])
        while told.shared.threads.outstanding:
            told.talk.clock.wait_for_thread(10)
            told.talk.pump()
        self.assertEqual([each["result"] for each in told.peer.frames[-2:]], [4, 4])
        self.assertEqual(counter.frames, 0)

    def test_unusual_among_others(self) -> None:
        """
        Calls that are written in another way are answered in their turn, and those
        behind them go the straight way again.
        """
        counter, told = taken(self), self.start()
        answers = told.tell(
            [
                frame(told.session, 1),
                frame(told.session, 2, more=',"meta":{"a":"b"}'),
                frame(told.session, 3),
                frame(told.session, 4),
                b'{"request_id":"$1","method":"ping","params":[],"timestamp":1,"service":"$rpc"}',
                frame(told.session, 5),
            ]
        )
        self.assertEqual(len(answers), 6)
        self.assertEqual([each["result"] for each in answers[:4]], [8, 8, 8, 8])
        self.assertEqual(answers[5]["result"], 8)
        self.assertEqual(counter.frames, 4)

    def test_another_writer(self) -> None:
        """
        A client that writes in another way is not looked at again and again.
        """
        looked: list[int] = []
        received = StraightProtocol.framesReceived

        def counted(
            protocol: StraightProtocol, data: bytes, offset: int, most: int
        ) -> tuple[int, int]:
            looked.append(offset)
            return received(protocol, data, offset, most)

        self.patch(StraightProtocol, "framesReceived", counted)
        told = self.start()
        looked.clear()
        answers = told.tell(
            [frame(told.session, seq, more=',"attempt":1') for seq in range(1, 21)]
        )
        self.assertEqual([each["result"] for each in answers], [8] * 20)
        self.assertEqual(len(looked), 2)

    def test_variables(self) -> None:
        """
        What an implementation sets in its context no other call sees.
        """
        counter, told = taken(self), self.start()
        told.tell(
            [frame(told.session, seq, "seen", b"[%d]" % seq) for seq in range(1, 6)]
        )
        self.assertEqual([entry[-1] for entry in told.work.log], ["none"] * 5)
        self.assertEqual(counter.frames, 5)
        self.assertEqual(COLOUR.get(), "none")

    def test_current_call(self) -> None:
        """
        No call is current behind one.
        """
        told = self.start()
        current: list[Any] = []
        reply = type(told.protocol).reply

        def noted(protocol: Any, request: Any, result: bytes) -> None:
            current.append(calling())
            reply(protocol, request, result)

        self.patch(type(told.protocol), "reply", noted)
        told.tell([frame(told.session, 1), frame(told.session, 2, "soon", b"[1]")])
        self.assertEqual(current, [None])
        self.assertIsNone(calling())

    def test_coroutines(self) -> None:
        """
        A coroutine goes on in the context that it began in.
        """
        counter, told = taken(self), self.start()
        told.tell(
            [frame(told.session, seq, "awaited", b"[%d]" % seq) for seq in (1, 2, 3)]
        )
        told.end()
        self.assertEqual(counter.frames, 3)
        self.assertEqual(
            [(seq, colour) for *_, seq, _, _, _, colour in told.work.log],
            [(seq, colour) for colour in ("none", "awaited") for seq in (1, 2, 3)],
        )
        self.assertEqual([each["result"] for each in told.peer.frames[-3:]], [1, 2, 3])

    def test_time_passes(self) -> None:
        """
        A call whose time is over when its turn comes is not started, and the one
        that took the time is named in the log.
        """
        told = self.start()
        with capturedLogs() as events:
            answers = told.tell(
                [
                    frame(told.session, 1, "hold", b"[300]"),
                    frame(told.session, 2, "add", b"[5,3]", timeout=200),
                    frame(told.session, 3, "add", b"[5,3]", timeout=400),
                ]
            )
        self.assertEqual(answers[0]["result"], 300)
        self.assertEqual(answers[1]["ext"]["code"], "DEADLINE_EXCEEDED")
        self.assertEqual(answers[1]["ext"]["executed"], "no")
        self.assertEqual(answers[2]["result"], 8)
        self.assertEqual(held(events), [("hold", 300)])

    def test_drained_meanwhile(self) -> None:
        """
        Nothing is started once an implementation has let the server drain.
        """
        told = self.start()
        self.patch(
            told.work,
            "add",
            lambda a, b: [told.talk.server.factory.drain(5.0), a + b][1],
        )
        registered = told.shared.methods.table["Work"]["add"]
        registered.function = told.work.add
        answers = told.tell([frame(told.session, seq) for seq in (1, 2, 3)])
        codes = [
            each["ext"]["code"]
            for each in answers
            if each["request_id"].startswith(told.session) and each["error"]
        ]
        self.assertEqual(codes, ["UNAVAILABLE", "UNAVAILABLE"])

    def test_repeated_together(self) -> None:
        """
        Calls that come again, by another connection and by the same, are answered
        from their records.
        """
        told = self.start()
        frames = [frame(told.session, seq) for seq in (1, 2, 3)]
        told.tell(frames)
        first, told.peer = told.peer, told.talk.connect()
        told.talk.hello(told.peer, session=told.session)
        found = told.tell(frames)
        told.peer = first
        for answers in (found, told.tell(frames)):
            self.assertEqual(
                [(each["result"], each["ext"]) for each in answers],
                [(8, {"replayed": True})] * 3,
            )
        self.assertEqual(len(told.work.log), 3)

    def test_repeated_while_it_runs(self) -> None:
        """
        A call that is repeated before its implementation has returned, by way of
        another connection, does not run twice, and its answer is kept.
        """
        told = self.start()
        other = told.talk.connect()
        told.talk.hello(other, session=told.session)
        (protocol,) = {*told.shared.connections} - {told.protocol}
        again = frame(told.session, 2, "hold", b"[2]")
        hold = told.work.hold

        def holding(milliseconds: int) -> int:
            if milliseconds == 2:
                protocol.dataReceived(len(again).to_bytes(4, "big") + again)
            return hold(milliseconds)

        table = told.shared.methods.table["Work"]
        table["hold"].function = holding
        before = len(other.frames)
        answers = told.tell(
            [frame(told.session, seq, "hold", b"[%d]" % seq) for seq in (1, 2, 3)]
        )
        self.assertEqual([each["result"] for each in answers], [1, 2, 3])
        self.assertEqual([entry[0] for entry in told.work.log], [1, 2, 3])
        (refused,) = other.frames[before:]
        self.assertEqual(refused["request_id"], f"{told.session}:2")
        self.assertIsNone(refused["result"])
        self.assertFalse(told.kept.noted.keys() & told.kept.kept.keys())
        self.assertEqual(sorted(told.kept.records), [1, 2, 3])
        self.assertEqual(
            {record.state for record in told.kept.records.values()}, {State.DONE}
        )
        # Once it has ended, it is answered from its record.
        (answer,) = told.talk.say(other, again)
        self.assertEqual((answer["result"], answer["ext"]), (2, {"replayed": True}))

    def test_repeated_straight_while_it_runs(self) -> None:
        """
        Nor does one that comes by a connection whose next call it is.
        """
        told = self.start()
        other = told.join(session=told.session)
        again = framed([frame(told.session, seq, "nest", b"[1]") for seq in (1, 2)])
        told.work.nested = [lambda: other.protocol.dataReceived(again)]
        (answer,) = told.tell([frame(told.session, 1, "nest", b"[1]")])
        self.assertEqual(answer["result"], 1)
        self.assertEqual([entry[-5] for entry in told.work.log], [1, 2])
        refused, answered = other.peer.frames[1:]
        self.assertEqual(refused["request_id"], f"{told.session}:1")
        self.assertIsNone(refused["result"])
        self.assertEqual(answered["result"], 1)
        self.assertEqual(sorted(told.kept.records), [1, 2])

    def test_while_one_reads(self) -> None:
        """
        While a call runs that only reads, the one before it, which has been
        acknowledged, is not remembered anew.
        """
        told = self.start()
        other = told.join(session=told.session)
        told.work.nested = [
            lambda: other.protocol.dataReceived(
                framed([frame(told.session, 3, ack=2), frame(told.session, 4)])
            )
        ]
        told.tell(
            [
                frame(told.session, 1),
                frame(told.session, 2, "nest", b"[1]", service="Rest"),
            ]
        )
        self.assertEqual(len(told.work.log), 4)
        self.assertEqual(sorted(told.kept.records), [3, 4])

    def test_acknowledged_while_it_runs(self) -> None:
        """
        What has been acknowledged before it has ended is not kept.
        """
        told = self.start()
        other = told.join(session=told.session)
        told.work.nested = [
            lambda: other.protocol.dataReceived(framed([frame(told.session, 2, ack=2)]))
        ]
        told.tell([frame(told.session, 1, "nest", b"[1]"), frame(told.session, 2)])
        self.assertEqual([entry[-5] for entry in told.work.log], [1, 2])
        self.assertEqual(sorted(told.kept.records), [2])

    def test_ended_meanwhile(self) -> None:
        """
        Nothing is started once an implementation has ended its connection, or has
        it wait.
        """
        for end in ("close", "abort", "stop_frames"):
            told = self.start()
            told.work.nested = [getattr(told.protocol, end)]
            told.tell(
                [
                    frame(told.session, 1),
                    frame(told.session, 2, "nest", b"[1]"),
                    frame(told.session, 3),
                ]
            )
            self.assertEqual(len(told.work.log), 2, end)

    def test_acknowledged_when_it_has_run(self) -> None:
        """
        What a call acknowledges is there while it runs, however it ends.
        """
        for name, params in (("nest", b"[1]"), ("fail", b'["rpc"]'), ("later", b"[1]")):
            told = self.start()
            seen: list[Any] = []

            def look(
                *what: Any,
                note: Any = told.work._note,
                kept: Any = told.kept,
                seen: list[Any] = seen,
            ) -> None:
                note(*what)
                seen.append((kept.floor, sorted(kept.records)))

            self.patch(told.work, "_note", look)
            told.tell(
                [frame(told.session, 1), frame(told.session, 2, name, params, ack=2)]
            )
            self.assertEqual(seen[1], (0, [1, 2]))
            self.assertEqual((told.kept.floor, sorted(told.kept.records)), (1, [2]))
            told.end()

    def test_not_legal_behind_another_service(self) -> None:
        """
        What is not legal is not taken for a call, whatever stands where its method
        should.
        """
        for text in (b"", b"?", b"[", b'",'):
            told = self.start()
            change = _instead(b'","method":"add","params":', text)
            answers = told.tell_bytes(
                framed([frame(told.session, 1)])
                + change(frame(told.session, 2, service="Rest"))
                + framed([frame(told.session, 2)])
            )
            self.assertEqual([each["result"] for each in answers], [8, None, 8])
            self.assertEqual(answers[1]["ext"]["code"], "INVALID_ARGUMENT")
            self.assertEqual(len(told.work.log), 2)

    def test_another_store(self) -> None:
        """
        Where another store answers later, calls go the straight way that it has no
        record of: not those of one-way methods that change something.
        """
        counter = taken(self)
        store = MemorySteps(MemoryStore(), lambda: 0.0, lambda: 0.0)
        told = self.start(dedup=store)
        for seq, (method, params, straight) in enumerate(
            (
                ("add", b"[5,3]", 0),
                ("peek", b"[1]", 1),
                ("text", b"[1]", 1),
                ("tell", b"[1]", 0),
            ),
            1,
        ):
            counter.frames = 0
            (answer,) = told.tell([frame(told.session, seq, method, params)])
            self.assertIsNone(answer["error"])
            self.assertEqual(counter.frames, straight, method)
        # Asked again, it has not run twice.
        (answer,) = told.tell(
            [frame(told.session, 4, "tell", b"[1]", more=',"attempt":2')]
        )
        self.assertEqual(answer["ext"], {"replayed": True})
        self.assertEqual(len(told.work.log), 4)

    def test_room(self) -> None:
        """
        Answers are kept within the bounds of the store.
        """
        for bound in ({"session_bytes": 20_000}, {"total_bytes": 70_000}):
            frames = [("text", b"[3000]")] * 30
            told, other = (
                self.start(dedup=MemoryStore(**bound)),
                self.start(dedup=MemoryStore(**bound)),
            )
            together = told.tell(
                [frame(told.session, i, *each) for i, each in enumerate(frames, 1)]
            )
            alone = [
                other.tell([frame(other.session, i, *each)])[0]
                for i, each in enumerate(frames, 1)
            ]
            self.assertEqual(plain(together, told.session), plain(alone, other.session))
            self.assertEqual(told.state, other.state)
            self.assertGreater(told.store.evicted, 0)

    def test_big_answers(self) -> None:
        """
        Answers that are large, or larger than the client takes, are too.
        """
        told = self.start(limits=Limits(max_frame=400_000))
        peer, session = told.talk.extended(limits={"max_frame": 200_000})
        told.peer, told.session = peer, session
        answers = told.tell(
            [
                frame(session, seq, "text", b"[%d]" % size)
                for seq, size in enumerate((10, 70_000, 190_000, 210_000, 10), 1)
            ]
        )
        self.assertEqual(
            [len(each["result"] or "") for each in answers],
            [10, 70_000, 190_000, 0, 10],
        )
        self.assertEqual(answers[3]["ext"]["code"], "RESOURCE_EXHAUSTED")


def _length(more: int) -> Callable[[bytes], bytes]:
    """
    A frame with a length that is not its own.
    """
    return lambda data: max(0, len(data) + more).to_bytes(4, "big") + data


#: What may be done to a frame before it is sent: space, another order, members
#: twice, what is no UTF-8, a piece of it, another length.
CHANGES: list[Callable[[bytes], bytes]] = [
    *(
        lambda data, end=end: framed([data + end])
        for end in (b" ", b"\0", b"}", b'"x"')
    ),
    *(lambda data, cut=cut: framed([data[:cut]]) for cut in (-1, -2, -40, 5, 60)),
    *(lambda data, cut=cut: framed([data[cut:]]) for cut in (1, 16, -60)),
    *map(_length, (-1, 1, 4, -100, 100, -(10**6), 2**31)),
    _instead(b'"params":', b'"params": '),
    _instead(b',"timestamp"', b' ,"timestamp"'),
    _instead(b',"timestamp"', b'\n,"timestamp"'),
    _instead(b"5,3", b" 5,3 "),
    _instead(b'"ext":{', b'"ext": {'),
    _instead(b"}}", b"} }"),
    _instead(b'"timestamp":1.5,"service":"Work"', b'"service":"Work","timestamp":1.5'),
    _instead(b'"method"', b'"method":"peek","method"'),
    _instead(b'"params"', b'"params":[1,1],"params"'),
    _instead(b',"timestamp"', b',"params":[1,1],"timestamp"'),
    _instead(b',"service"', b',"service":"Other","service"'),
    _instead(b'"ack":', b'"ack":1,"ack":'),
    _instead(b'"ack":', b'"ack":0'),
    _instead(b'"rpc"', b'"\xff"'),
    _instead(b'"rpc"', b'"\xed\xa0\x80"'),
    _instead(b"5,3", b'5,"\xff"'),
    _instead(b"5,3", b"5,3e0"),
    _instead(b"5,3", b"5,NaN"),
    _instead(b"Work", b"W\xffrk"),
    _instead(b":", b"\\u003a"),
]

#: What is called: the service, the method, arguments.  Names and arguments of one
#: length are told apart by nothing else.
CALLS = [
    ("Work", "add", b"[5,3]"),
    ("Work", "add", b"[15,3]"),
    ("Work", "sub", b"[5,3]"),
    ("Rest", "add", b"[5,3]"),
    # The one only reads, the other is recorded.
    ("Work", "peek", b"[1]"),
    ("Rest", "peek", b"[1]"),
    # These go the long way.
    ("Rest", "sub", b"[5,3]"),
    ("None", "add", b"[5,3]"),
    ("Work", "add", b"[5,x]"),
    # These go straight, and then are unusual.
    ("Work", "later", b"[1]"),
    ("Work", "seen", b"[1]"),
    ("Work", "fail", b'["rpc"]'),
    ("Work", "hold", b"[500]"),
]

#: Further ones.
MORE_CALLS = [
    # As many of each service go the long way.
    *[("Work", "old", b"[1]"), ("Work", "missing", b"[1]")] * 3,
    *[("Rest", "missing", b"[5,3]"), ("Rest", "missing", b"[1]")] * 3,
    ("Work", "soon", b"[1]"),
    ("Work", "awaited", b"[1]"),
    ("Work", "wrong", b"[]"),
    ("Work", "tell", b"[1]"),
    ("Work", "add", b"[1]"),
    ("Work", "add", b"[1,2],"),
    ("Work", "text", b"[60]"),
    ("Work", "text", b"[2000]"),
    ("Work", "text", b"[%s60]" % (b" " * 70)),
    ("Work", "fail", b'["unrun"]'),
    ("Work", "fail", b'["other"]'),
    ("Work", "hold", b"[1]"),
]


class Said(NamedTuple):
    """
    A call, as somebody makes it.

    @ivar step: how far its seq is from the next.
    @ivar ack: how far what it acknowledges is from its seq; C{None}: the same as the
        one before.
    @ivar change: what is done to its frame.
    """

    call: tuple[str, str, bytes]
    step: int = 0
    timeout: int = 10_000
    ack: int | None = None
    more: str = ""
    change: Callable[[bytes], bytes] | None = None


#: Of each two ways in which a call can differ from the one before, one.
ALL_SAID = [
    *map(Said, CALLS),
    Said(CALLS[0], timeout=20_000),
    # It is over when the one that holds is.
    Said(CALLS[0], timeout=500),
    Said(CALLS[0], ack=0),
    Said(CALLS[5], ack=-1),
    Said(CALLS[0], more=',"attempt":2'),
    Said(CALLS[0], step=-1),
    *(
        Said(CALLS[3], change=_instead(b'","method":"add","params":', text))
        for text in (b"", b"?")
    ),
]

SAID = st.builds(
    Said,
    call=st.sampled_from(CALLS * 2 + MORE_CALLS),
    step=st.sampled_from([0] * 40 + [-1, -2, -3, 1, 5, 2000]),
    timeout=st.sampled_from([10_000] * 10 + [20_000, 5_000, 500, 500, 1]),
    ack=st.sampled_from([None] * 10 + [0, -1, -2, -9, 3]),
    more=st.sampled_from(
        [""] * 60
        + [
            ',"attempt":2',
            ',"meta":{"a":"b"}',
            ',"oneway":true',
            ',"crit":["new"]',
            ',"timeout":7',
        ]
    ),
    change=st.sampled_from([None] * 12 * len(CHANGES) + CHANGES),
)

#: A few calls: what is told apart badly is more often found beside one another.
FEW_SAID = st.lists(SAID, min_size=1, max_size=4)

#: And one while which others come.
NESTING = st.sampled_from([Said((name, "nest", b"[1]")) for name in ("Work", "Rest")])

#: How often in a row, and which of those.
RUNS = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 2, 3, 9]), st.integers(0, 4)), max_size=8
)

#: Where bytes are cut: at some place, or at the next of these texts behind it.
CUTS = st.lists(
    st.tuples(
        st.integers(0, 999),
        st.sampled_from([b',"timestamp"'] * 3 + [b"", b'{"request_id"', b"[", b"}}"]),
    ),
    max_size=6,
)

#: A connection, what is sent there, where it is cut, and what comes by another
#: connection while one of its calls runs.
TURNS = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 1, 2]), RUNS, CUTS, RUNS),
    min_size=1,
    max_size=4,
)

#: Which connection that is: of the same session, or of another.
BESIDE = {0: 1, 1: 0, 2: 0}

#: Stands for a session, which is different in every server.
SESSION = "SESSION-" * 4


class Author:
    """
    Writes what is sent by a connection.

    @ivar seq: the last number.
    """

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self._ack = 1

    def write_all(self, said: list[Said], runs: list[tuple[int, int]]) -> bytes:
        """
        Write calls, each so often.
        """
        return b"".join(
            self.write(said[which % len(said)]) for n, which in runs for _ in range(n)
        )

    def write(self, said: Said) -> bytes:
        """
        Write a call.
        """
        number = max(1, self.seq + 1 + said.step)
        if not said.step:
            self.seq += 1
        if said.ack is not None:
            self._ack = max(1, number + said.ack)
        service, method, params = said.call
        made = frame(
            SESSION,
            number,
            method,
            params,
            timeout=said.timeout,
            ack=self._ack,
            more=said.more,
            service=service,
        )
        return framed([made]) if said.change is None else said.change(made)


class Side(Told):
    """
    One of two servers that are told the same: by two connections of one session, and
    one of another.
    """

    def __init__(self, limits: Limits, *, straight: bool) -> None:
        super().__init__(limits=limits)
        if not straight:
            self.shared.straight = None
        self.peer.transport.loseConnection()
        self.talk.pump()
        self.store.end(self.kept)

    def begin(self, max_frame: int) -> None:
        """
        Open the connections.
        """
        limits = {"max_frame": max_frame}
        one = self.join(limits=limits)
        self.lines = [
            one,
            self.join(limits=limits, session=one.session),
            self.join(limits=limits),
        ]
        self.work.log.clear()

    def finish(self) -> None:
        """
        Let everything end, and see that nothing is left.
        """
        self.end()
        for line in self.lines:
            line.peer.transport.loseConnection()
        self.talk.pump()
        for session in [*self.store.sessions.values()]:
            self.store.end(session)
        assert self.store.bytes == 0, self.store.bytes

    def take(self, line: int, data: bytes, meanwhile: bytes) -> list[Any]:
        """
        Take bytes by one connection, and others while a call runs.

        @return: all answers.
        """
        before = [len(each.peer.frames) for each in self.lines]
        other = self.lines[BESIDE[line]]
        self.work.nested = [
            lambda: other.protocol.dataReceived(self._own(meanwhile, other))
        ]
        peer = self.lines[line].peer
        if not peer.lost:
            peer.transport.write(self._own(data, self.lines[line]))
        self.talk.pump()
        return [
            plain(each.peer.frames[start:], each.session)
            for each, start in zip(self.lines, before, strict=True)
        ]

    @staticmethod
    def _own(data: bytes, line: Line) -> bytes:
        return data.replace(SESSION.encode(), line.session.encode())


def _all_in_a_row(kinds: int, length: int) -> list[int]:
    """
    The shortest row in which all rows of a length stand somewhere (de Bruijn's; by
    Duval's algorithm).
    """
    row: list[int] = []
    word = [-1]
    while word:
        word[-1] += 1
        if length % len(word) == 0:
            row += word
        size = len(word)
        while len(word) < length:
            word.append(word[-size])
        while word and word[-1] == kinds - 1:
            word.pop()
    return row


class SameTests(SynchronousTestCase):
    """
    The straight way and the long way.
    """

    def setUp(self) -> None:
        """
        One is several.
        """
        self.patch(transport, "SEVERAL", 1)
        self.sides: list[Side] = []
        self.made: dict[bool, list[Side]] = {}
        self.addCleanup(self.close)

    def close(self) -> None:
        """
        End the servers.
        """
        for sides in self.made.values():
            for side in sides:
                side.talk.close()

    def begin(self, max_frame: int = 4_000_000, *, tight: bool = False) -> list[Side]:
        """
        Two servers with new connections.

        @param tight: they let few calls be in progress.
        """
        if tight not in self.made:
            limits = (
                Limits(max_faults=1_000_000, max_concurrency=2, max_inflight=3)
                if tight
                else Limits(max_faults=1_000_000)
            )
            self.made[tight] = [
                Side(limits, straight=straight) for straight in (True, False)
            ]
        self.sides = self.made[tight]
        for side in self.sides:
            side.begin(max_frame)
        return self.sides

    def same(self, line: int, data: bytes, meanwhile: bytes = b"") -> None:
        """
        Both take the same, answer the same, and are left in the same state.
        """
        found, expected = (side.take(line, data, meanwhile) for side in self.sides)
        self.assertEqual(found, expected)
        left, kept = (side.state for side in self.sides)
        self.assertEqual(left, kept)

    def test_every_three(self) -> None:
        """
        Whichever three calls come behind one another.
        """
        counter, sides, author = taken(self), self.begin(), Author(0)
        row = _all_in_a_row(len(ALL_SAID), 3)
        for start in range(0, len(row), 30):
            # The last two once more: no three are cut.
            some = [ALL_SAID[each] for each in row[start : start + 32]]
            data = author.write(Said(CALLS[0], ack=0)) + b"".join(
                map(author.write, some)
            )
            self.same(0, data)
            for side in sides:
                side.end()
                side.work.log.clear()
        for side in sides:
            side.finish()
        self.flushLoggedErrors()
        self.assertGreater(counter.frames, len(row) // 5)

    def test_every_ack(self) -> None:
        """
        Whatever each of four calls acknowledges: less than itself, or more.
        """
        sides, author = self.begin(), Author(0)
        for acks in product((None, -1, 0, 1, 2), repeat=4):
            some = [Said(CALLS[0], ack=ack) for ack in acks]
            self.same(0, b"".join(map(author.write, some)))
        for side in sides:
            side.finish()

    @settings(max_examples=200, deadline=None)
    @given(
        st.builds(lambda few, nesting: [*few, nesting], FEW_SAID, NESTING),
        TURNS,
        st.sampled_from([0] * 4 + [94, 989, 1014, 1025]),
        st.sampled_from([4_000_000, 1_500]),
        st.booleans(),
    )
    def test_same(
        self,
        said: list[Said],
        turns: list[Any],
        first: int,
        max_frame: int,
        tight: bool,
    ) -> None:
        """
        Whatever comes together, by whichever connections, and however it is cut.
        """
        sides = self.begin(max_frame, tight=tight)
        try:
            authors = [Author(first) for _ in range(3)]
            for line, runs, cuts, inner in turns:
                beside, before = authors[BESIDE[line]], authors[line].seq
                data = authors[line].write_all(said, runs)
                if line != 2:
                    # The numbers of what runs, once more.
                    beside.seq = before
                meanwhile = beside.write_all(said, inner)
                places = (data.find(text, at * len(data) // 1000) for at, text in cuts)
                ends = sorted({0, len(data), *(at for at in places if at >= 0)})
                for start, stop in pairwise(ends):
                    self.same(line, data[start:stop], meanwhile)
                    meanwhile = b""
            for side in sides:
                side.end()
            self.same(0, b"")
            for side in sides:
                side.finish()
        except BaseException:
            # They are not the same any more.
            self.made.clear()
            raise
        finally:
            self.flushLoggedErrors()
