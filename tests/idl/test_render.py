# -*- test-case-name: tests.idl.test_render -*-
"""
Tests for the text of a service, as reflection answers it.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.sample import bank
from twisted_rpc.idl import load_idl, load_idl_text


class RenderTests(SynchronousTestCase):
    """
    Tests for L{ServiceSchema.text}.
    """

    def test_a_small_one(self) -> None:
        """A service is written in the usual layout."""
        schema = load_idl_text("service Calculator{int add(int a,int b=1)}")
        self.assertEqual(
            schema.Calculator.text,
            "service Calculator {\n    int add(int a, int b = 1);\n}\n",
        )

    def test_the_sample_is_read_again(self) -> None:
        """Its text defines the same service, without imports."""
        for service in bank().__idl__.services.values():
            again = load_idl_text(service.text)
            read = again.__idl__.services[service.name]
            self.assertEqual(read.digest, service.digest)
            self.assertEqual(read.text, service.text)

    def test_texts_of_every_kind(self) -> None:
        """Quotes, newlines, docs, long numbers and free annotations survive."""
        text = (
            "/** Ends a comment: *\\/ and\n * /// more. */\n"
            "service S {\n"
            '  @acme.note("a\\"b", 5, [1, "x"]) void f(string s = "\\u0007\\n\\\\\'",'
            ' float x = 1.5e300, list<any> xs = [null, true, {"k": 1}],'
            ' map<int, string> m = {5: "a"}, decimal d = "1.50", bool b = false,'
            " @range(min=1.5) float y = 2);\n"
            '  @retry(max_attempts=3, initial=50ms, on=["UNAVAILABLE"])'
            " @readonly @cache(ttl=0.0005s) int g();\n"
            "}"
        )
        service = load_idl_text(text).S
        read = load_idl_text(service.text).S
        self.assertEqual(read.digest, service.digest)
        self.assertEqual(read.doc, service.doc)
        self.assertEqual(
            [each.default for each in read.by_name["f"].params],
            [each.default for each in service.by_name["f"].params],
        )

    def test_unions_that_tag_a_struct(self) -> None:
        """A struct that is used alone is still written with its tag."""
        schema = load_idl_text(
            "struct A { int i } struct B { } union U { A, B } service S { A f() }"
        )
        again = load_idl_text(schema.S.text)
        raw = again.S.by_name["f"].encode_result(again.A(i=1))
        self.assertEqual(raw, b'{"type":"A","i":1}')

    def test_two_things_of_one_name(self) -> None:
        """Two files may have one name each for different structs."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "a.idl").write_text("struct T { int a } struct Two { }")
        (folder / "b.idl").write_text('import "a.idl"; struct U { a.T t }')
        (folder / "c.idl").write_text(
            'import "a.idl"; import "b.idl"; struct T { int c; b.U u; a.Two two }'
            " enum E { A } service S { T f(map<E, list<E>> m = {A: [A]}) }"
        )
        schema = load_idl(folder / "c.idl")
        self.assertIs(schema.b.a, schema.a)
        again = load_idl_text(schema.S.text)
        value = again.T(c=1, u=again.U(t=again.T_2(a=1)), two=again.Two())
        raw = again.S.by_name["f"].encode_result(value)
        read = schema.S.by_name["f"].decode_result(raw)
        self.assertEqual(read.u.t, schema.a.T(a=1))
        self.assertIn("m = {A: [A]}", schema.S.text)

    def test_only_what_is_needed(self) -> None:
        """What the service does not use is left out."""
        schema = load_idl_text("struct A { int i } service S { } service T { A f() }")
        self.assertEqual(schema.S.text, "service S {\n}\n")
