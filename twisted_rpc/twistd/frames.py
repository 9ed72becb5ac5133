# -*- test-case-name: tests.test_frames -*-
"""
Frames in the log, for C{--log-level wire=debug}: cut, and with secrets hidden.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Final

from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

#: Characters of a frame that are shown.
SHOWN: Final = 400

#: A frame longer than this is not looked into, and so not shown either: what
#: cannot be searched for secrets may hold some.
SEARCHED: Final = 64 * 1024

_HIDDEN: Final = "<hidden>"
_SECRET_WORDS: Final = ("auth", "token", "secret", "passw", "cookie", "session", "key")

_log = Logger(namespace="twisted_rpc.wire")


def log_frames(
    factory: IProtocolFactory, sensitive: Collection[tuple[str, str]]
) -> None:
    """
    Log every frame of the connections that C{factory} makes from now on.

    @param sensitive: the methods, by service and name on the wire, whose
        parameters or results are never shown.
    """
    # Replaced on the instance, so that a server without it pays nothing.
    made: Any = factory
    build = made.buildProtocol

    def build_and_follow(address: Any) -> Any:
        protocol = build(address)
        if protocol is not None:
            _follow(protocol, sensitive)
        return protocol

    made.buildProtocol = build_and_follow


def show(frame: bytes, sensitive: Collection[tuple[str, str]] = ()) -> str:
    """
    A frame as one line.
    """
    if len(frame) > SEARCHED:
        return f"<{len(frame)} bytes>"
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        head = frame[:32].decode("ascii", "backslashreplace")
        return f"<{len(frame)} bytes that are no JSON: {head!r}>"
    if isinstance(message, dict):
        _hide(message, sensitive)
    text = json.dumps(message)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(frame)} bytes)"


def sensitive_methods(services: Iterable[Any]) -> set[tuple[str, str]]:
    """
    The methods with something C{@sensitive}, by all their names on the wire.

    @param services: as in L{twisted_rpc.server.registry.Registry.services}.
    """
    return {
        (service.schema.wire_name, name)
        for service in services
        for name, method in service.schema.methods.items()
        if method.has_sensitive or method.sensitive_result
    }


def _follow(protocol: Any, sensitive: Collection[tuple[str, str]]) -> None:
    receive, send = protocol.stringReceived, protocol.send_frame
    send_parts = protocol.send_parts

    def received(frame: bytes) -> None:
        _write("<-", protocol, frame, sensitive)
        receive(frame)

    def sent(frame: bytes) -> None:
        _write("->", protocol, frame, sensitive)
        send(frame)

    def sent_in_parts(size: int, parts: tuple[bytes, ...]) -> None:
        _write("->", protocol, b"".join(parts), sensitive)
        send_parts(size, parts)

    protocol.stringReceived = received
    protocol.send_frame = sent
    protocol.send_parts = sent_in_parts


def _write(
    way: str, protocol: Any, frame: bytes, sensitive: Collection[tuple[str, str]]
) -> None:
    _log.debug(
        "{peer} {way} {frame}",
        peer=protocol.peer,
        way=way,
        # An object, so that the log does not cut it to the length of a field.
        frame=_Shown(show(frame, sensitive)),
        size=len(frame),
    )


class _Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def _hide(message: dict[str, Any], sensitive: Collection[tuple[str, str]]) -> None:
    if isinstance(message.get("request_id"), str):
        message["request_id"] = _short_id(message["request_id"])
    service = message.get("service")
    if "service" not in message:
        # A reply does not say what it answers.
        if sensitive:
            _cover(message, "result", "error", "ext")
        _hide_object(message.get("result"))
    elif service == "$rpc":
        _hide_control(message)
    elif (service, message.get("method")) in sensitive:
        _cover(message, "params")
    ext = message.get("ext")
    if isinstance(ext, dict):
        _hide_object(ext.get("meta"))


def _hide_control(message: dict[str, Any]) -> None:
    params = message.get("params")
    if not isinstance(params, list):
        return
    for i, value in enumerate(params):
        if isinstance(value, str):
            params[i] = _short_id(value)
        _hide_object(value)


def _hide_object(value: Any) -> None:
    if isinstance(value, dict):
        for name in value:
            if any(word in name.lower() for word in _SECRET_WORDS):
                value[name] = _HIDDEN


def _cover(message: dict[str, Any], *names: str) -> None:
    for name in names:
        if message.get(name) is not None:
            message[name] = _HIDDEN


def _short_id(request_id: str) -> str:
    """
    Enough of a session's id to tell it from others, and too little to use it.
    """
    session, colon, seq = request_id.rpartition(":")
    if not colon or not seq.isdigit():
        return request_id
    return f"{session[:4]}...:{seq}"
