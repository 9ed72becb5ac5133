# -*- test-case-name: tests.idl.test_meaning -*-
"""
Services that extend others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted_rpc.idl import model
from twisted_rpc.idl.names import python_name
from twisted_rpc.idl.semantics.members import reserved_names
from twisted_rpc.idl.semantics.scope import Scope, kind_of
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import MAX_DEPTH
from twisted_rpc.idl.syntax.words import did_you_mean

#: How many methods the services of one file may inherit together, each further
#: name counted as one.  20,000 services that extend one of 20,000 methods fit in
#: 1 MiB of text.
MAX_INHERITED = 100_000


class Inheritance:
    """
    Joins the methods of services, bases first.

    @param services: those of the file, own methods filled in.
    """

    def __init__(
        self, scope: Scope, services: Sequence[tuple[model.Service, tree.Service]]
    ) -> None:
        self.scope = scope
        self._services = services
        self._open: dict[int, tree.Service] = {
            id(service): node for service, node in services
        }
        self._path: list[model.Service] = []
        self._depths: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._budget = MAX_INHERITED
        #: By the C{id} of a service, its inherited methods by all their names.
        self._taken: dict[int, dict[_Key, model.Method]] = {}

    def join(self) -> None:
        """
        Fill in all services.
        """
        for service, _ in self._services:
            self._visit(service)

    def _visit(self, service: model.Service) -> None:
        node = self._open.get(id(service))
        if node is None:
            return
        self._path.append(service)
        seen: set[int] = set()
        for name in node.bases:
            base = self._base(name)
            if base is None:
                continue
            if id(base) in seen:
                self.scope.faults.add(name, f"'{name.text}' is extended twice")
                continue
            seen.add(id(base))
            service.bases.append(base)
            self._inherit(service, base, name)
        self._path.pop()
        self._open.pop(id(service))
        self._add_own(service, node)

    def _base(self, name: tree.Name) -> model.Service | None:
        found = self.scope.find(name.text)
        faults = self.scope.faults
        if found is None:
            if not self.scope.is_lost(name.text):
                known = self.scope.known
                faults.add(
                    name,
                    f"unknown service '{name.text}'",
                    lambda: did_you_mean(name.text, known(name.text, model.Service)),
                )
            return None
        if not isinstance(found, model.Service):
            faults.add(name, f"'{name.text}' is {kind_of(found)}, not a service")
            return None
        if found in self._path:
            circle = [*self._path[self._path.index(found) :], found]
            hint = " -> ".join(each.name for each in circle)
            faults.add(name, f"'{found.name}' extends itself", hint)
            return None
        if len(self._path) <= MAX_DEPTH:
            self._visit(found)
        if len(self._path) > MAX_DEPTH or self._depth(found) >= MAX_DEPTH:
            faults.add(name, f"services extend others at most {MAX_DEPTH} deep")
            return None
        return found

    def _depth(self, service: model.Service) -> int:
        """
        @return: how long the longest way up is.
        """
        if id(service) not in self._depths:
            above = [self._depth(base) for base in service.bases]
            self._depths[id(service)] = 1 + max(above, default=0)
        return self._depths[id(service)]

    def _inherit(
        self, service: model.Service, base: model.Service, name: tree.Name
    ) -> None:
        self._budget -= self._count(base)
        if self._budget < 0:
            message = f"more than {MAX_INHERITED} methods are inherited in this file"
            self.scope.faults.add(name, message)
            return
        taken = self._taken.setdefault(id(service), {})
        for method in base.methods.values():
            kept = True
            for key in _keys(method):
                first = taken.setdefault(key, method)
                if first.place != method.place:
                    if kept:
                        self._inherited_twice(name, first, method, *key)
                    kept = False
            if kept:
                service.methods.setdefault(method.name, _under(service, method))

    def _count(self, base: model.Service) -> int:
        """
        @return: how many methods it has, their further names counted too.
        """
        if id(base) not in self._counts:
            methods = base.methods.values()
            self._counts[id(base)] = sum(1 + len(each.aliases) for each in methods)
        return self._counts[id(base)]

    def _inherited_twice(
        self,
        name: tree.Name,
        first: model.Method,
        method: model.Method,
        where: str,
        text: str,
    ) -> None:
        one, two = first.declared_in.name, method.declared_in.name
        message = f"method '{method.name}' is inherited from '{one}' and from '{two}'"
        if first.name != method.name:
            message = (
                f"method '{first.name}' is inherited from '{one}' and method "
                f"'{method.name}' from '{two}', both are '{text}' {where}"
            )
        near = self.scope.near
        hint = f"declared at {near(first.place)} and {near(method.place)}"
        self.scope.faults.add(name, message, hint)

    def _add_own(self, service: model.Service, node: tree.Service) -> None:
        inherited = self._taken.get(id(service), {})
        names = {each.name.text: each.name for each in node.methods}
        reserved = _reserved_above(service)
        for method in service.own_methods:
            at = names[method.name]
            found = (inherited.get(key) for key in _keys(method))
            first = next(filter(None, found), None)
            if first is not None:
                self._overridden(at, first)
            for name in (method.name, method.wire_name, *method.aliases):
                if name in reserved:
                    hint = f"at {self.scope.near(reserved[name])}"
                    self.scope.faults.add(at, f"'{name}' is reserved", hint)
                    break
            service.methods[method.name] = method

    def _overridden(self, at: tree.Name, first: model.Method) -> None:
        message = f"method '{at.text}' is already inherited from"
        where = self.scope.near(first.place)
        self.scope.faults.add(
            at,
            f"{message} '{first.declared_in.name}'",
            f"declared at {where}; a method cannot be overridden",
        )


#: What a name is, in words, and the name.
_Key = tuple[str, str]


def _keys(method: model.Method) -> list[_Key]:
    """
    @return: all names of a method, of which no other may have one.
    """
    wires = dict.fromkeys((method.wire_name, *method.aliases))
    return [
        ("in Python", python_name(method.name)),
        *(("on the wire", w) for w in wires),
    ]


def _reserved_above(service: model.Service) -> dict[str, model.Place]:
    """
    @return: what the services that it extends have reserved, and where.
    """
    found: dict[str, model.Place] = {}
    seen: set[int] = set()
    unread = [*service.bases]
    while unread:
        base = unread.pop()
        if id(base) not in seen:
            seen.add(id(base))
            unread += base.bases
            found |= reserved_names(base.annotations)
    return found


def _under(service: model.Service, method: model.Method) -> model.Method:
    """
    @return: the method as it is called under a service that inherits it, whose
        C{@timeout} and C{@threaded} are nearer than those of its own service.
    """
    timeout, threaded = method.timeout, method.threaded
    given = service.annotations.get("timeout")
    if given is not None and "timeout" not in method.annotations:
        timeout = given.args["time"]
    threaded = threaded or "threaded" in service.annotations
    if (timeout, threaded) == (method.timeout, method.threaded):
        return method
    return replace(method, timeout=timeout, threaded=threaded)
