# -*- test-case-name: tests.idl.test_meaning -*-
"""
Which structs can be built at all: not those that need themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted_rpc.idl import model
from twisted_rpc.idl.semantics.scope import Scope
from twisted_rpc.idl.syntax import tree

_Node = model.Struct | model.Union_


def check_buildable(
    scope: Scope, structs: Sequence[tuple[model.Struct, tree.Struct]]
) -> None:
    """
    Note each circle of structs that need each other, once.
    """
    stuck = _stuck([struct for struct, _ in structs])
    places = {id(struct): node.name for struct, node in structs}
    told: set[int] = set()
    for struct, _ in structs:
        if id(struct) in stuck and id(struct) not in told:
            circle = _circle(struct, stuck, told)
            if circle:
                _tell(scope, circle, places)


def _needs(node: _Node) -> Iterator[_Node]:
    """
    What must exist before one of these can; of a union's, any one.
    """
    if isinstance(node, model.Union_):
        yield from node.structs
        return
    if node.base is not None:
        yield node.base
    for field in node.fields:
        needed = field.type.definition
        if (
            field.required
            and not field.type.optional
            and isinstance(needed, model.Struct | model.Union_)
        ):
            yield needed


def _stuck(structs: Sequence[model.Struct]) -> set[int]:
    """
    @return: the ids of the structs and unions that can never be built.
    """
    nodes: dict[int, _Node] = {}
    missing: dict[int, int] = {}
    needed_by: dict[int, list[int]] = {}
    todo: list[_Node] = list(structs)
    free: list[int] = []
    while todo:
        node = todo.pop()
        if id(node) in nodes:
            continue
        nodes[id(node)] = node
        needs = list(_needs(node))
        missing[id(node)] = min(len(needs), 1) if _is_union(node) else len(needs)
        for need in needs:
            needed_by.setdefault(id(need), []).append(id(node))
        todo += needs
        if not missing[id(node)]:
            free.append(id(node))
    while free:
        for waiting in needed_by.get(free.pop(), ()):
            missing[waiting] -= 1
            if missing[waiting] == 0:
                free.append(waiting)
    return {key for key, count in missing.items() if count > 0}


def _is_union(node: _Node) -> bool:
    return isinstance(node, model.Union_)


def _circle(start: model.Struct, stuck: set[int], told: set[int]) -> list[_Node]:
    """
    @return: the circle that C{start} is in or leads to, empty if that was told.
    """
    path: list[_Node] = []
    at: dict[int, int] = {}
    node: _Node = start
    while id(node) not in at:
        if id(node) in told:
            return []
        told.add(id(node))
        at[id(node)] = len(path)
        path.append(node)
        node = next(need for need in _needs(node) if id(need) in stuck)
    return path[at[id(node)] :]


def _tell(scope: Scope, circle: list[_Node], places: dict[int, tree.Name]) -> None:
    here = [node for node in circle if id(node) in places]
    first = min(here, key=lambda node: places[id(node)].start)
    index = circle.index(first)
    turned = [*circle[index:], *circle[:index], first]
    path = " -> ".join(node.name for node in turned)
    message = f"struct '{first.name}' can never be built: it needs itself"
    hint = f"{path}; make one of these members optional or a list"
    scope.faults.add(places[id(first)], message, hint)
