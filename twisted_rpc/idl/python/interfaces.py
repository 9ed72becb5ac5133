# -*- test-case-name: tests.idl.test_build -*-
"""
A service as a zope interface, and the two classes that go with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from zope.interface import Interface, classImplements
from zope.interface.interface import InterfaceClass, Method

from twisted_rpc.idl.python.schema import MethodSchema, ServiceSchema

#: Tagged value of an interface: its L{ServiceSchema}.
SERVICE: Final = "twisted_rpc.service"

#: Tagged value of a method of an interface: its L{MethodSchema}.
METHOD: Final = "twisted_rpc.method"


def build_interface(
    service: ServiceSchema, bases: Sequence[InterfaceClass], module: str
) -> InterfaceClass:
    """
    @param bases: the interfaces of the services that it extends.
    @return: C{I<name>}.  It has the inherited methods itself, since they are
        called under this service's name.
    """
    attributes = {name: _method(schema) for name, schema in service.by_name.items()}
    interface = InterfaceClass(
        f"I{service.model.name}",
        tuple(bases) or (Interface,),
        attributes,
        service.doc,
        module,
    )
    interface.setTaggedValue(SERVICE, service)
    return interface


def _method(schema: MethodSchema) -> Method:
    method = Method(schema.name, schema.model.doc)
    method.positional = tuple(each.name for each in schema.params)
    method.required = tuple(each.name for each in schema.params if not each.has_default)
    method.optional = {
        each.name: each.default for each in schema.params if each.has_default
    }
    method.varargs = method.kwargs = None
    method.setTaggedValue(METHOD, schema)
    return method


def build_class(
    service: ServiceSchema, suffix: str, doc: str, module: str
) -> type[Any]:
    """
    @return: the empty class C{<name><suffix>}, which implements the interface.
    """
    name = f"{service.model.name}{suffix}"
    namespace = {"__module__": module, "__qualname__": name, "__doc__": doc}
    built: type[Any] = type(name, (), namespace)
    declare: Any = classImplements
    declare(built, service.interface)
    return built
