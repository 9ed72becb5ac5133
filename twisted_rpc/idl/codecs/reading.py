# -*- test-case-name: tests.idl.test_codec -*-
"""
Decoders, put together from the checks that their types need.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl.codecs.facts import Facts
from twisted_rpc.idl.codecs.hostile import Guard, read_slowly
from twisted_rpc.idl.python.enumeration import keeping_unknown

Read = Callable[[bytes], Any]

#: Longer than any message.
_ANY_SIZE: Final = sys.maxsize


class Reader:
    """
    Decodes bytes, or raises anything.

    @ivar swift: for bytes that are too short to do harm.
    @ivar harmless: the longest of them.
    @ivar careful: for all others; looks at the bytes before.
    """

    __slots__ = ("careful", "harmless", "swift")

    def __init__(
        self,
        annotation: Any,
        facts: Facts,
        guard: Guard,
        *,
        after: Callable[[Any], Any] | None = None,
        reply: bool = False,
        is_list: bool = False,
    ) -> None:
        """
        @param after: what checks or changes the value that msgspec gives; it
            returns the value.
        @param reply: whether enums keep values that this side does not know.
        @param is_list: whether it is a list of parameters.
        """
        self.swift: Read = msgspec.json.Decoder(annotation).decode
        self.careful: Read = self.swift
        self.harmless = _ANY_SIZE
        if facts.guarded:
            self.harmless = guard.harmless
            self.careful = _guarded(annotation, self.swift, guard, is_list=is_list)
        if after is not None:
            self._wrap(lambda read: lambda raw: after(read(raw)))
        if reply and facts.closed:
            self._wrap(keeping_unknown)

    def _wrap(self, wrapper: Callable[[Read], Read]) -> None:
        self.swift, self.careful = wrapper(self.swift), wrapper(self.careful)

    def decoder(
        self,
        fault: Callable[[bytes, Exception], InvalidValue],
        inspect: Callable[[bytes], None] | None = None,
    ) -> Read:
        """
        @param fault: makes the error to raise.
        @param inspect: looks at the bytes of a value that was decoded, and raises
            InvalidValue for what no sender of ours writes.
        @return: a function that raises InvalidValue and nothing else.
        """
        swift, harmless, careful = self.swift, self.harmless, self.careful
        if inspect is not None:
            swift, careful = _inspected(swift, inspect), _inspected(careful, inspect)

        def decode(raw: bytes) -> Any:
            try:
                return swift(raw)
            except Exception as error:  # noqa: BLE001 - hostile bytes raise anything
                raise fault(raw, error) from None

        def decode_guarded(raw: bytes) -> Any:
            try:
                return swift(raw) if len(raw) <= harmless else careful(raw)
            except Exception as error:  # noqa: BLE001 - hostile bytes raise anything
                raise fault(raw, error) from None

        return decode if harmless == _ANY_SIZE else decode_guarded


def _inspected(read: Read, inspect: Callable[[bytes], None]) -> Read:
    def read_inspected(raw: bytes) -> Any:
        value = read(raw)
        inspect(raw)
        return value

    return read_inspected


def _guarded(annotation: Any, read: Read, guard: Guard, *, is_list: bool) -> Read:
    check = guard.check

    def read_guarded(raw: bytes) -> Any:
        raw = bytes(raw)
        return (
            read_slowly(annotation, raw) if check(raw, is_list=is_list) else read(raw)
        )

    return read_guarded
