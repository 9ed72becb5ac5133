# -*- test-case-name: tests.generation.test_typing -*-
"""
The types that generated modules declare things with.

They say nothing at run time: a generated module is for editors and type checkers.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Generic, Protocol, TypeAlias, TypeVar

_T = TypeVar("_T")
_Item_co = TypeVar("_Item_co", covariant=True)

#: The type of a service's proxies.
ClientT = TypeVar("ClientT")
#: The type of a service's implementations.
ServerT = TypeVar("ServerT")

#: What a method of an implementation returns: the result, or a Deferred or
#: another awaitable of it.
Result: TypeAlias = _T | Awaitable[_T]


class Service(Generic[ClientT, ServerT]):
    """
    A service of an IDL, as type checkers see it: C{client.proxy(Bank)} is a
    C{BankClient}, and C{registry.register(Bank, it)} wants a C{BankServer}.

    @ivar name: in Python.
    @ivar wire_name: what stands in C{"service"}.
    @ivar doc: its doc comment.
    """

    name: str
    wire_name: str
    doc: str

    @property
    def digest(self) -> str:
        """C{"sha256:..."}: two peers with equal ones have the same service."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """IDL that defines the service and everything it needs."""
        raise NotImplementedError


class RPCStream(Protocol[_Item_co]):
    """
    What a method with C{stream<T>} as its result gives a caller.
    """

    def __aiter__(self) -> RPCStream[_Item_co]:
        """
        @return: itself.
        """

    def __anext__(self) -> Awaitable[_Item_co]:
        """
        @return: fires with the next item, or fails with C{StopAsyncIteration}.
        """

    def cancel(self) -> None:
        """
        Want no more items.
        """
