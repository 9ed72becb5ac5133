"""
An RPC framework on Twisted.

A service is written down in a small interface definition language; clients are
proxies whose methods return Deferreds; a retried call takes effect once.
"""

from __future__ import annotations

from twisted_rpc import errors, interfaces
from twisted_rpc._version import __version__
from twisted_rpc.call import Interceptor, Request, compose, current_call
from twisted_rpc.client import (
    AdaptiveThrottle,
    BlockingClient,
    CircuitBreaker,
    Client,
    RetryBudget,
    RetryPolicy,
    with_options,
)
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl import load_idl
from twisted_rpc.server import Registry, Server, implements, local, resolves, threaded
from twisted_rpc.wire.limits import Limits

__all__ = [
    "AdaptiveThrottle",
    "BlockingClient",
    "CircuitBreaker",
    "Client",
    "Code",
    "Interceptor",
    "Limits",
    "MemoryStore",
    "RPCError",
    "Registry",
    "Request",
    "RetryBudget",
    "RetryPolicy",
    "SQLiteStore",
    "Server",
    "__version__",
    "compose",
    "current_call",
    "errors",
    "implements",
    "interfaces",
    "load_idl",
    "local",
    "resolves",
    "threaded",
    "with_options",
]
