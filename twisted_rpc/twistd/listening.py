# -*- test-case-name: tests.test_serving -*-
"""
What C{twistd rpc} says of the ports it listens on, or cannot.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.client.secrecy import is_loopback
from twisted_rpc.delivery.claims import StoreError

_log = Logger(namespace="twisted_rpc.server")


class CannotListenError(SystemExit, Exception):
    """
    A port cannot be listened on.

    C{twistd} takes it for both of what it is: an exception, for which it removes
    its pid file and tells the process that waits for a daemon; and an exit with
    a message, one line and status 1, instead of a traceback.
    """

    # What waits for the daemon shows 100 characters, this name among them.
    __module__ = "builtins"


def announce(
    summary: str, listen: Sequence[str], ports: Sequence[IListeningPort]
) -> None:
    """
    Say in the log what is served and where, and what others can read.

    @param listen: the endpoints of C{ports}, as they were written.
    """
    _log.info(
        "serving {summary} on {where}",
        summary=summary,
        where=", ".join(
            f"{address(port)} (TLS)" if is_secret(text) else address(port)
            for text, port in zip(listen, ports, strict=True)
        ),
    )
    for text, port in zip(listen, ports, strict=True):
        if is_exposed(text, port.getHost()):
            _log.warn(
                "{where} is reached from other machines, and what is sent there can"
                " be read on the way: use a tls: endpoint, or listen on 127.0.0.1",
                where=address(port),
            )


def is_secret(text: str) -> bool:
    """
    Whether what is sent to the endpoint C{text} is encrypted.
    """
    return text.removeprefix("haproxy:").startswith("tls:")


def is_exposed(text: str, host: Any) -> bool:
    """
    Whether clear text is sent there from other machines.

    @param text: the endpoint.
    @param host: the address that is listened on.
    """
    if is_secret(text):
        return False
    if not isinstance(host, (IPv4Address, IPv6Address)):
        return False
    return not is_loopback(host.host)


def address(port: IListeningPort) -> str:
    """
    Where a port is, as a client's endpoint is written.
    """
    host = port.getHost()
    if isinstance(host, IPv4Address):
        return f"tcp:{host.host}:{host.port}"
    if isinstance(host, IPv6Address):
        return f"tcp6:{host.host.replace(':', chr(92) + ':')}:{host.port}"
    if isinstance(host, UNIXAddress):
        name = host.name
        return f"unix:{name.decode(errors='replace') if name else '(unnamed)'}"
    return str(host)


def why(failure: Failure) -> str:
    """
    In a line, what keeps a port from being listened on.
    """
    error: Any = failure.value
    if isinstance(error, StoreError):
        return str(error)
    said = getattr(error, "socketError", None)
    if said is not None:
        port = error.port
        interface = error.interface or "*"
        where = f"{interface}:{port}" if isinstance(port, int) else os.fsdecode(port)
        if said == "Cannot acquire lock":
            said = "another process listens there"
        return f"cannot listen on {where}: {getattr(said, 'strerror', None) or said}"
    if isinstance(error, OSError) and error.filename2:
        # Of a Unix socket: the lock that stands beside it.
        where = os.fsdecode(error.filename2).removesuffix(".lock")
        return f"cannot listen on {where}: {error.strerror}"
    return f"cannot listen: {error}"
