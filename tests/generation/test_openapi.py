"""
Tests for OpenAPI documents, which a real validator accepts.
"""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator as Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.trial.unittest import SynchronousTestCase

from tests.generation.programs import CLASHES
from tests.generation.test_json_schema import references
from tests.idl.texts import BANK
from twisted_rpc.errors import Code, IDLError
from twisted_rpc.generation.openapi import STATUS, openapi
from twisted_rpc.idl import model
from twisted_rpc.idl.reader import read_file, read_text


def document(file: model.File) -> Any:
    """
    @return: what is made of a file, once it has been validated.
    """
    made = json.loads(openapi(file))
    OpenAPIV31SpecValidator(made).validate()
    return made


class DocumentTests(SynchronousTestCase):
    """
    What is said of a service.
    """

    def setUp(self) -> None:
        """
        The document of the sample.
        """
        self.document = document(read_file(BANK))

    def validates(self, schema: Any, value: Any) -> bool:
        """
        Whether a value fits a schema of the document.
        """
        Validator.check_schema(schema)
        whole = {**schema, "components": self.document["components"]}
        return bool(Validator(whole).is_valid(value))

    def test_valid(self) -> None:
        """
        Documents are valid, whatever the names are, and all references lead
        somewhere.
        """
        for text in (CLASHES, "", '@name("a b/c") service A { @name("d{e") int f() }'):
            made = document(read_text(text))
            for reference in references(made):
                found: Any = made
                for word in reference.removeprefix("#/").split("/"):
                    found = found[word]
        self.assertIn("/rpc/a%20b%2Fc/d%7Be", made["paths"])

    def test_info(self) -> None:
        """
        Title, version and docs are those of the file; each service is a tag that
        says what is not to be had.
        """
        self.assertEqual(
            self.document["info"],
            {
                "title": "example.bank",
                "version": "1.4",
                "description": "Bank accounts: a sample that uses every part of the language.",
            },
        )
        bank, calculator = self.document["tags"]
        self.assertEqual(calculator, {"name": "Calculator"})
        self.assertEqual(
            bank["description"],
            "The accounts of one bank.\n\nNot over HTTP: audit, statement, upload.",
        )
        self.assertNotIn("/rpc/Bank/audit", self.document["paths"])

    def test_call(self) -> None:
        """
        A method is posted with the list of its parameters, and answered with
        the reply.
        """
        call = self.document["paths"]["/rpc/Bank/transfer"]["post"]
        self.assertEqual(call["operationId"], "Bank.transfer")
        self.assertEqual(call["summary"], "Move money exactly once.")
        self.assertEqual(call["x-delivery"], "transactional")
        self.assertEqual(
            (call["security"], call["x-role"]), ([{"bearer": []}], "teller")
        )
        body = call["requestBody"]["content"]["application/json"]["schema"]
        money = {"amount": "12.30", "currency": "USD", "note": None}
        target = {"type": "Iban", "iban": "DE"}
        self.assertTrue(self.validates(body, ["acc-1", target, money]))
        self.assertFalse(self.validates(body, ["acc-1", {"iban": "DE"}, money]))
        self.assertFalse(self.validates(body, ["acc-1", target]))
        answer = call["responses"]["200"]["content"]["application/json"]["schema"]
        reply = {"request_id": "1", "result": money, "error": None, "timestamp": 1.5}
        self.assertTrue(self.validates(answer, reply))
        self.assertFalse(self.validates(answer, {**reply, "result": None}))

    def test_failures(self) -> None:
        """
        Declared exceptions have the status of their code, with their members;
        everything else is a failure.
        """
        responses = self.document["paths"]["/rpc/Bank/transfer"]["post"]["responses"]
        self.assertEqual(set(responses), {"200", "400", "404", "default"})
        schema = responses["404"]["content"]["application/json"]["schema"]
        self.assertEqual(responses["404"]["description"], "NoSuchAccount.")
        reply: Any = {
            "request_id": "1",
            "result": None,
            "error": "gone",
            "timestamp": 1.5,
            "ext": {
                "code": "NOT_FOUND",
                "executed": "yes",
                "type": "NoSuchAccount",
                "data": {"id": "7"},
            },
        }
        self.assertTrue(self.validates(schema, reply))
        thrown = schema["anyOf"][0]
        reply["ext"]["data"] = {}
        self.assertFalse(self.validates(thrown, reply))
        vague = {**reply, "ext": {"code": "ID_REUSED", "executed": "no"}}
        self.assertTrue(self.validates(schema, vague))
        self.assertFalse(self.validates(schema, {**vague, "ext": {"code": "GONE"}}))

    def test_routes(self) -> None:
        """
        What @http says comes beside: in the path, the query, or a body.
        """
        call = self.document["paths"]["/accounts/{id}"]["get"]
        self.assertEqual(call["operationId"], "Bank.balance.get")
        self.assertEqual(
            call["parameters"][0],
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
            },
        )
        self.assertNotIn("requestBody", call)
        made = document(
            read_text(
                "struct P { int n; } service A {"
                ' @http(get="/a/{p}") int f(P p, /** how many */ int n = 3, list<int>? of)'
                ' @http(delete="/a/{p}") int g(string p)'
                ' @http(put="/a/{p}") int h(string p, int n, bool b = true)'
                ' @http(post="/b") void i() }'
            )
        )
        get = made["paths"]["/a/{p}"]["get"]["parameters"]
        self.assertEqual(
            [(each["in"], each["name"]) for each in get[:3]],
            [("path", "p"), ("query", "n"), ("query", "of")],
        )
        self.assertEqual(
            get[0]["content"]["application/json"]["schema"]["$ref"][-2:], "/P"
        )
        self.assertEqual(get[1]["description"], "how many")
        self.assertEqual(get[1]["schema"], {"type": "integer", "default": 3})
        put = made["paths"]["/a/{p}"]["put"]
        body = put["requestBody"]["content"]["application/json"]["schema"]
        self.assertEqual(
            (set(body["properties"]), body["required"]), ({"n", "b"}, ["n"])
        )
        self.assertNotIn("requestBody", made["paths"]["/b"]["post"])

    def test_same_route(self) -> None:
        """
        Two methods with one route are a fault with both places.
        """
        file = read_text(
            'service A { @http(get="/a/{x}") int f(int x)\n @http(get="/a/{y}") int g(int y) }',
            "a.idl",
        )
        error = self.assertRaises(IDLError, openapi, file)
        self.assertEqual(
            str(error),
            "a.idl:2:2: the route 'get /a/{y}' is that of 'f' already\n  at a.idl:1:13",
        )

    def test_security(self) -> None:
        """
        Without @auth nothing is said, a public method needs none.
        """
        made = document(read_text("service A { int f() @auth(public=true) int g() }"))
        self.assertNotIn("security", made["paths"]["/rpc/A/f"]["post"])
        self.assertEqual(made["paths"]["/rpc/A/g"]["post"]["security"], [])
        self.assertNotIn("securitySchemes", made["components"])

    def test_status(self) -> None:
        """
        Every code has a status.
        """
        self.assertEqual(set(STATUS), set(Code))
