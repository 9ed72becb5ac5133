"""
An RPC framework on Twisted.

A service is written down in a small interface definition language; clients are
proxies whose methods return Deferreds; a retried call takes effect once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from twisted_rpc._version import __version__

if TYPE_CHECKING:
    from twisted_rpc import errors, interfaces
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
    from twisted_rpc.server import (
        Registry,
        Server,
        implements,
        local,
        resolves,
        threaded,
    )
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

#: The modules of the names above.  A name is imported when it is first asked for:
#: a client needs nothing of a server, and a server no store but its own.
_MODULES: Final = {
    "twisted_rpc.call": (
        "Interceptor",
        "Request",
        "compose",
        "current_call",
    ),
    "twisted_rpc.client": (
        "AdaptiveThrottle",
        "BlockingClient",
        "CircuitBreaker",
        "Client",
        "RetryBudget",
        "RetryPolicy",
        "with_options",
    ),
    "twisted_rpc.delivery.memory": ("MemoryStore",),
    "twisted_rpc.delivery.sql.sqlite": ("SQLiteStore",),
    "twisted_rpc.errors": (
        "Code",
        "RPCError",
    ),
    "twisted_rpc.idl": ("load_idl",),
    "twisted_rpc.server": (
        "Registry",
        "Server",
        "implements",
        "local",
        "resolves",
        "threaded",
    ),
    "twisted_rpc.wire.limits": ("Limits",),
}
_MODULE_OF: Final = {
    name: module for module, names in _MODULES.items() for name in names
}


if not TYPE_CHECKING:
    # Or every name would be one to a type checker.

    def __getattr__(name: str) -> Any:
        """
        @return: what C{__all__} promises under C{name}.
        """
        if name in {"errors", "interfaces"}:
            return import_module(f"twisted_rpc.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value


def __dir__() -> list[str]:
    """
    @return: what is here, imported already or not.
    """
    return sorted({*globals(), *__all__})
