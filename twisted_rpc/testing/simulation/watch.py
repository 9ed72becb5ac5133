# -*- test-case-name: tests.testing.test_simulation -*-
"""
The messages in what is written to connections.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

import msgspec

from twisted_rpc.wire.messages import ReplyMessage, RequestMessage

_LENGTH: Final = Struct("!I")
_requests: Final = msgspec.json.Decoder(RequestMessage)
_replies: Final = msgspec.json.Decoder(ReplyMessage)


class Frames:
    """
    What one end of a connection has written, as messages.
    """

    def __init__(self, *, requests: bool) -> None:
        self._decode: Any = _requests.decode if requests else _replies.decode
        self._held = b""

    def take(self, data: bytes) -> list[Any]:
        """
        @return: the messages that are whole now; what cannot be read is left
            out: it is somebody else's to complain about.
        """
        held = self._held + data if self._held else data
        messages = []
        offset = 0
        while len(held) - offset >= 4:
            (length,) = _LENGTH.unpack_from(held, offset)
            if len(held) - offset - 4 < length:
                break
            offset += 4
            try:
                messages.append(self._decode(held[offset : offset + length]))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
            offset += length
        self._held = held[offset:]
        return messages
