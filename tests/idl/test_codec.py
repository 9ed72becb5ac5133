# -*- test-case-name: tests.idl.test_codec -*-
"""
Tests for the codecs of structs and unions, and for what they say.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.idl.sample import bank, echo, method
from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl import MethodSchema, Schema, load_idl_text

ORDER = """
struct Item { string name; decimal price; int count = 1 }
struct Order { list<Item> items; string? note; map<string, Item> by_name = {} }
struct Rush extends Order { int days }
service Shop { Order place(Order order, int32 copies = 1) int add(int a, int b) }
"""


class CodecCase(SynchronousTestCase):
    """
    Ways to say what fails, and how.
    """

    def fails(self, text: str, codec: Any, value: Any) -> None:
        """
        The codec refuses the value with this text.
        """
        error = self.assertRaises(InvalidValue, codec, value)
        self.assertEqual(str(error), text)
        self.assertIsNone(error.__cause__)


class StructTests(CodecCase):
    """
    Tests for structs.
    """

    def setUp(self) -> None:
        """
        A shop.
        """
        self.shop: Schema = load_idl_text(ORDER)
        self.place: MethodSchema = self.shop.Shop.by_name["place"]
        self.item = self.shop.Item(name="tea", price=Decimal("1.50"))
        self.order = self.shop.Order(items=[self.item])

    def test_all_members_are_written(self) -> None:
        """Defaults are written too, so that they can change later."""
        self.assertEqual(
            self.place.encode_params((self.order,)),
            b'[{"items":[{"name":"tea","price":"1.50","count":1}],'
            b'"note":null,"by_name":{}}]',
        )

    def test_members_may_be_absent_or_unknown(self) -> None:
        """Absent members have their default, unknown ones are ignored."""
        raw = b'[{"new":[1],"items":[{"price":"1.50","name":"tea"}]},2]'
        self.assertEqual(self.place.decode_params(raw), (self.order, 2))

    def test_the_path_leads_to_the_fault(self) -> None:
        """Parameter, members and indexes are named."""
        decode = self.place.decode_params
        self.fails(
            "order.items[1].price: expected a finite decimal",
            decode,
            b'[{"items":[{"name":"","price":1},{"name":"","price":"NaN"}]}]',
        )
        self.fails(
            "order.items[0]: missing required member name",
            decode,
            b'[{"items":[{"price":1}]}]',
        )
        self.fails(
            "order.by_name[...].count: expected int, got null",
            decode,
            b'[{"items":[],"by_name":{"a":{"name":"","price":1,"count":null}}}]',
        )
        self.fails(
            "copies: expected int <= 2147483647", decode, b'[{"items":[]},2147483648]'
        )
        self.fails(
            "result.items: expected array, got str",
            self.place.decode_result,
            b'{"items":"x"}',
        )

    def test_what_the_sender_cannot_send_is_named(self) -> None:
        """The sender's check names the member, as it is called on the wire."""
        self.item.price = Decimal("NaN")
        self.fails(
            "order.items[0].price: NaN cannot be sent",
            self.place.encode_params,
            (self.order,),
        )
        self.item.price = "1.50"
        self.fails(
            "result.items[0].price: expected decimal, got str",
            self.place.encode_result,
            self.order,
        )
        self.order.items = "tea"
        self.fails(
            "order.items: expected list<Item>, got str",
            self.place.encode_params,
            (self.order,),
        )

    def test_derived_structs_are_refused(self) -> None:
        """Their further members would leave the process unnoticed."""
        rush = self.shop.Rush(items=[], days=1)
        self.fails(
            "order: expected Order, got Rush, whose further members would be sent",
            self.place.encode_params,
            (rush,),
        )

    def test_other_things_are_no_struct(self) -> None:
        """Dictionaries and None are no structs, even if they look like one."""
        self.fails(
            "order: expected Order, got dict",
            self.place.encode_params,
            ({"items": []},),
        )
        self.fails("order: expected Order, got null", self.place.encode_params, (None,))

    def test_members_may_be_tuples(self) -> None:
        """What differs in nothing that matters is accepted at any depth."""
        self.order.items = (self.item,)
        (got, _) = self.place.decode_params(self.place.encode_params((self.order,)))
        self.assertEqual(got.items, [self.item])

    def test_members_without_a_value(self) -> None:
        """A member that was deleted is named."""
        del self.item.name
        self.fails(
            "order.items[0].name: has no value",
            self.place.encode_params,
            (self.order,),
        )

    def test_user_types_that_raise(self) -> None:
        """Whatever a value raises in comparisons becomes a typed error."""

        class Bad(list[Any]):
            def __eq__(self, other: object) -> bool:
                raise KeyError("secret")

            __hash__ = None

        self.order.items = Bad([self.item])
        # Encoded it is what it seems to be: the walk accepts it.
        self.assertIn(b"tea", self.place.encode_result(self.order))
        self.item.name = Bad()
        error = self.assertRaises(InvalidValue, self.place.encode_result, self.order)
        self.assertEqual(error.path, "result.items[0].name")

    def test_members_are_renamed(self) -> None:
        """C{@name} and Python's keywords leave the name on the wire alone."""
        definitions = 'struct K { int class; @name("from") string source }'
        schema = load_idl_text(definitions + "service S { K f(K x) }")
        value = schema.K(class_=1, source="a")
        raw = schema.S.by_name["f"].encode_result(value)
        self.assertEqual(raw, b'{"class":1,"from":"a"}')
        self.assertEqual(schema.S.by_name["f"].decode_result(raw), value)

    def test_structs_may_hold_themselves(self) -> None:
        """A recursive struct is read and written, to a depth of 64."""
        schema = load_idl_text("struct N { N? next } service S { N f(N x) }")
        f = schema.S.by_name["f"]
        node = schema.N()
        for _ in range(62):
            node = schema.N(next=node)
        raw = f.encode_params((node,))
        self.assertEqual(f.decode_params(raw), (node,))
        deeper = schema.N(next=node)
        error = self.assertRaises(InvalidValue, f.encode_params, (deeper,))
        self.assertIn("nested more than 64 deep", error.reason)


class UnionTests(CodecCase):
    """
    Tests for unions.
    """

    def setUp(self) -> None:
        """
        The bank's targets.
        """
        self.bank = bank()
        self.transfer = self.bank.Bank.by_name["transfer"]
        self.money = self.bank.Money(amount=Decimal(1))

    def decode(self, target: bytes) -> Any:
        """
        @return: what is read as C{to}.
        """
        raw = b'["a",' + target + b',{"amount":"1"}]'
        return self.transfer.decode_params(raw)[1]

    def test_the_tag_comes_first(self) -> None:
        """A struct in a union is written with its tag in front."""
        iban = self.bank.Iban(iban="DE")
        raw = self.transfer.encode_params(("a", iban, self.money))
        self.assertIn(b'{"type":"Iban","iban":"DE"}', raw)

    def test_the_tag_may_stand_anywhere(self) -> None:
        """It is found behind the members too."""
        self.assertEqual(
            self.decode(b'{"iban":"DE","type":"Iban"}'), self.bank.Iban(iban="DE")
        )

    def test_derived_structs_have_their_own_tag(self) -> None:
        """A struct derived from one of the union is told apart from it."""
        internal = self.bank.Internal(iban="DE")
        raw = self.transfer.encode_params(("a", internal, self.money))
        self.assertEqual(self.transfer.decode_params(raw)[1], internal)

    def test_unknown_tags(self) -> None:
        """Unions are closed; the tag is not quoted beside sensitive members."""
        self.fails("to.type: unknown type", self.decode, b'{"type":"Cash"}')
        self.fails("to: missing required member type", self.decode, b"{}")

    def test_values_outside_the_union(self) -> None:
        """Another struct is refused by name."""
        self.fails(
            "to: expected Target, got Money",
            self.transfer.encode_params,
            ("a", self.money, self.money),
        )

    def test_derived_structs_outside_the_union(self) -> None:
        """A struct derived from a tagged one outside the union is refused."""
        schema = load_idl_text(
            "struct A { int i } struct B { int j } struct C extends A { int k }"
            " union U { A, B } service S { U f(U x) C g() }"
        )
        f, g = schema.S.by_name["f"], schema.S.by_name["g"]
        self.assertEqual(
            g.encode_result(schema.C(i=1, k=2)), b'{"type":"C","i":1,"k":2}'
        )
        self.assertRaises(InvalidValue, f.encode_result, schema.C(i=1, k=2))

    def test_a_union_of_one(self) -> None:
        """A union of one struct is that struct, with its tag."""
        schema = load_idl_text("struct A { int i } union U { A } service S { U f() }")
        f = schema.S.by_name["f"]
        self.assertEqual(f.encode_result(schema.A(i=1)), b'{"type":"A","i":1}')
        self.assertEqual(f.decode_result(b'{"type":"A","i":1}'), schema.A(i=1))


class ParameterTests(CodecCase):
    """
    Tests for lists of parameters.
    """

    def test_count(self) -> None:
        """A wrong number of parameters is told as the classic server does."""
        add = method("int add(int a, int b)")
        self.fails(
            "Parameter count mismatch: got 1, expected 2", add.decode_params, b"[1]"
        )
        self.fails(
            "Parameter count mismatch: got 3, expected 2", add.decode_params, b"[1,2,3]"
        )
        self.fails(
            "Parameter count mismatch: got 1, expected 2", add.encode_params, (1,)
        )
        self.fails(
            "Parameter count mismatch: got 3, expected 2", add.encode_params, (1, 2, 3)
        )
        find = method("void find(int a, int b = 1, int? c)")
        self.fails(
            "Parameter count mismatch: got 0, expected 1 to 3",
            find.decode_params,
            b"[]",
        )
        none = method("void f()")
        self.fails(
            "Parameter count mismatch: got 1, expected 0", none.decode_params, b"[1]"
        )
        self.fails(
            "Parameter count mismatch: got 1, expected 0", none.encode_params, (1,)
        )

    def test_defaults_are_filled_in(self) -> None:
        """What is left out at the end has the receiver's default."""
        find = method("void find(int a, list<int> b = [1], string? c)")
        self.assertEqual(find.encode_params((5,)), b"[5]")
        self.assertEqual(find.decode_params(b"[5]"), (5, [1], None))
        self.assertEqual(find.decode_params(b"[5,[]]"), (5, [], None))

    def test_defaults_are_never_shared(self) -> None:
        """A default list that is changed stays as it is for the next call."""
        find = method("void find(list<int> b = [1], map<string, list> m = {})")
        for _ in range(2):
            xs, mapping = find.decode_params(b"[]")
            self.assertEqual((xs, mapping), ([1], {}))
            xs.append(2)
            mapping["a"] = []

    def test_complete(self) -> None:
        """Servers that count strictly get the defaults from the client."""
        find = method("void find(int a, list<int> b = [1], string? c)")
        self.assertEqual(find.complete_params(b"[5]"), b"[5,[1],null]")
        self.assertEqual(find.complete_params(b'[5,[],"x"]'), b'[5,[],"x"]')
        self.assertEqual(method("void f(int a)").complete_params(b"[1]"), b"[1]")

    def test_the_whole_must_be_a_list(self) -> None:
        """Anything but an array is no list of parameters."""
        add = method("int add(int a, int b)")
        self.fails("expected array, got object", add.decode_params, b'{"a":1,"b":2}')
        self.fails("expected array, got null", add.decode_params, b"null")

    def test_bad_json(self) -> None:
        """What is no JSON says so."""
        add = method("int add(int a, int b)")
        for raw in (
            b"",
            b"[1,2",
            b"[1,2,]",
            b"[1,2]x",
            b"\xef\xbb\xbf[1,2]",
            b"[1,//\n2]",
        ):
            error = self.assertRaises(InvalidValue, add.decode_params, raw)
            self.assertTrue(error.reason.startswith("bad JSON: "), error.reason)

    def test_raw_is_taken(self) -> None:
        """The parameters may come as msgspec's Raw, out of an envelope."""
        raw = msgspec.Raw(b"[[5],{}]")
        self.assertEqual(method("void f(list a, any b)").decode_params(raw), ([5], {}))
        self.assertEqual(
            method("int f(int a, int b)").decode_params_plain(msgspec.Raw(b'["5",3]')),
            (5, 3),
        )

    def test_every_number_of_scalars(self) -> None:
        """The fast encoders and the careful one write the same."""
        values = (1, "a", True, 2.5, b"x", 7)
        names = ("int", "string", "bool", "float", "bytes", "uint32")
        for count in range(len(values) + 1):
            params = ", ".join(f"{t} p{i}" for i, t in enumerate(names[:count]))
            schema = method(f"void f({params})")
            given = values[:count]
            self.assertEqual(schema.encode_params(given), msgspec.json.encode(given))
            self.assertEqual(schema.decode_params(schema.encode_params(given)), given)
            for index in range(count):
                wrong = (*given[:index], object(), *given[index + 1 :])
                error = self.assertRaises(InvalidValue, schema.encode_params, wrong)
                self.assertEqual(error.path, f"p{index}")

    def test_lists_are_taken_for_arguments(self) -> None:
        """Arguments may be any sequence."""
        add: Any = method("int add(int a, int b)")
        self.assertEqual(add.encode_params([1, 2]), b"[1,2]")


class WordingTests(CodecCase):
    """
    Tests for what is quoted, and how much of it.
    """

    def test_quoted_texts_are_cut(self) -> None:
        """At most 200 characters of a value are shown."""
        schema = echo("Colour", "enum Colour { RED }")
        self.fails(
            f"x: unknown value '{'b' * 200}...'",
            schema.decode_params,
            b'["' + b"b" * 5000 + b'"]',
        )

    def test_sensitive_values_are_not_quoted(self) -> None:
        """Where something is sensitive, no value is quoted."""
        enum = "enum Pin { A } struct Card { @sensitive Pin pin }"
        self.fails(
            "x: unknown value",
            echo("Pin", enum, "@sensitive").decode_params,
            b'["1234"]',
        )
        card = method("Card f(Card c)", enum)
        self.fails("c.pin: unknown value", card.decode_params, b'[{"pin":"1234"}]')
        secret = method(
            "@sensitive U f()", "struct A { } struct B { } union U { A, B }"
        )
        self.fails(
            "result.type: unknown type", secret.decode_result, b'{"type":"1234"}'
        )

    def test_keys_are_called_keys(self) -> None:
        """A bad key is told from a bad value."""
        self.fails(
            "x: a key: expected int, got str",
            echo("map<int, int>").decode_params,
            b'[{"a":1}]',
        )
