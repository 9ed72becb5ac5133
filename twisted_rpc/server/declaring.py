# -*- test-case-name: tests.server.test_declaring -*-
"""
Declared exceptions, as interceptors see them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.errors import RPCError


def declaring(responder: Responder) -> Responder:
    """
    Let a declared exception leave as the class that the IDL made of it, whether
    it was raised just now or comes from a record.

    Inside, it is what goes on the wire and into the record: a type and members.
    """

    def respond(request: Request) -> Answer:
        try:
            answer = responder(request)
        except RPCError as error:
            declared = _declared(request, error)
            if declared is None:
                raise
            raise declared from error.__cause__
        if isinstance(answer, Deferred):
            answer.addErrback(_failed, request)
        return answer

    return respond


def _failed(failure: Failure, request: Request) -> Any:
    error = failure.value
    declared = _declared(request, error) if isinstance(error, RPCError) else None
    return failure if declared is None else Failure(declared)


def _declared(request: Request, error: RPCError) -> RPCError | None:
    """
    @return: the exception that C{error} is the wire's form of, which still has
        that form too; C{None} if it is none that the method declares.
    """
    if error.type is None:
        return None
    schema = request.method.schema
    data: Any = error.data
    declared: RPCError | None = schema.decode_exception(
        error.type, bytes(data), error.message, error.code
    )
    if declared is not None:
        declared.executed = error.executed
        declared.retry_after = error.retry_after
        declared.replayed = error.replayed
        declared.type = error.type
        declared.data = msgspec.Raw(data)  # type: ignore[assignment]
    return declared
