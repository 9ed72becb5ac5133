"""
Thrift with blocking sockets, its accelerated binary protocol, and a thread for
each connection of the server.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from thrift.protocol.TBinaryProtocol import (
    TBinaryProtocolAcceleratedFactory,
)
from thrift.server.TServer import TThreadedServer
from thrift.transport.TSocket import TServerSocket, TSocket
from thrift.transport.TTransport import TBufferedTransport, TBufferedTransportFactory

from benchmarks.blocking import driving
from benchmarks.peers.thrift_code import Implementation, generated

DISTRIBUTION = "thrift"

service, types = generated("py")


def serve(ready: Callable[[int], None]) -> None:
    """Serve on a free port."""
    # It does not tell which port it was given, so one is taken before.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listening = TServerSocket("127.0.0.1", port)
    listening.listen()
    listening.listen = lambda: None
    ready(port)
    TThreadedServer(
        service.Processor(Implementation()),
        listening,
        TBufferedTransportFactory(),
        TBinaryProtocolAcceleratedFactory(),
        daemon=True,
    ).serve()


def connect(port: int) -> Any:
    """Connect to the server on C{port}."""
    transport = TBufferedTransport(TSocket("127.0.0.1", port))
    client = service.Client(TBinaryProtocolAcceleratedFactory().getProtocol(transport))
    client.order = types.Order
    transport.open()
    return client


drive = driving(connect)
