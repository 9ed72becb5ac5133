"""
The directory does what its IDL says, and its client shows it.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from services.directory import Directory
from services.directory import client as program
from services.directory.directory import idl
from tests.services.serving import ServiceTestCase
from twisted_rpc.errors import InvalidArgument

ANSWERS = [
    "Ada can be reached by Mail(address='ada@example.com')",
    "Ada can be reached by Phone(number='+44 1234', mobile=True)",
    "Ada is led by Grace",
    "engines: Ada",
    "09 December: Grace",
    "10 December: Ada",
    "Grace is needed by 2 entries",
    "entries: {'person': 2, 'team': 1}",
]


def person(number: int, lead: int | None = None, **members: Any) -> Any:
    """
    @return: a person of an id.
    """
    given = {"name": f"P{number}", **members}
    leader = None if lead is None else UUID(int=lead)
    return idl.Person(id=UUID(int=number), lead=leader, **given)


class DirectoryTests(SynchronousTestCase):
    """
    L{Directory} itself.
    """

    def setUp(self) -> None:
        """
        An empty one.
        """
        self.directory = Directory()

    def test_put(self) -> None:
        """
        Putting an entry again puts it in the other's place.
        """
        for name in ("Ann", "Anna"):
            self.directory.put(person(1, name=name))
        self.assertEqual(self.directory.get(UUID(int=1)).name, "Anna")
        self.assertEqual(self.directory.count(), {"person": 1})

    def test_references(self) -> None:
        """
        An entry refers to what is there, and that stays until it does not.
        """
        with self.assertRaises(idl.NoSuchEntry) as raised:
            self.directory.put(person(2, lead=1))
        self.assertEqual(raised.exception.id, UUID(int=1))
        self.directory.put(person(1))
        self.directory.put(person(2, lead=1))
        team = idl.Team(
            id=UUID(int=3), name="T", members={UUID(int=1): idl.Role.MANAGER}
        )
        self.directory.put(team)
        with self.assertRaises(idl.StillNeeded) as needed:
            self.directory.remove(UUID(int=1))
        self.assertEqual(needed.exception.by, [UUID(int=2), UUID(int=3)])
        for number in (3, 2, 1):
            self.directory.remove(UUID(int=number))
        self.assertEqual(self.directory.count(), {})
        with self.assertRaises(idl.NoSuchEntry):
            self.directory.remove(UUID(int=1))

    def test_chain(self) -> None:
        """
        A chain ends with who is led by nobody, and where it would go round.
        """
        self.directory.put(person(1))
        self.directory.put(person(2, lead=1))
        self.directory.put(person(3, lead=2))
        ids = [it.id.int for it in self.directory.chain(UUID(int=3))]
        self.assertEqual(ids, [3, 2, 1])
        self.directory.put(person(1, lead=3))
        ids = [it.id.int for it in self.directory.chain(UUID(int=2))]
        self.assertEqual(ids, [2, 1, 3])

    def test_find(self) -> None:
        """
        Names and tags are looked into, whatever their case, and people can be
        chosen by their role.
        """
        manager = idl.Role.MANAGER
        self.directory.put(person(1, name="Zoe", tags={"Tea"}))
        self.directory.put(person(2, name="Teague", role=manager))
        self.directory.put(idl.Team(id=UUID(int=3), name="A team"))
        found = self.directory.find("tea", None, 20)
        self.assertEqual([it.name for it in found], ["A team", "Teague", "Zoe"])
        found = self.directory.find("tea", manager, 20)
        self.assertEqual([it.name for it in found], ["Teague"])
        self.assertEqual(len(self.directory.find("tea", None, 1)), 1)

    def test_birthdays(self) -> None:
        """
        Days come with whose they are, over the end of a year too; a span of
        ages is a year.
        """
        self.directory.put(person(1, born=date(2000, 1, 2)))
        self.directory.put(person(2))
        first = date(2026, 12, 30)
        days = self.directory.birthdays(first, timedelta(days=7))
        self.assertEqual(
            {day: [it.name for it in those] for day, those in days.items()},
            {date(2027, 1, 2): ["P1"]},
        )
        self.assertEqual(self.directory.birthdays(first, timedelta(days=1)), {})
        self.assertEqual(len(self.directory.birthdays(first, timedelta.max)), 1)


class ServedTests(ServiceTestCase):
    """
    The directory and its client.
    """

    def test_client(self) -> None:
        """
        As C{twistd} serves it, maps, unions, sets, dates and what is inherited
        and imported arrive as they are; filling it twice is filling it once.
        """
        options = self.options(
            "directory/directory.idl", "services.directory.Directory"
        )
        pair = self.connect(options.registry)
        directory = pair.client.proxy(idl.IDirectory)
        lines = self.printed(
            pair,
            partial(program.fill, directory),
            partial(program.fill, directory),
            partial(program.ask, directory),
        )
        self.assertEqual(lines, ANSWERS)

    def test_strict(self) -> None:
        """
        A value that is not allowed is named.
        """
        options = self.options(
            "directory/directory.idl", "services.directory.Directory"
        )
        pair = self.connect(options.registry)
        wrong = person(1, ways=[idl.contact.Phone(number="112")])
        error = self.assertRaises(
            InvalidArgument,
            pair.result,
            pair.client.proxy(idl.IDirectory).put(wrong),
        )
        self.assertEqual(
            error.message,
            "entry.ways[0].number: expected str that matches its pattern",
        )
