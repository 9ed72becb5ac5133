# -*- test-case-name: tests.idl.test_lint -*-
"""
Types that lose something: C{optional-any}, C{float-money} and C{int-beyond-f64}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twisted_rpc.idl import model
from twisted_rpc.idl.codecs.types import integer_bounds
from twisted_rpc.idl.lint.names import words_of
from twisted_rpc.idl.lint.subject import Remark, Subject, about, walk
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.words import INTEGERS

_MONEY: Final = frozenset(
    {
        *("amount", "balance", "budget", "cost", "debit", "deposit", "discount"),
        *("fee", "fees", "money", "payment", "payout", "price", "refund"),
        *("revenue", "salary", "tax", "taxes", "turnover", "wage"),
    }
)

#: Beyond this not every integer is a float of 64 bits.
_EXACT: Final = 2**53


def optional_any(subject: Subject) -> Iterator[Remark]:
    """
    C{any?}: C{any} can be null already.
    """
    for node in walk(subject.document.definitions):
        if isinstance(node, tree.Type) and node.name == "any" and node.optional:
            yield about(node, "'any' can be null without '?'", "write 'any'")


def float_money(subject: Subject) -> Iterator[Remark]:
    """
    Money as a float, for which 0.1 + 0.2 is not 0.3.
    """
    for method, meant in subject.methods():
        yield from _money(method.result, meant.result, meant.name)
    for node, field in subject.parameters():
        yield from _money(node.type, field.type, field.name)
    for node, field, struct in subject.members():
        whole = struct.name if "money" in words_of(struct.name) else ""
        yield from _money(node.type, field.type, field.name, whole)


def _money(
    node: tree.Type, type_: model.Type, name: str, whole: str = ""
) -> Iterator[Remark]:
    words = words_of(name) + words_of(whole)
    if _holds_float(type_) and not _MONEY.isdisjoint(
        [*words, *(word.removesuffix("s") for word in words)]
    ):
        hint = "a decimal is exact"
        yield about(node, f"'{name}' seems to be money, and is a float", hint)


def _holds_float(type_: model.Type) -> bool:
    return type_.name == "float" or any(map(_holds_float, type_.args))


def int_beyond_f64(subject: Subject) -> Iterator[Remark]:
    """
    An integer of a C{@http} method that may be beyond 2^53, where JavaScript rounds.
    """
    seen: set[int] = set()
    for node, method in subject.methods():
        if "http" not in method.annotations:
            continue
        yield from _beyond(node.result, method.result, {}, "the result")
        for written, param in zip(node.params, method.params, strict=True):
            name = f"'{param.name}'"
            yield from _beyond(written.type, param.type, param.annotations, name)
        for type_ in (method.result, *(each.type for each in method.params)):
            _reach(type_, seen)
    for written, field, struct in subject.members():
        if id(struct) in seen:
            name = f"'{field.name}'"
            yield from _beyond(written.type, field.type, field.annotations, name)


def _reach(type_: model.Type, seen: set[int]) -> None:
    found: list[object] = [type_]
    while found:
        node = found.pop()
        if isinstance(node, model.Type):
            found += [node.definition, *node.args]
        elif isinstance(node, model.Struct | model.Union_) and id(node) not in seen:
            seen.add(id(node))
            if isinstance(node, model.Union_):
                found += node.structs
            else:
                found += [node.base, *(each.type for each in node.fields)]


def _beyond(
    node: tree.Type, type_: model.Type, annotations: model.Annotations, name: str
) -> Iterator[Remark]:
    if type_.name in INTEGERS:
        low, high = integer_bounds(type_, annotations)
        if low is None or high is None or low < -_EXACT or high > _EXACT:
            message = f"{name} can be beyond 2^53, where JavaScript rounds"
            yield about(node, message, "use int32, uint32, @range, or a string")
    for written, argument in zip(node.args, type_.args, strict=False):
        yield from _beyond(written, argument, {}, name)
