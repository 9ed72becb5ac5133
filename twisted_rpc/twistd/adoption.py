# -*- test-case-name: tests.services.test_bank -*-
"""
An implementation that has loaded the IDL itself, for its types.

Two loads of one file make two classes of each struct.  The implementation's are
those that it returns and raises, so they are served.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any

from twisted_rpc.idl import Schema, ServiceSchema


def as_loaded_by(implementation: Any, service: ServiceSchema) -> ServiceSchema:
    """
    @return: the same service of the same file, as the implementation's module
        has loaded it or as it can be imported; C{service} if there is none.
    """
    for schema in _loaded(implementation):
        for other in schema.__idl__.services.values():
            if _file(other) == _file(service) and (
                (other.wire_name, other.digest) == (service.wire_name, service.digest)
            ):
                return other
    return service


def _file(service: ServiceSchema) -> str:
    return os.path.realpath(service.model.file.path)


def _loaded(implementation: Any) -> Iterator[Schema]:
    """
    Schemas that an implementation may have its types from, the likeliest first.
    """
    module = implementation
    if not isinstance(module, types.ModuleType):
        cls = module if isinstance(module, type) else type(module)
        module = sys.modules.get(cls.__module__)
    own = [] if module is None else vars(module).values()
    for value in (*own, *sys.modules.copy().values()):
        # Nothing is asked of other modules: some import things when they are.
        if type(value) is Schema:
            yield value
            yield from (it for it in vars(value).values() if type(it) is Schema)
