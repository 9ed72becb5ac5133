# -*- test-case-name: tests.server.test_registry -*-
"""
What a server serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from twisted.logger import Logger
from zope.interface import alsoProvides, implementer
from zope.interface.interface import InterfaceClass

from twisted_rpc.idl import Service, service_schema
from twisted_rpc.idl.python.schema import MethodSchema, ServiceSchema
from twisted_rpc.idl.python.service import ServerT
from twisted_rpc.interfaces import IRegistry
from twisted_rpc.server.decorators import is_threaded
from twisted_rpc.server.verification.comparison import Verification
from twisted_rpc.server.verification.findings import (
    Finding,
    RegistrationError,
    described,
)
from twisted_rpc.server.verification.verify import verify

__all__ = ["ImplementedMethod", "RegisteredService", "RegistrationError", "Registry"]


class ImplementedMethod:
    """
    A method of the IDL and what runs for it.

    @ivar schema: the method, as the IDL has it.
    @ivar function: what to call with all parameters, by position.
    @ivar threaded: it blocks, by the IDL's word or the implementation's.
    @ivar resolver: what L{answers for its unknown calls<twisted_rpc.resolves>},
        or C{None}.
    @ivar name: C{"Calculator.add"}, for a log.
    """

    __slots__ = ("function", "name", "resolver", "schema", "threaded")

    def __init__(
        self,
        schema: MethodSchema,
        function: Callable[..., Any],
        resolver: Callable[..., Any] | None = None,
    ) -> None:
        self.schema = schema
        self.function = function
        self.threaded = bool(schema.threaded or is_threaded(function))
        self.resolver = resolver
        self.name = schema.full_name

    def __repr__(self) -> str:
        return f"<ImplementedMethod {self.name}>"


@dataclass(frozen=True, slots=True)
class RegisteredService:
    """
    A service and its implementation.

    @ivar methods: by their name on the wire, further names included.
    @ivar unchecked: annotations of the implementation that could not be
        resolved and were therefore not compared, in words.
    """

    schema: ServiceSchema
    implementation: Any
    methods: dict[str, ImplementedMethod]
    unchecked: Sequence[str] = ()


@implementer(IRegistry)
class Registry:
    """
    The services of a server, each verified when it is registered.

    @ivar services: by their name on the wire.
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(self) -> None:
        self.services: dict[str, RegisteredService] = {}

    @overload
    def register(
        self,
        interface: Service[Any, ServerT],
        implementation: ServerT,
        *,
        strict: bool = ...,
    ) -> None: ...

    @overload
    def register(
        self,
        interface: type[Any] | InterfaceClass,
        implementation: Any,
        *,
        strict: bool = ...,
    ) -> None: ...

    def register(
        self, interface: Any, implementation: Any, *, strict: bool = False
    ) -> None:
        """
        Serve C{interface} with C{implementation}, which provides it afterwards.

        @param interface: an interface of a loaded IDL, or its service.
        @param implementation: any object that has the interface's methods.  They
            are looked up now, once: a method that is replaced later is not seen.
        @param strict: warnings refuse the implementation too.

        @raise RegistrationError: it does not fit; every fault is named, and
            nothing was registered.
        """
        schema = service_schema(interface)
        self._check_name(schema, implementation)
        found = verify(schema, implementation)
        self._judge(schema, implementation, found, strict=strict)
        self._declare(schema, implementation)
        self.services[schema.wire_name] = RegisteredService(
            schema, implementation, _methods(schema, found), tuple(found.unchecked)
        )
        self._log.info(
            "{service} is implemented by {implementation}",
            service=schema.wire_name,
            implementation=described(implementation),
        )

    def _check_name(self, schema: ServiceSchema, implementation: Any) -> None:
        taken, name = next(
            (
                (it, name)
                for name in schema.names
                for it in self.services.values()
                if name in it.schema.names
            ),
            (None, schema.wire_name),
        )
        if taken is not None:
            message = (
                f"a service is registered as {name!r} already, declared at"
                f" {taken.schema.model.place} and implemented by"
                f" {described(taken.implementation)}"
            )
        elif schema.wire_name.startswith("$"):
            message = f"the name {schema.wire_name!r} is kept for the protocol"
        else:
            return
        fault = Finding(schema.model.place, "", message)
        raise RegistrationError(described(implementation), schema.name, [fault])

    def _judge(
        self,
        schema: ServiceSchema,
        implementation: Any,
        found: Verification,
        *,
        strict: bool,
    ) -> None:
        """
        Refuse what has faults, and log the warnings of what has none.
        """
        faults = found.findings if strict else found.faults
        warnings = [finding for finding in found.findings if finding not in faults]
        if faults:
            subject = described(implementation)
            raise RegistrationError(subject, schema.name, faults, warnings)
        for warning in warnings:
            self._log.warn("{finding}", finding=warning, service=schema.wire_name)
        for text in found.unchecked:
            self._log.debug("{text}", text=text, service=schema.wire_name)

    def _declare(self, schema: ServiceSchema, implementation: Any) -> None:
        provided: bool = schema.interface.providedBy(implementation)
        if provided:
            return
        try:
            alsoProvides(implementation, schema.interface)
        except (AttributeError, TypeError) as error:
            # It has __slots__ or is frozen.  Nothing of ours depends on the
            # declaration; what asks the object for its interfaces will.
            self._log.debug(
                "{implementation} cannot be said to provide {interface}: {error}",
                implementation=described(implementation),
                interface=schema.interface.__name__,
                error=error,
            )


def _methods(
    schema: ServiceSchema, found: Verification
) -> dict[str, ImplementedMethod]:
    made = {
        id(method): ImplementedMethod(
            method, found.functions[name], found.resolvers.get(name)
        )
        for name, method in schema.by_name.items()
    }
    return {name: made[id(method)] for name, method in schema.methods.items()}
