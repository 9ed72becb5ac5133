# -*- test-case-name: tests.idl -*-
"""
The interface definition language: from text to Python types, zope interfaces
and typed codecs.

It knows nothing of Twisted and nothing of the wire.
"""

from __future__ import annotations

from twisted_rpc.idl.load import load_idl, load_idl_text, service_schema
from twisted_rpc.idl.python.build import Declarations, Schema
from twisted_rpc.idl.python.enumeration import Enumeration
from twisted_rpc.idl.python.exceptions import DeclaredError, DeclaredException
from twisted_rpc.idl.python.schema import MethodSchema, Parameter, ServiceSchema
from twisted_rpc.idl.python.service import Result, RPCStream, Service
from twisted_rpc.idl.python.structs import Struct

__all__ = [
    "Declarations",
    "DeclaredError",
    "DeclaredException",
    "Enumeration",
    "MethodSchema",
    "Parameter",
    "RPCStream",
    "Result",
    "Schema",
    "Service",
    "ServiceSchema",
    "Struct",
    "load_idl",
    "load_idl_text",
    "service_schema",
]
