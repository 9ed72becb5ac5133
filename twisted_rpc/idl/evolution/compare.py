# -*- test-case-name: tests.idl.test_evolution -*-
"""
Comparing two versions of an interface.

What a change comes to is a table (idl.md, section 10): it depends on who writes
the changed type.  Servers are upgraded first, so that in requests the old
clients write and the new server reads, in replies the other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from twisted_rpc.idl.evolution.changes import (
    BACKWARD,
    FORWARD,
    MET,
    Change,
    Journal,
    Named,
    Use,
    Verdict,
    Words,
    in_order,
)
from twisted_rpc.idl.evolution.enums import compare_enums, compare_unions
from twisted_rpc.idl.evolution.methods import compare_methods
from twisted_rpc.idl.evolution.structs import compare_structs
from twisted_rpc.idl.evolution.values import same_value, written_value
from twisted_rpc.idl.model import (
    Const,
    Definition,
    Enum,
    File,
    Method,
    Service,
    Struct,
    Union_,
)

_WIRE, _SOURCE, _SEMANTIC = Verdict.WIRE, Verdict.SOURCE, Verdict.SEMANTIC

#: Where a type is sent that no service of its file sends.
_ANYWHERE: Final = (Use("request", ""), Use("reply", ""))


def compare_files(old: File, new: File, *, either_order: bool = False) -> list[Change]:
    """
    @param either_order: clients may be upgraded before their servers, too.

    @return: what changed for the worse, in the order of the texts; empty: every
        program written for the old version works with the new one.

    @raise TooMuchError: it would take too long.
    """
    changes = _files(old, new, FORWARD)
    if either_order:
        changes = _with_backward(changes, _files(new, old, BACKWARD))
    return changes


def compare_services(
    old: Mapping[str, Service],
    new: Mapping[str, Service],
    *,
    either_order: bool = False,
) -> list[Change]:
    """
    The same for services by their name on the wire, as a server tells of them by
    reflection; what Python calls their types does not matter.
    """
    changes = _services(old, new, FORWARD)
    if either_order:
        changes = _with_backward(changes, _services(new, old, BACKWARD))
    return changes


def compare_met(client: Service, server: Service) -> list[Change]:
    """
    The service of a client and that of the server it is connected to.

    @return: what messages of one side are refused or misread by the other, or
        mean something else to it.

    @raise TooMuchError: it would take too long.
    """
    changes = _services({"": client}, {"": server}, MET)
    return [it for it in changes if it.verdict is not _SOURCE]


def _with_backward(forward: list[Change], backward: list[Change]) -> list[Change]:
    """
    Add what breaks when the clients of the new version come first.  That an old
    server lacks a new method breaks none of the calls there were.
    """
    known = {(it.old, it.new) for it in forward if it.verdict is _WIRE}
    added = [
        Change(it.verdict, it.new, it.old, it.message, it.use)
        for it in backward
        if it.verdict is _WIRE and it.use and (it.new, it.old) not in known
    ]
    return in_order([*forward, *added])


def _files(old: File, new: File, words: Words) -> list[Change]:
    journal = Journal(words)
    comparison = _Comparison(journal)
    comparison.services(_by_wire_name(old), _by_wire_name(new))
    if not (old.services or new.services):
        comparison.types(old, new)
    comparison.finish()
    comparison.definitions(old, new)
    return journal.changes


def _services(
    old: Mapping[str, Service], new: Mapping[str, Service], words: Words
) -> list[Change]:
    journal = Journal(words, names=False)
    comparison = _Comparison(journal)
    comparison.services(old, new)
    comparison.finish()
    return journal.changes


def _by_wire_name(file: File) -> dict[str, Service]:
    return {it.wire_name: it for it in file.services.values()}


class _Comparison:
    """
    The comparison of two versions.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._words = journal.words

    def services(self, old: Mapping[str, Service], new: Mapping[str, Service]) -> None:
        """
        Compare services, method by method.
        """
        for name, service in old.items():
            other = new.get(name) or _alias_of(new, name)
            if other is None:
                message = f"service '{service.name}' {self._words.gone}"
                self._journal.note(_WIRE, (service.place, None), message)
            else:
                self._service(service, other)

    def _service(self, old: Service, new: Service) -> None:
        self._journal.matched.add(id(old))
        self._called("service", old, new)
        self._aliases(f"service '{old.name}'", old, new, _names_of(old), _names_of(new))
        methods = {
            name: it
            for it in new.methods.values()
            for name in (it.wire_name, *it.aliases)
        }
        for method in old.methods.values():
            other = methods.get(method.wire_name)
            what = f"method '{old.name}.{method.name}'"
            if other is None:
                hint = _hint(old, method, new) if self._words.advice else ""
                message = f"{what} {self._words.gone}{hint}"
                self._journal.note(_WIRE, (method.place, None), message)
                continue
            self._called("method", method, other)
            names = [(it.wire_name, *it.aliases) for it in (method, other)]
            self._aliases(what, method, other, *names)
            compare_methods(self._journal, (old, method), (new, other))

    def _called(self, kind: str, old: Service | Method, new: Service | Method) -> None:
        if old.name != new.name:
            names = (f"'{it.name}'" for it in (old, new))
            message = f"{kind} '{old.name}' {self._words.became(*names)}"
            self._journal.note(_SOURCE, (old.place, new.place), message)

    def _aliases(
        self,
        what: str,
        old: Service | Method,
        new: Service | Method,
        before: tuple[str, ...],
        after: tuple[str, ...],
    ) -> None:
        for name in before:
            if name not in after:
                message = f"alias '{name}' of {what} {self._words.gone}"
                why = "calls by that name are refused"
                self._journal.note(_WIRE, (old.place, new.place), f"{message}; {why}")

    def types(self, old: File, new: File) -> None:
        """
        Compare the types of a file that others import, whoever sends them.
        """
        for one, other in _common(old, new):
            if isinstance(one, Named) and isinstance(other, Named):
                for use in _ANYWHERE:
                    self._journal.reach(one, other, use)

    def finish(self) -> None:
        """
        Compare the types that were reached, and those that these reach.
        """
        while self._journal.open:
            self._definition(*self._journal.open.pop())

    def _definition(self, old: Named, new: Named, use: Use) -> None:
        journal = self._journal
        if journal.names and old.name != new.name:
            names = (f"'{it.name}'" for it in (old, new))
            message = f"{_kind(old)} '{old.name}' {self._words.became(*names)}"
            journal.note(_SOURCE, (old.place, new.place), message)
        if isinstance(old, Enum) and isinstance(new, Enum):
            compare_enums(journal, old, new, use)
        elif isinstance(old, Union_) and isinstance(new, Union_):
            compare_unions(journal, old, new, use)
        elif isinstance(old, Struct) and isinstance(new, Struct):
            compare_structs(journal, old, new, use)

    def definitions(self, old: File, new: File) -> None:
        """
        Note which names of a file are gone from Python, or mean another thing.
        """
        for name, it in old.definitions.items():
            lost = name not in new.definitions and not isinstance(it, Service)
            if lost and id(it) not in self._journal.matched:
                message = f"{_kind(it)} '{name}' {self._words.gone}"
                self._journal.note(_SOURCE, (it.place, None), message)
        for one, other in _common(old, new):
            if type(one) is not type(other) or _kind(one) != _kind(other):
                message = f"'{one.name}' {self._words.became(_kind(one), _kind(other))}"
                self._journal.note(_SOURCE, (one.place, other.place), message)
            elif isinstance(one, Const) and isinstance(other, Const):
                self._const(one, other)

    def _const(self, old: Const, new: Const) -> None:
        if str(old.type) != str(new.type):
            message = (
                f"the type of '{new.name}' {self._words.became(old.type, new.type)}"
            )
            self._journal.note(_SOURCE, (old.place, new.place), message)
        elif not same_value(old.value, new.value, new.type):
            values = (written_value(it.value) for it in (old, new))
            message = f"'{new.name}' {self._words.became(*values)}"
            self._journal.note(_SEMANTIC, (old.place, new.place), message)


def _common(old: File, new: File) -> Iterator[tuple[Definition, Definition]]:
    for name, definition in old.definitions.items():
        if name in new.definitions:
            yield definition, new.definitions[name]


def _kind(definition: Definition) -> str:
    if isinstance(definition, Struct) and definition.is_exception:
        return "exception"
    kind: str = type(definition).__name__.lower().strip("_")
    return {"const": "constant"}.get(kind, kind)


def _names_of(service: Service) -> tuple[str, ...]:
    aliases = service.annotations.get("aliases")
    return (service.wire_name, *(() if aliases is None else aliases.args["names"]))


def _alias_of(services: Mapping[str, Service], name: str) -> Service | None:
    return next((it for it in services.values() if name in _names_of(it)), None)


def _hint(service: Service, method: Method, new: Service) -> str:
    """
    @return: which method it may have become.
    """
    known = {it.name for it in service.methods.values()}
    for other in new.methods.values():
        if other.name not in known and [it.name for it in other.params] == [
            it.name for it in method.params
        ]:
            return (
                f"; if it is '{other.name}' now, say"
                f' @aliases(["{method.wire_name}"]) there'
            )
    return ""
