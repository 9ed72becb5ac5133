# -*- test-case-name: tests.idl.test_meaning -*-
"""
C{@length}, C{@range} and C{@pattern}: what they may constrain, whether they make
sense, and whether a default keeps to them.
"""

from __future__ import annotations

import base64
import re
from decimal import Decimal
from typing import Any, Final

from twisted_rpc.idl import model
from twisted_rpc.idl.codecs.facts import uuid_limit
from twisted_rpc.idl.semantics.scope import Faults
from twisted_rpc.idl.semantics.usage import UNKNOWN
from twisted_rpc.idl.semantics.values import INVALID
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.words import INTEGERS

#: What each of them is for, in words and as types.
CONSTRAINED: Final = {
    "length": "string, bytes, list, set and map",
    "range": "integers, float and decimal",
    "pattern": "string",
}
_TYPES: Final = {
    "length": frozenset({"string", "bytes", "list", "set", "map"}),
    "range": frozenset({*INTEGERS, "float", "decimal"}),
    "pattern": frozenset({"string"}),
}


def may_constrain(name: str, type: model.Type) -> bool:
    """
    Whether an annotation can be on something of a type.
    """
    return name not in _TYPES or type.name in _TYPES[name] or type.name == UNKNOWN


def check_constraints(
    faults: Faults, nodes: list[tree.Annotation], found: model.Annotations
) -> None:
    """
    Note constraints that nothing can keep to.

    @param nodes: the annotations as they were written.
    @param found: those of them that are right otherwise; the faulty ones are
        removed.
    """
    for node in nodes:
        annotation = found.get(node.name)
        if annotation is None or node.name not in _TYPES:
            continue
        message = _nonsense(annotation)
        if message:
            faults.add(node, message)
            del found[node.name]


def _nonsense(annotation: model.Annotation) -> str:
    if annotation.name == "pattern":
        try:
            re.compile(annotation.args["pattern"])
        except (re.error, OverflowError, RecursionError) as error:
            return f"this is no regular expression: {error}"
        return ""
    low, high = _bounds(annotation)
    if low is not None and high is not None and low > high:
        return f"min is {low}, which is more than max, {high}"
    return ""


def _bounds(annotation: model.Annotation) -> tuple[Any, Any]:
    low, high = (annotation.args.get(name) for name in ("min", "max"))
    return tuple(  # type: ignore[return-value]
        Decimal(bound) if isinstance(bound, str) else bound for bound in (low, high)
    )


def check_default(
    faults: Faults,
    node: tree.Value,
    type: model.Type,
    default: Any,
    found: model.Annotations,
) -> None:
    """
    Note a default that does not keep to the constraints.
    """
    if default is None or default is INVALID:
        return
    _check_uuids(faults, node, type, default, found)
    if type.name == "bytes":
        default = base64.b64decode(default)
    for name in ("length", "range", "pattern"):
        if name in found and not _keeps(found[name], default):
            message = f"the default does not keep to '@{name}'"
            faults.add(node, message)


def check_constant(
    faults: Faults, node: tree.Value, type: model.Type, value: Any
) -> None:
    """
    Note a constant that no member could have.
    """
    if value is not INVALID:
        _check_uuids(faults, node, type, value, None)


def _check_uuids(
    faults: Faults,
    node: tree.Value,
    type: model.Type,
    value: Any,
    found: model.Annotations | None,
) -> None:
    """
    Note a set or map with more C{uuid} keys than a message may have.

    @param found: the annotations, where C{@length} can allow more.
    """
    if not isinstance(value, list | dict) or not type.args:
        return
    limit = uuid_limit(found or {})
    if type.name != "list" and type.args[0].name == "uuid" and len(value) > limit:
        message = f"a {type.name} of more than {limit} uuids"
        hint = "" if found is None else f"@length(max={len(value)}) allows them"
        faults.add(node, message, hint)
    for item in value.values() if isinstance(value, dict) else value:
        _check_uuids(faults, node, type.args[-1], item, None)


def _keeps(annotation: model.Annotation, value: Any) -> bool:
    if annotation.name == "pattern":
        pattern = annotation.args["pattern"]
        return re.fullmatch(pattern, value) is not None
    low, high = _bounds(annotation)
    if annotation.name == "length":
        measured: Any = len(value)
    else:
        measured = Decimal(value) if isinstance(value, str) else value
    return (low is None or measured >= low) and (high is None or measured <= high)
