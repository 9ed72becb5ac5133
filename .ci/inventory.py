"""
Write the inventories that let C{L{Deferred}} in our docstrings be checked, and
linked, without asking the documentation's servers.

They hold what our modules import from elsewhere, under the names they import it
by, and the public attributes of the classes among it::

    python .ci/inventory.py PACKAGE FOLDER

writes C{python.inv}, C{twisted.inv} and C{others.inv} there.
"""

from __future__ import annotations

import ast
import builtins
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from zope.interface.interface import InterfaceClass

HEADER = b"""\
# Sphinx inventory version 2
# Project: imported names
# Version: 0
# The remainder of this file is compressed using zlib.
"""


def imported(package: Path) -> Iterator[tuple[str, str]]:
    """
    The pairs of module and name that the files of C{package} import; the name is
    C{""} for the module itself.
    """
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((node.module, alias.name) for alias in node.names)


def documented(module: str, name: str) -> Iterator[str]:
    """
    The full names that one import makes known: the module, what is public in it,
    and in a class that is imported from it.
    """
    yield module
    try:
        loaded = import_module(module)
    except ModuleNotFoundError:  # an extra, or of another version of Python
        return
    yield from (f"{module}.{each}" for each in dir(loaded) if each[0] != "_")
    found = getattr(loaded, name, None) if name else None
    if isinstance(found, type | InterfaceClass):
        yield from (f"{module}.{name}.{each}" for each in dir(found))


def twisted_page(name: str) -> str:
    """
    The page of C{name} below U{https://docs.twisted.org/en/stable/}.
    """
    return f"api/{name}.html"


def python_page(name: str) -> str:
    """
    The page of C{name} below U{https://docs.python.org/3/}.
    """
    return f"library/{name.rpartition('.')[0] or 'functions'}.html#{name}"


def project_page(name: str) -> str:
    """
    The page below U{https://pypi.org/project/} of the project that C{name} is of.
    """
    return "zope.interface/" if name.startswith("zope") else name.partition(".")[0]


def write(path: Path, names: set[str], page: Callable[[str], str]) -> None:
    """
    Write the inventory of C{names}.
    """
    lines = [f"{name} py:obj 1 {page(name)} -\n" for name in sorted(names)]
    path.write_bytes(HEADER + zlib.compress("".join(lines).encode()))


def main(package: Path, folder: Path) -> None:
    """
    Write the inventories for the modules of C{package}.
    """
    wanted = {
        (module, name)
        for module, name in imported(package)
        # Importing a reactor would install it.
        if module.partition(".")[0] != package.name and "reactor" not in (module, name)
    }
    names = {found for module, name in wanted for found in documented(module, name)}
    names |= {name for name in dir(builtins) if name[0] != "_"}
    twisted = {name for name in names if name.startswith("twisted.")}
    others = {
        name
        for name in names - twisted
        if "." in name and name.partition(".")[0] not in sys.stdlib_module_names
    }
    write(folder / "twisted.inv", twisted, twisted_page)
    write(folder / "others.inv", others, project_page)
    write(folder / "python.inv", names - twisted - others, python_page)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
