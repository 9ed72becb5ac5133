# -*- test-case-name: tests.idl.test_build -*-
"""
The ways in: from a file, from a text, and from what a caller has at hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from zope.interface.interface import InterfaceClass

from twisted_rpc.idl.python.build import Schema, build
from twisted_rpc.idl.python.interfaces import SERVICE
from twisted_rpc.idl.python.schema import ServiceSchema
from twisted_rpc.idl.reader import read_file, read_text

Path = str | os.PathLike[str]


def load_idl(
    path: Path, include: Iterable[Path] = (), module: str | None = None
) -> Schema:
    """
    Read an IDL file and build its Python types.

    @param include: folders in which imported files are searched, after that of
        the file which imports them.
    @param module: what the module is called; it is then importable, and its
        values can be pickled.
    @return: a module object with the types, interfaces and services.
    @raise IDLError: if the file cannot be read, or not be used until somebody
        edits it.
    """
    folders = tuple(os.fspath(each) for each in include)
    return build(read_file(os.fspath(path), folders), module)


def load_idl_text(text: str, name: str = "<text>") -> Schema:
    """
    The same for a text, e.g. one that a server answered by reflection.

    @param name: what the text is called in errors.
    """
    return build(read_text(text, name, ()))


def service_schema(service: Any) -> ServiceSchema:
    """
    @param service: C{bank.IBank} or C{bank.Bank}.
    @raise TypeError: if it is neither.
    """
    if isinstance(service, ServiceSchema):
        return service
    if isinstance(service, InterfaceClass):
        # An interface of user code that extends one of ours is no service,
        # although it inherits its tagged values.
        found = service.queryTaggedValue(SERVICE)
        if isinstance(found, ServiceSchema) and found.interface is service:
            return found
        raise TypeError(
            f"{service.__module__}.{service.__name__} is no service of an IDL"
        )
    if isinstance(service, Schema):
        names = ", ".join(f"I{name}" for name in service.__idl__.services)
        raise TypeError(
            f"{service.__name__} is a whole IDL; say which service: {names}"
        )
    raise TypeError(
        f"expected a service of an IDL or its interface, got {service!r:.100}"
    )
