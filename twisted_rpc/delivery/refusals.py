# -*- test-case-name: tests.delivery.test_deduplicate -*-
"""
What a caller is told whose call is not run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted_rpc.call import Request
from twisted_rpc.delivery.table import Verdict
from twisted_rpc.errors import Code, RPCError, refusal

#: What the caller of a duplicate beyond the bound of waiters is told to wait, in
#: seconds.
_WAITERS_RETRY: Final = 0.1


def refused_by(verdict: Verdict, store: Any) -> RPCError:
    """
    @param store: has C{window}.
    """
    return _REFUSALS[verdict](store)


def known(error: BaseException) -> RPCError:
    """
    What is recorded of an error that ended a run.
    """
    if isinstance(error, RPCError):
        return error
    # Dispatch turns everything into RPCError but a KeyboardInterrupt.  The call
    # may have run, so it must not run again, and nothing of the cause is kept.
    return RPCError(Code.INTERNAL, "Internal error", executed="yes")


def not_committed(_: Request, error: Exception) -> RPCError:
    """
    What is told of a call whose effects its database does not commit.
    """
    return RPCError(Code.INTERNAL, f"{error}: nothing was committed", executed="no")


def stale(request: Request, floor: float) -> RPCError:
    """
    Row 12.

    @param floor: of the principal.
    """
    behind = floor - request.timestamp
    wall = getattr(request.origin, "wall", None)
    text = "this call may have run; its record is gone"
    if wall is not None and floor > 0:
        lag = wall() - request.timestamp
        if lag >= 1.0 and behind >= 0:
            text += (
                f"; the caller's clock is {lag:.0f} s behind the server's;"
                " see --sessionless-clock"
            )
    return refusal(Code.STALE_REQUEST, text, executed="unknown")


_REFUSALS: Final[dict[Verdict, Callable[[Any], RPCError]]] = {
    Verdict.SESSION_UNKNOWN: lambda store: refusal(
        Code.SESSION_UNKNOWN, "no such session", executed="unknown"
    ),
    Verdict.STALE: lambda store: refusal(
        Code.STALE_REQUEST,
        "this call may have run; its record is gone",
        executed="unknown",
    ),
    Verdict.BEYOND_WINDOW: lambda store: refusal(
        Code.RESOURCE_EXHAUSTED,
        f"seq is beyond the window of {store.window}",
        retry_after=_WAITERS_RETRY,
    ),
    Verdict.ID_REUSED: lambda store: refusal(
        Code.ID_REUSED, "this id belongs to a call with other parameters"
    ),
    Verdict.NOT_CACHED: lambda store: refusal(
        Code.RESULT_NOT_CACHED, "the call ran; its answer is not kept", executed="yes"
    ),
    Verdict.IN_DOUBT: lambda store: refusal(
        Code.OUTCOME_UNKNOWN,
        "the server stopped while this call ran",
        executed="unknown",
    ),
    Verdict.JOIN: lambda store: refusal(
        Code.IN_PROGRESS,
        "the call is running, and no more duplicates may wait for it",
        executed="unknown",
        retry_after=_WAITERS_RETRY,
    ),
    Verdict.WAIT: lambda store: refusal(
        Code.IN_PROGRESS,
        "another server runs the call",
        executed="unknown",
        retry_after=_WAITERS_RETRY,
    ),
}
