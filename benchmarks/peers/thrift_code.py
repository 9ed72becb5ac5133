"""
What the compiler of Thrift makes of C{benchmark.thrift}, made when this is asked.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import thrift  # noqa: F401 - the generated modules need it

SOURCE = Path(__file__).with_name("benchmark.thrift")


def generated(language: str) -> tuple[Any, Any]:
    """
    @param language: C{"py"} or C{"py:twisted"}.

    @return: the modules of the service and of its types.

    @raise ImportError: there is no compiler.
    """
    compiler = shutil.which("thrift")
    if compiler is None:
        raise ImportError("the thrift compiler: apt-get install thrift-compiler")
    folder = mkdtemp(prefix="benchmark-thrift-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        [compiler, "--gen", language, "-out", folder, SOURCE],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    sys.path.insert(0, folder)
    return import_module("benchmark.Benchmark"), import_module("benchmark.ttypes")


class Implementation:
    """The service."""

    def add(self, a: int, b: int) -> int:
        """C{a + b}."""
        return a + b

    def echo(self, text: str) -> str:
        """C{text}."""
        return text

    def store(self, order: Any) -> Any:
        """C{order}."""
        return order
