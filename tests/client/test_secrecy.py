"""
Tests for L{twisted_rpc.client.secrecy}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from twisted_rpc.client.secrecy import is_loopback, may_carry_secrets


def to(address: Any) -> StringTransport:
    """
    A transport to a peer.
    """
    return StringTransport(peerAddress=address)


class SecrecyTests(SynchronousTestCase):
    """
    Which connections may carry credentials: W18.
    """

    def test_tls(self) -> None:
        """
        TLS may, whoever the peer is.
        """
        transport = to(IPv4Address("TCP", "203.0.113.9", 5000))
        directlyProvides(transport, ISSLTransport)
        self.assertTrue(may_carry_secrets(transport))

    def test_unix_socket(self) -> None:
        """
        A Unix socket may.
        """
        self.assertTrue(may_carry_secrets(to(UNIXAddress(b"/run/shop"))))

    def test_loopback(self) -> None:
        """
        A connection that does not leave the machine may.
        """
        self.assertTrue(may_carry_secrets(to(IPv4Address("TCP", "127.0.0.3", 5000))))
        self.assertTrue(may_carry_secrets(to(IPv6Address("TCP", "::1", 5000))))

    def test_network(self) -> None:
        """
        Clear text to another machine may not.
        """
        self.assertFalse(may_carry_secrets(to(IPv4Address("TCP", "10.0.0.1", 5000))))
        self.assertFalse(
            may_carry_secrets(to(IPv6Address("TCP", "fe80::1%eth0", 5000)))
        )

    def test_unknown_peer(self) -> None:
        """
        A transport that does not say where it goes may not.
        """
        self.assertFalse(may_carry_secrets(to(object())))

    def test_names(self) -> None:
        """
        Of names only C{localhost} is this machine's own; a scope is passed over.
        """
        self.assertTrue(is_loopback("localhost"))
        self.assertTrue(is_loopback("::1%lo"))
        self.assertFalse(is_loopback("localhost.example.com"))
        self.assertFalse(is_loopback(""))
