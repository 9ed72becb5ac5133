"""
A server that does what a test says, in memory, for the client's tests.

It speaks the protocol's bytes by itself: nothing of C{twisted_rpc.server} is
used, so that it can do what a real server does not.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twisted_rpc import Client, RPCError
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, MemoryNetwork
from twisted_rpc.testing.network import settle

Message = dict[str, Any]

IDL = """
/** What the tests call. */
@code("FAILED_PRECONDITION") exception Broke { int missing }
service Shop {
    /** Look something up. */
    @readonly int look(int item, int depth = 2)
    @idempotent int put(int item)
    int buy(int item) throws Broke
    @transactional int pay(int item)
    @readonly string name(string text)
    oneway void note(string text)
    @readonly @timeout(2s) int quick()
    @readonly @retry(max_attempts=2, on=["UNAVAILABLE"], max=20ms) int twice()
    @readonly @retry(initial=5s) int slowly()
    @aliases(["old"]) @name("new-name") int renamed(int lambda)
}
service Bank { @readonly int look() }
"""
idl = load_idl_text(IDL, name="shop.idl")

#: The figures of the design, which the server of the tests keeps to.
WINDOW = 1024
INFLIGHT = 256


class Scripted(Protocol):
    """
    The server's end of a connection.

    @ivar hello: what the client said first, if it said hello.
    @ivar calls: the calls that came, without hello and C{$rpc}.
    @ivar controls: the calls of C{$rpc} but hello.
    @ivar session: which it gave the client.
    @ivar lost: the connection has ended.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.hello: Message | None = None
        self.calls: list[Message] = []
        self.controls: list[Message] = []
        self.session = ""
        self.lost = False
        self._buffer = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Read the frames.
        """
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + int.from_bytes(self._buffer[:4], "big")
            if len(self._buffer) < end:
                break
            frame, self._buffer = self._buffer[4:end], self._buffer[end:]
            self._took(frame, json.loads(frame))

    def _took(self, frame: bytes, message: Message) -> None:
        if message["request_id"] == "$hello":
            self.hello = message["params"][0]
            self.server.on_hello(self)
        elif message["service"] == "$rpc":
            self.controls.append(message)
            if self.server.answers_controls and not message.get("ext"):
                self.reply(message, {"state": "cancelled"})
        else:
            self.calls.append(message)
            self.server.frames.append(frame)
            self.server.on_call(self, message)

    def send_raw(self, body: bytes) -> None:
        """
        Send one frame, whatever is in it.
        """
        assert self.transport is not None
        self.transport.write(struct.pack("!I", len(body)) + body)

    def send(self, message: Message) -> None:
        """
        Send one message.
        """
        self.send_raw(json.dumps(message).encode())

    def reply(self, call: Message, result: Any = 7, **ext: Any) -> None:
        """
        Answer C{call} with a result.
        """
        self.send(
            {
                "request_id": call["request_id"],
                "result": result,
                "error": None,
                "timestamp": 1.5,
                **({"ext": ext} if ext else {}),
            }
        )

    def refuse(
        self, call: Message, code: str, executed: str = "no", text: str = "", **ext: Any
    ) -> None:
        """
        Answer C{call} with an error.
        """
        self.send(
            {
                "request_id": call["request_id"],
                "result": None,
                "error": text or f"{code}: because",
                "timestamp": 1.5,
                "ext": {"code": code, "executed": executed, **ext},
            }
        )

    def say(self, call: Message, error: str) -> None:
        """
        Answer with an error of the plain profile.
        """
        self.send(
            {
                "request_id": call["request_id"],
                "result": None,
                "error": error,
                "timestamp": 1.5,
            }
        )

    def go_away(self) -> None:
        """
        Send C{$goaway}.
        """
        self.reply({"request_id": "$goaway"}, {"reason": "drain", "grace": 25000})

    def welcome(self, session: str | None = None, **changes: Any) -> None:
        """
        Answer hello.
        """
        asked = (self.hello or {}).get("session")
        self.session = session or asked or self.server.next_session()
        welcome: dict[str, Any] = {
            "version": 1,
            "features": [],
            "session": self.session,
            "resumed": self.session == asked,
            "guarantee": {
                "store": "memory",
                "durable": False,
                "classes": ["readonly", "idempotent", "once"],
                "window": WINDOW,
                "retention": 900000,
            },
            "limits": {"max_frame": 4194304, "max_inflight": INFLIGHT},
            "ping": 0,
            "schema": {},
            "time": 1.5,
            "software": "scripted",
        }
        for name, value in changes.items():
            part, _, member = name.partition("__")
            if member:
                welcome[part] = {**welcome[part], member: value}
            else:
                welcome[part] = value
        self.reply({"request_id": "$hello"}, welcome)

    def drop(self) -> None:
        """
        Reset the connection.
        """
        transport: Any = self.transport
        transport.abortConnection()

    def close(self) -> None:
        """
        Close the connection.
        """
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """
        Remember it.
        """
        self.lost = True


class Server(Factory):
    """
    Makes a L{Scripted} for each connection.

    @ivar connections: all there were.
    @ivar frames: the bytes of all calls.
    @ivar on_hello: what is done when a client says hello.
    @ivar on_call: what is done with a call: nothing, for a test that answers by
        itself.
    @ivar answers_controls: whether C{$rpc} is answered.
    """

    noisy = False

    def __init__(self, name: str = "s") -> None:
        self.name = name
        self.connections: list[Scripted] = []
        self.frames: list[bytes] = []
        self.on_hello: Callable[[Scripted], None] = Scripted.welcome
        self.on_call: Callable[[Scripted, Message], None] = lambda connection, call: (
            None
        )
        self.answers_controls = True
        self._sessions = 0

    def next_session(self) -> str:
        """
        A session id that was not given out before.
        """
        self._sessions += 1
        return f"{self.name}{self._sessions}"

    def buildProtocol(self, addr: Any) -> Scripted:
        """
        @return: the server's end of a connection.
        """
        connection = Scripted(self)
        self.connections.append(connection)
        return connection

    @property
    def here(self) -> Scripted:
        """
        The newest connection.
        """
        return self.connections[-1]

    @property
    def calls(self) -> list[Message]:
        """
        The calls of all connections, in the order in which they came.
        """
        return [json.loads(frame) for frame in self.frames]


def plain(connection: Scripted) -> None:
    """
    Answer hello as a plain server does.
    """
    connection.say({"request_id": "$hello"}, "Service not found: $rpc")


def answered(connection: Scripted, call: Message) -> None:
    """
    Answer every call at once.
    """
    connection.reply(call)


@implementer(IStreamClientEndpoint)
class Slow:
    """
    An endpoint that answers when the test says.

    @ivar attempts: what each attempt to connect waits for.
    """

    def __init__(self) -> None:
        self.attempts: list[Deferred[Any]] = []
        self.cancelled = 0

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        Wait.
        """
        deferred: Deferred[Any] = Deferred(self._given_up)
        self.attempts.append(deferred)
        return deferred

    def _given_up(self, _: Deferred[Any]) -> None:
        self.cancelled += 1


class Outcome:
    """
    What became of a Deferred, kept so that a test sees a second firing.
    """

    def __init__(self, deferred: Deferred[Any], clock: MemoryClock) -> None:
        self.deferred = deferred
        self.results: list[Any] = []
        self.at: float | None = None
        self._clock = clock
        deferred.addBoth(self._fired)

    def _fired(self, result: Any) -> None:
        self.results.append(result)
        self.at = self._clock.seconds()

    @property
    def error(self) -> RPCError:
        """
        What it failed with.
        """
        assert self.results, "it has not fired"
        error = self.results[0].value
        assert isinstance(error, RPCError), error
        return error

    @property
    def told(self) -> tuple[str, str]:
        """
        The code, and whether it ran.
        """
        return self.error.code.value, self.error.executed


class ScriptedCase(SynchronousTestCase):
    """
    A client of scripted servers, joined in memory, driven by a clock.

    @ivar jitter: what chance says, from 0 to 1, for the delays of connections.
    """

    jitter = 0.5

    def setUp(self) -> None:
        """
        One server that welcomes everybody and answers nothing.
        """
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.server = Server()
        self.endpoint = MemoryEndpoint(self.network, self.server)

    def start(self, endpoint: Any = None, **options: Any) -> Client:
        """
        Make the client.
        """
        options.setdefault("ping", 0)
        self.client = Client(
            endpoint if endpoint is not None else self.endpoint,
            reactor=self.clock,
            wall=self.clock.seconds,
            chance=lambda: self.jitter,
            **options,
        )
        self.shop = self.client.proxy(idl.IShop)
        return self.client

    def started(self, **options: Any) -> Scripted:
        """
        Make the client and let it connect.
        """
        self.start(**options)
        self.client.ping().addErrback(lambda _: None)
        self.pump()
        connection = self.server.here
        connection.controls.clear()
        return connection

    def pump(self) -> None:
        """
        Deliver everything, without time passing.
        """
        settle(self.network, self.clock)

    def advance(self, seconds: float, step: float = 0.01) -> None:
        """
        Let time pass, in steps between which everything is delivered.
        """
        self.pump()
        end = self.clock.seconds() + seconds
        while end - self.clock.seconds() > 1e-6:
            self.clock.advance(min(step, end - self.clock.seconds()))
            self.pump()

    def watch(self, deferred: Deferred[Any]) -> Outcome:
        """
        Deliver, and keep what becomes of C{deferred}.
        """
        outcome = Outcome(deferred, self.clock)
        self.pump()
        return outcome

    def ended(self, outcome: Outcome, *results: Any) -> None:
        """
        Check that it fired once, with a result.
        """
        self.assertEqual(outcome.results, list(results))

    def told(self, outcome: Outcome, code: str, executed: str) -> RPCError:
        """
        Check that it fired once, and how it failed.
        """
        self.assertEqual(len(outcome.results), 1, outcome.results)
        self.assertEqual(outcome.told, (code, executed), outcome.error)
        return outcome.error

    def quiet(self) -> None:
        """
        Check that the client leaves no timer.
        """
        self.assertEqual([str(call) for call in self.clock.getDelayedCalls()], [])

    def ids(self) -> list[str]:
        """
        The ids of all calls that came to the server.
        """
        return [call["request_id"] for call in self.server.calls]
