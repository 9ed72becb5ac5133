# -*- test-case-name: tests.server.test_running -*-
"""
The innermost responder of a server: arguments in, implementation, answer out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import Any, Final, NoReturn, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Request, run_current
from twisted_rpc.errors import Code, InvalidValue, RPCError, refusal
from twisted_rpc.server.admission import Admission
from twisted_rpc.server.coroutines import (
    Watch,
    asyncio_loop,
    forget_calls,
    start,
    watched,
)
from twisted_rpc.server.threads import Threads

#: A call that holds the reactor for longer is named in the log, in seconds.
SLOW: Final = 0.1

#: What every run's context is a copy of: nothing of one call reaches another.
_EMPTY: Final = Context()


class Dispatch:
    """
    Runs implementations.

    @ivar idle: called when L{running} becomes 0.
    @ivar pressure: whether admission has to look at each call.
    @ivar reactor: what it runs on.
    @ivar slots: of the server's calls in progress.
    @ivar slow: seconds for which nothing should hold it.
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(
        self,
        admission: Admission,
        threads: Threads,
        reactor: IReactorTime,
        *,
        debug_errors: bool = False,
        slow: float = SLOW,
    ) -> None:
        self.reactor = reactor
        self.idle: Callable[[], None] | None = None
        self._admission = admission
        self._admit = admission.admit
        self.pressure = admission.pressure
        self.slots = self._slots = admission.slots
        # What has waited for its slot, and has it.
        self._admitted: Request | None = None
        self._threads = threads
        self._seconds = reactor.seconds
        self._loop = asyncio_loop(reactor)
        if self._loop is not None:
            forget_calls(reactor)
        self._debug_errors = debug_errors
        self.slow = slow
        self._watch = Watch(self._seconds, slow, self.name_slow)

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """
        @return: an implementation of which it is told which step is slow.
        """
        return watched(function, self._watch)

    def respond(self, request: Request) -> Answer:
        """
        Run one call.

        @raise RPCError: it was refused (executed C{"no"}), or failed.
        """
        seconds = self._seconds
        started = seconds()
        if (
            request.deadline <= started
            or self.pressure.level
            or request.origin.restricted
            or not request.seq
        ) and request is not self._admitted:
            later = self._admit(request, started, partial(self._enter, request))
            if later is not None:
                return later
        method = request.method
        # A request without a seq came by the plain profile, whose peers are read as
        # leniently as nothing is lost (W12).
        decode = method.decode_params if request.seq else method.decode_params_plain
        try:
            args = decode(request.params)
        except InvalidValue as error:
            raise RPCError(
                Code.INVALID_ARGUMENT,
                f"Parameter validation failed: {error}",
                executed="no",
            ) from None
        context = _EMPTY.copy()
        if method.threaded:
            return self._wait(
                request, self._threads.run(request, context, method.function, args)
            )
        try:
            result = context.run(run_current, request, method.function, args)
            if type(result) is CoroutineType:
                result = start(result, context, self._loop, self._watch, request)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            self.raised(error, request)
        held = seconds() - started
        if held > self.slow:
            self.name_slow(request, held)
        return self._answered(request, context, result)

    def finish(self, context: Context, result: Any, request: Request) -> Answer:
        """
        The answer of a call whose implementation has returned.

        @param context: where it ran.
        """
        if type(result) is CoroutineType:
            started = self._seconds()
            try:
                result = start(result, context, self._loop, self._watch, request)
            except BaseException as error:  # noqa: BLE001 - it is raised again
                self.raised(error, request)
            held = self._seconds() - started
            if held > self.slow:
                self.name_slow(request, held)
        return self._answered(request, context, result)

    def raised(self, error: BaseException, request: Request) -> NoReturn:
        """
        End a call whose implementation has raised.

        @raise RPCError: what its caller is told.
        """
        if isinstance(error, KeyboardInterrupt):
            raise error
        raise self._error(request, error) from error

    def _answered(self, request: Request, context: Context, result: Any) -> Answer:
        if type(result) is Deferred:
            return self._wait(request, result)
        try:
            encoded: bytes = request.method.encode_result(result)
        except InvalidValue as error:
            # A subclass of Deferred, or something else to wait for.
            if isinstance(result, Deferred):
                return self._wait(request, result)
            if isinstance(result, Awaitable):
                return self._awaited(request, result, context)
            raise self._unfit(request, error) from None
        return encoded

    def refusal(self, request: Request) -> RPCError | None:
        """
        Why a call would be refused now, before it runs (rows 13 and 14); C{None}:
        it would not.  For a store that answers later, and is asked to claim only
        what may run.
        """
        try:
            refused = self._admission.refuse(request, self._seconds())
            if refused is None:
                self._arguments(request)
        except RPCError as error:
            return error
        return refused

    def _arguments(self, request: Request) -> tuple[Any, ...]:
        method = request.method
        decode = method.decode_params if request.seq else method.decode_params_plain
        try:
            arguments: tuple[Any, ...] = decode(request.params)
        except InvalidValue as error:
            raise RPCError(
                Code.INVALID_ARGUMENT,
                f"Parameter validation failed: {error}",
                executed="no",
            ) from None
        return arguments

    def in_transaction(self, request: Request, transaction: Any) -> bytes | RPCError:
        """
        Run one call in a transaction of the store's database, in whose thread
        this is called.

        @return: its answer; an error undoes what it did.

        @raise RPCError: it is refused, and did not run.
        """
        if request.deadline <= self._seconds():
            raise refusal(
                Code.DEADLINE_EXCEEDED, "the deadline was over before the call started"
            )
        method = request.method
        args = self._arguments(request)
        request.started = True
        request.transaction = transaction
        try:
            result = _EMPTY.copy().run(run_current, request, method.function, args)
        except Exception as error:  # noqa: BLE001 - any error is its answer
            if transaction.broken is not None:
                # The database's affair: the transaction is done again.
                raise transaction.broken from None
            return self._error(request, error)
        try:
            encoded: bytes = method.encode_result(result)
        except InvalidValue as error:
            return self._unfit(request, error)
        return encoded

    def uncommitted(self, request: Request, error: Exception) -> RPCError:
        """
        What the caller is told whose implementation did in a transaction what its
        database does not commit: it is the implementation's mistake, but nothing is
        left of it, so that the call may as well not have run.
        """
        told = self._error(request, error)
        told.message += ": nothing was committed"
        told.executed = "no"
        return told

    @property
    def running(self) -> int:
        """
        Calls that have started and not ended, beyond those that answer at once.
        """
        return self._slots.running

    def _enter(self, request: Request) -> Answer:
        self._admitted = request
        try:
            return self.respond(request)
        finally:
            self._admitted = None

    def _awaited(
        self, request: Request, result: Awaitable[Any], context: Context
    ) -> Answer:
        try:
            value = start(_await(result), context, self._loop, self._watch, request)
        except BaseException as error:
            raise self._error(request, error) from error
        return self._wait(
            request, value if isinstance(value, Deferred) else succeed(value)
        )

    def _wait(self, request: Request, result: Deferred[Any]) -> Answer:
        """
        The answer of an implementation that has not answered yet.
        """
        self._slots.begun()
        request.origin.begun()
        request.cancel_run = result.cancel
        answer: Deferred[bytes] = result.addCallbacks(
            self._succeeded,
            self._failed,
            callbackArgs=(request,),
            errbackArgs=(request,),
        )
        # What has ended already is spared the machinery of waiting.
        if answer.called and not answer.paused:
            ended = answer.result
            if type(ended) is bytes:
                return ended
            if isinstance(ended, Failure) and isinstance(ended.value, RPCError):
                answer.addErrback(lambda _: None)
                raise ended.value
        return answer

    def _ended(self, request: Request) -> None:
        # Its slot is free when the implementation has ended, not before (W27).
        request.cancel_run = None
        self._slots.ended()
        request.origin.ended()
        self._rest()

    def hold(self, start: Callable[[], Any]) -> Deferred[Any]:
        """
        Count a call that the store runs, from now until it has ended.
        """
        return cast("Deferred[Any]", self._slots.hold(start)).addBoth(self._rest)

    def _rest(self, result: Any = None) -> Any:
        if not self._slots.running and self.idle is not None:
            self.idle()
        return result

    def _succeeded(self, result: Any, request: Request) -> bytes:
        self._ended(request)
        try:
            encoded: bytes = request.method.encode_result(result)
        except InvalidValue as error:
            raise self._unfit(request, error) from None
        return encoded

    def _failed(self, failure: Failure, request: Request) -> bytes:
        self._ended(request)
        if not request.started:
            # It never left the queue of threads: the refusal stands as it is.
            failure.raiseException()
        error: Any = failure.value
        raise self._error(request, error, failure) from None

    # -- errors -----------------------------------------------------------------

    def _error(
        self, request: Request, error: BaseException, failure: Failure | None = None
    ) -> RPCError:
        """
        What the caller is told of something an implementation raised.
        """
        if isinstance(error, RPCError):
            try:
                return declared_error(request, error)
            except InvalidValue as unfit:
                return self._unfit(request, unfit)
        if isinstance(error, (CancelledError, asyncio.CancelledError)):
            return RPCError(
                Code.CANCELLED, "CANCELLED: cancelled by the caller", executed="yes"
            )
        error_id = secrets.token_hex(8)
        self._log.failure(
            "{service}.{method} failed, error_id {error_id}",
            failure=failure if failure is not None else Failure(error),
            error_id=error_id,
            **_fields(request),
        )
        if self._debug_errors:
            return self._internal(_text(error) or type(error).__name__, error_id)
        return self._internal(f"Internal error (error_id {error_id})", error_id)

    def _unfit(self, request: Request, error: InvalidValue) -> RPCError:
        """
        The implementation returned what the IDL does not allow.
        """
        error_id = secrets.token_hex(8)
        self._log.error(
            "{service}.{method} returned what its IDL type does not allow: {reason},"
            " error_id {error_id}",
            reason=f"{error.path or 'result'}: {error.reason}",
            error_id=error_id,
            **_fields(request),
        )
        return self._internal(f"Internal error (error_id {error_id})", error_id)

    def _internal(self, message: str, error_id: str) -> RPCError:
        return RPCError(Code.INTERNAL, message, executed="yes", error_id=error_id)

    def name_slow(self, request: Request, held: float) -> None:
        """
        Tell of a call that held the reactor for so many seconds.
        """
        self._log.warn(
            "{service}.{method} held the reactor for {milliseconds} ms, and every other"
            " call with it; mark it @threaded or make it asynchronous",
            milliseconds=round(held * 1000),
            **_fields(request),
        )


def _fields(request: Request) -> dict[str, Any]:
    return {
        "service": request.service,
        "method": request.name,
        "request_id": request.log_id,
        "peer": request.peer,
    }


def declared_error(request: Request, error: RPCError) -> RPCError:
    """
    The error as it goes on the wire and into the record: with its type and
    members if the IDL declares it, and without what it drags along.
    """
    declared = request.method.encode_exception(error)
    if declared is not None:
        return RPCError(
            declared.code,
            declared.message,
            executed="yes",
            retry_after=error.retry_after,
            type=declared.type,
            data=msgspec.Raw(declared.data),  # type: ignore[arg-type]
        )
    return RPCError(
        error.code,
        error.message,
        executed="yes",
        retry_after=error.retry_after,
        error_id=error.error_id,
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except Exception:  # noqa: BLE001 - str() of somebody's exception may do anything
        return "its text cannot be had"


async def _await(result: Awaitable[Any]) -> Any:
    return await result
