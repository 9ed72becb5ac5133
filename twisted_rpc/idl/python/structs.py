# -*- test-case-name: tests.idl.test_build -*-
"""
The base class of the IDL's structs.
"""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, kw_only=True):
    """
    A struct of an IDL: its members are keyword arguments and attributes.

    Types are not checked when it is made, but when it is sent.
    """
