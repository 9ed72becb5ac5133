# -*- test-case-name: tests.idl.test_meaning -*-
"""
The meaning of services and methods.
"""

from __future__ import annotations

from typing import Final, cast

from twisted_rpc.idl import model
from twisted_rpc.idl.names import parameter_name, python_name
from twisted_rpc.idl.semantics.annotation_table import DELIVERIES
from twisted_rpc.idl.semantics.annotations import check
from twisted_rpc.idl.semantics.bases import unknown_struct
from twisted_rpc.idl.semantics.members import Names, field, reserved_names, wire
from twisted_rpc.idl.semantics.method_rules import check_method
from twisted_rpc.idl.semantics.scope import Scope, kind_of
from twisted_rpc.idl.semantics.usage import UNKNOWN, resolve
from twisted_rpc.idl.semantics.values import Values
from twisted_rpc.idl.syntax import tree

_BY_POSITION: Final = (
    "parameters are sent by position: those that may be left out come last"
)


def fill_service(values: Values, service: model.Service, node: tree.Service) -> None:
    """
    Its annotations and own methods.
    """
    scope = values.scope
    service.annotations = check(values, node.annotations, "service")
    service.wire_name = wire(service.annotations, service.name)
    names = Names(scope, "method", reserved_names(service.annotations))
    for each in node.methods:
        method = _method(values, service, each)
        if names.add(
            each.name, python_name(method.name), method.wire_name, *method.aliases
        ):
            service.own_methods.append(method)


def _method(values: Values, service: model.Service, node: tree.Method) -> model.Method:
    scope = values.scope
    annotations = check(values, node.annotations, "method")
    result = resolve(scope, node.result, void=True, stream=True)
    aliases = annotations.get("aliases")
    method = model.Method(
        name=node.name.text,
        wire_name=wire(annotations, node.name.text),
        aliases=() if aliases is None else tuple(aliases.args["names"]),
        params=_params(values, node),
        result=result,
        throws=_throws(scope, node),
        delivery=_delivery(annotations),
        oneway=node.oneway,
        timeout=_timeout(annotations, service.annotations),
        threaded="threaded" in annotations or "threaded" in service.annotations,
        doc=node.doc,
        annotations=annotations,
        place=scope.place(node.name),
        declared_in=service,
    )
    check_method(scope, method, node)
    return method


def _delivery(annotations: model.Annotations) -> model.Delivery:
    found = next((name for name in DELIVERIES if name in annotations), "once")
    return cast(model.Delivery, found)


def _timeout(*levels: model.Annotations) -> float | None:
    for level in levels:
        if "timeout" in level:
            seconds: float = level["timeout"].args["time"]
            return seconds
    return None


def _params(values: Values, node: tree.Method) -> list[model.Field]:
    scope = values.scope
    names = Names(scope, "parameter")
    params: list[model.Field] = []
    before: model.Field | None = None
    for each in node.params:
        last = each is node.params[-1]
        param = field(values, each, member=False, last=last)
        names.add(each.name, parameter_name(param.name))
        params.append(param)
        if not param.required:
            before = param
        elif before is not None and param.type.name not in ("stream", UNKNOWN):
            message = (
                f"parameter '{param.name}' must have a default, "
                f"because '{before.name}' before it has one"
            )
            scope.faults.add(each.name, message, _BY_POSITION)
    return params


def _throws(scope: Scope, node: tree.Method) -> list[model.Struct]:
    found: list[model.Struct] = []
    wire_names: set[str] = set()
    for name in node.throws:
        exception = scope.find(name.text)
        if exception is None:
            if not scope.is_lost(name.text):
                unknown_struct(scope, name, "exception", is_exception=True)
        elif not isinstance(exception, model.Struct) or not exception.is_exception:
            message = f"'{name.text}' is {kind_of(exception)}, not an exception"
            scope.faults.add(name, message)
        elif exception.wire_name in wire_names:
            scope.faults.add(name, f"'{name.text}' is listed twice after 'throws'")
        else:
            wire_names.add(exception.wire_name)
            found.append(exception)
    return found
