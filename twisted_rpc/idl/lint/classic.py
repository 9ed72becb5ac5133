# -*- test-case-name: tests.idl.test_lint -*-
"""
C{classic-compatible}: a reader of the classic syntax sees the same.

That reader finds services, and methods in them, by two regular expressions; what
they do not match it passes over without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from twisted_rpc.idl.lint.subject import Remark, Subject, about
from twisted_rpc.idl.syntax import tree

_TYPES: Final = frozenset({"int", "string", "float", "bool", "list"})
_METHOD: Final = re.compile(r"\w+\s+\w+\s*\(")


def classic_compatible(subject: Subject) -> Iterator[Remark]:
    """
    What a reader of the classic syntax misreads.
    """
    for node in subject.document.definitions:
        if isinstance(node, tree.Service):
            yield from _service(node)
        else:
            yield about(node.name, "classic files have services only")
    yield from _comments(subject)


def _comments(subject: Subject) -> Iterator[Remark]:
    """
    Not every classic reader takes comments out before it looks.
    """
    inside = 0  # parentheses
    index = 0
    for comment in subject.comments:
        for token in subject.tokens[index : comment.before]:
            inside += (token.kind == "(") - (token.kind == ")")
        index = comment.before
        message = ""
        if not comment.is_line:
            message = "classic files have no comments but // and #"
        elif inside:
            message = "a classic reader cannot read a comment between parameters"
        elif "}" in comment.text:
            message = "for a classic reader this brace ends the service"
        elif _METHOD.search(comment.text):
            message = "a classic reader takes this for a method"
        if message:
            yield Remark(comment.start, comment.end, message)


def _service(node: tree.Service) -> Iterator[Remark]:
    yield from _annotated(node)
    if node.bases:
        yield about(node.bases[0], "classic services extend no others")
    if not node.methods:
        yield about(node.name, "a classic reader does not see an empty service")
    for method in node.methods:
        yield from _method(method)


def _method(method: tree.Method) -> Iterator[Remark]:
    yield from _annotated(method)
    if method.oneway:
        yield about(method.name, "a classic reader passes over 'oneway'")
    if method.throws:
        yield about(method.throws[0], "a classic reader passes over 'throws'")
    if method.result.name != "void":
        yield from _type(method.result)
    for param in method.params:
        yield from _annotated(param)
        yield from _type(param.type)
        if param.default is not None:
            yield about(param.default, "classic parameters have no defaults")


def _annotated(node: tree.Definition) -> Iterator[Remark]:
    for annotation in node.annotations:
        yield about(annotation, "classic files have no annotations")


def _type(node: tree.Type) -> Iterator[Remark]:
    if node.name not in _TYPES or node.args or node.optional:
        hint = "int, string, float, bool, list, or for a result void"
        yield about(node, "this is no classic type", hint)
