# -*- test-case-name: tests.idl.test_build -*-
"""
Tests for the Python side of a file: its module, classes and interfaces.
"""

from __future__ import annotations

import inspect
import pickle
import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from tests.idl.sample import SAMPLES, bank
from twisted_rpc.errors import IDLError, RPCError
from twisted_rpc.idl import (
    Schema,
    Struct,
    load_idl,
    load_idl_text,
    service_schema,
)


class ModuleTests(SynchronousTestCase):
    """
    Tests for L{Schema}.
    """

    def test_attributes(self) -> None:
        """Everything that the file declares is an attribute, and an item."""
        schema = bank()
        self.assertEqual(schema.MAX_BATCH, 100)
        self.assertEqual(schema.PATIENCE, timedelta(seconds=30))
        self.assertEqual(schema.LIMITS, {"gold": 1000, "basic": 10})
        self.assertIs(schema["Money"], schema.Money)
        self.assertEqual(
            get_args(schema.Target), (schema.Card, schema.Iban, schema.Internal)
        )
        self.assertIs(schema.common.IAuditable, schema.IBank.__bases__[0])
        self.assertEqual(repr(schema)[:20], "<IDL 'example.bank' ")
        self.assertTrue(schema.__doc__ is None or isinstance(schema.__doc__, str))

    def test_declarations(self) -> None:
        """C{__idl__} has the files, the model and the services."""
        idl = bank().__idl__
        self.assertEqual(
            sorted(path.rpartition("/")[2] for path in idl.files),
            ["bank.idl", "common.idl"],
        )
        self.assertEqual(list(idl.services), ["Bank", "Calculator"])
        self.assertEqual(idl.model.namespace, "example.bank")
        self.assertEqual(set(idl.digests), {"Bank", "Calculator"})

    def test_misspelt_names(self) -> None:
        """What is not declared is an error that says what may be meant."""
        schema = bank()
        error = self.assertRaises(AttributeError, getattr, schema, "Mony")
        self.assertIn("declares no 'Mony'; did you mean 'Money'?", str(error))
        self.assertRaises(KeyError, lambda: schema["Mony"])
        self.assertRaises(AttributeError, getattr, schema, "__path__")

    def test_faults(self) -> None:
        """A text with faults is an IDLError."""
        self.assertRaises(IDLError, load_idl_text, "servce A { }")
        self.assertRaises(IDLError, load_idl, SAMPLES / "missing.idl")

    def test_empty_enums(self) -> None:
        """An enum without values is a fault with its place."""
        error = self.assertRaises(IDLError, load_idl_text, "\nenum E { }", "e.idl")
        self.assertIn("e.idl:2:6: enum 'E' lists no value", str(error))

    def test_importable(self) -> None:
        """With a name for it, the module can be imported, and values pickled."""
        name = "tests_idl_bank_importable"
        self.addCleanup(
            lambda: [sys.modules.pop(name + end) for end in ("", ".common")]
        )
        schema = load_idl(SAMPLES / "bank.idl", module=name)
        self.assertIs(__import__(name), schema)
        unknown = schema.Bank.by_name["balance"].decode_result(
            b'{"amount":"1","currency":"GBP"}'
        )
        values: list[Any] = [
            schema.Money(amount=Decimal(1)),
            schema.Currency.USD,
            unknown.currency,
            schema.common.AuditEntry(at=None, who="a", what="b"),
        ]
        self.assertEqual(pickle.loads(pickle.dumps(values)), values)  # noqa: S301
        error = schema.NoSuchAccount(id="7", message="gone")
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        self.assertEqual((type(again), again.id), (schema.NoSuchAccount, "7"))
        self.assertEqual(again.message, "gone")

    def test_generated_modules_are_replaced(self) -> None:
        """What the import system knows of a module stays known."""
        name = "tests_idl_generated"
        before: Any = type(sys)(name)
        before.__file__ = "generated.py"
        sys.modules[name] = before
        self.addCleanup(
            lambda: [sys.modules.pop(name + end) for end in ("", ".common")]
        )
        schema = load_idl(SAMPLES / "bank.idl", module=name)
        self.assertIs(sys.modules[name], schema)
        self.assertEqual(schema.__file__, "generated.py")

    def test_submodules(self) -> None:
        """A module in a package becomes its attribute."""
        parent: Any = type(sys)("tests_idl_package")
        sys.modules["tests_idl_package"] = parent
        name = "tests_idl_package.bank"
        self.addCleanup(
            lambda: [
                sys.modules.pop(each)
                for each in ("tests_idl_package", name, name + ".common")
            ]
        )
        self.assertIs(load_idl(SAMPLES / "bank.idl", module=name), parent.bank)

    def test_python_names(self) -> None:
        """What Python has a word for already gets an underscore."""
        schema = load_idl_text(
            "struct class { int if } enum E { name, mro, None } service import { }"
        )
        self.assertEqual(schema.class_(if_=1).if_, 1)
        self.assertEqual([each.name for each in schema.E], ["name_", "mro_", "None_"])
        self.assertEqual(schema.E.name_.value, "name")
        self.assertEqual(schema.import_.name, "import_")
        self.assertEqual(schema.Iimport.__name__, "Iimport")


class ClassTests(SynchronousTestCase):
    """
    Tests for structs and enums.
    """

    def test_structs(self) -> None:
        """Structs take keyword arguments and have defaults of their own."""
        schema = bank()
        first, second = schema.Node(), schema.Node()
        first.children.append(second)
        self.assertEqual(second, schema.Node())
        self.assertTrue(issubclass(schema.Internal, schema.Iban))
        self.assertTrue(issubclass(schema.Money, Struct))
        self.assertRaises(TypeError, schema.Money)
        self.assertRaises(TypeError, schema.Money, Decimal(1))
        self.assertEqual(schema.Money.__doc__, "An amount of money.")
        self.assertEqual(schema.Money.__module__, "example.bank")

    def test_defaults(self) -> None:
        """Defaults of every kind are what the text says."""
        schema = load_idl_text(
            "enum E { A, B } const int N = 3; struct P { int i }"
            " struct S { E e = B; list<int> xs = [1, 2]; map<string, E> m ="
            ' {"a": B}; duration d = 30s; int n = N; list<P?> ps = [null];'
            ' decimal c = 1.50; bytes b = "YQ==" }'
        )
        value = schema.S()
        self.assertEqual(value.e, schema.E.B)
        self.assertEqual(value.xs, [1, 2])
        self.assertEqual(value.m, {"a": schema.E.B})
        self.assertEqual(value.d, timedelta(seconds=30))
        self.assertEqual((value.n, value.ps), (3, [None]))
        self.assertEqual(str(value.c), "1.50")
        self.assertIsInstance(value.b, bytes)

    def test_defaults_of_exceptions(self) -> None:
        """
        An exception with a list of structs leaves the structs as they are.
        """
        schema = load_idl_text(
            "struct Centre { int x; } struct Circle { Centre centre; }"
            " exception Broke { list<Circle> many = []; }"
            " service S { Circle f(Circle circle) throws Broke; }"
        )
        circle = schema.Circle(centre=schema.Centre(x=1))
        method = schema.S.by_name["f"]
        self.assertEqual(
            method.decode_params(method.encode_params((circle,))), (circle,)
        )
        self.assertEqual(schema.Broke().many, [])

    def test_sensitive_members_are_not_shown(self) -> None:
        """The repr of a struct hides what is sensitive, in its heirs too."""
        schema = load_idl_text(
            "struct A { @sensitive string pin; int n } struct B extends A { int m }"
        )
        self.assertEqual(
            repr([schema.A(pin="1234", n=1), schema.B(pin="1234", n=1, m=2)]),
            "[A(pin=<sensitive>, n=1), B(pin=<sensitive>, n=1, m=2)]",
        )

    def test_docs(self) -> None:
        """Doc comments are the docs of classes and values."""
        schema = load_idl_text(
            "/// Colours.\nenum E {\n/// Like blood.\nRED }\n"
            "/// Fails.\nexception X { }"
        )
        self.assertEqual(schema.E.__doc__, "Colours.")
        self.assertEqual(schema.E.RED.__doc__, "Like blood.")
        self.assertEqual(schema.X.__doc__, "Fails.")

    def test_exceptions_are_rpc_errors(self) -> None:
        """Exceptions derive from their base, or from RPCError."""
        schema = bank()
        self.assertTrue(issubclass(schema.InsufficientFunds, schema.BankError))
        self.assertTrue(issubclass(schema.BankError, RPCError))


class InterfaceTests(SynchronousTestCase):
    """
    Tests for interfaces, and the classes beside them.
    """

    def test_interface(self) -> None:
        """A service is an interface with docs and signatures."""
        schema = bank()
        self.assertEqual(schema.IBank.__doc__.strip(), "The accounts of one bank.")
        self.assertIn("audit_log", schema.IBank.names(all=True))
        self.assertEqual(
            schema.IBank["transfer"].getSignatureString(),
            "(from_id, to, amount, pin=None)",
        )
        self.assertEqual(schema.IBank["transfer"].getDoc(), "Move money exactly once.")
        self.assertEqual(schema.ICalculator.__bases__, (Interface,))

    def test_tagged_values(self) -> None:
        """The interface leads to the schema, each method to its own."""
        schema = bank()
        tagged = schema.IBank.getTaggedValue("twisted_rpc.service")
        self.assertIs(tagged, schema.Bank)
        for name, each in schema.Bank.by_name.items():
            found = schema.IBank[name].getTaggedValue("twisted_rpc.method")
            self.assertIs(found, each)

    def test_implementations(self) -> None:
        """zope verifies an implementation, and knows the classes made for it."""
        schema = load_idl_text("service S { int f(int a, int b = 1) }")

        @implementer(schema.IS)
        class Good:
            def f(self, a: int, b: int = 1) -> int:
                return a + b

        self.assertTrue(verifyObject(schema.IS, Good()))
        self.assertTrue(schema.IS.implementedBy(schema.SServer))
        self.assertTrue(schema.IS.implementedBy(schema.SClient))
        self.assertEqual(schema.SServer.__module__, schema.__name__)

    def test_service_schema(self) -> None:
        """An interface and a service lead to the schema, nothing else does."""
        schema = bank()
        self.assertIs(service_schema(schema.IBank), schema.Bank)
        self.assertIs(service_schema(schema.Bank), schema.Bank)

        class IOther(schema.IBank):  # type: ignore[name-defined,misc]
            """An interface of user code."""

        for wrong, text in (
            (IOther, "is no service of an IDL"),
            (Interface, "is no service of an IDL"),
            (schema, "say which service: IBank, ICalculator"),
            ("Bank", "got 'Bank'"),
        ):
            error = self.assertRaises(TypeError, service_schema, wrong)
            self.assertIn(text, str(error))

    def test_services_may_stand_in_any_order(self) -> None:
        """A service may extend one that stands below it, or two."""
        schema = load_idl_text(
            "service C extends A, B { void c() } service A { void a() }"
            " service B extends A { void b() }"
        )
        self.assertEqual(set(schema.C.by_name), {"a", "b", "c"})
        self.assertEqual(schema.IC.__bases__, (schema.IA, schema.IB))
        self.assertIs(service_schema(schema.IA), schema.A)
        self.assertIs(schema.__idl__.services["A"], schema.A)

    def test_classes_of_services(self) -> None:
        """The classes of a service extend those of the services that it extends."""
        schema = load_idl_text(
            "service A { void a() } service B { void b() }"
            " service AB extends A, B { } service BA extends B, A { }"
            " service Both extends AB, BA { } service Late extends A, AB { }"
        )
        self.assertEqual(schema.ABClient.__bases__, (schema.AClient, schema.BClient))
        # Of A and AB, AB is enough; and of AB and BA Python finds no order.
        self.assertEqual(schema.LateServer.__bases__, (schema.ABServer,))
        self.assertEqual(schema.BothServer.__bases__, (object,))
        self.assertEqual(set(schema.Both.by_name), {"a", "b"})

    def test_methods_may_have_any_name(self) -> None:
        """Methods named like those of zope's interfaces are methods."""
        schema = load_idl_text("service S { void names() void get(int a) }")
        self.assertEqual(set(schema.IS.names()), {"names", "get"})
        self.assertTrue(inspect.ismethod(schema.IS.names))
        self.assertIsInstance(schema, Schema)
