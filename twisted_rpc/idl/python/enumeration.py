# -*- test-case-name: tests.idl.test_types -*-
"""
The base class of the IDL's enums, which keeps values it does not know.

A newer server may answer with a value that this side's IDL does not have.  Such
a value is kept in replies, so that an old client survives it, and refused in
requests, unless the enum is C{@open}.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class _Reading(threading.local):
    """
    Whether this thread decodes a reply just now.

    msgspec asks C{_missing_} in the middle of decoding and tells it nothing
    else, and several threads may decode at once.
    """

    reply = False


_reading = _Reading()
_unknown: WeakValueDictionary[tuple[type, str], Enumeration] = WeakValueDictionary()
_lock = threading.Lock()


class Enumeration(enum.Enum):
    """
    An enum of an IDL.

    @ivar value: the text on the wire.
    @ivar known: C{False} if the peer sent a text that this side's IDL does not
        have.  Equal texts give the same object, which can be sent back.
    """

    @property
    def known(self) -> bool:
        """Whether this side's IDL has the value."""
        return type(self)._value2member_map_.get(self._value_) is self

    @classmethod
    def _missing_(cls, value: object) -> Any:
        rules: tuple[bool, dict[str, str]] = getattr(cls, "__idl_rules__", (False, {}))
        is_open, aliases = rules
        if not isinstance(value, str):
            return None
        if value in aliases:
            return cls(aliases[value])
        return keep_unknown(cls, value) if is_open or _reading.reply else None

    def __reduce_ex__(self, proto: Any) -> tuple[Any, ...]:
        """
        Pickle an unknown value as what it is.
        """
        if self.known:
            return type(self), (self._value_,)
        return keep_unknown, (type(self), self._value_)

    def __repr__(self) -> str:
        shown = f"{self._name_}" if self.known else "unknown"
        return f"<{type(self).__name__}.{shown}: {self._value_!r}>"


def keep_unknown(cls: type[Enumeration], value: str) -> Enumeration:
    """
    Make a value that C{cls} does not have, or find the one made before.

    @return: the same object for the same text, as long as somebody holds it.
    """
    with _lock:
        kept = _unknown.get((cls, value))
        if kept is None:
            kept = object.__new__(cls)
            kept._name_ = kept._value_ = value
            _unknown[cls, value] = kept
    return kept


def keeping_unknown(decode: Callable[[Any], T]) -> Callable[[Any], T]:
    """
    Let a decoder of replies keep values that its enums do not have.
    """

    def decode_reply(raw: Any) -> T:
        _reading.reply = True
        try:
            return decode(raw)
        finally:
            _reading.reply = False

    return decode_reply
