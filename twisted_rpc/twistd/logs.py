# -*- test-case-name: tests.test_tap -*-
"""
What C{twistd rpc} logs, how much of it, and how it is written.

A program that embeds a server sets up its log as it likes; this is for ours.
What others sent is escaped and cut before it is written (delivery.md, X8), so
that no peer can forge a line or fill a disk with one.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, Final, Literal

from constantly import NamedConstant
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    InvalidLogLevelError,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)

#: The parts whose levels can be set; their loggers are C{twisted_rpc.<part>}.
PARTS: Final = ("wire", "server", "client", "delivery", "idl", "calls")

Format = Literal["text", "json"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json")

#: Characters of one field, and of one message, that are written.
FIELD: Final = 256
MESSAGE: Final = 8192

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# What Twisted's older log adds to each event beside the fields.
_LEGACY = frozenset(
    {"time", "system", "message", "isError", "format", "logLevel", "failure", "why"}
)


def read_levels(texts: Iterable[str]) -> dict[str, NamedConstant]:
    """
    Understand C{--log-level}: C{"info"} for all, C{"wire=debug"} for a part.

    @return: levels by part; C{""} is the level of everything else.

    @raise ValueError: no such level, or no such part.
    """
    levels = {"": LogLevel.info}
    for text in texts:
        part, _, name = text.rpartition("=")
        if part not in PARTS and (part or "=" in text):
            raise ValueError(_unknown(part, "part of the log", PARTS))
        try:
            levels[part] = LogLevel.levelWithName(name)
        except InvalidLogLevelError:
            known = [level.name for level in LogLevel.iterconstants()]
            raise ValueError(_unknown(name, "log level", known)) from None
    return levels


def is_debugged(levels: Mapping[str, NamedConstant], part: str) -> bool:
    """
    Whether debug messages of C{part} are wanted.
    """
    return levels.get(part, levels[""]) is LogLevel.debug


def make_observer(
    out: IO[str],
    levels: Mapping[str, NamedConstant],
    form: Format = "text",
    worker: int = 0,
) -> ILogObserver:
    """
    An observer that writes to C{out} what C{levels} lets through.

    @param worker: which of several processes writes it; 0: it is the only one.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=levels[""])
    for part, level in levels.items():
        if part:
            predicate.setLogLevelForNamespace(f"twisted_rpc.{part}", level)
    write = partial(as_json if form == "json" else as_text, worker=worker)
    observer: ILogObserver = FilteringLogObserver(
        FileLogObserver(out, write), [predicate]
    )
    return observer


class Figures(dict[str, int]):
    """
    Counts by name: a field that is shown to its last figure.
    """

    def __str__(self) -> str:
        return ", ".join(f"{name} {figure}" for name, figure in self.items())


def as_text(event: LogEvent, worker: int = 0) -> str:
    """
    One event as a line; further lines of it, as a traceback's, are indented.
    """
    text = _CONTROL.sub(_escape, _message(event)).replace("\n", "\n\t")
    if not text:
        return ""
    level = event.get("log_level", LogLevel.info).name
    place = event.get("log_namespace") or event.get("log_system") or "-"
    who = f"worker {worker} " if worker else ""
    return f"{_time(event)} [{who}{place}#{level}] {text}\n"


def as_json(event: LogEvent, worker: int = 0) -> str:
    """
    One event as a JSON object on a line, with its fields beside the message.
    """
    fields = {
        name: _json_value(value)
        for name, value in event.items()
        if not name.startswith("log_") and name not in _LEGACY
    }
    shown: dict[str, Any] = {
        "time": _time(event),
        "level": event.get("log_level", LogLevel.info).name,
        **({"worker": worker} if worker else {}),
        "logger": event.get("log_namespace") or "-",
        "message": _cut(eventAsText(_cleaned(event), False, False, False), MESSAGE),
    }
    failure = event.get("log_failure")
    if failure is not None:
        shown["traceback"] = failure.getTraceback()
    return json.dumps(fields | shown) + "\n"


def clean(value: str, limit: int = FIELD) -> str:
    """
    C{value} on one line, without what a terminal obeys, and not too long.
    """
    return _LINES.sub(_escape, _cut(value, limit))


def _message(event: LogEvent) -> str:
    text = eventAsText(
        _cleaned(event),
        includeTraceback=True,
        includeTimestamp=False,
        includeSystem=False,
    )
    if event.get("log_failure") is None:
        text = _cut(text, MESSAGE)
    return text


def _cleaned(event: LogEvent) -> LogEvent:
    if not str(event.get("log_namespace", "")).startswith("twisted_rpc"):
        return event
    cleaned = dict(event)
    for name, value in event.items():
        if type(value) is str and not name.startswith("log_"):
            cleaned[name] = clean(value)
    return cleaned


def _time(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, Figures)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - a log must not fail for what it logs
        text = f"<{type(value).__name__}, whose text raised {type(error).__name__}>"
    return clean(text)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text)} characters)"


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _unknown(name: str, what: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"{name!r} is no {what}; {hint}"
