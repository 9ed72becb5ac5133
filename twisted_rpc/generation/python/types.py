# -*- test-case-name: tests.generation.test_python -*-
"""
Types and values of the IDL as Python writes them.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec

from twisted_rpc.generation.python.names import Names
from twisted_rpc.idl import model
from twisted_rpc.idl.codecs.types import INTEGERS
from twisted_rpc.idl.names import enum_value_name

_BUILTINS: Final = {
    **dict.fromkeys(INTEGERS, "int"),
    "float": "float",
    "bool": "bool",
    "string": "str",
    "bytes": "bytes",
    "list": "list",
    "set": "set",
    "map": "dict",
}
_IMPORTED: Final = {
    "decimal": ("decimal", "Decimal"),
    "timestamp": ("datetime", "datetime"),
    "date": ("datetime", "date"),
    "duration": ("datetime", "timedelta"),
    "uuid": ("uuid", "UUID"),
    "any": ("typing", "Any"),
}


def type_name(names: Names, type_: model.Type) -> str:
    """
    @return: the annotation of a type.
    """
    name = _required(names, type_)
    return f"{name} | None" if type_.optional and type_.name != "any" else name


def _required(names: Names, type_: model.Type) -> str:
    if type_.definition is not None:
        return names.used(type_.definition)
    if type_.name == "void":
        return "None"
    if type_.name in _IMPORTED:
        return names.imported(*_IMPORTED[type_.name])
    name = names.builtin(_BUILTINS[type_.name])
    args = ", ".join(type_name(names, each) for each in type_.args)
    return f"{name}[{args}]" if args else name


def is_simple(type_: model.Type, value: Any) -> bool:
    """
    Whether a value is written without a name, and cannot be changed.
    """
    builtin = type_.name in {*INTEGERS, "float", "bool", "string"}
    return value is None or builtin or (type_.name == "any" and not _is_many(value))


def _is_many(value: Any) -> bool:
    return isinstance(value, list | dict)


def value_text(
    names: Names, type_: model.Type, value: Any, file: model.File | None = None
) -> str:
    """
    @param value: a JSON value of the type.
    @param file: the file it is needed in at once; C{None}: later, in a function.
    @return: the value as an expression.
    """
    if isinstance(value, str) and type_.name in {"string", "any"}:
        return quoted(value)
    if is_simple(type_, value) or type_.name == "any":
        return repr(value)
    definition = type_.definition
    if isinstance(definition, model.Enum):
        (name,) = [each.name for each in definition.values if each.wire_value == value]
        owner = names.used(definition)
        if file is not None:
            owner = names.near(definition, file)
        return f"{owner}.{enum_value_name(name)}"
    if isinstance(value, dict):
        items = [
            f"{_key(names, type_.args[0], key, file)}: "
            f"{value_text(names, type_.args[1], item, file)}"
            for key, item in value.items()
        ]
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        told = ", ".join(value_text(names, type_.args[0], it, file) for it in value)
        if type_.name == "set":
            return f"{{{told}}}" if told else f"{names.builtin('set')}()"
        return f"[{told}]"
    return _scalar(names, type_, value)


def _key(names: Names, type_: model.Type, key: str, file: model.File | None) -> str:
    if type_.name in INTEGERS:
        return key
    return value_text(names, type_, key, file)


def _scalar(names: Names, type_: model.Type, value: str) -> str:
    if type_.name == "bytes":
        return repr(msgspec.convert(value, bytes))
    module, name = _IMPORTED[type_.name]
    made = names.imported(module, name)
    if type_.name == "duration":
        duration = msgspec.convert(value, timedelta)
        parts = {"days": duration.days, "seconds": duration.seconds}
        parts["microseconds"] = duration.microseconds
        told = ", ".join(f"{part}={count}" for part, count in parts.items() if count)
        return f"{made}({told})"
    if type_.name in {"timestamp", "date"}:
        python: Any = {"timestamp": datetime, "date": date}[type_.name]
        return f"{made}.fromisoformat({quoted(msgspec.convert(value, python).isoformat())})"
    return f"{made}({quoted(value)})"


def quoted(text: str) -> str:
    """
    @return: a text as a literal of Python, for which JSON's are good too.
    """
    return json.dumps(text, ensure_ascii=not text.isprintable())
