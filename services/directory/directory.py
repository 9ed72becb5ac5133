# -*- test-case-name: tests.services.test_directory -*-
"""
What the directory does.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from twisted_rpc import load_idl

idl = load_idl(
    Path(__file__).with_name("directory.idl"), module="services.directory.idl"
)


class Directory:
    """
    Implements C{Directory} of C{directory.idl}, in memory.
    """

    def __init__(self) -> None:
        self._entries: dict[UUID, Any] = {}

    def count(self) -> dict[str, int]:
        """
        How many there are of each kind.
        """
        return dict(Counter(type(it).__name__.lower() for it in self._entries.values()))

    def put(self, entry: Any) -> None:
        """
        Add an entry.  Whom it refers to must be there, or be itself.
        """
        for other in _needed(entry) - {entry.id}:
            if other not in self._entries:
                raise idl.NoSuchEntry(id=other)
        self._entries[entry.id] = entry

    def get(self, id: UUID) -> Any:
        """
        The entry of an id.
        """
        if id not in self._entries:
            raise idl.NoSuchEntry(id=id)
        return self._entries[id]

    def find(self, text: str, role: Any, limit: int) -> list[Any]:
        """
        Entries that a text is in; of a role, only people.
        """
        text = text.casefold()
        found = [
            entry
            for entry in self._entries.values()
            if any(text in it.casefold() for it in (entry.name, *entry.tags))
            and (role is None or getattr(entry, "role", None) is role)
        ]
        return sorted(found, key=lambda entry: entry.name)[:limit]

    def chain(self, id: UUID) -> list[Any]:
        """
        A person, who leads this one, and so on; nobody twice.
        """
        chain: list[Any] = []
        step: UUID | None = id
        while step is not None:
            person = self.get(step)
            if person in chain or not isinstance(person, idl.Person):
                break
            chain.append(person)
            step = person.lead
        return chain

    def birthdays(self, first: date, span: timedelta) -> dict[date, list[Any]]:
        """
        Who has a birthday on which day.
        """
        # A year at most: then every day has come.
        days = [first + timedelta(day) for day in range(min(span.days, 366))]
        people = [it for it in self._entries.values() if isinstance(it, idl.Person)]
        return {
            day: those
            for day in days
            if (those := [it for it in people if _is_birthday(it.born, day)])
        }

    def remove(self, id: UUID) -> None:
        """
        Take an entry away that no other refers to.
        """
        self.get(id)
        users = [
            it.id for it in self._entries.values() if it.id != id and id in _needed(it)
        ]
        if users:
            raise idl.StillNeeded(id=id, by=users)
        del self._entries[id]


def _needed(entry: Any) -> set[UUID]:
    """
    The ids that an entry refers to.
    """
    if isinstance(entry, idl.Team):
        return set(entry.members)
    return set() if entry.lead is None else {entry.lead}


def _is_birthday(born: date | None, day: date) -> bool:
    return born is not None and (born.month, born.day) == (day.month, day.day)
