# -*- test-case-name: tests.server.test_resolving -*-
"""
Asking an implementation what became of a call.
"""

from __future__ import annotations

from contextvars import Context
from inspect import iscoroutine
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.records import Outcome, frozen
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.server.coroutines import asyncio_loop, start
from twisted_rpc.server.dispatch import declared_error


class Resolving:
    """
    The resolvers of a server's implementations (L{twisted_rpc.resolves}).
    """

    def __init__(self, registry: Any, reactor: IReactorTime) -> None:
        self._services = registry.services
        self._loop = asyncio_loop(reactor)

    def resolve(self, call: UnknownCall) -> Deferred[Outcome] | None:
        """
        Ask.

        @return: fires with the answer that C{call} is to have from now on, or
            fails with whatever the resolver failed with,
            L{OutcomeUnknown<twisted_rpc.errors.OutcomeUnknown>} if it does not
            know either; C{None}, there is none.
        """
        service = self._services.get(call.service)
        method = None if service is None else service.methods.get(call.method)
        resolver = None if method is None else method.resolver
        if method is None or resolver is None:
            return None
        encode = method.schema.encode_result
        answer: Deferred[Any] = maybeDeferred(self._ask, resolver, call)
        return answer.addCallback(encode).addErrback(_declared, method.schema)

    def _ask(self, resolver: Any, call: UnknownCall) -> Any:
        context = Context()
        result = context.run(resolver, call)
        return start(result, context, self._loop) if iscoroutine(result) else result


def _declared(failure: Failure, schema: Any) -> RPCError:
    """
    The error that the call is known to have ended with, as it is recorded.
    """
    error = failure.value
    if not isinstance(error, RPCError) or error.code is Code.OUTCOME_UNKNOWN:
        failure.raiseException()
    request: Any = SimpleNamespace(method=schema)
    return frozen(declared_error(request, error))
