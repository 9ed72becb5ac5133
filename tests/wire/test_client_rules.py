"""
Tests for the client's end of a connection, and for JSON at its edges.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.raw import Conversation
from twisted_rpc import Client, Code, Limits, RPCError
from twisted_rpc.call import Request
from twisted_rpc.errors import (
    ERRORS,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    refusal,
)
from twisted_rpc.testing import MemoryEndpoint
from twisted_rpc.wire.client import (
    ClientConnection,
    GoAwayReceived,
    HelloRefused,
    PlainServer,
    State,
    Welcomed,
)
from twisted_rpc.wire.messages import Auth, Hello, ReplyMessage, write_error, write_text
from twisted_rpc.wire.server import Refusal, ServerConnection
from twisted_rpc.wire.text import legal_id, recover_id, repeated_name

WELCOME = {
    "version": 1,
    "features": [],
    "session": "5f0c9a7b",
    "resumed": False,
    "guarantee": {
        "store": "memory",
        "durable": False,
        "classes": [],
        "window": 9,
        "retention": 1,
    },
    "limits": {"max_frame": 2000, "max_inflight": 3},
    "ping": 0,
    "schema": {},
    "time": 1,
    "software": "",
}


def reply(request_id: str = "$hello", **members: Any) -> bytes:
    """
    @return: a reply.
    """
    message = {"request_id": request_id, "result": None, "error": None, "timestamp": 1}
    return json.dumps({**message, **members}).encode()


class ConnectionTests(SynchronousTestCase):
    """
    What may come when, without any I/O.
    """

    def asking(self, wire: Any = "auto") -> ClientConnection:
        """
        @return: a connection that has said hello.
        """
        connection = ClientConnection(Limits(), wire)
        connection.hello(Hello(versions=[1]), b"1")
        return connection

    def test_welcome(self) -> None:
        """
        A good answer makes the connection extended, and tells its limit.
        """
        connection = self.asking()
        self.assertIsInstance(connection.receive(reply(result=WELCOME)), Welcomed)
        self.assertIs(connection.state, State.EXTENDED)
        error = self.assertRaises(RPCError, connection.check_size, 2001)
        self.assertEqual((error.code, error.executed), (Code.RESOURCE_EXHAUSTED, "no"))
        connection.check_size(2000)
        control_id, frame = connection.control("ping", [], b"1")
        self.assertEqual(json.loads(frame)["request_id"], control_id)

    def test_plain_and_refused(self) -> None:
        """
        W16: an error with ext is a refusal, one without a plain server.
        """
        self.assertIsInstance(self.asking().receive(reply(error="no")), PlainServer)
        refused = self.asking().receive(
            reply(error="x", ext={"code": "UNAUTHENTICATED", "executed": "no"})
        )
        assert isinstance(refused, HelloRefused)
        self.assertIs(refused.error.code, Code.UNAUTHENTICATED)
        self.assertIsInstance(
            self.asking("extended").receive(reply(error="no")), HelloRefused
        )

    def test_broken(self) -> None:
        """
        A server that breaks the protocol is told from everything else.
        """
        for frame in (
            b"{",
            reply("other"),
            reply(result={}),
            reply(result={**WELCOME, "version": 2}),
            reply(result={**WELCOME, "session": "a b"}),
        ):
            self.assertRaises(RemoteProtocolError, self.asking().receive, frame)
        new = ClientConnection(Limits())
        self.assertRaises(RemoteProtocolError, new.receive, reply())
        plain = ClientConnection(Limits())
        plain.stay_plain()
        self.assertRaises(RemoteProtocolError, plain.receive, reply("x"))
        self.assertRaises(LocalProtocolError, plain.stay_plain)
        self.assertRaises(LocalProtocolError, plain.hello, Hello(versions=[1]), b"1")
        self.assertRaises(LocalProtocolError, plain.control, "ping", [], b"1")
        self.assertRaises(TypeError, ProtocolError, "whose fault?")

    def test_goaway(self) -> None:
        """
        W28: the server says that it goes.
        """
        connection = self.asking()
        connection.receive(reply(result=WELCOME))
        notice = connection.receive(
            reply("$goaway", result={"reason": "age", "grace": 5})
        )
        assert isinstance(notice, GoAwayReceived)
        self.assertEqual((notice.notice.reason, connection.going_away), ("age", True))
        self.assertRaises(
            RemoteProtocolError, connection.receive, reply("$goaway", result=3)
        )

    @given(st.binary(max_size=200))
    def test_any_bytes(self, frame: bytes) -> None:
        """
        Any bytes give a message or a RemoteProtocolError; on a server a message
        or a refusal.
        """
        connection = self.asking()
        try:
            connection.receive(frame)
        except RemoteProtocolError:
            pass
        received = ServerConnection(Limits()).receive(frame)
        self.assertIsInstance(received, Refusal)


class TextTests(SynchronousTestCase):
    """
    JSON at its edges.
    """

    def test_recovery(self) -> None:
        """
        An id is found where there is one that may be answered.
        """
        self.assertEqual(recover_id(b'{"request_id":"a","params":[NaN'), "a")
        self.assertEqual(recover_id(b'{"x":[NaN],"request_id":"a"}'), "a")
        for text in (
            b"[]",
            b"{",
            b'{"request_id":3}',
            b"x" * 100_000,
            b'{"x":' + b"[" * 999,
        ):
            self.assertIsNone(recover_id(text))

    def test_recovery_is_bounded(self) -> None:
        """
        X6: of a large message the id is found only where it stands in front: it is
        not read a second time.
        """
        for size, found in ((1000, "a"), (70_000, None)):
            text = b'{"more":"%b","request_id":"a"}' % (b"x" * size)
            self.assertEqual(recover_id(text), found)
            self.assertEqual(recover_id(b'{"request_id":"a","more":"' + text), "a")

    def test_ids(self) -> None:
        """
        Ids have 1 to 128 characters, none of them a control character.
        """
        self.assertTrue(legal_id("ä" * 128))
        for wrong in ("", "x" * 129, "a\x00", "a\x7f", "a\ud800"):
            self.assertFalse(legal_id(wrong))

    def test_repeated(self) -> None:
        """
        A name that occurs twice is found at any depth.
        """
        self.assertEqual(repeated_name(b'{"a":[{"b":1,"b":2}]}'), "b")
        self.assertIsNone(repeated_name(b'{"a":1,"b":{"a":1}}'))
        self.assertIsNone(repeated_name(b"{"))

    def test_surrogates(self) -> None:
        """
        What JSON cannot carry is escaped, and secrets are not shown.
        """
        self.assertEqual(write_text("a\ud800"), rb'"a\\ud800"')
        self.assertNotIn("t0k3n", repr(Auth("bearer", "t0k3n")))

    def test_errors_cross(self) -> None:
        """
        Every error is read as it was written.
        """
        connection = ClientConnection(Limits())
        for code in ERRORS:
            error = refusal(code, "why", executed="unknown", retry_after=0.25)
            error.error_id, error.replayed = "e", True
            raw = write_error("a", error, b"1", extended=True)
            message = json.loads(raw)
            read = connection.error_of(msgspec.json.decode(raw, type=ReplyMessage))
            self.assertEqual(message["error"], f"{code.value}: why")
            self.assertEqual(
                (
                    read.code,
                    read.executed,
                    read.retry_after,
                    read.error_id,
                    read.replayed,
                ),
                (code, "unknown", 0.25, "e", True),
            )
            self.assertIs(type(read), ERRORS[code])


class ClientTests(SynchronousTestCase):
    """
    A client as its user sees it.
    """

    def test_arguments(self) -> None:
        """
        A client that cannot work is refused when it is made.
        """
        talk = Conversation("service A { int f(int a) }", self)
        self.addCleanup(talk.close)
        for wrong in (
            {"wire": "loud"},
            {"max_connections": 0},
            {"auth": {"token": "x"}},
            {"timeout": 0},
            {"metadata": {"Big": "x"}},
        ):
            options: dict[str, Any] = wrong
            self.assertRaises(
                ValueError, Client, "tcp:127.0.0.1:1", reactor=talk.clock, **options
            )
        self.assertRaises(ValueError, Client, [], reactor=talk.clock)

    def f(self, a: int) -> int:
        """The implementation."""
        return a

    def test_interceptors(self) -> None:
        """
        An interceptor stands on a client as it does on a server; it may add
        metadata, and see the answer.
        """
        talk = Conversation("service A { int f(int a) }", self)
        self.addCleanup(talk.close)
        seen: list[Any] = []

        def noted(result: Any) -> Any:
            seen.append(result)
            return result

        def adding(responder: Any) -> Any:
            def respond(request: Request) -> Any:
                request.metadata = {**request.metadata, "more": "1"}
                return responder(request).addCallback(noted)

            return respond

        client = Client(
            MemoryEndpoint(talk.network, talk.server.factory),
            reactor=talk.clock,
            wall=talk.clock.seconds,
            interceptors=[adding],
        )
        answer = client.proxy(talk.idl.IA).f(3)
        talk.pump()
        self.assertEqual((self.successResultOf(answer), seen), (3, [b"3"]))
        self.assertIn("Client", repr(client))
        pinged = client.ping().addCallback(lambda _: True)
        talk.pump()
        self.assertTrue(self.successResultOf(pinged))
        client.close()
        talk.advance(2)
