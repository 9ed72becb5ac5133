"""
Tests for the one layout.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK
from twisted_rpc.errors import IDLError
from twisted_rpc.idl.formatting.format import format_text


class FormatTests(SynchronousTestCase):
    def check(self, text: str, expected: str) -> None:
        """
        A text is formatted as expected, and then stays as it is.
        """
        self.assertEqual(format_text(text), expected)
        self.assertEqual(format_text(expected), expected)

    def test_members(self) -> None:
        """
        Members and methods have a line each, and end with a semicolon; values
        of an enum with a comma; definitions are an empty line apart.
        """
        self.check(
            "struct S{int a,string b='x' float c=1;;}enum E{A;B='b'}"
            "service A{int f()oneway void g(int a,)}struct T{}",
            "struct S {\n    int a;\n    string b = 'x';\n    float c = 1;\n}\n"
            "\nenum E {\n    A,\n    B = 'b',\n}\n"
            "\nservice A {\n    int f();\n    oneway void g(int a);\n}\n"
            "\nstruct T {}\n",
        )

    def test_short_definitions(self) -> None:
        """
        Namespace, imports and constants are a line each; an empty line between
        them stays; a union is one line.
        """
        self.check(
            "namespace a . b import 'x.idl' as x\n\n\n"
            "const map < string,list<int>? > M={'a':[1,2,],}; union U{A;B,}",
            "namespace a.b;\nimport 'x.idl' as x;\n\n"
            "const map<string, list<int>?> M = {'a': [1, 2]};\n\n"
            "union U { A, B }\n",
        )

    def test_annotations(self) -> None:
        """
        Annotations stand before what they annotate, on the same line if it is
        not too long.
        """
        long = "x" * 60
        self.check(
            f"@a . b( 1,c = 2 )@d struct S{{@e int a}} @a('{long}') struct {long} {{}}",
            "@a.b(1, c=2) @d struct S {\n    @e int a;\n}\n"
            f"\n@a('{long}')\nstruct {long} {{}}\n",
        )

    def test_long_methods(self) -> None:
        """
        A method that is too long gets its annotations on their own line, and
        then its parameters on one each.
        """
        a, b = "a" * 40, "b" * 40
        self.check(
            f"service A {{ @readonly int {a}(int {b}) "
            f"@readonly int {a}(int {b}, @c int d = 1,) throws E, F }}",
            "service A {\n"
            f"    @readonly\n    int {a}(\n        int {b}\n    );\n"
            f"    @readonly\n    int {a}(\n        int {b},\n"
            "        @c int d = 1\n    ) throws E, F;\n}\n",
        )

    def test_comments(self) -> None:
        """
        A comment stays at the end of the line it follows, or before the line it
        precedes, and goes with it when that is moved.
        """
        self.check(
            "// licence\n\n\n/** S */ // more\nstruct S { # all\n"
            "   int a // one\n   int /* of */ b; /* two */\n\n  // three\n"
            "  /* four */ int c /* five */;\n  // end\n}   // after\n// last",
            "// licence\n\n/** S */ // more\nstruct S { # all\n"
            "    int a; // one\n    int /* of */ b; /* two */\n\n    // three\n"
            "    /* four */ int c; /* five */\n    // end\n} // after\n// last\n",
        )

    def test_comments_in_parameters(self) -> None:
        """
        A comment to the end of the line breaks the parameters one a line; one in
        the middle stays there.
        """
        self.check(
            "service A { int f(int a, // one\n int b) int g(/* x */ int a /* y */) }",
            "service A {\n    int f(\n        int a, // one\n        int b\n    );\n"
            "    int g(/* x */ int a /* y */);\n}\n",
        )

    def test_comments_in_unions(self) -> None:
        """
        A union with comments has a line for each struct.
        """
        self.check("union U { A, // one\n B }", "union U {\n    A, // one\n    B,\n}\n")

    def test_long_comments(self) -> None:
        """
        Further lines of a comment are indented with it; those that begin with
        stars under the first star.
        """
        self.check(
            "service A {\n  /**\n  * One.\n  *   two\n  */\n int f()\n"
            "      /* one\n           two\n         three\n      */\n}",
            "service A {\n    /**\n     * One.\n     *   two\n     */\n    int f();\n"
            "    /* one\n         two\n       three\n*/\n}\n".replace(
                "\n*/", "\n    */"
            ),
        )

    def test_separators_with_docs(self) -> None:
        """
        A doc comment before a separator, which documents nothing, does not come
        to document what follows.
        """
        self.check(
            "struct S { int a /** no */; int b }",
            "struct S {\n    int a /** no */;\n    int b;\n}\n",
        )

    def test_line_ends(self) -> None:
        """
        Lines end with LF, without spaces; the file with one end of line.
        """
        self.check("struct S {\r\n\r\n}\r\r// a  \r\n\r\n", "struct S {}\n\n// a\n")
        self.check("", "")
        self.check("\n// a", "// a\n")

    def test_sample(self) -> None:
        """
        The sample, once formatted, stays as it is.
        """
        formatted = format_text(BANK.read_text("utf-8"))
        self.assertEqual(format_text(formatted), formatted)
        self.assertIn(
            "    @readonly @stream(window=64) stream<Money> statement("
            "string id, timestamp? since);\n",
            formatted,
        )

    def test_faulty(self) -> None:
        """
        A text that cannot be parsed is refused; what it means is not asked.
        """
        self.assertRaises(IDLError, format_text, "servce A {}")
        self.check("service A { strng f(); }", "service A {\n    strng f();\n}\n")
