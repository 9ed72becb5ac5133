# -*- test-case-name: tests.server.test_running -*-
"""
Running an C{async def}, on whichever reactor, and timing what it does; that of
C{inlineCallbacks} too.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial, wraps
from time import monotonic
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.defer import _DefGen_Return as ReturnedValue
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twisted_rpc.call import calling, without_call


def asyncio_loop(reactor: IReactorTime) -> asyncio.AbstractEventLoop | None:
    """
    @return: the event loop of Twisted's asyncio reactor; C{None} for any other.
    """
    loop = getattr(reactor, "_asyncioEventloop", None)
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


#: What Twisted's asyncio reactor gives to asyncio, to be called back.
_CALLED_BACK: Final = ("_onTimer", "_readOrWrite")


def forget_calls(reactor: Any) -> None:
    """
    Let nothing that C{reactor} calls run for the call that happened to be the
    last to wait for something.

    asyncio calls back in the context that it was given a callback in.  Twisted's
    reactor gives it one for all of its timers, and one for all that is ever read
    from a socket: without this, a bare callback would see the call of another.
    With it there is no current call in one, as on every other reactor.
    """
    for name in _CALLED_BACK:
        method = getattr(reactor, name)
        if not isinstance(method, partial):
            setattr(reactor, name, partial(without_call, method))


class Watch:
    """
    Tells of each step of a coroutine that holds the reactor for too long.
    """

    __slots__ = ("_seconds", "_slow", "_tell")

    def __init__(
        self,
        seconds: Callable[[], float],
        slow: float,
        tell: Callable[[Any, float], None],
    ) -> None:
        """
        @param slow: seconds that are too long.
        @param tell: is given what L{start} was given, and how long it took.
        """
        self._seconds = seconds
        self._slow = slow
        self._tell = tell

    def step(
        self, whose: Any, coroutine: Any, value: Any, error: BaseException | None
    ) -> Any:
        """
        Let C{coroutine} go on until it waits again, or ends.
        """
        started = self._seconds()
        try:
            return coroutine.send(value) if error is None else coroutine.throw(error)
        finally:
            held = self._seconds() - started
            if held > self._slow:
                self._tell(whose, held)


#: For coroutines that may hold the reactor for as long as they like.
UNWATCHED: Final = Watch(monotonic, float("inf"), lambda whose, held: None)


def start(
    coroutine: Coroutine[Any, Any, Any],
    context: Context,
    loop: asyncio.AbstractEventLoop | None,
    watch: Watch = UNWATCHED,
    whose: Any = None,
) -> Any:
    """
    Run C{coroutine} in C{context}.

    With C{loop} it is a task of asyncio, which may await asyncio's futures and
    Deferreds alike; without, it may await Deferreds, and an asyncio future in it
    would never fire.

    @param whose: what C{watch} tells.

    @return: its result, if it does not wait for anything; else a Deferred that
        fires with it, and that cancels what it awaits.
    """
    if loop is not None:
        task = loop.create_task(_task(coroutine, loop, watch, whose), context=context)
        # If it is cancelled before its first step, Python would complain of it.
        task.add_done_callback(lambda _: coroutine.close())
        return Deferred.fromFuture(task)
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as stop:
        return stop.value
    rest = _rest(coroutine, awaited, watch, whose)
    return context.run(Deferred.fromCoroutine, rest)


def _rest(
    coroutine: Coroutine[Any, Any, Any], awaited: Any, watch: Watch, whose: Any
) -> Generator[Any, Any, Any]:
    """
    What C{coroutine} does after its first step.
    """
    while True:
        value, error = None, None
        try:
            value = yield awaited
        except GeneratorExit:
            # Nobody waits for it any more, and it may be closed already.
            coroutine.close()
            raise
        except BaseException as raised:  # noqa: BLE001 - it is the coroutine's to catch
            error = raised
        try:
            awaited = watch.step(whose, coroutine, value, error)
        except StopIteration as stop:
            return stop.value


def _nothing() -> Generator[Any, Any, None]:
    yield


#: The code of all that C{inlineCallbacks} makes.
_INLINE: Final = inlineCallbacks(_nothing).__code__


def watched(function: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """
    @return: C{function}, and if C{inlineCallbacks} has made it, one that C{watch}
        tells the call of after each step but the first.
    """
    plain: Any = getattr(function, "__func__", function)
    if getattr(plain, "__code__", None) is not _INLINE:
        return function
    made = plain.__wrapped__
    if isinstance(function, types.MethodType):
        made = types.MethodType(made, function.__self__)

    @wraps(made)
    def begin(*args: Any) -> Any:
        steps = made(*args)
        # Else it is inlineCallbacks that complains.
        return _steps(steps, watch) if isinstance(steps, types.GeneratorType) else steps

    return inlineCallbacks(begin)


def _steps(generator: Any, watch: Watch) -> Generator[Any, Any, Any]:
    try:
        return (yield from _rest(generator, generator.send(None), watch, calling()))
    except StopIteration as stop:
        return stop.value
    except ReturnedValue as returned:
        # Of returnValue, by which older code returns.
        return returned.value


async def _task(
    coroutine: Coroutine[Any, Any, Any],
    loop: asyncio.AbstractEventLoop,
    watch: Watch,
    whose: Any,
) -> Any:
    # A task is made of a real coroutine only, since Python 3.12.
    return await _awaiting_both(coroutine, loop, watch, whose)


@types.coroutine
def _awaiting_both(
    coroutine: Coroutine[Any, Any, Any],
    loop: asyncio.AbstractEventLoop,
    watch: Watch,
    whose: Any,
) -> Generator[Any, Any, Any]:
    """
    Pass on what C{coroutine} awaits, Deferreds turned into futures.
    """
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaited = watch.step(whose, coroutine, value, error)
        except StopIteration as stop:
            return stop.value
        value, error = None, None
        try:
            if isinstance(awaited, Deferred):
                value = yield from _future_of(awaited, loop).__await__()
            else:
                value = yield awaited
        except BaseException as raised:  # noqa: BLE001 - as in _rest
            error = raised


def _future_of(deferred: Deferred[Any], loop: asyncio.AbstractEventLoop) -> Any:
    """
    What C{asFuture} does, but that the result stays: who awaits C{deferred} does not
    take what he is sent, but what it then holds.
    """
    future = loop.create_future()

    def succeeded(result: Any) -> Any:
        if not future.done():
            future.set_result(result)
        return result

    def failed(failure: Failure) -> None:
        if not future.done():
            error: Any = failure.value
            if isinstance(error, StopIteration):
                # No future takes one; in a coroutine it is this.
                error = RuntimeError("a Deferred failed with StopIteration")
            future.set_exception(error)

    def ended(_: Any) -> None:
        if future.cancelled():
            deferred.cancel()

    deferred.addCallbacks(succeeded, failed)
    future.add_done_callback(ended)
    return future
