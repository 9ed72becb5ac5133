# -*- test-case-name: tests.idl.test_build -*-
"""
What a name of the IDL is called in Python.

Names stay as they are written.  Where Python, L{enum} or L{RPCError} has the
word already, C{_} is appended; the name on the wire does not change.
"""

from __future__ import annotations

import keyword
from typing import Final

from twisted_rpc.errors import RPCError
from twisted_rpc.idl.model import Field

#: Words that an L{enum.Enum} keeps for itself.
_OF_ENUMS: Final = frozenset({"name", "value", "mro", "known"})

#: What every exception has already; C{message} is meant to be shared.
_OF_EXCEPTIONS: Final = (frozenset(dir(RPCError())) | {"args"}) - {"message"}


def python_name(name: str) -> str:
    """
    @return: the name of a definition, method or struct member.
    """
    return name + "_" if keyword.iskeyword(name) else name


def parameter_name(name: str) -> str:
    """
    @return: the name of a parameter; C{self} is the implementation's.
    """
    return "self_" if name == "self" else python_name(name)


def enum_value_name(name: str) -> str:
    """
    @return: the name of an enum's value.
    """
    return name + "_" if name in _OF_ENUMS else python_name(name)


def exception_member_name(name: str) -> str:
    """
    @return: the name of an exception's attribute.
    """
    return name + "_" if name in _OF_EXCEPTIONS else python_name(name)


def exception_attribute(field: Field) -> str:
    """
    @return: the same for a member with its type: a C{message} that is no string
        would break C{str()} of the exception, and one that is C{@sensitive} would
        be in it.
    """
    is_text = field.type.name == "string" and "sensitive" not in field.annotations
    if field.name == "message" and not is_text:
        return "message_"
    return exception_member_name(field.name)
