# -*- test-case-name: tests.idl.test_plain -*-
"""
Tests for parameters from plain peers.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.sample import method
from twisted_rpc.errors import InvalidValue


class PlainTests(SynchronousTestCase):
    """
    Tests for L{MethodSchema.decode_params_plain}.
    """

    def check_conversion(self, type_: str, raw: bytes, value: Any) -> None:
        """
        A plain peer may send C{raw}; an extended one may not.
        """
        schema = method(f"void f({type_} x)")
        (got,) = schema.decode_params_plain(b"[" + raw + b"]")
        self.assertEqual(got, value)
        self.assertIs(type(got), type(value))
        self.assertRaises(InvalidValue, schema.decode_params, b"[" + raw + b"]")

    def check_refusal(self, type_: str, raw: bytes) -> None:
        """
        Not even a plain peer may send C{raw}.
        """
        schema = method(f"void f({type_} x)")
        self.assertRaises(InvalidValue, schema.decode_params_plain, b"[" + raw + b"]")

    def test_conversions(self) -> None:
        """Texts and whole fractions are integers; texts and 0, 1 booleans."""
        for type_, raw, value in (
            ("int", b'"5"', 5),
            ("int", b"2.0", 2),
            ("int", b'"2.0"', 2),
            ("float", b'"2.5"', 2.5),
            ("bool", b"1", True),
            ("bool", b'"true"', True),
            ("bool", b'"0"', False),
        ):
            self.check_conversion(type_, raw, value)

    def test_nothing_is_lost(self) -> None:
        """What the classic server changed in silence is refused."""
        for type_, raw in (
            ("int", b"2.9"),
            ("int", b"true"),
            ("int", b"null"),
            ("int", b"9007199254740993.0"),
            ("int", b"1e-400"),
            ("int", b'"x"'),
            ("float", b'"NaN"'),
            ("float", b'"-inf"'),
            ("float", b"true"),
            ("bool", b"2"),
            ("bool", b"null"),
            ("string", b"5"),
            ("string", b"null"),
            ("list", b'"[]"'),
        ):
            self.check_refusal(type_, raw)

    def test_defaults(self) -> None:
        """Defaults are filled in, and the count is told."""
        schema = method("void f(int a, int b = 3)")
        self.assertEqual(schema.decode_params_plain(b'["1"]'), (1, 3))
        error = self.assertRaises(InvalidValue, schema.decode_params_plain, b"[]")
        self.assertEqual(str(error), "Parameter count mismatch: got 0, expected 1 to 2")

    def test_other_methods_are_strict(self) -> None:
        """One parameter that is of no classic type, and nothing is converted."""
        schema = method("void f(int a, int32 b)")
        self.assertFalse(schema.classic)
        self.assertRaises(InvalidValue, schema.decode_params_plain, b'["1",2]')
        self.assertTrue(method("void f(list a, list<any> b)").classic)
        self.assertFalse(method("void f(list<int> a)").classic)
        self.assertFalse(method("void f(int? a)").classic)

    def test_constraints_hold(self) -> None:
        """What is converted must be in range too."""
        schema = method("void f(@range(min=1) int a)")
        self.assertEqual(schema.decode_params_plain(b'["1"]'), (1,))
        self.assertRaises(InvalidValue, schema.decode_params_plain, b'["0"]')
        schema = method(f"void f(@range(max={2**70}) int a)")
        bad = b'["%d"]' % (2**70 + 1)
        self.assertRaises(InvalidValue, schema.decode_params_plain, bad)

    def test_hostile_bytes(self) -> None:
        """What is too deep stays refused, converted or not."""
        schema = method("void f(int a, list b)")
        deep = b'["1",' + b"[" * 100 + b"]" * 100 + b"]"
        self.assertRaises(InvalidValue, schema.decode_params_plain, deep)
        many = b'["1",[' + b"1e300," * 2000 + b"1]]"
        self.assertEqual(len(schema.decode_params_plain(many)[1]), 2001)
