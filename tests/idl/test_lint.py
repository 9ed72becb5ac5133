"""
Tests for the rules: each finds what it is for, where it is, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK
from twisted_rpc.idl.lint.lint import DEFAULT, RULES, lint
from twisted_rpc.idl.lint.subject import Subject
from twisted_rpc.idl.lint.switches import Switches
from twisted_rpc.idl.reader import read_file, read_text


def found(rule: str, text: str) -> list[str]:
    """
    @return: what one rule finds: of each its place, message and hint.
    """
    return [
        f"{it.line}:{it.column}: {it.message}" + (f" - {it.hint}" if it.hint else "")
        for it in (each.fault for each in lint(read_text(text, "a.idl"), {rule}))
    ]


class RuleTestCase(SynchronousTestCase):
    """
    What the tests of rules share.
    """

    def check(self, rule: str, findings: dict[str, Any]) -> None:
        """
        In each text the rule finds this: one finding, several, or nothing.
        """
        self.maxDiff = None
        self.assertEqual(
            {text: found(rule, text) for text in findings},
            {
                text: [said] if isinstance(said, str) else list(said)
                for text, said in findings.items()
            },
        )


class NameTests(RuleTestCase):
    def test_name_style(self) -> None:
        """
        Each kind of name has a style; the hint has the name in it.
        """
        self.check(
            "name-style",
            {
                "struct money_bag { int n; }": "1:8: 'money_bag' is not written LikeThis - MoneyBag, for instance",
                "service bank { void f() }": "1:9: 'bank' is not written LikeThis - Bank, for instance",
                "const int maxBatch = 1": "1:11: 'maxBatch' is not written LIKE_THIS - MAX_BATCH, for instance",
                "enum Colour { Red }": "1:15: 'Red' is not written LIKE_THIS - RED, for instance",
                "struct S { int maxN; }": "1:16: 'maxN' is not written like_this - max_n, for instance",
                "service A { void getHTTPPage(int pageNo) }": [
                    "1:18: 'getHTTPPage' is not written like_this - get_http_page, for instance",
                    "1:34: 'pageNo' is not written like_this - page_no, for instance",
                ],
                "struct X2Y { int a_1; } service HTTP { void f() } enum E { A_1 }": [],
            },
        )

    def test_python_keyword(self) -> None:
        """
        A name that gets an underscore in Python is told with it.
        """
        self.check(
            "python-keyword",
            {
                "struct S { int class; }": "1:16: 'class' is called 'class_' in Python",
                "service A { void import(int self, int from) }": [
                    "1:18: 'import' is called 'import_' in Python",
                    "1:29: 'self' is called 'self_' in Python",
                    "1:39: 'from' is called 'from_' in Python",
                ],
                "enum E { name, OK }": "1:10: 'name' is called 'name_' in Python",
                "exception E { string code; string message; }": "1:22: 'code' is called 'code_' in Python",
                "struct None { }": "1:8: 'None' is called 'None_' in Python",
                "struct S { int name; int code; int self; }": [],
            },
        )


class DocTests(RuleTestCase):
    def test_missing_doc(self) -> None:
        """
        Services, methods and types without a doc comment are told.
        """
        self.check(
            "missing-doc",
            {
                "service A { int f() }": [
                    "1:9: 'A' has no doc comment",
                    "1:17: method 'f' has no doc comment",
                ],
                "/** a */ service A { /// f\n int f() }": [],
                "// no doc\nstruct S { }": "2:8: 'S' has no doc comment",
                "/** s */ @reserved(['a']) struct S { int b; } const int C = 1": [],
            },
        )

    def test_doc_nowhere(self) -> None:
        """
        A doc comment that describes nothing is told.
        """
        nowhere = "this doc comment belongs to nothing - it stands before a definition, method, member, value or parameter"
        another = "another doc comment follows this one - one comment is the documentation, the last before it"
        self.check(
            "doc-nowhere",
            {
                "struct S { int a; /** end */ }": f"1:19: {nowhere}",
                "struct S { int /** a */ a; }": f"1:16: {nowhere}",
                "/** one */ /** two */ struct S { }": f"1:1: {another}",
                "/// one\n\n/// two\nstruct S { }": f"1:1: {another}",
                "struct S { }\n/// end": f"2:1: {nowhere}",
                "/// a\n/// b\nstruct S { /** m */ int m; }": [],
                "@a.b(x=[1]) /** s */ @c.d /** s */ struct S { @a.b /** m */ int m; }": [],
                "service A { /** f */ int f(/** a */ int a) }": [],
                "/** e */ enum E { /** a */ A } /** n */ const int N = 1": [],
            },
        )


class UnusedTests(RuleTestCase):
    def test_unused_import(self) -> None:
        """
        An import of which nothing is used is told, whatever could use it.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        other = "const int N = 1; struct S { } exception X { } service B { int f() }"
        (folder / "other.idl").write_text(other)
        path = str(folder / "a.idl")
        head = 'import "other.idl"; '
        for text, count in (
            ("struct T { int n; }", 1),
            ("struct T { other.S? s; }", 0),
            ("struct T { list<other.S> s; }", 0),
            ("struct T extends other.S { }", 0),
            ("struct T { int n = other.N; }", 0),
            ("union U { other.S }", 0),
            ("service A extends other.B { }", 0),
            ("service A { int f() throws other.X }", 0),
            ("struct T { @range(max=other.N) int n; }", 0),
        ):
            warned = lint(read_text(head + text, path), {"unused-import"})
            self.assertEqual(len(warned), count, text)
        (only,) = lint(read_text(head, path), {"unused-import"})
        self.assertEqual(only.fault.message, "nothing of the import 'other' is used")
        self.assertEqual((only.fault.column, only.fault.length), (8, 11))

    def test_unused_type(self) -> None:
        """
        A type that no method needs is told, unless the file has no services.
        """
        service = "service A { T f(U u, map<E, V?> v) throws X } "
        types = "struct T extends B { } struct B { } union U { W } struct W { } enum E { A } struct V { list<Y> y; } struct Y { } exception X { } exception Z extends X { }"
        self.check(
            "unused-type",
            {
                service + types: [],
                types: [],
                "struct S { R? r; } struct R { } service A { int f() }": [
                    "1:8: no method needs struct 'S'",
                    "1:27: no method needs struct 'R'",
                ],
                "exception X { } enum E { A } union U { S } struct S { } service A { S f() }": [
                    "1:11: no method needs exception 'X'",
                    "1:22: no method needs enum 'E'",
                    "1:36: no method needs union 'U'",
                ],
            },
        )

    def test_checked_together(self) -> None:
        """
        What another file needs that is checked with it is not unused, though
        each was read on its own.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "a.idl").write_text("struct S { } service A { int f() }")
        (folder / "b.idl").write_text('import "a.idl"; service B { a.S f() }')
        one, two = (read_file(folder / name) for name in ("a.idl", "b.idl"))
        self.assertEqual(len(lint(one, {"unused-type"})), 1)
        self.assertEqual(lint(one, {"unused-type"}, [one, two]), [])

    def test_empty_service(self) -> None:
        """
        A service without methods, inherited ones included, is told.
        """
        self.check(
            "empty-service",
            {
                "service A { }": "1:9: service 'A' has no methods",
                "service A { int f() } service B extends A { }": [],
            },
        )


class DeprecatedTests(RuleTestCase):
    def test_deprecated_use(self) -> None:
        """
        Whatever needs something deprecated is told, and why not to.
        """
        old = '@deprecated("use New", since="2") struct Old { } '
        self.check(
            "deprecated-use",
            {
                old
                + "struct S { Old? o; }": "1:61: 'Old' is deprecated since 2 - use New",
                old + "struct S { @deprecated Old? o; }": [],
                old + "@deprecated struct S { Old? o; }": [],
                old
                + "struct S extends Old { }": "1:67: 'Old' is deprecated since 2 - use New",
                old + "union U { Old }": "1:60: 'Old' is deprecated since 2 - use New",
                old
                + "service A { list<Old> f() }": "1:67: 'Old' is deprecated since 2 - use New",
                "@deprecated exception X { } service A { int f() throws X }": "1:56: 'X' is deprecated",
                "@deprecated service A { int f() } service B extends A { }": "1:53: 'A' is deprecated",
                "@deprecated const int N = 1; struct S { int n = N; }": "1:49: 'N' is deprecated",
                "enum E { A, @deprecated B } struct S { E e = B; E f = A; }": "1:46: 'B' is deprecated",
                "enum E { A, @deprecated B } struct S { map<E, list<E>> e = {A: [E.B]}; }": "1:65: 'E.B' is deprecated",
                "enum E { A, @deprecated B } const E C = B": "1:41: 'B' is deprecated",
                "enum E { A, @deprecated B } struct S { @deprecated E e = B; }": [],
            },
        )


class TypeTests(RuleTestCase):
    def test_optional_any(self) -> None:
        """
        C{any?} is told, however deep it is.
        """
        self.check(
            "optional-any",
            {
                "struct S { map<string, any?> a; any b; }": "1:24: 'any' can be null without '?' - write 'any'",
            },
        )

    def test_float_money(self) -> None:
        """
        A float that is called like money is told.
        """
        self.check(
            "float-money",
            {
                "struct S { float totalPrice; float weight; }": "1:12: 'totalPrice' seems to be money, and is a float - a decimal is exact",
                "struct S { list<float> fees; decimal price; }": "1:12: 'fees' seems to be money, and is a float - a decimal is exact",
                "struct Money { float value; }": "1:16: 'value' seems to be money, and is a float - a decimal is exact",
                "service A { float balance(float amount) }": [
                    "1:13: 'balance' seems to be money, and is a float - a decimal is exact",
                    "1:27: 'amount' seems to be money, and is a float - a decimal is exact",
                ],
            },
        )

    def test_int_beyond_f64(self) -> None:
        """
        Integers that JavaScript would round are told where it may read them.
        """
        rounds = "can be beyond 2^53, where JavaScript rounds - use int32, uint32, @range, or a string"
        self.check(
            "int-beyond-f64",
            {
                "service A { int64 f(int n, uint32 m) }": [],
                '@a.b service A { @http(get="/f") int64 f(int n, uint32 m) }': [
                    f"1:34: the result {rounds}",
                    f"1:42: 'n' {rounds}",
                ],
                'struct S { list<uint64> n; S? s; @range(min=0, max=10) int m; } union U { S } service A { @http(post="/f") int32 f(U u) }': f"1:17: 'n' {rounds}",
            },
        )


class MethodTests(RuleTestCase):
    def test_readonly_oneway(self) -> None:
        """
        A oneway method that is also readonly is told.
        """
        self.check(
            "readonly-oneway",
            {
                "service A { @readonly oneway void f() oneway void g() }": "1:35: 'f' is oneway and @readonly, so does nothing",
            },
        )

    def test_once_implicit(self) -> None:
        """
        If somebody asks for it, methods without a class are told.
        """
        self.check(
            "once-implicit",
            {
                "service A { int f() @once int g() @readonly int h() }": "1:17: 'f' does not say how often it may run - @once, or @readonly, @idempotent, @transactional",
            },
        )
        self.assertNotIn("once-implicit", DEFAULT)


class TextTests(RuleTestCase):
    def test_bidi_control(self) -> None:
        """
        Characters that reorder text are told, in comments and strings too.
        """
        self.check(
            "bidi-control",
            {
                "// a\u202eb\nconst string S = 'x\u2066y\\u2066'": [
                    "1:5: U+202E changes the order in which text is shown - write it as \\uXXXX",
                    "2:20: U+2066 changes the order in which text is shown - write it as \\uXXXX",
                ],
                "// \u05d0 \u0623": [],
            },
        )

    def test_classic_compatible(self) -> None:
        """
        If somebody asks for it, all that a classic reader would misread is told.
        """
        self.check(
            "classic-compatible",
            {
                "service A { int f(list a, bool b); void g() } // end": [],
                "struct S { }": "1:8: classic files have services only",
                "service A { }": "1:9: a classic reader does not see an empty service",
                "@version('1') service A { int f() }": "1:1: classic files have no annotations",
                "service A { @readonly int f() }": "1:13: classic files have no annotations",
                "service A { int f() } service B extends A { int g() }": "1:41: classic services extend no others",
                "service A { oneway void f() }": "1:25: a classic reader passes over 'oneway'",
                "exception X { } service A { int f() throws X }": [
                    "1:11: classic files have services only",
                    "1:44: a classic reader passes over 'throws'",
                ],
                "service A { list<int> f(int? a, int b = 1) }": [
                    "1:13: this is no classic type - int, string, float, bool, list, or for a result void",
                    "1:25: this is no classic type - int, string, float, bool, list, or for a result void",
                    "1:41: classic parameters have no defaults",
                ],
                "service A { int f() /* x */ }": "1:21: classic files have no comments but // and #",
                "service A { int f(int a, // x\n int b) }": "1:26: a classic reader cannot read a comment between parameters",
                "service A { // }\nint f() }": "1:13: for a classic reader this brace ends the service",
                "service A { # see foo bar(int x)\nint f() }": "1:13: a classic reader takes this for a method",
            },
        )
        self.assertNotIn("classic-compatible", DEFAULT)


class SwitchTests(RuleTestCase):
    def test_on_a_line(self) -> None:
        """
        At the end of a line a rule is switched for that line.
        """
        self.check(
            "optional-any",
            {
                "struct S { any? a; // lint: off optional-any\nany? b; }": "2:1: 'any' can be null without '?' - write 'any'",
                "struct S { any? a; /* lint: off name-style, optional-any */ }": [],
                "struct S { any? a; # lint: off all\n}": [],
            },
        )

    def test_to_the_end_of_a_body(self) -> None:
        """
        On a line of its own it is for the rest of the body, or of the file; it
        can be switched on again, and the nearest switch counts.
        """
        any_ = "'any' can be null without '?' - write 'any'"
        self.check(
            "optional-any",
            {
                "struct S { any? a;\n// lint: off optional-any\nany? b; }\nstruct T { any? c; }": [
                    f"1:12: {any_}",
                    f"4:12: {any_}",
                ],
                "# lint: off optional-any\nstruct S { any? a; }\nstruct T { any? c; }": [],
                "# lint: off all\nstruct S {\n# lint: on optional-any\nany? a; any? b; // lint: off optional-any\n}\nstruct T {\n//lint:on optional-any\nany? c;}": f"8:1: {any_}",
            },
        )

    def test_on(self) -> None:
        """
        A rule that is off can be switched on for a part.
        """
        self.check(
            "missing-doc",
            {
                "service A { int f() }\n// lint: on once-implicit\n/** b */ service B { /** g */ int g() }": [
                    "1:9: 'A' has no doc comment",
                    "1:17: method 'f' has no doc comment",
                    "3:35: 'g' does not say how often it may run - @once, or @readonly, @idempotent, @transactional",
                ],
            },
        )
        subject = Subject(read_text("// lint: on all"))
        self.assertEqual(Switches(subject, RULES).on, set(RULES))

    def test_wrong_switches(self) -> None:
        """
        A comment that switches nothing is told.
        """
        self.check(
            "bidi-control",
            {
                "// lint: off missing-docs": "1:1: there is no lint rule 'missing-docs' - did you mean 'missing-doc'?",
                "// lint: of missing-doc": "1:1: 'lint: of' switches nothing - write 'lint: off RULE' or 'lint: on RULE'",
                "// lint: off": "1:1: there is no lint rule ''",
                "// lint rules are in the reference": [],
                "/// lint: off nothing\nstruct S { }": [],
            },
        )


class SampleTests(SynchronousTestCase):
    def test_sample(self) -> None:
        """
        The sample, which was written with care, lacks nothing but some docs.
        """
        warned = lint(read_file(BANK))
        self.assertEqual({each.rule for each in warned}, {"missing-doc"})

    def test_text(self) -> None:
        """
        A warning is shown with its line, and the rule that it can be switched
        off by.
        """
        (warned,) = lint(read_text("struct s { }", "a.idl"), {"name-style"})
        self.assertEqual(
            str(warned),
            "a.idl:1:8: warning: 's' is not written LikeThis [name-style]\n"
            "    1 | struct s { }\n"
            "               ^\n"
            "  S, for instance",
        )
