"""
Where things stand, what they are called, and what imports what: the rules that
no other tool holds.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted_rpc

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "twisted_rpc"


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """
    The package's files, relative to it, and what is written in them.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text())


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """
    The full names that C{nodes} import.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """
    What runs when C{node} is imported: all below it but the bodies of functions.
    """
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def private_modules(name: str) -> Iterator[tuple[Path, str]]:
    """
    The private modules of ours on the way to C{name}, each with its folder.
    """
    folder = Path()
    for part in name.split(".")[1:]:
        if part.startswith("_") and (PACKAGE / folder / f"{part}.py").exists():
            yield folder, part
        folder /= part


class PluginTests(SynchronousTestCase):
    """
    The directory that lies inside somebody else's package.
    """

    def test_not_a_package(self) -> None:
        """
        C{twisted} and C{twisted/plugins} hide neither Twisted nor its plugins.
        """
        for folder in (ROOT / "twisted", ROOT / "twisted" / "plugins"):
            self.assertTrue(folder.is_dir())
            self.assertFalse((folder / "__init__.py").exists(), folder)

    def test_imports_nothing_of_ours(self) -> None:
        """
        The plugin, which every C{twistd} imports, imports C{ServiceMaker} alone.
        """
        text = (ROOT / "twisted" / "plugins" / "rpc_plugin.py").read_text()
        self.assertEqual(
            list(imports(ast.walk(ast.parse(text)))),
            ["twisted.application.service.ServiceMaker"],
        )


class VersionTests(SynchronousTestCase):
    """
    The version is written once.
    """

    def test_one_place(self) -> None:
        """
        Packaging reads the version where the program has it.
        """
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        self.assertEqual(project["project"]["dynamic"], ["version"])
        self.assertEqual(
            project["tool"]["setuptools"]["dynamic"]["version"],
            {"attr": "twisted_rpc._version.__version__"},
        )
        self.assertRegex(twisted_rpc.__version__, r"\A\d+\.\d+\.\d+(\.dev\d+)?\Z")

    def test_installed(self) -> None:
        """
        What is installed is what is imported.
        """
        try:
            installed = version("twisted_rpc")
        except PackageNotFoundError:
            installed = twisted_rpc.__version__  # run from the checkout
        self.assertEqual(installed, twisted_rpc.__version__)


class PublicTests(SynchronousTestCase):
    """
    The public names.
    """

    def test_documented(self) -> None:
        """
        The reference has an entry for each public name, and for no other.
        """
        page = (ROOT / "docs" / "reference" / "api.md").read_text()
        documented = re.findall(r"^### `(\w+)", page, re.MULTILINE)
        public = [name for name in twisted_rpc.__all__ if name != "__version__"]
        self.assertEqual(sorted(documented), sorted(public))

    def test_there(self) -> None:
        """
        Each public name can be had.
        """
        for name in twisted_rpc.__all__:
            self.assertTrue(hasattr(twisted_rpc, name), name)

    def test_typed(self) -> None:
        """
        Type checkers are told that the package is annotated.
        """
        self.assertTrue((PACKAGE / "py.typed").exists())


class ImportTests(SynchronousTestCase):
    """
    The import rules that are finer than import-linter's.
    """

    def test_no_reactor(self) -> None:
        """
        No module imports the reactor when it is imported: that would install one
        before the user has chosen.
        """
        found = [
            str(path)
            for path, module in modules()
            if "twisted.internet.reactor" in imports(at_import(module))
        ]
        self.assertEqual(found, [])

    def test_one_framing(self) -> None:
        """
        Only the transport knows Twisted's receiver of frames.
        """
        found = [
            str(path)
            for path, module in modules()
            if "twisted.protocols.basic.Int32StringReceiver"
            in imports(ast.walk(module))
        ]
        self.assertEqual(found, ["transport.py"])

    def test_private_modules(self) -> None:
        """
        Nobody imports a private module of another folder, but the version, which
        belongs to all.
        """
        found = [
            f"{path}: {name}"
            for path, module in modules()
            for name in imports(ast.walk(module))
            for folder, private in private_modules(name)
            if folder != path.parent and private != "_version"
        ]
        self.assertEqual(found, [])
