# -*- test-case-name: tests.server.test_annotations -*-
"""
Whether a Python annotation goes with an IDL type.

A parameter must be able to take every value of its IDL type (L{accepts}); a
result must not be anything outside it (L{within}).  What cannot be judged, a
type variable or a protocol, passes: this finds mistakes and proves nothing.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import inspect
import sys
import types
import typing
import uuid
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

from twisted.internet.defer import Deferred

from twisted_rpc.idl.model import Enum, Struct, Type, Union_

#: The Python type of each IDL type with a name of its own.
PYTHON: dict[str, type] = {
    **dict.fromkeys(("int", "int32", "uint32", "int64", "uint64"), int),
    "float": float,
    "bool": bool,
    "string": str,
    "bytes": bytes,
    "decimal": decimal.Decimal,
    "timestamp": dt.datetime,
    "date": dt.date,
    "duration": dt.timedelta,
    "uuid": uuid.UUID,
    "void": types.NoneType,
    "list": list,
    "set": set,
    "map": dict,
}

#: An annotation that names something only a type checker can find.
UNRESOLVED: Any = type("Unresolved", (), {"__repr__": lambda self: "UNRESOLVED"})()

_JSON = tuple(
    Type(name) for name in ("void", "bool", "int", "float", "string", "list", "map")
)
_NEVER = (typing.NoReturn, typing.Never)
_ABSTRACT: dict[type, tuple[Any, ...]] = {
    list: (collections.abc.Sequence, collections.abc.MutableSequence),
    set: (collections.abc.Set, collections.abc.MutableSet),
    dict: (collections.abc.Mapping, collections.abc.MutableMapping),
}


def resolve(annotation: Any, function: Any) -> Any:
    """
    What C{annotation} of C{function} means.

    @return: C{Any} if there is none; L{UNRESOLVED} for a text whose names are
        not there when the program runs (imported C{if TYPE_CHECKING}, say).
    """
    if annotation is inspect.Parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    scope = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=scope)["it"]
    except Exception:  # noqa: BLE001 - a text may raise whatever it likes
        return UNRESOLVED


def signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """
    The parameters of C{function}, or C{None} where Python does not know them.
    """
    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - not there before 3.14

        # Annotations are evaluated when they are asked for; a name that only a
        # type checker sees would raise here.
        options["annotation_format"] = annotationlib.Format.FORWARDREF
    try:
        return inspect.signature(function, **options)
    except (TypeError, ValueError):
        return None


def accepts(annotation: Any, kind: Type) -> bool:
    """
    Whether a parameter annotated so can take every value of C{kind}.

    The elements of C{list<any>} may be annotated as anything: the classic
    C{list} has no way to say what they are.
    """
    annotation = _plain(annotation)
    if _open(annotation):
        return True
    parts = _parts(kind)
    if _is_union(annotation):
        members = get_args(annotation)
        return all(any(accepts(member, part) for member in members) for part in parts)
    return all(_accepts_part(annotation, part) for part in parts)


def within(annotation: Any, kind: Type) -> bool:
    """
    Whether a result annotated so is never anything that C{kind} is not.
    """
    annotation = _plain(annotation)
    if kind.name == "any" or _open(annotation) or annotation in _NEVER:
        return True
    if _is_union(annotation):
        return all(within(member, kind) for member in get_args(annotation))
    if get_origin(annotation) is Literal:
        return all(within(type(value), kind) for value in get_args(annotation))
    return any(_within_part(annotation, part) for part in _parts(kind))


def awaited(annotation: Any, *, generator: bool = False) -> list[Any]:
    """
    What comes of a result annotated so, once it is there: C{Deferred[T]},
    C{Awaitable[T]} and C{Coroutine[Any, Any, T]} become C{T}.

    @param generator: it is the annotation of a generator that is run as
        C{inlineCallbacks}; its C{return} is the result.

    @return: the alternatives of a union, at least one.
    """
    annotation = _plain(annotation)
    if _is_union(annotation):
        return [
            kind
            for member in get_args(annotation)
            for kind in awaited(member, generator=generator)
        ]
    origin = get_origin(annotation) or annotation
    if _is_subclass(origin, Awaitable) or origin is Deferred:
        return awaited(_last(annotation), generator=generator)
    if generator and _is_subclass(origin, Generator):
        arguments = get_args(annotation)
        return awaited(arguments[2] if len(arguments) == 3 else Any)
    return [annotation]


def streamed(annotation: Any) -> Any:
    """
    What an async iterator annotated so gives, or C{None} if it is not one.
    """
    annotation = _plain(annotation)
    if _open(annotation):
        return Any
    origin = get_origin(annotation) or annotation
    if not _is_subclass(origin, collections.abc.AsyncIterable):
        return None
    arguments = get_args(annotation)
    return arguments[0] if arguments else Any


def python_name(kind: Type) -> str:
    """
    The Python type that stands for C{kind}, as it is written in Python.
    """
    if kind.definition is not None:
        text = kind.definition.name
    elif kind.name == "any":
        text = "object"
    elif kind.name == "stream":
        text = f"AsyncIterator[{python_name(kind.args[0])}]"
    else:
        text = _written(PYTHON[kind.name])
        if kind.args:
            text += f"[{', '.join(map(python_name, kind.args))}]"
    return f"{text} | None" if kind.optional else text


def shown(annotation: Any) -> str:
    """
    C{annotation} as a person wrote it, nearly.
    """
    if isinstance(annotation, str):
        return annotation
    return inspect.formatannotation(annotation)


def _written(python: type) -> str:
    if python is types.NoneType:
        return "None"
    module = python.__module__
    return python.__name__ if module == "builtins" else f"{module}.{python.__name__}"


def _plain(annotation: Any) -> Any:
    """
    Without what makes no difference: C{NewType}, C{type X = ...}, C{Annotated}.
    """
    if annotation is None:
        return types.NoneType
    for _ in range(20):
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif get_origin(annotation) is typing.Annotated:
            annotation = get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            break
    return annotation


def _open(annotation: Any) -> bool:
    """
    It takes, or may be, anything.
    """
    return (
        annotation in (Any, object, inspect.Parameter.empty, UNRESOLVED)
        or isinstance(annotation, (TypeVar, ForwardRef, str))
        or (
            not isinstance(get_origin(annotation) or annotation, type)
            and not _is_union(annotation)
            and get_origin(annotation) is not Literal
            and annotation not in _NEVER
        )
    )


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _parts(kind: Type) -> tuple[Type, ...]:
    """
    C{kind} as a union: of C{T?}, of a union's structs, of what JSON can be.
    """
    if kind.optional:
        whole = Type(kind.name, kind.args, definition=kind.definition)
        return (*_parts(whole), Type("void"))
    if kind.name == "any":
        return _JSON
    if isinstance(kind.definition, Union_):
        return tuple(Type("", definition=struct) for struct in kind.definition.structs)
    return (kind,)


def _accepts_part(annotation: Any, kind: Type) -> bool:
    if kind.name == "stream":
        item = streamed(annotation)
        return item is not None and accepts(item, kind.args[0])
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return kind.name == "bool" and {True, False} <= set(get_args(annotation))
    if kind.definition is not None:
        return origin.__name__ in _lineage(kind.definition)
    python = PYTHON[kind.name]
    if not (_is_subclass(python, origin) or origin in _wider(python)):
        return False
    return all(
        (element.name == "any" and kind.name == "list") or accepts(argument, element)
        for argument, element in _elements(annotation, kind)
    )


def _within_part(annotation: Any, kind: Type) -> bool:
    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type):
        return False
    if kind.definition is not None:
        return any(base.__name__ == kind.definition.name for base in origin.__mro__)
    python = PYTHON[kind.name]
    if not (
        _is_subclass(origin, _narrower(python)) or origin in _ABSTRACT.get(python, ())
    ):
        return False
    if python is not bool and _is_subclass(origin, bool):
        return False
    if kind.name == "date" and _is_subclass(origin, dt.datetime):
        return False
    return all(
        within(argument, element) for argument, element in _elements(annotation, kind)
    )


def _wider(python: type) -> tuple[Any, ...]:
    # The numeric tower of PEP 484: float stands for int, complex for both.
    return {int: (float, complex), float: (complex,)}.get(python, ())


def _narrower(python: type) -> tuple[type, ...]:
    # What the check before sending lets pass as well.
    more: dict[type, tuple[type, ...]] = {
        float: (int,),
        bytes: (bytearray,),
        list: (tuple,),
        set: (frozenset, list, tuple),
    }
    return (python, *more.get(python, ()))


def _elements(annotation: Any, kind: Type) -> Sequence[tuple[Any, Type]]:
    """
    Each argument of a generic annotation, beside the IDL's.
    """
    arguments = [
        argument for argument in get_args(annotation) if argument is not Ellipsis
    ]
    if not kind.args:
        return ()
    if kind.name == "map":
        return list(zip(arguments, kind.args, strict=False))
    return [(argument, kind.args[0]) for argument in arguments]


def _lineage(definition: Struct | Enum | Union_) -> set[str]:
    """
    The names of classes that can stand for C{definition} as a parameter.
    """
    names = {"Enum", "Enumeration"} if isinstance(definition, Enum) else {"Struct"}
    step: Any = definition
    while step is not None:
        names.add(step.name)
        step = getattr(step, "base", None)
    return names


def _last(annotation: Any) -> Any:
    arguments = get_args(annotation)
    return arguments[-1] if arguments else Any


def _is_subclass(one: Any, other: Any) -> bool:
    try:
        return issubclass(one, other)
    except TypeError:
        # A protocol that cannot be asked while the program runs.
        return True
