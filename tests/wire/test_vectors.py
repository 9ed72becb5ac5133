"""
The protocol by example: every message of the wire's reference, one file each,
is read by our readers, and written by our writers where they can write it.

Digests are shortened in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.errors import Code, RPCError
from twisted_rpc.transport import FrameProtocol
from twisted_rpc.wire.client import (
    ClientConnection,
    GoAwayReceived,
    HelloRefused,
    PlainServer,
    Welcomed,
)
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import (
    REPLY_ID,
    REPLY_RESULT,
    CallMessage,
    CallTemplate,
    Hello,
    ReplyMessage,
    RequestMessage,
    read_error,
    write_ack,
    write_error,
    write_reply,
    write_stamp,
    write_tail,
)
from twisted_rpc.wire.server import (
    ControlReceived,
    HelloReceived,
    Refusal,
    ServerConnection,
)

SESSION: Final = "5f0c9a7be1d24c08b6a1f3e2d4c59780"
NEWS: Final = ("$hello", "$goaway")

#: What has no place on this wire: it is HTTP.
ELSEWHERE: Final = ("http-call", "http-answer")

VECTORS: Final[dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted(Path(__file__).with_name("vectors").glob("*.json"))
}


def chosen(**members: str) -> list[tuple[str, dict[str, Any]]]:
    """
    The vectors with a message and these members, by name.
    """
    return [
        (name, vector["msg"])
        for name, vector in VECTORS.items()
        if "msg" in vector
        and all(vector[key] == value for key, value in members.items())
    ]


def frame(message: Any) -> bytes:
    """
    A message as it is sent.
    """
    return json.dumps(message).encode()


def stamp(message: dict[str, Any]) -> bytes:
    """
    The timestamp of a message as we write it.
    """
    return write_stamp(message["timestamp"])


def server(*, extended: bool) -> ServerConnection:
    """
    A server's connection, with the session of the examples.
    """
    connection = ServerConnection(Limits())
    if extended:
        connection.welcome(SESSION, Hello(versions=[1]))
    return connection


def client(welcome: str | None = None) -> ClientConnection:
    """
    A client's connection that has said hello.

    @param welcome: the vector that answers it.
    """
    connection = ClientConnection(Limits())
    connection.hello(Hello(versions=[1]), b"1")
    if welcome is not None:
        connection.receive(frame(VECTORS[welcome]["msg"]))
    return connection


class FilesTests(SynchronousTestCase):
    """
    The files themselves.
    """

    def test_named(self) -> None:
        """
        Each file is named after the message in it.
        """
        self.assertEqual(len(VECTORS), 63)
        for name, vector in VECTORS.items():
            self.assertEqual(vector["v"], name)

    def test_all_used(self) -> None:
        """
        Every message that is not HTTP's is from a client or from a server, on a
        plain or on an extended connection.
        """
        named = [name for name, vector in VECTORS.items() if "msg" not in vector]
        self.assertEqual(sorted(named), ["frame", *sorted(ELSEWHERE)])
        used = [
            name
            for on in ("plain", "extended")
            for by in ("client", "server")
            for name, _ in chosen(on=on, **{"from": by})
        ]
        self.assertEqual(len(used), 60)

    def test_frame(self) -> None:
        """
        A message as a whole frame: the length, then the message.
        """
        data = bytes.fromhex(VECTORS["frame"]["hex"])
        protocol = FrameProtocol(Clock(), Limits())
        received: list[bytes] = []
        protocol.stringReceived = received.append  # type: ignore[method-assign]
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        self.assertEqual(json.loads(received[0]), VECTORS["plain-reply"]["msg"])
        protocol.send_frame(received[0])
        self.assertEqual(transport.value(), data)


class RequestTests(SynchronousTestCase):
    """
    What clients send.
    """

    def read(self, name: str) -> Any:
        """
        What a server's connection makes of a message.
        """
        vector = VECTORS[name]
        connection = server(extended=vector["on"] == "extended")
        return connection.receive(frame(vector["msg"]))

    def test_calls(self) -> None:
        """
        A server reads every member of every call.
        """
        for name, message in chosen(**{"from": "client"}):
            if message["service"] == "$rpc" or name == "critical":
                continue
            received = self.read(name)
            self.assertIsInstance(received, CallMessage | RequestMessage, name)
            for key, value in message.items():
                found = getattr(received, key)
                if key == "params":
                    found = json.loads(bytes(found))
                elif key == "ext":
                    found = {each: getattr(found, each) for each in value}
                self.assertEqual(found, value, f"{name}: {key}")

    def test_seq(self) -> None:
        """
        The number of a call in its session is known.
        """
        for name, message in chosen(on="extended", **{"from": "client"}):
            if message["request_id"].startswith(SESSION) and name != "critical":
                connection = server(extended=True)
                connection.receive(frame(message))
                self.assertEqual(f"{SESSION}:{connection.seq}", message["request_id"])

    def test_hello(self) -> None:
        """
        A server reads what a client asks for.
        """
        for name in ("hello", "hello-resume"):
            received = self.read(name)
            assert isinstance(received, HelloReceived)
            (asked,) = VECTORS[name]["msg"]["params"]
            read = msgspec.to_builtins(received.hello)
            # Members at their default are not written.
            self.assertEqual({**asked, **read}, {**read, **asked})
            self.assertEqual(received.hello, msgspec.convert(asked, Hello))

    def test_controls(self) -> None:
        """
        A server tells control calls from others.
        """
        found = []
        for name, message in chosen(on="extended", **{"from": "client"}):
            if message["service"] == "$rpc":
                self.assertIsInstance(self.read(name), ControlReceived, name)
                found.append(message["method"])
        self.assertEqual(
            found, ["ack", "cancel", "health", "ping", "reflect", "resolve", "credit"]
        )

    def test_critical(self) -> None:
        """
        A call with a critical key we do not know is refused, and the refusal is
        the one of the reference.
        """
        refused = self.read("critical")
        assert isinstance(refused, Refusal)
        expected = VECTORS["critical-refused"]["msg"]
        connection = server(extended=True)
        written = connection.write_refusal(refused, stamp(expected))
        self.assertEqual(json.loads(written), expected)

    def test_write_calls(self) -> None:
        """
        A client writes the same calls.
        """
        for name, message in chosen(**{"from": "client"}):
            if message["service"] == "$rpc":
                continue
            template = CallTemplate(message["service"], message["method"])
            params = json.dumps(message["params"]).encode()
            written = template.write(
                message["request_id"], params, stamp(message), message.get("ext")
            )
            self.assertEqual(json.loads(written), message, name)

    def test_write_ordinary(self) -> None:
        """
        The parts that nearly all calls are written with give the same.
        """
        message = {
            **VECTORS["call"]["msg"],
            "ext": {"timeout": 29990, "ack": 1},
        }
        template = CallTemplate(message["service"], message["method"], 29990)
        request_id = message["request_id"].encode()
        _, parts = template.first(request_id, b"[5,3]", stamp(message), write_ack(1))
        self.assertEqual(json.loads(b"".join(parts)), message)

    def test_write_controls(self) -> None:
        """
        A client writes the same control calls, with the next free id.
        """
        for name, message in chosen(on="extended", **{"from": "client"}):
            if message["service"] != "$rpc":
                continue
            connection = client("hello-new")
            connection._controls = int(message["request_id"][1:]) - 1
            control_id, written = connection.control(
                message["method"],
                message["params"],
                stamp(message),
                oneway="ext" in message,
            )
            self.assertEqual(control_id, message["request_id"])
            self.assertEqual(json.loads(written), message, name)

    def test_write_hello(self) -> None:
        """
        A client says the same hello, but for members at their default.
        """
        for name in ("hello", "hello-resume"):
            message = VECTORS[name]["msg"]
            (asked,) = message["params"]
            hello = msgspec.convert(asked, Hello)
            written = json.loads(
                ClientConnection(Limits()).hello(hello, stamp(message))
            )
            (said,) = written.pop("params")
            self.assertEqual(msgspec.convert(said, Hello), hello)
            self.assertEqual(
                written, {key: message[key] for key in message if key != "params"}
            )


class ReplyTests(SynchronousTestCase):
    """
    What servers send.
    """

    def read(self, name: str, message: dict[str, Any]) -> Any:
        """
        What a client's connection makes of a message.
        """
        if name.startswith("hello"):
            return client().receive(frame(message))
        if VECTORS[name]["on"] == "extended":
            return client("hello-new").receive(frame(message))
        connection = ClientConnection(Limits())
        connection.stay_plain()
        connection.open_ids.append(message["request_id"])
        return connection.receive(frame(message))

    def test_replies(self) -> None:
        """
        A client reads every member of every reply.
        """
        for name, message in chosen(**{"from": "server"}):
            if message["request_id"] in NEWS:
                continue
            received = self.read(name, message)
            assert isinstance(received, ReplyMessage), name
            self.assertEqual(received.request_id, message["request_id"])
            self.assertEqual(received.error, message["error"])
            self.assertEqual(json.loads(bytes(received.result)), message["result"])
            self.assertEqual(received.timestamp, message["timestamp"])
            for key, value in message.get("ext", {}).items():
                found = getattr(received.ext, key)
                if key == "data":
                    found = json.loads(bytes(found))
                self.assertEqual(found, value, f"{name}: {key}")

    def test_hello(self) -> None:
        """
        A client tells the three answers to hello apart.
        """
        kinds = {
            "hello-new": Welcomed,
            "hello-resumed": Welcomed,
            "hello-not-resumed": Welcomed,
            "hello-plain": PlainServer,
            "hello-refused": HelloRefused,
        }
        for name, kind in kinds.items():
            received = self.read(name, VECTORS[name]["msg"])
            self.assertIsInstance(received, kind, name)
            if isinstance(received, Welcomed):
                self.assertEqual(
                    msgspec.to_builtins(received.welcome),
                    VECTORS[name]["msg"]["result"],
                )
            elif isinstance(received, HelloRefused):
                self.assertEqual(received.error.code, Code.UNAUTHENTICATED)
                self.assertEqual(received.error.executed, "no")

    def test_goaway(self) -> None:
        """
        A client reads the notice.
        """
        message = VECTORS["goaway"]["msg"]
        received = self.read("goaway", message)
        assert isinstance(received, GoAwayReceived)
        self.assertEqual(msgspec.to_builtins(received.notice), message["result"])

    def test_write_results(self) -> None:
        """
        A server writes the same results.
        """
        for name, message in chosen(**{"from": "server"}):
            ext = message.get("ext", {})
            if message["error"] is None and ext in ({}, {"replayed": True}):
                written = write_reply(
                    message["request_id"],
                    json.dumps(message["result"]).encode(),
                    stamp(message),
                    replayed=bool(ext),
                )
                self.assertEqual(json.loads(written), message, name)

    def test_write_ordinary(self) -> None:
        """
        The parts that nearly all replies are written with give the same.
        """
        message = VECTORS["reply"]["msg"]
        request_id, tail = (
            message["request_id"].encode(),
            write_tail(message["timestamp"]),
        )
        written = b"".join((REPLY_ID, request_id, REPLY_RESULT, b"8", tail))
        self.assertEqual(json.loads(written), message)

    def test_write_errors(self) -> None:
        """
        A server writes the same errors: on an extended connection as a client
        reads them, on a plain one as the sentence alone.
        """
        count = 0
        for name, message in chosen(**{"from": "server"}):
            if message["error"] is None or name == "stream-failed":
                continue
            count += 1
            extended = "ext" in message
            if extended:
                read = msgspec.json.decode(frame(message), type=ReplyMessage)
                error = read_error(read)
            else:
                error = RPCError(Code.UNKNOWN, message["error"])
            written = write_error(
                message["request_id"], error, stamp(message), extended=extended
            )
            self.assertEqual(json.loads(written), message, name)
        self.assertEqual(count, 24)

    def test_unreadable(self) -> None:
        """
        What is no message gives the reply of the reference, and the end.
        """
        self.refuses("unreadable", lambda connection: connection.receive(b"[1,2]"))

    def test_oversize(self) -> None:
        """
        So does a frame that is too big.
        """
        self.refuses(
            "oversize",
            lambda connection: Refusal(
                "unknown", connection.oversize(5_000_000, 4_194_304), close=True
            ),
        )

    def refuses(self, name: str, provoke: Callable[[ServerConnection], Any]) -> None:
        """
        A plain connection answers with the message of the reference.
        """
        expected = VECTORS[name]["msg"]
        connection = server(extended=False)
        refused = provoke(connection)
        assert isinstance(refused, Refusal)
        self.assertTrue(refused.close)
        written = connection.write_refusal(refused, stamp(expected))
        self.assertEqual(json.loads(written), expected)
