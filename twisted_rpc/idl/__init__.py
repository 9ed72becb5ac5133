# -*- test-case-name: tests.idl -*-
"""
The interface definition language: from text to Python types, zope interfaces
and typed codecs.

It knows nothing of Twisted and nothing of the wire.
"""

from __future__ import annotations

from .build import Schema
from .enumeration import Enumeration
from .exceptions import DeclaredError
from .load import load_idl, load_idl_text, service_schema
from .schema import MethodSchema, Parameter, ServiceSchema
from .structs import Struct

__all__ = [
    "DeclaredError",
    "Enumeration",
    "MethodSchema",
    "Parameter",
    "Schema",
    "ServiceSchema",
    "Struct",
    "load_idl",
    "load_idl_text",
    "service_schema",
]
