"""
The server's half: what is served, and how a call becomes an answer.
"""

from __future__ import annotations

from twisted_rpc.server.decorators import implements, local, resolves, threaded
from twisted_rpc.server.registry import RegistrationError, Registry
from twisted_rpc.server.service import Server

__all__ = [
    "RegistrationError",
    "Registry",
    "Server",
    "implements",
    "local",
    "resolves",
    "threaded",
]
