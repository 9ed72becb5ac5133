# -*- test-case-name: tests.test_stores -*-
"""
The store of calls that a text names: C{memory}, C{sqlite:calls.db},
C{postgresql://...}, C{redis://...}.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.quantities import duration, size


def _whole(text: str) -> int:
    # Not the digits of other scripts, nor more of them than int() reads.
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or not int(text):
        raise ValueError(f"{text[:40]!r} is not a whole number of 1 or more")
    return int(text)


def _yes(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes"


#: What the kinds of store have in common, and how each is written.
LIMITS: Final[Mapping[str, Callable[[str], Any]]] = {
    "retention": duration,
    "window": _whole,
    "waiters": _whole,
    "session_bytes": size,
    "principal_bytes": size,
    "total_bytes": size,
    "sessions_per_principal": _whole,
    "sessions": _whole,
}

_SHARED: Final[Mapping[str, Callable[[str], Any]]] = {**LIMITS, "patience": duration}

_POSTGRES: Final[Mapping[str, Callable[[str], Any]]] = {
    **_SHARED,
    "lease": duration,
    "connections": _whole,
}

_REDIS: Final[Mapping[str, Callable[[str], Any]]] = {
    **_SHARED,
    "lease": duration,
    "once": _yes,
    "prefix": str,
}

_FORMS: Final = (
    "memory[:NAME=VALUE,...], sqlite:PATH[?NAME=VALUE&...],"
    " postgresql://USER@HOST/DATABASE[?NAME=VALUE&...] or"
    " redis://HOST[/DATABASE][?NAME=VALUE&...]"
)


def named_store(text: str, *, node: str = "", create: bool = True) -> Any:
    """
    Make the store that C{text} names.

    @param node: the name of this server among those that share it; C{""}: that
        of the machine.
    @param create: C{False}: one that has no records yet does not start.

    @raise ValueError: there is no such store; what it says is for a person.
    """
    kind, _, rest = text.partition(":")
    make = _KINDS.get(kind)
    if make is None:
        hint = difflib.get_close_matches(kind, _KINDS, n=1, cutoff=0.7)
        if not hint and kind == text and ("." in text or "/" in text):
            # It looks like a file.
            hint = [f"sqlite:{text}"]
        meant = f"did you mean {hint[0]}?" if hint else f"write {_FORMS}"
        raise ValueError(f"there is no store {kind!r}; {meant}")
    return make(rest, {"node": node, "create": create})


def _memory(rest: str, shared: Mapping[str, Any]) -> MemoryStore:  # noqa: ARG001 - as the others
    return MemoryStore(**_values("memory", rest, ",", LIMITS))


def _sqlite(rest: str, shared: Mapping[str, Any]) -> SQLiteStore:
    path, _, options = rest.partition("?")
    path = unquote(path.removeprefix("//") if path.startswith("///") else path)
    return SQLiteStore(path, **shared, **_values("sqlite", options, "&", _SHARED))


def _postgresql(rest: str, shared: Mapping[str, Any]) -> Any:
    from twisted_rpc.delivery.sql.postgres import (  # noqa: PLC0415 - an extra
        PostgresStore,
    )

    url, options = _split_query(f"postgresql:{rest}", _POSTGRES)
    values = _values("postgresql", options, "&", _POSTGRES)
    try:
        return PostgresStore(url, **shared, **values)
    except ImportError as error:
        raise ValueError(str(error)) from error


def _redis(rest: str, shared: Mapping[str, Any]) -> Any:
    from twisted_rpc.delivery.redis.store import (  # noqa: PLC0415 - an extra
        RedisStore,
    )

    url, _, options = f"redis:{rest}".partition("?")
    try:
        values = _values("redis", options, "&", _REDIS)
    except ValueError:
        if "@" not in options:
            raise
        # It may be a part of a password that an error should not quote.
        url, values = f"redis:{rest}", {}
    try:
        return RedisStore(url, **shared, **values)
    except ImportError as error:
        raise ValueError(str(error)) from error


def _split_query(
    url: str, known: Mapping[str, Callable[[str], Any]]
) -> tuple[str, str]:
    """
    Part what is ours in the query of a URL from what is its own.
    """
    address, _, query = url.partition("?")
    ours: list[str] = []
    theirs: list[str] = []
    for pair in filter(None, query.split("&")):
        name = pair.partition("=")[0].replace("-", "_")
        (ours if name in known else theirs).append(pair)
    return address + ("?" + "&".join(theirs) if theirs else ""), "&".join(ours)


_KINDS: Final[Mapping[str, Callable[[str, Mapping[str, Any]], Any]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "redis": _redis,
}


def _values(
    kind: str, text: str, separator: str, known: Mapping[str, Callable[[str], Any]]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in filter(None, text.split(separator)):
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ValueError(f"{pair!r} has no value; write {name}=...")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
            )
            raise ValueError(f"{kind} has no option {name!r}; {hint}")
        try:
            values[name] = known[name](value.strip())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return values
