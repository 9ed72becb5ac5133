# -*- test-case-name: tests.server.test_coroutines -*-
"""
Running an C{async def}, on whichever reactor.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_rpc.call import without_call

_T = TypeVar("_T")


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


def start(
    coroutine: Coroutine[Any, Any, _T],
    context: Context,
    loop: asyncio.AbstractEventLoop | None,
) -> Deferred[_T]:
    """
    Run C{coroutine} in C{context}.

    With C{loop} it is a task of asyncio, which may await asyncio's futures and
    Deferreds alike; without, it may await Deferreds, and an asyncio future in it
    would never fire.

    @return: fires with its result; cancelling it cancels what it awaits.
    """
    if loop is None:
        return context.run(Deferred.fromCoroutine, coroutine)
    task = loop.create_task(_task(coroutine, loop), context=context)
    return Deferred.fromFuture(task)


async def _task(
    coroutine: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop
) -> _T:
    # A task is made of a real coroutine only, since Python 3.12.
    return await _awaiting_both(coroutine, loop)


@types.coroutine
def _awaiting_both(
    coroutine: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop
) -> Generator[Any, Any, _T]:
    """
    Pass on what C{coroutine} awaits, Deferreds turned into futures.
    """
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaited = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            result: _T = stop.value
            return result
        value, error = None, None
        try:
            if isinstance(awaited, Deferred):
                value = yield from awaited.asFuture(loop).__await__()
            else:
                value = yield awaited
        except BaseException as raised:  # noqa: BLE001 - it is the coroutine's to catch
            error = raised
