"""
What the tests of codecs are made of: methods from a line of IDL.
"""

from __future__ import annotations

from pathlib import Path

from twisted_rpc.idl import MethodSchema, Schema, load_idl, load_idl_text

SAMPLES = Path(__file__).with_name("samples")


def bank() -> Schema:
    """
    @return: the sample that uses every part of the language.
    """
    return load_idl(SAMPLES / "bank.idl")


def method(signature: str, definitions: str = "") -> MethodSchema:
    """
    @param signature: e.g. C{"int add(int a, int b)"}.
    @return: the method of a service C{Sample} that has it alone.
    """
    schema = load_idl_text(f"{definitions}\nservice Sample {{ {signature} }}")
    (only,) = schema.__idl__.services["Sample"].by_name.values()
    return only


def echo(type_: str, definitions: str = "", annotations: str = "") -> MethodSchema:
    """
    @return: a method that takes and returns a value of a type.
    """
    return method(f"{type_} echo({annotations} {type_} x)", definitions)
