# -*- test-case-name: tests.idl.test_parser -*-
"""
Parsing what definitions are made of: names, types, values, annotations, fields.

One method is one production of the grammar.
"""

from __future__ import annotations

from twisted_rpc.idl.syntax.cursor import MAX_DEPTH, Cursor, SyntaxFault
from twisted_rpc.idl.syntax.literals import LiteralFault, read_number, read_string
from twisted_rpc.idl.syntax.tokens import Token
from twisted_rpc.idl.syntax.tree import Annotation, Argument, Field, Name, Type, Value
from twisted_rpc.idl.syntax.words import TYPE_WORDS


class Phrases(Cursor):
    """
    The productions below a definition.
    """

    def qname(self, what: str, hint: str = "") -> Name:
        """
        C{IDENT { "." IDENT }}.
        """
        name = self.need_name(what, hint)
        while self.take("."):
            part = self.need_name("a name after '.'")
            name.text = f"{name.text}.{part.text}"
            name.end = part.end
        return name

    def qnames(self, what: str) -> list[Name]:
        """
        C{qname { "," qname }}.
        """
        names = [self.qname(what)]
        while self.take(","):
            names.append(self.qname(what))
        return names

    def type(self, what: str, depth: int = 1) -> Type:
        """
        C{qname [ "<" type { "," type } ">" ] [ "?" ]}.
        """
        if depth > MAX_DEPTH:
            self.refuse(self.token, f"types nest at most {MAX_DEPTH} deep")
        name = self.qname(what)
        args: list[Type] = []
        if self.take("<"):
            args.append(self.type("a type", depth + 1))
            while not self.take(">"):
                if not self.take(","):
                    self.expected("',' or '>'")
                args.append(self.type("a type", depth + 1))
        optional = self.take("?")
        return Type(name.start, self.passed, name.text, args, optional)

    def value(self, depth: int = 1) -> Value:
        """
        A number, string, name, list or map.
        """
        if depth > MAX_DEPTH:
            self.refuse(self.token, f"values nest at most {MAX_DEPTH} deep")
        token = self.token
        if token.kind == "string":
            return self.string("a string")
        if token.kind == "number":
            self._literal(token)
            self.advance()
            return Value(token.start, token.end, "number", token.text, [])
        if token.kind == "word":
            name = self.qname("a value")
            return Value(name.start, name.end, "name", name.text, [])
        if self.take("["):
            return self._items(token, "]", "list", depth)
        if self.take("{"):
            return self._items(token, "}", "map", depth)
        return self.expected("a value")

    def _items(self, opened: Token, closing: str, kind: str, depth: int) -> Value:
        items: list[Value] = []
        while not self.take(closing):
            if items and not self.take(","):
                self.expected(f"',' or '{closing}'")
            if items and self.take(closing):
                break
            items.append(self.value(depth + 1))
            if kind == "map":
                self.need(":", "a map is written {key: value}")
                items.append(self.value(depth + 1))
        return Value(opened.start, self.passed, kind, "", items)

    def string(self, what: str) -> Value:
        """
        A string literal.
        """
        token = self.token
        if token.kind != "string":
            self.expected(what)
        text = self._literal(token)
        self.advance()
        return Value(token.start, token.end, "string", text, [])

    def _literal(self, token: Token) -> str:
        try:
            if token.kind == "string":
                return read_string(token.text)
            return read_number(token.text).digits
        except LiteralFault as bad:
            start = token.start + bad.offset
            fault = self.source.fault(start, start + bad.length, bad.message, bad.hint)
            raise SyntaxFault(fault) from bad

    def annotations(self) -> tuple[str, list[Annotation]]:
        """
        Any number of annotations.

        @return: the doc comment before, between or after them, and they.
        """
        doc = self.token.doc
        found: list[Annotation] = []
        while self.token.kind == "@":
            found.append(self.annotation())
            doc = self.token.doc or doc
        return doc, found

    def annotation(self) -> Annotation:
        """
        C{"@" qname [ "(" [ arg { "," arg } [ "," ] ] ")" ]}.
        """
        start = self.need("@").start
        name = self.qname("the annotation's name")
        if not self.take("("):
            return Annotation(start, name.end, name.text, None)
        args: list[Argument] = []
        while not self.take(")"):
            if args and not self.take(","):
                self.expected("',' or ')'")
            if args and self.take(")"):
                break
            args.append(self.argument())
        return Annotation(start, name.end, name.text, args)

    def argument(self) -> Argument:
        """
        C{[ IDENT "=" ] value}.
        """
        start = self.token.start
        name = ""
        if self.token.kind == "word" and self.peek().kind == "=":
            name = self.advance().text
            self.advance()
        value = self.value()
        return Argument(start, value.end, name, value)

    def field(self, noun: str) -> Field:
        """
        C{{ annotation } type IDENT [ "=" value ]}.

        @param noun: C{"parameter"} or C{"member"}.
        """
        start = self.token.start
        doc, annotations = self.annotations()
        type = self.type(f"a {noun}")
        written = self.source.text[type.start : type.end]
        hint = (
            "" if type.name in TYPE_WORDS else f"write the type first: 'int {written}'"
        )
        name = self.need_name(f"the {noun}'s name after its type '{written}'", hint)
        default = self.value() if self.take("=") else None
        return Field(start, self.passed, doc, annotations, name, type, default)
