# -*- test-case-name: tests.server.test_conversation -*-
"""
Control calls: what C{$rpc} answers on an extended connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.delivery.records import Record
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.structure import MAX_STRUCTURE, too_wide
from twisted_rpc.wire.messages import (
    MAX_INTEGER,
    RequestMessage,
    error_ext,
    sentence,
    write_error,
    write_reply,
)

if TYPE_CHECKING:
    from twisted_rpc.server.protocol import ServerProtocol


class Control:
    """
    Answers the control calls of one connection (wire.md, section 9).
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(self, protocol: ServerProtocol) -> None:
        self._protocol = protocol
        self._shared = protocol.shared

    def answer(self, message: RequestMessage) -> None:
        """
        Answer one, at once.
        """
        protocol = self._protocol
        answer = self._METHODS.get(message.method)
        oneway = message.ext is not None and message.ext.oneway
        try:
            if message.request_id[0] != "$":
                raise RPCError(  # noqa: TRY301 - answered below
                    Code.INVALID_ARGUMENT,
                    "Invalid request: ids of control calls begin with $",
                    executed="no",
                )
            if answer is None:
                raise RPCError(  # noqa: TRY301 - answered below
                    Code.UNIMPLEMENTED,
                    f"Method not found: $rpc.{message.method[:64]}",
                    executed="no",
                )
            params = self._params(bytes(message.params))
            result = answer(self, params)
        except RPCError as error:
            body = write_error(message.request_id, error, protocol.stamp, extended=True)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            unread = RPCError(
                Code.INVALID_ARGUMENT,
                "Invalid request: params cannot be read",
                executed="no",
            )
            body = write_error(
                message.request_id, unread, protocol.stamp, extended=True
            )
        else:
            if isinstance(result, Deferred):
                protocol.asked()
                result.addBoth(self._ended).addCallbacks(
                    self._answered,
                    self._failed,
                    callbackArgs=(message.request_id, oneway),
                    errbackArgs=(message.request_id, oneway),
                ).addErrback(lambda f: self._log.failure("$rpc failed", failure=f))
                return
            body = write_reply(
                message.request_id, msgspec.json.encode(result), protocol.stamp
            )
        if not oneway:
            self._send(message.request_id, body)

    def _send(self, request_id: str, body: bytes) -> None:
        """
        Send an answer, or say that the peer would not take it (W4).
        """
        protocol = self._protocol
        if protocol.closing:
            return
        limit = protocol.connection.peer_max_frame
        if len(body) > limit:
            error = RPCError(
                Code.RESOURCE_EXHAUSTED,
                f"frame of {len(body)} bytes exceeds the limit of {limit} bytes",
                executed="yes",
                retry_after=-1.0,
            )
            body = write_error(request_id, error, protocol.stamp, extended=True)
        protocol.send_frame(body)

    def _ended(self, result: Any) -> Any:
        self._protocol.told()
        return result

    def _answered(self, result: Any, request_id: str, oneway: bool) -> None:
        if not oneway:
            text = msgspec.json.encode(result)
            self._send(request_id, write_reply(request_id, text, self._protocol.stamp))

    def _failed(self, failure: Failure, request_id: str, oneway: bool) -> None:
        failure.trap(RPCError)
        error: Any = failure.value
        if not oneway:
            stamp = self._protocol.stamp
            self._send(request_id, write_error(request_id, error, stamp, extended=True))

    def _params(self, text: bytes) -> list[Any]:
        _expect(
            not too_wide(text, MAX_STRUCTURE),
            f"params hold more than {MAX_STRUCTURE} of '[{{:,'",
        )
        params: list[Any] = msgspec.json.decode(text, type=list[Any])
        return params

    def _ping(self, params: list[Any]) -> None:
        _expect(not params, "ping takes no parameters")

    def _cancel(self, params: list[Any]) -> dict[str, str]:
        _expect(
            len(params) == 1 and isinstance(params[0], str), "cancel takes a request id"
        )
        found = self._protocol.cancel(params[0])
        return {"state": "cancelled" if found else "not_found"}

    def _ack(self, params: list[Any]) -> None:
        _expect(
            len(params) == 1
            and type(params[0]) is int
            and 1 <= params[0] <= MAX_INTEGER,
            "ack takes a seq",
        )
        if self._protocol.session is not None:
            self._shared.store.release(self._protocol.session, params[0])

    def _credit(self, params: list[Any]) -> None:
        # Streams are not served: there is none it could be for.
        _expect(len(params) == 2, "credit takes a request id and a number")

    def _health(self, params: list[Any]) -> dict[str, str]:
        _expect(
            not params or (len(params) == 1 and isinstance(params[0], str)),
            "health takes the name of a service, or nothing",
        )
        if params and params[0] not in self._shared.methods.table:
            raise RPCError(
                Code.NOT_FOUND, f"Service not found: {params[0][:200]}", executed="yes"
            )
        return {"status": "DRAINING" if self._shared.admission.draining else "SERVING"}

    def _reflect(self, params: list[Any]) -> dict[str, Any]:
        _expect(
            not params or (len(params) == 1 and isinstance(params[0], str)),
            "reflect takes the name of a service, or nothing",
        )
        if not self._shared.reflection:
            raise refusal(Code.UNIMPLEMENTED, "reflection is switched off")
        if not params:
            return {"services": self._shared.agreement.digests}
        service = self._shared.service(params[0])
        if service is None:
            raise RPCError(
                Code.NOT_FOUND, f"Service not found: {params[0][:200]}", executed="yes"
            )
        return {
            "service": service.wire_name,
            "digest": service.digest,
            "idl": service.text,
        }

    def _resolve(self, params: list[Any]) -> dict[str, Any] | Deferred[dict[str, Any]]:
        _expect(
            len(params) == 1 and isinstance(params[0], str),
            "resolve takes a request id",
        )
        found = self._shared.store.find(
            self._protocol.principal, self._protocol.session, params[0]
        )
        if isinstance(found, Deferred):
            return found.addCallback(_resolution)
        return _resolution(found)

    _METHODS = {  # noqa: RUF012 - a table, written once
        "ping": _ping,
        "cancel": _cancel,
        "ack": _ack,
        "credit": _credit,
        "health": _health,
        "reflect": _reflect,
        "resolve": _resolve,
    }


def _resolution(resolved: tuple[State, Record | None]) -> dict[str, Any]:
    state, record = resolved
    found: dict[str, Any] = {"state": state.value}
    if state is State.DONE and record is not None:
        outcome = record.outcome
        found["reply"] = (
            {"result": None, "error": sentence(outcome), "ext": error_ext(outcome)}
            if isinstance(outcome, RPCError)
            else {"result": msgspec.Raw(outcome), "error": None, "ext": {}}
        )
    return found


def _expect(fits: bool, text: str) -> None:
    if not fits:
        raise RPCError(Code.INVALID_ARGUMENT, f"Invalid request: {text}", executed="no")
