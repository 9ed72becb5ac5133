"""
What is said of invalid files: the list that the language's definition ends with.
"""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.errors import IDLError
from twisted_rpc.idl.reader import read_text

DEFINITIONS: Final = (
    "service, struct, enum, union, exception, const, import or namespace"
)

#: Number to text, message with its place, and hint.
INVALID: Final = {
    1: (
        "servce A { }",
        f"1:1: expected a definition ({DEFINITIONS}), found the word 'servce'",
        "did you mean 'service'?",
    ),
    2: (
        "service A { int add(int a int b) }",
        "1:27: expected ',' or ')', found the word 'int'",
        "a ',' is missing between two parameters",
    ),
    3: (
        "service A { add(int a) }",
        "1:13: method 'add' has no return type",
        "write 'void add(...)' if it returns nothing",
    ),
    4: (
        "service A { int add(a, b) }",
        "1:22: expected the parameter's name after its type 'a', found ','",
        "write the type first: 'int a'",
    ),
    5: (
        "service A {\n  int f()\n",
        "3:1: expected '}' to end 'A', found the end of the file",
        "its '{' is at 1:11",
    ),
    6: (
        "service A { int count; }",
        "1:22: expected '(', found ';'",
        "a service has methods only; members belong in a struct",
    ),
    7: (
        'struct S { string name = "Ann; }',
        "1:26: unterminated string",
        "a string ends on the line it begins on",
    ),
    8: (
        "struct S { int größe; }",
        "1:18: unexpected character 'ö'",
        "names are ASCII letters, digits and '_'",
    ),
    9: (
        "struct S { duration d = 5sec; }",
        "1:25: unknown unit 'sec'",
        "units are ms s m h d (durations) and KiB MiB GiB (sizes)",
    ),
    10: (
        "struct S { list<int x; }",
        "1:21: expected ',' or '>', found the word 'x'",
        "",
    ),
    11: (
        "service A { string f(strng s) }",
        "1:22: unknown type 'strng'",
        "did you mean 'string'?",
    ),
    12: (
        "service A { dict f() }",
        "1:13: unknown type 'dict'",
        "did you mean 'map<string, any>'?",
    ),
    13: (
        "struct P { int x; }\nstruct P { int y; }",
        "2:8: 'P' is defined twice",
        "first at 1:8",
    ),
    14: (
        "service A { int f(int a = 1, int b) }",
        "1:34: parameter 'b' must have a default, because 'a' before it has one",
        "parameters are sent by position: those that may be left out come last",
    ),
    15: (
        "service A { oneway int f() }",
        "1:20: oneway method 'f' cannot return a value",
        "write 'oneway void'",
    ),
    16: (
        "service A { int f(stream<int> s, int n) }",
        "1:19: a stream can only be the whole result or the last parameter of a method",
        "",
    ),
    17: (
        "struct S { map<float, int> m; }",
        "1:16: 'float' cannot be the key of a map",
        "use string, int, int32, int64, uint32, uuid, date or an enum",
    ),
    18: (
        "struct S { int32 n = 3000000000; }",
        "1:22: 3000000000 is out of range for int32",
        "from -2147483648 to 2147483647",
    ),
    19: (
        "enum C { USD, EUR }\nstruct S { C c = EURO; }",
        "2:18: 'EURO' is not a value of 'C'",
        "did you mean 'EUR'?",
    ),
    20: (
        "union T { string iban; int no; }",
        "1:18: expected ',' or '}', found the word 'iban'",
        "a union lists the names of structs: union Target { Card, Iban }",
    ),
    21: (
        "struct N { int v; N next; }",
        "1:8: struct 'N' can never be built: it needs itself",
        "N -> N; make one of these members optional or a list",
    ),
    22: (
        "service A { @readonly @transactional int f() }",
        "1:23: '@transactional' contradicts '@readonly'",
        "a method has one of @readonly, @idempotent, @once and @transactional",
    ),
    23: (
        "service A { @idempotant int f() }",
        "1:13: unknown annotation '@idempotant'",
        "did you mean '@idempotent'?",
    ),
    24: (
        "struct E { }\nservice A { int f() throws E }",
        "2:28: 'E' is a struct, not an exception",
        "",
    ),
    25: (
        "service A { int f() }\nservice B extends A { int f() }",
        "2:27: method 'f' is already inherited from 'A'",
        "declared at 1:17; a method cannot be overridden",
    ),
}


class InvalidTests(SynchronousTestCase):
    def said_of(self, text: str) -> list[tuple[str, str]]:
        """
        @return: of each fault, message with its place, and hint.
        """
        error = self.assertRaises(IDLError, read_text, text, "a.idl")
        return [
            (f"{fault.line}:{fault.column}: {fault.message}", fault.hint)
            for fault in error.faults
        ]

    def test_list(self) -> None:
        """
        Each text has exactly one fault, with this message, place and hint.
        """
        self.assertEqual(
            {number: self.said_of(text) for number, (text, *_) in INVALID.items()},
            {number: [(said, hint)] for number, (_, said, hint) in INVALID.items()},
        )

    def test_shown(self) -> None:
        """
        A fault is shown with its line, with carets under the whole token, and
        with its hint.
        """
        text = "service A {\n    string f(\n        strng s,\n        int i)\n}"
        error = self.assertRaises(IDLError, read_text, text, "bank.idl")
        self.assertEqual(
            str(error),
            "bank.idl:3:9: unknown type 'strng'\n"
            "    3 |         strng s,\n"
            "                ^^^^^\n"
            "  did you mean 'string'?",
        )
        self.assertEqual((error.path, error.line, error.column), ("bank.idl", 3, 9))

    def test_other_languages(self) -> None:
        """
        The word that another language has for it leads to ours.
        """
        types = ("dict", "str", "double", "boolean", "i64")
        words = ("message", "package", "interface")
        hints = [self.said_of(f"struct S {{ {word} x; }}")[0][1] for word in types]
        hints += [self.said_of(f"{word} X {{ }}")[0][1] for word in words]
        meant: tuple[str, ...] = (
            "map<string, any>",
            "string",
            "float",
            "bool",
            "int64",
        )
        meant += ("struct", "namespace", "service")
        self.assertEqual(hints, [f"did you mean '{word}'?" for word in meant])

    def test_at_most_twenty_are_shown(self) -> None:
        """
        Of many faults all are there, and the first twenty are shown.
        """
        members = "".join(f"strng m{number};\n" for number in range(70))
        error = self.assertRaises(IDLError, read_text, f"struct S {{ {members} }}")
        self.assertEqual(len(error.faults), 70)
        self.assertEqual(str(error).count("did you mean"), 20)
        self.assertTrue(str(error).endswith("... and 50 more"))
