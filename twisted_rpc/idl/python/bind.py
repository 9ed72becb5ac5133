# -*- test-case-name: tests.idl.test_schema -*-
"""
From what a caller passes to positional arguments, as Python itself would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Named(Protocol):
    """Anything with a name; here a parameter."""

    @property
    def name(self) -> str:
        """In Python."""


Arguments = tuple[Any, ...]
Bind = Callable[[Arguments, Mapping[str, Any]], Arguments]
Factories = Sequence[Callable[[], Any] | None]


def binder(method: str, params: Sequence[Named], factories: Factories) -> Bind:
    """
    @param method: its name, for the texts of errors.
    @param factories: what makes the default of each parameter; C{None} or
        missing if it has none.
    @return: a function of C{args, kwargs} that returns the positional
        arguments.  Those left out at the end stay out; a gap before a passed
        one is filled with the default.  It raises TypeError in Python's words.
    """
    names = tuple(each.name for each in params)
    defaults = (*factories, *[None] * (len(names) - len(factories)))
    count = len(names)

    def bind(args: Arguments, kwargs: Mapping[str, Any]) -> Arguments:
        if not kwargs and len(args) == count:
            return args
        return _bind(method, names, defaults, args, kwargs)

    return bind


def _bind(
    method: str,
    names: tuple[str, ...],
    defaults: Factories,
    args: Arguments,
    kwargs: Mapping[str, Any],
) -> Arguments:
    if len(args) > len(names):
        raise TypeError(_too_many(method, defaults, len(args)))
    _check_names(method, names, args, kwargs)
    last = max((names.index(name) + 1 for name in kwargs), default=0)
    missing = [
        name
        for name, default in zip(names[len(args) :], defaults[len(args) :], strict=True)
        if default is None and name not in kwargs
    ]
    if missing:
        raise TypeError(_missing(method, missing))
    between = zip(names[len(args) : last], defaults[len(args) : last], strict=True)
    return (
        *args,
        *(
            kwargs[name] if name in kwargs or default is None else default()
            for name, default in between
        ),
    )


def _check_names(
    method: str, names: tuple[str, ...], args: Arguments, kwargs: Mapping[str, Any]
) -> None:
    for name in kwargs:
        if name not in names:
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}")
        if names.index(name) < len(args):
            raise TypeError(f"{method}() got multiple values for argument {name!r}")


def _too_many(method: str, defaults: Factories, given: int) -> str:
    required, most = sum(each is None for each in defaults), len(defaults)
    takes = f"{most}" if required == most else f"from {required} to {most}"
    plural = "" if most == 1 else "s"
    were = "was" if given == 1 else "were"
    return (
        f"{method}() takes {takes} positional argument{plural} but {given} {were} given"
    )


def _missing(method: str, names: list[str]) -> str:
    quoted = [repr(name) for name in names]
    listed = quoted[-1]
    if len(quoted) == 2:
        listed = " and ".join(quoted)
    elif len(quoted) > 2:
        listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
    plural = "" if len(names) == 1 else "s"
    count = f"{len(names)} required positional argument{plural}"
    return f"{method}() missing {count}: {listed}"
