# -*- test-case-name: tests.server.test_agreement -*-
"""
Whether the two ends of a connection mean the same, said in a log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted_rpc.idl.evolution.changes import Change, Verdict
from twisted_rpc.idl.evolution.compare import compare_met
from twisted_rpc.idl.model import Service

#: How many findings are told; C{twisted-rpc breaking} tells all.
_TOLD: Final = 10


def difference(clients: Service, servers: Service) -> tuple[bool, str]:
    """
    @return: whether every message is read as it is meant, and what differs.
    """
    changes = compare_met(clients, servers)
    return compatible(changes), summary(changes)


def compatible(changes: Sequence[Change]) -> bool:
    """
    Whether every message of one side is read by the other as it is meant.
    """
    return all(it.verdict is not Verdict.WIRE for it in changes)


def summary(changes: Sequence[Change]) -> str:
    """
    @return: C{"compatible"}, or that it is not, and what differs, a line for
        each finding.
    """
    if not changes:
        return "compatible"
    word = "compatible, but not the same" if compatible(changes) else "not compatible"
    lines = [f"\n  {it.told('client')}" for it in changes[:_TOLD]]
    if len(changes) > _TOLD:
        lines.append(f"\n  and {len(changes) - _TOLD} more")
    return f"{word}:{''.join(lines)}"
