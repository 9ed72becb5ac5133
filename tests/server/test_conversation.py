"""
Tests for what a server says on a connection, frame by frame.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tests.raw import Conversation
from twisted_rpc import Code, Limits, MemoryStore, RPCError
from twisted_rpc.errors import Unauthenticated
from twisted_rpc.server import factory
from twisted_rpc.wire.limits import OFF

IDL = """
service Work {
    int add(int a, int b);
    @readonly int wait(int a);
    int slow(int a);
    string text(int length);
    oneway void note(string text);
    @timeout(2s) int hurry();
    int fail(string how);
    @readonly stream<int> count();
}
"""


class Work:
    """
    An implementation whose slow calls are ended by the tests.
    """

    def __init__(self) -> None:
        self.started: list[Deferred[int]] = []
        self.cancelled = 0
        self.runs = 0
        self.notes: list[str] = []

    def add(self, a: int, b: int) -> int:
        """The sum."""
        self.runs += 1
        return a + b

    def _later(self) -> Deferred[int]:
        def cancelled(_: Any) -> None:
            self.cancelled += 1

        self.runs += 1
        self.started.append(Deferred(cancelled))
        return self.started[-1]

    def wait(self, a: int) -> Deferred[int]:
        """Later."""
        return self._later()

    def slow(self, a: int) -> Deferred[int]:
        """Later."""
        return self._later()

    def hurry(self) -> Deferred[int]:
        """Later."""
        return self._later()

    def text(self, length: int) -> str:
        """So many letters."""
        return "x" * length

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def fail(self, how: str) -> int:
        """Fail."""
        if how == "rpc":
            raise RPCError(Code.NOT_FOUND, "no such thing")
        raise ZeroDivisionError("a secret")

    async def count(self) -> Any:
        """A stream."""
        yield 1


class ConversationTestCase(SynchronousTestCase):
    """
    A server, and peers that write frames.
    """

    options: dict[str, Any] = {}  # noqa: RUF012 - read only

    def setUp(self) -> None:
        """
        A server in memory.
        """
        self.work = Work()
        self.talk = Conversation(IDL, self.work, **self.options)
        self.addCleanup(self.talk.close)

    def code(self, answer: Any) -> tuple[str, str]:
        """
        @return: the code of an error, and whether the call ran.
        """
        self.assertIsNone(answer["result"])
        return answer["ext"]["code"], answer["ext"]["executed"]


class PlainTests(ConversationTestCase):
    """
    The plain profile.
    """

    def test_answers_have_four_members(self) -> None:
        """
        A reply of the plain profile has exactly the members that peers know.
        """
        peer = self.talk.connect()
        ok, missing = self.talk.say(
            peer,
            self.talk.request("a", "add", [5, 3]),
            self.talk.request("b", "pow", [5, 3]),
        )
        self.assertEqual(set(ok), {"request_id", "result", "error", "timestamp"})
        self.assertEqual((ok["request_id"], ok["result"], ok["error"]), ("a", 8, None))
        self.assertEqual(set(missing), set(ok))
        self.assertEqual(missing["error"], "Method not found: Work.pow")

    def test_sentences(self) -> None:
        """
        The sentences are those that plain clients know.
        """
        peer = self.talk.connect()
        for message, said in (
            (
                {**self.talk.request("1", "add", []), "service": "No"},
                "Service not found: No",
            ),
            (
                self.talk.request("2", "add", [1]),
                "Parameter validation failed: Parameter count mismatch: got 1, expected 2",
            ),
            (self.talk.request("3", "fail", ["rpc"]), "no such thing"),
            (
                {**self.talk.request("4", "add", [1, 2]), "service": "$rpc"},
                "Service not found: $rpc",
            ),
            (
                {**self.talk.request("5", "add", [1, 2]), "ext": {}},
                "Invalid request: ext before hello",
            ),
            (
                self.talk.request("$6", "add", [1, 2]),
                "Invalid request: ids that begin with $ are reserved",
            ),
            (
                self.talk.request("7", "add", {}),
                "Invalid request: params must be an array",
            ),
        ):
            (answer,) = self.talk.say(peer, message)
            self.assertEqual(answer["error"], said)
            self.assertEqual(answer["request_id"], message["request_id"])

    def test_lenient_where_nothing_is_lost(self) -> None:
        """
        W12: texts of numbers and whole floats are ints, on plain connections.
        """
        peer = self.talk.connect()
        (answer,) = self.talk.say(peer, self.talk.request("a", "add", ["5", 3.0]))
        self.assertEqual(answer["result"], 8)
        (answer,) = self.talk.say(peer, self.talk.request("b", "add", [2.9, 3]))
        self.assertTrue(answer["error"].startswith("Parameter validation failed: "))

    def test_in_order(self) -> None:
        """
        W10: nothing is started before the answer to the one before it.
        """
        peer = self.talk.connect()
        messages = [
            self.talk.request("a", "slow", [1]),
            self.talk.request("b", "add", [1, 2]),
        ]
        self.assertEqual(self.talk.say(peer, *messages), [])
        self.assertEqual(self.work.runs, 1)
        self.work.started[0].callback(7)
        self.talk.pump()
        self.assertEqual(
            [(each["request_id"], each["result"]) for each in peer.frames],
            [("a", 7), ("b", 3)],
        )

    def test_repeated_call(self) -> None:
        """
        The same id is answered from the record, other parameters are refused.
        """
        peer = self.talk.connect()
        message = self.talk.request("a", "add", [5, 3])
        self.assertEqual(self.talk.say(peer, message)[0]["result"], 8)
        self.assertEqual(self.talk.say(self.talk.connect(), message)[0]["result"], 8)
        self.assertEqual(self.work.runs, 1)
        (answer,) = self.talk.say(peer, {**message, "params": [1, 1]})
        self.assertTrue(answer["error"].startswith("ID_REUSED: "))

    def test_joined(self) -> None:
        """
        A duplicate of a running call waits for it; there is one run.
        """
        peers = [self.talk.connect(), self.talk.connect()]
        message = self.talk.request("a", "slow", [1])
        for peer in peers:
            self.talk.say(peer, message)
        self.work.started[0].callback(4)
        self.talk.pump()
        self.assertEqual([peer.frames[0]["result"] for peer in peers], [4, 4])
        self.assertEqual(self.work.runs, 1)

    def test_from_before_the_start(self) -> None:
        """
        D30: a call dated before the server started may have run.
        """
        peer = self.talk.connect()
        old = {
            **self.talk.request("a", "add", [1, 2]),
            "timestamp": self.talk.clock.seconds() - 100,
        }
        (answer,) = self.talk.say(peer, old)
        self.assertIn(
            "STALE_REQUEST: this call may have run; its record is gone", answer["error"]
        )
        self.assertIn("100 s behind", answer["error"])

    def test_dated_by_the_server(self) -> None:
        """
        D32: where the server dates requests, the clocks of callers do not matter.
        """
        talk = Conversation(IDL, Work(), sessionless_clock="server")
        self.addCleanup(talk.close)
        for seconds in (-100, 1000):
            message = {
                **talk.request(f"{seconds}", "add", [1, 2]),
                "timestamp": talk.clock.seconds() + seconds,
            }
            (answer,) = talk.say(talk.connect(), message)
            self.assertEqual(answer["result"], 3)

    def test_from_the_future(self) -> None:
        """
        D32: a timestamp far ahead is refused.
        """
        peer = self.talk.connect()
        message = {
            **self.talk.request("a", "add", [1, 2]),
            "timestamp": self.talk.clock.seconds() + 301,
        }
        (answer,) = self.talk.say(peer, message)
        self.assertIn("ahead of the server's clock", answer["error"])
        (answer,) = self.talk.say(peer, {**message, "timestamp": 1e300})
        self.assertLess(len(answer["error"]), 120)

    def test_timeout(self) -> None:
        """
        A call that takes too long is answered, and the next may start.
        """
        peer = self.talk.connect()
        self.talk.say(
            peer,
            self.talk.request("a", "hurry", []),
            self.talk.request("b", "add", [1, 2]),
        )
        self.talk.advance(2.5)
        self.assertEqual(
            peer.frames[0]["error"], "DEADLINE_EXCEEDED: still running after 2000 ms"
        )
        self.assertEqual(peer.frames[1]["result"], 3)
        self.assertEqual(self.work.cancelled, 1)


class IllegalTests(ConversationTestCase):
    """
    What is not legal is answered.
    """

    def test_tenth(self) -> None:
        """
        W9: a connection stays open until the tenth message that is not legal.
        """
        peer = self.talk.connect()
        for number in range(10):
            self.assertFalse(peer.lost)
            (answer,) = self.talk.say(peer, self.talk.request(f"{number}", "add", 3))
            self.assertEqual(answer["request_id"], f"{number}")
        self.talk.advance(2)
        self.assertTrue(peer.lost)

    def test_unreadable(self) -> None:
        """
        Without an id the answer has the id "unknown", and the connection closes.
        """
        for frame in (
            b"[]",
            b"nonsense",
            b'{"method":3}',
            b"\xff\xfe",
            b'{"request_id":"\\ud800"}',
        ):
            peer = self.talk.connect()
            (answer,) = self.talk.say(peer, frame)
            self.assertEqual(answer["request_id"], "unknown")
            self.assertTrue(answer["error"].startswith("Invalid request: "), answer)
            self.talk.advance(2)
            self.assertTrue(peer.lost)

    def test_the_id_is_found(self) -> None:
        """
        Where only the parameters are bad, the answer finds its call.
        """
        for frame in (
            b'{"request_id":"a","method":"add","params":[NaN],"timestamp":1}',
            b'{"method":"add","request_id":"a","params":[NaN],"timestamp":1}',
            b'{"request_id":"a","method":"add","params":'
            + b"[" * 3000
            + b"]" * 3000
            + b"}",
            b'{"request_id":"a","params":[]}',
        ):
            (answer,) = self.talk.say(self.talk.connect(), frame)
            self.assertEqual(answer["request_id"], "a")

    def test_oversize(self) -> None:
        """
        W3: a frame above the limit is judged by its length, and answered.
        """
        peer = self.talk.connect()
        peer.transport.write(b"\x00\x4c\x4b\x40")
        self.talk.pump()
        (answer,) = peer.frames
        self.assertEqual(answer["request_id"], "unknown")
        self.assertEqual(
            answer["error"], "frame of 5000000 bytes exceeds the limit of 4194304 bytes"
        )
        self.talk.advance(2)
        self.assertTrue(peer.lost)

    def test_empty_frame(self) -> None:
        """
        W1: a frame is not empty.
        """
        peer = self.talk.connect()
        peer.transport.write(b"\x00\x00\x00\x00")
        self.talk.pump()
        self.assertEqual(peer.frames[0]["error"], "Invalid request: an empty frame")

    def test_slow_frame(self) -> None:
        """
        A frame that was begun must end in time.
        """
        peer = self.talk.connect()
        peer.transport.write(b"\x00\x00\x10\x00{")
        self.talk.advance(12)
        self.assertIn("was not complete within 10 s", peer.frames[0]["error"])
        self.talk.advance(2)
        self.assertTrue(peer.lost)


class HelloTests(ConversationTestCase):
    """
    Negotiation.
    """

    def test_welcome(self) -> None:
        """
        All members of the answer are there.
        """
        answer = self.talk.hello(self.talk.connect(), ping=1000, software="test")
        result = answer["result"]
        self.assertEqual(result["version"], 1)
        self.assertEqual(result["guarantee"]["store"], "memory")
        self.assertEqual(
            result["guarantee"]["classes"], ["readonly", "idempotent", "once"]
        )
        self.assertEqual(result["ping"], 10000)
        self.assertEqual(list(result["schema"]), ["Work"])
        self.assertFalse(result["resumed"])
        self.assertEqual(result["limits"], {"max_frame": 4194304, "max_inflight": 256})

    def test_resumed(self) -> None:
        """
        A session goes on over another connection, and its answers with it.
        """
        peer, session = self.talk.extended()
        message = self.talk.request(
            f"{session}:1", "add", [5, 3], ext={"timeout": 1000, "ack": 1}
        )
        self.talk.say(peer, message)
        peer.transport.abortConnection()
        self.talk.pump()
        again = self.talk.connect()
        self.assertTrue(self.talk.hello(again, session=session)["result"]["resumed"])
        (answer,) = self.talk.say(
            again, {**message, "ext": {"timeout": 900, "attempt": 2, "ack": 1}}
        )
        self.assertEqual(answer["result"], 8)
        self.assertEqual(answer["ext"], {"replayed": True})
        self.assertEqual(self.work.runs, 1)

    def test_unknown_session(self) -> None:
        """
        A session that is not known is not resumed, and is not created.
        """
        answer = self.talk.hello(self.talk.connect(), session="0" * 32)
        self.assertFalse(answer["result"]["resumed"])
        self.assertNotEqual(answer["result"]["session"], "0" * 32)

    def test_refusals(self) -> None:
        """
        A hello that cannot be answered is refused with ext, and then it closes.
        """
        for params, code in (
            ({"versions": [2]}, "UNIMPLEMENTED"),
            ({"versions": []}, "INVALID_ARGUMENT"),
        ):
            peer = self.talk.connect()
            self.assertEqual(self.code(self.talk.hello(peer, **params)), (code, "no"))
            self.talk.advance(2)
            self.assertTrue(peer.lost)

    def test_late(self) -> None:
        """
        W15: a second hello, or a late one, changes nothing else.
        """
        peer, session = self.talk.extended()
        self.assertEqual(
            self.code(self.talk.hello(peer)), ("FAILED_PRECONDITION", "no")
        )
        (answer,) = self.talk.say(
            peer, self.talk.request(f"{session}:1", "add", [1, 2], ext={})
        )
        self.assertEqual(answer["result"], 3)
        plain = self.talk.connect()
        self.talk.say(plain, self.talk.request("a", "add", [1, 2]))
        self.assertEqual(
            self.code(self.talk.hello(plain)), ("FAILED_PRECONDITION", "no")
        )


class ExtendedTests(ConversationTestCase):
    """
    Calls of a session.
    """

    def setUp(self) -> None:
        """
        A connection that has said hello.
        """
        super().setUp()
        self.peer, self.session = self.talk.extended()

    def call(self, seq: Any, method: str, *params: Any, **ext: Any) -> Any:
        """
        @return: the answer, or C{None} if none has come.
        """
        message = self.talk.request(
            f"{self.session}:{seq}", method, list(params), ext=ext
        )
        answers = self.talk.say(self.peer, message)
        return answers[0] if answers else None

    def test_result(self) -> None:
        """
        A successful reply needs no ext.
        """
        self.assertEqual(
            {"request_id": f"{self.session}:1", "result": 8, "error": None},
            {
                name: value
                for name, value in self.call(
                    1, "add", 5, 3, timeout=1000, ack=1
                ).items()
                if name != "timestamp"
            },
        )

    def test_ids(self) -> None:
        """
        W19: ids are of the session and of one form.
        """
        for seq in ("0", "01", "x", "", "+1", "9" * 17, "9007199254740992"):
            self.assertEqual(
                self.code(self.call(seq, "add", 1, 2)), ("INVALID_ARGUMENT", "no"), seq
            )
        message = self.talk.request(
            "f" * 32 + ":1", "add", [1, 2], ext={"timeout": 5, "ack": 1}
        )
        self.assertEqual(
            self.code(self.talk.say(self.peer, message)[0]),
            ("SESSION_UNKNOWN", "unknown"),
        )

    def test_strict(self) -> None:
        """
        W8: on an extended connection nothing is coerced.
        """
        self.assertEqual(
            self.code(self.call(1, "add", "5", 3)), ("INVALID_ARGUMENT", "no")
        )
        self.assertEqual(
            self.code(self.call(2, "add", 2.0, 3)), ("INVALID_ARGUMENT", "no")
        )
        self.assertEqual(
            self.code(self.call(3, "add", True, 3)), ("INVALID_ARGUMENT", "no")
        )

    def test_acknowledged(self) -> None:
        """
        What was acknowledged is forgotten and never runs again.
        """
        self.call(1, "add", 1, 2, timeout=1000, ack=1)
        self.call(2, "add", 1, 2, timeout=1000, ack=2)
        self.assertEqual(
            self.code(self.call(1, "add", 1, 2, timeout=1000, ack=2)),
            ("STALE_REQUEST", "unknown"),
        )
        self.assertIsNone(self.talk.control(self.peer, "ack", 3)["error"])
        self.assertEqual(
            self.code(self.call(2, "add", 1, 2)), ("STALE_REQUEST", "unknown")
        )

    def test_window(self) -> None:
        """
        A seq beyond the window is refused, and runs nothing.
        """
        answer = self.call(1025, "add", 1, 2)
        self.assertEqual(self.code(answer), ("RESOURCE_EXHAUSTED", "no"))
        self.assertIn("retry_after", answer["ext"])

    def test_errors(self) -> None:
        """
        An implementation's errors are results; what it did not declare stays
        on the server, under an id.
        """
        answer = self.call(1, "fail", "rpc")
        self.assertEqual(
            (self.code(answer), answer["error"]),
            (("NOT_FOUND", "yes"), "no such thing"),
        )
        again = self.call(1, "fail", "rpc")
        self.assertTrue(again["ext"]["replayed"])
        self.assertEqual(again["error"], answer["error"])
        answer = self.call(2, "fail", "other")
        self.assertEqual(self.code(answer), ("INTERNAL", "yes"))
        self.assertNotIn("secret", str(answer))
        self.assertIn(answer["ext"]["error_id"], answer["error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unknown_method(self) -> None:
        """
        What is not served is not run, and not recorded.
        """
        for _ in range(2):
            self.assertEqual(self.code(self.call(1, "pow", 1)), ("UNIMPLEMENTED", "no"))

    def test_critical(self) -> None:
        """
        What must be understood and is not refuses the call; the rest is ignored.
        """
        answer = self.call(
            1, "add", 1, 2, crit=["acme.priority"], **{"acme.priority": 9}
        )
        self.assertEqual(self.code(answer), ("UNIMPLEMENTED", "no"))
        self.assertEqual(self.call(1, "add", 1, 2, **{"acme.priority": 9})["result"], 3)

    def test_meta(self) -> None:
        """
        Metadata is bounded, and its names have a form.
        """
        self.assertEqual(self.call(1, "add", 1, 2, meta={"a.b": "c"})["result"], 3)
        for meta in ({"Big": "x"}, {"a": "x" * 9000}, {f"a{n}": "" for n in range(65)}):
            self.assertEqual(
                self.code(self.call(2, "add", 1, 2, meta=meta)),
                ("INVALID_ARGUMENT", "no"),
            )

    def test_oneway(self) -> None:
        """
        A one-way call has no answer, whatever happens.
        """
        self.assertIsNone(self.call(1, "note", "hello", oneway=True))
        self.assertIsNone(self.call(2, "note", 3, oneway=True))
        self.assertEqual(self.work.notes, ["hello"])

    def test_streams(self) -> None:
        """
        Streams are refused with a clear text.
        """
        answer = self.call(1, "count", credit=1)
        self.assertEqual(self.code(answer), ("UNIMPLEMENTED", "no"))
        self.assertIn("streams", answer["error"])
        self.assertEqual(
            self.code(self.call(2, "add", 1, 2, stream=True)), ("UNIMPLEMENTED", "no")
        )
        self.assertEqual(self.code(self.call(3, "count")), ("UNIMPLEMENTED", "no"))

    def test_cancel(self) -> None:
        """
        W27: a cancelled call is answered at once, and its run is cancelled when
        nobody else waits.
        """
        self.assertIsNone(self.call(1, "slow", 1))
        self.assertIsNone(self.call(1, "slow", 1))
        answer = self.talk.control(self.peer, "cancel", f"{self.session}:1")
        self.assertEqual(answer["result"], {"state": "cancelled"})
        self.assertEqual(
            [self.code(each) for each in self.peer.frames[1:3]],
            [("CANCELLED", "unknown")] * 2,
        )
        self.assertEqual(self.work.cancelled, 1)
        self.assertEqual(self.code(self.call(1, "slow", 1)), ("CANCELLED", "yes"))
        answer = self.talk.control(self.peer, "cancel", f"{self.session}:9")
        self.assertEqual(answer["result"], {"state": "not_found"})

    def test_lost_connection(self) -> None:
        """
        A lost connection cancels what only reads, and nothing else.
        """
        self.call(1, "slow", 1)
        self.call(2, "wait", 1)
        self.peer.transport.abortConnection()
        self.talk.pump()
        self.assertEqual(self.work.cancelled, 1)
        self.talk.advance(31)
        self.assertEqual(self.work.cancelled, 2)

    def test_deadline(self) -> None:
        """
        Time that is up is answered at most 50 ms late.
        """
        self.call(1, "slow", 1, timeout=500)
        self.talk.advance(0.5, step=0.025)
        self.assertEqual(len(self.peer.frames), 1)
        self.talk.advance(0.05, step=0.025)
        self.assertEqual(
            self.code(self.peer.frames[1]), ("DEADLINE_EXCEEDED", "unknown")
        )

    def test_controls(self) -> None:
        """
        Control calls are answered at once.
        """
        talk, peer = self.talk, self.peer
        self.assertIsNone(talk.control(peer, "ping")["error"])
        self.assertEqual(talk.control(peer, "health")["result"], {"status": "SERVING"})
        self.assertEqual(
            talk.control(peer, "health", "Work")["result"], {"status": "SERVING"}
        )
        self.assertEqual(talk.control(peer, "health", "No")["ext"]["code"], "NOT_FOUND")
        self.assertEqual(
            list(talk.control(peer, "reflect")["result"]["services"]), ["Work"]
        )
        self.assertIn(
            "service Work", talk.control(peer, "reflect", "Work")["result"]["idl"]
        )
        self.assertEqual(
            talk.control(peer, "reflect", "No")["ext"]["code"], "NOT_FOUND"
        )
        self.assertIsNone(talk.control(peer, "credit", "x", 1, ext={"oneway": True}))
        self.assertEqual(talk.control(peer, "nothing")["ext"]["code"], "UNIMPLEMENTED")
        for method, params in (
            ("ping", [1]),
            ("cancel", []),
            ("ack", ["x"]),
            ("resolve", [3]),
            ("health", [1]),
        ):
            self.assertEqual(
                talk.control(peer, method, *params)["ext"]["code"], "INVALID_ARGUMENT"
            )
        (answer,) = talk.say(peer, {**talk.request("x", "ping", []), "service": "$rpc"})
        self.assertEqual(self.code(answer), ("INVALID_ARGUMENT", "no"))
        (answer,) = talk.say(
            peer,
            b'{"request_id":"$2","service":"$rpc","method":"ping","params":[1e999],"timestamp":1}',
        )
        self.assertEqual(self.code(answer), ("INVALID_ARGUMENT", "no"))

    def test_resolve(self) -> None:
        """
        A client may ask what became of a call.
        """
        self.call(1, "add", 5, 3)
        self.call(2, "slow", 1)
        self.call(3, "fail", "rpc")

        def found(seq: int) -> Any:
            return self.talk.control(self.peer, "resolve", f"{self.session}:{seq}")[
                "result"
            ]

        self.assertEqual(
            found(1),
            {"state": "DONE", "reply": {"result": 8, "error": None, "ext": {}}},
        )
        self.assertEqual(found(2), {"state": "IN_PROGRESS"})
        self.assertEqual(found(3)["reply"]["ext"]["code"], "NOT_FOUND")
        self.assertEqual(found(4), {"state": "ABSENT"})
        answer = self.talk.control(self.peer, "resolve", "f" * 32 + ":1")
        self.assertEqual(self.code(answer), ("SESSION_UNKNOWN", "unknown"))

    def test_answer_too_big(self) -> None:
        """
        W4: an answer that the client would refuse becomes an error.
        """
        peer, session = self.talk.extended(limits={"max_frame": 2000})
        (answer,) = self.talk.say(
            peer, self.talk.request(f"{session}:1", "text", [5000], ext={})
        )
        self.assertEqual(self.code(answer), ("RESOURCE_EXHAUSTED", "yes"))
        self.assertEqual(answer["ext"]["retry_after"], -1)
        self.assertIn("exceeds the limit of 2000 bytes", answer["error"])


class LimitTests(ConversationTestCase):
    """
    Limits, and the ends of connections.
    """

    options = {  # noqa: RUF012 - read only
        "limits": Limits(
            max_inflight=2,
            max_connections=3,
            max_connections_per_address=2,
            idle=60,
            max_age=300,
        ),
        "strict_json": True,
        "require_session": True,
        "reflection": False,
        "drain": 5.0,
    }

    def test_inflight(self) -> None:
        """
        Calls in progress are bounded; a slot is free when the run has ended.
        """
        peer, session = self.talk.extended()
        messages = [
            self.talk.request(
                f"{session}:{seq}", "slow", [1], ext={"timeout": 9000, "ack": 1}
            )
            for seq in (1, 2, 3)
        ]
        (answer,) = self.talk.say(peer, *messages)
        self.assertEqual(self.code(answer), ("RESOURCE_EXHAUSTED", "no"))
        self.work.started[0].callback(1)
        self.talk.pump()
        self.assertEqual(self.talk.say(peer, messages[2]), [])

    def test_connections(self) -> None:
        """
        Above the limits a connection is closed at once.
        """
        self.assertFalse(self.talk.connect().lost)
        self.assertFalse(self.talk.connect().lost)
        self.assertTrue(self.talk.connect().lost)

    def test_session_required(self) -> None:
        """
        D5: what may run once only needs a session.
        """
        peer = self.talk.connect()
        (answer,) = self.talk.say(peer, self.talk.request("a", "add", [1, 2]))
        self.assertTrue(
            answer["error"].startswith("FAILED_PRECONDITION: Work.add needs a session")
        )

    def test_strict_json(self) -> None:
        """
        A name that occurs twice is refused.
        """
        peer, session = self.talk.extended()
        frame = (
            f'{{"request_id":"{session}:1","method":"add","method":"add","params":[1,2],'
            '"timestamp":1,"service":"Work","ext":{"timeout":5,"ack":1}}'
        ).encode()
        (answer,) = self.talk.say(peer, frame)
        self.assertIn("'method' occurs twice", answer["error"])

    def test_no_reflection(self) -> None:
        """
        Reflection can be switched off.
        """
        peer, _ = self.talk.extended()
        self.assertEqual(
            self.code(self.talk.control(peer, "reflect")), ("UNIMPLEMENTED", "no")
        )

    def test_idle(self) -> None:
        """
        A connection without frames is told to go, or closed if it is plain.
        """
        peer, _ = self.talk.extended()
        plain = self.talk.connect()
        self.talk.advance(62)
        self.assertEqual(peer.frames[-1]["request_id"], "$goaway")
        self.assertEqual(peer.frames[-1]["result"], {"reason": "age", "grace": 25000})
        self.assertTrue(plain.lost)
        self.talk.advance(27)
        self.assertTrue(peer.lost)

    def test_many(self) -> None:
        """
        Many connections are looked at in several turns, so that none of them is
        long; each is looked at.
        """
        self.patch(factory, "SWEPT_A_TURN", 1)
        turns: list[int] = []
        swept = factory.RPCServerFactory._sweep_some

        def counted(self: factory.RPCServerFactory) -> None:
            turns.append(len(self._unswept))
            swept(self)

        self.patch(factory.RPCServerFactory, "_sweep_some", counted)
        peers = [self.talk.connect() for _ in range(2)]
        self.talk.advance(62)
        self.assertTrue(all(peer.lost for peer in peers))
        self.assertEqual(turns.count(2), turns.count(1))
        self.assertEqual(max(turns), 2)

    def test_age(self) -> None:
        """
        A connection that is old is told to go, also if it is in use.
        """
        peer, _ = self.talk.extended()
        for _ in range(34):
            self.talk.advance(10, step=5)
            if peer.frames[-1]["request_id"] == "$goaway":
                break
            self.talk.control(peer, "ping")
        self.assertEqual(peer.frames[-1]["result"]["reason"], "age")
        age = self.talk.clock.seconds() - 1_800_000_001
        self.assertTrue(269 < age < 341, age)

    def test_not_of_one_age(self) -> None:
        """
        Connections that began together do not end together, but within a tenth
        of the age before and after it.
        """
        shared = self.talk.server.factory.shared
        ages = []
        for _ in range(50):
            peer, _ = self.talk.extended()
            (connection,) = shared.connections
            ages.append(shared.old_at(connection) - self.talk.clock.seconds())
            peer.transport.abortConnection()
            self.talk.pump()
        self.assertTrue(270 <= min(ages) < 290, sorted(ages))
        self.assertTrue(310 < max(ages) <= 330, sorted(ages))

    def test_counted(self) -> None:
        """
        What ends a connection is counted, by the limit that was reached.
        """
        self.talk.extended(ping=10000)
        slow = self.talk.connect()
        slow.transport.write(b"\x00\x00\x10\x00{")
        self.talk.advance(12)
        big, _ = self.talk.extended()
        big.transport.write(b"\x00\x4c\x4b\x40")
        self.talk.advance(70)
        for _ in range(4):
            self.talk.connect()
        counters = self.talk.server.counters()
        counted = {
            name.removeprefix("limits."): count
            for name, count in counters.items()
            if name.startswith("limits.")
        }
        self.assertEqual(
            counted,
            {
                "frame": 1,
                "max_connections_per_address": 2,
                "max_frame": 1,
                "ping_timeout": 1,
            },
        )

    def test_handshake(self) -> None:
        """
        X3: TLS must be agreed in time.
        """
        peers = []
        for _ in range(2):
            peers.append(self.talk.connect())
            alsoProvides(peers[-1].transport.peer, ISSLTransport)
        one, other = self.talk.server.factory.shared.connections
        one.handshakeCompleted()
        self.talk.advance(11)
        self.assertEqual(sorted(peer.lost for peer in peers), [False, True])
        self.assertTrue(other.transport is not None and not other.transport.connected)
        self.assertEqual(self.talk.server.counters()["limits.handshake"], 1)

    def test_silence(self) -> None:
        """
        W29: a client that agreed to ping and does not is aborted.
        """
        peer, _ = self.talk.extended(ping=10000)
        self.talk.advance(41.5)
        self.assertTrue(peer.lost)

    def test_drain(self) -> None:
        """
        A server that stops tells its clients, lets calls end, refuses new ones
        and answers repeated ones.
        """
        peer, session = self.talk.extended()
        done = self.talk.request(
            f"{session}:1", "add", [5, 3], ext={"timeout": 9000, "ack": 1}
        )
        self.talk.say(peer, done)
        self.talk.say(
            peer,
            self.talk.request(
                f"{session}:2", "slow", [1], ext={"timeout": 9000, "ack": 1}
            ),
        )
        plain = self.talk.connect()
        stopped = self.talk.server.stopService()
        self.talk.pump()
        self.assertEqual(peer.frames[-1]["result"]["reason"], "drain")
        (answer,) = self.talk.say(
            peer,
            self.talk.request(
                f"{session}:3", "add", [5, 3], ext={"timeout": 9, "ack": 1}
            ),
        )
        self.assertEqual(self.code(answer), ("UNAVAILABLE", "no"))
        (answer,) = self.talk.say(peer, done)
        self.assertEqual(answer["ext"], {"replayed": True})
        self.assertEqual(
            self.talk.control(peer, "health")["result"], {"status": "DRAINING"}
        )
        self.work.started[0].callback(6)
        self.talk.pump()
        self.assertEqual(peer.frames[-1]["result"], 6)
        peer.transport.loseConnection()
        self.talk.advance(2)
        self.assertTrue(plain.lost)
        self.successResultOf(stopped)

    def test_drain_once_more(self) -> None:
        """
        Who came when a server took connections again, before it had drained, is
        told when it drains once more.
        """
        peer, session = self.talk.extended()
        call = self.talk.request(
            f"{session}:1", "slow", [1], ext={"timeout": 9000, "ack": 1}
        )
        self.talk.say(peer, call)
        factory = self.talk.server.factory
        factory.drain(5.0)
        factory.resume()
        other, _ = self.talk.extended()
        factory.drain(5.0)
        self.talk.pump()
        self.assertEqual(other.frames[-1]["result"]["reason"], "drain")
        told = [each for each in peer.frames if each["request_id"] == "$goaway"]
        self.assertEqual(len(told), 1)

    def test_drain_is_bounded(self) -> None:
        """
        A call that does not end is not waited for beyond the bound.
        """
        peer, session = self.talk.extended()
        self.talk.say(
            peer,
            self.talk.request(
                f"{session}:1", "slow", [1], ext={"timeout": 90000, "ack": 1}
            ),
        )
        stopped = self.talk.server.stopService()
        self.talk.advance(4.5)
        self.assertNoResult(stopped)
        self.talk.advance(3)
        self.successResultOf(stopped)
        self.assertTrue(peer.lost)
        counters = self.talk.server.counters()
        self.assertEqual(counters["limits.drain"], 1)
        self.assertNotIn("limits.grace", counters)

    def test_grace(self) -> None:
        """
        A connection that was told to go and still has calls when its time is
        over is closed and counted; and so is a peer that keeps its end open.
        """
        peer, session = self.talk.extended()
        ext = {"timeout": 9_000_000, "ack": 1}
        self.talk.say(peer, self.talk.request(f"{session}:1", "slow", [1], ext=ext))
        while peer.frames[-1]["request_id"] != "$goaway":
            self.talk.advance(5, step=5)
        (connection,) = self.talk.server.factory.shared.connections
        self.patch(connection, "_finish", lambda: None)
        self.talk.advance(28)
        self.assertTrue(peer.lost)
        counters = self.talk.server.counters()
        self.assertEqual(counters["limits.grace"], 1)
        self.assertEqual(counters["limits.close"], 1)

    def test_slowed(self) -> None:
        """
        What is only made to wait is counted too, and not logged as refused: pings
        that would come too often, and peers that do not read.
        """
        self.talk.extended(ping=5000)
        (connection,) = self.talk.server.factory.shared.connections
        connection.pauseProducing()
        connection.resumeProducing()
        counters = self.talk.server.counters()
        self.assertEqual(counters["limits.min_ping"], 1)
        self.assertEqual(counters["limits.output"], 1)
        self.assertEqual(self.talk.server.factory.shared.counters.limits, {})

    def test_abort(self) -> None:
        """
        An abort ends everything at once.
        """
        peer, _ = self.talk.extended()
        self.talk.server.abort()
        self.talk.pump()
        self.assertTrue(peer.lost)


class Tokens:
    """
    Knows one token.
    """

    required = True

    def __init__(self) -> None:
        self.later: list[Deferred[str]] = []

    def authenticate(self, peer: Any, auth: Any) -> Any:
        """By its token."""
        if auth is None:
            raise Unauthenticated(message="who are you?")
        if auth["token"] == "broken":
            raise ValueError("a fault of the authenticator's")
        if auth["token"] == "later":
            self.later.append(Deferred())
            return self.later[-1]
        if auth["token"] != "good":
            raise Unauthenticated(message="token has expired")
        return "ann"


class OffTests(ConversationTestCase):
    """
    Limits that are switched off.
    """

    options = {  # noqa: RUF012 - read only
        "limits": Limits(
            max_inflight=OFF,
            max_queue=OFF,
            max_meta=OFF,
            max_meta_names=OFF,
            max_buckets=OFF,
            max_frame_unauthenticated=OFF,
            ping_timeout=OFF,
            min_ping=0,
            idle=OFF,
        ),
        "dedup": MemoryStore(
            retention=OFF,
            waiters=OFF,
            session_bytes=OFF,
            principal_bytes=OFF,
            sessions_per_principal=OFF,
            sessions=OFF,
        ),
    }

    def test_off(self) -> None:
        """
        There is no such bound then: more calls than 256 run on a connection,
        metadata is as long as a frame, a client pings as often as it likes, and
        one that is silent stays.
        """
        peer, session = self.talk.extended(ping=1)
        (welcome,) = peer.frames
        self.assertEqual(welcome["result"]["ping"], 1)
        self.assertGreater(welcome["result"]["limits"]["max_inflight"], 1e9)
        meta = {f"name-{n}": "x" * 1000 for n in range(100)}
        requests = [
            self.talk.request(
                f"{session}:{seq}",
                "slow",
                [1],
                ext={"timeout": 9_000_000, "ack": 1, "meta": meta},
            )
            for seq in range(1, 301)
        ]
        self.assertEqual(self.talk.say(peer, *requests), [])
        self.assertEqual(len(self.work.started), 300)
        self.talk.advance(1000, step=50)
        self.assertFalse(peer.lost)


class AuthenticationTests(SynchronousTestCase):
    """
    A server that wants to know who calls.
    """

    def setUp(self) -> None:
        """
        A server with tokens.
        """
        self.tokens = Tokens()
        self.talk = Conversation(IDL, Work(), authenticator=self.tokens)
        self.addCleanup(self.talk.close)

    def test_known(self) -> None:
        """
        The right token opens the connection.
        """
        peer, session = self.talk.extended(auth={"scheme": "bearer", "token": "good"})
        (answer,) = self.talk.say(
            peer, self.talk.request(f"{session}:1", "add", [1, 2], ext={})
        )
        self.assertEqual(answer["result"], 3)

    def test_unknown(self) -> None:
        """
        No token, a wrong one, or a fault of the authenticator's: refused.
        """
        for auth in (
            None,
            {"scheme": "bearer", "token": "bad"},
            {"scheme": "bearer", "token": "broken"},
        ):
            answer = self.talk.hello(
                self.talk.connect(), **({"auth": auth} if auth else {})
            )
            self.assertEqual(answer["ext"]["code"], "UNAUTHENTICATED")
            self.assertNotIn("fault", answer["error"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_plain(self) -> None:
        """
        A plain peer has nothing to show.
        """
        (answer,) = self.talk.say(
            self.talk.connect(), self.talk.request("a", "add", [1, 2])
        )
        self.assertEqual(answer["error"], "UNAUTHENTICATED: authentication is required")

    def test_later(self) -> None:
        """
        The authenticator may take its time; nothing is read meanwhile.
        """
        peer = self.talk.connect()
        message = {
            "request_id": "$hello",
            "service": "$rpc",
            "method": "hello",
            "timestamp": 1,
            "params": [
                {"versions": [1], "auth": {"scheme": "bearer", "token": "later"}}
            ],
        }
        self.assertEqual(self.talk.say(peer, message), [])
        self.tokens.later[0].callback("ann")
        self.talk.pump()
        self.assertEqual(peer.frames[0]["result"]["version"], 1)

    def test_impatient(self) -> None:
        """
        W15: a client must wait for the answer to hello.
        """
        peer = self.talk.connect()
        message = {
            "request_id": "$hello",
            "service": "$rpc",
            "method": "hello",
            "timestamp": 1,
            "params": [
                {"versions": [1], "auth": {"scheme": "bearer", "token": "later"}}
            ],
        }
        (answer,) = self.talk.say(peer, message, self.talk.request("a", "add", [1, 2]))
        self.assertIn("wait for the answer to hello", answer["error"])

    def test_small_frames_first(self) -> None:
        """
        Before authentication frames are small, and the first comes soon.
        """
        peer = self.talk.connect()
        peer.transport.write(b"\x00\x01\x00\x01")
        self.talk.pump()
        self.assertIn("exceeds the limit of 65536 bytes", peer.frames[0]["error"])
        silent = self.talk.connect()
        self.talk.advance(7)
        self.assertTrue(silent.lost)
