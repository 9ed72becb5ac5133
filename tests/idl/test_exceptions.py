# -*- test-case-name: tests.idl.test_exceptions -*-
"""
Tests for declared exceptions.
"""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.sample import bank
from twisted_rpc.errors import Code, InvalidValue, NotFound, RPCError
from twisted_rpc.idl import load_idl_text

IDL = """
/// It is not there.
/// More about it.
@code("NOT_FOUND") @name("gone") exception Gone { string id; int code = 5; }
exception Older extends Gone { list<int> where = []; }
exception Plain { @sensitive string? pin; }
exception Odd { int message; string cls; string self = "s" }
service S { void f() throws (Gone, Plain, Odd); }
"""


class ClassTests(SynchronousTestCase):
    """
    Tests for the classes.
    """

    def setUp(self) -> None:
        """
        Exceptions of every kind.
        """
        self.idl = load_idl_text(IDL)

    def test_members_are_attributes(self) -> None:
        """Members are keyword arguments and attributes, with defaults."""
        error = self.idl.Gone(id="7")
        self.assertEqual((error.id, error.code_), ("7", 5))
        self.assertIs(error.code, Code.NOT_FOUND)
        self.assertEqual(self.idl.Older(id="7").where, [])

    def test_the_default_code(self) -> None:
        """Without C{@code} it is FAILED_PRECONDITION."""
        self.assertIs(self.idl.Plain().code, Code.FAILED_PRECONDITION)

    def test_heirs_have_their_own_code(self) -> None:
        """What an exception says of its code is the model's."""
        model: Any = self.idl.__idl__.model.definitions["Older"]
        self.assertIs(self.idl.Older.code, Code[model.code])

    def test_the_text(self) -> None:
        """The text is the one given, else the first line of the doc."""
        self.assertEqual(self.idl.Gone(id="7").message, "It is not there.")
        self.assertEqual(self.idl.Gone(id="7", message="no").message, "no")
        self.assertEqual(str(self.idl.Gone(id="7", message="no")), "NOT_FOUND: no")
        self.assertEqual(self.idl.Plain().message, "")
        self.assertEqual(bank().BankError(message="x").message, "x")

    def test_shown(self) -> None:
        """An exception shows its members and its text, but nothing sensitive."""
        self.assertEqual(
            repr(self.idl.Gone(id="7")),
            "Gone(id='7', code_=5, message='It is not there.')",
        )
        idl = load_idl_text(
            "exception X { @sensitive string pin; string message; } exception Y extends X { list<int> n = []; }"
        )
        self.assertEqual(
            repr(idl.Y(pin="1234", message="no")),
            "Y(pin=<sensitive>, message='no', n=[])",
        )

    def test_wrong_arguments(self) -> None:
        """Missing, unknown and positional arguments are TypeErrors."""
        self.assertRaises(TypeError, self.idl.Gone)
        self.assertRaises(TypeError, self.idl.Gone, "7")
        self.assertRaises(TypeError, self.idl.Gone, id="7", no=1)
        error = self.assertRaises(TypeError, bank().BankError)
        self.assertIn("'message'", str(error))

    def test_members_of_any_name(self) -> None:
        """Members may have the names of arguments that exceptions take."""
        error = self.idl.Odd(message_=1, cls="c")
        self.assertEqual((error.message_, error.cls, error.self), (1, "c", "s"))

    def test_what_an_implementation_may_set(self) -> None:
        """The time before another attempt can be passed."""
        self.assertEqual(self.idl.Plain(retry_after=2.0).retry_after, 2.0)

    def test_signature(self) -> None:
        """Tools see the members."""
        self.assertEqual(
            str(inspect.signature(self.idl.Gone)),
            "(*, id, code_=5, message='', retry_after=None)",
        )

    def test_sensitive_members_are_not_shown(self) -> None:
        """What is sensitive is not shown."""
        self.assertNotIn("1234", repr(self.idl.Plain(pin="1234")))


class CodecTests(SynchronousTestCase):
    """
    Tests for the way over the wire.
    """

    def setUp(self) -> None:
        """
        A method that throws.
        """
        self.idl = load_idl_text(IDL)
        self.method = self.idl.S.by_name["f"]

    def over_the_wire(self, exc: RPCError) -> Any:
        """
        @return: what the peer raises.
        """
        sent = self.method.encode_exception(exc)
        assert sent is not None
        return self.method.decode_exception(
            sent.type, sent.data, sent.message, sent.code
        )

    def test_round_trip(self) -> None:
        """Class, members, text and code arrive."""
        got = self.over_the_wire(self.idl.Gone(id="7", code_=1, message="no"))
        self.assertIs(type(got), self.idl.Gone)
        self.assertEqual((got.id, got.code_, got.message), ("7", 1, "no"))
        got = self.over_the_wire(self.idl.Odd(message_=1, cls="c", message="text"))
        self.assertEqual((got.message_, got.cls, got.message), (1, "c", "text"))

    def test_what_is_sent(self) -> None:
        """The name on the wire, and the members as an object."""
        sent = self.method.encode_exception(self.idl.Gone(id="7"))
        self.assertEqual(sent.type, "gone")
        self.assertEqual(sent.data, b'{"id":"7","code":5}')
        self.assertEqual(sent.message, "It is not there.")
        self.assertIs(sent.code, Code.NOT_FOUND)

    def test_members_named_message(self) -> None:
        """A text that is a member is sent as both."""
        schema = bank()
        transfer = schema.Bank.by_name["transfer"]
        money = schema.Money(amount=Decimal(1))
        error = schema.InsufficientFunds(message="no", balance=money, requested=money)
        sent = transfer.encode_exception(error)
        self.assertEqual(sent.message, "no")
        self.assertIn(b'"message":"no"', sent.data)
        got = transfer.decode_exception(sent.type, sent.data, "other", sent.code)
        self.assertEqual((got.message, got.balance), ("no", money))

    def test_the_nearest_listed_class(self) -> None:
        """An heir that is not listed is sent as its base."""
        got = self.over_the_wire(self.idl.Older(id="7", where=[1]))
        self.assertIs(type(got), self.idl.Gone)

        class Mine(self.idl.Gone):  # type: ignore[name-defined,misc]
            """An heir in user code."""

        self.assertIs(type(self.over_the_wire(Mine(id="8"))), self.idl.Gone)

    def test_undeclared(self) -> None:
        """What is not declared is not encoded."""
        self.assertIsNone(self.method.encode_exception(NotFound()))
        self.assertIsNone(self.method.encode_exception(bank().BankError(message="")))

    def test_unknown_here(self) -> None:
        """An unknown name gives nothing."""
        code = Code.NOT_FOUND
        self.assertIsNone(self.method.decode_exception("Older", b"{}", "", code))

    def test_members_that_do_not_fit(self) -> None:
        """Members of another shape give nothing; the sender refuses them."""
        code = Code.NOT_FOUND
        self.assertIsNone(self.method.decode_exception("gone", b'{"id":7}', "", code))
        self.assertIsNone(self.method.decode_exception("gone", b"\xff", "", code))
        error = self.idl.Gone(id=7)
        refused = self.assertRaises(InvalidValue, self.method.encode_exception, error)
        self.assertEqual(str(refused), "id: expected string, got int")

    def test_members_that_were_deleted(self) -> None:
        """A member without a value is refused by name."""
        error = self.idl.Gone(id="7")
        del error.id
        refused = self.assertRaises(InvalidValue, self.method.encode_exception, error)
        self.assertEqual(refused.path, "id")

    def test_the_code_of_the_peer(self) -> None:
        """The peer's code holds, if its IDL has another one."""
        got = self.method.decode_exception("Plain", b"{}", "no", Code.ABORTED)
        self.assertIs(got.code, Code.ABORTED)
        self.assertEqual(got.message, "no")
