# -*- test-case-name: tests.client.test_retry -*-
"""
Attempting a call again: whether, and when.

Decisions only; L{twisted_rpc.client.calls} carries them out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from zope.interface import implementer

from twisted_rpc.errors import Code, RPCError
from twisted_rpc.interfaces import IRetryBudget, IRetryPolicy

#: Never more attempts than this, whatever a policy says (C4).
MAX_ATTEMPTS: Final = 5

#: Seconds after its first attempt in which a call is attempted again (D20):
#: servers keep a session without a connection, and what it holds, for longer.
RESEND_FOR: Final = 120.0

#: The codes that may be gone when the call is attempted again.
RETRIABLE: Final = frozenset(
    {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.IN_PROGRESS}
)

#: The server no longer knows the call: a call that may run twice is made anew.
FORGOTTEN: Final = frozenset(
    {
        Code.OUTCOME_UNKNOWN,
        Code.STALE_REQUEST,
        Code.SESSION_UNKNOWN,
        Code.RESULT_NOT_CACHED,
    }
)

#: Methods that may run more than once.
REPEATABLE: Final = frozenset({"readonly", "idempotent"})


def full_jitter(ceiling: float, chance: Callable[[], float] = random.random) -> float:
    """
    A delay drawn evenly from 0 to C{ceiling}, in seconds, so that clients that
    failed together do not come back together.

    @see: U{Exponential Backoff And Jitter
        <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>}
    """
    return ceiling * chance()


def _codes(codes: Iterable[Code | str]) -> frozenset[Code]:
    return frozenset(each if isinstance(each, Code) else Code(each) for each in codes)


@implementer(IRetryPolicy)
@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """
    Up to C{max_attempts} attempts, with growing and random delays.

    @ivar max_attempts: from 1, which is no retry, to 5.
    @ivar initial: the ceiling of the first delay, in seconds.
    @ivar maximum: the ceiling of any delay, in seconds.
    @ivar multiplier: what the ceiling grows by.
    @ivar on: the codes that are attempted again, of L{RETRIABLE}.
    @ivar chance: evenly from 0 to 1.
    """

    max_attempts: int = 4
    initial: float = 0.05
    maximum: float = 2.0
    multiplier: float = 2.0
    on: frozenset[Code] = RETRIABLE
    chance: Callable[[], float] = field(
        default=random.random, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """
        Refuse what would have no effect, or a bad one.
        """
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ValueError(
                f"max_attempts is {self.max_attempts}: from 1 to {MAX_ATTEMPTS}"
            )
        if not 0 <= self.initial <= self.maximum:
            raise ValueError(
                f"initial is {self.initial}, maximum {self.maximum}:"
                " seconds, 0 <= initial <= maximum"
            )
        if self.multiplier < 1:
            raise ValueError(f"multiplier is {self.multiplier}: 1 or more")
        object.__setattr__(self, "on", _codes(self.on))
        if not self.on <= RETRIABLE:
            wrong = ", ".join(sorted(code.value for code in self.on - RETRIABLE))
            raise ValueError(f"{wrong} cannot be retried: the answer would be the same")

    def delay(self, attempt: int, error: RPCError) -> float | None:
        """
        How long to wait before the next attempt.

        @param attempt: how many attempts have failed, 1 or more.
        @param error: how the last one failed.

        @return: seconds, or C{None} to give up.
        """
        if attempt >= self.max_attempts or error.code not in self.on:
            return None
        after = error.retry_after
        if after is None:
            ceiling = min(self.maximum, self.initial * self.multiplier ** (attempt - 1))
            return full_jitter(ceiling, self.chance)
        # What the server asks for wins, and a little more, so that those it
        # told the same do not come together (C6).
        return None if after < 0 else after * (1 + 0.2 * self.chance())


#: One attempt and no more.
NO_RETRY: Final = RetryPolicy(max_attempts=1)


@implementer(IRetryBudget)
class RetryBudget:
    """
    Retries of one server, as long as most calls succeed.

    A bucket of C{size} tokens: a failure worth a retry takes one, a success
    gives C{gain} back, and retries are made only above half.  It never waits:
    spent is failed.

    @see: U{gRFC A6
        <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-configuration>}
    """

    __slots__ = ("gain", "size", "tokens")

    def __init__(self, size: float = 10.0, gain: float = 0.1) -> None:
        self.size = size
        self.gain = gain
        self.tokens = size

    def failure(self) -> bool:
        """
        A failure worth a retry.

        @return: whether a retry may be made.
        """
        self.tokens = max(0.0, self.tokens - 1)
        return self.allows()

    def allows(self) -> bool:
        """
        Whether a retry may be made now.
        """
        return self.tokens > self.size / 2

    def success(self) -> None:
        """
        A call got its answer.
        """
        if self.tokens < self.size:
            self.tokens = min(self.size, self.tokens + self.gain)


class Step(Enum):
    """
    What is done with a call after an error.
    """

    FAIL = "fail"
    #: Once more under the same id.
    RETRY = "retry"
    #: Once more as a new call.
    ANEW = "anew"


def after_answer(error: RPCError, delivery: str, *, anew: bool) -> Step:
    """
    What the answer of a server leaves to be done (wire.md, section 8).

    @param delivery: the method's class.
    @param anew: the call was made anew once already.
    """
    if error.executed == "yes" and error.code is not Code.RESULT_NOT_CACHED:
        # The implementation has answered; it would answer the same again.
        return Step.FAIL
    if error.code in FORGOTTEN:
        return Step.ANEW if delivery in REPEATABLE and not anew else Step.FAIL
    if error.code is Code.RESOURCE_EXHAUSTED and error.executed != "no":
        return Step.FAIL
    return Step.RETRY if error.code in RETRIABLE else Step.FAIL


def final_error(
    delivery: str,
    *,
    late: bool,
    ambiguous: bool,
    last: RPCError | None,
) -> RPCError:
    """
    How a call ends that no answer ended (C14).

    @param late: its time is up.
    @param ambiguous: an attempt may have run: no answer came to it, or one that
        does not know.
    @param last: the last refusal; C{None}: nothing was written.
    """
    if not ambiguous:
        # Every attempt that was written was answered "no": it did not run.
        if last is not None:
            return last
        text = (
            "the call could not be sent in time"
            if late
            else "the server cannot be reached"
        )
        return RPCError(Code.UNAVAILABLE, text, executed="no")
    if late:
        return RPCError(
            Code.DEADLINE_EXCEEDED, "no answer before the deadline", executed="unknown"
        )
    if delivery in REPEATABLE:
        return RPCError(
            Code.UNAVAILABLE,
            "the connection was lost before the answer",
            executed="unknown",
        )
    return RPCError(
        Code.OUTCOME_UNKNOWN,
        "the connection was lost before the answer; the call may have run, at most once",
        executed="unknown",
    )


def unanswered() -> RPCError:
    """
    How an attempt failed that has no answer.
    """
    return RPCError(Code.UNAVAILABLE, "the connection was lost", executed="unknown")
