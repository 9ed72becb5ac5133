# -*- test-case-name: tests.server.test_verify -*-
"""
Does an implementation fit the IDL?

Everything is looked at, and every finding is reported, before a port is open.
zope's own check knows how many arguments a method takes and no more: it passes
C{transfer(to, from_id)} with swapped names.  So ours runs first and zope's last.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Sequence
from typing import Any

from zope.interface import providedBy
from zope.interface.exceptions import BrokenMethodImplementation, Invalid
from zope.interface.verify import verifyObject

from twisted_rpc.idl.python.schema import ServiceSchema
from twisted_rpc.server.decorators import is_local, resolved_by
from twisted_rpc.server.verification.comparison import (
    Comparison,
    Verification,
    class_of,
)
from twisted_rpc.server.verification.findings import (
    Finding,
    in_order,
    name_of,
    source_of,
)


def verify(service: ServiceSchema, implementation: Any) -> Verification:
    """
    Compare C{implementation} with C{service}.
    """
    found = Verification()
    if isinstance(implementation, type) and not _answers_itself(
        service, implementation
    ):
        name = implementation.__name__
        found.findings.append(
            Finding(
                service.model.place,
                "",
                f"{name} is a class; register an instance, {name}()",
                source_of(implementation),
            )
        )
        return found
    extra = _extra_names(service, implementation)
    for name, method in service.by_name.items():
        Comparison(method, name, implementation, found).look_up(extra)
    found.findings.extend(_unenforced(service))
    found.findings.extend(_resolvers(service, implementation, found))
    found.findings.extend(_extra(service, implementation, extra))
    if not found.faults:
        found.findings.extend(_zope(service, implementation))
    found.findings = in_order(found.findings)
    return found


def _answers_itself(service: ServiceSchema, cls: type) -> bool:
    """
    Whether a class has the methods as static or class methods.
    """
    kinds = [type(inspect.getattr_static(cls, name, None)) for name in service.by_name]
    return types.FunctionType not in kinds


def _unenforced(service: ServiceSchema) -> Iterator[Finding]:
    """
    What the IDL asks for and a server would leave undone, in silence.
    """
    for name, method in service.by_name.items():
        model = method.model
        given = [
            it.annotations["auth"]
            for it in (model, service.model, model.declared_in)
            if "auth" in it.annotations
        ]
        # The method's own replaces the service's.  Of the services, one that is
        # open to all does not open what another has closed.
        judged = given[:1] if "auth" in model.annotations else given
        for annotation in judged:
            if annotation.args.get("public") is not True:
                message = "@auth cannot be enforced yet"
                yield Finding(annotation.place, name, message)
                break


def _resolvers(
    service: ServiceSchema, implementation: Any, found: Verification
) -> Iterator[Finding]:
    """
    Collect what answers for unknown calls, and find what never would.
    """
    for name, value in _members(implementation).items():
        for method in resolved_by(value):
            schema = service.by_name.get(method)
            if schema is None:
                text = f"{name} resolves {method!r}, which is no method of the service"
            elif schema.delivery != "once":
                text = f"{name} resolves {method!r}, which is @{schema.delivery} and never unknown"
            elif method in found.resolvers:
                text = f"{name} resolves {method!r}, which another method does already"
            else:
                found.resolvers[method] = getattr(implementation, name)
                continue
            place = service.model.place if schema is None else schema.model.place
            yield Finding(place, name, text, source_of(value))


def _extra(
    service: ServiceSchema, implementation: Any, names: Sequence[str]
) -> list[Finding]:
    return [
        Finding(
            service.model.place,
            name,
            f"{name_of(implementation)}.{name} is public and not in the IDL; mark it"
            " @local if that is meant",
            source_of(getattr(implementation, name)),
            warning=True,
        )
        for name in names
    ]


def _extra_names(service: ServiceSchema, implementation: Any) -> list[str]:
    """
    Public methods that the IDL does not have, and no other interface either.
    """
    known = set(service.by_name)
    for interface in providedBy(implementation):
        known.update(interface.names(all=True))
    return [
        name
        for name, value in _members(implementation).items()
        if not name.startswith("_")
        and name not in known
        and _is_method(value)
        and not is_local(value)
    ]


def _members(implementation: Any) -> dict[str, Any]:
    if isinstance(implementation, types.ModuleType):
        return {
            name: value
            for name, value in vars(implementation).items()
            if getattr(value, "__module__", None) == implementation.__name__
        }
    if isinstance(implementation, types.SimpleNamespace):
        return dict(vars(implementation))
    members: dict[str, Any] = {}
    for cls in reversed(class_of(implementation).__mro__[:-1]):
        members.update(vars(cls))
    return members


def _is_method(value: Any) -> bool:
    return isinstance(value, (types.FunctionType, staticmethod, classmethod))


def _zope(service: ServiceSchema, implementation: Any) -> list[Finding]:
    """
    What zope finds that we did not.

    About the arguments of methods it is too strict: a method may leave out the
    IDL's defaults, because every parameter is passed.
    """
    try:
        verifyObject(service.interface, implementation, tentative=True)
    except Invalid as error:
        broken = getattr(error, "exceptions", [error])
    else:
        return []
    return [
        Finding(
            service.model.place, "", str(error), source_of(class_of(implementation))
        )
        for error in broken
        if not isinstance(error, BrokenMethodImplementation)
    ]
