# -*- test-case-name: tests.wire.test_server -*-
"""
The metadata of a call: what is legal on both ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted_rpc.wire.limits import Limits


def meta_fault(meta: Mapping[str, str], limits: Limits) -> str:
    """
    @return: what is wrong with the metadata of a call, or C{""}.
    """
    if len(meta) > limits.max_meta_names:
        return f"meta has {len(meta)} names, above the limit of {limits.max_meta_names}"
    size = 0
    for name, text in meta.items():
        if not legal_meta_name(name):
            return f"meta name {name[:64]!r} is not of the form [a-z0-9._-]{{1,64}}"
        size += len(name) + len(text.encode())
    if size > limits.max_meta:
        return f"meta of {size} bytes exceeds the limit of {limits.max_meta} bytes"
    return ""


_META_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def legal_meta_name(name: str) -> bool:
    """
    Whether C{name} may stand in C{ext.meta}: C{[a-z0-9._-]{1,64}}.
    """
    return 0 < len(name) <= 64 and _META_CHARACTERS.issuperset(name)
