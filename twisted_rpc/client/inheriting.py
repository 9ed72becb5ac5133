# -*- test-case-name: tests.client.test_inheriting -*-
"""
What a call takes over from the call that a server makes it for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.metadata import meta_fault

#: Of the metadata of a call, what goes on to the calls made for it.
#:
#: @see: U{Trace Context <https://www.w3.org/TR/trace-context/>} and
#:     U{Baggage <https://www.w3.org/TR/baggage/>}
PASSED_ON: Final = ("traceparent", "tracestate", "baggage")


def passed_on(
    outer: Mapping[str, str], own: Mapping[str, str] | None, limits: Limits
) -> Mapping[str, str] | None:
    """
    @param outer: the metadata of the call that is being answered.
    @param own: that of the call that is made; it wins.

    @return: what is sent.  Nothing is passed on if both together would be above
        the limits: the call matters more than its trace.
    """
    trace = {name: outer[name] for name in PASSED_ON if name in outer}
    if not trace:
        return own
    both = {**trace, **(own or {})}
    return own if meta_fault(both, limits) else both
