# -*- test-case-name: tests.server.test_running -*-
"""
Implementations that block, in a bounded pool.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from twisted_rpc.call import Request, run_current
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.server.overload.patience import Patience
from twisted_rpc.server.overload.slots import RETRY_AFTER
from twisted_rpc.wire.limits import Limits

_DEFAULT = Limits()


class _Refused(Exception):
    """
    Why a call that has waited is not run.
    """

    def __init__(self, limit: str, error: RPCError) -> None:
        """
        @param limit: which was reached.
        """
        super().__init__(limit, error)
        self.limit = limit
        self.error = error


class InThread(Deferred[Any]):
    """
    The result of a function in a thread.

    Nothing can interrupt a thread, so cancelling only says so to the function,
    in L{Request.cancelled}; this fires when the function has ended, and until
    then the call keeps its slot.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request

    def cancel(self) -> None:
        """
        Tell the function that nobody waits any more.
        """
        self.request.cancelled = True


class Threads:
    """
    At most so many calls in threads, and so many that wait for one.

    @ivar outstanding: calls that wait or run.
    @ivar refused: counts refusals, by the limit that was reached.
    @ivar slowed: and calls that have to wait for a thread.
    """

    def __init__(
        self, reactor: Any, threads: int, queue: int, limits: Limits = _DEFAULT
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.slowed: Counter[str] = Counter()
        # When those that wait came, in their order, and whose they are.
        self._arrived: deque[float] = deque()
        self._callers: deque[Any] = deque()
        self._patience = Patience(threads, limits)
        self._reactor = reactor
        self._threads = threads
        self._most = threads + queue
        # Of one caller, who would keep the others out: half of the queue.
        self._share = (queue + 1) // 2
        self.outstanding = 0
        self._pool: ThreadPool | None = None

    def run(
        self,
        request: Request,
        context: Context,
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> Deferred[Any]:
        """
        Call C{function} in a thread, in C{context}.

        @raise RPCError: RESOURCE_EXHAUSTED, too many wait already, or for too
            long.
        """
        self._check(request, request.origin.seconds())
        if self._pool is None:
            self._pool = ThreadPool(0, self._threads, name="twisted_rpc")
            # A thread that never returns must not keep the process from ending.
            self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
            self._pool.start()
        if self.outstanding >= self._threads:
            self.slowed["threads"] += 1
        self.outstanding += 1
        request.started = False
        self._arrived.append(request.origin.arrived)
        self._callers.append(request.origin.caller)
        result = InThread(request)
        self._pool.callInThreadWithCallback(
            lambda success, value: self._reactor.callFromThread(
                self._ended, result, success, value
            ),
            context.run,
            self._begin,
            request,
            function,
            args,
        )
        return result

    def _check(self, request: Request, now: float) -> None:
        if self.outstanding >= self._most:
            waiting = self._most - self._threads
            raise self._refusal("thread_queue", f"{waiting} calls wait for a thread")
        if self._has_its_share(request.origin.caller):
            text = f"{self._share} calls of this caller wait for a thread"
            raise self._refusal("thread_queue", text)
        # Not those that wait for nothing but a free thread's attention.
        ahead, patience = max(0, self.outstanding - self._threads), self._patience
        wait = patience.wait(ahead, now)
        if patience.in_vain(request, wait, now + wait):
            raise self._refusal(
                "deadline", "calls wait for a thread for longer than there is time"
            )
        try:
            age = now - self._arrived[0]
        except IndexError:
            age = 0.0
        if patience.refuses(ahead, age, now):
            age = max(age, wait)
            raise self._refusal("delay", f"calls wait {age:.3f} s for a thread")

    def _has_its_share(self, caller: Any) -> bool:
        if self.outstanding < self._threads + self._share:
            return False
        # Threads take them one by one, those that are free are about to.
        free = self._threads - (self.outstanding - len(self._callers))
        return self._callers.count(caller) - max(0, free) >= self._share

    def _refusal(self, name: str, text: str) -> RPCError:
        self.refused[name] += 1
        return _exhausted(text)

    def _begin(
        self, request: Request, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        # It leaves the queue: is there anybody, and any time, left?
        now = request.origin.seconds()
        self._callers.popleft()
        age = now - self._arrived.popleft()
        if request.cancelled:
            raise refusal(Code.CANCELLED, "cancelled by the caller")
        if request.deadline <= now:
            text = "the deadline was over before the call started"
            raise _Refused("deadline", refusal(Code.DEADLINE_EXCEEDED, text))
        if self._arrived and self._patience.in_vain(request, age, now):
            text = f"too little time is left after {age:.3f} s for a thread"
            raise _Refused("deadline", _exhausted(text))
        if self._patience.drops(len(self._arrived), age, now):
            text = f"the call waited {age:.3f} s for a thread"
            raise _Refused("delay", _exhausted(text))
        request.started = True
        try:
            return run_current(request, function, args)
        finally:
            ended = request.origin.seconds()
            self._patience.learn(request, ended - now, ended)

    def _ended(self, result: InThread, success: bool, value: Any) -> None:
        self.outstanding -= 1
        if not success:
            failure = value if isinstance(value, Failure) else Failure(value)
            if isinstance(failure.value, _Refused):
                self.refused[failure.value.limit] += 1
                failure = Failure(failure.value.error)
            result.errback(failure)
        elif isinstance(value, Deferred):
            value.chainDeferred(result)
        else:
            result.callback(value)

    def stop(self) -> None:
        """
        End the pool.  Threads that still run something are not waited for.
        """
        if self._pool is not None:
            self._pool.adjustPoolsize(0, 0)
            self._pool = None


def _exhausted(text: str) -> RPCError:
    return refusal(Code.RESOURCE_EXHAUSTED, text, retry_after=RETRY_AFTER)
