# -*- test-case-name: tests.idl.test_build -*-
"""
A service as a zope interface, and the two classes that go with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from zope.interface import Interface, classImplements
from zope.interface.interface import InterfaceClass, Method

from twisted_rpc.idl.model import Service
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
    service: ServiceSchema,
    suffix: str,
    doc: str,
    module: str,
    bases: Sequence[type[Any]],
) -> type[Any]:
    """
    @param bases: the same class of the services in L{class_bases}.
    @return: the empty class C{<name><suffix>}, which implements the interface.
    """
    name = f"{service.model.name}{suffix}"
    namespace = {"__module__": module, "__qualname__": name, "__doc__": doc}
    built: type[Any] = type(name, tuple(bases), namespace)
    declare: Any = classImplements
    declare(built, service.interface)
    return built


def class_bases(service: Service) -> list[Service]:
    """
    @return: the services whose classes are the bases of this one's: those that
        it extends, but for those that another one extends too.  None, if Python
        finds no order for them.
    """
    return _bases(service, {})


def _bases(service: Service, made: dict[int, type[Any]]) -> list[Service]:
    classes = {id(base): _class(base, made) for base in service.bases}
    bases = [
        base
        for base in service.bases
        if not any(
            other is not classes[id(base)] and issubclass(other, classes[id(base)])
            for other in classes.values()
        )
    ]
    try:
        type("", tuple(classes[id(base)] for base in bases), {})
    except TypeError:
        return []
    return bases


def _class(service: Service, made: dict[int, type[Any]]) -> type[Any]:
    """
    @return: a class with the bases that the class of the service has.
    """
    if id(service) not in made:
        bases = tuple(_class(base, made) for base in _bases(service, made))
        made[id(service)] = type("", bases, {})
    return made[id(service)]
