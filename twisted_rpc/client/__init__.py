"""
The client's half: proxies, calls, and the connections that carry them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from twisted_rpc.client.client import Client
from twisted_rpc.client.proxy import with_options
from twisted_rpc.client.retry import NO_RETRY, RetryBudget, RetryPolicy

if TYPE_CHECKING:
    from twisted_rpc.client.blocking import BlockingClient
    from twisted_rpc.client.interceptors.breaking import CircuitBreaker
    from twisted_rpc.client.interceptors.throttling import AdaptiveThrottle

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

#: The modules of what few clients use; imported when it is first asked for.
_LATE: Final = {
    "AdaptiveThrottle": "interceptors.throttling",
    "BlockingClient": "blocking",
    "CircuitBreaker": "interceptors.breaking",
}


if not TYPE_CHECKING:
    # As in twisted_rpc.

    def __getattr__(name: str) -> Any:
        """
        @return: what C{__all__} promises under C{name}.
        """
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"twisted_rpc.client.{_LATE[name]}")
        value = globals()[name] = getattr(module, name)
        return value
