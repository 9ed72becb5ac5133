# -*- test-case-name: tests.idl.test_types -*-
"""
What stands behind a type, found by walking all that it reaches.

The checks that msgspec leaves to us cost time, and most types need none of
them; a codec is put together from these facts, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twisted_rpc.idl.model import Annotations, Struct, Type, Union_

#: What one field of an IDL is: its type and its constraints.
Typed = tuple[Type, Annotations]

#: How many elements a set or map with C{uuid} keys may have, unless
#: C{@length(max=)} says more: they hash modulo 2^61-1, so that chosen ones make
#: decoding quadratic (16,000 take 7 seconds).
UUID_KEYS = 1024


@dataclass(slots=True)
class Facts:
    """
    @ivar deep: nesting has no bound of its own: C{any}, or a struct that can
        hold itself.
    @ivar wide: one message may hold many values: list, set, map or any.
    @ivar floats: numbers with a fraction are read as C{float}.
    @ivar decimals: numbers are read as C{Decimal}.
    @ivar closed: an enum that is not C{@open}.
    @ivar sensitive: something C{@sensitive}.
    @ivar uuid_keys: the lowest bound of a set or map with C{uuid} keys; 0
        without one.
    """

    deep: bool = False
    wide: bool = False
    floats: bool = False
    decimals: bool = False
    closed: bool = False
    sensitive: bool = False
    uuid_keys: int = 0

    @property
    def guarded(self) -> bool:
        """
        Whether bytes are looked at before they are decoded.
        """
        return self.deep or self.wide or self.uuid_keys > 0


def facts_of(fields: Iterable[Typed]) -> Facts:
    """
    @return: what is true of the types together.
    """
    search = _Search()
    for type_, constraints in fields:
        search.visit(type_, constraints)
    return search.facts


class _Search:
    """
    The walk over all that a type reaches; each struct is entered once.
    """

    def __init__(self) -> None:
        self.facts = Facts()
        self._open: set[int] = set()
        self._done: set[int] = set()

    def visit(self, type_: Type, constraints: Annotations) -> None:
        self.facts.sensitive |= "sensitive" in constraints
        definition = type_.definition
        if isinstance(definition, Struct):
            self._visit_struct(definition)
        elif isinstance(definition, Union_):
            for struct in definition.structs:
                self._visit_struct(struct)
        elif definition is not None:
            self.facts.closed |= not definition.open
        else:
            self._visit_builtin(type_, constraints)

    def _visit_builtin(self, type_: Type, constraints: Annotations) -> None:
        facts, name = self.facts, type_.name
        facts.deep |= name == "any"
        facts.wide |= name in {"any", "list", "set", "map"}
        facts.floats |= name in {"any", "float"}
        facts.decimals |= name == "decimal"
        if name in {"set", "map"} and type_.args[0].name == "uuid":
            limit = uuid_limit(constraints)
            facts.uuid_keys = min(facts.uuid_keys or limit, limit)
        for argument in type_.args:
            self.visit(argument, {})

    def _visit_struct(self, struct: Struct) -> None:
        if id(struct) in self._open:
            self.facts.deep = True
        elif id(struct) not in self._done:
            self._done.add(id(struct))
            self._open.add(id(struct))
            for member in struct.all_fields:
                self.visit(member.type, member.annotations)
            self._open.remove(id(struct))


def uuid_limit(constraints: Annotations) -> int:
    """
    @return: how many elements a set or map with C{uuid} keys may have.
    """
    length = constraints.get("length")
    limit = None if length is None else length.args.get("max")
    return UUID_KEYS if limit is None else int(limit)
