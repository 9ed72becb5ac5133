# -*- test-case-name: tests.server.test_verify -*-
"""
One method of the IDL, beside what should implement it.
"""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter as Python
from typing import Any

from twisted_rpc.idl.model import Place, Type
from twisted_rpc.idl.python.schema import MethodSchema, Parameter
from twisted_rpc.server.decorators import is_threaded
from twisted_rpc.server.verification.annotations import (
    UNRESOLVED,
    accepts,
    awaited,
    python_name,
    resolve,
    shown,
    signature,
    streamed,
    within,
)
from twisted_rpc.server.verification.findings import (
    Finding,
    name_of,
    source_of,
    underlying,
)
from twisted_rpc.server.verification.raising import raised

_POSITIONAL = (Python.POSITIONAL_ONLY, Python.POSITIONAL_OR_KEYWORD)


@dataclass(slots=True)
class Verification:
    """
    What was found out about an implementation.

    @ivar findings: in the order of the IDL; faults and warnings.
    @ivar functions: what to call, by the method's name in Python; each was
        looked up once, here.
    @ivar resolvers: what answers for the unknown calls of a method, by the
        method's name in Python.
    @ivar unchecked: annotations that could not be resolved, in words.
    """

    findings: list[Finding] = field(default_factory=list)
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    resolvers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        """What must be mended."""
        return [finding for finding in self.findings if not finding.warning]


class Comparison:
    """
    One method of the IDL beside what should implement it.
    """

    def __init__(
        self, method: MethodSchema, name: str, implementation: Any, found: Verification
    ) -> None:
        self.method = method
        self.name = name
        self.implementation = implementation
        self.found = found
        self.subject = f"{name_of(implementation)}.{name}"
        self.function: Any = None
        self.source = ""

    def look_up(self, extra: list[str]) -> None:
        """
        Get the attribute, this once, and check it.

        @param extra: public names that the IDL does not have; the one that was
            probably meant is taken out.
        """
        try:
            self.function = getattr(self.implementation, self.name)
        except AttributeError:
            self.missing(extra)
            return
        except Exception as error:  # noqa: BLE001 - the user's property raised
            self.fault(f"reading {self.subject} raised {type(error).__name__}: {error}")
            return
        if not callable(self.function):
            kind = type(self.function).__name__
            self.source = source_of(class_of(self.implementation))
            self.fault(f"{self.subject} is not callable: it is of type {kind}")
            return
        self.source = source_of(self.function)
        self.found.functions[self.name] = self.function
        self.check()

    def fault(self, message: str) -> None:
        """Note what must be mended."""
        self.note(message, warning=False)

    def note(
        self, message: str, *, warning: bool = True, place: Place | None = None
    ) -> None:
        """Note what was found, by default a warning at the method's place."""
        self.found.findings.append(
            Finding(
                place or self.method.model.place,
                self.name,
                message,
                self.source,
                warning,
            )
        )

    def missing(self, extra: list[str]) -> None:
        """There is no such attribute; say which one was probably meant."""
        meant = _closest(self.name, extra)
        if meant is None:
            self.source = source_of(class_of(self.implementation))
            self.fault("missing")
            return
        extra.remove(meant)
        self.source = source_of(getattr(self.implementation, meant))
        self.fault(f"missing; did you mean {name_of(self.implementation)}.{meant}?")

    def check(self) -> None:
        """Everything about a method that is there."""
        self.check_kind()
        self.check_raised()
        known = signature(self.function)
        if known is None:
            # A function of C code that does not say what it takes.
            return
        positional = [it for it in known.parameters.values() if it.kind in _POSITIONAL]
        if self.check_arity(known, positional) and self.check_names(positional):
            for ours, theirs in zip(self.method.params, positional, strict=False):
                self.check_default(ours, theirs)
                self.check_parameter(ours, theirs)
        self.check_result(known.return_annotation)

    def check_kind(self) -> None:
        """Coroutine, generator or neither, as the IDL has it."""
        function = self.function
        if not inspect.isroutine(function) and not isinstance(function, partial):
            function = type(function).__call__
        coroutine = inspect.iscoroutinefunction(function)
        if (self.method.threaded or is_threaded(self.function)) and coroutine:
            self.fault(
                f"{self.subject} is both @threaded and 'async def': a coroutine runs on"
                " the reactor, a threaded method blocks in a thread"
            )
        if self.method.delivery == "transactional" and coroutine:
            self.fault(
                f"{self.subject} is @transactional and 'async def': its transaction is"
                " in a thread of the database, where nothing can be awaited"
            )
        generator = inspect.isgeneratorfunction(function)
        stream = inspect.isasyncgenfunction(function)
        if not self.method.streams_result and (generator or stream):
            self.fault(
                f"{self.subject} is a generator,"
                f" the IDL says {self.method.model.result}"
            )
        elif self.method.streams_result and (generator or coroutine):
            what = "a generator" if generator else "'async def' without yield"
            self.fault(
                f"{self.subject} is {what}, the IDL says {self.method.model.result}:"
                " an async generator, or a function that returns an async iterator"
            )

    def check_raised(self) -> None:
        """An exception of the IDL arrives as what it is only if it is declared."""
        seen: set[type] = set()
        for cls, source in raised(self.function):
            if cls in seen or issubclass(cls, self.method.throws):
                continue
            seen.add(cls)
            self.found.findings.append(
                Finding(
                    self.method.model.place,
                    self.name,
                    f"raises {cls.__name__}, which is not in its throws: callers learn"
                    " its code and text, not its class and members",
                    source,
                    warning=True,
                )
            )

    def check_arity(self, known: inspect.Signature, positional: list[Python]) -> bool:
        """The IDL's parameters are passed by position, all of them."""
        names = _listed([it.name for it in self.method.params])
        count = len(self.method.params)
        forced = [
            it.name
            for it in known.parameters.values()
            if it.kind is Python.KEYWORD_ONLY and it.default is Python.empty
        ]
        needed = [it.name for it in positional if it.default is Python.empty]
        any_number = any(
            it.kind is Python.VAR_POSITIONAL for it in known.parameters.values()
        )
        if forced:
            self.fault(
                f"{self.subject} needs {', '.join(forced)} by keyword; the IDL's"
                f" parameters are passed by position: {names}"
            )
        elif len(needed) > count:
            self.fault(
                f"{self.subject} needs {_parameters(needed)},"
                f" the IDL has {count}: {names}"
            )
        elif len(positional) < count and not any_number:
            taken = _parameters([it.name for it in positional])
            self.fault(f"{self.subject} takes {taken}, the IDL has {count}: {names}")
        else:
            return True
        return False

    def check_names(self, positional: list[Python]) -> bool:
        """The IDL's names, in the IDL's order."""
        ours = [_bare(it.name) for it in self.method.params]
        theirs = [_bare(it.name) for it in positional[: len(ours)]]
        misplaced = [
            name for i, name in enumerate(theirs) if name in ours and name != ours[i]
        ]
        if misplaced:
            names = ", ".join(it.name for it in positional[: len(ours)])
            self.fault(f"{self.subject} has its parameters in another order: {names}")
            return False
        for parameter, python in zip(self.method.params, positional, strict=False):
            if _bare(parameter.name) != _bare(python.name):
                self.note(
                    f"parameter '{parameter.name}' is called '{python.name}'",
                    place=parameter.model.place,
                )
        return True

    def check_default(self, ours: Parameter, theirs: Python) -> None:
        """The IDL's default is the one that counts."""
        if theirs.default is Python.empty:
            return
        if not ours.has_default:
            self.note(
                f"parameter '{ours.name}' has the default {theirs.default!r},"
                " in the IDL it has none: it must be passed",
                place=ours.model.place,
            )
        elif not _same(ours.default, theirs.default):
            self.note(
                f"parameter '{ours.name}' has the default {theirs.default!r},"
                f" the IDL's is {ours.default!r} and counts",
                place=ours.model.place,
            )

    def check_parameter(self, ours: Parameter, theirs: Python) -> None:
        """The annotation must take whatever the IDL lets pass."""
        annotation = self.resolve(theirs.annotation, f"parameter '{ours.name}'")
        kind = ours.model.type
        if not accepts(annotation, kind):
            self.note(
                f"'{theirs.name}' is annotated {shown(theirs.annotation)},"
                f" the IDL says {_said(kind)}",
                warning=False,
                place=ours.model.place,
            )

    def check_result(self, written: Any) -> None:
        """The annotation must be no more than what the IDL lets pass."""
        annotation = self.resolve(written, "the result")
        kind = self.method.model.result
        inner = inspect.isgeneratorfunction(underlying(self.function))
        kinds = awaited(annotation, generator=inner)
        if self.method.streams_result:
            kinds = [streamed(it) for it in kinds]
            kind = kind.args[0]
        if any(it is None or not within(it, kind) for it in kinds):
            self.fault(
                f"the result is annotated {shown(written)},"
                f" the IDL says {_said(self.method.model.result)}"
            )

    def resolve(self, annotation: Any, what: str) -> Any:
        """What the annotation means; it is noted if that cannot be known."""
        resolved = resolve(annotation, underlying(self.function))
        if resolved is UNRESOLVED:
            self.found.unchecked.append(
                f"{self.subject}: {what} is annotated {shown(annotation)},"
                f" which cannot be resolved  ({self.source})"
            )
            return Any
        return resolved


def class_of(implementation: Any) -> Any:
    """
    Where its methods are written: its class, or the class or module it is.
    """
    if isinstance(implementation, (type, types.ModuleType)):
        return implementation
    return type(implementation)


def _closest(name: str, names: Sequence[str]) -> str | None:
    folded = {it.lower(): it for it in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _bare(name: str) -> str:
    # '_b' says in Python that b is not used; 'from_' that 'from' is a keyword.
    return name.strip("_")


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, (tuple, frozenset)) and isinstance(ours, (list, set)):
        return type(ours)(theirs) == ours
    return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)


def _said(kind: Type) -> str:
    text, python = str(kind), python_name(kind)
    return text if python in (text, "object") else f"{text} ({python})"


def _parameters(names: Sequence[str]) -> str:
    if not names:
        return "no parameters"
    return (
        f"{len(names)} parameter{'' if len(names) == 1 else 's'} ({', '.join(names)})"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
