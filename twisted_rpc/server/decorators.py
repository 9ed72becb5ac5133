# -*- test-case-name: tests.server.test_decorators -*-
"""
What an implementation says about itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from zope.interface import Interface, implementer

from twisted_rpc.idl import service_schema

_F = TypeVar("_F")
_C = TypeVar("_C", bound=type)

_THREADED: Final = "_twisted_rpc_threaded"
_LOCAL: Final = "_twisted_rpc_local"
_RESOLVES: Final = "_twisted_rpc_resolves"


def threaded(function: _F) -> _F:
    """
    The method blocks: it is run in the server's thread pool, as C{@threaded} of
    the IDL says too.

    Inside, the L{current call <twisted_rpc.current_call>} is known, and nothing
    of Twisted may be touched but C{reactor.callFromThread}.
    """
    return _mark(function, _THREADED)


def local(function: _F) -> _F:
    """
    The method is public and not one of the IDL's, which is as it should be.
    """
    return _mark(function, _LOCAL)


def resolves(*methods: str) -> Callable[[_F], _F]:
    """
    The method answers for calls of other methods of its service of which nobody
    knows whether they ran, because the server stopped in the middle.

    It is asked when somebody asks for such a call, with an
    L{UnknownCall<twisted_rpc.delivery.doubt.UnknownCall>}.  What it returns is
    the result of that call, what it raises its error; that is recorded, and the
    call has it from then on.  If it cannot tell it raises
    L{OutcomeUnknown<twisted_rpc.errors.OutcomeUnknown>}.

    @param methods: their names, as in the implementation.
    """

    def mark(function: _F) -> _F:
        setattr(_plain(function), _RESOLVES, methods)
        return local(function)

    return mark


def implements(*interfaces: Any) -> Callable[[_C], _C]:
    """
    The class implements these interfaces of a loaded IDL:
    C{zope.interface.implementer}, with types that leave the class as it is, and
    for services as well as interfaces.
    """

    def declare(cls: _C) -> _C:
        declared: _C = implementer(*map(_interface, interfaces))(cls)
        return declared

    return declare


def is_threaded(function: Any) -> bool:
    """
    Whether C{function} is marked with L{threaded}.
    """
    return getattr(function, _THREADED, False) is True


def resolved_by(function: Any) -> Sequence[str]:
    """
    The methods that C{function} L{resolves}.
    """
    names: Sequence[str] = getattr(_plain(function), _RESOLVES, ())
    return names


def is_local(function: Any) -> bool:
    """
    Whether C{function} is marked with L{local}.
    """
    return getattr(_plain(function), _LOCAL, False) is True


def _mark(function: _F, name: str) -> _F:
    setattr(_plain(function), name, True)
    return function


def _plain(function: Any) -> Any:
    # A mark on a staticmethod or classmethod object is lost when it is looked up.
    return getattr(function, "__func__", function)


def _interface(interface: Any) -> Any:
    if isinstance(interface, type(Interface)):
        return interface
    return service_schema(interface).interface
