"""
Tests for the texts of endpoints, and for what is said of wrong ones.
"""

from __future__ import annotations

from importlib.util import find_spec

from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import endpoints
from twisted_rpc.endpoints import EndpointError, client_endpoint, server_endpoint
from twisted_rpc.testing import MemoryClock


class EndpointTests(SynchronousTestCase):
    """
    A wrong text is answered with what to write.
    """

    def said(self, make: object, text: str) -> str:
        """
        @return: what is said of a wrong text.
        """
        return str(self.assertRaises(EndpointError, make, MemoryClock(), text))

    def test_right(self) -> None:
        """
        What Twisted knows is made.
        """
        for make, text, kind in (
            (client_endpoint, "tcp:127.0.0.1:5000", TCP4ClientEndpoint),
            (client_endpoint, "tcp:host=localhost:port=5000", TCP4ClientEndpoint),
            (client_endpoint, "unix:/run/rpc.sock", UNIXClientEndpoint),
            (server_endpoint, "tcp:5000:interface=127.0.0.1", TCP4ServerEndpoint),
            (server_endpoint, "unix:/run/rpc.sock", UNIXServerEndpoint),
        ):
            self.assertIsInstance(make(MemoryClock(), text), kind)

    def test_where_to_connect(self) -> None:
        """
        Of a client's endpoint: the kind, then the host, then the port.
        """
        for text, said in (
            ("127.0.0.1:5000", "write tcp:127.0.0.1:5000"),
            ("localhost:5000", "write tcp:localhost:5000"),
            ("http://localhost:5000", "write tcp:localhost:5000"),
            ("tcp://localhost:5000", "write tcp:localhost:5000"),
            ("5000", "'5000' is no kind of endpoint, and there is no colon"),
            ("tcp:localhost", "tcp: endpoints have other arguments"),
            ("tcp:localhost:http", "no number where the port should be"),
            ("tcp:localhost:99999", "ports go from 0 to 65535"),
            ("ssl:localhost:5000", "use tls:"),
        ):
            self.assertIn(said, self.said(client_endpoint, text))

    def test_where_to_listen(self) -> None:
        """
        Of a server's: the kind, then the port, then the interface.
        """
        for text, said in (
            ("127.0.0.1:5000", "write tcp:5000:interface=127.0.0.1"),
            ("tcp:127.0.0.1:5000", "write tcp:5000:interface=127.0.0.1"),
            ("tcp:localhost:5000", "write tcp:5000:interface=localhost"),
            ("tcp:rpc", "no number where the port should be in 'rpc'"),
            ("tcp:99999", "ports go from 0 to 65535"),
            ("5000", "there is no colon; write, for example, tcp:5000"),
            ("tpc:5000", "'tpc' is no kind of endpoint; write"),
            ("ssl:5000", "use tls:"),
        ):
            self.assertIn(said, self.said(server_endpoint, text))

    def test_no_tls(self) -> None:
        """
        Where TLS is not installed, the extra is named that brings it.
        """
        self.patch(
            endpoints,
            "find_spec",
            lambda name: None if name == "OpenSSL" else find_spec(name),
        )
        for make in (client_endpoint, server_endpoint):
            self.assertIn("twisted_rpc[tls]", self.said(make, "tls:localhost:5000"))
