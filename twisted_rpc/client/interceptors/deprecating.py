# -*- test-case-name: tests.client.interceptors.test_chain -*-
"""
Calls of what the IDL calls deprecated.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.client.counters import Counters


class Deprecating:
    """
    Says once in the log of a client that a method is deprecated, and counts the
    calls.
    """

    _log = Logger(namespace="twisted_rpc.client")

    def __init__(self, counters: Counters, schema: Any) -> None:
        self._counters = counters
        self._name: str = schema.full_name
        self._reason: str = schema.deprecated and f": {schema.deprecated}"

    def __call__(self, responder: Responder) -> Responder:
        """
        @return: one that counts.
        """

        def respond(request: Request) -> Answer:
            if not self._counters.deprecated[self._name]:
                self._log.warn(
                    "{method} is deprecated{reason}",
                    method=self._name,
                    reason=self._reason,
                )
            self._counters.deprecated[self._name] += 1
            return responder(request)

        return respond
