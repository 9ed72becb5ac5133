# -*- test-case-name: tests.idl.test_lint_patterns -*-
"""
C{pattern-backtracking}: patterns that Python needs too long for.

A pattern becomes the automaton of U{Glushkov
<https://en.wikipedia.org/wiki/Glushkov%27s_construction_algorithm>}: a state for
each character that it is written with.  If one text leads from a state back to
it in two ways, each repetition doubles the ways, and all are tried when the
whole does not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from re import _constants as words  # type: ignore[attr-defined]  # re tells no other way what it has read
from re import _parser as sre  # type: ignore[attr-defined]  # as above
from typing import Any, Final

from twisted_rpc.idl.codecs.types import pattern_of
from twisted_rpc.idl.lint.subject import Remark, Subject, about

#: More often than this is as good as without end.
_FOR_EVER: Final = 20

#: Longer patterns are not looked at: the work grows with the fourth power.
_MAX_STATES: Final = 60

#: Texts up to this length may be gone through again from each of their places.
_SHORT: Final = 10_000

#: ASCII, and a character for all the others.
_ALPHABET: Final = (*map(chr, range(128)), "\u00e9")

Chars = frozenset[str]


def pattern_backtracking(subject: Subject) -> Iterator[Remark]:
    """
    A pattern for which Python tries very many ways.
    """
    for node, meant in subject.fields():
        if "pattern" not in meant.annotations:
            continue
        length = meant.annotations.get("length")
        longest = None if length is None else length.args.get("max")
        message = slowness(pattern_of(meant.annotations), longest)
        if message:
            written = next(each for each in node.annotations if each.name == "pattern")
            yield about(
                written, message, "let each part begin with what none ends with"
            )


def slowness(pattern: str, longest: int | None = None) -> str:
    """
    @param longest: how long the text may be at most.
    @return: what makes a pattern slow, or C{""}.
    """
    automaton = _Automaton()
    parsed = sre.parse(pattern)
    automaton.read(parsed, bool(parsed.state.flags & re.IGNORECASE))
    if len(automaton.chars) > _MAX_STATES:
        return ""
    if automaton.is_exponential():
        return "this pattern can take for ever: a repetition repeats in two ways"
    if (longest is None or longest > _SHORT) and automaton.is_quadratic():
        return "this pattern can take long: two repetitions share characters"
    return ""


#: Whether a part may be empty, and the states that it begins and ends with.
_Part = tuple[bool, list[int], list[int]]
_EMPTY: Final[_Part] = (True, [], [])


@dataclass
class _Automaton:
    """
    @ivar chars: of each state, the characters that lead to it.
    @ivar ways: of two states, in how many ways one follows the other.
    """

    chars: list[Chars] = field(default_factory=list)
    ways: dict[tuple[int, int], int] = field(default_factory=dict)

    def read(self, parsed: Any, ignore_case: bool) -> _Part:
        """
        Add what C{re} has parsed.
        """
        part = _EMPTY
        for word, argument in parsed:
            part = self._then(part, self._read_one(word, argument, ignore_case))
        return part

    def _read_one(self, word: Any, argument: Any, ignore_case: bool) -> _Part:
        if word in (words.MAX_REPEAT, words.MIN_REPEAT, words.POSSESSIVE_REPEAT):
            least, most, inner = argument
            return self._repeated(word, least, most, inner, ignore_case)
        if word is words.SUBPATTERN:
            _, added, removed, inner = argument
            case = (ignore_case or added & re.IGNORECASE) and not (
                removed & re.IGNORECASE
            )
            return self.read(inner, bool(case))
        if word is words.ATOMIC_GROUP:
            return self._atomic(argument, ignore_case)
        if word is words.BRANCH:
            return _either([self.read(each, ignore_case) for each in argument[1]])
        if word is words.GROUPREF_EXISTS:
            branches = (each or () for each in argument[1:])
            return _either([self.read(each, ignore_case) for each in branches])
        if word in (words.AT, words.ASSERT, words.ASSERT_NOT, words.GROUPREF):
            return _EMPTY
        chars = _chars(word, argument)
        if ignore_case:
            chars |= {char.swapcase() for char in chars if char.isascii()}
        self.chars.append(chars)
        state = len(self.chars) - 1
        return False, [state], [state]

    def _repeated(
        self, word: Any, least: int, most: Any, inner: Any, ignore_case: bool
    ) -> _Part:
        optional, first, last = self.read(inner, ignore_case)
        if most > _FOR_EVER and word is not words.POSSESSIVE_REPEAT:
            self._follow(last, first)
            if optional and most is not words.MAXREPEAT:
                # Any of the rounds may be the empty ones.
                self._follow(last, first)
        return optional or least == 0, first, last

    def _atomic(self, inner: Any, ignore_case: bool) -> _Part:
        """
        Inside, nothing is tried again.
        """
        before = dict(self.ways)
        part = self.read(inner, ignore_case)
        self.ways = before
        return part

    def _then(self, one: _Part, two: _Part) -> _Part:
        self._follow(one[2], two[1])
        return (
            one[0] and two[0],
            one[1] + two[1] if one[0] else one[1],
            one[2] + two[2] if two[0] else two[2],
        )

    def _follow(self, last: Sequence[int], first: Sequence[int]) -> None:
        for one in last:
            for two in first:
                self.ways[one, two] = self.ways.get((one, two), 0) + 1

    def is_exponential(self) -> bool:
        """
        Whether one text leads from a state back to it in two ways.
        """
        pairs = self._pairs()
        return any(
            (state, state) in _reached(pairs, start)
            for start, state in self._forks(pairs)
        )

    def _forks(
        self, pairs: dict[tuple[int, int], set[tuple[int, int]]]
    ) -> Iterator[tuple[tuple[int, int], int]]:
        """
        @return: where a text goes two ways after a state, and that state.
        """
        for (one, two), count in self.ways.items():
            if count > 1 and self.chars[two]:
                yield (two, two), one
        for state in range(len(self.chars)):
            for one, two in pairs.get((state, state), ()):
                if one != two:
                    yield (one, two), state

    def _pairs(self) -> dict[tuple[int, int], set[tuple[int, int]]]:
        """
        @return: of two states at a time, which two one character leads to.
        """
        after: dict[int, list[int]] = {}
        for one, two in self.ways:
            after.setdefault(one, []).append(two)
        states = range(len(self.chars))
        return {
            (left, right): {
                (one, two)
                for one in after.get(left, ())
                for two in after.get(right, ())
                if self.chars[one] & self.chars[two]
            }
            for left in states
            for right in states
        }

    def is_quadratic(self) -> bool:
        """
        Whether a repetition follows another with characters of it.
        """
        return any(
            one != two
            and (one, one) in self.ways
            and (two, two) in self.ways
            and self.chars[one] & self.chars[two]
            for one, two in self.ways
        )


def _reached(
    pairs: dict[tuple[int, int], set[tuple[int, int]]], start: tuple[int, int]
) -> set[tuple[int, int]]:
    found = {start}
    unread = [start]
    while unread:
        for pair in pairs.get(unread.pop(), ()):
            if pair not in found:
                found.add(pair)
                unread.append(pair)
    return found


def _either(parts: Sequence[_Part]) -> _Part:
    return (
        any(part[0] for part in parts),
        [state for part in parts for state in part[1]],
        [state for part in parts for state in part[2]],
    )


def _chars(word: Any, argument: Any) -> Chars:
    """
    @return: the characters of L{_ALPHABET} that one written character matches.
    """
    if word is words.ANY:
        return frozenset(_ALPHABET) - {"\n"}
    if word is words.LITERAL:
        return frozenset({chr(argument) if argument < 128 else _ALPHABET[-1]})
    if word is words.NOT_LITERAL:
        return frozenset(_ALPHABET) - {chr(argument)}
    if word is not words.IN:
        return frozenset(_ALPHABET)
    negated = bool(argument) and argument[0][0] is words.NEGATE
    found = frozenset(
        char
        for char in _ALPHABET
        if any(_matches(each, value, char) for each, value in argument[negated:])
    )
    return frozenset(_ALPHABET) - found if negated else found


def _matches(word: Any, value: Any, char: str) -> bool:
    if word is words.LITERAL:
        return bool(ord(char) == value or (value > 127 < ord(char)))
    if word is words.RANGE:
        low, high = value
        return bool(low <= ord(char) <= high or (high > 127 < ord(char)))
    kind = {
        words.CATEGORY_DIGIT: str.isdecimal,
        words.CATEGORY_SPACE: str.isspace,
        words.CATEGORY_WORD: lambda it: it.isalnum() or it == "_",
    }
    if value in kind:
        return bool(kind[value](char))
    opposite = {
        words.CATEGORY_NOT_DIGIT: words.CATEGORY_DIGIT,
        words.CATEGORY_NOT_SPACE: words.CATEGORY_SPACE,
        words.CATEGORY_NOT_WORD: words.CATEGORY_WORD,
    }
    return value not in opposite or not kind[opposite[value]](char)
