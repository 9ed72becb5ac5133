"""
A peer that sends and reads frames, and knows nothing else.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from twisted_rpc.idl import load_idl_text
from twisted_rpc.server import Registry, Server
from twisted_rpc.testing import MemoryClock, MemoryNetwork
from twisted_rpc.testing.network import settle


class RawPeer(Int32StringReceiver):
    """
    One end of a connection.

    @ivar frames: what came, as JSON values.
    @ivar lost: the connection has ended.
    """

    MAX_LENGTH = 2**31
    transport: Any

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.lost = False

    def stringReceived(self, string: bytes) -> None:
        """Keep it."""
        self.frames.append(json.loads(string))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Note it."""
        self.lost = True


class Conversation:
    """
    A real server in memory, and peers that write frames by hand.
    """

    def __init__(self, idl: str, implementation: Any, **options: Any) -> None:
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.idl = load_idl_text(idl)
        registry = Registry()
        for service in self.idl.__idl__.services.values():
            registry.register(service, implementation)
        self.server = Server(
            registry, reactor=self.clock, wall=self.clock.seconds, **options
        )
        self.server.factory.doStart()
        self.server.startService()
        self.clock.advance(1)

    def connect(self) -> RawPeer:
        """
        @return: a peer that is connected.
        """
        peer = RawPeer()
        protocol = self.server.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        if protocol is None:
            peer.lost = True
            return peer
        self.network.connect(peer, protocol)
        return peer

    def pump(self) -> None:
        """
        Deliver everything.
        """
        settle(self.network, self.clock)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """
        Let time pass.
        """
        end = self.clock.seconds() + seconds
        while (left := end - self.clock.seconds()) > 1e-9:
            self.clock.advance(min(step, left))
            self.pump()

    def say(self, peer: RawPeer, *messages: Any) -> list[Any]:
        """
        Send messages, as JSON values or as bytes.

        @return: what came for them.
        """
        before = len(peer.frames)
        for message in messages:
            peer.sendString(
                message if isinstance(message, bytes) else json.dumps(message).encode()
            )
        self.pump()
        return peer.frames[before:]

    def hello(self, peer: RawPeer, **params: Any) -> Any:
        """
        @return: the answer to hello.
        """
        (answer,) = self.say(
            peer,
            {
                "request_id": "$hello",
                "service": "$rpc",
                "method": "hello",
                "params": [{"versions": [1], **params}],
                "timestamp": self.clock.seconds(),
            },
        )
        return answer

    def extended(self, **params: Any) -> tuple[RawPeer, str]:
        """
        @return: a peer that has said hello, and its session.
        """
        peer = self.connect()
        return peer, self.hello(peer, **params)["result"]["session"]

    def request(
        self, request_id: str, method: str, params: Any, **more: Any
    ) -> dict[str, Any]:
        """
        @return: a request to the first service.
        """
        service = next(iter(self.idl.__idl__.services))
        return {
            "request_id": request_id,
            "service": service,
            "method": method,
            "params": params,
            "timestamp": self.clock.seconds(),
            **more,
        }

    def control(self, peer: RawPeer, method: str, *params: Any, **more: Any) -> Any:
        """
        @return: the answer to a control call, or C{None}.
        """
        answers = self.say(
            peer,
            {
                "request_id": "$1",
                "service": "$rpc",
                "method": method,
                "params": list(params),
                "timestamp": 1,
                **more,
            },
        )
        return answers[-1] if answers else None

    def close(self) -> None:
        """
        Stop the server, and see that it leaves no timer.
        """
        self.server.stopService()
        self.advance(30)
        left = self.clock.getDelayedCalls()
        assert not left, left
