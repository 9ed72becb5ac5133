"""
Tests for what files mean, and for the faults in what they mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK, SAMPLES
from twisted_rpc.errors import IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.reader import read_file, read_text


def faults_of(text: str) -> list[str]:
    """
    @return: of each fault, place, message and hint.
    """
    try:
        read_text(text, "a.idl")
    except IDLError as error:
        return [
            f"{it.line}:{it.column}: {it.message}"
            + (f" - {it.hint}" if it.hint else "")
            for it in error.faults
        ]
    return []


class MeaningTestCase(SynchronousTestCase):
    """
    What the tests of meaning share.
    """

    def check(self, faults: dict[str, str]) -> None:
        """
        Each text has exactly this fault.
        """
        self.maxDiff = None
        found = {text: "; ".join(faults_of(text)) for text in faults}
        self.assertEqual(found, faults)

    def right(self, *texts: str) -> None:
        """
        The texts have no fault.
        """
        self.assertEqual([faults_of(text) for text in texts], [[] for _ in texts])


class SampleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = read_file(BANK)
        self.bank = self.file.services["Bank"]

    def test_file(self) -> None:
        """
        The sample's file has a namespace, a doc, imports and definitions in the
        order of the text.
        """
        self.assertEqual(self.file.namespace, "example.bank")
        self.assertEqual(
            self.file.doc,
            "Bank accounts: a sample that uses every part of the language.",
        )
        self.assertEqual(self.file.path, str(BANK))
        common = self.file.imports["common"]
        self.assertEqual(common.path, str(SAMPLES / "common.idl"))
        self.assertEqual(list(common.services), ["Auditable"])
        self.assertEqual(
            list(self.file.definitions)[:4],
            ["MAX_BATCH", "PATIENCE", "LIMITS", "Currency"],
        )
        self.assertEqual(list(self.file.services), ["Bank", "Calculator"])

    def test_constants(self) -> None:
        """
        Constants have JSON values.
        """
        values = [
            it.value
            for it in self.file.definitions.values()
            if isinstance(it, model.Const)
        ]
        self.assertEqual(values, [100, "PT30S", {"gold": 1000, "basic": 10}])

    def test_enum(self) -> None:
        """
        An enum's values have names on the wire.
        """
        currency = self.file.definitions["Currency"]
        assert isinstance(currency, model.Enum)
        self.assertTrue(currency.open)
        self.assertEqual(
            [it.wire_value for it in currency.values], ["USD", "EUR", "dem"]
        )
        args = currency.values[2].annotations["deprecated"].args
        self.assertEqual(args, {"reason": "use EUR", "since": "1.2"})

    def test_structs(self) -> None:
        """
        Structs have members with defaults, bases and unions.
        """
        internal, node = (self.file.definitions[it] for it in ("Internal", "Node"))
        assert isinstance(internal, model.Struct)
        assert isinstance(node, model.Struct)
        self.assertEqual(
            [it.name for it in internal.all_fields], ["iban", "source", "batch"]
        )
        self.assertEqual(internal.fields[0].wire_name, "from")
        self.assertEqual([it.name for it in internal.unions], ["Target"])
        self.assertEqual(
            [it.default for it in node.fields], [1, None, [], {}, [], None]
        )
        self.assertEqual(
            [str(it.type) for it in node.fields],
            ["int", "Node?", "list<Node>", "map<int,Target>", "set<Currency>", "any"],
        )
        self.assertEqual(node.annotations["reserved"].args, {"names": ["colour"]})

    def test_exceptions(self) -> None:
        """
        Exceptions have codes, and the members of their bases.
        """
        names = ("BankError", "InsufficientFunds", "NoSuchAccount")
        found = [self.file.definitions[it] for it in names]
        codes = [it.code for it in found if isinstance(it, model.Struct)]
        self.assertEqual(codes, ["FAILED_PRECONDITION"] * 2 + ["NOT_FOUND"])

    def test_methods(self) -> None:
        """
        A service has its own methods and those it inherits, these first.
        """
        methods = self.bank.methods
        self.assertEqual(list(methods)[:2], ["audit_log", "transfer"])
        self.assertEqual([it.name for it in self.bank.bases], ["Auditable"])
        self.assertEqual(len(self.bank.own_methods), 9)
        self.assertEqual(
            [it.delivery for it in methods.values()],
            [
                "readonly",
                "transactional",
                "readonly",
                "idempotent",
                "readonly",
                "once",
                "readonly",
                "once",
                "readonly",
                "once",
            ],
        )
        transfer = methods["transfer"]
        self.assertEqual(
            [it.name for it in transfer.throws], ["InsufficientFunds", "NoSuchAccount"]
        )
        self.assertEqual(transfer.timeout, 2.0)
        self.assertEqual(transfer.doc, "Move money exactly once.")
        self.assertEqual(str(transfer.place), f"{BANK}:37:39")
        self.assertEqual(
            [it.default for it in transfer.params], [model.REQUIRED] * 3 + [None]
        )
        self.assertTrue(methods["history"].threaded)
        self.assertEqual(methods["history"].params[1].default, 100)
        self.assertEqual(methods["close"].aliases, ("shut",))
        self.assertEqual(
            [it.default for it in methods["close"].params[1:]], ["P0D", "", 0]
        )
        length = methods["close"].params[2].annotations["length"]
        self.assertEqual(length.args, {"max": 4096})
        self.assertTrue(methods["audit"].oneway)
        self.assertTrue(methods["statement"].streams_result)
        self.assertTrue(methods["upload"].streams_parameter)
        self.assertEqual(str(methods["legacy"].result), "list<any>")

    def test_inherited_timeout(self) -> None:
        """
        A service's timeout holds for the methods it inherits, too, unless they
        have their own.
        """
        self.assertEqual(self.bank.methods["audit_log"].timeout, 10.0)
        own = self.bank.bases[0].methods["audit_log"]
        self.assertIsNone(own.timeout)
        self.assertIs(self.bank.methods["audit_log"].declared_in, own.declared_in)


class NameTests(MeaningTestCase):
    def test_twice(self) -> None:
        """
        No two things that need different names have one.
        """
        first = "first at"
        self.check(
            {
                "enum E { A, A }": f"1:13: value 'A' is defined twice - {first} 1:10",
                "struct S { int a; int a; }": f"1:23: member 'a' is defined twice - {first} 1:16",
                "service A { int f(int a, int a) }": f"1:30: parameter 'a' is defined twice - {first} 1:23",
                "service A { int f() int f() }": f"1:25: method 'f' is defined twice - {first} 1:17",
                "enum E { A, B = 'A' }": f"1:13: 'A' is used twice on the wire - {first} 1:10",
                "enum E { A, @aliases(['A']) B }": f"1:29: 'A' is used twice on the wire - {first} 1:10",
                "struct S { int a; @name('a') int b; }": f"1:34: 'a' is used twice on the wire - {first} 1:16",
                "service A { int f() @aliases(['f']) int g() }": f"1:41: 'f' is used twice on the wire - {first} 1:17",
                "service A { } @name('A') service B { }": f"1:34: 'A' is used twice on the wire - {first} 1:9",
                "service A { } struct IA { }": "1:22: 'IA' is also made from service 'A' - 'A' is at 1:9",
                "service AClient { } service A { }": "1:9: 'AClient' is also made from service 'A' - 'A' is at 1:29",
            }
        )
        self.right(
            "struct S { @name('b') int a; @name('a') int b }",
            "service A { @aliases(['f']) int f() }",
        )

    def test_python(self) -> None:
        """
        Two names that become one in Python are a fault.
        """
        self.check(
            {
                "struct S { int from; int from_ }": "1:26: 'from' and 'from_' are both 'from_' in Python - first at 1:16",
                "enum E { name, name_ }": "1:16: 'name' and 'name_' are both 'name_' in Python - first at 1:10",
                "service A { int f(int self, int self_) }": "1:33: 'self' and 'self_' are both 'self_' in Python - first at 1:23",
                "exception E { int code; int code_ }": "1:29: 'code' and 'code_' are both 'code_' in Python - first at 1:19",
                "struct class { } struct class_ { }": "1:25: 'class' and 'class_' are both 'class_' in Python - first at 1:8",
            }
        )

    def test_forbidden(self) -> None:
        """
        Names never begin with C{_}, and types are not called like built-in ones.
        """
        rule = "begins with '_' - names never do"
        self.check(
            {
                "struct _S { }": f"1:8: '_S' {rule}",
                "service A { int _f() }": f"1:17: '_f' {rule}",
                "service A { int f(int _a) }": f"1:23: '_a' {rule}",
                "enum E { _A }": f"1:10: '_A' {rule}",
                "struct list { }": "1:8: 'list' is a word of the language - choose another name for the type",
            }
        )
        self.right("service int { } service oneway { int f() }")

    def test_reserved(self) -> None:
        """
        A reserved name is not declared again, nor by what extends its owner.
        """
        self.check(
            {
                "@reserved(['a']) struct S { int a }": "1:33: 'a' is reserved - at 1:1",
                "@reserved(['a']) struct S { @name('a') int b }": "1:44: 'a' is reserved - at 1:1",
                "@reserved(['a']) struct S { } struct T extends S { int a }": "1:56: 'a' is reserved - at 1:1",
                "@reserved(['A']) enum E { A }": "1:27: 'A' is reserved - at 1:1",
                "@reserved(['f']) service A { } service B extends A { int f() }": "1:58: 'f' is reserved - at 1:1",
                "@reserved(['f']) service A { } service B extends A { } service C extends B { int f() }": "1:82: 'f' is reserved - at 1:1",
                "@reserved(['a']) union U { S } struct S { }": "1:1: '@reserved' cannot stand on a union"
                " - it may stand on a struct, an exception, an enum or a service",
            }
        )

    def test_on_the_wire(self) -> None:
        """
        C{@name} and C{@aliases} give names that messages and logs can carry; an
        enum's value may be any text.
        """
        cannot = "cannot be a name on the wire"
        control = f"{cannot} - it has a character that cannot be shown"
        self.check(
            {
                "@name('') service A { }": f"1:7: '' {cannot}",
                "struct S { @name('') int a }": f"1:18: '' {cannot}",
                "@name('$rpc') service A { }": f"1:7: '$rpc' {cannot} - those with '$' are reserved",
                "service A { @aliases(['$x']) int f() }": f"1:22: '$x' {cannot} - those with '$' are reserved",
                "service A { @name('a.b') int f() }": "1:19: 'a.b' cannot be the name of a method - it has a dot",
                "service A { @aliases(['ok', 'a.b']) int f() }": "1:22: 'a.b' cannot be the name of a method - it has a dot",
                "@name('a\\nb') struct S { }": f"1:7: 'a\\nb' {control}",
                "@aliases(['a\\u202eb']) service A { }": f"1:10: 'a\\u202eb' {control}",
                f"@name('{'x' * 129}') exception X {{ }}": f"1:7: '{'x' * 37}...' {cannot} - it has more than 128 characters",
            }
        )
        self.right(
            "@name('shop.Bank') @aliases(['Old Bank', 'größe']) service A { @name('f g') int f() }",
            "@name('$x') struct S { @name('a.b') int a; @name('$c') int c }",
            f"@name('{'x' * 128}') service A {{ }}",
            "enum E { A = '', @aliases(['\\n', '$']) B = 'a\\u0000b' }",
        )

    def test_namespace(self) -> None:
        """
        A namespace comes first and once.
        """
        said = "the namespace comes first, and only once"
        self.check(
            {
                "namespace a namespace b": f"1:23: {said}",
                "struct S { } namespace a": f"1:24: {said}",
            }
        )

    def test_all_at_once(self) -> None:
        """
        All faults in what a file means are told, in the order of the text.
        """
        places = [
            it.split(": ")[0]
            for it in faults_of(
                "service A extends B { strng f(int a = 'x') throws E; int f() }\n"
                "@opn struct S { int32 a = 3000000000; T t; }\nconst C D = 1"
            )
        ]
        self.assertEqual(
            places,
            ["1:19", "1:23", "1:39", "1:51", "1:58", "2:1", "2:27", "2:39", "3:7"],
        )


class TypeTests(MeaningTestCase):
    def test_faults(self) -> None:
        """
        Types are known, complete, and stand where they may.
        """
        stream = (
            "a stream can only be the whole result or the last parameter of a method"
        )
        keys = "use string, int, int32, int64, uint32, uuid, date or an enum"
        self.check(
            {
                "struct S { oneway a }": "1:12: unknown type 'oneway' - write 'oneway void'",
                "struct S { s.T a }": "1:12: unknown type 's.T'",
                "struct S { T a } struct Tt { }": "1:12: unknown type 'T' - did you mean 'Tt'?",
                "struct S { int<int> a }": "1:12: 'int' takes no types between '<' and '>'",
                "struct S { S<int>? a }": "1:12: 'S' takes no types between '<' and '>'",
                "struct S { map<int> a }": "1:12: 'map' needs its types - write map<K, V>",
                "struct S { set a }": "1:12: 'set' needs its types - write set<K>",
                "struct S { void a }": "1:12: 'void' can only be the result of a method",
                "struct S { list<void> a }": "1:17: 'void' can only be the result of a method",
                "service A { void? f() }": "1:13: 'void' cannot be optional",
                "struct S { stream<int> a }": f"1:12: {stream}",
                "const stream<int> S = 1": f"1:7: {stream}",
                "service A { list<stream<int>> f() }": f"1:18: {stream}",
                "service A { stream<stream<int>> f() }": f"1:20: {stream}",
                "service A { stream<int>? f() }": "1:13: a stream cannot be optional",
                "struct S { set<list<int>> a }": f"1:16: 'list<int>' cannot be an element of a set - {keys}",
                "struct S { map<string?, int> a }": f"1:16: 'string?' cannot be the key of a map - {keys}",
                "exception E { } struct S { E e }": "1:28: 'E' is an exception, which cannot be a type here"
                " - exceptions are listed after 'throws'",
                "service A { A f() }": "1:13: 'A' is a service, not a type",
                "const int C = 1 struct S { C c }": "1:28: 'C' is a constant, not a type",
            }
        )
        self.right("enum E { A } struct S { set<E> a; map<E, list<int?>?> b; list c; }")


class ValueTests(MeaningTestCase):
    def value(self, type: str, text: str, before: str = "") -> Any:
        """
        @return: a constant's JSON value.
        """
        found = read_text(f"{before} const {type} X = {text}").definitions["X"]
        assert isinstance(found, model.Const)
        return found.value

    def test_scalars(self) -> None:
        """
        Values become the JSON of their type.
        """
        for type, text, expected in (
            ("int", "0xFF", 255),
            ("int", "4KiB", 4096),
            ("int32", "1.5KiB", 1536),
            ("uint64", "18446744073709551615", 2**64 - 1),
            ("int", "1" * 4000, int("1" * 4000)),
            ("float", "1", 1.0),
            ("float", "-2.5e3", -2500.0),
            ("bool", "true", True),
            ("string", '"\\u00e9"', "é"),
            ("bytes", '"aGVsbG8="', "aGVsbG8="),
            ("decimal", "12.30", "12.30"),
            ("decimal", '"12.30"', "12.30"),
            ("decimal", "-1e3", "-1E+3"),
            ("timestamp", '"2026-11-22 10:00:00+0200"', "2026-11-22T10:00:00+02:00"),
            ("date", '"2026-11-22"', "2026-11-22"),
            ("duration", "1.5h", "PT5400S"),
            ("duration", "-1d", "-P1D"),
            ("duration", '"PT1M"', "PT60S"),
            (
                "uuid",
                '"123E4567E89B12D3A456426614174000"',
                "123e4567-e89b-12d3-a456-426614174000",
            ),
            ("int?", "null", None),
            (
                "any",
                "[1, 2.0, 'a', null, true, {'b': 1KiB}]",
                [1, 2.0, "a", None, True, {"b": 1024}],
            ),
            ("list<decimal>", "[1, 2.50]", ["1", "2.50"]),
            ("set<int>", "[2, 1]", [2, 1]),
            ("map<int, float>", "{1: 2}", {"1": 2.0}),
        ):
            found = self.value(type, text)
            self.assertEqual((found, found.__class__), (expected, expected.__class__))

    def test_names(self) -> None:
        """
        Names stand for values of enums and for constants, in any order.
        """
        before = "enum E { A, B = 'b' } const int ONE = 1 const E EB = B "
        for type, text, expected in (
            ("E", "A", "A"),
            ("E", "E.B", "b"),
            ("E", "EB", "b"),
            ("map<E, list<E>>", "{A: [EB, E.A]}", {"A": ["b", "A"]}),
            ("any", "[E.B, ONE, EB]", ["b", 1, "b"]),
            ("float", "ONE", 1.0),
            ("decimal", "ONE", "1"),
            ("int32?", "ONE", 1),
            ("int", "LATER", 2),
        ):
            found = self.value(
                type, text, before + "const int LATER = LAST const int LAST = 2"
            )
            self.assertEqual(found, expected)

    def test_faults(self) -> None:
        """
        What is no value of a type is told of, with what was expected.
        """
        for type, text, said in (
            ("int", "1.0", "found 1.0 - it is written without a point and an exponent"),
            ("int", "'1'", 'found the string "1"'),
            ("int", "true", "found true"),
            ("int", "[1]", "found a list"),
            ("int", "30s", "found 30s - it has the unit of a duration"),
            ("int", "0.3KiB", "found 0.3KiB - it is not a whole number of bytes"),
            ("bool", "1", "found 1"),
            ("bool", "null", "found null - only 'bool?' can be null"),
            ("duration", "30", "found 30 - write its unit: 30s"),
            (
                "duration",
                "0.0001ms",
                "found 0.0001ms - durations are whole microseconds",
            ),
            (
                "date",
                "'22.11.26'",
                'found the string "22.11.26" - it is written "2026-11-22"',
            ),
            (
                "timestamp",
                "'2026-11-22T10:00:00'",
                'found the string "2026-11-22T10:00:00" - it is written with an offset: "2026-11-22T10:00:00Z"',
            ),
            (
                "bytes",
                "'a'",
                'found the string "a" - it is written in base64: "aGVsbG8="',
            ),
            ("decimal", "' 1'", 'found the string " 1"'),
            ("map<int,int>", "[1]", "found a list"),
        ):
            expected = f"1:{len(type) + 12}: expected a value of type '{type}', {said}"
            self.assertEqual(faults_of(f"const {type} X = {text}"), [expected])

    def test_ranges(self) -> None:
        """
        Numbers beyond their type are told of.
        """
        for type, text, said in (
            (
                "uint64",
                "-1",
                "-1 is out of range for uint64 - from 0 to 18446744073709551615",
            ),
            ("float", "1e999", "1e999 is out of range for float"),
            ("float", "1e999999999", "1e999999999 is out of range for float"),
            (
                "decimal",
                "1e6145",
                "1e6145 is out of range for decimal - exponents are within 6144 of 0",
            ),
            ("duration", "1e30d", "1e30d is out of range for duration"),
            (
                "duration",
                "1e99999999999999999999s",
                "1e99999999999999999999 is out of range",
            ),
        ):
            found = faults_of(f"const {type} X = {text}")
            self.assertEqual(found, [f"1:{len(type) + 12}: {said}"])

    def test_further_faults(self) -> None:
        """
        Elements, keys, enums, structs and constants are checked.
        """
        self.check(
            {
                "const set<int> X = [1, 2, 1]": "1:27: this element is repeated in a set",
                "const map<int, int> X = {1: 2, 0x1: 3}": "1:32: this key is repeated in a map",
                "const any X = {1: 2}": "1:16: expected a value of type 'string', found 1",
                "const int X = Y": "1:15: unknown constant 'Y'",
                "const int X = MIM const int MIN = 1": "1:15: unknown constant 'MIM' - did you mean 'MIN'?",
                "const bool X = True": "1:16: unknown constant 'True' - did you mean 'true'?",
                "const any X = None": "1:15: unknown constant 'None' - did you mean 'null'?",
                "struct S { int a = S }": "1:20: 'S' is a struct, not a value",
                "enum E { A } const E X = 'A'": "1:26: expected a value of type 'E', found the string \"A\""
                " - write A, without quotes",
                "enum E { A } const E X = E.B": "1:26: 'B' is not a value of 'E'",
                "enum E { A } enum F { A } const E X = F.A": "1:39: expected a value of type 'E', found F.A",
                "enum E { A } const int X = A": "1:28: unknown constant 'A'",
                "struct T { } struct S { T a = {} }": "1:31: a value of type 'T' can only be null - write 'T?' and null",
                "struct T { } struct S { T? a = 5 }": "1:32: a value of type 'T?' can only be null",
                "struct T { } const T X = null": "1:20: a constant cannot be a struct",
                "const string S = 'a' const int X = S": "1:36: expected a value of type 'int', found the constant 'S' of 'string'",
                "const int A = 300 const list<int> X = [A, A] const list<int32> Y = X": "1:68: expected a value of type 'list<int32>',"
                " found the constant 'X' of 'list<int>'",
                "const int A = 3000000000 const int32 X = A": "1:42: 3000000000 is out of range for int32"
                " - from -2147483648 to 2147483647",
                "const int A = B const int B = A": "1:31: constant 'A' needs its own value - A -> B -> A",
                "service A { int f(stream<int> a = 1) }": "1:35: a stream has no default",
            }
        )

    def test_many_constants(self) -> None:
        """
        Constants that hold each other again and again, or deeply, are refused
        before they fill the memory or the stack.
        """
        again = "const any A0 = 1\n" + "".join(
            f"const any A{n + 1} = [{', '.join([f'A{n}'] * 10)}]\n" for n in range(10)
        )
        self.assertIn("amount to more than", faults_of(again)[0])
        chain = "".join(f"const any A{n} = [A{n + 1}]\n" for n in range(3000))
        self.assertIn("at most 32 deep", faults_of(chain + "const any A3000 = 1")[0])


class KeyTests(MeaningTestCase):
    def test_defaults(self) -> None:
        """
        What no message may hold is no default: keys beyond 64 bits, and more
        uuids than a set of them may have.
        """
        big = 2**63
        uuids = ", ".join(f'"{UUID(int=number)}"' for number in range(1025))
        pairs = ", ".join(f'"{UUID(int=number)}": 1' for number in range(1025))
        many = "of more than 1024 uuids"
        limits = f"from -{big} to {big - 1}"
        self.check(
            {
                f"struct S {{ set<int> s = [{big}]; }}": f"1:26: {big} is out of range for int64 - {limits}",
                f"struct S {{ list<map<int, int>> s = [{{1: {big}, {big}: 1}}]; }}": f"1:62: {big} is out of range for int64 - {limits}",
                f"const set<int> S = [-{big + 1}]": f"1:21: -{big + 1} is out of range for int64 - {limits}",
                f"struct S {{ set<uuid> s = [{uuids}]; }}": f"1:26: a set {many} - @length(max=1025) allows them",
                f"service A {{ void f(map<uuid, int> m = {{{pairs}}}) }}": f"1:39: a map {many} - @length(max=1025) allows them",
                f"struct S {{ list<set<uuid>> s = [[], [{uuids}]]; }}": f"1:32: a set {many}",
                f"const set<uuid> S = [{uuids}]": f"1:21: a set {many}",
            }
        )
        self.right(
            f"struct S {{ @length(max=2000) set<uuid> s = [{uuids}]; }}",
            f"const int N = {big}; struct S {{ set<int> s = [{big - 1}, -{big}]; }}",
        )


class ConstraintTests(MeaningTestCase):
    def test_faults(self) -> None:
        """
        Constraints fit their types and themselves, and defaults keep to them.
        """
        self.check(
            {
                "struct S { @length(max=1) int a }": "1:12: '@length' cannot constrain 'int'"
                " - it is for string, bytes, list, set and map",
                "struct S { @range(min=1) string a }": "1:12: '@range' cannot constrain 'string'"
                " - it is for integers, float and decimal",
                "struct S { @pattern('a') bytes a }": "1:12: '@pattern' cannot constrain 'bytes' - it is for string",
                "struct S { @length(min=2, max=1) string a }": "1:12: min is 2, which is more than max, 1",
                "struct S { @range(min=1.5, max=1.25) decimal a }": "1:12: min is 1.5, which is more than max, 1.25",
                "struct S { @range(min=1.5) int a }": "1:23: expected a value of type 'int', found 1.5"
                " - it is written without a point and an exponent",
                "struct S { @range(max=300000000000) int32 a }": "1:23: 300000000000 is out of range for int32"
                " - from -2147483648 to 2147483647",
                "struct S { @length(min=-1) string a }": "1:24: this must be at least 0",
                "struct S { @pattern('(') string a }": "1:12: this is no regular expression:"
                " missing ), unterminated subpattern at position 0",
                "struct S { @length(max=1) string a = 'ab' }": "1:38: the default does not keep to '@length'",
                "struct S { @length(min=2) bytes a = 'aA==' }": "1:37: the default does not keep to '@length'",
                "struct S { @range(min=1) decimal a = 0.99 }": "1:38: the default does not keep to '@range'",
                "struct S { @pattern('[0-9]') string a = '12' }": "1:41: the default does not keep to '@pattern'",
            }
        )
        self.right(
            "struct S { @length(max=1) string? a; @range(min=1) int? b = null; "
            "@length(min=1) list<int> c = [1]; @pattern('[0-9]+') string? d = '12' }"
        )


class AnnotationTests(MeaningTestCase):
    def test_arguments(self) -> None:
        """
        Arguments are bound by position and by name, durations are seconds, sizes
        bytes, and constants may be used.
        """
        file = read_text(
            "const duration D = 2s const int N = 3 @a.b(1, 2s, x=1KiB) "
            "@rate_limit(N, per=1m) service A { @timeout(D) @readonly "
            "@retry(max_attempts=N, on=['UNAVAILABLE'], initial=50ms) int f() }"
        )
        service = file.services["A"]
        self.assertEqual(service.annotations["a.b"].args, {"0": 1, "1": 2.0, "x": 1024})
        self.assertEqual(
            service.annotations["rate_limit"].args, {"calls": 3, "per": 60.0}
        )
        method = service.methods["f"]
        self.assertEqual(method.timeout, 2.0)
        self.assertEqual(
            method.annotations["retry"].args,
            {"max_attempts": 3, "on": ["UNAVAILABLE"], "initial": 0.05},
        )

    def test_faults(self) -> None:
        """
        Unknown annotations, places and arguments are faults.
        """
        self.check(
            {
                "@payments struct S { }": "1:1: unknown annotation '@payments'"
                " - those of your own have a dot: @acme.owner",
                "@open struct S { }": "1:1: '@open' cannot stand on a struct - it may stand on an enum",
                "@timeout(1s) enum E { A }": "1:1: '@timeout' cannot stand on an enum"
                " - it may stand on a service or a method",
                "import 'x' @name('a') namespace b": "1:8: there is no file 'x'"
                " - looked in .; 1:12: '@name' cannot stand on a namespace"
                " - it may stand on a service, a method, a struct, an exception or a"
                " member; 1:33: the namespace comes first, and only once",
                "service A { @timeout int f() }": "1:13: '@timeout' needs an argument - write @timeout(2s)",
                "service A { @timeout(0s) int f() }": "1:22: this must be more than 0",
                "service A { @timeout(5) int f() }": "1:22: expected a value of type 'duration', found 5 - write its unit: 5s",
                "service A { @timeout(1s, 2s) int f() }": "1:26: '@timeout' takes one argument - write @timeout(2s)",
                "service A { @readonly(1) int f() }": "1:23: '@readonly' takes no arguments - write @readonly",
                "service A { @timeout(tme=1s) int f() }": "1:22: '@timeout' takes no 'tme' - did you mean 'time'?",
                "service A { @rate_limit(5) int f() }": "1:13: '@rate_limit' needs 'per' too - write @rate_limit(100, per=1s)",
                "service A { @rate_limit(5, calls=6) int f() }": "1:28: 'calls' is given twice",
                "service A { @rate_limit(calls=6, 1s) int f() }": "1:34: an argument without a name cannot follow one with a name"
                " - write @rate_limit(100, per=1s)",
                "service A { @max_concurrency(0) int f() }": "1:30: this must be at least 1",
                "service A { @auth(role='a', public=true) int f() }": "1:13: '@auth' takes only one of public, role"
                ' - write @auth(role="teller") or @auth(public=true)',
                "service A { @retry(on=['ABORTED']) int f() }": "1:23: 'ABORTED' cannot be retried: the answer would be the same"
                " - one of UNAVAILABLE, RESOURCE_EXHAUSTED, IN_PROGRESS",
                "service A { @retry(max_attempts=6) int f() }": "1:33: a call is attempted at most 5 times",
                "service A { @retry(max_attempts=0) int f() }": "1:33: this must be at least 1",
                "service A { @retry(initial=2s, max=1s) int f() }": "1:13: 'initial' is more than 'max'"
                " - write @retry(max_attempts=4)",
                "service A { @retry(on=['UNAVAILABL']) int f() }": "1:23: 'UNAVAILABL' is not a code - did you mean 'UNAVAILABLE'?",
                "@code('INTERNAL') exception E { }": "1:1: 'INTERNAL' cannot be the code of an exception - one of"
                " INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED,"
                " FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, RESOURCE_EXHAUSTED,"
                " DATA_LOSS",
                "service A { @once @once int f() }": "1:19: '@once' is written twice",
                "@a.b(x=1, x=2) struct S { }": "1:11: 'x' is given twice",
                "@a.b(c) struct S { }": "1:6: unknown constant 'c'",
            }
        )

    def test_methods(self) -> None:
        """
        What does not go together in one method is a fault.
        """
        self.check(
            {
                "service A { @cache(ttl=1s) int f() }": "1:13: '@cache' needs '@readonly'",
                "service A { @readonly @cache(ttl=1s, vary=['b']) int f(int a) }": "1:23: '@cache' varies by 'b', which is no parameter",
                "service A { @readonly @cache(ttl=1s) stream<int> f() }": "1:23: '@cache' cannot stand on a method with a stream",
                "service A { @transactional int f(stream<int> a) }": "1:13: '@transactional' cannot stand on a method with a stream",
                "service A { @stream(window=1) int f() }": "1:13: '@stream' needs a stream in the method",
                "service A { @hedge('p95') int f() }": "1:13: '@hedge' needs '@readonly' or '@idempotent'",
                "service A { @readonly @hedge('95') int f() }": "1:23: '95' is not a quantile - write @hedge(\"p95\")",
                "service A { @http(get='a') int f() }": "1:13: the route 'a' does not begin with '/'",
                "service A { @http(get='/{b}') int f(int a) }": "1:13: the route needs 'b', which is no parameter",
                "service A { @http(get='/{a}/{a}') int f(int a) }": "1:13: 'a' occurs twice in the route",
                "service A { @http(get='/{') int f(int a) }": "1:13: a brace in the route has no partner",
                "exception E { } service A { oneway void f() throws E }": "1:52: oneway method 'f' cannot throw"
                " - its caller learns only that it was sent",
                "service A { oneway void f(stream<int> a) }": "1:27: oneway method 'f' cannot take a stream",
            }
        )
        self.right(
            "service A { int f(int a = 1, stream<int> b) stream<int> g(stream<int> a) }"
        )


class StructTests(MeaningTestCase):
    def test_bases(self) -> None:
        """
        A struct extends one struct, an exception one exception, and none itself.
        """
        self.check(
            {
                "exception E { } struct S extends E { }": "1:34: 'E' is an exception, not a struct",
                "enum E { A } exception S extends E { }": "1:34: 'E' is an enum, not an exception",
                "struct S extends T { }": "1:18: unknown struct 'T'",
                "exception Bad { } exception E extends Bat { }": "1:39: unknown exception 'Bat' - did you mean 'Bad'?",
                "struct A extends B { } struct B extends C { } struct C extends A { }": "1:18: 'A' extends itself - A -> B -> C -> A",
                "struct A { int a } struct B extends A { int b; int a }": "1:52: member 'a' is already inherited from 'A'"
                " - declared at 1:16; a member cannot be redeclared",
            }
        )
        chain = "".join(f"struct S{n + 1} extends S{n} {{ }}\n" for n in range(40))
        (said,) = faults_of("struct S0 { }\n" + chain)
        self.assertTrue(said.endswith("'S33' has more than 32 bases"), said)

    def test_endless(self) -> None:
        """
        Structs that need themselves, by whatever way, are told of once a circle.
        """
        advice = "make one of these members optional or a list"
        self.check(
            {
                "struct A { B b } struct B { C c; D d } struct C { A a } struct D { A a }": f"1:8: struct 'A' can never be built: it needs itself"
                f" - A -> B -> C -> A; {advice}",
                "struct X { A a } struct A { U u } union U { A, B } struct B { U u }": "1:25: struct 'A' can never be built: it needs itself"
                f" - A -> U -> A; {advice}",
                "struct A { B b } struct B extends A { }": "1:8: struct 'A' can never be built: it needs itself"
                f" - A -> B -> A; {advice}",
            }
        )
        self.right(
            "struct A { U u } union U { A, B } struct B { }",
            "struct A { A? a; list<A> b; map<int, A> c }",
        )
        chain = "".join(f"struct S{n} {{ S{n + 1} s }}\n" for n in range(3000))
        (said,) = faults_of(chain + "struct S3000 { S0 s }")
        self.assertIn("S0 -> S1 ->", said)

    def test_unions(self) -> None:
        """
        A union lists different structs with room for the tag.
        """
        self.check(
            {
                "union U { }": "1:7: union 'U' lists no struct",
                "union U { S } enum S { A }": "1:11: 'S' is an enum, not a struct",
                "union U { S } exception S { }": "1:11: 'S' is an exception, not a struct",
                "union U { Sab } struct Sabb { }": "1:11: unknown struct 'Sab' - did you mean 'Sabb'?",
                "union U { S, S } struct S { }": "1:14: two structs of 'U' have the tag 'S' - first at 1:11",
                "union U { S, T } struct S { } @name('S') struct T { }": "1:14: two structs of 'U' have the tag 'S' - first at 1:11",
                "union U { S } struct S extends T { } struct T { int type }": "1:11: 'S' cannot be in a union: it has a member 'type'"
                " - the tag of a union has that name; use @name",
                "union U { S } struct S { } struct T extends S { int type }": "1:53: 'type' cannot be a member of 'T', which extends 'S' of a union"
                " - the tag of a union has that name; use @name",
                "union U { S } struct S { } struct T extends S { } struct R extends T { @name('type') int a }": "1:90: 'type' cannot be a member of 'R', which extends 'S' of a union"
                " - the tag of a union has that name; use @name",
            }
        )
        self.right("union U { S } struct S { @name('kind') int type }")


class InheritanceTests(MeaningTestCase):
    def test_faults(self) -> None:
        """
        Services extend services, and no method has two declarations.
        """
        self.check(
            {
                "service B extends A { } struct A { }": "1:19: 'A' is a struct, not a service",
                "service B extends Aud { } service Audit { }": "1:19: unknown service 'Aud' - did you mean 'Audit'?",
                "service A extends B { } service B extends A { }": "1:43: 'A' extends itself - A -> B -> A",
                "service B extends A, A { } service A { }": "1:22: 'A' is extended twice",
                "service A { int f() } service B { int f() } service C extends A, B { }": "1:66: method 'f' is inherited from 'A' and from 'B'"
                " - declared at 1:17 and 1:39",
                "service A { int f() } service B extends A { @name('f') int g() }": "1:60: method 'g' is already inherited from 'A'"
                " - declared at 1:17; a method cannot be overridden",
                "service A { @name('x') int f() } service B { int x() } service C extends A, B { }": "1:77: method 'f' is inherited from 'A' and method 'x' from 'B', both are 'x' on the wire"
                " - declared at 1:28 and 1:50",
                "service A { @aliases(['x']) int f() } service B { @aliases(['x']) int g() } service C extends A, B { }": "1:98: method 'f' is inherited from 'A' and method 'g' from 'B', both are 'x' on the wire"
                " - declared at 1:33 and 1:71",
                "service A { int if() } service B { int if_() } service C extends A, B { }": "1:69: method 'if' is inherited from 'A' and method 'if_' from 'B', both are 'if_' in Python"
                " - declared at 1:17 and 1:40",
                "service A { int if() } service B extends A { int if_() }": "1:50: method 'if_' is already inherited from 'A'"
                " - declared at 1:17; a method cannot be overridden",
                "service A { int f() throws E, E } exception E { }": "1:31: 'E' is listed twice after 'throws'",
                "service A { int f() throws Eno } exception Enoo { }": "1:28: unknown exception 'Eno' - did you mean 'Enoo'?",
            }
        )

    def test_two_ways(self) -> None:
        """
        The same method by two ways is one.
        """
        file = read_text(
            "service D extends B, C { } service B extends A { int b() } "
            "service C extends A { int c() } service A { int a() }"
        )
        self.assertEqual(list(file.services["D"].methods), ["a", "b", "c"])

    def test_growth(self) -> None:
        """
        Services inherit a bounded number of methods, however they extend each
        other.
        """
        methods = " ".join(f"int f{n}()" for n in range(1000))
        heirs = "\n".join(f"service B{n} extends A {{ }}" for n in range(100))
        self.right(f"service A {{ {methods} }}\n{heirs}")
        self.check(
            {
                f"service A {{ {methods} }}\n{heirs}\nservice C extends A {{ }}": "102:19: more than 100000 methods are inherited in this file"
            }
        )

    def test_depth(self) -> None:
        """
        Services extend others at most 32 deep.
        """
        chain = "\n".join(f"service A{n + 1} extends A{n} {{ }}" for n in range(32))
        self.right("service A0 { }\n" + chain.rpartition("\n")[0])
        (said,) = faults_of("service A0 { }\n" + chain)
        self.assertIn("services extend others at most 32 deep", said)

    def test_two_ways_with_timeouts(self) -> None:
        """
        That holds also if one way changes the method's timeout.
        """
        self.right(
            "service D extends B, C { } @timeout(1s) service B extends A { } "
            "service C extends A { } service A { int a() }"
        )


class ImportTests(MeaningTestCase):
    def write(self, **files: str) -> Path:
        """
        @return: the folder that holds the files; C{sub_x} is C{sub/x.idl}.
        """
        folder = Path(self.mktemp())
        for name, text in files.items():
            path = folder / (name.replace("_", "/") + ".idl")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    def faults(self, path: Path) -> list[str]:
        """
        @return: the faults of a file and of those it imports.
        """
        error = self.assertRaises(IDLError, read_file, path)
        return [
            f"{Path(it.path).name}:{it.line}:{it.column}: {it.message}"
            for it in error.faults
        ]

    def test_names(self) -> None:
        """
        Imported names are used with the import's name, which is the file's if no
        other is given; types, constants, exceptions and services alike.
        """
        folder = self.write(
            main=(
                "import 'sub/one.idl' import 'sub/one.idl' as two "
                "service B extends one.A { one.S f(one.E a = one.E.X, one.E b = X, "
                "int c = two.C) throws two.F }"
            ),
            sub_one=(
                "struct S { } exception F { } enum E { X } const int C = 7 "
                "service A { int a() }"
            ),
        )
        file = read_file(folder / "main.idl")
        method = file.services["B"].methods["f"]
        self.assertEqual([param.default for param in method.params], ["X", "X", 7])
        self.assertIs(file.imports["one"], file.imports["two"])
        self.assertIs(method.result.definition, file.imports["one"].definitions["S"])
        self.assertEqual(method.throws[0].file.path, str(folder / "sub" / "one.idl"))

    def test_tags(self) -> None:
        """
        A struct joins no union if one that extends it, in whatever file, has a
        member that is called like the tag.
        """
        folder = self.write(
            main="import 'mid.idl' import 'base.idl' union U { base.A }",
            mid="import 'base.idl' struct B extends base.A { int type }",
            base="struct A { }",
        )
        self.assertEqual(
            self.faults(folder / "main.idl"),
            [
                "main.idl:1:42: 'A' cannot be in a union: 'B', which extends it, has a member 'type'"
            ],
        )

    def test_include(self) -> None:
        """
        Files are looked for beside the importing one, then in the directories
        that are given.
        """
        main = "import 'x.idl' struct S { x.A? a }"
        folder = self.write(a_main=main, b_x="struct B { }", c_x="struct A { }")
        places = [folder / "c", folder / "b"]
        file = read_file(folder / "a" / "main.idl", places)
        self.assertEqual(list(file.imports["x"].definitions), ["A"])
        (folder / "a" / "x.idl").write_text("enum A { Q }")
        file = read_file(folder / "a" / "main.idl", places)
        self.assertIsInstance(file.imports["x"].definitions["A"], model.Enum)

    def test_once(self) -> None:
        """
        A file that is reached twice is read once, so its types are the same.
        """
        folder = self.write(
            main=(
                "import 'a.idl' import 'b.idl' "
                "service S { a.X f() b.X g() } struct Y { a.X x = null }"
            ).replace(" struct Y { a.X x = null }", ""),
            a="import 'c.idl' struct X { c.Z z }",
            b="import 'c.idl' struct X { c.Z z }",
            c="struct Z { }",
        )
        file = read_file(folder / "main.idl")
        first, second = (
            file.services["S"].methods[name].result.definition for name in "fg"
        )
        assert isinstance(first, model.Struct)
        assert isinstance(second, model.Struct)
        self.assertIs(first.fields[0].type.definition, second.fields[0].type.definition)

    def test_not_transitive(self) -> None:
        """
        What an imported file imports is not imported.
        """
        folder = self.write(
            main="import 'a.idl' struct S { b.T t; a.b.T u; }",
            a="import 'b.idl'",
            b="struct T { }",
        )
        self.assertEqual(
            self.faults(folder / "main.idl"),
            [
                "main.idl:1:27: unknown type 'b.T'",
                "main.idl:1:34: unknown type 'a.b.T'",
            ],
        )

    def test_cycle(self) -> None:
        """
        Files that import each other are told of, with the way around.
        """
        folder = self.write(a="import 'b.idl'", b="import 'c.idl'", c="import 'a.idl'")
        error = self.assertRaises(IDLError, read_file, folder / "a.idl")
        (fault,) = error.faults
        self.assertEqual(fault.message, "files import each other")
        names = [Path(name).name for name in fault.hint.split(" -> ")]
        self.assertEqual(names, ["a.idl", "b.idl", "c.idl", "a.idl"])

    def test_missing(self) -> None:
        """
        A file that is not found is told of with where it was looked for, and
        names from it are not unknown on top of that.
        """
        text = "import 'no.idl' service A extends no.B { no.X f(no.E e = no.E.A) throws no.F }"
        error = self.assertRaises(IDLError, read_text, text, "x/a.idl", ["y", "z"])
        (fault,) = error.faults
        self.assertEqual(fault.message, "there is no file 'no.idl'")
        self.assertEqual((fault.column, fault.hint), (8, "looked in x, y, z"))

    def test_faulty_import(self) -> None:
        """
        The faults of an imported file are told once, with its path, before those
        of the importing one.
        """
        folder = self.write(
            main="import 'a.idl' import 'a.idl' as b struct S { strng s; a.T t; b.T u }",
            a="servce A { }",
        )
        found = self.faults(folder / "main.idl")
        self.assertEqual(
            [it.split(": ")[0] for it in found], ["a.idl:1:1", "main.idl:1:47"]
        )

    def test_aliases(self) -> None:
        """
        An import's name is a name like others, and is told apart from them.
        """
        folder = self.write(
            main="import 'a.idl' as S import 'b-c.idl' struct S { }",
            a="",
            **{"b-c": ""},
        )
        self.assertEqual(
            self.faults(folder / "main.idl"),
            [
                "main.idl:1:28: 'b-c' cannot be the name of an import",
                "main.idl:1:45: 'S' is defined twice",
            ],
        )

    def test_deep(self) -> None:
        """
        Imports go at most 32 files deep.
        """
        files = {f"f{n}": f"import 'f{n + 1}.idl'" for n in range(40)}
        folder = self.write(**files, f40="")
        (said,) = self.faults(folder / "f0.idl")
        self.assertIn("at most 32 deep", said)
