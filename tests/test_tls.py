"""
Calls over TLS, between a server and a client on real sockets.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any

from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
)
from twisted.trial.unittest import TestCase

from services.calculator import Calc
from services.calculator.client import idl
from twisted_rpc import Client, Registry, Server

MISSING = not (find_spec("OpenSSL") and find_spec("service_identity"))


def certified() -> Any:
    """
    @return: a key and a certificate for C{localhost} that nobody else has signed.
    """
    from cryptography import x509  # noqa: PLC0415 - may not be installed
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from twisted.internet import ssl  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return ssl.PrivateCertificate.loadPEM(
        certificate.public_bytes(pem)
        + key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class TLSTests(TestCase):
    """
    The same calls, and nobody can read them.
    """

    if MISSING:
        skip = "TLS is not installed; pip install 'twisted_rpc[tls]'"

    async def test_alpn(self) -> None:
        """
        W18: both sides offer the name of the protocol, and agree on it.
        """
        from twisted.internet import reactor, ssl  # noqa: PLC0415 - importing it installs one
        from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: PLC0415

        identity = certified()
        registry = Registry()
        registry.register(idl.ICalculator, Calc())
        server = Server(registry, reactor=reactor)
        server.startService()
        listening: Any = TLSMemoryBIOFactory(identity.options(), False, server.factory)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            listening
        )
        trusting = ssl.optionsForClientTLS(
            "localhost", ssl.trustRootFromCertificates([identity])
        )
        endpoint = wrapClientTLS(
            trusting, TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        )
        async with Client(endpoint, reactor=reactor) as client:
            calculator = client.proxy(idl.ICalculator)
            self.assertEqual(await calculator.add(5, 3), 8)
            (connection,) = server.factory.shared.connections
            transport: Any = connection.transport
            self.assertEqual(transport.negotiatedProtocol, b"twisted-rpc/1")
        await port.stopListening()
        await server.stopService()
