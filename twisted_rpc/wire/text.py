# -*- test-case-name: tests.wire.test_client_rules -*-
"""
JSON at its edges: what no codec of ours may read or write.

msgspec reads and writes the messages.  What it leaves open is closed here:
the id of a message it cannot read; names that occur twice.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted_rpc.structure import too_deep
from twisted_rpc.wire.limits import KIB

#: Above this a message that cannot be read is not read a second time for its id.
RECOVERABLE = 64 * KIB

_ID = re.compile(rb'\A\s*\{\s*"request_id"\s*:\s*"([^"\\\x00-\x1f]{1,128})"')


def recover_id(text: bytes) -> str | None:
    """
    Find the id of a request that is not legal JSON, or not a legal message.

    @return: the id, or C{None}: there is none that could be answered.
    """
    # Where the id stands in front, as every known peer writes it, it is found
    # without reading the rest.
    found = _ID.match(text)
    if found is not None:
        try:
            in_front = found.group(1).decode()
        except UnicodeDecodeError:
            return None
        return in_front if legal_id(in_front) else None
    if len(text) > RECOVERABLE or too_deep(text, 64):
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    found_id = message.get("request_id")
    return found_id if isinstance(found_id, str) and legal_id(found_id) else None


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def legal_id(request_id: str) -> bool:
    """
    Whether it has 1 to 128 characters and none that is a control character.
    """
    return 0 < len(request_id) <= 128 and (
        (request_id.isascii() and request_id.isprintable())
        or not _CONTROL.search(request_id)
    )


def legal_principal(principal: str) -> bool:
    """
    Whether it has 1 to 512 characters and none that is a control character: what
    every store can keep, and index.
    """
    return 0 < len(principal) <= 512 and not _CONTROL.search(principal)


_SESSION = re.compile("[A-Za-z0-9_-]{1,64}")


def legal_session(session: str) -> bool:
    """
    Whether a server may have issued it.
    """
    return _SESSION.fullmatch(session) is not None


def repeated_name(text: bytes) -> str | None:
    """
    @return: a name that occurs twice in one object of C{text}, or C{None}.
        Every common reader takes the last (RFC 8259, section 4), so this is
        asked only where C{--strict-json} says so: it reads the text again, 2 to
        7 us for 120 bytes.
    """
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                found.append(name)
            names.add(name)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None
