# -*- test-case-name: tests.server.test_deprecation -*-
"""
Calls of methods that the IDL says are C{@deprecated}.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from twisted_rpc.call import Answer, Interceptor, Request, Responder
from twisted_rpc.server.counters import Counters

#: Callers that are named while a server lives.
MAX_NAMED: Final = 1000


class Deprecation:
    """
    Counts such calls, and names each caller once.
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(self, counters: Counters) -> None:
        self._counted = counters.deprecated
        self._named: set[tuple[str, str, str]] = set()

    def noting(self, schema: Any) -> Interceptor:
        """
        @param schema: of a deprecated method.
        """

        def interceptor(responder: Responder) -> Responder:
            def respond(request: Request) -> Answer:
                self._counted[schema.full_name] += 1
                self._name(request, schema)
                return responder(request)

            return respond

        return interceptor

    def _name(self, request: Request, schema: Any) -> None:
        # Of an address the port is another at each connection.
        host = request.peer.rpartition(":")[0]
        caller = (schema.full_name, request.principal, host)
        if caller in self._named or len(self._named) >= MAX_NAMED:
            return
        self._named.add(caller)
        self._log.warn(
            "{method} is deprecated{reason}, and {principal} at {peer} calls it",
            method=schema.full_name,
            reason=schema.deprecated and f", {schema.deprecated}",
            principal=request.principal,
            peer=request.peer,
        )
