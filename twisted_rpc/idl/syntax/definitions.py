# -*- test-case-name: tests.idl.test_parser -*-
"""
Parsing definitions, one method a production.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NoReturn

from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.phrases import Phrases
from twisted_rpc.idl.syntax.tokens import Token
from twisted_rpc.idl.syntax.words import definition_hint

_EXPECTED = (
    "a definition (service, struct, enum, union, exception, const, import or namespace)"
)
#: The definitions with a body, whose beginning cannot be a member's.
_WITH_BODY = frozenset({"service", "struct", "enum", "union", "exception"})


class Definitions(Phrases):
    """
    The productions from a definition down to its members.
    """

    def definition(self) -> tree.AnyDefinition:
        """
        One definition with its annotations.
        """
        start = self.token.start
        doc, annotations = self.annotations()
        word = self.token
        production = self._PRODUCTIONS.get(word.text)
        if word.kind != "word" or production is None:
            hint = definition_hint(word.text) if word.kind == "word" else ""
            self.expected(_EXPECTED, hint)
        self.advance()
        return production(self, start, doc, annotations)

    def _namespace(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Namespace:
        name = self.qname("the namespace's name")
        return tree.Namespace(start, self.passed, doc, annotations, name)

    def _import(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Import:
        path = self.string("the imported file's path in quotes")
        name = tree.Name(path.start, path.end, path.text)
        alias = self.is_word("as") and self.peek().kind == "word"
        if alias:
            self.advance()
            name = self.need_name("the import's name")
        return tree.Import(start, self.passed, doc, annotations, name, path, alias)

    def _const(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Const:
        type = self.type("the constant's type")
        name = self.need_name("the constant's name after its type")
        self.need("=", "a constant has a value")
        value = self.value()
        return tree.Const(start, self.passed, doc, annotations, name, type, value)

    def _enum(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Enum:
        name = self.need_name("the enum's name")
        opened = self.need("{")
        values: list[tree.EnumValue] = []
        while not self.take("}"):
            if values and not self._separator():
                self._missing(name, opened, "',' or '}'")
            if values and self.take("}"):
                break
            values.append(self._enum_value(name, opened))
        return tree.Enum(start, self.passed, doc, annotations, name, values)

    def _enum_value(self, enum: tree.Name, opened: Token) -> tree.EnumValue:
        start = self.token.start
        doc, annotations = self.annotations()
        if self.token.kind == "end":
            self._missing(enum, opened, "a value's name or '}'")
        name = self.need_name("a value's name or '}'")
        wire = self.string("a string") if self.take("=") else None
        return tree.EnumValue(start, self.passed, doc, annotations, name, wire)

    def _union(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Union:
        name = self.need_name("the union's name")
        hint = "a union lists the names of structs: union Target { Card, Iban }"
        opened = self.need("{", hint)
        structs: list[tree.Name] = []
        while not self.take("}"):
            if structs and not self._separator():
                self._missing(name, opened, "',' or '}'", hint)
            if structs and self.take("}"):
                break
            structs.append(self.qname("a struct's name or '}'", hint))
        return tree.Union(start, self.passed, doc, annotations, name, structs)

    def _struct(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Struct:
        word = self.tokens[self.index - 1].text
        name = self.need_name(f"the {word}'s name")
        base = None
        if self._take_extends():
            base = self.qname(f"the {word} it extends")
            if self.token.kind == ",":
                self.expected("'{'", f"a {word} extends one {word}")
        opened = self.need("{")
        fields: list[tree.Field] = []
        while not self.take("}"):
            self._check_inside(name, opened)
            fields.append(self.field("member"))
            while self._separator():
                pass
        return tree.Struct(
            start, self.passed, doc, annotations, name, word, base, fields
        )

    def _service(
        self, start: int, doc: str, annotations: list[tree.Annotation]
    ) -> tree.Service:
        name = self.need_name("the service's name")
        extends = self._take_extends()
        bases = self.qnames("the service it extends") if extends else []
        opened = self.need("{")
        methods: list[tree.Method] = []
        while not self.take("}"):
            self._check_inside(name, opened)
            methods.append(self._method())
            if self.token.kind == ",":
                hint = "methods are separated by ';' or nothing"
                self.expected("a method or '}'", hint)
            while self.take(";"):
                pass
        return tree.Service(start, self.passed, doc, annotations, name, bases, methods)

    def _method(self) -> tree.Method:
        start = self.token.start
        doc, annotations = self.annotations()
        oneway = (
            self.is_word("oneway")
            and self.peek().kind == "word"
            and self.peek(2).kind != "("
        )
        if oneway:
            self.advance()
        first = self.token
        result = self.type("a method")
        if self.token.kind == "(":
            text = self.source.text[first.start : result.end]
            hint = f"write 'void {text}(...)' if it returns nothing"
            self.refuse(first, f"method '{text}' has no return type", hint)
        name = self.need_name("the method's name after its return type")
        self.need("(", "a service has methods only; members belong in a struct")
        params = self._params()
        throws = self._throws()
        return tree.Method(
            start, self.passed, doc, annotations, name, oneway, result, params, throws
        )

    def _params(self) -> list[tree.Field]:
        params: list[tree.Field] = []
        while not self.take(")"):
            if params and not self.take(","):
                missing = "a ',' is missing between two parameters"
                self.expected("',' or ')'", missing if self._begins_field() else "")
            if params and self.take(")"):
                break
            params.append(self.field("parameter"))
        return params

    def _throws(self) -> list[tree.Name]:
        if not self.is_word("throws"):
            return []
        self.advance()
        if not self.take("("):
            return self.qnames("the name of an exception")
        names = self.qnames("the name of an exception")
        if not self.take(")"):
            self.expected("',' or ')'")
        return names

    def _begins_field(self) -> bool:
        return self.token.kind in ("word", "@")

    def _separator(self) -> bool:
        return self.take(",") or self.take(";")

    def _take_extends(self) -> bool:
        if self.is_word("extends"):
            self.advance()
            return True
        return False

    def _check_inside(self, name: tree.Name, opened: Token) -> None:
        """
        Complain if the body has not ended where the file does, or where the
        next definition clearly begins.
        """
        if self.token.kind == "end" or self.begins_body(self.index):
            self._missing(name, opened, f"'}}' to end '{name.text}'")

    def _missing(
        self, name: tree.Name, opened: Token, what: str, hint: str = ""
    ) -> NoReturn:
        if self.token.kind == "end" or self.begins_body(self.index):
            what = f"'}}' to end '{name.text}'"
            hint = f"its '{{' is at {self.where(opened)}"
        self.expected(what, hint)

    def begins_body(self, index: int) -> bool:
        """
        Whether a definition with a body begins at a token: two words and then
        a brace or C{extends} and a word, which no member and no method can be.
        """
        word = self.tokens[index]
        if word.text not in _WITH_BODY or word.kind != "word":
            return False
        name, third, fourth = (
            self.tokens[min(index + ahead, self._last)] for ahead in (1, 2, 3)
        )
        if name.kind != "word":
            return False
        return third.kind == "{" or (third.text == "extends" and fourth.kind == "word")

    _PRODUCTIONS: ClassVar[dict[str, _Production]] = {
        "namespace": _namespace,
        "import": _import,
        "const": _const,
        "enum": _enum,
        "struct": _struct,
        "exception": _struct,
        "union": _union,
        "service": _service,
    }


_Production = Callable[
    [Definitions, int, str, list[tree.Annotation]], tree.AnyDefinition
]
