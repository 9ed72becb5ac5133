"""
Tests for L{twisted_rpc.server.decorators}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.idl import load_idl_text
from twisted_rpc.server.decorators import (
    implements,
    is_local,
    is_threaded,
    local,
    threaded,
)


class MarkTests(SynchronousTestCase):
    """
    L{threaded} and L{local}.
    """

    def test_methods(self) -> None:
        """
        A mark is seen on the bound method, and on static methods in either order.
        """

        class Calc:
            @threaded
            def one(self) -> None: ...

            @threaded
            @staticmethod
            def two() -> None: ...

            @staticmethod
            @threaded
            def three() -> None: ...

            def four(self) -> None: ...

        calc = Calc()
        marks = [is_threaded(it) for it in (calc.one, calc.two, calc.three, calc.four)]
        self.assertEqual(marks, [True, True, True, False])

    def test_local(self) -> None:
        """
        L{local} leaves the function as it is, but for the mark.
        """

        def function() -> None: ...

        self.assertIs(local(function), function)
        self.assertTrue(is_local(function))
        self.assertFalse(is_threaded(function))


class ImplementsTests(SynchronousTestCase):
    """
    L{implements}.
    """

    def test_interface_and_service(self) -> None:
        """
        A class implements what it names, by interface or by service.
        """
        schema = load_idl_text("service A { void a() } service B { void b() }")

        @implements(schema.IA, schema["B"])
        class Both:
            pass

        self.assertTrue(schema.IA.implementedBy(Both))
        self.assertTrue(schema.IB.implementedBy(Both))

    def test_nothing_of_ours(self) -> None:
        """
        What is neither is refused when the class is made.
        """
        self.assertRaises(TypeError, implements(3), type("Calc", (), {}))
