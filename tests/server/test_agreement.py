"""
Tests for a server and a client whose IDLs are not the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Code, Registry, RPCError
from twisted_rpc.client import agreement as of_clients
from twisted_rpc.idl import Schema, load_idl_text
from twisted_rpc.server import agreement as of_servers
from twisted_rpc.server.agreement import Agreement
from twisted_rpc.testing import MemoryClock, Pair, connect
from twisted_rpc.wire.messages import Hello

OLD = """
struct Item { string name; int32 count = 1; }
service Shop { int put(Item item) Item get(string name) void gone() int kept(int a) }
"""
NEW = """
struct Item { string name; int64 count = 1; decimal price; }
service Shop { int put(Item item) Item get(string name) int kept(int a, int b = 2) }
"""


class Shop:
    """
    Implements the newer one.
    """

    item: Any = None

    def put(self, item: Any) -> int:
        self.item = item
        return 1

    def get(self, name: str) -> Any:
        return self.item

    def kept(self, a: int, b: int) -> int:
        return a + b


class AgreementTestCase(SynchronousTestCase):
    """
    A server of one version and a client of another.
    """

    def setUp(self) -> None:
        """
        Load both.
        """
        self.old, self.new = (
            load_idl_text(OLD, "old.idl"),
            load_idl_text(NEW, "new.idl"),
        )
        self.shop = Shop()
        self.registry = Registry()
        self.registry.register(self.new.Shop, self.shop)

    def connect(self, **options: Any) -> Pair:
        """
        @return: a client and a server.
        """
        pair = connect(self.registry, **options)
        self.addCleanup(pair.close)
        return pair

    def said(self, events: Sequence[Any], part: str) -> list[Any]:
        """
        @return: what the client or the server says of IDLs.
        """
        namespace = f"twisted_rpc.{part}"
        return [
            it
            for it in events
            if it["log_namespace"].startswith(namespace)
            and "the IDL of" in str(formatEvent(it))
        ]


class ClientTests(AgreementTestCase):
    """
    The client asks, compares and tells.
    """

    def test_difference(self) -> None:
        """
        What differs is told once, in the words of C{twisted-rpc breaking}.
        """
        pair = self.connect()
        with capturedLogs() as events:
            shop = pair.client.proxy(self.old.Shop)
            self.assertEqual(pair.result(shop.kept(1)), 3)
            pair.network.break_all()
            pair.advance(5.0)
            self.assertEqual(pair.result(shop.kept(2)), 4)
            pair.client.proxy(self.old.Shop)
            pair.pump()
        (event,) = self.said(events, "client")
        self.assertEqual(event["log_level"], LogLevel.warn)
        first, *findings = str(formatEvent(event)).splitlines()
        self.assertTrue(first.startswith("Shop: the IDL of "), first)
        self.assertTrue(
            first.endswith("is not the one loaded here; they are not compatible:"),
            first,
        )
        self.assertEqual(len(findings), 3, findings)
        text = "\n".join(findings)
        self.assertIn(
            "WIRE: the type of member 'count' of 'Item' is int64 for the server, int32"
            " for the client; clients like this one refuse 2147483648",
            text,
        )
        self.assertIn("'price' of 'Item' is required by the server;", text)
        self.assertIn("method 'Shop.gone' is not known to the server", text)
        self.assertIn("[client: old.idl:2:34]", text)
        self.assertNotIn("SOURCE", text)

    def test_what_is_compatible_is_served(self) -> None:
        """
        Calls work as far as both understand them; the others fail with an error
        that says which value is meant.
        """
        pair = self.connect()
        shop = pair.client.proxy(self.old.Shop)
        self.assertEqual(pair.result(shop.kept(1)), 3)
        error = self.assertRaises(RPCError, pair.result, shop.gone())
        self.assertIs(error.code, Code.UNIMPLEMENTED)
        error = self.assertRaises(
            RPCError, pair.result, shop.put(self.old.Item(name="tea"))
        )
        self.assertIs(error.code, Code.INVALID_ARGUMENT)
        self.assertIn("item: missing required member price", error.message)
        self.shop.item = self.new.Item(name="tea", count=2**31, price=1)
        self.shop.item.price = self.new.Item  # no decimal
        error = self.assertRaises(RPCError, pair.result, shop.get("tea"))
        self.assertIs(error.code, Code.INTERNAL)

    def test_compatible(self) -> None:
        """
        A difference that breaks nothing is told as such.
        """
        text = NEW.replace("int b = 2", "int b = 3")
        pair = self.connect()
        with capturedLogs() as events:
            pair.result(pair.client.proxy(load_idl_text(text).Shop).kept(1))
        (event,) = self.said(events, "client")
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertIn("they are compatible, but not the same:", formatEvent(event))
        self.assertIn("is 2 for the server, 3 for the client", formatEvent(event))
        with capturedLogs() as events:
            text = NEW.replace(", int b = 2", "")
            pair.result(pair.client.proxy(load_idl_text(text).Shop).kept(1))
        (event,) = self.said(events, "client")
        self.assertTrue(str(formatEvent(event)).endswith("they are compatible"))

    def test_same(self) -> None:
        """
        Nothing is said of the same IDL, nor of one that the server does not have.
        """
        pair = self.connect()
        other = load_idl_text("service Other { }")
        with capturedLogs() as events:
            pair.client.proxy(other.Other)
            pair.result(pair.client.proxy(self.new.Shop).kept(1))
        self.assertEqual(self.said(events, "client"), [])
        self.assertEqual(self.said(events, "server"), [])

    def test_later(self) -> None:
        """
        A service that is loaded after hello is compared, too.
        """
        pair = self.connect()
        pair.result(pair.client.ping())
        with capturedLogs() as events:
            pair.client.proxy(self.old.Shop)
            pair.pump()
        self.assertEqual(len(self.said(events, "client")), 1)

    def test_no_reflection(self) -> None:
        """
        Of a server that keeps its IDL to itself it is only known that it
        differs.
        """
        pair = self.connect(server={"reflection": False})
        with capturedLogs() as events:
            pair.result(pair.client.proxy(self.old.Shop).kept(1))
        (event,) = self.said(events, "client")
        self.assertIn(
            "what differs cannot be told: UNIMPLEMENTED: reflection is switched off",
            formatEvent(event),
        )

    ANSWERS: ClassVar[dict[str, Any]] = {
        "the server's answer is no IDL": [{}, {"idl": 5}, [], None],
        "it has more than 65536 characters": [{"idl": " " * 200_000}],
        "the server's answer is another service's": [{"idl": "service A { }"}],
        "1:1: expected a definition": [{"idl": "servce A { }\n" * 50}],
    }

    def test_answers(self) -> None:
        """
        Whatever a server answers is told in a line, and nothing worse.
        """
        for reason, answers in self.ANSWERS.items():
            for answer in answers:
                pair = self.connect()
                control = pair.server.factory.shared
                self.patch(
                    type(control.services["Shop"]), "text", self.answer_of(answer)
                )
                with capturedLogs() as events:
                    pair.client.proxy(self.old.Shop)
                    pair.result(pair.client.ping())
                    pair.pump()
                (event,) = self.said(events, "client")
                self.assertIn(reason, formatEvent(event))
                self.assertNotIn("\n", str(formatEvent(event)))

    def answer_of(self, answer: Any) -> Any:
        """
        @return: what stands in for the text of a service.
        """
        return answer.get("idl") if isinstance(answer, dict) else None

    def test_bounded(self) -> None:
        """
        A server that introduces itself with ever new digests does not make the
        client ask and tell for ever.
        """
        self.patch(of_clients, "MAX_TOLD", 3)
        pair = self.connect()
        with capturedLogs() as events:
            for number in range(5):
                text = NEW.replace("int b = 2", f"int b = {number + 10}")
                pair.client.proxy(load_idl_text(text).Shop)
                pair.result(pair.client.ping())
                pair.pump()
        self.assertEqual(len(self.said(events, "client")), 3)

    def test_too_much(self) -> None:
        """
        Findings that are many are counted, not told.
        """
        methods = " ".join(f"void m{number}()" for number in range(15))
        pair = self.connect()
        with capturedLogs() as events:
            pair.client.proxy(load_idl_text(f"service Shop {{ {methods} }}").Shop)
            pair.result(pair.client.ping())
            pair.pump()
        (event,) = self.said(events, "client")
        lines = str(formatEvent(event)).splitlines()
        self.assertEqual(len(lines), 12)
        self.assertEqual(lines[-1], "  and 5 more")


class ServerTests(AgreementTestCase):
    """
    The server tells who has another IDL, and parses nothing of theirs.
    """

    def events(self, idl: Schema, **options: Any) -> list[Any]:
        """
        @return: what the server says when a client of an IDL connects, twice.
        """
        pair = self.connect(server=options)
        with capturedLogs() as events:
            pair.result(pair.client.proxy(idl.Shop).kept(1))
            pair.network.break_all()
            pair.advance(5.0)
            pair.result(pair.client.ping())
        return self.said(events, "server")

    def test_unknown(self) -> None:
        """
        Of an IDL that the server does not know it says once who has it.
        """
        (event,) = self.events(self.old)
        self.assertEqual(event["log_level"], LogLevel.info)
        text = str(formatEvent(event))
        self.assertIn("Shop: the IDL of anonymous at ", text)
        self.assertIn("with 'twisted_rpc/", text)
        self.assertIn("is not the one served, but unknown here", text)

    def test_earlier(self) -> None:
        """
        Of an earlier one that the server was given, it says what it comes to.
        """
        (event,) = self.events(self.old, earlier=[self.old, self.new])
        self.assertEqual(event["log_level"], LogLevel.warn)
        text = str(formatEvent(event))
        self.assertIn("is not the one served, but that of old.idl, which is not", text)
        self.assertIn("method 'Shop.gone' is not known to the server", text)
        near = load_idl_text(NEW.replace(", int b = 2", ""), "near.idl")
        (event,) = self.events(near, earlier=[near])
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertIn("but that of near.idl, which is compatible", formatEvent(event))

    def test_bounded(self) -> None:
        """
        Clients that call themselves something else each time are told of until
        there are too many; what they say is one line each.
        """
        self.patch(of_servers, "MAX_TOLD", 3)
        agreement = Agreement({"Shop": self.new.Shop})
        with capturedLogs() as events:
            for number in range(10):
                software = f"{number}\n[forged] line"
                agreement.met(
                    "anonymous",
                    "here",
                    Hello([1], schema={"Shop": "x" * 500, "A": ""}, software=software),
                )
        self.assertEqual(len(events), 4)
        for event in events:
            self.assertNotIn("\n", str(formatEvent(event)))
        self.assertEqual(
            formatEvent(events[-1]), "3 clients had another IDL; no more are told of"
        )


class MemoryTests(AgreementTestCase):
    """
    Nothing is left behind.
    """

    def test_no_timer(self) -> None:
        """
        A client that is closed while it asks leaves no timer.
        """
        clock = MemoryClock()
        pair = connect(self.registry, clock=clock)
        pair.client.proxy(self.old.Shop)
        pair.client.ping().addErrback(lambda _: None)
        pair.close()
        self.assertEqual(clock.getDelayedCalls(), [])
