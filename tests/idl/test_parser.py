"""
Tests for the grammar: what it takes, and going on after a mistake.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK
from twisted_rpc.errors import IDLError
from twisted_rpc.idl.syntax import tree
from twisted_rpc.idl.syntax.parser import parse
from twisted_rpc.idl.syntax.source import Source


def parsed(text: str) -> list[Any]:
    """
    @return: the definitions in a text.
    """
    return parse(Source("a.idl", text)).definitions


class GrammarTests(SynchronousTestCase):
    def test_words_are_contextual(self) -> None:
        """
        Words of the language are names wherever a name may stand.
        """
        text = (
            "service service { int service(int enum) int oneway(int stream)"
            " string list(string map); oneway oneway(int a)"
            " oneway void throws(int extends) throws throws }"
        )
        (service,) = parsed(text)
        names = [method.name.text for method in service.methods]
        self.assertEqual(names, ["service", "oneway", "list", "oneway", "throws"])
        self.assertEqual(
            [method.oneway for method in service.methods][3:], [False, True]
        )
        self.assertEqual(service.methods[4].throws[0].text, "throws")

    def test_oneway(self) -> None:
        """
        C{oneway} is the word if a type and a name follow it, else a type.
        """
        (service,) = parsed(
            "service A { oneway f() oneway a.b f() oneway list<a> f() }"
        )
        self.assertEqual(
            [(method.oneway, method.result.name) for method in service.methods],
            [(False, "oneway"), (True, "a.b"), (True, "list")],
        )

    def test_separators(self) -> None:
        """
        Semicolons may be left out, be one or many; commas may end a list.
        """
        one = "struct S { int a; int b; } enum E { A, B } service A { int f(int a); int g(); }"
        other = "struct S { int a,;int b }; enum E { A; B, };; service A { int f(int a,) int g() };"
        self.assertEqual(tree.outline(parsed(one)), tree.outline(parsed(other)))

    def test_throws(self) -> None:
        """
        Exceptions are listed with or without parentheses.
        """
        one = "service A { int f() throws a.E, F; int g() throws E }"
        other = "service A { int f() throws (a.E, F) int g() throws (E) }"
        self.assertEqual(tree.outline(parsed(one)), tree.outline(parsed(other)))

    def test_values(self) -> None:
        """
        Values are numbers, strings, names, lists and maps, nested at will.
        """
        (const,) = parsed("const any X = {'a': [1s, null, a.B,], 2: {},}")
        kinds = [item.kind for item in const.value.items]
        self.assertEqual(kinds, ["string", "list", "number", "map"])
        inner = [(item.kind, item.text) for item in const.value.items[1].items]
        self.assertEqual(inner, [("number", "1s"), ("name", "null"), ("name", "a.B")])

    def test_annotations(self) -> None:
        """
        Annotations stand before definitions, methods, members, values and
        parameters, and their arguments may have names.
        """
        text = (
            "@a.b(1, x=2,) struct S { @c @d() int e } service A { @f int g(@h int i) }"
        )
        struct, service = parsed(text)
        (annotation,) = struct.annotations
        self.assertEqual(annotation.name, "a.b")
        self.assertEqual([arg.name for arg in annotation.args], ["", "x"])
        empty = [each.args for each in struct.fields[0].annotations]
        self.assertEqual(empty, [None, []])
        self.assertEqual(service.methods[0].params[0].annotations[0].name, "h")

    def test_docs(self) -> None:
        """
        A doc comment belongs to what follows, before or between annotations.
        """
        text = "/** S */ @a struct S { @b /** c */ int c; int /** no */ d }"
        (struct,) = parsed(text)
        self.assertEqual(struct.doc, "S")
        self.assertEqual([field.doc for field in struct.fields], ["c", ""])

    def test_places(self) -> None:
        """
        Every node knows the text it stands for.
        """
        text = BANK.read_text("utf-8")
        bank = next(each for each in parsed(text) if each.name.text == "Bank")
        method = bank.methods[0]
        self.assertTrue(text[bank.start :].startswith('@version("1.4")'))
        self.assertEqual(text[bank.end - 1], "}")
        self.assertEqual(text[method.name.start : method.name.end], "transfer")
        param = method.params[3]
        self.assertEqual(text[param.start : param.end], "@sensitive string? pin = null")
        self.assertEqual(text[param.type.start : param.type.end], "string?")

    def test_depth(self) -> None:
        """
        Types and values nest 32 deep and no deeper.
        """
        for depth, faults in ((32, 0), (33, 1)):
            kinds = "list<" * (depth - 1) + "int" + ">" * (depth - 1)
            values = "[" * depth + "]" * depth
            for text in (f"struct S {{ {kinds} x }}", f"const any X = {values}"):
                self.assertEqual(len(said_of(text)), faults)


def said_of(text: str) -> list[str]:
    """
    @return: of each fault, its message with its place.
    """
    try:
        parse(Source("a.idl", text))
    except IDLError as error:
        return [f"{it.line}:{it.column}: {it.message}" for it in error.faults]
    return []


class FaultTests(SynchronousTestCase):
    def test_one_a_definition(self) -> None:
        """
        After a fault the reader goes on at the next definition, so that each
        faulty one has one fault.
        """
        text = (
            "service A { int f(int a int b) int g( }\n"
            "struct S { int a; }\n"
            "  enum E { A B }\n"
            "@open enum F { = }\n"
            "const int X 5\n"
            "namespace a.;\n"
        )
        places = [said.split(": ")[0] for said in said_of(text)]
        self.assertEqual(places, ["1:25", "3:14", "4:16", "5:13", "6:13"])

    def test_open_brace(self) -> None:
        """
        A body that does not end is told of where the next definition begins,
        and that one is read.
        """
        (first, second) = said_of(
            "struct A {\n int a\nservice B {\n int f(\n}\nunion C { D,\nstruct E {}"
        )[:2]
        self.assertEqual(
            first, "3:1: expected '}' to end 'A', found the word 'service'"
        )
        self.assertEqual(second, "5:1: expected a parameter, found '}'")

    def test_what_was_found(self) -> None:
        """
        What was found is named as a person would name it.
        """
        for found, name in (
            ("5s", "the number 5s"),
            ("'x'", "the string 'x'"),
            (f"'{'x' * 90}'", f"the string '{'x' * 36}..."),
            (";", "';'"),
            ("", "the end of the file"),
        ):
            (said,) = said_of(f"struct {found}")
            self.assertEqual(said, f"1:8: expected the struct's name, found {name}")

    def test_names_begin_with_letters(self) -> None:
        """
        A number where a name should be leads to the rule for names.
        """
        error = self.assertRaises(IDLError, parsed, "service A { int 2fast() }")
        self.assertEqual(error.faults[0].hint, "names begin with a letter")

    def test_further_faults(self) -> None:
        """
        Each production says what it expected.
        """
        for text, said in {
            "import common": (
                "1:8: expected the imported file's path in quotes,"
                " found the word 'common'"
            ),
            "const int X": "1:12: expected '=', found the end of the file",
            "const int X = ;": "1:15: expected a value, found ';'",
            "const any X = {1, 2}": "1:17: expected ':', found ','",
            "const any X = [1 2]": "1:18: expected ',' or ']', found the number 2",
            "struct S extends A, B {}": "1:19: expected '{', found ','",
            "service A { int f() throws (E F) }": (
                "1:31: expected ',' or ')', found the word 'F'"
            ),
            "service A { int f(), int g() }": "1:20: expected a method or '}', found ','",
            "@ struct S {}": "1:10: expected a definition",
            "struct S { int; }": (
                "1:15: expected the member's name after its type 'int', found ';'"
            ),
            "const int X = 007": "1:15: a number has no leading zeros",
            "const string X = '\\q'": "1:19: unknown escape '\\q'",
            "/* open": "1:1: unterminated comment",
            "union U": "1:8: expected '{', found the end of the file",
            "enum E { A, ": "1:13: expected '}' to end 'E', found the end of the file",
            "struct S { a.; }": "1:14: expected a name after '.', found ';'",
        }.items():
            found = said_of(text)
            self.assertEqual(len(found), 1, text)
            self.assertTrue(found[0].startswith(said), found[0])

    def test_in_order(self) -> None:
        """
        A definition that was first taken for members of the one before it is told
        of where it stands, not after what was expected further on.
        """
        error = self.assertRaises(
            IDLError,
            parse,
            Source("", "struct A {\n    int a;\n@internal enum B extends C { X }\n"),
        )
        places = [(fault.line, fault.column) for fault in error.faults]
        self.assertEqual(places, [(3, 18), (3, 28)])

    def test_long_runs(self) -> None:
        """
        Files made of faults are read in linear time.
        """
        for text in (
            "@a\n" * 20_000 + "@a(",
            "service A {\n" * 20_000,
            "@a(\n" * 20_000,
        ):
            self.assertTrue(said_of(text))
