"""
Tests for connections that a proxy passes on, with the PROXY protocol: the client
is who the proxy says.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.raw import Conversation, RawPeer
from twisted_rpc import Client, Limits, Registry, Server, current_call
from twisted_rpc.errors import Unauthenticated
from twisted_rpc.idl import load_idl_text

IDL = "service Work { string who(); int slow() }"
PROXY = IPv4Address("TCP", "10.0.0.1", 4000)


class Work:
    """
    Says who calls.
    """

    def __init__(self) -> None:
        self.running: list[Deferred[int]] = []

    def who(self) -> str:
        """The peer."""
        return current_call().peer

    def slow(self) -> Deferred[int]:
        """Later."""
        self.running.append(Deferred())
        return self.running[-1]


def header(host: str, port: int = 1234) -> bytes:
    """
    @return: what a proxy sends first, in version 1.
    """
    family, other = ("TCP6", "::9") if ":" in host else ("TCP4", "10.9.9.9")
    return f"PROXY {family} {host} {other} {port} 5000\r\n".encode()


def header2(host: str, port: int = 1234) -> bytes:
    """
    @return: the same, in version 2.
    """
    addresses = socket.inet_aton(host) + socket.inet_aton("10.9.9.9")
    body = addresses + struct.pack("!HH", port, 5000)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body


class Hosts:
    """
    Knows callers by their address.
    """

    required = True

    def authenticate(self, peer: Any, auth: Any) -> str:
        """By its host."""
        host = str(peer.getPeer().host)
        if host.startswith("10.0."):
            raise Unauthenticated(message="that is the proxy")
        return host


class WrappedTests(SynchronousTestCase):
    """
    Twisted's own reading of the protocol, in memory.
    """

    def start(self, **options: Any) -> None:
        """
        Start a server.
        """
        self.work = Work()
        self.talk = Conversation(IDL, self.work, **options)
        self.addCleanup(self.talk.close)
        self.factory = HAProxyWrappingFactory(self.talk.server.factory)

    def connect(self) -> RawPeer:
        """
        @return: a proxy's connection, on which nothing was sent.
        """
        peer = RawPeer()
        protocol = self.factory.buildProtocol(PROXY)
        assert protocol is not None
        self.talk.network.connect(peer, protocol)
        return peer

    def ask(self, peer: RawPeer) -> Any:
        """
        @return: the answer to a call.
        """
        (answer,) = self.talk.say(
            peer, self.talk.request(os.urandom(8).hex(), "who", [])
        )
        return answer

    def test_who(self) -> None:
        """
        In both versions of the protocol, the header in one piece with the first
        call, or in several.
        """
        self.start()
        for number, made in enumerate((header, header2)):
            peer = self.connect()
            peer.transport.write(made("192.0.2.7", 77))
            self.assertEqual(self.ask(peer)["result"], "192.0.2.7:77")
            peer = self.connect()
            text = made("192.0.2.8", 78)
            peer.transport.write(text[:20])
            self.talk.pump()
            peer.transport.write(text[20:])
            self.assertEqual(self.ask(peer)["result"], "192.0.2.8:78", number)

    def test_limit_of_addresses(self) -> None:
        """
        The limit of connections from one address is that of the client's, not of
        the proxy's; and what has ended is forgotten.
        """
        self.start(limits=Limits(max_connections_per_address=2))
        addresses = self.talk.server.factory.shared.addresses
        peers = []
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"):
            peer = self.connect()
            peer.transport.write(header(host))
            peers.append(peer)
        # A client that connects early and calls late has all the time it wants.
        self.talk.advance(60)
        self.assertEqual([peer.lost for peer in peers], [False] * 4)
        self.assertEqual(addresses["192.0.2.1"], 2)
        third = self.connect()
        third.transport.write(header("192.0.2.1"))
        third.sendString(b"{}")
        self.talk.pump()
        self.assertTrue(third.lost)
        counters = self.talk.server.counters()
        self.assertEqual(counters["limits.max_connections_per_address"], 1)
        self.assertEqual(counters["connections_refused"], 1)
        for peer in peers:
            peer.transport.abortConnection()
        self.talk.pump()
        self.assertEqual(dict(addresses), {})

    def test_ipv6(self) -> None:
        """
        Of IPv6 whoever has one address has all that begin with the same 64 bits,
        so they count as one; what stands for an address of IPv4 counts as that.
        """
        self.start(limits=Limits(max_connections_per_address=2))
        lost = {}
        for host in (
            *(
                "2001:db8::1",
                "2001:db8::ffff:2",
                "2001:0db8:0:0:3::",
                "2001:db8:0:1::1",
            ),
            *("::ffff:192.0.2.1", "::ffff:192.0.2.2", "192.0.2.1", "::ffff:c000:201"),
        ):
            peer = self.connect()
            peer.transport.write(header(host))
            self.talk.say(peer, self.talk.request(host, "who", []))
            lost[host] = peer.lost
        addresses = self.talk.server.factory.shared.addresses
        self.assertEqual(
            dict(addresses),
            {
                "2001:db8::/64": 2,
                "2001:db8:0:1::/64": 1,
                "192.0.2.1": 2,
                "192.0.2.2": 1,
            },
        )
        refused = [host for host, it in lost.items() if it]
        self.assertEqual(refused, ["2001:0db8:0:0:3::", "::ffff:c000:201"])

    def test_callers_of_ipv6(self) -> None:
        """
        Nor has a caller whom nobody knows another place for each address of its
        own; an interface's name is no address.
        """
        self.start(limits=Limits(max_concurrency_per_principal=1))
        for host in ("fe80::1%eth0", "fe80::2%eth1", "2001:db8::1"):
            peer = self.connect()
            peer.transport.write(header(host))
            self.talk.say(peer, self.talk.request(os.urandom(8).hex(), "slow", []))
        self.assertEqual(len(self.work.running), 2)
        for each in self.work.running:
            # The one that waits begins when the first has ended.
            each.callback(0)
            self.talk.pump()
        self.assertEqual(len(self.work.running), 3)

    def test_limit_of_callers(self) -> None:
        """
        Callers whom nobody knows are told apart by their address: one of them
        that has all the calls in progress it may have holds up no other.
        """
        self.start(limits=Limits(max_concurrency_per_principal=1))
        for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            peer = self.connect()
            peer.transport.write(header(host))
            self.talk.say(peer, self.talk.request(os.urandom(8).hex(), "slow", []))
        running = self.work.running
        self.assertEqual(len(running), 2)
        self.assertEqual(self.talk.server.gauges()["calls_waiting"], 1)
        running[1].callback(2)
        self.talk.pump()
        self.assertEqual(len(running), 2)
        running[0].callback(1)
        self.talk.pump()
        self.assertEqual(len(running), 3)
        running[2].callback(3)
        self.talk.pump()
        gauges = self.talk.server.gauges()
        self.assertEqual((gauges["calls_waiting"], gauges["calls_running"]), (0, 0))

    def test_no_header(self) -> None:
        """
        What does not begin with a header is closed; what does not begin at all
        is aborted.
        """
        self.start()
        peer = self.connect()
        peer.transport.write(b"\0\0\0\x05hello, I am no proxy")
        self.talk.advance(2)
        self.assertTrue(peer.lost)
        silent = self.connect()
        self.talk.advance(11)
        self.assertTrue(silent.lost)
        self.assertEqual(self.talk.server.counters()["limits.handshake"], 1)

    def test_authenticated(self) -> None:
        """
        The authenticator sees the client's address.
        """
        self.start(authenticator=Hosts())
        peer = self.connect()
        peer.transport.write(header("192.0.2.7", 77))
        self.assertEqual(self.ask(peer)["result"], "192.0.2.7:77")


class HAProxyTests(TestCase):
    """
    HAProxy itself, in a process of its own.
    """

    async def test_through(self) -> None:
        """
        A client's calls come through HAProxy, and the server knows whose they
        are.
        """
        haproxy = shutil.which(
            "haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
        )
        if haproxy is None:
            raise SkipTest("HAProxy is not here: apt-get install haproxy")
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        idl = load_idl_text(IDL)
        registry = Registry()
        registry.register(idl.IWork, Work())
        server = Server(
            registry,
            listen=["haproxy:tcp:0:interface=127.0.0.1"],
            reactor=reactor,
            drain=0.0,
        )
        server.startService()
        self.addCleanup(server.stopService)
        assert server.listening is not None
        (port,) = await server.listening
        behind: Any = port.getHost()
        listening = socket.socket()
        self.addCleanup(listening.close)
        listening.bind(("127.0.0.1", 0))
        number = listening.getsockname()[1]
        process = self.start(haproxy, listening, behind.port)
        client = Client(
            f"tcp:127.0.0.1:{number}:bindAddress=127.0.0.9", reactor=reactor
        )
        self.addCleanup(client.close)
        who = await client.proxy(idl.IWork, wait_for_ready=True, timeout=20.0).who()
        self.assertTrue(who.startswith("127.0.0.9:"), who)
        self.assertEqual(list(server.factory.shared.addresses), ["127.0.0.9"])
        process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < end:
            await deferLater(reactor, 0.02)
        self.assertIsNotNone(process.returncode)

    def start(
        self, haproxy: str, listening: socket.socket, port: int
    ) -> subprocess.Popen[bytes]:
        """
        Start it, on a socket that is bound.
        """
        config = Path(self.mktemp())
        config.write_text(
            f"""
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend rpc
    bind fd@{listening.fileno()}
    default_backend servers
backend servers
    server a 127.0.0.1:{port} send-proxy-v2
""",
            encoding="utf-8",
        )
        process = subprocess.Popen(
            [haproxy, "-db", "-f", str(config)],
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process
