# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
The limits of a store.
"""

from __future__ import annotations

from typing import Final

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


#: Characters that the name of a server may have.
_NODE: Final = 100


def check_node(name: str) -> None:
    """
    @raise ValueError: it is no name of a server.
    """
    if len(name) > _NODE or not name.isprintable():
        raise ValueError(
            f"node is {name[:200]!r}: at most {_NODE} characters that can be printed"
        )
