# -*- test-case-name: tests.server.test_verify -*-
"""
What is wrong with an implementation, and where: in the IDL and in Python.
"""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted_rpc.idl.model import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing in which an implementation differs from the IDL.

    @ivar place: in the IDL.
    @ivar method: the method, or C{""} for the whole.
    @ivar message: what was found and what was expected.
    @ivar source: in Python, C{"file:line"}, or C{""} where it is not known.
    @ivar warning: it can be served nevertheless.
    """

    place: Place
    method: str
    message: str
    source: str = ""
    warning: bool = False

    def __str__(self) -> str:
        parts = [str(self.place)]
        if self.method:
            parts.append(self.method)
        if self.warning:
            parts.append("warning")
        parts.append(self.message)
        return ": ".join(parts) + (f"  ({self.source})" if self.source else "")


class RegistrationError(Exception):
    """
    An implementation cannot be served.

    @ivar subject: what it is and where, C{"Bank (app/bank.py:14)"}.
    @ivar service: the service.
    @ivar faults: what must be mended, at least one.
    @ivar warnings: what was found besides.
    """

    def __init__(
        self,
        subject: str,
        service: str,
        faults: Sequence[Finding],
        warnings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(subject, service, tuple(faults), tuple(warnings))
        self.subject = subject
        self.service = service
        self.faults = tuple(faults)
        self.warnings = tuple(warnings)

    def __str__(self) -> str:
        counts = _counted(self.faults, "fault")
        if self.warnings:
            counts += ", " + _counted(self.warnings, "warning")
        findings = in_order([*self.faults, *self.warnings])
        return "\n".join(
            [
                f"{self.subject} cannot serve {self.service}: {counts}",
                *map(str, findings),
            ]
        )


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """
    C{findings} as the IDL's text goes.
    """
    return sorted(
        findings,
        key=lambda it: (it.place.path, it.place.line, it.place.column, it.warning),
    )


def name_of(implementation: Any) -> str:
    """
    What a person calls C{implementation}: its class, or the module's name.
    """
    if isinstance(implementation, types.ModuleType):
        return implementation.__name__
    if isinstance(implementation, type):
        return implementation.__name__
    return type(implementation).__name__


def source_of(thing: Any) -> str:
    """
    Where a class, module or function stands, C{"file:line"}; C{""} if unknown.
    """
    if isinstance(thing, types.ModuleType):
        return relative(getattr(thing, "__file__", None) or "")
    if callable(thing) and not isinstance(thing, type):
        code = getattr(underlying(thing), "__code__", None)
        if code is not None:
            return f"{relative(code.co_filename)}:{code.co_firstlineno}"
    return _class_source(thing if isinstance(thing, type) else type(thing))


def described(implementation: Any) -> str:
    """
    Its name, and where it stands: C{"Bank (app/bank.py:14)"}.
    """
    thing = implementation
    if not isinstance(thing, (type, types.ModuleType)):
        thing = type(thing)
    source = source_of(thing)
    name = name_of(implementation)
    return f"{name} ({source})" if source else name


def relative(path: str) -> str:
    """
    C{path} from the current directory, if it is below that.
    """
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def underlying(function: Any) -> Any:
    """
    The function that a person wrote: within a method, a C{partial}, an instance
    with C{__call__} and decorators that keep C{__wrapped__}.
    """
    # A bound, because an object with __getattr__ may have any attribute.
    for _ in range(100):
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isfunction(function):
            if not hasattr(function, "__wrapped__"):
                break
            function = function.__wrapped__
        elif isinstance(function, type) or inspect.isroutine(function):
            break
        else:
            function = type(function).__call__
    return function


def _class_source(cls: type) -> str:
    path, line = _class_place(cls)
    return f"{relative(path)}:{line}" if line else ""


@functools.lru_cache(maxsize=1024)
def _class_place(cls: type) -> tuple[str, int]:
    """
    @return: its file and line.  To find them takes the time of reading the whole
        file, and a simulation registers the same class in each life of a server.
    """
    try:
        path = inspect.getsourcefile(cls)
        return os.fspath(path or ""), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        # Built in, or made while the program runs.
        return "", 0


def _counted(findings: Sequence[Finding], word: str) -> str:
    return f"{len(findings)} {word}{'' if len(findings) == 1 else 's'}"
