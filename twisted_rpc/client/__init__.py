"""
The client's half: proxies, calls, and the connections that carry them.
"""

from __future__ import annotations

from twisted_rpc.client.blocking import BlockingClient
from twisted_rpc.client.client import Client
from twisted_rpc.client.interceptors.breaking import CircuitBreaker
from twisted_rpc.client.interceptors.throttling import AdaptiveThrottle
from twisted_rpc.client.proxy import with_options
from twisted_rpc.client.retry import NO_RETRY, RetryBudget, RetryPolicy

__all__ = [
    "NO_RETRY",
    "AdaptiveThrottle",
    "BlockingClient",
    "CircuitBreaker",
    "Client",
    "RetryBudget",
    "RetryPolicy",
    "with_options",
]
