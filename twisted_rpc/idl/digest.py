# -*- test-case-name: tests.idl.test_digest -*-
"""
The digest of a service: equal on two sides if and only if they agree on
everything that is sent and on how it may be called.

It is the SHA-256 of JSON with sorted keys and without spaces::

    {"idl": 1, "service": wire name,
     "methods": {wire name: {"class", "oneway", "params", "result", "throws"}},
     "types": {name: {"kind", "members" or "values" or "structs"}}}

C{params} and C{members} are C{{"name", "type", "default"}}, C{values} are
C{{"name"}}; C{default} is missing where there is none.  Types are those that
the methods reach, under their bare name; with the namespace, if two files share
it.  A type whose wire name differs has it as C{"wire"}.  Everything may have
C{"rules"}: the annotations of L{RULES} with their arguments.  Comments, layout,
order, namespaces, imports and the other annotations do not enter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any, Final

from twisted_rpc.idl import model

#: The annotations whose change is a change of the interface.  Those with an
#: effect elsewhere are in it already: C{@name}, C{@aliases} of a method and the
#: classes of delivery.
RULES: Final = frozenset(
    {
        "aliases",
        "auth",
        "cache",
        "length",
        "max_concurrency",
        "open",
        "pattern",
        "range",
        "rate_limit",
        "retry",
        "timeout",
    }
)

_Named = model.Enum | model.Struct | model.Union_


def digest(service: model.Service) -> str:
    """
    @return: C{"sha256:"} and 64 hexadecimal digits.
    """
    text = json.dumps(
        description(service),
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def description(service: model.Service) -> dict[str, Any]:
    """
    @return: what is digested, as JSON values.
    """
    types = _Types(service)
    methods = sorted(service.methods.values(), key=_by_wire_name)
    whole = {
        "idl": 1,
        "service": service.wire_name,
        "methods": {each.wire_name: _method(each, types) for each in methods},
        "types": {name: _type(it, types) for it, name in types.named()},
    }
    return _ruled(whole, service.annotations)


def _method(method: model.Method, types: _Types) -> dict[str, Any]:
    whole = {
        "class": method.delivery,
        "oneway": method.oneway,
        "params": [_field(param, types, param.name) for param in method.params],
        "result": types.written(method.result),
        "throws": sorted(types.name_of(each) for each in method.throws),
    }
    return _ruled(whole, method.annotations)


def _field(field: model.Field, types: _Types, name: str) -> dict[str, Any]:
    whole = {"name": name, "type": types.written(field.type)}
    if not field.required:
        whole["default"] = _ordered(field.default, field.type)
    return _ruled(whole, field.annotations)


def _type(definition: _Named, types: _Types) -> dict[str, Any]:
    if isinstance(definition, model.Enum):
        values = sorted(definition.values, key=lambda value: value.wire_value)
        told = [_ruled({"name": it.wire_value}, it.annotations) for it in values]
        return _ruled({"kind": "enum", "values": told}, definition.annotations)
    if isinstance(definition, model.Union_):
        structs = sorted(definition.structs, key=_by_wire_name)
        names = [types.name_of(struct) for struct in structs]
        return _ruled({"kind": "union", "structs": names}, definition.annotations)
    members = sorted(definition.all_fields, key=_by_wire_name)
    whole: dict[str, Any] = {
        "kind": "exception" if definition.is_exception else "struct",
        "members": [_field(each, types, each.wire_name) for each in members],
    }
    if definition.wire_name != definition.name:
        whole["wire"] = definition.wire_name
    ruled = _ruled(whole, definition.annotations)
    # The code may be a base's, and to write the default one changes nothing.
    if definition.is_exception and definition.code != "FAILED_PRECONDITION":
        ruled.setdefault("rules", {})["code"] = definition.code
    return ruled


def _ruled(whole: dict[str, Any], annotations: model.Annotations) -> dict[str, Any]:
    rules = {name: it.args for name, it in annotations.items() if name in RULES}
    return {**whole, "rules": rules} if rules else whole


def _ordered(value: Any, type: model.Type) -> Any:
    """
    @return: a default, its sets in one order.
    """
    if isinstance(value, dict) and type.name == "map":
        return {key: _ordered(item, type.args[1]) for key, item in value.items()}
    if not isinstance(value, list) or type.name not in ("list", "set"):
        return value
    items = [_ordered(item, type.args[0]) for item in value]
    return sorted(items) if type.name == "set" else items


def _by_wire_name(named: model.Method | model.Struct | model.Field) -> str:
    return named.wire_name


class _Types:
    """
    The types that a service reaches, and what each is called.
    """

    def __init__(self, service: model.Service) -> None:
        self._names: dict[int, str] = {}
        self._found: list[_Named] = []
        for method in sorted(service.methods.values(), key=_by_wire_name):
            self._reach(_mentioned(method))
        self._call(self._found)

    def _reach(self, definitions: Iterable[_Named]) -> None:
        """
        Find what is reached.  Not by recursion, which a chain of structs as
        long as a file would end.
        """
        unread = [*definitions][::-1]
        while unread:
            definition = unread.pop()
            if id(definition) not in self._names:
                self._names[id(definition)] = definition.name
                self._found.append(definition)
                unread += [*_held(definition)][::-1]

    def _call(self, found: list[_Named]) -> None:
        """
        Give those that share a bare name longer ones.
        """
        shared: dict[str, list[_Named]] = {}
        for definition in found:
            shared.setdefault(definition.name, []).append(definition)
        for name, those in shared.items():
            if len(those) == 1:
                continue
            taken: set[str] = set()
            for definition in those:
                full = ".".join(filter(None, (definition.file.namespace, name)))
                spellings = (f"{full}#{number}" for number in count(2))
                while full in taken:
                    full = next(spellings)
                taken.add(full)
                self._names[id(definition)] = full

    def named(self) -> Iterator[tuple[_Named, str]]:
        """
        Every type and its name.
        """
        for definition in self._found:
            yield definition, self.name_of(definition)

    def name_of(self, definition: _Named) -> str:
        """
        @return: what the definition is called.
        """
        return self._names[id(definition)]

    def written(self, type: model.Type) -> str:
        """
        @return: the type as in the IDL, without spaces.
        """
        text = type.name
        if type.definition is not None:
            text = self.name_of(type.definition)
        if type.args:
            text += f"<{','.join(map(self.written, type.args))}>"
        return text + ("?" if type.optional else "")


def _mentioned(method: model.Method) -> Iterator[_Named]:
    for param in method.params:
        yield from _named_in(param.type)
    yield from _named_in(method.result)
    yield from sorted(method.throws, key=_by_wire_name)


def _held(definition: _Named) -> Iterator[_Named]:
    if isinstance(definition, model.Union_):
        yield from sorted(definition.structs, key=_by_wire_name)
    elif isinstance(definition, model.Struct):
        for field in sorted(definition.all_fields, key=_by_wire_name):
            yield from _named_in(field.type)


def _named_in(type: model.Type) -> Iterator[_Named]:
    if type.definition is not None:
        yield type.definition
    for arg in type.args:
        yield from _named_in(arg)
