# -*- test-case-name: tests.client.test_secrecy -*-
"""
Which connections may carry secrets.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ISSLTransport


def may_carry_secrets(transport: Any) -> bool:
    """
    Whether C{transport} is TLS, a Unix socket, or does not leave the machine
    (W18).
    """
    if ISSLTransport.providedBy(transport):
        return True
    peer = transport.getPeer()
    if isinstance(peer, UNIXAddress):
        return True
    return is_loopback(getattr(peer, "host", ""))


def is_loopback(host: str) -> bool:
    """
    Whether an address, or the name C{localhost}, is this machine's own.
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
