# -*- test-case-name: tests.idl.test_lint -*-
"""
Comments that switch rules off and on: C{# lint: off RULE}.

At the end of a line, such a comment is for that line.  On a line of its own it is
for all that follows, to the end of the body it stands in, or of the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from twisted_rpc.idl.lint.subject import Remark, Subject
from twisted_rpc.idl.syntax.tokens import Comment
from twisted_rpc.idl.syntax.words import did_you_mean

_SWITCH: Final = re.compile(
    r"(?://|\#|/\*)\s*lint:\s*(?P<state>\w*)(?P<rules>[^*]*)(?:\*/)?\Z"
)

#: What stands for all rules.
ALL: Final = "all"


@dataclass(frozen=True)
class Switch:
    """
    @ivar comment: where it is written.
    @ivar start: the offset from which it holds.
    @ivar end: the offset before which it holds.
    @ivar state: C{"off"}, C{"on"}, or what was written instead.
    @ivar rules: their names.
    """

    comment: Comment
    start: int
    end: int
    state: str
    rules: tuple[str, ...]


class Switches:
    """
    All switches of a file.

    @param names: of the rules that there are.
    """

    def __init__(self, subject: Subject, names: Collection[str]) -> None:
        self._names = names
        self._subject = subject
        self._switches = list(self._read())

    def _read(self) -> Iterator[Switch]:
        for comment in self._subject.comments:
            match = _SWITCH.match(comment.text)
            if match is not None:
                rules = tuple(re.split(r"[\s,]+", match["rules"].strip()))
                start, end = self._reach(comment)
                yield Switch(comment, start, end, match["state"], rules)

    def _reach(self, comment: Comment) -> tuple[int, int]:
        source = self._subject.source
        text = source.text
        begin = max(text.rfind(mark, 0, comment.start) for mark in "\r\n") + 1
        if text[begin : comment.start].strip():
            return begin, comment.end
        depth = 0
        for token in self._subject.tokens[comment.before :]:
            depth += (token.kind == "{") - (token.kind == "}")
            if depth < 0:
                return comment.start, token.start
        return comment.start, len(text) + 1

    @property
    def on(self) -> set[str]:
        """What is switched on somewhere."""
        found = {
            rule for each in self._switches if each.state == "on" for rule in each.rules
        }
        return set(self._names) if ALL in found else found

    def lets(self, rule: str, remark: Remark, *, default: bool) -> bool:
        """
        @param default: whether the rule holds where nothing switches it.
        @return: whether a remark is to be made.  The last switch before it
            counts, and one on its line more than others.
        """
        state = default
        nearest = -1
        for each in self._switches:
            if not each.start <= remark.start < each.end or not (
                {rule, ALL} & set(each.rules)
            ):
                continue
            if each.start > nearest:
                nearest, state = each.start, each.state == "on"
        return state

    def wrong(self) -> Iterator[Remark]:
        """
        @return: what is wrong with the switches themselves.
        """
        for each in self._switches:
            place = each.comment.start, each.comment.end
            if each.state not in {"off", "on"}:
                hint = "write 'lint: off RULE' or 'lint: on RULE'"
                yield Remark(*place, f"'lint: {each.state}' switches nothing", hint)
                continue
            for rule in each.rules:
                if rule not in self._names and rule != ALL:
                    hint = did_you_mean(rule, self._names)
                    yield Remark(*place, f"there is no lint rule '{rule}'", hint)
