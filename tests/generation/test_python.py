"""
Generated modules declare what there is at run time.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface

from tests.generation.programs import CLASHES, DIAMOND
from tests.idl.texts import BANK
from twisted_rpc.generation.python.module import python_module, python_stub
from twisted_rpc.idl import Enumeration, load_idl, load_idl_text
from twisted_rpc.idl.reader import read_file, read_text


def declared(text: str) -> list[ast.stmt]:
    """
    @return: what a module declares for type checkers.
    """
    (guarded,) = [each for each in ast.parse(text).body if isinstance(each, ast.If)]
    return guarded.body


class DeclarationTests(SynchronousTestCase):
    """
    Each declaration is compared with what the IDL becomes when it is loaded.
    """

    def compare(self, body: list[ast.stmt], owner: Any, count: int) -> None:
        """
        What the statements declare, C{owner} has.

        @param count: how many names there are at least.
        """
        seen = 0
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                self.compare_class(statement, getattr(owner, statement.name))
            elif isinstance(statement, ast.AnnAssign):
                assert isinstance(statement.target, ast.Name)
                name = statement.target.id
                if not name.startswith("_"):
                    self.compare_value(statement, getattr(owner, name))
            else:
                continue
            seen += 1
        self.assertGreaterEqual(seen, count)

    def compare_value(self, statement: ast.AnnAssign, value: Any) -> None:
        """
        A constant has the value that is declared, a union its structs.
        """
        if statement.value is None:
            return
        written = ast.unparse(statement.value)
        if "|" in written:
            self.assertEqual(len(get_args(value)), written.count("|") + 1)
        elif isinstance(value, int | str):
            self.assertEqual(ast.literal_eval(written), value)

    def compare_class(self, node: ast.ClassDef, found: Any) -> None:
        """
        A class has the members, values and methods that are declared.
        """
        doc = ast.get_docstring(node)
        if isinstance(found, type) and issubclass(found, Enumeration):
            self.assertEqual(list(names(node)), [each.name for each in found])
        elif isinstance(found, type) and issubclass(found, msgspec.Struct):
            fields = found.__struct_fields__
            self.assertEqual(set(names(node)) - set(fields), set())
            self.assertEqual(doc, found.__doc__ and found.__doc__.strip())
        elif isinstance(found, type) and issubclass(found, Exception):
            made: Any = found
            arguments = node.body[-1]
            assert isinstance(arguments, ast.FunctionDef)
            self.assertEqual(
                {each.arg for each in arguments.args.kwonlyargs},
                set(made.__signature__.parameters),
            )
        elif isinstance(found, type(Interface)):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    self.assertEqual(
                        [each.arg for each in method.args.args],
                        list(found[method.name].positional),
                    )
        elif isinstance(found, type):
            bases = [ast.unparse(each) for each in node.bases]
            self.assertIn(bases[-1], {"Protocol", "_Protocol"})
            self.assertEqual(
                [each.rpartition(".")[2] for each in bases[:-1]],
                [each.__name__ for each in found.__bases__ if each is not object],
            )
        else:
            self.compare(node.body, found, 1)

    def test_sample(self) -> None:
        """
        The sample, which uses every part of the language.
        """
        text = python_module(read_file(BANK), "bank.idl")
        self.compare(declared(text), load_idl(BANK), 20)

    def test_clashes(self) -> None:
        """
        A file in which every name gets in the way of another.
        """
        text = python_module(read_text(CLASHES), "clashes.idl")
        self.compare(declared(text), load_idl_text(CLASHES), 30)

    def test_stub(self) -> None:
        """
        A stub declares the same, and loads nothing.
        """
        file = read_file(BANK)
        stub = ast.parse(python_stub(file, "bank.idl")).body
        module = declared(python_module(file, "bank.idl"))
        self.assertEqual(*(list(defined(body)) for body in (stub, module)))
        self.assertNotIn("load_idl", python_stub(file, "bank.idl"))

    def test_same_text(self) -> None:
        """
        The same IDL makes the same text, which begins with format and digests.
        """
        texts = [python_module(read_file(BANK), "bank.idl") for _ in range(2)]
        self.assertEqual(*texts)
        digests = load_idl(BANK).__idl__.digests
        self.assertEqual(
            texts[0].splitlines()[2:5],
            ["# Format 1.", *(f"# {name} {each}" for name, each in digests.items())],
        )


def defined(body: list[ast.stmt]) -> Iterator[str]:
    """
    @return: the names of all classes and functions.
    """
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield node.name


def names(node: ast.ClassDef) -> Iterator[str]:
    """
    @return: the names that a class gives values or types.
    """
    for each in node.body:
        if isinstance(each, ast.Assign):
            yield ast.unparse(each.targets[0])
        elif isinstance(each, ast.AnnAssign):
            yield ast.unparse(each.target)


class ImportTests(SynchronousTestCase):
    """
    A generated module is imported like any other.
    """

    def test_import(self) -> None:
        """
        It is the loaded IDL, whose classes are found by its name; types that two
        imported files share are the same.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name, text in DIAMOND.items():
            (folder / name).write_text(text)
        top = read_file(folder / "top.idl")
        module = "tests_generated_top_idl"
        (folder / f"{module}.py").write_text(python_module(top, "top.idl"))
        self.patch(sys, "path", [str(folder), *sys.path])
        self.addCleanup(
            lambda: [sys.modules.pop(name) for name in [*sys.modules] if module in name]
        )
        loaded = import_module(module)
        self.assertEqual(loaded.left.Left.__module__, f"{module}.left")
        self.assertIs(import_module(f"{module}.left").Left, loaded.left.Left)
        self.assertIs(loaded.base.Thing, loaded.left.base.Thing)
        self.assertIs(loaded.right.class_.Kind, loaded.base.Kind)
        self.assertEqual(loaded.__file__, str(folder / f"{module}.py"))
