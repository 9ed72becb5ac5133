# -*- test-case-name: tests.idl.test_types -*-
"""
Tests for what each type of the language reads, writes and refuses.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.sample import echo, method
from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl import Enumeration, MethodSchema, load_idl_text

ENUM = 'enum Colour { RED, @aliases(["vert"]) GREEN = "green" }'
OPEN = "@open " + ENUM


class TypesCase(SynchronousTestCase):
    """
    Ways to say what a type does.
    """

    def same(self, type_: str, value: Any, raw: bytes, definitions: str = "") -> None:
        """
        The value is written as C{raw}, and read again, both ways.
        """
        schema = echo(type_, definitions)
        self.assertEqual(schema.encode_params((value,)), b"[" + raw + b"]")
        self.assertEqual(schema.encode_result(value), raw)
        self.reads(schema, raw, value)

    def reads(self, schema: MethodSchema | str, raw: bytes, value: Any) -> None:
        """
        C{raw} is read as the value, of the very same type.
        """
        if isinstance(schema, str):
            schema = echo(schema)
        (param,) = schema.decode_params(b"[" + raw + b"]")
        for got in (param, schema.decode_result(raw)):
            self.assertEqual(got, value)
            self.assertIs(type(got), type(value))

    def refuses(
        self, schema: MethodSchema | str, raw: bytes, reason: str | None = None
    ) -> None:
        """
        C{raw} is refused in parameters and in results, for the reason.
        """
        if isinstance(schema, str):
            schema = echo(schema)
        param = self.assertRaises(InvalidValue, schema.decode_params, b"[" + raw + b"]")
        result = self.assertRaises(InvalidValue, schema.decode_result, raw)
        if reason is not None:
            self.assertEqual(str(param), f"x: {reason}")
            self.assertEqual(str(result), f"result: {reason}")

    def cannot_send(
        self, schema: MethodSchema | str, value: Any, reason: str | None = None
    ) -> None:
        """
        The value is refused before anything leaves.
        """
        if isinstance(schema, str):
            schema = echo(schema)
        param = self.assertRaises(InvalidValue, schema.encode_params, (value,))
        result = self.assertRaises(InvalidValue, schema.encode_result, value)
        if reason is not None:
            self.assertEqual(str(param), f"x: {reason}")
            self.assertEqual(str(result), f"result: {reason}")


class NumberTests(TypesCase):
    """
    Tests for integers, floats and decimals.
    """

    def test_int_is_exact(self) -> None:
        """An int of any size is a number."""
        self.same("int", 10**30, b"1" + b"0" * 30)

    def test_int_is_strict(self) -> None:
        """Texts, fractions, booleans and null are no integers."""
        for raw in (b'"5"', b"2.0", b"true", b"null", b"[1]", b"1e2"):
            self.refuses("int", raw)
        for value in ("5", 2.0, True, None, Decimal(1)):
            self.cannot_send("int", value)

    def test_int_has_at_most_4300_digits(self) -> None:
        """More than 4,300 digits are neither sent nor read."""
        self.reads("int", b"9" * 4300, 10**4300 - 1)
        self.refuses("int", b"9" * 4301)
        self.cannot_send(
            "int", 10**4300, "an integer of more than 4300 digits cannot be sent"
        )

    def test_sized_integers_have_bounds(self) -> None:
        """Each sized integer has its bounds, on both sides."""
        for type_, low, high in (
            ("int32", -(2**31), 2**31 - 1),
            ("uint32", 0, 2**32 - 1),
            ("int64", -(2**63), 2**63 - 1),
            ("uint64", 0, 2**64 - 1),
        ):
            schema = echo(type_)
            for value in (low, high):
                self.assertEqual(schema.encode_result(value), str(value).encode())
                self.reads(schema, str(value).encode(), value)
            for value in (low - 1, high + 1):
                self.refuses(schema, str(value).encode())
                self.cannot_send(schema, value)

    def test_uint64_says_its_bound(self) -> None:
        """The bound that msgspec cannot check is told like the others."""
        raw = str(2**64).encode()
        self.refuses("uint64", raw, "expected uint64 <= 18446744073709551615")

    def test_float_is_finite(self) -> None:
        """NaN and the infinities are not sent."""
        self.same("float", 2.5, b"2.5")
        self.cannot_send("float", float("nan"), "NaN cannot be sent")
        self.cannot_send("float", float("inf"), "infinity cannot be sent")
        self.refuses("float", b"null", "expected float, got null")
        self.refuses("float", b'"NaN"')
        self.refuses("float", b"1e999")

    def test_float_takes_integers_that_it_can_hold(self) -> None:
        """An integer is a float, unless its last digits would be lost."""
        self.reads("float", b"2", 2.0)
        self.assertEqual(echo("float").encode_result(2), b"2")
        self.cannot_send("float", 2**53 + 1)

    def test_decimal_keeps_its_scale(self) -> None:
        """A decimal is written as a text, and its zeros stay."""
        self.same("decimal", Decimal("12.30"), b'"12.30"')
        (value,) = echo("decimal").decode_params(b'["12.30"]')
        self.assertEqual(str(value), "12.30")

    def test_decimal_reads_numbers_exactly(self) -> None:
        """A decimal may be a number; no float comes between."""
        self.reads("decimal", b"0.1", Decimal("0.1"))

    def test_decimal_is_finite_and_of_reasonable_size(self) -> None:
        """NaN, infinity, and sizes that would exhaust the memory are refused."""
        schema = echo("decimal")
        for text in (b'"NaN"', b'"sNaN"', b'"-Infinity"'):
            self.refuses(schema, text, "expected a finite decimal")
        self.refuses(
            schema,
            b'"1E+1000000000"',
            "expected decimal with an exponent within 6144",
        )
        self.refuses(schema, b'"1E-6145"')
        self.refuses(
            schema, b'"' + b"9" * 4301 + b'"', "expected decimal of at most 4300 digits"
        )
        for value in (Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")):
            self.cannot_send(schema, value)
        self.cannot_send(schema, Decimal("1E+7000"))

    def test_decimal_is_written_in_plain_digits(self) -> None:
        """What only Python takes for a number is refused, however it is escaped."""
        reason = 'expected decimal in plain digits, as "12.30"'
        lax = (
            " 1",
            "1 ",
            "\n1",
            "1_0",
            "_1",
            "1__0_",
            ".5",
            "5.",
            "1e_-5",
            "\u0661",
            "\uff11",
            "\u30001",
        )
        for text in lax:
            self.assertIsInstance(Decimal(text), Decimal)
            for raw in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
                self.refuses("decimal", raw.encode(), reason)
        self.refuses("decimal", b'"1\\u005f0"', reason)
        for text in ("12.30", "-1", "+1", "1E+5", "1e-5"):
            self.reads("decimal", f'"{text}"'.encode(), Decimal(text))
        self.reads("decimal", b'"\\u0031"', Decimal(1))

    def test_texts_beside_decimals_may_be_anything(self) -> None:
        """Only the decimals are to be in plain digits, and no other text."""
        definitions = (
            "struct A { string s; decimal d; map<string, A>? m; any x = null }"
        )
        schema = echo("A", definitions)
        raw = (
            b'{"s":" 1","d":"1","new":["1_0",1e400,' + b"9" * 5000 + b"],"
            b'"m":{"1_0":{"s":"\\n","d":2.5}},"x":[" 1",{"d":"1_0"}]}'
        )
        value = schema.decode_result(raw)
        self.assertEqual((value.s, value.d, value.x[0]), (" 1", Decimal(1), " 1"))
        self.assertEqual(value.m["1_0"].d, Decimal("2.5"))

    def test_decimals_in_hostile_texts(self) -> None:
        """Nothing that was passed over is read at length for their sake."""
        schema = echo("A", "struct A { decimal d }")
        bomb = b'{"d":"1_0","new":[' + b"[]," * 60_000 + b"1]}"
        error = self.assertRaises(InvalidValue, schema.decode_result, bomb)
        self.assertEqual(error.reason, "more than 50000 of '[{:,'")
        deep = b'{"d":"1_0","new":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        self.assertRaises(InvalidValue, schema.decode_result, deep)

    def test_decimals_inside_are_checked_too(self) -> None:
        """The check of decimals reaches into lists, maps, structs and unions."""
        definitions = (
            "struct A { decimal d; A? next; } struct B { int i } union U { A, B }"
        )
        for type_, raw, path in (
            ("list<decimal?>", b'[null,"NaN"]', "x[1]"),
            ("map<string, decimal>", b'{"k":"NaN"}', "x[...]"),
            ("A", b'{"d":1,"next":{"d":"NaN"}}', "x.next.d"),
            ("list<U>", b'[{"type":"B","i":1},{"type":"A","d":"NaN"}]', "x[1].d"),
            ("list<decimal?>", b'[null,"1_0"]', "x[1]"),
            ("map<string, decimal>", b'{"k":" 1"}', "x[...]"),
            ("A", b'{"d":1,"next":{"d":"1_0"}}', "x.next.d"),
            ("list<U>", b'[{"type":"B","i":1},{"type":"A","d":"1_0"}]', "x[1].d"),
        ):
            schema = echo(type_, definitions)
            error = self.assertRaises(
                InvalidValue, schema.decode_params, b"[" + raw + b"]"
            )
            self.assertEqual(error.path, path)


class TextTests(TypesCase):
    """
    Tests for strings, bytes, booleans and uuids.
    """

    def test_string(self) -> None:
        """A string is any text of whole characters."""
        self.same("string", "grüße \x00 😀", '"grüße \\u0000 😀"'.encode())
        self.cannot_send("string", "\udc00", "half of a surrogate pair cannot be sent")
        self.cannot_send("string", b"bytes", "expected string, got bytes")
        self.refuses("string", b'"\xff"')
        self.refuses("string", b'"\\ud800"')
        self.refuses("string", b"5", "expected str, got int")

    def test_bool(self) -> None:
        """A boolean is true or false, and no number."""
        self.same("bool", True, b"true")
        self.refuses("bool", b"1", "expected bool, got int")
        self.cannot_send("bool", 1, "expected bool, got int")

    def test_bytes(self) -> None:
        """Bytes are base64 with padding."""
        self.same("bytes", b"\x00\xff\xfe", b'"AP/+"')
        self.refuses("bytes", b'"AP-_"')
        self.refuses("bytes", b'"A"')
        self.assertEqual(echo("bytes").encode_result(bytearray(b"abc")), b'"YWJj"')
        self.assertEqual(echo("bytes").encode_result(memoryview(b"abc")), b'"YWJj"')
        self.cannot_send("bytes", "abc", "expected bytes, got str")

    def test_uuid(self) -> None:
        """A uuid is written in lower case, and read in either."""
        value = UUID("12345678-1234-5678-1234-56781234567f")
        self.same("uuid", value, b'"12345678-1234-5678-1234-56781234567f"')
        self.reads("uuid", b'"12345678-1234-5678-1234-56781234567F"', value)
        self.reads("uuid", b'"1234567812345678123456781234567f"', value)
        self.cannot_send("uuid", str(value))

    def test_void(self) -> None:
        """Void is written as null; whatever is read is ignored."""
        schema = method("void f()")
        self.assertEqual(schema.encode_result(None), b"null")
        self.assertIsNone(schema.decode_result(b'{"new": 1}'))
        error = self.assertRaises(InvalidValue, schema.encode_result, 5)
        self.assertEqual(str(error), "result: expected nothing, got int")


class TimeTests(TypesCase):
    """
    Tests for timestamps, dates and durations.
    """

    def test_timestamp(self) -> None:
        """A timestamp has an offset, and microseconds."""
        value = datetime(2026, 11, 22, 13, 0, 0, 5, tzinfo=UTC)
        self.same("timestamp", value, b'"2026-11-22T13:00:00.000005Z"')
        self.reads("timestamp", b'"2026-11-22 15:00:00.000005+0200"', value)
        self.refuses("timestamp", b'"2026-11-22T13:00:00"')
        self.refuses("timestamp", b"0")

    def test_timestamps_without_an_instant_are_not_sent(self) -> None:
        """A naive time, or one whose offset JSON rounds, is refused."""
        self.cannot_send(
            "timestamp",
            datetime(2026, 1, 1),  # noqa: DTZ001
            "a time without a time zone cannot be sent",
        )
        amsterdam = timezone(timedelta(minutes=19, seconds=32))
        self.cannot_send(
            "timestamp",
            datetime(1930, 1, 1, tzinfo=amsterdam),
            "a time zone with seconds cannot be sent",
        )
        self.cannot_send("timestamp", date(2026, 1, 1))

    def test_the_repeated_hour_can_be_sent(self) -> None:
        """
        A time in the hour that daylight saving repeats equals no time of
        another zone, and yet is an instant that can be sent.
        """
        berlin = ZoneInfo("Europe/Berlin")
        for fold, offset in ((0, b"+02:00"), (1, b"+01:00")):
            value = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold)
            raw = echo("timestamp").encode_result(value)
            self.assertEqual(raw, b'"2026-10-25T02:30:00' + offset + b'"')

    def test_date(self) -> None:
        """A date is a date, and no time."""
        self.same("date", date(2026, 11, 22), b'"2026-11-22"')
        self.cannot_send("date", datetime(2026, 11, 22, tzinfo=UTC))

    def test_duration(self) -> None:
        """A duration is written in days and seconds."""
        self.same("duration", timedelta(days=1, seconds=2.5), b'"P1DT2.5S"')
        self.reads("duration", b'"pt1h30m"', timedelta(minutes=90))
        self.refuses("duration", b"5")
        self.cannot_send("duration", 5.0)


class ContainerTests(TypesCase):
    """
    Tests for lists, sets, maps, optional values and C{any}.
    """

    def test_list(self) -> None:
        """A list is an array; a tuple can be sent for it."""
        self.same("list<int>", [1, 2], b"[1,2]")
        self.assertEqual(echo("list<int>").encode_result((1, 2)), b"[1,2]")
        self.cannot_send("list<int>", {1, 2})
        self.cannot_send("list<int>", [1, "2"], None)

    def test_list_of_anything(self) -> None:
        """The classic list holds any JSON."""
        self.same("list", [1, "a", None, {"b": [2.5]}], b'[1,"a",null,{"b":[2.5]}]')

    def test_set(self) -> None:
        """Repeats collapse; lists, tuples and frozensets can be sent for it."""
        self.same("set<int>", {1}, b"[1]")
        self.reads("set<int>", b"[1,1]", {1})
        for value in ([1, 1], (1,), frozenset({1})):
            self.assertEqual(echo("set<int>").encode_result(value), b"[1]")
        self.cannot_send("set<int>", [1, [2]], None)

    def test_map(self) -> None:
        """A map is an object, whose names are the keys as texts."""
        self.same("map<string, int>", {"a": 1}, b'{"a":1}')
        self.same("map<int, bool>", {5: True}, b'{"5":true}')
        self.same("map<date, int>", {date(2026, 1, 1): 1}, b'{"2026-01-01":1}')
        self.cannot_send("map<string, int>", {1: 1})
        self.cannot_send("map<int, int>", {True: 1})
        self.cannot_send("map<string, int>", [("a", 1)])

    def test_keys_are_of_64_bits(self) -> None:
        """An int that is a key or an element is limited to 64 bits."""
        self.refuses("set<int>", b"[9223372036854775808]")
        self.refuses("map<int, int>", b'{"9223372036854775808":1}')
        self.cannot_send("set<int>", {2**63})

    def test_optional(self) -> None:
        """Null is a value only of an optional type."""
        self.same("int?", None, b"null")
        self.same("list<int?>", [1, None], b"[1,null]")
        self.refuses("list<int>", b"[null]")

    def test_optional_parameters_may_be_left_out(self) -> None:
        """A shorter list of parameters leaves optional ones null."""
        self.assertEqual(echo("int?").decode_params(b"[]"), (None,))

    def test_any(self) -> None:
        """Any holds what JSON can hold, and nothing that it would change."""
        self.same(
            "any", {"a": [1, 2.5, "x", True, None]}, b'{"a":[1,2.5,"x",true,null]}'
        )
        self.assertEqual(echo("any").encode_result({"a": (1,)}), b'{"a":[1]}')
        for value in ({1: 2}, b"x", {1}, Decimal(1), date(2026, 1, 1), object()):
            self.cannot_send("any", value)
            self.cannot_send("any", {"a": [value]})
        self.cannot_send("any", [float("nan")], None)

    def test_any_names_the_place(self) -> None:
        """The path leads to what cannot be sent."""
        error = self.assertRaises(
            InvalidValue, echo("any").encode_result, {"a": [1, {"b": b"x"}]}
        )
        self.assertEqual(
            str(error), "result[a][1][b]: expected a JSON value, got bytes"
        )

    def test_values_that_hold_themselves_are_not_sent(self) -> None:
        """A list that holds itself is refused like any deep one."""
        endless: list[Any] = []
        endless.append(endless)
        self.cannot_send("any", endless)
        self.cannot_send("list", endless)


class ConstraintTests(TypesCase):
    """
    Tests for C{@length}, C{@range} and C{@pattern}.
    """

    def test_length(self) -> None:
        """The length of texts, bytes and containers is checked on both sides."""
        for type_, short, good, raw in (
            ("string", "é", "éé", '"é"'.encode()),
            ("bytes", b"x", b"xx", b'"eA=="'),
            ("list<int>", [1], [1, 2], b"[1]"),
            ("set<int>", {1}, {1, 2}, b"[1]"),
            ("map<string, int>", {"a": 1}, {"a": 1, "b": 2}, b'{"a":1}'),
        ):
            schema = echo(type_, annotations="@length(min=2, max=2)")
            self.assertRaises(InvalidValue, schema.encode_params, (short,))
            self.assertRaises(InvalidValue, schema.decode_params, b"[" + raw + b"]")
            raw_good = schema.encode_params((good,))
            self.assertEqual(schema.decode_params(raw_good), (good,))

    def test_range_intersects_with_the_type(self) -> None:
        """A range narrows a sized integer and cannot widen it."""
        schema = echo("int32", annotations="@range(min=1)")
        error = self.assertRaises(InvalidValue, schema.encode_params, (0,))
        self.assertEqual(str(error), "x: expected int >= 1")
        self.assertRaises(InvalidValue, schema.encode_params, (2**31,))
        self.assertEqual(schema.encode_params((5,)), b"[5]")

    def test_range_of_floats_and_decimals(self) -> None:
        """A range works for floats and decimals."""
        schema = echo("float", annotations="@range(min=0.5, max=1.5)")
        for value in (0.25, 2.0, float("nan")):
            self.assertRaises(InvalidValue, schema.encode_params, (value,))
        self.assertEqual(schema.encode_params((1.0,)), b"[1.0]")
        schema = echo("float", annotations=f"@range(max={10**20})")
        self.assertEqual(schema.decode_params(b"[1e20]"), (1e20,))
        self.assertRaises(InvalidValue, schema.decode_params, b"[1.1e20]")
        self.assertRaises(InvalidValue, schema.encode_params, (1.1e20,))
        schema = echo("decimal", annotations="@range(min=0, max=100)")
        for raw, text in (
            (b'["-0.01"]', "x: expected decimal >= 0"),
            (b'["100.01"]', "x: expected decimal <= 100"),
        ):
            error = self.assertRaises(InvalidValue, schema.decode_params, raw)
            self.assertEqual(str(error), text)

    def test_range_beyond_64_bits(self) -> None:
        """Bounds that msgspec does not take are checked all the same."""
        schema = echo("int", annotations=f"@range(min={-(2**70)}, max={2**70})")
        self.assertEqual(schema.decode_params(b"[%d]" % 2**70), (2**70,))
        for value in (2**70 + 1, -(2**70) - 1):
            self.assertRaises(InvalidValue, schema.decode_params, b"[%d]" % value)
            self.assertRaises(InvalidValue, schema.encode_params, (value,))

    def test_pattern_matches_the_whole(self) -> None:
        """The whole text must match, a final newline included."""
        schema = echo("string", annotations='@pattern("(?i)[a-z]+|x9$")')
        self.assertEqual(schema.decode_params(b'["ABC"]'), ("ABC",))
        for bad in ("abc1", "abc\n", "x9\n", " abc"):
            error = self.assertRaises(InvalidValue, schema.encode_params, (bad,))
            self.assertEqual(str(error), "x: expected str that matches its pattern")

    def test_constraints_leave_null_alone(self) -> None:
        """Of an optional type they concern the value."""
        schema = echo("string?", annotations="@length(min=2)")
        self.assertEqual(schema.encode_params((None,)), b"[null]")
        self.assertRaises(InvalidValue, schema.encode_params, ("x",))
        schema = echo("uint64?")
        self.assertEqual(schema.decode_params(b"[null]"), (None,))


class EnumTests(TypesCase):
    """
    Tests for enums and the values that this side does not know.
    """

    def test_known_values(self) -> None:
        """A value is written as its text on the wire; aliases are read."""
        schema = load_idl_text(ENUM + "service S { Colour f(Colour x) }")
        f = schema.S.by_name["f"]
        self.assertEqual(f.encode_params((schema.Colour.GREEN,)), b'["green"]')
        self.assertEqual(f.decode_params(b'["vert"]'), (schema.Colour.GREEN,))
        self.assertTrue(schema.Colour.RED.known)
        self.assertTrue(issubclass(schema.Colour, Enumeration))

    def test_unknown_values_are_refused_in_requests(self) -> None:
        """
        A request with a value that this side does not know is refused; one that
        a newer server has sent may be sent back to it.
        """
        schema = echo("Colour", ENUM)
        error = self.assertRaises(InvalidValue, schema.decode_params, b'["BLUE"]')
        self.assertEqual(str(error), "x: unknown value 'BLUE'")
        kept = schema.decode_result(b'"BLUE"')
        self.assertEqual(schema.encode_params((kept,)), b'["BLUE"]')
        structs = echo("P", f"{ENUM} struct P {{ list<Colour> c; }}")
        kept = structs.decode_result(b'{"c":["RED","BLUE"]}')
        self.assertEqual(structs.encode_params((kept,)), b'[{"c":["RED","BLUE"]}]')

    def test_unknown_values_are_kept_in_replies(self) -> None:
        """In a reply it is kept, and can be sent back in one."""
        schema = echo("list<Colour>", ENUM)
        first, second = schema.decode_result(b'["BLUE","BLUE"]')
        self.assertFalse(first.known)
        self.assertEqual((first.value, first), ("BLUE", second))
        self.assertEqual(repr(first), "<Colour.unknown: 'BLUE'>")
        self.assertEqual(schema.encode_result([first]), b'["BLUE"]')

    def test_unknown_texts_may_be_names_of_values(self) -> None:
        """C{GREEN} is the name of a value, and not its text."""
        kept = echo("Colour", ENUM).decode_result(b'"GREEN"')
        self.assertFalse(kept.known)

    def test_only_decoders_make_unknown_values(self) -> None:
        """The class itself knows nothing else, before and after a reply."""
        schema = load_idl_text(ENUM + "service S { Colour f(Colour x) }")
        schema.S.by_name["f"].decode_result(b'"BLUE"')
        self.assertRaises(ValueError, schema.Colour, "BLUE")
        self.assertRaises(ValueError, schema.Colour, 5)

    def test_open_enums_take_everything(self) -> None:
        """An open enum keeps unknown values in requests too."""
        schema = echo("Colour", OPEN)
        (kept,) = schema.decode_params(b'["BLUE"]')
        self.assertFalse(kept.known)
        self.assertEqual(schema.encode_params((kept,)), b'["BLUE"]')

    def test_enums_as_keys(self) -> None:
        """Enums are keys of maps and elements of sets, unknown ones too."""
        schema = echo("map<Colour, set<Colour>>", OPEN)
        (value,) = schema.decode_params(b'[{"BLUE":["RED","PINK"]}]')
        self.assertEqual(schema.decode_params(schema.encode_params((value,))), (value,))

    def test_other_values_are_no_enum(self) -> None:
        """A text is no enum, and neither is another enum."""
        other = load_idl_text(ENUM + "service S { }").Colour.RED
        self.cannot_send(echo("Colour", ENUM), "RED", "expected Colour, got str")
        self.cannot_send(
            echo("Colour", ENUM),
            other,
            "expected Colour, got the Colour of an IDL that was loaded another time",
        )
