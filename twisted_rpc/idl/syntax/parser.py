# -*- test-case-name: tests.idl.test_parser -*-
"""
Parsing a file: definitions, and going on after a mistake in one.

Written by hand, one method a production.  All words are contextual: C{service}
is a word of the language only where a definition may begin, so that C{int
service(int enum)} is a method.
"""

from __future__ import annotations

from twisted_rpc.errors import Fault, IDLError
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.cursor import SyntaxFault
from twisted_rpc.idl.syntax.definitions import Definitions
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import tokenize
from twisted_rpc.idl.syntax.words import DEFINITION_WORDS


def parse(source: Source) -> tree.Document:
    """
    @raise IDLError: with at most one fault a definition.
    """
    tokens, _comments = tokenize(source)
    return Parser(source, tokens).document()


class Parser(Definitions):
    """
    The whole grammar, and where to go on after a fault.
    """

    def document(self) -> tree.Document:
        """
        C{{ { annotation } definition { ";" } }}.
        """
        faults: list[Fault] = []
        definitions: list[tree.AnyDefinition] = []
        while self.token.kind != "end":
            begun = self.index
            try:
                definitions.append(self.definition())
            except SyntaxFault as error:
                faults.append(error.fault)
                self._recover(begun)
            while self.take(";"):
                pass
        if faults:
            # What a definition took for its members may have been the next one,
            # which is wrong further in front.
            faults.sort(key=lambda fault: (fault.line, fault.column))
            raise IDLError(faults)
        return tree.Document(0, len(self.source.text), definitions)

    def _recover(self, begun: int) -> None:
        """
        Go on at the next definition word at the start of a line, or at the
        annotations before one.

        @param begun: the index of the first token of the definition that was
            given up.
        """
        failed = self.index
        index = begun + 1
        while index < self._last:
            word = index
            if self._at_line_start(index):
                word = self._after_annotations(index)
                if self.begins_body(word) or (
                    index >= failed and self._begins_definition(word)
                ):
                    break
            index = max(index + 1, word)
        self.go_to(index)

    def _at_line_start(self, index: int) -> bool:
        before, token = self.tokens[index - 1], self.tokens[index]
        line_of = self.source.line_of
        return line_of(before.start) < line_of(token.start)

    def _after_annotations(self, index: int) -> int:
        """
        @return: the index of the first token after the annotations, if any,
            that begin at a token.  If they are faulty, then about where, so
            that a long run of them is not gone through from each of its lines.
        """
        self.go_to(index)
        try:
            self.annotations()
        except SyntaxFault:
            return max(index, self.index - 1)
        return self.index

    def _begins_definition(self, index: int) -> bool:
        word = self.tokens[index]
        following = self.tokens[min(index + 1, self._last)]
        if word.kind != "word" or word.text not in DEFINITION_WORDS:
            return False
        if word.text == "import":
            return following.kind == "string"
        return following.kind == "word"
