# -*- test-case-name: tests.idl.test_msgspec_facts -*-
"""
What msgspec leaves to us, observed; one test for each line of the table.

L{twisted_rpc.idl} is built on these facts.  A new msgspec that differs makes a
check of ours superfluous or wrong, and is to be noticed here first.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.json import decode, encode
from twisted.trial.unittest import SynchronousTestCase


class Money(msgspec.Struct):
    amount: Decimal


class Rich(Money):
    secret: str = "s"


class MsgspecFacts(SynchronousTestCase):
    """
    The facts, by their numbers.
    """

    def refused(self, call: Callable[[], Any], error: type[Exception]) -> str:
        """
        @return: the text of the error that C{call} raises.
        """
        return str(self.assertRaises(error, call))

    def test_m1_nan_is_written_as_null(self) -> None:
        """NaN and the infinities are written as null, without a word."""
        values = [float("nan"), float("inf"), float("-inf")]
        self.assertEqual(encode(values), b"[null,null,null]")

    def test_m1_lenient_mode_reads_nan(self) -> None:
        """Without strictness, texts like "inf" are read as floats."""
        self.assertEqual(decode(b'"inf"', type=float, strict=False), float("inf"))

    def test_m2_encoding_checks_no_types(self) -> None:
        """A member of a wrong type and a derived struct are written as they are."""
        wrong: Any = "x"
        self.assertEqual(encode(Money(amount=wrong)), b'{"amount":"x"}')
        self.assertIn(b"secret", encode([Rich(amount=Decimal(1))]))

    def test_m3_bounds_outside_int64_are_refused(self) -> None:
        """A bound outside int64 is a ValueError when the decoder is made."""
        wide = Annotated[int, Meta(le=2**64 - 1)]
        self.refused(lambda: msgspec.json.Decoder(wide), ValueError)

    def test_m4_two_metas_with_one_bound_are_refused(self) -> None:
        """Two Metas with the same bound are a TypeError."""
        twice = Annotated[Annotated[int, Meta(ge=0)], Meta(ge=1)]
        self.refused(lambda: msgspec.json.Decoder(twice), TypeError)

    def test_m4_decimals_take_no_bounds(self) -> None:
        """A numeric bound on Decimal is a TypeError."""
        bounded = Annotated[Decimal, Meta(ge=0)]
        self.refused(lambda: msgspec.json.Decoder(bounded), TypeError)

    def test_m5_a_set_is_built_before_its_length_is_checked(self) -> None:
        """Elements that are equal count once, so the set must exist first."""
        short = Annotated[set[int], Meta(max_length=1)]
        self.assertEqual(decode(b"[1,1,1]", type=short), {1})

    def test_m5_bounded_keys_are_checked_before_insertion(self) -> None:
        """The bounds of an element are checked where it stands."""
        keys = set[Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]]
        big = b"[1,99999999999999999999]"
        text = self.refused(lambda: decode(big, type=keys), msgspec.ValidationError)
        self.assertIn("$[1]", text)

    def test_m5_numbers_hash_modulo_a_prime(self) -> None:
        """Integers and UUIDs can be chosen to collide."""
        self.assertEqual(hash(2**61 - 1), hash(0))
        self.assertEqual(hash(UUID(int=2**61 - 1)), hash(UUID(int=0)))

    def test_m6_unhashable_elements_are_a_bare_type_error(self) -> None:
        """A set of lists fails with TypeError while it is decoded."""
        self.refused(lambda: decode(b"[[1]]", type=set[list[int]]), TypeError)

    def test_m7_deep_nesting_is_a_recursion_error(self) -> None:
        """Nesting ends where the stack does."""
        self.refused(lambda: decode(b"[" * 200_000), RecursionError)

    def test_m8_bad_utf8_is_no_error_of_msgspec(self) -> None:
        """Bad UTF-8 and lone surrogates raise errors of Unicode."""
        self.refused(lambda: decode(b'"\xff"', type=str), UnicodeDecodeError)
        self.refused(lambda: encode("\ud800"), UnicodeEncodeError)

    def test_m8_long_integers_are_a_value_error(self) -> None:
        """More than 4,300 digits are neither written nor read."""
        self.assertEqual(decode(b"9" * 4300), 10**4300 - 1)
        self.refused(lambda: decode(b"9" * 4301, type=int), msgspec.ValidationError)
        self.refused(lambda: encode(10**4300), ValueError)

    def test_m9_decimal_reads_what_is_no_number_of_use(self) -> None:
        """NaN, infinity and any exponent are read as Decimal."""
        for text in (b'"NaN"', b'"sNaN"', b'"Infinity"', b'"1E+1000000000"', b'"1_0"'):
            self.assertIsInstance(decode(text, type=Decimal), Decimal)

    def test_m9_decimals_read_numbers_exactly(self) -> None:
        """A number is read as Decimal without a float between."""
        self.assertEqual(decode(b"0.10", type=Decimal).as_tuple().exponent, -2)

    def test_m10_naive_times_are_written(self) -> None:
        """A time without a zone is written without complaint."""
        self.assertEqual(encode(datetime(2026, 1, 1)), b'"2026-01-01T00:00:00"')  # noqa: DTZ001

    def test_m10_seconds_of_an_offset_are_rounded(self) -> None:
        """An offset with seconds is rounded, which moves the instant."""
        amsterdam = timezone(timedelta(minutes=19, seconds=32))
        moved = decode(encode(datetime(1930, 1, 1, tzinfo=amsterdam)), type=datetime)
        self.assertNotEqual(moved, datetime(1930, 1, 1, tzinfo=amsterdam))

    def test_m10_times_need_an_offset_only_with_meta(self) -> None:
        """C{Meta(tz=True)} makes the offset necessary."""
        aware = Annotated[datetime, Meta(tz=True)]
        self.assertEqual(
            decode(b'"2026-01-01 00:00:00z"', type=aware),
            datetime(2026, 1, 1, tzinfo=UTC),
        )
        bad = b'"2026-01-01T00:00:00"'
        self.refused(lambda: decode(bad, type=aware), msgspec.ValidationError)

    def test_m11_raw_is_checked_in_part(self) -> None:
        """Bad JSON fails in Raw too; bad UTF-8 and huge numbers pass there."""
        for bad in (b"NaN", b"01", b'"\\ud800"'):
            self.refused(lambda: decode(bad, type=msgspec.Raw), msgspec.DecodeError)  # noqa: B023
        for passed in (b'"\xff"', b"1e999", b"9" * 5000):
            self.assertEqual(bytes(decode(passed, type=msgspec.Raw)), passed)

    def test_m12_the_last_of_two_members_wins(self) -> None:
        """A member that occurs twice has its last value."""
        self.assertEqual(decode(b'{"amount":1,"amount":2}', type=Money).amount, 2)

    def test_m13_numbers_out_of_range_are_refused(self) -> None:
        """A number beyond the largest float is refused."""
        self.refused(lambda: decode(b"1e999", type=float), msgspec.ValidationError)

    def test_m14_unknown_values_are_quoted_in_full(self) -> None:
        """An enum value of any length stands in the error."""
        colour = enum.Enum("colour", [("RED", "RED")])
        long = encode("x" * 5000)
        text = self.refused(lambda: decode(long, type=colour), msgspec.ValidationError)
        self.assertIn("x" * 5000, text)

    def test_m14_patterns_are_quoted(self) -> None:
        """The text of a pattern error holds the pattern."""
        text = self.refused(
            lambda: decode(b'"x"', type=Annotated[str, Meta(pattern="y+")]),
            msgspec.ValidationError,
        )
        self.assertEqual(text, "Expected `str` matching regex 'y+'")

    def test_m15_derived_structs_inherit_the_tag(self) -> None:
        """A struct derived from a tagged one is written with its base's tag."""
        base: Any = msgspec.defstruct("Base", [], tag="Base", tag_field="type")
        derived = msgspec.defstruct("Derived", [], bases=(base,))
        self.assertEqual(encode(derived()), b'{"type":"Base"}')

    def test_m15_the_tag_may_be_missing_outside_a_union(self) -> None:
        """A tagged struct accepts no tag, but not a wrong one."""
        tagged: Any = msgspec.defstruct("T", [], tag="T", tag_field="type")
        self.assertEqual(decode(b"{}", type=tagged), tagged())
        wrong = b'{"type":"X"}'
        self.refused(lambda: decode(wrong, type=tagged), msgspec.ValidationError)

    def test_m16_patterns_are_searched(self) -> None:
        """A pattern may match any part, and C{$} before a final newline."""
        digits = Annotated[str, Meta(pattern="^[0-9]+$")]
        self.assertEqual(decode(b'"12\\n"', type=digits), "12\n")

    def test_m17_unknown_tags_fail_the_message(self) -> None:
        """A union is closed."""
        one: Any = msgspec.defstruct("One", [], tag="One", tag_field="type")
        two: Any = msgspec.defstruct("Two", [], tag="Two", tag_field="type")
        raw = b'{"type":"Three"}'
        self.refused(lambda: decode(raw, type=one | two), msgspec.ValidationError)

    def test_m18_annotations_may_be_replaced(self) -> None:
        """Until the first decoder is made, a struct's types may be replaced."""
        node: Any = msgspec.defstruct("Node", [("children", Any)])
        node.__annotations__["children"] = list[node]
        read = decode(b'{"children":[{"children":[]}]}', type=node)
        self.assertEqual(read, node([node([])]))

    def test_members_of_sets_ask_missing(self) -> None:
        """An enum's C{_missing_} is asked in the middle of decoding, keys too."""
        asked: list[str] = []

        class Colour(enum.Enum):
            RED = "RED"

            @classmethod
            def _missing_(cls, value: object) -> Any:
                asked.append(str(value))
                return cls.RED

        decode(b'{"a":"b"}', type=dict[Colour, Colour])
        self.assertEqual(asked, ["a", "b"])
