# -*- test-case-name: tests.test_tap -*-
"""
Frames in the log, for C{--log-level wire=debug}: cut, and with secrets hidden.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Secrets:
    """
    What is not shown.

    @ivar sensitive: whether anything of the server is C{@sensitive}; then no
        reply is shown, which does not say what it answers.
    @ivar open: the methods, by service and name on the wire, whose parameters
        are shown; C{None}: those of all.
    """

    sensitive: bool = False
    open: Collection[tuple[str, str]] | None = None


_NONE: Final = Secrets()


def log_frames(factory: IProtocolFactory, secrets: Secrets) -> None:
    """
    Log every frame of the connections that C{factory} makes from now on.
    """
    # Replaced on the instance, so that a server without it pays nothing.
    made: Any = factory
    build = made.buildProtocol

    def build_and_follow(address: Any) -> Any:
        protocol = build(address)
        if protocol is not None:
            _follow(protocol, secrets)
        return protocol

    made.buildProtocol = build_and_follow


def show(frame: bytes, secrets: Secrets = _NONE) -> str:
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
        _hide(message, secrets)
    text = json.dumps(message)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(frame)} bytes)"


def secrets_of(services: Iterable[Any]) -> Secrets:
    """
    What is not shown of services.  A method that they do not have may be one of a
    newer version, with secrets that nobody here knows of.

    @param services: as in L{twisted_rpc.server.registry.Registry.services}.
    """
    methods = [
        ((service_name, name), method.has_sensitive or method.sensitive_result)
        for service in services
        for service_name in service.schema.names
        for name, method in service.schema.methods.items()
    ]
    return Secrets(
        any(sensitive for _, sensitive in methods),
        {names for names, sensitive in methods if not sensitive},
    )


def _follow(protocol: Any, secrets: Secrets) -> None:
    receive, send = protocol.stringReceived, protocol.send_frame
    send_parts = protocol.send_parts

    def received(frame: bytes) -> None:
        _write("<-", protocol, frame, secrets)
        receive(frame)

    def sent(frame: bytes) -> None:
        _write("->", protocol, frame, secrets)
        send(frame)

    def sent_in_parts(size: int, parts: tuple[bytes, ...]) -> None:
        _write("->", protocol, b"".join(parts), secrets)
        send_parts(size, parts)

    protocol.stringReceived = received
    # Every frame goes by it.
    protocol.straight = None
    protocol.send_frame = sent
    protocol.send_parts = sent_in_parts


def _write(way: str, protocol: Any, frame: bytes, secrets: Secrets) -> None:
    _log.debug(
        "{peer} {way} {frame}",
        peer=protocol.peer,
        way=way,
        # An object, so that the log does not cut it to the length of a field.
        frame=_Shown(show(frame, secrets)),
        size=len(frame),
    )


class _Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def _hide(message: dict[str, Any], secrets: Secrets) -> None:
    if isinstance(message.get("request_id"), str):
        message["request_id"] = _short_id(message["request_id"])
    service = message.get("service")
    if "service" not in message:
        if secrets.sensitive:
            _cover(message, "result", "error", "ext")
        _hide_object(message.get("result"))
    elif service == "$rpc":
        _hide_control(message)
    elif secrets.open is not None and not _is_open(message, secrets.open):
        _cover(message, "params")
    ext = message.get("ext")
    if isinstance(ext, dict):
        _hide_object(ext.get("meta"))


def _is_open(message: dict[str, Any], open: Collection[tuple[str, str]]) -> bool:
    service, method = message.get("service"), message.get("method")
    # Whatever a peer sends may not be hashable.
    return (
        isinstance(service, str)
        and isinstance(method, str)
        and (service, method) in open
    )


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
