# -*- test-case-name: tests.testing.test_network -*-
"""
The real client and the real server, joined in memory and driven by a clock::

    pair = connect(registry)
    calculator = pair.client.proxy(idl.ICalculator)
    assert pair.result(calculator.add(5, 3)) == 8

Nothing is faked but the wire and the time, so that what passes here passes on
sockets; no reactor runs, and nothing sleeps.

@see: U{treq.testing <https://treq.readthedocs.io/en/latest/testing.html>}, whose
    idea it is.
"""

from twisted_rpc.testing.clock import EPOCH, MemoryClock
from twisted_rpc.testing.endpoint import MemoryEndpoint
from twisted_rpc.testing.faults import Cut, Faults
from twisted_rpc.testing.network import BUFFER, MemoryNetwork, MemoryTransport
from twisted_rpc.testing.pair import Pair, connect
from twisted_rpc.testing.proxy import FaultProxy, Proxied
from twisted_rpc.testing.simulation import (
    PEACE,
    Caller,
    Nemesis,
    ServerNode,
    Simulation,
    Violation,
    for_each_seed,
)
from twisted_rpc.testing.stores import DedupStoreTests

__all__ = [
    "BUFFER",
    "EPOCH",
    "PEACE",
    "Caller",
    "Cut",
    "DedupStoreTests",
    "FaultProxy",
    "Faults",
    "MemoryClock",
    "MemoryEndpoint",
    "MemoryNetwork",
    "MemoryTransport",
    "Nemesis",
    "Pair",
    "Proxied",
    "ServerNode",
    "Simulation",
    "Violation",
    "connect",
    "for_each_seed",
]
