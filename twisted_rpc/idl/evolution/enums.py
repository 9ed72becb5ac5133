# -*- test-case-name: tests.idl.test_evolution -*-
"""
Enums and unions of two versions, value by value and struct by struct.
"""

from __future__ import annotations

from twisted_rpc.idl.evolution.changes import Journal, Use, Verdict, Verdicts, places_of
from twisted_rpc.idl.evolution.pairing import pair
from twisted_rpc.idl.model import Enum, EnumValue, Struct, Union_

WIRE, SOURCE, SEMANTIC = Verdict.WIRE, Verdict.SOURCE, Verdict.SEMANTIC


def compare_enums(journal: Journal, old: Enum, new: Enum, use: Use) -> None:
    """
    Note how the values of an enum have changed.
    """
    _Enums(journal, old, new, use).compare()


def compare_unions(journal: Journal, old: Union_, new: Union_, use: Use) -> None:
    """
    Note how the structs of a union have changed.
    """
    words = journal.words
    for one, other in pair(old.structs, new.structs, _wire_name, alike):
        if one is None and other is not None:
            what = f"'{other.name}' in union '{new.name}' {words.added}"
            refused = f"{words.clients} refuse it"
            journal.judge(use, (None, WIRE), (None, other.place), what, ("", refused))
        elif one is not None and other is None:
            what = f"'{one.name}' in union '{old.name}' {words.gone}"
            refused = f"{words.servers} refuse it"
            journal.judge(use, (WIRE, None), (one.place, None), what, (refused, ""))
        elif one is not None and other is not None:
            journal.reach(one, other, use)
            rename(journal, use, one, other, f"in union '{new.name}'")


def rename(journal: Journal, use: Use, old: Struct, new: Struct, where: str) -> None:
    """
    Note that a struct or exception which is sent by name has another.
    """
    words = journal.words
    if old.wire_name != new.wire_name:
        names = (f"'{it.wire_name}'" for it in (old, new))
        what = f"'{old.name}' {where} {words.became(*names)} on the wire"
        why = (
            f"{words.servers} do not know the name that {words.clients} send",
            f"{words.clients} do not know it",
        )
        journal.judge(use, (WIRE, WIRE), (old.place, new.place), what, why)


def _wire_name(struct: Struct) -> str:
    return struct.wire_name


def alike(old: Struct, new: Struct) -> bool:
    """
    Whether a struct seems to be another under a new name.
    """
    return old.name == new.name or {it.wire_name for it in old.all_fields} == {
        it.wire_name for it in new.all_fields
    }


class _Enums:
    """
    The values of two enums.
    """

    def __init__(self, journal: Journal, old: Enum, new: Enum, use: Use) -> None:
        self._journal, self._use = journal, use
        self._old, self._new = old, new

    def compare(self) -> None:
        """
        Note what differs.
        """
        old, new, words = self._old, self._new, self._journal.words
        for one, other in pair(old.values, new.values, _wire_value, self._renamed):
            if one is not None and other is not None:
                self._kept(one, other)
            elif one is not None:
                self._refused(one, one.wire_value, f"value '{one.name}'")
            elif other is not None:
                what = f"value '{other.name}' of enum '{new.name}' {words.added}"
                unknown = f"{words.clients} do not know it"
                self._judge((None, SEMANTIC), None, other, what, ("", unknown))
        if old.open and not new.open:
            what = f"@open of enum '{old.name}' {words.gone}"
            why = f"{words.servers} refuse values that they do not know", ""
            self._judge((WIRE, None), old, new, what, why)

    def _renamed(self, old: EnumValue, new: EnumValue) -> bool:
        # At the same place, with nothing beside it that came or went.
        return old.name == new.name or len(self._old.values) == len(self._new.values)

    def _judge(
        self,
        verdicts: Verdicts,
        old: EnumValue | Enum | None,
        new: EnumValue | Enum | None,
        what: str,
        why: tuple[str, str] = ("", ""),
    ) -> None:
        places = places_of(old, new)
        self._journal.judge(self._use, verdicts, places, what, why)

    def _kept(self, old: EnumValue, new: EnumValue) -> None:
        words = self._journal.words
        of = f"of enum '{self._new.name}'"
        if old.wire_value != new.wire_value:
            texts = (f"'{it.wire_value}'" for it in (old, new))
            what = f"value '{old.name}' {of} {words.became(*texts)} on the wire"
            read = old.wire_value in new.aliases
            why = (f"{words.servers} refuse it", f"{words.clients} do not know it")
            verdicts = (None, SEMANTIC) if read else (WIRE, WIRE)
            self._judge(verdicts, old, new, what, why)
        elif old.name != new.name:
            names = (f"'{it.name}'" for it in (old, new))
            what = f"value '{new.wire_value}' {of} {words.became(*names)} in Python"
            self._journal.note(SOURCE, (old.place, new.place), what, self._use)
        for alias in old.aliases:
            if alias not in (new.wire_value, *new.aliases):
                self._refused(old, alias, f"alias '{alias}' of value '{old.name}'")

    def _refused(self, old: EnumValue, text: str, what: str) -> None:
        """
        A text that is no longer read as a value.
        """
        words = self._journal.words
        read = {it for value in self._new.values for it in value.aliases}
        what = f"{what} of enum '{self._old.name}' {words.gone}"
        if text in read:
            self._judge(
                (SEMANTIC, None), old, None, what, ("it is another's alias", "")
            )
        elif self._new.open:
            why = f"{words.servers} do not know it, and let it pass", ""
            self._judge((SEMANTIC, None), old, None, what, why)
        else:
            self._judge(
                (WIRE, None), old, None, what, (f"{words.servers} refuse it", "")
            )


def _wire_value(value: EnumValue) -> str:
    return value.wire_value
