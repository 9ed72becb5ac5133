# -*- test-case-name: tests.services.test_directory -*-
"""
Fills a directory, asks it, and prints what it tells::

    python -m services.directory.client [ENDPOINT]
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid5

from twisted.internet.task import react

from services.directory.directory import idl
from twisted_rpc import Client, Code, RPCError

#: What the ids are made of: they are the same in every run.
OURS = UUID("0f7a3e3e-6f9b-4d55-8a9e-1d2c3b4a5f60")

ADA, GRACE, CREW = (uuid5(OURS, name) for name in ("ada", "grace", "crew"))


async def fill(directory: Any) -> None:
    """
    Put two people and a team into a directory.
    """
    contact = idl.contact
    grace = idl.Person(
        id=GRACE,
        name="Grace",
        role=idl.Role.MANAGER,
        born=date(1906, 12, 9),
        ways=[contact.Desk(building="A", floor=2, room="203")],
    )
    ada = idl.Person(
        id=ADA,
        name="Ada",
        born=date(1815, 12, 10),
        lead=GRACE,
        ways=[
            contact.Mail(address="ada@example.com"),
            contact.Phone(number="+44 1234", mobile=True),
        ],
        tags={"engines"},
    )
    roles = {ADA: idl.Role.ENGINEER, GRACE: idl.Role.OPERATOR}
    for entry in (grace, ada, idl.Team(id=CREW, name="Crew", members=roles)):
        await directory.put(entry)


async def ask(directory: Any) -> None:
    """
    Print what a directory tells of them.
    """
    ada = await directory.get(ADA)
    for way in ada.ways:
        print(f"{ada.name} can be reached by {way}")
    chain = await directory.chain(ADA)
    print(" is led by ".join(person.name for person in chain))
    found = await directory.find("ENG", role=idl.Role.ENGINEER)
    print("engines:", ", ".join(entry.name for entry in found))
    days = await directory.birthdays(date(2026, 12, 1), timedelta(days=14))
    for day, people in sorted(days.items()):
        print(f"{day:%d %B}: {', '.join(person.name for person in people)}")
    try:
        await directory.remove(GRACE)
    except idl.StillNeeded as error:
        print(f"Grace is needed by {len(error.by)} entries")
    print("entries:", dict(sorted((await directory.count()).items())))


async def main(reactor: Any, endpoint: str = "tcp:127.0.0.1:5000") -> None:
    """
    Fill and ask the directory at C{endpoint}.
    """
    async with Client(endpoint, reactor=reactor) as client:
        directory = client.proxy(idl.IDirectory)
        try:
            await fill(directory)
            await ask(directory)
        except RPCError as error:
            if error.code is not Code.UNAVAILABLE:
                raise
            sys.exit(f"{endpoint}: {error}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
