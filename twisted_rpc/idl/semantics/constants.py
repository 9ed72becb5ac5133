# -*- test-case-name: tests.idl.test_meaning -*-
"""
Constants where they are used.
"""

from __future__ import annotations

from typing import Any, Final

from twisted_rpc.idl import model
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import MAX_DEPTH
from twisted_rpc.idl.syntax.words import INTEGERS

#: How much all uses of constants in a file may amount to, in values and
#: characters: ten constants, each of which holds the one before ten times, are
#: 10,000,000,000 values.
BUDGET: Final = 4 * 1024 * 1024


class Budget:
    """
    What is left of L{BUDGET}.
    """

    def __init__(self) -> None:
        self._left = BUDGET

    def allows(self, value: Any, depth: int = 1) -> bool:
        """
        Pay for one use of a constant's value.

        @return: whether there was enough left, and the value is not too deep.
        """
        self._left -= 1 + (len(value) if isinstance(value, str) else 0)
        if self._left < 0 or depth > MAX_DEPTH:
            return False
        if isinstance(value, dict):
            value = [*value, *value.values()]
        if not isinstance(value, list):
            return True
        return all(self.allows(item, depth + 1) for item in value)


def is_number(type: model.Type) -> bool:
    """
    Whether constants of a type may be used for any type of number they fit.
    """
    return type.name in INTEGERS or type.name in ("float", "decimal")


def same_type(one: model.Type, other: model.Type) -> bool:
    """
    Whether two types are the same but for being optional.
    """
    return (
        one.name == other.name
        and one.definition is other.definition
        and len(one.args) == len(other.args)
        and all(
            left.optional == right.optional and same_type(left, right)
            for left, right in zip(one.args, other.args, strict=True)
        )
    )


def as_number(node: tree.Value, value: Any) -> tree.Value:
    """
    @return: a constant's JSON value as if it were written at C{node}.
    """
    return tree.Value(node.start, node.end, "number", str(value), [])
