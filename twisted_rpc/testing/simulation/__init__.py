# -*- test-case-name: tests.testing.test_simulation -*-
"""
Deterministic simulation: many real clients and servers on one clock, a network
that loses, delays and divides, processes that crash and start again, clocks
that are wrong; and an oracle that says whether a promise was broken.

@see: U{FoundationDB's <https://apple.github.io/foundationdb/testing.html>} and
    U{TigerBeetle's <https://docs.tigerbeetle.com/about/vopr>} simulators.
"""

from twisted_rpc.testing.simulation.nemesis import PEACE, Nemesis
from twisted_rpc.testing.simulation.nodes import Caller, ServerNode
from twisted_rpc.testing.simulation.oracle import Violation
from twisted_rpc.testing.simulation.seeds import for_each_seed
from twisted_rpc.testing.simulation.simulation import Simulation

__all__ = [
    "PEACE",
    "Caller",
    "Nemesis",
    "ServerNode",
    "Simulation",
    "Violation",
    "for_each_seed",
]
