"""
Tests for JSON Schemas: a real validator accepts them, and by them what the codecs
write, and refuses what the codecs refuse.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator as Validator
from twisted.trial.unittest import SynchronousTestCase

from tests.generation.programs import CLASHES
from tests.idl.test_codec_properties import TYPES, load, values
from tests.idl.texts import BANK
from twisted_rpc.errors import InvalidValue
from twisted_rpc.generation.json_schema import json_schema
from twisted_rpc.idl import Schema, load_idl, load_idl_text
from twisted_rpc.idl.reader import read_file, read_text


def validator(schema: Schema, name: str) -> Any:
    """
    @return: what validates one definition of a loaded IDL.
    """
    document = json.loads(json_schema(schema.__idl__.model))
    Validator.check_schema(document)
    return Validator({**document, "$ref": f"#/$defs/{name}"})


class SchemaTests(SynchronousTestCase):
    """
    Schemas are checked against the codecs.
    """

    def test_documents(self) -> None:
        """
        The sample, and a file with names of all kinds, are right schemas, which
        hold all types and methods, and whose references lead somewhere.
        """
        for file in (read_file(BANK), read_text(CLASHES)):
            document = json.loads(json_schema(file))
            Validator.check_schema(document)
            self.assertLessEqual(
                {
                    name
                    for name, each in file.definitions.items()
                    if not hasattr(each, "value") and not hasattr(each, "methods")
                },
                set(document["$defs"]),
            )
            for reference in references(document):
                self.assertIn(reference.removeprefix("#/$defs/"), document["$defs"])

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(TYPES, st.data())
    def test_values(self, type_: str, data: st.DataObject) -> None:
        """
        Whatever a codec writes is valid.
        """
        schema, method = load(type_)
        value = data.draw(values(schema, method.params[0].model.type))
        result = json.loads(method.encode_result(value))
        validator(schema, "Sample.f.result").validate(result)
        params = json.loads(method.encode_params((value,)))
        validator(schema, "Sample.f.params").validate(params)

    def test_refused(self) -> None:
        """
        What a codec refuses is not valid, what it reads is.
        """
        for type_, right, wrong in (
            ("int32", ["0", "-2147483648"], ["2147483648", '"1"', "true", "null"]),
            ("uint64", ["18446744073709551615"], ["18446744073709551616", "-1"]),
            ("float", ["1", "1.5"], ['"NaN"', "true"]),
            ("decimal", ['"12.30"', '"-1E+3"', "1.5"], ['"NaN"', '"x"', "true"]),
            ("duration", ['"P1DT2.5S"', '"-PT1S"', '"PT1H"'], ['"P"', '"PT"', '"1s"']),
            ("bool?", ["null", "true"], ["1"]),
            ("@length(min=2, max=3) string", ['"ab"'], ['"a"', '"abcd"', "null"]),
            ("@length(max=3) bytes", ['"YWJj"'], ['"YWJjZA=="']),
            ("@length(max=1) list<int>", ["[1]"], ["[1,2]", "{}"]),
            ("@length(max=1) map<int, bool>", ['{"1":true}'], ['{"1":true,"2":true}']),
            ("map<int, bool>", ['{"-7":true}'], ['{"a":true}', '{"1":1}', "[]"]),
            ("map<E, int>", ['{"a":1}'], ['{"A":1}']),
            ("@range(min=1, max=3) int", ["1", "3"], ["0", "4"]),
            ("@range(max=0.5) float", ["0.5"], ["0.6"]),
            ('@pattern("[a-z]+") string', ['"abc"'], ['"abc1"', '"1abc"', '""']),
            ('@pattern("(?i)[a-z]+") string', ['"aBc"'], ['"aB1"']),
            ("E", ['"a"', '"b"', '"old"'], ['"B"', '"c"']),
            ("O", ['"x"', '"y"'], ["1", "null"]),
            ("S", ['{"n":1}', '{"n":1,"o":null,"z":2}'], ["{}", '{"n":"1"}', "[]"]),
            (
                "U",
                ['{"type":"P","n":1}', '{"type":"q"}'],
                ['{"n":1}', '{"type":"S"}', '{"type":"P"}', "{}"],
            ),
            ("P", ['{"n":1}', '{"type":"P","n":1}'], ['{"type":"q","n":1}']),
        ):
            schema = load_idl_text(
                'enum E { @aliases(["old"]) A = "a", b } @open enum O { x }'
                " struct S { int n; S? o; } struct P extends S { }"
                ' @name("q") struct Q { int n = 1; } union U { P, Q }'
                f" service A {{ void f({type_} x) }}"
            )
            method = schema.A.by_name["f"]
            valid = validator(schema, "A.f.params")
            for text in right:
                method.decode_params(f"[{text}]".encode())
                valid.validate([json.loads(text)])
            for text in wrong:
                self.assertFalse(valid.is_valid([json.loads(text)]), (type_, text))
                self.assertRaises(
                    InvalidValue, method.decode_params, f"[{text}]".encode()
                )

    def test_parameters(self) -> None:
        """
        Parameters with defaults may be left out, and no more may be passed.
        """
        schema = load_idl_text(
            "service A { stream<int> f(int a, string b = 'x', stream<bool> c) void g() }"
        )
        valid = validator(schema, "A.f.params")
        for right in ([1], [1, "y"]):
            valid.validate(right)
        for wrong in ([], [1, 2], [1, "y", True], {"a": 1}):
            self.assertFalse(valid.is_valid(wrong), wrong)
        validator(schema, "A.f.item").validate(3)
        validator(schema, "A.f.sent_item").validate(True)
        validator(schema, "A.g.params").validate([])
        validator(schema, "A.g.result").validate(None)

    def test_described(self) -> None:
        """
        Docs, defaults, what is deprecated and what is sensitive are told.
        """
        schema = json.loads(json_schema(load_idl(BANK).__idl__.model))["$defs"]
        self.assertEqual(schema["Money"]["description"], "An amount of money.")
        self.assertEqual(schema["Money"]["required"], ["amount"])
        self.assertTrue(schema["Card"]["properties"]["pan"]["x-sensitive"])
        self.assertEqual(schema["Node"]["properties"]["weight"]["default"], 1)
        self.assertEqual(
            schema["Internal"]["properties"]["from"]["default"], "internal"
        )
        self.assertEqual(schema["NoSuchAccount"]["x-code"], "NOT_FOUND")
        self.assertIn("common.AuditEntry", schema)
        old = json.loads(json_schema(read_text("@deprecated struct S { }")))
        self.assertTrue(old["$defs"]["S"]["deprecated"])


def references(schema: Any) -> list[str]:
    """
    @return: all references in a document.
    """
    if isinstance(schema, list):
        return [found for each in schema for found in references(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [found for each in schema.values() for found in references(each)]
