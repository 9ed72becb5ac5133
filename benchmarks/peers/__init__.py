"""
What is measured: one module for each way to call a function of another process.

A peer is a module with two functions, the L{Peer} below.  A module that cannot
be imported, or a case that a peer cannot do, becomes a row with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, Protocol, cast

from benchmarks.load import Load, Measurement

#: What tables call a peer, and its module, in the order of the rows.
PEERS: Final[dict[str, str]] = {
    "bare msgspec": "benchmarks.peers.bare_msgspec",
    "bare json": "benchmarks.peers.bare_json",
    "twisted_rpc": "benchmarks.peers.framework",
    "AMP": "benchmarks.peers.amp",
    "Perspective Broker": "benchmarks.peers.perspective",
    "Thrift on Twisted": "benchmarks.peers.thrift_twisted",
    "Thrift, blocking": "benchmarks.peers.thrift_blocking",
    "grpcio": "benchmarks.peers.grpc_sync",
    "grpc.aio": "benchmarks.peers.grpc_aio",
    "grpclib": "benchmarks.peers.grpclib_aio",
    "RPyC": "benchmarks.peers.rpyc_blocking",
    "Pyro5": "benchmarks.peers.pyro",
}

#: Those that need nothing else installed, in the short version.
TWISTED: Final = (
    "bare msgspec",
    "bare json",
    "twisted_rpc",
    "AMP",
    "Perspective Broker",
)

#: The peers that ratios are taken to.
BARE: Final = "bare msgspec"
AMP: Final = "AMP"


class Peer(Protocol):
    """
    What the module of a peer provides.
    """

    #: The distribution whose version stands in the report, or C{""}.
    DISTRIBUTION: str

    @staticmethod
    def serve(ready: Callable[[int], None]) -> None:
        """
        Listen on a free port of 127.0.0.1, call C{ready} with its number, and
        serve until the process ends.
        """

    @staticmethod
    def drive(load: Load, port: int, start: Callable[[], None]) -> Measurement:
        """
        Connect to C{port}, warm up, call C{start}, and make the calls.

        @param start: returns when the other processes know that the window
            begins; it blocks, for less than a millisecond.
        """


def peer(name: str) -> Peer:
    """
    @param name: a key of L{PEERS}.

    @raise ImportError: it, or something it needs, is not installed.
    """
    return cast("Peer", import_module(PEERS[name]))
