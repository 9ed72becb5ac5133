# -*- test-case-name: tests.idl.test_schema -*-
"""
Tests for what is known of a method, and for binding arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.sample import bank, method
from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl import MethodSchema, load_idl_text

#: The digest of idl.md, section 11.
VECTOR = "sha256:33315817cfd0a91c69d5099414c68dcee0d8ce309485d3081a84e4630e1ff2c8"


def words_of(call: Callable[[], object]) -> str:
    """
    @return: the text of the TypeError that C{call} raises, without the name of
        the class that Python puts before the name of a method.
    """
    try:
        call()
    except TypeError as error:
        return str(error).rpartition(".")[2]
    return "nothing was raised"


class BindTests(SynchronousTestCase):
    """
    Tests for L{MethodSchema.bind}.
    """

    def setUp(self) -> None:
        """
        A method, and a function of the same signature.
        """
        self.find = method(
            "void find(int a, string b, list<int> c = [1], bool d = true)"
        )

    def function(self) -> Any:
        """
        @return: what Python would do.
        """

        def find(a: int, b: str, c: object = (), d: bool = True) -> None:
            """Do nothing."""

        return find

    def test_complete_arguments_stay_as_they_are(self) -> None:
        """All arguments by position are returned as the very same tuple."""
        args: Any = (1, "x", [], False)
        self.assertIs(self.find.bind(args, {}), args)

    def test_trailing_ones_stay_out(self) -> None:
        """What is not passed at the end stays out."""
        self.assertEqual(self.find.bind((1, "x"), {}), (1, "x"))
        self.assertEqual(self.find.bind((1,), {"b": "x"}), (1, "x"))

    def test_keywords_in_any_order(self) -> None:
        """Keyword arguments find their place."""
        self.assertEqual(self.find.bind((), {"b": "x", "a": 1}), (1, "x"))

    def test_gaps_are_filled(self) -> None:
        """A gap before a passed argument is filled with a fresh default."""
        bound = self.find.bind((1, "x"), {"d": False})
        self.assertEqual(bound, (1, "x", [1], False))
        bound[2].append(2)
        self.assertEqual(self.find.bind((1, "x"), {"d": False})[2], [1])

    def test_the_words_are_those_of_python(self) -> None:
        """TypeErrors read as those of a function with the same parameters."""
        find = self.function()
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((), {}),
            ((1,), {}),
            ((1, 2, 3, 4, 5), {}),
            ((1, 2), {"a": 1}),
            ((1, 2), {"z": 1}),
            ((), {"b": 1}),
        ]
        for args, kwargs in calls:
            self.assertEqual(
                words_of(lambda: self.find.bind(args, kwargs)),  # noqa: B023
                words_of(lambda: find(*args, **kwargs)),  # noqa: B023
            )

    def test_the_words_without_defaults(self) -> None:
        """The same without defaults, for none, one and three parameters."""

        def none() -> None:
            """Do nothing."""

        def one(a: int) -> None:
            """Do nothing."""

        def three(a: int, b: int, c: int) -> None:
            """Do nothing."""

        for signature, function in (
            ("void none()", none),
            ("void one(int a)", one),
            ("void three(int a, int b, int c)", three),
        ):
            schema = method(signature)
            for count in (0, 4):
                args: Any = (1,) * count
                if words_of(lambda: function(*args)) == "nothing was raised":  # noqa: B023
                    continue
                self.assertEqual(
                    words_of(lambda: schema.bind(args, {})),  # noqa: B023
                    words_of(lambda: function(*args)),  # noqa: B023
                )

    def test_optional_parameters_have_a_default(self) -> None:
        """An optional one may be left out, and fills a gap with None."""
        schema = method("void f(int? a, int? b)")
        self.assertEqual(schema.bind((), {}), ())
        self.assertEqual(schema.bind((), {"b": 1}), (None, 1))

    def test_keywords_of_python(self) -> None:
        """A parameter that is a keyword of Python has an underscore."""
        schema = method("void f(int class, int self)")
        self.assertEqual(schema.bind((), {"class_": 1, "self_": 2}), (1, 2))

    def test_streamed_parameters_are_bound(self) -> None:
        """The stream is the last argument."""
        schema = method("void f(string name, stream<int> items)")
        stream = iter(())
        self.assertEqual(schema.bind(("a",), {"items": stream}), ("a", stream))
        self.assertRaises(TypeError, schema.bind, ("a",), {})


class MethodTests(SynchronousTestCase):
    """
    Tests for L{MethodSchema}.
    """

    def setUp(self) -> None:
        """
        The bank's methods.
        """
        self.bank = bank()
        self.methods = self.bank.Bank.by_name

    def test_attributes(self) -> None:
        """What the annotations say is there."""
        transfer: MethodSchema = self.methods["transfer"]
        self.assertEqual(transfer.service, "Bank")
        self.assertEqual(transfer.full_name, "Bank.transfer")
        self.assertEqual(repr(transfer), "<MethodSchema Bank.transfer>")
        self.assertEqual(transfer.delivery, "transactional")
        self.assertEqual(transfer.timeout, 2.0)
        self.assertEqual(self.methods["balance"].timeout, 10.0)
        self.assertTrue(self.methods["history"].threaded)
        self.assertTrue(self.methods["audit"].oneway)
        self.assertTrue(self.methods["statement"].streams_result)
        self.assertTrue(self.methods["upload"].streams_parameter)
        self.assertEqual(
            transfer.throws, (self.bank.InsufficientFunds, self.bank.NoSuchAccount)
        )

    def test_parameters(self) -> None:
        """Parameters have a type, a default, and may be sensitive."""
        pin = self.methods["transfer"].params[3]
        self.assertEqual((pin.name, pin.type), ("pin", "string?"))
        self.assertEqual((pin.has_default, pin.default), (True, None))
        self.assertTrue(pin.sensitive)
        after, signature = self.methods["close"].params[1:3]
        self.assertEqual(after.default, timedelta(0))
        self.assertEqual(signature.default, b"")
        self.assertFalse(self.methods["close"].params[0].has_default)

    def test_sensitivity(self) -> None:
        """It is known whether anything of a method is sensitive."""
        self.assertTrue(self.methods["transfer"].has_sensitive)
        self.assertFalse(self.methods["transfer"].sensitive_result)
        self.assertFalse(self.methods["balance"].has_sensitive)
        login = method("@sensitive string login()")
        self.assertTrue(login.sensitive_result)
        self.assertTrue(login.has_sensitive)
        text = "exception E { @sensitive string pin }"
        self.assertTrue(method("void f() throws E", text).has_sensitive)

    def test_classic(self) -> None:
        """Methods of the five classic types are known."""
        self.assertTrue(self.bank.Calculator.by_name["add"].classic)
        self.assertTrue(self.methods["legacy"].classic)
        self.assertFalse(self.methods["transfer"].classic)
        self.assertFalse(self.methods["upload"].classic)

    def test_alike(self) -> None:
        """
        Methods that take and return the same have codecs in common, in all
        services; what differs in anything that a codec looks at has its own.
        """
        lines = (
            'int one(int a, string b = "")',
            'int same(int a, string b = "")',
            'string named(int c, string b = "")',
            'string? typed(int a, string? b = "")',
            'void given(int a, string b = "x")',
            'bool checked(@range(min=1) int a, string b = "")',
            'float hidden(@sensitive int a, string b = "")',
            "bytes shorter(int a)",
            "@sensitive int secret(int d)",
            "S made(int e)",
            "T other(S e)",
        )
        module = load_idl_text(
            "struct S { int a } struct T { int a } "
            f"service A {{ {';'.join(lines)}; }} service B {{ {lines[0]}; }}"
        )
        one, same, *others = module.A.by_name.values()
        for alike in (same, module.B.by_name["one"]):
            self.assertIs(alike.decode_params, one.decode_params)
            self.assertIs(alike.encode_result, one.encode_result)
        for name in ("decode_params", "encode_result"):
            made = [getattr(each, name) for each in (one, *others)]
            self.assertEqual(len(set(made)), len(made), name)

    def test_items_of_a_streamed_result(self) -> None:
        """Items of a streamed result have their codec."""
        money = self.bank.Money(amount=1)
        statement = self.methods["statement"]
        raw = statement.encode_item(money)
        self.assertEqual(statement.decode_item(raw), money)
        self.assertRaises(InvalidValue, statement.encode_item, [money])

    def test_items_of_a_streamed_parameter(self) -> None:
        """Items of a streamed parameter have theirs; it is not in the list."""
        upload: Any = self.methods["upload"]
        self.assertEqual(upload.encode_params(("a",)), b'["a"]')
        self.assertEqual(upload.decode_params(b'["a"]'), ("a",))
        self.assertEqual(upload.decode_sent_item(upload.encode_sent_item(b"x")), b"x")
        self.assertIsNone(self.methods["statement"].encode_sent_item)


class ServiceTests(SynchronousTestCase):
    """
    Tests for L{ServiceSchema}.
    """

    def test_methods_by_wire_name(self) -> None:
        """A method answers to its name on the wire and to its aliases."""
        schema = load_idl_text(
            'service S { @name("do") @aliases(["old"]) int class(int a) }'
        ).S
        self.assertEqual(list(schema.methods), ["do", "old"])
        self.assertEqual(list(schema.by_name), ["class_"])
        self.assertIs(schema.methods["old"], schema.by_name["class_"])
        self.assertEqual(schema.methods["do"].full_name, "S.do")

    def test_inherited_methods(self) -> None:
        """They are called under the name of the service that inherits them."""
        self.assertEqual(bank().Bank.methods["audit_log"].full_name, "Bank.audit_log")

    def test_digest(self) -> None:
        """The digest is that of the design."""
        schema = load_idl_text("service Calculator { int add(int a, int b) }")
        self.assertEqual(schema.Calculator.digest, VECTOR)
        self.assertEqual(schema.__idl__.digests, {"Calculator": VECTOR})
        self.assertEqual(repr(schema.Calculator), "<ServiceSchema Calculator>")
