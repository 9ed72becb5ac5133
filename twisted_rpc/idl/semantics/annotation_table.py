# -*- test-case-name: tests.idl.test_meaning -*-
"""
Which annotations there are, what they may stand on, and what they take.

A table, so that adding one is adding an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

#: What a parameter of an annotation takes.  C{count} is a whole number of 1 or
#: more, C{attempts} one of 1 to L{MAX_ATTEMPTS}, C{size} one of 0 or more, C{bound}
#: a value of the annotated type, C{codes} a list of L{RETRIED_CODES}.
Kind = Literal[
    "string",
    "strings",
    "bool",
    "duration",
    "count",
    "attempts",
    "size",
    "bound",
    "codes",
]

#: What an annotation may stand on.
Where = Literal[
    "service",
    "method",
    "parameter",
    "member",
    "exception",
    "struct",
    "enum",
    "value",
    "union",
    "constant",
    "import",
    "namespace",
]

EVERYWHERE: Final[tuple[Where, ...]] = (
    "service",
    "method",
    "parameter",
    "member",
    "exception",
    "struct",
    "enum",
    "value",
    "union",
    "constant",
    "import",
    "namespace",
)


@dataclass(frozen=True)
class Shape:
    """
    @ivar on: what it may stand on.
    @ivar params: what it takes, in order.
    @ivar required: which of them must be given.
    @ivar at_least_one: whether it needs some argument.
    @ivar at_most_one: whether more than one exclude each other.
    @ivar example: how it is written.
    """

    on: tuple[Where, ...]
    params: Mapping[str, Kind] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    at_least_one: bool = False
    at_most_one: bool = False
    example: str = ""


_FIELD: Final[tuple[Where, ...]] = ("parameter", "member")
_CALLS: Final[tuple[Where, ...]] = ("service", "method")

#: The classes of delivery, of which a method has one.
DELIVERIES: Final = ("readonly", "idempotent", "once", "transactional")

SHAPES: Final[dict[str, Shape]] = {
    **{name: Shape(("method",), example=f"@{name}") for name in DELIVERIES},
    "timeout": Shape(_CALLS, {"time": "duration"}, ("time",), example="@timeout(2s)"),
    "retry": Shape(
        _CALLS,
        {
            "max_attempts": "attempts",
            "on": "codes",
            "initial": "duration",
            "max": "duration",
        },
        at_least_one=True,
        example="@retry(max_attempts=4)",
    ),
    "cache": Shape(
        ("method",),
        {"ttl": "duration", "vary": "strings"},
        ("ttl",),
        example="@cache(ttl=30s)",
    ),
    "auth": Shape(
        _CALLS,
        {"role": "string", "public": "bool"},
        at_least_one=True,
        at_most_one=True,
        example='@auth(role="teller") or @auth(public=true)',
    ),
    "rate_limit": Shape(
        _CALLS,
        {"calls": "count", "per": "duration"},
        ("calls", "per"),
        example="@rate_limit(100, per=1s)",
    ),
    "max_concurrency": Shape(
        _CALLS, {"calls": "count"}, ("calls",), example="@max_concurrency(4)"
    ),
    "threaded": Shape(_CALLS, example="@threaded"),
    "stream": Shape(
        ("method",), {"window": "count"}, ("window",), example="@stream(window=64)"
    ),
    "hedge": Shape(
        ("method",), {"quantile": "string"}, ("quantile",), example='@hedge("p95")'
    ),
    "http": Shape(
        ("method",),
        {
            "get": "string",
            "put": "string",
            "post": "string",
            "delete": "string",
            "patch": "string",
        },
        at_least_one=True,
        at_most_one=True,
        example='@http(get="/accounts/{id}")',
    ),
    "name": Shape(
        ("service", "method", "struct", "exception", "member"),
        {"name": "string"},
        ("name",),
        example='@name("wire")',
    ),
    "aliases": Shape(
        ("service", "method", "value"),
        {"names": "strings"},
        ("names",),
        example='@aliases(["old"])',
    ),
    "code": Shape(
        ("exception",), {"code": "string"}, ("code",), example='@code("NOT_FOUND")'
    ),
    "open": Shape(("enum",), example="@open"),
    "length": Shape(
        _FIELD,
        {"min": "size", "max": "size"},
        at_least_one=True,
        example="@length(min=1, max=140)",
    ),
    "range": Shape(
        _FIELD,
        {"min": "bound", "max": "bound"},
        at_least_one=True,
        example="@range(min=0, max=100)",
    ),
    "pattern": Shape(
        _FIELD, {"pattern": "string"}, ("pattern",), example='@pattern("[0-9]+")'
    ),
    "sensitive": Shape(("parameter", "member", "method"), example="@sensitive"),
    "reserved": Shape(
        ("struct", "exception", "enum", "service"),
        {"names": "strings"},
        ("names",),
        example='@reserved(["old"])',
    ),
    "deprecated": Shape(
        EVERYWHERE,
        {"reason": "string", "since": "string"},
        example='@deprecated("use EUR", since="1.2")',
    ),
    "since": Shape(
        EVERYWHERE, {"version": "string"}, ("version",), example='@since("1.2")'
    ),
    "version": Shape(
        ("service",), {"version": "string"}, ("version",), example='@version("1.4")'
    ),
}

#: How often a call is attempted at most, whatever C{@retry} says (delivery, C4).
MAX_ATTEMPTS: Final = 5

#: What C{@retry} may name: the codes that may be gone the next time.
RETRIED_CODES: Final = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "IN_PROGRESS")

#: What C{@code} may say: the rest say what became of a call, not why it failed.
EXCEPTION_CODES: Final = (
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "DATA_LOSS",
)
