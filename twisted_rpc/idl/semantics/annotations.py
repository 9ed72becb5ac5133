# -*- test-case-name: tests.idl.test_meaning -*-
"""
Annotations: their places and arguments, checked like a method's parameters.
"""

from __future__ import annotations

import math
from typing import Any, Final

from twisted_rpc.errors import Code
from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.annotation_table import (
    DELIVERIES,
    MAX_ATTEMPTS,
    RETRIED_CODES,
    SHAPES,
    Kind,
    Shape,
    Where,
)
from twisted_rpc.idl.semantics.constraints import CONSTRAINED, may_constrain
from twisted_rpc.idl.semantics.scalars import seconds
from twisted_rpc.idl.semantics.values import INVALID, Values
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.literals import SECONDS, read_number
from twisted_rpc.idl.syntax.words import did_you_mean

_TYPES: Final[dict[Kind, model.Type]] = {
    "string": model.Type("string"),
    "strings": model.Type("list", (model.Type("string"),)),
    "bool": model.Type("bool"),
    "duration": model.Type("duration"),
    "count": model.Type("int64"),
    "attempts": model.Type("int64"),
    "size": model.Type("int64"),
    "codes": model.Type("list", (model.Type("string"),)),
}
_CLASS_HINT = "a method has one of @readonly, @idempotent, @once and @transactional"
#: As long as a request's id may be.
_LONGEST_NAME: Final = 128
_CODES = [code.value for code in Code]


def check(
    values: Values,
    nodes: list[tree.Annotation],
    where: Where,
    type: model.Type | None = None,
) -> model.Annotations:
    """
    Check what is annotated.

    @param where: what the annotations stand on.
    @param type: of a parameter or member, its type.

    @return: the annotations that are right.
    """
    found: model.Annotations = {}
    delivery = ""
    for node in nodes:
        annotation = _check_one(values, node, where, type)
        if node.name in found:
            values.scope.faults.add(node, f"'@{node.name}' is written twice")
            continue
        if node.name in DELIVERIES:
            if delivery and annotation is not None:
                message = f"'@{node.name}' contradicts '@{delivery}'"
                values.scope.faults.add(node, message, _CLASS_HINT)
            delivery = delivery or node.name
        if annotation is not None:
            found[node.name] = annotation
    return found


def _check_one(
    values: Values, node: tree.Annotation, where: Where, type: model.Type | None
) -> model.Annotation | None:
    faults = values.scope.faults
    place = values.scope.place(node)
    if "." in node.name:
        return model.Annotation(node.name, _free(values, node), place)
    shape = SHAPES.get(node.name)
    if shape is None:
        faults.add(node, f"unknown annotation '@{node.name}'", lambda: _near(node.name))
        return None
    if where not in shape.on:
        message = f"'@{node.name}' cannot stand on {_with_article(where)}"
        faults.add(node, message, f"it may stand on {_listed(shape.on)}")
        return None
    if type is not None and not may_constrain(node.name, type):
        kinds = CONSTRAINED[node.name]
        faults.add(
            node, f"'@{node.name}' cannot constrain '{type}'", f"it is for {kinds}"
        )
        return None
    args = _bind(values, node, shape, type)
    if args is None:
        return None
    if not args and (shape.required or shape.at_least_one):
        faults.add(node, f"'@{node.name}' needs an argument", f"write {shape.example}")
        return None
    if node.name == "retry" and args.get("initial", 0) > args.get("max", math.inf):
        faults.add(node, "'initial' is more than 'max'", f"write {shape.example}")
        return None
    if node.name in ("name", "aliases") and not _are_wire_names(
        values, node, where, next(iter(args.values()))
    ):
        return None
    return model.Annotation(node.name, args, place)


def _are_wire_names(
    values: Values, node: tree.Annotation, where: Where, given: str | list[str]
) -> bool:
    """
    Whether messages and logs can carry the names; else, a fault is noted.
    """
    if where == "value":
        return True  # the texts of an enum's values may be any
    at = (node.args or [])[0].value
    for name in [given] if isinstance(given, str) else given:
        shown = name if name.isprintable() else ascii(name)[1:-1]
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        message, hint = f"'{shown}' cannot be a name on the wire", ""
        if name.startswith("$") and where in ("service", "method"):
            hint = "those with '$' are reserved"
        elif "." in name and where == "method":
            message = f"'{shown}' cannot be the name of a method"
            hint = "it has a dot"
        elif not name.isprintable():
            hint = "it has a character that cannot be shown"
        elif len(name) > _LONGEST_NAME:
            hint = f"it has more than {_LONGEST_NAME} characters"
        if hint or not name:
            values.scope.faults.add(at, message, hint)
            return False
    return True


def _near(name: str) -> str:
    found = did_you_mean(name, SHAPES)
    return found.replace("'", "'@", 1) or "those of your own have a dot: @acme.owner"


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aei" else f"a {noun}"


def _listed(nouns: tuple[Where, ...]) -> str:
    told = [_with_article(noun) for noun in nouns]
    return " or ".join([", ".join(told[:-1]), told[-1]] if told[1:] else told)


def _free(values: Values, node: tree.Annotation) -> dict[str, Any]:
    args: dict[str, Any] = {}
    for index, arg in enumerate(node.args or ()):
        is_duration = (
            arg.value.kind == "number" and read_number(arg.value.text).unit in SECONDS
        )
        kind: Kind = "duration" if is_duration else "string"
        type = _TYPES[kind] if is_duration else model.Type("any")
        value = values.read(arg.value, type)
        if (arg.name or str(index)) in args:
            values.scope.faults.add(arg, f"'{arg.name}' is given twice")
        elif value is not INVALID:
            args[arg.name or str(index)] = seconds(value) if is_duration else value
    return args


def _bind(
    values: Values, node: tree.Annotation, shape: Shape, type: model.Type | None
) -> dict[str, Any] | None:
    """
    @return: the arguments by the names of their parameters, or C{None} if there
        is a fault.
    """
    faults = values.scope.faults
    args: dict[str, Any] = {}
    given: set[str] = set()
    valid = True
    for index, arg in enumerate(node.args or ()):
        name = _param(values, node, shape, index, arg)
        if name and name in given:
            faults.add(arg, f"'{name}' is given twice")
            name = ""
        if not name:
            valid = False
            continue
        given.add(name)
        value = _argument(values, arg.value, shape.params[name], type)
        valid = valid and value is not INVALID
        args[name] = value
    missing = [name for name in shape.required if name not in given]
    if valid and given and missing:
        message = f"'@{node.name}' needs '{missing[0]}' too"
        faults.add(node, message, f"write {shape.example}")
        valid = False
    if valid and shape.at_most_one and len(given) > 1:
        message = f"'@{node.name}' takes only one of {', '.join(sorted(given))}"
        faults.add(node, message, f"write {shape.example}")
        valid = False
    return args if valid else None


def _param(
    values: Values, node: tree.Annotation, shape: Shape, index: int, arg: tree.Argument
) -> str:
    """
    @return: the name of an argument's parameter, or C{""} if there is none.
    """
    names = list(shape.params)
    if arg.name in shape.params:
        return arg.name
    if arg.name:
        message = f"'@{node.name}' takes no '{arg.name}'"
        near = did_you_mean(arg.name, names)
        values.scope.faults.add(arg, message, near or f"write {shape.example}")
        return ""
    named_before = any(before.name for before in (node.args or ())[:index])
    if index < len(names) and not named_before:
        return names[index]
    count = {0: "no arguments", 1: "one argument"}.get(len(names))
    message = f"'@{node.name}' takes {count or f'{len(names)} arguments'}"
    if named_before:
        message = "an argument without a name cannot follow one with a name"
    values.scope.faults.add(arg, message, f"write {shape.example}")
    return ""


def _argument(
    values: Values, node: tree.Value, kind: Kind, type: model.Type | None
) -> Any:
    """
    @return: the value, or C{INVALID}.
    """
    if kind == "bound":
        if type is None:
            return INVALID
        return values.read(node, model.Type(type.name, definition=type.definition))
    value = values.read(node, _TYPES[kind])
    if value is INVALID:
        return value
    faults = values.scope.faults
    if kind == "codes":
        wrong = [code for code in value if code not in RETRIED_CODES]
        for code in wrong:
            faults.add(node, *_wrong_code(code))
        return INVALID if wrong else value
    if kind == "duration":
        value = seconds(value)
    if kind == "attempts" and value > MAX_ATTEMPTS:
        faults.add(node, f"a call is attempted at most {MAX_ATTEMPTS} times")
        return INVALID
    least = {"count": 1, "attempts": 1, "size": 0}.get(kind)
    if (least is not None and value < least) or (kind == "duration" and value <= 0):
        needed = "more than 0" if least is None else f"at least {least}"
        faults.add(node, f"this must be {needed}")
        return INVALID
    return value


def _wrong_code(code: str) -> tuple[str, str]:
    """
    @return: what is wrong with a code in C{@retry}, and a hint.
    """
    if code in _CODES:
        message = f"'{code}' cannot be retried: the answer would be the same"
        return message, f"one of {', '.join(RETRIED_CODES)}"
    return f"'{code}' is not a code", did_you_mean(code, _CODES)
