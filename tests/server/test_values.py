"""
Tests that values of every type of the language cross the wire, through a real
client and a real server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Code, Registry, RPCError
from twisted_rpc.errors import Internal, InvalidArgument
from twisted_rpc.idl import Schema, load_idl, load_idl_text
from twisted_rpc.testing import Pair, connect

DEFINITIONS: Final = """
enum Colour { RED, GREEN = "green" }
@open enum Mood { GOOD }
struct Point { int32 x; int32 y = 7; string? label; }
struct Named extends Point { @name("class") string kind; Named? next; }
struct Circle { Point centre; float radius = 1.5; }
union Shape { Circle, Named }
"""

ID: Final = UUID("12345678-1234-5678-1234-567812345678")
EAST: Final = timezone(timedelta(hours=5, minutes=30))

#: Of each type of the language: values that come back as they were.
VALUES: Final[dict[str, list[Any]]] = {
    "int": [0, -1, 2**63, -(10**50)],
    "int32": [2**31 - 1, -(2**31)],
    "uint32": [0, 2**32 - 1],
    "int64": [2**63 - 1, -(2**63)],
    "uint64": [0, 2**64 - 1],
    "float": [0.0, -1.5, 1e300, 5e-324],
    "bool": [True, False],
    "string": ["", "Ann", 'q"\\\n\u0001', "\U0001f600", "x" * 5000],
    "bytes": [b"", b"\x00\xff", b"x" * 1000],
    "decimal": [Decimal("12.30"), Decimal("-0.00"), Decimal("1E+20")],
    "timestamp": [
        datetime(2026, 11, 22, 10, 30, tzinfo=timezone.utc),  # noqa: UP017 - as EAST is written
        datetime(2026, 11, 22, 10, 30, 1, 250_000, tzinfo=EAST),
    ],
    "date": [date(2026, 11, 22), date.min, date.max],
    "duration": [timedelta(), timedelta(days=-1, microseconds=5), timedelta.max],
    "uuid": [ID],
    "any": [None, True, 5, 1.5, "x", [1, [2, {"a": None}]], {"a": {"b": []}}],
    "list": [[], [1, "a", None, [2]]],
    "list<int>": [[], [1, 2]],
    "list<list<string?>>": [[[], ["a", None]]],
    "set<int64>": [set(), {1, 2, 3}],
    "set<uuid>": [{ID}],
    "set<Colour>": ["colours"],
    "map<string, int>": [{}, {"a": 1, "": 2}],
    "map<int32, list<float>>": [{5: [1.5], -5: []}],
    "map<date, bool>": [{date(2026, 1, 1): True}],
    "map<uuid, Point?>": ["points"],
    "Colour": ["GREEN"],
    "Point": ["point"],
    "Named": ["named"],
    "Shape": ["circle", "named"],
    "map<Colour, list<Shape>>": ["shapes"],
    "int?": [None, 5],
    "Point?": [None, "point"],
    "Shape?": [None, "circle"],
    "Colour?": [None, "GREEN"],
    "list<int>?": [None, [1]],
}


def made(idl: Schema) -> dict[str, Any]:
    """
    @return: the values that need the types of the IDL, by what they are called.
    """
    point = idl.Point(x=1)
    named = idl.Named(x=2, kind="k", next=idl.Named(x=3, kind="deeper"))
    circle = idl.Circle(centre=point, radius=2.5)
    return {
        "colours": {idl.Colour.RED, idl.Colour.GREEN},
        "GREEN": idl.Colour.GREEN,
        "point": point,
        "points": {ID: point},
        "named": named,
        "circle": circle,
        "shapes": {idl.Colour.RED: [circle, named], idl.Colour.GREEN: []},
    }


class Echo:
    """
    Answers to any method with what it was passed.
    """

    def __init__(self, count: int) -> None:
        for number in range(count):
            setattr(self, f"m{number}", lambda value: value)


class ValuesTestCase(SynchronousTestCase):
    """
    Clients of both profiles, and servers in memory.
    """

    def connect(
        self, service: Any, implementation: Any, *, plain: bool = False, **options: Any
    ) -> Pair:
        """
        @return: a client and a server.
        """
        registry = Registry()
        registry.register(service, implementation)
        client = {"wire": "plain"} if plain else {}
        pair = connect(registry, client=client, **options)
        self.addCleanup(pair.close)
        return pair

    def error(self, pair: Pair, answer: Deferred[Any]) -> RPCError:
        """
        @return: what a call fails with.
        """
        error: RPCError = self.assertRaises(RPCError, pair.result, answer)
        return error


class TypesTests(ValuesTestCase):
    """
    Parameters and results, members of structs and of exceptions.
    """

    def setUp(self) -> None:
        """
        A service with a method for each type.
        """
        methods = "".join(
            f"{it} m{number}({it} value);" for number, it in enumerate(VALUES)
        )
        self.idl = load_idl_text(f"{DEFINITIONS} service Echo {{ {methods} }}")

    def test_parameters_and_results(self) -> None:
        """
        A value of any type is passed and returned as it was, by both profiles.
        """
        special = made(self.idl)
        for plain in (False, True):
            pair = self.connect(self.idl.Echo, Echo(len(VALUES)), plain=plain)
            proxy = pair.client.proxy(self.idl.Echo)
            for number, (type_, values) in enumerate(VALUES.items()):
                for value in values:
                    given = value
                    if isinstance(value, str) and type_ not in {"string", "any"}:
                        given = special[value]
                    answer = pair.result(getattr(proxy, f"m{number}")(given))
                    self.assertEqual(answer, given, type_)
                    self.assertIs(type(answer), type(given), type_)
                    self.assertEqual(str(answer), str(given), type_)

    def test_members(self) -> None:
        """
        A value of any type is a member of a struct and of an exception, which
        arrives as its class.
        """
        special = made(self.idl)
        for type_, values in VALUES.items():
            idl = load_idl_text(
                f"{DEFINITIONS} struct Box {{ {type_} it; }}"
                f" exception Broke {{ {type_} it; list<{type_}> many = []; }}"
                " service S { Box keep(Box box) throws Broke; }"
            )
            special = made(idl)
            value = values[-1]
            if isinstance(value, str) and type_ not in {"string", "any"}:
                value = special[value]

            def keep(box: Any, idl: Any = idl) -> Any:
                if box.it is None:
                    return box
                raise idl.Broke(it=box.it, many=[box.it])

            pair = self.connect(idl.S, _Single("keep", keep))
            answer = pair.client.proxy(idl.S).keep(idl.Box(it=value))
            if value is None:
                self.assertEqual(pair.result(answer), idl.Box(it=None))
                continue
            error = self.error(pair, answer)
            self.assertIsInstance(error, idl.Broke, f"{type_}: {error!r}")
            assert isinstance(error, idl.Broke)
            self.assertEqual((error.it, error.many), (value, [value]), type_)
            self.assertEqual((error.remote, error.executed), (True, "yes"))


class _Single:
    """
    Has one method.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        setattr(self, name, function)


class StrictTests(ValuesTestCase):
    """
    What is not of its type is refused, and the error says which value it is.
    """

    IDL = """
    enum Size { S, M }
    struct Item { string name; decimal price; @range(min=1) int32 count = 1; Size? size; }
    struct Order { list<Item> items; map<string, timestamp> dates = {}; float weight = 0.0; }
    service Shop { Order put(Order order, bool gift = false); }
    """
    #: By what is said: what a client of another language sends.
    SENT: ClassVar[dict[str, Any]] = {
        "order.items[2].price: ": [{"items": ["good", "good", {"price": True}]}],
        "order.items[0].name: expected str, got int": [{"items": [{"name": 5}]}],
        "order.items[0].name: expected str, got null": [{"items": [{"name": None}]}],
        "order.items[1].count: expected int, got str": [
            {"items": ["good", {"count": "5"}]}
        ],
        "order.items[0].count: expected int, got float": [{"items": [{"count": 2.5}]}],
        "order.items[0].count: expected int >= 1": [{"items": [{"count": 0}]}],
        "order.items[0].count: expected int <= 2147483647": [
            {"items": [{"count": 2**31}]}
        ],
        "order.items[0].size: unknown value 'XL'": [{"items": [{"size": "XL"}]}],
        "order.dates[...]: ": [{"items": [], "dates": {"a": "2026-11-22T10:00:00"}}],
        "order.weight: expected float, got bool": [{"items": [], "weight": True}],
        "order: missing required member items": [{}],
        "order: expected object, got array": [[]],
        "gift: expected bool, got int": [{"items": []}, 1],
    }

    def setUp(self) -> None:
        """
        A server, and a client that may send anything.
        """
        self.idl = load_idl_text(self.IDL)
        self.loose = load_idl_text(
            "service Shop { any put(any order, any gift = false) }"
        )
        self.answer: Any = None

        put = _Single("put", lambda order, gift: self.answer or order)
        self.pair = self.connect(self.idl.Shop, put)

    def filled(self, value: Any) -> Any:
        """
        @return: an order whose items have what is not said of them.
        """
        good = {"name": "tea", "price": "1.50"}
        if isinstance(value, dict) and "items" in value:
            items = [good if it == "good" else {**good, **it} for it in value["items"]]
            return {**value, "items": items}
        return value

    def test_requests(self) -> None:
        """
        The server refuses what another client sends, and runs nothing.
        """
        proxy = self.pair.client.proxy(self.loose.Shop)
        for said, (order, *rest) in self.SENT.items():
            error = self.error(self.pair, proxy.put(self.filled(order), *rest))
            self.assertIsInstance(error, InvalidArgument, said)
            self.assertEqual(error.executed, "no")
            self.assertTrue(
                error.message.startswith(f"Parameter validation failed: {said}"),
                (said, error.message),
            )

    def test_requests_of_the_plain_profile(self) -> None:
        """
        A client of the plain profile is refused alike; its errors have no code
        but that in the text.
        """
        pair = self.connect(
            self.idl.Shop, _Single("put", lambda order, gift: order), plain=True
        )
        proxy = pair.client.proxy(self.loose.Shop)
        for said, (order, *rest) in self.SENT.items():
            error = self.error(pair, proxy.put(self.filled(order), *rest))
            self.assertIn(f"Parameter validation failed: {said}", error.message)

    def test_client(self) -> None:
        """
        A client sends nothing that is not of its type.
        """
        proxy = self.pair.client.proxy(self.idl.Shop)
        item, order = self.idl.Item, self.idl.Order
        good = item(name="tea", price=Decimal(1))
        for said, value in {
            "order.items[2].price: expected decimal, got str": order(
                items=[good, good, item(name="a", price="x")]
            ),
            "order.items[0].price: NaN cannot be sent": order(
                items=[item(name="a", price=Decimal("NaN"))]
            ),
            "order.weight: infinity cannot be sent": order(
                items=[], weight=float("inf")
            ),
            "order.weight: expected float, got bool": order(items=[], weight=True),
            "order.items[0].name: half of a surrogate pair cannot be sent": order(
                items=[item(name="\ud800", price=Decimal(1))]
            ),
            "order.dates[a]: a time without a time zone cannot be sent": order(
                items=[],
                dates={"a": datetime(2026, 1, 1)},  # noqa: DTZ001 - the fault
            ),
            "order.items[0].count: expected int <= 2147483647": order(
                items=[item(name="a", price=Decimal(1), count=2**31)]
            ),
            "order: expected Order, got dict": {"items": []},
        }.items():
            error = self.error(self.pair, proxy.put(value))
            self.assertIsInstance(error, InvalidArgument)
            self.assertEqual((error.message, error.remote), (said, False))

    def test_results(self) -> None:
        """
        An implementation answers with nothing that is not of its type: its
        caller gets INTERNAL, the log the path.
        """
        proxy = self.pair.client.proxy(self.idl.Shop)
        good = self.idl.Order(items=[])
        self.answer = self.idl.Order(
            items=[self.idl.Item(name="a", price=Decimal("sNaN"))]
        )
        with capturedLogs() as events:
            error = self.error(self.pair, proxy.put(good))
        self.assertIsInstance(error, Internal)
        (reason,) = [it["reason"] for it in events if "reason" in it]
        self.assertEqual(reason, "result.items[0].price: NaN cannot be sent")

    def test_replies(self) -> None:
        """
        A reply that is not of its type fails the call, which ran.
        """
        newer = load_idl_text("service Shop { any put(any order, bool gift) }")
        answer = {"items": [{"name": "a", "price": []}]}
        pair = self.connect(newer.Shop, _Single("put", lambda order, gift: answer))
        proxy = pair.client.proxy(self.idl.Shop)
        error = self.error(pair, proxy.put(self.idl.Order(items=[]), gift=True))
        self.assertIsInstance(error, Internal)
        self.assertEqual(error.executed, "yes")
        self.assertTrue(
            error.message.startswith(
                "the reply does not fit the IDL: result.items[0].price: expected"
            ),
            error.message,
        )


class MethodTests(ValuesTestCase):
    """
    What a method may have.
    """

    def test_trailing_defaults(self) -> None:
        """
        What a caller does not pass, the server fills in with its own defaults;
        a gap before something that is passed is filled by the client.
        """
        text = "service S {{ list f(int a, int b = {0}, list<int> c = [{0}], int? d) }}"
        ours, theirs = (load_idl_text(text.format(it)) for it in (1, 2))
        pair = self.connect(theirs.S, _Single("f", lambda *args: list(args)))
        proxy = pair.client.proxy(ours.S)
        for args, kwargs, expected in (
            ((0,), {}, [0, 2, [2], None]),
            ((0, 5), {}, [0, 5, [2], None]),
            ((0,), {"c": [7]}, [0, 1, [7], None]),
            ((0,), {"d": 9}, [0, 1, [1], 9]),
        ):
            answer = pair.result(proxy.f(*args, **kwargs))
            self.assertEqual(answer, expected)
        self.assertRaises(TypeError, proxy.f)

    def test_inheritance(self) -> None:
        """
        An inherited method is called under the service that extends.
        """
        idl = load_idl_text(
            "service A { int a() } service B { int b() }"
            " service C extends A, B { int c() }"
        )

        class Implementation:
            """All three."""

            def a(self) -> int:
                return 1

            def b(self) -> int:
                return 2

            def c(self) -> int:
                return 3

        pair = self.connect(idl.C, Implementation())
        proxy = pair.client.proxy(idl.C)
        self.assertEqual(
            [pair.result(it()) for it in (proxy.a, proxy.b, proxy.c)], [1, 2, 3]
        )
        self.assertTrue(idl.IA.providedBy(proxy) and idl.IB.providedBy(proxy))
        error = self.error(pair, pair.client.proxy(idl.A).a())
        self.assertIs(error.code, Code.UNIMPLEMENTED)

    def test_imports(self) -> None:
        """
        Types of an imported file are sent as others are, also if another has
        the same name.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "common.idl").write_text(
            "namespace far; struct P { int a; } exception E { P p; }"
        )
        (folder / "s.idl").write_text(
            'import "common.idl" as common; struct P { string b; }'
            " service S { common.P f(P p) throws common.E; }"
        )
        idl = load_idl(folder / "s.idl")

        def f(p: Any) -> Any:
            if p.b:
                raise idl.common.E(p=idl.common.P(a=1))
            return idl.common.P(a=2)

        pair = self.connect(idl.S, _Single("f", f))
        proxy = pair.client.proxy(idl.S)
        answer = pair.result(proxy.f(idl.P(b="")))
        self.assertEqual(answer, idl.common.P(a=2))
        error = self.error(pair, proxy.f(idl.P(b="x")))
        assert isinstance(error, idl.common.E)
        self.assertEqual(error.p, idl.common.P(a=1))

    def test_oneway(self) -> None:
        """
        A one-way call is sent, and its caller learns no more.
        """
        idl = load_idl_text("service S { oneway void note(string text) }")
        noted: list[str] = []

        def note(text: str) -> None:
            noted.append(text)
            raise ValueError(text)

        for plain in (False, True):
            pair = self.connect(idl.S, _Single("note", note), plain=plain)
            self.assertIsNone(pair.result(pair.client.proxy(idl.S).note("a")))
            pair.pump()
            error = self.error(pair, pair.client.proxy(idl.S).note(5))
            self.assertIsInstance(error, InvalidArgument)
        self.assertEqual(noted, ["a", "a"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_void(self) -> None:
        """
        Nothing is returned by a method that returns nothing, whatever a newer
        server answers.
        """
        old = load_idl_text("service S { void f() }")
        new = load_idl_text("service S { int f() }")
        pair = self.connect(new.S, _Single("f", lambda: 5))
        self.assertIsNone(pair.result(pair.client.proxy(old.S).f()))
        pair = self.connect(old.S, _Single("f", lambda: 5))
        self.assertIsInstance(self.error(pair, pair.client.proxy(old.S).f()), Internal)

    def test_streams(self) -> None:
        """
        Streams are declared, and calling one says that it cannot be done yet.
        """
        idl = load_idl_text(
            "service S { stream<int> down(int a) int up(string name, stream<int> it) }"
        )

        class Streams:
            """Both ways."""

            async def down(self, a: int) -> AsyncIterator[int]:
                yield a

            async def up(self, name: str, it: AsyncIterator[int]) -> int:
                return 1

        pair = self.connect(idl.S, Streams())
        proxy = pair.client.proxy(idl.S)
        for name, answer in (("down", proxy.down(1)), ("up", proxy.up("a", iter([])))):
            error = self.error(pair, answer)
            self.assertIs(error.code, Code.UNIMPLEMENTED)
            self.assertEqual(error.executed, "no")
            self.assertIn(f"S.{name} streams, which this", error.message)
            self.assertIn("cannot do yet", error.message)


class NewerPeerTests(ValuesTestCase):
    """
    Peers of a newer version.
    """

    OLD = """
    enum Colour { RED }  @open enum Mood { GOOD }  struct P { int a; Colour c = RED; }
    union U { P }  exception E { P p; }
    service S { P get(); Colour set(Colour c); Mood feel(Mood m); P put(P p) throws E; U one(); }
    """
    NEW = """
    enum Colour { RED, BLUE }  @open enum Mood { GOOD, BAD }
    struct P { int a; Colour c = RED; string extra = "new"; }  struct Q { int b; }
    union U { P, Q }  exception E { P p; int more = 5; }
    service S { P get(); Colour set(Colour c); Mood feel(Mood m); P put(P p) throws E; U one(); }
    """

    def setUp(self) -> None:
        """
        Both versions.
        """
        self.old, self.new = load_idl_text(self.OLD), load_idl_text(self.NEW)

    def served(self, idl: Schema) -> Pair:
        """
        @return: a client, and a server of a version.
        """

        class Implementation:
            """Answers with what is newest."""

            def get(self) -> Any:
                return idl.P(a=1, c=list(idl.Colour)[-1])

            def set(self, c: Any) -> Any:
                return c

            def feel(self, m: Any) -> Any:
                return m

            def put(self, p: Any) -> Any:
                if p.a < 0:
                    raise idl.E(p=idl.P(a=p.a, c=list(idl.Colour)[-1]))
                return p

            def one(self) -> Any:
                return idl.Q(b=1) if "Q" in vars(idl) else idl.P(a=1)

        return self.connect(idl.S, Implementation())

    def test_replies(self) -> None:
        """
        An old client keeps a value of an enum that it does not know, can send it
        back, and ignores members; an unknown struct of a union fails the call.
        """
        pair = self.served(self.new)
        proxy = pair.client.proxy(self.old.S)
        got = pair.result(proxy.get())
        self.assertEqual(got.a, 1)
        self.assertEqual((got.c.known, got.c.value), (False, "BLUE"))
        self.assertIs(pair.result(proxy.set(got.c)), got.c)
        self.assertEqual(pair.result(proxy.put(got)), got)
        error = self.error(pair, proxy.put(self.old.P(a=-1)))
        assert isinstance(error, self.old.E)
        self.assertIs(error.p.c, got.c)
        error = self.error(pair, proxy.one())
        self.assertIsInstance(error, Internal)
        self.assertIn("result.type: unknown type 'Q'", error.message)

    def test_requests(self) -> None:
        """
        An old server refuses an unknown value, unless the enum is C{@open}, and
        ignores members that it does not know.
        """
        pair = self.served(self.old)
        proxy = pair.client.proxy(self.new.S)
        error = self.error(pair, proxy.set(self.new.Colour.BLUE))
        self.assertIsInstance(error, InvalidArgument)
        self.assertIn("c: unknown value 'BLUE'", error.message)
        self.assertIs(pair.result(proxy.feel(self.new.Mood.BAD)), self.new.Mood.BAD)
        self.assertEqual(
            pair.result(proxy.put(self.new.P(a=1, extra="x"))),
            self.new.P(a=1, extra="new"),
        )
