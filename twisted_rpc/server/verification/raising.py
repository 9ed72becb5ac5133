# -*- test-case-name: tests.server.test_verify -*-
"""
Which exceptions of an IDL an implementation raises, as far as its text shows.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from twisted_rpc.idl.python.exceptions import DeclaredException
from twisted_rpc.server.verification.findings import relative, underlying

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def raised(function: Any) -> Iterator[tuple[type[DeclaredException], str]]:
    """
    @return: the classes of C{raise} statements, each with its C{"file:line"}.
        What is raised within a C{try} that catches something is left out, and
        so is all that is only known when it runs.
    """
    written = underlying(function)
    tree, first = _parsed(written)
    scope = _scope(written)
    for statement in _raises(tree):
        found = _value(statement.exc, scope)
        if isinstance(found, type) and issubclass(found, DeclaredException):
            path = relative(inspect.getsourcefile(written) or "")
            yield found, f"{path}:{first + statement.lineno - 1}"


@lru_cache(maxsize=1024)
def _parsed(function: Any) -> tuple[ast.AST, int]:
    """
    @return: the text of a function, and the line of its file that it begins on.
    """
    try:
        lines, first = inspect.getsourcelines(function)
        return ast.parse(textwrap.dedent("".join(lines))), first
    except (OSError, TypeError, ValueError, SyntaxError, IndexError):
        # Built in, made while the program runs, the middle of an expression, or
        # its file is another by now.
        return ast.Module([], []), 0


def _scope(function: Any) -> Mapping[str, Any]:
    try:
        known = inspect.getclosurevars(function)
    except (TypeError, ValueError):
        return {}
    return {**known.globals, **known.nonlocals}


def _raises(tree: ast.AST) -> Iterator[ast.Raise]:
    bodies = ast.iter_child_nodes(tree)
    for function in bodies:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:
                yield from _below(statement)


def _below(node: ast.AST) -> Iterator[ast.Raise]:
    if isinstance(node, ast.Raise):
        yield node
    if isinstance(node, _FUNCTIONS):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.Try) and node.handlers and child in node.body:
            continue
        yield from _below(child)


def _value(expression: ast.expr | None, scope: Mapping[str, Any]) -> Any:
    """
    @return: what C{a.b.C} or C{a.b.C(...)} is, or C{None} if it is neither.
    """
    if isinstance(expression, ast.Call):
        return _value(expression.func, scope)
    if isinstance(expression, ast.Name):
        return scope.get(expression.id)
    if isinstance(expression, ast.Attribute):
        # Of a namespace alone: looking into other things might run something.
        holder = _value(expression.value, scope)
        if inspect.ismodule(holder):
            return vars(holder).get(expression.attr)
    return None
