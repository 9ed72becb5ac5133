# -*- test-case-name: tests.idl.test_meaning -*-
"""
What may not come together in one method.
"""

from __future__ import annotations

import re
from typing import Final

from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.scope import Scope
from twisted_rpc.idl.syntax import tree

_QUANTILE: Final = re.compile(r"p[0-9]{1,2}(\.[0-9]+)?")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")


def check_method(scope: Scope, method: model.Method, node: tree.Method) -> None:
    """
    Note what contradicts itself in a method.
    """
    if method.oneway:
        _check_oneway(scope, method, node)
    if method.streams_result or method.streams_parameter:
        _check_stream(scope, method, node)
    elif "stream" in method.annotations:
        _fault(scope, node, "stream", "'@stream' needs a stream in the method")
    if "cache" in method.annotations:
        _check_cache(scope, method, node)
    if "hedge" in method.annotations:
        _check_hedge(scope, method, node)
    if "http" in method.annotations:
        _check_route(scope, method, node)


def _fault(
    scope: Scope, node: tree.Method, name: str, message: str, hint: str = ""
) -> None:
    at = next(each for each in node.annotations if each.name == name)
    scope.faults.add(at, message, hint)


def _check_oneway(scope: Scope, method: model.Method, node: tree.Method) -> None:
    if method.result.name != "void":
        message = f"oneway method '{method.name}' cannot return a value"
        scope.faults.add(node.result, message, "write 'oneway void'")
    if node.throws:
        message = f"oneway method '{method.name}' cannot throw"
        hint = "its caller learns only that it was sent"
        scope.faults.add(node.throws[0], message, hint)
    if method.streams_parameter:
        message = f"oneway method '{method.name}' cannot take a stream"
        scope.faults.add(node.params[-1].type, message)


def _check_stream(scope: Scope, method: model.Method, node: tree.Method) -> None:
    for name in ("transactional", "cache"):
        if name in method.annotations:
            message = f"'@{name}' cannot stand on a method with a stream"
            _fault(scope, node, name, message)


def _check_cache(scope: Scope, method: model.Method, node: tree.Method) -> None:
    if method.delivery != "readonly":
        _fault(scope, node, "cache", "'@cache' needs '@readonly'")
    known = [param.name for param in method.params]
    for name in method.annotations["cache"].args.get("vary", ()):
        if name not in known:
            message = f"'@cache' varies by '{name}', which is no parameter"
            _fault(scope, node, "cache", message)


def _check_hedge(scope: Scope, method: model.Method, node: tree.Method) -> None:
    if method.delivery not in ("readonly", "idempotent"):
        _fault(scope, node, "hedge", "'@hedge' needs '@readonly' or '@idempotent'")
    quantile = method.annotations["hedge"].args["quantile"]
    if not _QUANTILE.fullmatch(quantile):
        message = f"'{quantile}' is not a quantile"
        _fault(scope, node, "hedge", message, 'write @hedge("p95")')


def _check_route(scope: Scope, method: model.Method, node: tree.Method) -> None:
    (path,) = method.annotations["http"].args.values()
    if not path.startswith("/"):
        message = f"the route '{path}' does not begin with '/'"
        _fault(scope, node, "http", message)
    known = {param.name for param in method.params if param.type.name != "stream"}
    seen: set[str] = set()
    for name in _BRACES.findall(path):
        if name not in known:
            message = f"the route needs '{name}', which is no parameter"
            _fault(scope, node, "http", message)
        elif name in seen:
            _fault(scope, node, "http", f"'{name}' occurs twice in the route")
        seen.add(name)
    if re.search(r"[{}]", _BRACES.sub("", path)):
        _fault(scope, node, "http", "a brace in the route has no partner")
