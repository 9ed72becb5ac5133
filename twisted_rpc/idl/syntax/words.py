# -*- test-case-name: tests.idl.test_meaning -*-
"""
The words of the language, and what people write instead of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

INTEGERS: Final = {
    "int": (None, None),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
#: Types without arguments.
SCALARS: Final = (
    *INTEGERS,
    *("float", "bool", "string", "bytes", "decimal"),
    *("timestamp", "date", "duration", "uuid", "any", "void"),
)
#: The types with arguments, how they are written, and how many they take.
GENERICS: Final = {
    "list": ("list<T>", 1),
    "set": ("set<K>", 1),
    "map": ("map<K, V>", 2),
    "stream": ("stream<T>", 1),
}
TYPE_WORDS: Final = frozenset({*SCALARS, *GENERICS})
#: What can be the key of a map and the element of a set, besides enums.
KEYS: Final = ("string", "int", "int32", "int64", "uint32", "uuid", "date")
#: What no type can be called.
RESERVED: Final = TYPE_WORDS | {"oneway", "throws", "extends"}

DEFINITION_WORDS: Final = (
    "service",
    "struct",
    "enum",
    "union",
    "exception",
    "const",
    "import",
    "namespace",
)

_OTHER_TYPES: Final = {
    "array": "list<any>",
    "binary": "bytes",
    "blob": "bytes",
    "boolean": "bool",
    "byte": "int32",
    "char": "string",
    "datetime": "timestamp",
    "dict": "map<string, any>",
    "double": "float",
    "float32": "float",
    "float64": "float",
    "i16": "int32",
    "i32": "int32",
    "i64": "int64",
    "i8": "int32",
    "integer": "int",
    "json": "any",
    "long": "int64",
    "none": "void",
    "number": "float",
    "object": "map<string, any>",
    "short": "int32",
    "str": "string",
    "text": "string",
    "time": "timestamp",
    "timedelta": "duration",
    "u32": "uint32",
    "u64": "uint64",
    "unsigned": "uint64",
}
_OTHER_DEFINITIONS: Final = {
    "class": "struct",
    "constant": "const",
    "error": "exception",
    "include": "import",
    "interface": "service",
    "message": "struct",
    "module": "namespace",
    "oneof": "union",
    "package": "namespace",
    "protocol": "service",
    "record": "struct",
    "trait": "service",
    "using": "import",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """
    @return: which of the known words is meant, or C{""} if none is near.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - 2 ms, for who mistypes

    spelt = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), spelt, 1, 0.6)
    return spelt[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """
    @return: a hint, or C{""}.
    """
    found = nearest(word, known)
    return f"did you mean '{found}'?" if found else ""


def definition_hint(word: str) -> str:
    """
    @return: which word for a definition is meant, as a hint, or C{""}.
    """
    other = _OTHER_DEFINITIONS.get(word.lower())
    return f"did you mean '{other}'?" if other else did_you_mean(word, DEFINITION_WORDS)


def type_hint(word: str, declared: Iterable[str]) -> str:
    """
    @return: which type is meant, as a hint, or C{""}.
    """
    other = _OTHER_TYPES.get(word.lower())
    if other:
        return f"did you mean '{other}'?"
    return did_you_mean(word, [*TYPE_WORDS, *declared])
