# -*- test-case-name: tests.client.interceptors.test_breaking -*-
"""
What an answer says of the server.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.python.failure import Failure

from twisted_rpc.errors import Code, RPCError

#: Codes by which a server, or its silence, says that it cannot.
NOT_SERVED: Final = frozenset(
    {
        Code.UNAVAILABLE,
        Code.RESOURCE_EXHAUSTED,
        Code.DEADLINE_EXCEEDED,
        Code.OUTCOME_UNKNOWN,
        Code.IN_PROGRESS,
    }
)


def served(result: Any) -> bool | None:
    """
    @param result: how a call ended.

    @return: whether the server took it; that the implementation failed is no
        sign of a server that cannot.  C{None}: nothing can be said.
    """
    if not isinstance(result, Failure):
        return True
    error = result.value
    if not isinstance(error, RPCError):
        return None
    return error.executed == "yes" or error.code not in NOT_SERVED
