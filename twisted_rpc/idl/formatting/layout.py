# -*- test-case-name: tests.idl.test_format -*-
"""
Which lines the canonical layout of a file has.

Found from the tree, and told in terms of tokens, so that what the formatter
writes are the tokens that were read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.tokens import Comment, Token

#: As long as a line may be.
WIDTH = 88
#: What stays together without an empty line between.
_SHORT = (tree.Namespace, tree.Import, tree.Const)


class Line(msgspec.Struct):
    """
    A line, unless it is too long or has comments.

    @ivar first: the index of its first token.
    @ivar last: the index of its last token.
    @ivar indent: how deep it is.
    @ivar blank: C{"no"} empty line before it, one if there was (C{"may"}), or
        always one (C{"must"}).
    @ivar end: what is written after the last token.
    @ivar kept: the indexes of separators after it that must stay, for the sake
        of a doc comment before them.
    @ivar params: of a method, first and last token of each parameter.
    @ivar closes: whether it ends a body.
    """

    first: int
    last: int
    indent: int
    blank: str
    end: str
    kept: list[int] = []
    params: list[tuple[int, int]] = []
    closes: bool = False


class Layout:
    """
    The layout of a document.

    @ivar lines: all lines, the last of them the end of the file.
    @ivar dropped: the indexes of tokens that are not written; what separates
        things is written anew.
    @ivar spaced: the indexes of braces with a space inside.
    @ivar commas: the indexes of semicolons that become commas.
    @ivar close_set: the indexes of marks with no space before: C{=} in
        annotations, and parentheses after a name.
    @ivar after: by the index of an C{@}, that of the first token after the
        annotation.
    """

    def __init__(
        self, tokens: Sequence[Token], comments: Sequence[Comment], tree: tree.Document
    ) -> None:
        self.tokens = tokens
        self.lines: list[Line] = []
        self.dropped: set[int] = set()
        self.spaced: set[int] = set()
        self.commas: set[int] = set()
        self.close_set: set[int] = set()
        self.after: dict[int, int] = {}
        # Without the end of the file, which may be where the last token ends.
        written = list(enumerate(tokens))[:-1]
        self._starting = {token.start: index for index, token in written}
        self._ending = {token.end: index for index, token in written}
        self.commented = {comment.before for comment in comments}
        self._documented = {each.before for each in comments if each.is_doc}
        self._find_annotations()
        self._find_trailing_commas()
        self._add_definitions(tree.definitions)

    def _find_annotations(self) -> None:
        for index in range(len(self.tokens) - 1, -1, -1):
            if self.tokens[index].kind == "@":
                self.after[index] = self._pass_annotation(index + 1)

    def _pass_annotation(self, index: int) -> int:
        """
        @param index: of the name.
        """
        kinds = [token.kind for token in self.tokens[index : index + 2]]
        while kinds[1] == ".":
            index += 2
            kinds = [token.kind for token in self.tokens[index : index + 2]]
        index += 1
        if kinds[1] != "(":
            return index
        self.close_set.add(index)
        depth = 0
        while True:
            kind = self.tokens[index].kind
            depth += (kind == "(") - (kind == ")")
            if kind == "=":
                self.close_set |= {index, index + 1}
            index += 1
            if depth == 0:
                return index

    def _find_trailing_commas(self) -> None:
        for index, token in enumerate(self.tokens[:-1]):
            if token.kind == "," and self.tokens[index + 1].kind in (")", "]", "}"):
                self.dropped.add(index)

    def _add_definitions(self, definitions: Sequence[tree.AnyDefinition]) -> None:
        before: tree.AnyDefinition | None = None
        for node in definitions:
            together = isinstance(node, _SHORT) and isinstance(before, _SHORT)
            blank = "may" if together else "must" if before else "no"
            before = node
            first = self._starting[node.start]
            last = self._ending[node.end]
            if isinstance(node, _SHORT):
                self.lines.append(Line(first, last, 0, blank, ";"))
            else:
                self._add_body(node, first, last, blank)
            self._drop_separators(last, self.lines[-1], "")
        end = len(self.tokens) - 1
        self.lines.append(Line(end, end, 0, "may", "", closes=True))

    def _add_body(
        self, node: tree.AnyDefinition, first: int, last: int, blank: str
    ) -> None:
        opened = self._ending[node.name.end]
        while self.tokens[opened].kind != "{":
            opened += 1
        commented = any(
            index in self.commented for index in range(opened + 1, last + 1)
        )
        if opened + 1 == last and not commented:
            self.lines.append(Line(first, last, 0, blank, ""))
            return
        if isinstance(node, tree.Union) and not commented and _is_short(node):
            self._join(opened, last)
            self.lines.append(Line(first, last, 0, blank, ""))
            return
        self.lines.append(Line(first, opened, 0, blank, ""))
        for index, member in enumerate(_members(node)):
            self._add_member(node, member, "may" if index else "no")
        self.lines.append(Line(last, last, 0, "no", "", closes=True))

    def _join(self, opened: int, last: int) -> None:
        """
        Have the structs of a union on one line.
        """
        self.spaced |= {opened, last}
        if self.tokens[last - 1].kind in (",", ";"):
            self.dropped.add(last - 1)
        inner = range(opened + 1, last)
        self.commas |= {index for index in inner if self.tokens[index].kind == ";"}

    def _add_member(
        self, node: tree.AnyDefinition, member: tree.Node, blank: str
    ) -> None:
        end = "," if isinstance(node, tree.Enum | tree.Union) else ";"
        first, last = self._starting[member.start], self._ending[member.end]
        line = Line(first, last, 1, blank, end)
        if isinstance(member, tree.Method):
            line.params = [
                (self._starting[param.start], self._ending[param.end])
                for param in member.params
            ]
            opened = self._ending[member.name.end] + 1
            self.close_set.add(opened)
        self.lines.append(line)
        self._drop_separators(last, line, end)

    def _drop_separators(self, last: int, line: Line, end: str) -> None:
        """
        Leave out what separates a line from the next.  A doc comment before a
        separator documents nothing, and would document what follows if the
        separator were gone.
        """
        index = last + 1
        while self.tokens[index].kind in (",", ";"):
            if index in self._documented:
                line.kept.append(index)
                line.end = ""
                self.dropped.discard(index)
            else:
                self.dropped.add(index)
            index += 1


def _is_short(union: tree.Union) -> bool:
    """
    Whether the union fits on a line, without its annotations.
    """
    names = ", ".join(name.text for name in union.structs)
    return len(f"union {union.name.text} {{ {names} }}") <= WIDTH


def _members(node: tree.AnyDefinition) -> Sequence[tree.Node]:
    if isinstance(node, tree.Enum):
        return node.values
    if isinstance(node, tree.Union):
        return node.structs
    if isinstance(node, tree.Struct):
        return node.fields
    return node.methods if isinstance(node, tree.Service) else []
