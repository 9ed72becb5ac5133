# -*- test-case-name: tests.server.test_running -*-
"""
A line in the log for each call, or for some of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Interceptor, Request, Responder
from twisted_rpc.errors import RPCError

_log = Logger(namespace="twisted_rpc.calls")


def logging_calls(
    part: float,
    seconds: Callable[[], float],
    chance: Callable[[], float] = random.random,
) -> Interceptor:
    """
    Log calls when they end: service, method, peer, id, code and duration.

    A line costs more than a call (10 to 15 us against some 6), so only a part
    of the calls may be chosen, at random.

    @param part: from 0 to 1.
    @param chance: evenly from 0 to 1.
    """

    def interceptor(responder: Responder) -> Responder:
        def respond(request: Request) -> Answer:
            if part < 1 and chance() >= part:
                return responder(request)
            started = seconds()
            try:
                answer = responder(request)
            except RPCError as error:
                _write(request, error.code.value, seconds() - started)
                raise
            if isinstance(answer, Deferred):
                return answer.addBoth(_ended, request, started)
            _write(request, "OK", seconds() - started)
            return answer

        def _ended(result: Any, request: Request, started: float) -> Any:
            error = result.value if isinstance(result, Failure) else None
            code = error.code.value if isinstance(error, RPCError) else "CANCELLED"
            _write(request, code if error is not None else "OK", seconds() - started)
            return result

        return respond

    return interceptor


def _write(request: Request, code: str, duration: float) -> None:
    _log.info(
        "{service}.{method} {code} {duration:.6f} s {peer} {request_id}",
        service=request.service,
        method=request.name,
        code=code,
        duration=duration,
        peer=request.peer,
        request_id=request.log_id,
        attempt=request.attempt,
        principal=request.principal,
        replayed=request.replayed,
    )
