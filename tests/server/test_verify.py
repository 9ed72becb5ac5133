# mypy: disable-error-code="empty-body"
"""
Tests for L{twisted_rpc.server.verification.verify}: does an implementation fit the IDL?
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer

from twisted_rpc.idl import load_idl_text
from twisted_rpc.server.decorators import local, threaded
from twisted_rpc.server.verification.comparison import Verification
from twisted_rpc.server.verification.verify import verify

if TYPE_CHECKING:
    from nowhere import OnlyForTypeCheckers  # type: ignore[import-not-found]

HERE = Path(__file__).name


class Verifying(SynchronousTestCase):
    """
    One-method services, and what is found.
    """

    def verify(self, method: str, implementation: object) -> Verification:
        """Compare with a service S of this text."""
        schema = load_idl_text(f"service S {{\n{method}\n}}", name="s.idl")
        return verify(schema["S"], implementation)

    def findings(self, method: str, function: Any) -> list[str]:
        """The findings about a method C{go}, without the places."""
        found = self.verify(method, types.SimpleNamespace(go=function))
        return [
            ("warning: " if finding.warning else "") + finding.message
            for finding in found.findings
        ]

    def assertFits(self, method: str, function: Any) -> None:
        """Nothing is found."""
        self.assertEqual(self.findings(method, function), [])


class PresenceTests(Verifying):
    """
    Is the method there?
    """

    def test_missing(self) -> None:
        """
        A method that is not there is a fault at its place in the IDL.
        """

        class Empty:
            pass

        found = self.verify("int go(int a)", Empty())
        (fault,) = found.faults
        self.assertEqual(
            (str(fault.place), fault.method, fault.message),
            ("s.idl:2:5", "go", "missing"),
        )

    def test_misspelt(self) -> None:
        """
        A public method with nearly the name is suggested, with its line, and is
        not reported a second time as superfluous.
        """

        class Bank:
            def Ballance(self) -> int: ...

        (finding,) = self.verify("int balance()", Bank()).findings
        line = Bank.Ballance.__code__.co_firstlineno
        self.assertEqual(finding.message, "missing; did you mean Bank.Ballance?")
        self.assertTrue(finding.source.endswith(f"{HERE}:{line}"), finding.source)

    def test_not_callable(self) -> None:
        """
        An attribute that cannot be called is a fault.
        """
        self.assertEqual(
            self.findings("int go()", 3),
            ["SimpleNamespace.go is not callable: it is of type int"],
        )

    def test_property_raises(self) -> None:
        """
        What a property raises is reported, not raised.
        """

        class Broken:
            @property
            def go(self) -> int:
                raise RuntimeError("no")

        (fault,) = self.verify("int go()", Broken()).faults
        self.assertEqual(fault.message, "reading Broken.go raised RuntimeError: no")

    def test_class(self) -> None:
        """
        A class where an instance is meant is said to be one.
        """

        class Calc:
            def go(self) -> int: ...

        (fault,) = self.verify("int go()", Calc).faults
        self.assertEqual(fault.message, "Calc is a class; register an instance, Calc()")

    def test_class_with_static_methods(self) -> None:
        """
        A class whose methods need no instance may be registered as it is.
        """

        class Calc:
            @staticmethod
            def go() -> int: ...

        self.assertEqual(self.verify("int go()", Calc).findings, [])

    def test_looked_up_once(self) -> None:
        """
        An attribute is read once, and what was read is what will be called.
        """
        reads = []

        class Counting:
            def __getattr__(self, name: str) -> Callable[[], int]:
                if name != "go":
                    raise AttributeError(name)
                reads.append(name)
                return lambda: len(reads)

        found = self.verify("int go()", Counting())
        self.assertEqual(found.faults, [])
        # zope's check reads it once more.
        self.assertEqual(found.functions["go"](), len(reads))


class KindsOfImplementationTests(Verifying):
    """
    An implementation is any object.
    """

    def test_module(self) -> None:
        """
        A module's functions are methods; what it imports is not superfluous.
        """
        module = types.ModuleType("calc")
        exec(  # noqa: S102 - a module without a file
            "from os.path import join\ndef go(a): pass\ndef more(): pass",
            module.__dict__,
        )
        found = self.verify("int go(int a)", module)
        self.assertEqual([it.method for it in found.findings], ["more"])

    def test_partial(self) -> None:
        """
        A C{functools.partial} is seen with the parameters that are left.
        """

        def go(factor: int, a: int) -> int: ...

        self.assertFits("int go(int a)", functools.partial(go, 2))
        self.assertEqual(
            self.findings("int go(int a, int b)", functools.partial(go, 2)),
            ["SimpleNamespace.go takes 1 parameter (a), the IDL has 2: a, b"],
        )

    def test_callable_attribute(self) -> None:
        """
        An instance with C{__call__} is a method, and its C{async def} is seen.
        """

        class Go:
            async def __call__(self, a: int) -> int: ...

        self.assertFits("int go(int a)", Go())
        (fault,) = self.findings("@threaded int go(int a)", Go())
        self.assertIn("both @threaded and 'async def'", fault)

    def test_decorated(self) -> None:
        """
        A decorated function is seen through C{functools.wraps}.
        """

        def go(b: int) -> int: ...

        @functools.wraps(go)
        def wrapper(*args: Any) -> Any: ...

        self.assertEqual(
            self.findings("int go(int a)", wrapper),
            ["warning: parameter 'a' is called 'b'"],
        )

    def test_any_arguments(self) -> None:
        """
        C{*args} takes whatever the IDL has.
        """
        self.assertFits("int go(int a, int b)", lambda *args: 0)

    def test_builtin(self) -> None:
        """
        A function of C code that does not tell its parameters is accepted.
        """
        self.assertFits("int go(int a)", type)


class ArityTests(Verifying):
    """
    Every parameter is passed, by position.
    """

    def test_too_few(self) -> None:
        """
        A method that takes fewer is a fault.
        """
        self.assertEqual(
            self.findings("int go(int a)", lambda: 0),
            ["SimpleNamespace.go takes no parameters, the IDL has 1: a"],
        )

    def test_too_many(self) -> None:
        """
        A method that needs more is a fault; one that takes more is none.
        """
        self.assertEqual(
            self.findings("int go(int a)", lambda a, b: 0),
            ["SimpleNamespace.go needs 2 parameters (a, b), the IDL has 1: a"],
        )
        self.assertFits("int go(int a)", lambda a, b=1: 0)

    def test_keyword_only(self) -> None:
        """
        A keyword-only parameter without a default cannot be passed.
        """
        self.assertEqual(
            self.findings("int go(int a)", lambda *, a: 0),
            [
                (
                    "SimpleNamespace.go needs a by keyword;"
                    " the IDL's parameters are passed by position: a"
                )
            ],
        )
        self.assertFits("int go(int a)", lambda a, *, clock=None: 0)


class NameTests(Verifying):
    """
    The IDL's names, in the IDL's order.
    """

    def test_order(self) -> None:
        """
        Swapped names are a fault, which zope's check does not see.
        """
        self.assertEqual(
            self.findings("int go(string from_id, string to)", lambda to, from_id: 0),
            ["SimpleNamespace.go has its parameters in another order: to, from_id"],
        )

    def test_other_name(self) -> None:
        """
        Another name is a warning at the parameter's place.
        """
        found = self.verify(
            "int go(int a, int b)", types.SimpleNamespace(go=lambda a, other: 0)
        )
        (warning,) = found.findings
        self.assertTrue(warning.warning)
        self.assertEqual(str(warning.place), "s.idl:2:19")
        self.assertEqual(warning.message, "parameter 'b' is called 'other'")

    def test_underscores(self) -> None:
        """
        An underscore in front says that a parameter is unused; one behind, that
        the name is Python's own.
        """
        self.assertFits("int go(int a, int from)", lambda _a, from_: 0)


class DefaultTests(Verifying):
    """
    The IDL's defaults count.
    """

    def test_equal(self) -> None:
        """
        The same default, an empty tuple for an empty list, or none, all fit.
        """
        self.assertFits("int go(int a = 1)", lambda a=1: 0)
        self.assertFits("int go(int a = 1)", lambda a: 0)
        self.assertFits("int go(list<int> a = [])", lambda a=(): 0)

    def test_other(self) -> None:
        """
        Another default is a warning that says which counts.
        """
        self.assertEqual(
            self.findings("int go(int a = 1)", lambda a=2: 0),
            ["warning: parameter 'a' has the default 2, the IDL's is 1 and counts"],
        )
        self.assertEqual(len(self.findings("int go(int a = 1)", lambda a=True: 0)), 1)

    def test_not_in_the_idl(self) -> None:
        """
        A default that the IDL does not have never applies, which is said.
        """
        self.assertEqual(
            self.findings("int go(int a)", lambda a=2: 0),
            [
                (
                    "warning: parameter 'a' has the default 2,"
                    " in the IDL it has none: it must be passed"
                )
            ],
        )


class AnnotationTests(Verifying):
    """
    Annotations beside IDL types; the types themselves are in
    L{tests.server.test_annotations}.
    """

    def test_parameter(self) -> None:
        """
        A parameter that cannot take the IDL's type is a fault at its place.
        """

        def go(after: int) -> int: ...

        found = self.verify("int go(duration after)", types.SimpleNamespace(go=go))
        (fault,) = found.faults
        self.assertEqual(
            str(fault).split("  (")[0],
            "s.idl:2:17: go: 'after' is annotated int,"
            " the IDL says duration (datetime.timedelta)",
        )

    def test_result(self) -> None:
        """
        A result outside the IDL's type is a fault, once what only delays it is
        removed.
        """

        def wrong() -> str: ...
        def deferred() -> Deferred[int]: ...
        def either() -> int | Awaitable[int]: ...
        async def coroutine() -> int: ...
        def late() -> Deferred[str]: ...

        @inlineCallbacks
        def inline() -> Generator[Deferred[object], object, int]:
            yield Deferred()
            return 1

        self.assertEqual(
            self.findings("int go()", wrong),
            ["the result is annotated str, the IDL says int"],
        )
        for fits in (deferred, either, coroutine, inline):
            self.assertFits("int go()", fits)
        self.assertEqual(len(self.findings("int go()", late)), 1)

    def test_unresolved(self) -> None:
        """
        An annotation only a type checker can resolve is skipped and listed.
        """

        def go(a: OnlyForTypeCheckers) -> int: ...

        found = self.verify("int go(int a)", types.SimpleNamespace(go=go))
        self.assertEqual(found.findings, [])
        (text,) = found.unchecked
        self.assertIn("'a' is annotated OnlyForTypeCheckers", text)


class StreamTests(Verifying):
    """
    Generators and coroutines, where the IDL has them.
    """

    def test_generator(self) -> None:
        """
        A generator is no value.
        """

        def sync() -> Any:
            yield 1

        async def asynchronous() -> Any:
            yield 1

        for function in (sync, asynchronous):
            self.assertEqual(
                self.findings("int go()", function),
                ["SimpleNamespace.go is a generator, the IDL says int"],
            )

    def test_stream(self) -> None:
        """
        A stream is an async generator, or what returns an async iterator.
        """

        async def generator() -> AsyncIterator[int]:
            yield 1

        def returns() -> AsyncIterator[int]: ...
        def value() -> int: ...
        async def coroutine() -> Any: ...

        def sync() -> Any:
            yield 1

        self.assertFits("stream<int> go()", generator)
        self.assertFits("stream<int> go()", returns)
        for wrong in (value, coroutine, sync):
            self.assertEqual(len(self.findings("stream<int> go()", wrong)), 1, wrong)

    def test_streamed_parameter(self) -> None:
        """
        A streamed parameter comes as an async iterator.
        """

        def right(chunks: AsyncIterator[bytes]) -> int: ...
        def wrong(chunks: bytes) -> int: ...

        self.assertFits("int go(stream<bytes> chunks)", right)
        self.assertEqual(
            self.findings("int go(stream<bytes> chunks)", wrong),
            [
                (
                    "'chunks' is annotated bytes, the IDL says stream<bytes>"
                    " (AsyncIterator[bytes])"
                )
            ],
        )

    def test_threaded_coroutine(self) -> None:
        """
        C{async def} and @threaded exclude each other, wherever it is said.
        """

        async def go() -> int: ...

        (fault,) = self.findings("@threaded int go()", go)
        self.assertIn("both @threaded and 'async def'", fault)
        self.assertEqual(len(self.findings("int go()", threaded(go))), 1)


class RaisingTests(Verifying):
    """
    Exceptions that the IDL declares, and the method does not.
    """

    idl = load_idl_text(
        "exception A { } exception B extends A { } exception C { }"
        " service S { int go(int a) throws A; int to(int a) }"
    )

    def warnings(self, go: Any) -> list[str]:
        """
        @return: what is found of C{go}, and of the same as C{to}.
        """
        found = verify(self.idl.S, types.SimpleNamespace(go=go, to=go))
        return [
            f"{it.method} {it.message.split(',')[0]} {it.source.rpartition(':')[0]}"
            for it in found.findings
            if it.warning
        ]

    def test_undeclared(self) -> None:
        """
        A class that is not in C{throws}, nor extends one that is, is a warning at
        the place where it is raised.
        """
        idl, other = self.idl, self.idl.C

        def go(a: int) -> int:
            if a == 1:
                raise idl.A
            if a == 2:
                raise idl.B(message="b")
            for _ in range(a):
                raise other() from None
            raise other

        file = (
            verify(self.idl.S, types.SimpleNamespace(go=go, to=go)).findings[0].source
        )
        self.assertTrue(file.rpartition(":")[0].endswith(HERE), file)
        path = file.rpartition(":")[0]
        self.assertEqual(
            self.warnings(go),
            [
                f"go raises C {path}",
                f"to raises A {path}",
                f"to raises B {path}",
                f"to raises C {path}",
            ],
        )
        lines, first = inspect.getsourcelines(go)
        at = first + next(i for i, line in enumerate(lines) if "other()" in line)
        self.assertEqual(file, f"{path}:{at}")

    def test_nothing(self) -> None:
        """
        What is caught, what another function raises, what is no exception of an
        IDL and what nobody can know is nothing to warn of.
        """
        idl, unknown = self.idl, types.SimpleNamespace(C=self.idl.C)

        def go(a: int) -> int:
            try:
                raise idl.C  # noqa: TRY301 - what is tested
            except idl.C as error:
                if a:
                    raise error.with_traceback(None) from None

            def inner() -> int:
                raise idl.C

            if a > 2:
                raise ValueError(a)
            if a > 1:
                raise unknown.C
            return inner()

        self.assertEqual(self.warnings(go), [])
        self.assertEqual(self.warnings(lambda a: a), [])
        namespace: dict[str, Any] = {}
        exec("def made(a): raise ValueError(a)", namespace)  # noqa: S102 - has no file
        self.assertEqual(self.warnings(namespace["made"]), [])
        # A file that has become shorter.
        text = "\n" * 10_000 + "def made(a): raise ValueError(a)"
        exec(compile(text, __file__, "exec"), namespace)  # noqa: S102 - as above
        self.assertEqual(self.warnings(namespace["made"]), [])


class SuperfluousTests(Verifying):
    """
    Public methods that the IDL does not have.
    """

    def test_warning(self) -> None:
        """
        One is a warning, unless it is marked C{local}, private, no method, or of
        another interface.
        """

        class IOther(Interface):
            def elsewhere() -> None:
                """Not ours."""

        @implementer(IOther)
        class Calc:
            limit = 3

            class Inner:
                pass

            def go(self) -> int: ...
            def _private(self) -> int: ...
            def elsewhere(self) -> None: ...
            def extra(self) -> int: ...
            @local
            def meant(self) -> int: ...
            @local
            @staticmethod
            def static() -> int: ...
            @property
            def size(self) -> int: ...

        (warning,) = self.verify("int go()", Calc()).findings
        self.assertEqual(
            str(warning).split("  (")[0],
            "s.idl:1:9: extra: warning: Calc.extra is public and not in the IDL;"
            " mark it @local if that is meant",
        )


class UnenforcedTests(Verifying):
    """
    What the IDL asks for and nothing would do.
    """

    def test_auth(self) -> None:
        """
        A method that needs a permission is refused; a public one is not.
        """
        found = self.verify(
            '@auth(role="teller") int go()', types.SimpleNamespace(go=lambda: 0)
        )
        (fault,) = found.faults
        self.assertEqual(str(fault), "s.idl:2:1: go: @auth cannot be enforced yet")
        self.assertFits("@auth(public=true) int go()", lambda: 0)


class OrderTests(Verifying):
    """
    The whole of it.
    """

    def test_all_at_once(self) -> None:
        """
        Everything is found at once, in the order of the IDL.
        """
        implementation = types.SimpleNamespace(one=lambda: 0, three=lambda b, a: 0)
        found = self.verify(
            "int one(int a)\nint two()\nint three(int a, int b)", implementation
        )
        self.assertEqual([it.place.line for it in found.findings], [2, 3, 4])
