"""
Tests for finding what C{--impl} names: every mistake is told with its place, and
without a traceback.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.idl import load_idl_text
from twisted_rpc.twistd.implementations import UnusableError, load, match

SOURCES = {
    "right": """
class Adder:
    def add(self, a, b): return a + b
class Both:
    def add(self, a, b): return a + b
    def name(self): return ""
class Needs:
    def __init__(self, what): pass
def make(): return Adder()
def forgets(): Adder()
async def later(): return Adder()
def deferred():
    from twisted.internet.defer import succeed
    return succeed(Adder())
def fails(): return {}["key"]
def leaves(): raise SystemExit("no database")
class Odd(type):
    def __getattr__(cls, name): raise ValueError("not that")
class Strange(metaclass=Odd): pass
ready = Adder()
""",
    "unfinished": "def f(:\n    pass\n",
    "incomplete": "import no_such_module_of_anybody\n",
    "broken": "\n\n1 / 0\n",
    "ending": "raise SystemExit(3)\n",
}


class ImplementationTests(SynchronousTestCase):
    """
    A package with modules of all kinds.
    """

    def setUp(self) -> None:
        """
        Write it.
        """
        folder = Path(self.mktemp()).absolute()
        self.package = f"impl_{os.getpid()}_{id(self)}"
        (folder / self.package).mkdir(parents=True)
        (folder / self.package / "__init__.py").write_text("", encoding="utf-8")
        for name, source in SOURCES.items():
            path = folder / self.package / f"{name}.py"
            path.write_text(source, encoding="utf-8")
        self.addCleanup(sys.path.__setitem__, slice(None), sys.path[:])
        self.patch(sys, "dont_write_bytecode", True)
        sys.path.insert(0, str(folder))

    def complaint(self, name: str) -> str:
        """
        @return: what is said about a name in the package.
        """
        error = self.assertRaises(UnusableError, load, f"{self.package}.{name}")
        self.assertNotIn("Traceback", str(error))
        return str(error)

    def test_found(self) -> None:
        """
        A class is instantiated, a function called, anything else used as it is;
        a colon before the name will do.
        """
        for name in ("right.Adder", "right.make", "right.ready", "right:Adder"):
            given = load(f"A={self.package}.{name}")
            self.assertEqual(given.service, "A")
            self.assertEqual(given.implementation.add(1, 2), 3)

    def test_mistakes(self) -> None:
        """
        What cannot be found, imported, called or used is named.
        """
        for name, said in (
            ("rihgt.Adder", "has no 'rihgt'"),
            ("right.Ader", "did you mean 'Adder'?"),
            ("right.Adder.", "write [Service=]module.Class"),
            ("unfinished.X", "unfinished.py:1: "),
            ("incomplete.X", "no_such_module_of_anybody"),
            ("broken.X", "broken.py:3: ZeroDivisionError"),
            ("ending.X", "ending.py:1: SystemExit: 3"),
            ("right.Needs", "cannot be called without arguments"),
            ("right.later", "it returns a coroutine"),
            ("right.deferred", "it returns a Deferred"),
            ("right.forgets", "the factory returns nothing"),
            ("right.fails", "KeyError: 'key'"),
            ("right.leaves", "no database"),
            ("right.Strange.made", "not that"),
        ):
            self.assertIn(said, self.complaint(name), name)

    def matched(self, idl: str, *texts: str) -> list[tuple[str, str]]:
        """
        @return: which service each implementation serves.
        """
        services = [*load_idl_text(idl).__idl__.services.values()]
        given = [load(text.replace("@", self.package)) for text in texts]
        found: Any = match(given, services)
        return [
            (service.name, type(one.implementation).__name__) for service, one in found
        ]

    def test_matched(self) -> None:
        """
        One that says which service it serves serves that; else the one it fits.
        """
        two = "service A { int add(int a, int b) } service B { string name() }"
        for texts in (
            ("A=@.right.Adder", "B=@.right.Both"),
            ("@.right.Adder", "B=@.right.Both"),
        ):
            self.assertEqual(
                sorted(self.matched(two, *texts)), [("A", "Adder"), ("B", "Both")]
            )
        for wrong, said in (
            (("C=@.right.Adder",), "the IDL has no service 'C'; it has A and B"),
            (("@.right.Both",), "it fits A and B; say which it serves"),
            (("@.right.Needs",), "without arguments"),
            (("A=@.right.Adder", "A=@.right.ready"), "both serve A; give it one"),
        ):
            error = self.assertRaises(UnusableError, self.matched, two, *wrong)
            self.assertIn(said, str(error))
        for text in ("@.right", "A=@.right"):
            error = self.assertRaises(UnusableError, self.matched, two, text)
            meant = text.replace("@", self.package)
            self.assertIn(f"did you mean its class: --impl {meant}.Both?", str(error))
        # It is an implementation itself, or nothing there is one.
        for name in ("later", "nowhere"):
            found = self.matched(f"service A {{ void {name}() }}", "@.right")
            self.assertEqual(found, [("A", "module")])
        other = "service B { string name() } service C { int count() }"
        error = self.assertRaises(UnusableError, self.matched, other, "@.right.Adder")
        self.assertIn("it fits none of B and C", str(error))
        self.assertIn("name: missing", str(error))
