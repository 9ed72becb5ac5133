# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
The limits of a store.
"""

from __future__ import annotations

from twisted_rpc.wire.limits import KIB


def check_bounds(**numbers: float) -> None:
    """
    @raise ValueError: one of these limits cannot be kept; the text says why.
    """
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{name} is {value}: it must be above 0")
    total = numbers["total_bytes"]
    if total < 64 * KIB:
        raise ValueError(f"total_bytes is {total}: it must be at least 65536")
