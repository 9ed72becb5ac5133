"""
The facts F1 to F13 about peers that exist, in both directions: our client
against their server, their client against ours, over real sockets.

The peers are those of L{tests.plain_peer}, which share no code with us.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.plain_peer import (
    REQUEST,
    PlainClient,
    PlainError,
    PlainServer,
    receive_frame,
    send_frame,
)
from twisted_rpc import Client, Limits, Registry, Server
from twisted_rpc.errors import OutcomeUnknown, ResourceExhausted, RPCError
from twisted_rpc.idl import load_idl_text

IDL = """
service Shop {
    int buy(int a, int b = 7);
    @readonly int look(int a);
    string echo(string text);
    int wait();
}
service default { int buy(int a, int b = 7) }
"""

idl = load_idl_text(IDL)


class Shop:
    """
    Both services.

    @ivar runs: what was run.
    @ivar waiting: the runs of C{wait} that have not ended.
    @ivar interrupt: is called in each run of C{buy}.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[Any, ...]] = []
        self.waiting: list[Deferred[int]] = []
        self.interrupt: Callable[[], None] = lambda: None

    def buy(self, a: int, b: int) -> int:
        self.runs.append((a, b))
        self.interrupt()
        return a + b

    def look(self, a: int) -> int:
        return a

    def echo(self, text: str) -> str:
        return text

    def wait(self) -> Deferred[int]:
        self.runs.append(())
        done: Deferred[int] = Deferred()
        self.waiting.append(done)
        return done


def request(**changes: Any) -> dict[str, Any]:
    """
    A legal message, changed; a change to C{...} leaves the member out.
    """
    message = {
        "request_id": str(uuid.uuid4()),
        "method": "buy",
        "params": [5, 3],
        "timestamp": time.time(),
        "service": "Shop",
        **changes,
    }
    return {name: value for name, value in message.items() if value is not ...}


class TheirClientTests(TestCase):
    """
    A client that knows the plain profile only, and our server.
    """

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        self.shop = Shop()
        registry = Registry()
        registry.register(idl.IShop, self.shop)
        registry.register(idl.Idefault, self.shop)
        self.server = Server(
            registry, listen=["tcp:0:interface=127.0.0.1"], reactor=reactor, drain=0
        )
        self.server.startService()
        self.addCleanup(self.server.stopService)
        assert self.server.listening is not None
        (port,) = await self.server.listening
        self.port = port.getHost().port  # type: ignore[attr-defined]  # of TCP
        self.client = self.connect()

    def connect(self) -> PlainClient:
        """
        @return: another client.
        """
        client = PlainClient("127.0.0.1", self.port, patience=60, pause=lambda _: None)
        self.addCleanup(client.close)
        return client

    def send(self, message: dict[str, Any]) -> Deferred[Any]:
        """
        Send C{message} in the client's own, blocking, way.
        """
        return deferToThread(self.client.send, message)

    async def error(self, message: dict[str, Any]) -> str:
        """
        The text of the error that answers C{message}.
        """
        with self.assertRaises(PlainError) as caught:
            await self.send(message)
        return str(caught.exception)

    async def test_long_frames(self) -> None:
        """
        F1: a long frame is answered, and one above our limit with an error.
        """
        text = "n" * 3_000_000
        self.assertEqual(await self.send(request(method="echo", params=[text])), text)
        said = await self.error(request(method="echo", params=[text * 2]))
        self.assertRegex(
            said, r"^frame of \d+ bytes exceeds the limit of 4194304 bytes"
        )

    async def test_ext_before_hello(self) -> None:
        """
        F2: an unknown C{ext} is an error, nothing runs, the id may come again.
        """
        message = request()
        self.assertEqual(
            await self.error({**message, "ext": {}}),
            "Invalid request: ext before hello",
        )
        self.assertEqual(self.shop.runs, [])
        self.assertEqual(await self.send(message), 8)

    async def test_unknown_service(self) -> None:
        """
        F3: the sentence is the same; but here the id does not keep it.
        """
        message = request()
        self.assertEqual(
            await self.error({**message, "service": "Shoq"}), "Service not found: Shoq"
        )
        self.assertEqual(await self.send(message), 8)

    async def test_pipelined(self) -> None:
        """
        F4: frames sent together are all answered, in their order.
        """

        def exchange() -> list[Any]:
            sock = self.client.connection
            for n in range(200):
                send_frame(sock, json.dumps(request(params=[n, 1])).encode())
            return [json.loads(receive_frame(sock))["result"] for _ in range(200)]

        self.assertEqual(await deferToThread(exchange), list(range(1, 201)))
        self.assertEqual(self.shop.runs, [(n, 1) for n in range(200)])

    async def test_absent_members(self) -> None:
        """
        F5: an absent service is C{"default"}, any other absence an error.
        """
        self.assertEqual(await self.send(request(service=...)), 8)
        for name in ("method", "params", "timestamp"):
            said = await self.error(request(**{name: ...}))
            self.assertRegex(said, f"^Invalid request: .*{name}")

    async def test_no_object(self) -> None:
        """
        F6: what is empty or no object is answered once, and the connection closed.
        """

        def exchange(body: bytes) -> tuple[Any, bytes]:
            sock = self.connect().connection
            send_frame(sock, body)
            return json.loads(receive_frame(sock)), sock.recv(1)

        for body in (b"", b"[]", b"null", b"7", b'"x"', b"{nonsense"):
            reply, rest = await deferToThread(exchange, body)
            self.assertEqual((reply["request_id"], rest), ("unknown", b""), body)

    async def test_counts(self) -> None:
        """
        F7: parameters are counted; what has a default may be missing here.
        """
        self.assertEqual(await self.send(request(params=[5])), 12)
        for params in ([], [1, 2, 3]):
            self.assertEqual(
                await self.error(request(params=params)),
                "Parameter validation failed: "
                f"Parameter count mismatch: got {len(params)}, expected 1 to 2",
            )

    async def test_replies(self) -> None:
        """
        F8, F9, F11: it reads our results and our errors, which means that they
        have four members, C{error} among them, and that this is a string.
        """
        self.assertEqual(await self.send(request()), 8)
        self.assertEqual(
            await self.error(request(method="sell")), "Method not found: Shop.sell"
        )

    async def test_one_frame_each(self) -> None:
        """
        F10: it takes the next frame for its answer, so a server that stops
        answers what runs and sends nothing else.
        """

        def exchange() -> tuple[Any, bytes]:
            sock = self.client.connection
            send_frame(sock, json.dumps(request(method="wait", params=[])).encode())
            return json.loads(receive_frame(sock)), sock.recv(1)

        answer = deferToThread(exchange)
        await self.until(lambda: bool(self.shop.waiting))
        stopped = self.server.factory.drain(10.0)
        self.shop.waiting[0].callback(3)
        reply, rest = await answer
        self.assertEqual((reply["result"], rest), (3, b""))
        await stopped

    async def test_lost_and_sent_again(self) -> None:
        """
        F12: it sends a message again whose connection was lost; that is answered
        from the record.
        """

        def lose() -> None:
            for protocol in list(self.server.factory.shared.connections):
                protocol.abort()

        self.shop.interrupt = lose
        self.assertEqual(await self.send(request()), 8)
        self.assertEqual(self.client.attempts, 2)
        self.assertEqual(self.shop.runs, [(5, 3)])

    async def test_stopped_by_an_error(self) -> None:
        """
        F12: an error reply ends the call at once.
        """
        await self.error(request(service="Shoq"))
        self.assertEqual(self.client.attempts, 1)

    async def test_duplicates(self) -> None:
        """
        F13: what peers run twice, we run once: a duplicate joins the run, and
        other parameters under its id are refused.
        """
        message = request(method="wait", params=[])
        others = [self.connect() for _ in range(3)]
        answers = gatherResults(
            [deferToThread(other.send, message) for other in others]
        )
        shared = self.server.factory.shared
        await self.until(
            lambda: sum(each.busy for each in shared.connections) == len(others)
        )
        self.shop.waiting[0].callback(5)
        self.assertEqual(await answers, [5, 5, 5])
        self.assertEqual(self.shop.runs, [()])
        said = await self.error({**message, "method": "buy", "params": [1, 2]})
        self.assertTrue(said.startswith("ID_REUSED: "), said)

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Let the reactor turn until C{condition} holds.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one
        from twisted.internet.task import deferLater  # noqa: PLC0415 - as above

        while not condition():
            await deferLater(reactor, 0.001)


class TheirServerTests(TestCase):
    """
    A server that knows the plain profile only, and our client.
    """

    def setUp(self) -> None:
        self.shop = Shop()
        self.server = PlainServer({"Shop": self.shop})
        self.addCleanup(self.server.close)

    def client(self, **options: Any) -> Client:
        """
        @return: a client of ours.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        endpoint = f"tcp:127.0.0.1:{self.server.port}"
        client = Client(endpoint, reactor=reactor, **options)
        self.addCleanup(client.close)
        return client

    def calls(self) -> list[dict[str, Any]]:
        """
        What the server received beside hello.
        """
        return [each for each in self.server.received if each["service"] != "$rpc"]

    async def test_long_frames(self) -> None:
        """
        F1: it would take any length; the limit is ours, and so is the error.
        """
        shop = self.client(limits=Limits(max_frame=100_000)).proxy(idl.IShop)
        self.assertEqual(await shop.echo("n" * 90_000), "n" * 90_000)
        with self.assertRaises(ResourceExhausted) as caught:
            await shop.echo("n" * 200_000)
        self.assertEqual(caught.exception.executed, "no")
        self.assertEqual(len(self.calls()), 1)

    async def test_hello(self) -> None:
        """
        F2, F3, F5: hello is asked under its constant id, and is all of it that a
        plain server sees: each message has the five members and no other, though
        the server keeps its answer to hello for ever.
        """
        for n in range(2):
            client = self.client()
            self.assertEqual(await client.proxy(idl.IShop).look(n), n)
            await client.close()
        hellos = [each for each in self.server.received if each["service"] == "$rpc"]
        self.assertEqual([each["request_id"] for each in hellos], ["$hello", "$hello"])
        for message in self.server.received:
            self.assertEqual(set(message), set(REQUEST))

    async def test_in_order(self) -> None:
        """
        F4, F10: parallel calls go over more connections, and each gets its own
        answer.
        """
        shop = self.client(max_connections=3).proxy(idl.IShop)
        answers = await gatherResults([shop.look(n) for n in range(30)])
        self.assertEqual(answers, list(range(30)))

    async def test_objects_only(self) -> None:
        """
        F6, F7: every frame is an object, and defaults are written out.
        """
        shop = self.client().proxy(idl.IShop)
        self.assertEqual(await shop.buy(5), 12)
        self.assertEqual([each["params"] for each in self.calls()], [[5, 7]])

    async def test_errors(self) -> None:
        """
        F8, F9, F11: its replies of four members are read, and its sentences
        become errors that claim nothing.
        """

        def fail() -> None:
            raise ValueError("sold out")

        self.shop.interrupt = fail
        with self.assertRaises(RPCError) as caught:
            await self.client().proxy(idl.IShop).buy(1, 2)
        self.assertEqual(caught.exception.message, "sold out")
        self.assertEqual(caught.exception.executed, "unknown")

    async def test_lost(self) -> None:
        """
        F12, F13: what may be repeated is repeated, under other ids; what may not
        is sent once, since the server would run it again while it runs.
        """
        shop = self.client().proxy(idl.IShop)
        self.assertEqual(await shop.look(0), 0)
        self.server.lose(1)
        self.assertEqual(await shop.look(1), 1)
        self.server.lose(1)
        with self.assertRaises(OutcomeUnknown):
            await shop.buy(1, 2)
        self.assertEqual(self.server.runs.count("Shop.buy"), 1)
        bought = [each for each in self.calls() if each["method"] == "buy"]
        self.assertEqual(len(bought), 1)
