# -*- test-case-name: tests.idl.test_evolution -*-
"""
What is found when two versions of an interface are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal, Protocol

from twisted_rpc.idl.model import Enum, Place, Struct, Union_

#: Who writes: clients of one version to servers of the other, or back.
Direction = Literal["request", "reply"]

#: What has members of its own, and is looked at once for each direction.
Named = Enum | Struct | Union_


class Verdict(IntEnum):
    """
    What a change breaks; the worse, the higher.
    """

    #: The same messages, another behaviour or safety.
    SEMANTIC = 1
    #: Python that was correct no longer runs or type-checks.
    SOURCE = 2
    #: A message of one side is refused or misread by the other.
    WIRE = 3


#: Two texts can be made whose types all meet each other.
MAX_PAIRS: Final = 50_000

#: Code points of a message that are shown.
_SHOWN: Final = 500

#: Where something stands in the old version and in the new one.
Places = tuple[Place | None, Place | None]

#: The verdicts of a change in requests and in replies; C{None}: it is well.
Verdicts = tuple[Verdict | None, Verdict | None]


class Placed(Protocol):
    """
    Anything that stands somewhere.
    """

    @property
    def place(self) -> Place:
        """Where."""


def places_of(old: Placed | None, new: Placed | None) -> Places:
    """
    @return: where each stands, if there is one.
    """
    return (
        None if old is None else old.place,
        None if new is None else new.place,
    )


@dataclass(frozen=True, slots=True)
class Use:
    """
    Where a type is sent.

    @ivar method: C{"Bank.transfer"}, or C{""} where no method says.
    """

    direction: Direction
    method: str

    def __str__(self) -> str:
        return f"{self.direction}: {self.method}" if self.method else self.direction


@dataclass(frozen=True, slots=True)
class Change:
    """
    One finding.

    @ivar old: where it stands in the old version, if it does.
    @ivar new: where it stands in the new one, if it does.
    @ivar message: what changed, and what comes of it.
    @ivar use: where the type is sent; C{None} for a change of no type.
    """

    verdict: Verdict
    old: Place | None
    new: Place | None
    message: str
    use: Use | None = None

    @property
    def place(self) -> Place:
        """In the new version; of what is gone, in the old one."""
        place = self.new or self.old
        assert place is not None
        return place

    def __str__(self) -> str:
        return self.told()

    def told(self, old: str = "before") -> str:
        """
        @param old: what the old version is called.
        @return: a line, with both places.
        """
        use = f" ({self.use})" if self.use is not None else ""
        other = f"  [{old}: {self.old}]" if self.new and self.old else ""
        return f"{self.place}: {self.verdict.name}: {self.message}{use}{other}"


@dataclass(frozen=True, slots=True)
class Words:
    """
    How findings are put.

    @ivar changed: the pattern of a change, C{{old}} and C{{new}} in it.
    @ivar clients: whose requests are judged.
    @ivar servers: who reads them.
    @ivar advice: whether it helps to say how to do it better.
    @ivar routes: whether clients may come by HTTP.
    """

    gone: str = "is gone"
    added: str = "is new"
    required: str = "is now required"
    changed: str = "is now {new}, was {old}"
    clients: str = "clients of the old IDL"
    servers: str = "servers of the new IDL"
    advice: bool = True
    routes: bool = True

    def became(self, old: object, new: object) -> str:
        """
        @return: C{"is now <new>, was <old>"}.
        """
        return self.changed.format(old=old, new=new)


#: The old version's clients, the new version's servers.
FORWARD = Words()

#: The new version's clients, the old version's servers; it is compared the other
#: way round, and the change is told from the old to the new all the same.
BACKWARD = Words(
    gone="is new",
    added="is gone",
    required="was required",
    changed="is now {old}, was {new}",
    clients="clients of the new IDL",
    servers="servers of the old IDL",
    advice=False,
)

#: A client and a server that met; nobody knows which version is the older.
MET = Words(
    gone="is not known to the server",
    added="is known only to the server",
    required="is required by the server",
    changed="is {new} for the server, {old} for the client",
    clients="clients like this one",
    servers="servers like that one",
    advice=False,
    routes=False,
)


def in_order(changes: Iterable[Change]) -> list[Change]:
    """
    @return: as the texts go, the worst at a place first.
    """
    return sorted(
        changes,
        key=lambda it: (
            it.place.path,
            it.place.line,
            it.place.column,
            -it.verdict,
            it.message,
        ),
    )


def _one_line(message: str) -> str:
    """
    @return: a message without what a text of the IDL may bring into it.
    """
    if len(message) > _SHOWN:
        message = f"{message[:_SHOWN]}..."
    return "".join(it if it.isprintable() else repr(it)[1:-1] for it in message)


class TooMuchError(ValueError):
    """
    Two versions have too many types to be compared with each other.
    """


@dataclass(slots=True)
class Journal:
    """
    Takes down what is found, and what is still to be compared.

    @ivar words: how findings are put.
    @ivar names: whether it matters what Python calls things.
    @ivar open: pairs of definitions that are to be compared.
    @ivar matched: the C{id} of what the old version has and the new one too.
    """

    words: Words = FORWARD
    names: bool = True
    open: list[tuple[Named, Named, Use]] = field(default_factory=list)
    matched: set[int] = field(default_factory=set)
    _changes: dict[tuple[object, ...], Change] = field(default_factory=dict)
    _seen: set[tuple[int, int, Direction]] = field(default_factory=set)

    @property
    def changes(self) -> list[Change]:
        """Each once, in the order of the texts."""
        return in_order(self._changes.values())

    def note(
        self,
        verdict: Verdict,
        places: Places,
        message: str,
        use: Use | None = None,
    ) -> None:
        """
        Take down a finding; the same one for another method, or in the other
        direction, adds nothing.
        """
        message = _one_line(message)
        change = Change(verdict, *places, message, use)
        self._changes.setdefault((verdict, *places, message), change)

    def judge(
        self,
        use: Use,
        verdicts: Verdicts,
        places: Places,
        what: str,
        why: tuple[str, str] = ("", ""),
    ) -> None:
        """
        Take down a change of what is sent.

        @param what: what changed.
        @param why: what comes of it, in requests and in replies.
        """
        index = 0 if use.direction == "request" else 1
        verdict = verdicts[index]
        if verdict is not None:
            tail = f"; {why[index]}" if why[index] else ""
            self.note(verdict, places, what + tail, use)

    def reach(self, old: Named, new: Named, use: Use) -> None:
        """
        Have two definitions compared, once for each direction.
        """
        key = (id(old), id(new), use.direction)
        if key not in self._seen:
            if len(self._seen) >= MAX_PAIRS:
                raise TooMuchError(f"more than {MAX_PAIRS} pairs of types")
            self._seen.add(key)
            self.matched.add(id(old))
            self.open.append((old, new, use))
