# -*- test-case-name: tests.idl.test_lint -*-
"""
The class of a method: C{readonly-oneway} and C{once-implicit}.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted_rpc.idl.lint.subject import Remark, Subject, about
from twisted_rpc.idl.semantics.annotation_table import DELIVERIES


def readonly_oneway(subject: Subject) -> Iterator[Remark]:
    """
    A method that changes nothing and answers nothing.
    """
    for node, method in subject.methods():
        if method.oneway and method.delivery == "readonly":
            message = f"'{method.name}' is oneway and @readonly, so does nothing"
            yield about(node.name, message)


def once_implicit(subject: Subject) -> Iterator[Remark]:
    """
    A method that does not say how often it may run.
    """
    for node, method in subject.methods():
        if not any(name in method.annotations for name in DELIVERIES):
            message = f"'{method.name}' does not say how often it may run"
            hint = "@once, or @readonly, @idempotent, @transactional"
            yield about(node.name, message, hint)
