# -*- test-case-name: tests.client.interceptors.test_caching -*-
"""
When two calls of a method ask the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import msgspec

from twisted_rpc.call import Request

#: Metadata that only traces a call.  C{baggage} is not: it may say for whom.
_TRACES = frozenset({"traceparent", "tracestate"})

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def question(request: Request, positions: Sequence[int] | None = None) -> Hashable:
    """
    @param positions: which parameters make a difference; C{None}: all.

    @return: equal for calls that have the same answer: with the same arguments,
        and the same metadata but for what only traces them.
    """
    params = bytes(request.params)
    asked: Hashable = params
    if positions is not None:
        given = _split(params)
        asked = tuple(bytes(given[at]) if at < len(given) else b"" for at in positions)
    return asked, _distinguishing(request.metadata)


def _distinguishing(metadata: Mapping[str, str]) -> Hashable:
    if not metadata:
        return None
    return (
        frozenset(each for each in metadata.items() if each[0] not in _TRACES) or None
    )
