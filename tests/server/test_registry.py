"""
Tests for L{twisted_rpc.server.registry}.
"""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_rpc.idl import load_idl, load_idl_text
from twisted_rpc.interfaces import IRegistry
from twisted_rpc.server.decorators import threaded
from twisted_rpc.server.registry import RegistrationError, Registry

CALCULATOR = """
service Calculator {
    @aliases(["plus"]) int add(int a, int b)
    @threaded int slow(int a = 1)
}
"""


class Calc:
    """What fits."""

    def add(self, a: int, b: int) -> int:
        """Add."""
        return a + b

    def slow(self, a: int = 1) -> int:
        """Take a while."""
        return a


class RegistryTests(SynchronousTestCase):
    """
    L{Registry}.
    """

    def setUp(self) -> None:
        self.idl = load_idl_text(CALCULATOR, name="calculator.idl")
        self.registry = Registry()

    def refused(self, implementation: Any, **options: Any) -> RegistrationError:
        """Registering this fails."""
        error: RegistrationError = self.assertRaises(
            RegistrationError,
            self.registry.register,
            self.idl.ICalculator,
            implementation,
            **options,
        )
        return error

    def test_interface(self) -> None:
        """
        A registry provides L{IRegistry}.
        """
        self.assertTrue(verifyObject(IRegistry, self.registry))

    def test_registered(self) -> None:
        """
        Methods are found by their names on the wire, aliases too, and the
        implementation provides the interface.
        """
        calc = Calc()
        self.registry.register(self.idl.ICalculator, calc)
        service = self.registry.services["Calculator"]
        self.assertIs(service.implementation, calc)
        self.assertIs(service.schema, self.idl["Calculator"])
        self.assertEqual(set(service.methods), {"add", "plus", "slow"})
        self.assertIs(service.methods["add"], service.methods["plus"])
        self.assertEqual(service.methods["add"].function(2, 3), 5)
        self.assertEqual(service.methods["add"].name, "Calculator.add")
        self.assertTrue(self.idl.ICalculator.providedBy(calc))

    def test_service(self) -> None:
        """
        The service object does as well as the interface.
        """
        self.registry.register(self.idl["Calculator"], Calc())
        self.assertIn("Calculator", self.registry.services)

    def test_looked_up_once(self) -> None:
        """
        What is called is what was there when it was registered.
        """
        calc = Calc()
        self.registry.register(self.idl.ICalculator, calc)
        calc.add = lambda a, b: -1  # type: ignore[method-assign]
        method = self.registry.services["Calculator"].methods["add"]
        self.assertEqual(method.function(2, 3), 5)

    def test_threaded(self) -> None:
        """
        A method is threaded by the IDL's word or by the implementation's.
        """

        class Other(Calc):
            @threaded
            def add(self, a: int, b: int) -> int:
                return a + b

        self.registry.register(self.idl.ICalculator, Other())
        methods = self.registry.services["Calculator"].methods
        self.assertTrue(methods["add"].threaded)
        self.assertTrue(methods["slow"].threaded)

    def test_not_threaded(self) -> None:
        """
        A method that nobody says is threaded is not.
        """
        self.registry.register(self.idl.ICalculator, Calc())
        self.assertFalse(self.registry.services["Calculator"].methods["add"].threaded)

    def test_taken(self) -> None:
        """
        A second service of the same name is refused, and the first is named.
        """
        self.registry.register(self.idl.ICalculator, Calc())
        error = self.refused(Calc())
        self.assertIn("registered as 'Calculator' already", str(error))
        self.assertIn("calculator.idl:2:9", str(error))

    def test_faults(self) -> None:
        """
        What does not fit is not registered, and provides nothing.
        """
        broken = types.SimpleNamespace(add=lambda a: 0)
        error = self.refused(broken)
        self.assertEqual(len(error.faults), 2)
        self.assertEqual(self.registry.services, {})
        self.assertFalse(self.idl.ICalculator.providedBy(broken))

    def test_warnings(self) -> None:
        """
        Warnings are logged and do not refuse, unless the registry is strict.
        """

        class Renamed(Calc):
            def add(self, x: int, b: int) -> int:
                return x + b

        error = self.refused(Renamed(), strict=True)
        self.assertIn("1 fault\n", str(error))
        with capturedLogs() as events:
            self.registry.register(self.idl.ICalculator, Renamed())
        (warning,) = [it for it in events if it["log_level"] is LogLevel.warn]
        self.assertIn("parameter 'a' is called 'x'", str(warning["finding"]))
        self.assertTrue(warning["log_namespace"].startswith("twisted_rpc.server"))

    def test_cannot_provide(self) -> None:
        """
        An object that cannot be marked is served all the same.
        """

        class Frozen(Calc):
            def __setattr__(self, name: str, value: object) -> None:
                raise AttributeError(name)

        self.registry.register(self.idl.ICalculator, Frozen())
        self.assertIn("Calculator", self.registry.services)

    def test_not_an_interface(self) -> None:
        """
        What is neither interface nor service is a mistake of the program.
        """
        self.assertRaises(TypeError, self.registry.register, Calc, Calc())


class ReportTests(SynchronousTestCase):
    """
    The text of L{RegistrationError}.
    """

    def test_bank(self) -> None:
        """
        Every finding has its line: where in the IDL, what, and where in Python.
        """
        sample = Path(__file__).parent.parent / "idl" / "samples" / "bank.idl"

        class Bank:
            def transfer(self, to, from_id, amount, pin):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
                ...

            def ballance(self, id):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
                ...

        bank = load_idl(str(sample))
        error = self.assertRaises(
            RegistrationError, Registry().register, bank.IBank, Bank()
        )
        lines = str(error).splitlines()
        self.assertTrue(
            re.fullmatch(
                r"Bank \(\S+test_registry\.py:\d+\) cannot serve Bank: \d+ faults",
                lines[0],
            ),
            lines[0],
        )
        transfer = next(it for it in lines if ": transfer: Bank" in it)
        self.assertTrue(
            re.fullmatch(
                r"\S+bank\.idl:\d+:\d+: transfer: Bank\.transfer has its parameters in"
                r" another order: to, from_id, amount, pin"
                r"  \(\S+test_registry\.py:\d+\)",
                transfer,
            ),
            transfer,
        )
        self.assertTrue(
            any(
                ": balance: missing; did you mean Bank.ballance?  (" in it
                for it in lines
            )
        )

    def test_counts(self) -> None:
        """
        The first line counts faults and warnings.
        """
        idl = load_idl_text("service S { int a(int x) int b() }")
        implementation = types.SimpleNamespace(a=lambda y: 0)
        error = self.assertRaises(
            RegistrationError, Registry().register, idl.IS, implementation
        )
        self.assertEqual(
            str(error).splitlines()[0],
            "SimpleNamespace cannot serve S: 1 fault, 1 warning",
        )
