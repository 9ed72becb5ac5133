# -*- test-case-name: tests.idl.test_evolution -*-
"""
Structs and exceptions of two versions, member by member.
"""

from __future__ import annotations

from twisted_rpc.idl.evolution.changes import Journal, Use, Verdict, Verdicts, places_of
from twisted_rpc.idl.evolution.pairing import pair
from twisted_rpc.idl.evolution.types import Spot, compare_types
from twisted_rpc.idl.evolution.values import same_value, written_value
from twisted_rpc.idl.model import Field, Struct

WIRE, SOURCE, SEMANTIC = Verdict.WIRE, Verdict.SOURCE, Verdict.SEMANTIC


def compare_structs(journal: Journal, old: Struct, new: Struct, use: Use) -> None:
    """
    Note how the members of a struct or exception have changed.
    """
    _Structs(journal, old, new, use).compare()


class _Structs:
    """
    The members of two structs or exceptions.
    """

    def __init__(self, journal: Journal, old: Struct, new: Struct, use: Use) -> None:
        self._journal, self._use = journal, use
        self._old, self._new = old, new

    def compare(self) -> None:
        """
        Note what differs.
        """
        old, new = self._old, self._new
        if old.is_exception and old.code != new.code:
            what = f"the code of exception '{new.name}'"
            what = f"{what} {self._journal.words.became(old.code, new.code)}"
            self._judge((SEMANTIC, SEMANTIC), old, new, what)
        pairs = pair(old.all_fields, new.all_fields, _wire_name, _same_member)
        for one, other in pairs:
            if one is not None and other is not None:
                self._changed(one, other)
            elif one is not None:
                self._removed(one)
            elif other is not None:
                self._added(other)

    def _judge(
        self,
        verdicts: Verdicts,
        old: Field | Struct | None,
        new: Field | Struct | None,
        what: str,
        why: tuple[str, str] = ("", ""),
    ) -> None:
        places = places_of(old, new)
        self._journal.judge(self._use, verdicts, places, what, why)

    def _changed(self, old: Field, new: Field) -> None:
        journal, what = (
            self._journal,
            f"member '{new.name}' of {_owner(self._new, new)}",
        )
        words = journal.words
        if old.wire_name != new.wire_name:
            names = (f"'{it.wire_name}'" for it in (old, new))
            self._judge(
                (WIRE, WIRE),
                old,
                new,
                f"member '{old.name}' of {_owner(self._old, old)}"
                f" {words.became(*names)} on the wire",
                (
                    f"{words.servers} do not find what {words.clients} send",
                    f"{words.clients} do not find it",
                ),
            )
        elif old.name != new.name:
            names = (f"'{it.name}'" for it in (old, new))
            message = f"member '{new.wire_name}' of {_owner(self._new, new)}"
            message = f"{message} {words.became(*names)} in Python"
            journal.note(SOURCE, (old.place, new.place), message, self._use)
        spot = Spot(what, old.place, new.place, self._use)
        compare_types(
            journal, spot, (old.type, old.annotations), (new.type, new.annotations)
        )
        self._defaults(old, new, what)

    def _defaults(self, old: Field, new: Field, what: str) -> None:
        words = self._journal.words
        if not old.required and new.required:
            if not (old.type.optional and not new.type.optional):
                self._judge(
                    (WIRE, SOURCE),
                    old,
                    new,
                    f"{what} {words.required}",
                    (
                        f"{words.clients} may leave it out",
                        "what makes one must name it",
                    ),
                )
        elif not (old.required or new.required) and not same_value(
            old.default, new.default, new.type
        ):
            defaults = (written_value(it.default) for it in (old, new))
            message = f"the default of {what} {words.became(*defaults)}"
            self._judge((SEMANTIC, SEMANTIC), old, new, message)

    def _removed(self, old: Field) -> None:
        words = self._journal.words
        what = f"member '{old.name}' of {_owner(self._old, old)} {words.gone}"
        ignored = f"{words.servers} ignore it"
        if words.advice and old.wire_name not in _reserved(self._new):
            ignored = f'{ignored}; keep its name with @reserved(["{old.wire_name}"])'
        unread = f"{words.clients} " + (
            "need it" if old.required else "read its default"
        )
        verdicts = (SEMANTIC, WIRE if old.required else SEMANTIC)
        self._judge(verdicts, old, None, what, (ignored, unread))

    def _added(self, new: Field) -> None:
        if new.required:
            words = self._journal.words
            self._judge(
                (WIRE, SOURCE),
                None,
                new,
                f"member '{new.name}' of {_owner(self._new, new)} {words.required}",
                (
                    f"{words.clients} do not send it",
                    "what makes one must name it",
                ),
            )


def _wire_name(member: Field) -> str:
    return member.wire_name


def _same_member(old: Field, new: Field) -> bool:
    return old.name == new.name or str(old.type) == str(new.type)


def _owner(struct: Struct, member: Field) -> str:
    step: Struct | None = struct
    while step is not None:
        if member in step.fields:
            return f"'{step.name}'"
        step = step.base
    return f"'{struct.name}'"


def _reserved(struct: Struct) -> set[str]:
    names: set[str] = set()
    step: Struct | None = struct
    while step is not None:
        found = step.annotations.get("reserved")
        names.update(() if found is None else found.args["names"])
        step = step.base
    return names
