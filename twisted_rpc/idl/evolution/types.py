# -*- test-case-name: tests.idl.test_evolution -*-
"""
One type in use beside another: who can still read what the other writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twisted_rpc.idl.codecs.types import INT64, INTEGERS, integer_bounds
from twisted_rpc.idl.evolution.changes import Journal, Use, Verdict, Verdicts
from twisted_rpc.idl.evolution.constraints import compare_constraints
from twisted_rpc.idl.model import Annotations, Enum, Place, Type

WIRE, SOURCE, SEMANTIC = Verdict.WIRE, Verdict.SOURCE, Verdict.SEMANTIC

_BOTH: Final[Verdicts] = (WIRE, WIRE)
_CLIENTS: Final = "{clients} cannot read what they do not expect"


@dataclass(frozen=True, slots=True)
class Spot:
    """
    Where a type is used, in both versions.

    @ivar what: what has the type, C{"member 'iban' of 'Iban'"}.
    """

    what: str
    old: Place
    new: Place
    use: Use


#: The type and the constraints of one version.
Typed = tuple[Type, Annotations]


def compare_types(journal: Journal, spot: Spot, old: Typed, new: Typed) -> None:
    """
    Note how the type at a spot has changed.
    """
    _Types(journal, spot).compare(old, new)


class _Types:
    """
    The comparison at one spot.
    """

    def __init__(self, journal: Journal, spot: Spot) -> None:
        self._journal = journal
        self._spot = spot

    def compare(
        self, old: Typed, new: Typed, keys: tuple[bool, bool] = (False, False)
    ) -> None:
        """
        @param keys: for each version, whether it is a key or the element of a
            set, whose integers have 64 bits.
        """
        one, other = old[0], new[0]
        if "any" in (one.name, other.name):
            if one.name != other.name:
                self._judge(
                    one, other, (None, WIRE) if other.name == "any" else (WIRE, None)
                )
            return
        if one.optional != other.optional:
            self._judge(one, other, (None, WIRE) if other.optional else (WIRE, None))
        if one.name in INTEGERS and other.name in INTEGERS:
            self._integers(old, new, keys)
            return
        spot = self._spot
        compare_constraints(self._journal, spot.use, spot.what, old, new)
        verdicts = _verdicts(one, other)
        if verdicts is not None:
            self._judge(one, other, verdicts)
        if verdicts != _BOTH:
            self._inside(one, other)

    def _inside(self, old: Type, new: Type) -> None:
        for index, (one, other) in enumerate(zip(old.args, new.args, strict=False)):
            keys = _is_key(old, index), _is_key(new, index)
            self.compare((one, {}), (other, {}), keys)
        was, now = old.definition, new.definition
        if was is not None and now is not None and type(was) is type(now):
            self._journal.reach(was, now, self._spot.use)

    def _judge(self, old: Type, new: Type, verdicts: Verdicts) -> None:
        """
        A change of type; in Python it is one too.
        """
        spot, journal = self._spot, self._journal
        what = f"the type of {spot.what} {journal.words.became(old, new)}"
        places = spot.old, spot.new
        why = _reasons(journal, old, new)
        journal.judge(spot.use, verdicts, places, what, why)
        if verdicts[0 if spot.use.direction == "request" else 1] is not WIRE:
            journal.note(SOURCE, places, what, spot.use)

    def _integers(self, old: Typed, new: Typed, keys: tuple[bool, bool]) -> None:
        """
        Integers are one type in Python, and differ in what they may be.
        """
        before, after = _bounds(old, key=keys[0]), _bounds(new, key=keys[1])
        narrower, wider = _judged(before, after)
        if not (narrower or wider):
            return
        spot, words = self._spot, self._journal.words
        one, other = _called(old[0], key=keys[0]), _called(new[0], key=keys[1])
        if one != other:
            what = f"the type of {spot.what} {words.became(one, other)}"
        else:
            what = (
                f"@range of {spot.what} {words.became(_range(before), _range(after))}"
            )
        verdicts = (WIRE if narrower else None, WIRE if wider else None)
        why = (
            f"{words.clients} may send {_sample(before, after)}",
            f"{words.clients} refuse {_sample(after, before)}",
        )
        self._journal.judge(spot.use, verdicts, (spot.old, spot.new), what, why)


def _is_key(type_: Type, index: int) -> bool:
    return type_.name == "set" or (type_.name == "map" and index == 0)


def _verdicts(old: Type, new: Type) -> Verdicts | None:
    """
    @return: what the change of the outermost type comes to; C{None} if it is the
        same.
    """
    if old.definition is not None and new.definition is not None:
        return None if type(old.definition) is type(new.definition) else _BOTH
    if old.definition is None and new.definition is None and old.name == new.name:
        return None
    if isinstance(old.definition, Enum) and new.name == "string":
        return None, SEMANTIC
    if isinstance(new.definition, Enum) and old.name == "string":
        return WIRE, None
    if old.name in INTEGERS and new.name == "float":
        return SEMANTIC, WIRE
    if old.name == "float" and new.name in INTEGERS:
        return WIRE, None
    if (old.name, new.name) == ("list", "set"):
        return SEMANTIC, SEMANTIC
    if (old.name, new.name) == ("set", "list"):
        return None, SEMANTIC
    return _BOTH


def _reasons(journal: Journal, old: Type, new: Type) -> tuple[str, str]:
    words = journal.words
    if old.optional != new.optional:
        null = f"{words.clients} may send null", f"{words.clients} refuse null"
        if _verdicts(old, new) is None:
            return null
    if (old.name, new.name) == ("list", "set"):
        same = "equal elements become one, and their order is lost"
        return same, same
    if (old.name, new.name) == ("set", "list"):
        return "", "elements may repeat, and have an order"
    if old.name in INTEGERS and new.name == "float":
        return (
            "numbers above 2^53 lose digits",
            f"{words.clients} refuse numbers with a fraction",
        )
    if isinstance(old.definition, Enum) and new.name == "string":
        return "", f"{words.clients} may not know the values"
    return (
        f"{words.servers} refuse what {words.clients} send",
        f"{words.clients} refuse what {words.servers} send",
    )


#: The lowest and the highest number, C{None} for no bound.
Bounds = tuple[int | None, int | None]


def _bounds(typed: Typed, *, key: bool) -> Bounds:
    low, high = integer_bounds(*typed)
    if key:
        low = INT64[0] if low is None else low
        high = INT64[1] if high is None else high
    return low, high


def _called(type_: Type, *, key: bool) -> str:
    return f"{type_} of 64 bits" if key and type_.name == "int" else str(type_)


def _judged(old: Bounds, new: Bounds) -> tuple[bool, bool]:
    """
    @return: whether some numbers are no longer allowed, and whether some are now.
    """
    infinity = float("inf")
    low, high = ((-infinity if it[0] is None else it[0]) for it in (old, new))
    least, most = ((infinity if it[1] is None else it[1]) for it in (old, new))
    return high > low or most < least, high < low or most > least


def _sample(allowed: Bounds, refused: Bounds) -> str:
    """
    @return: a number that is within some bounds and not within the others.
    """
    if refused[1] is not None and (allowed[1] is None or allowed[1] > refused[1]):
        return str(refused[1] + 1)
    return str((refused[0] or 0) - 1)


def _range(bounds: Bounds) -> str:
    low, high = bounds
    if low is None and high is None:
        return "without bounds"
    return f"{'' if low is None else low}..{'' if high is None else high}"
