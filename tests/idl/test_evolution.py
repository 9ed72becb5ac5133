"""
Tests for the comparison of two versions, row by row through the table of idl.md,
section 10; what it says is held against the real codecs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.idl.test_codec_properties import CHECKED, values
from tests.idl.texts import BANK, Texts, tokens_of
from twisted_rpc.errors import InvalidValue
from twisted_rpc.idl import MethodSchema, load_idl_text
from twisted_rpc.idl.evolution import changes
from twisted_rpc.idl.evolution.changes import Change, TooMuchError, Verdict
from twisted_rpc.idl.evolution.compare import (
    compare_files,
    compare_met,
    compare_services,
)
from twisted_rpc.idl.formatting.format import format_text
from twisted_rpc.idl.reader import read_file, read_text

WIRE, SOURCE, SEMANTIC = Verdict.WIRE, Verdict.SOURCE, Verdict.SEMANTIC

S: Final = "service A { "


def compare(old: str, new: str, **options: Any) -> list[Change]:
    """
    @return: what is found between two texts, C{old.idl} and C{new.idl}.
    """
    return compare_files(
        read_text(old, "old.idl"), read_text(new, "new.idl"), **options
    )


def lines(old: str, new: str, **options: Any) -> list[str]:
    """
    @return: the same, as it is printed.
    """
    return [str(change) for change in compare(old, new, **options)]


def worst(found: list[Change], *, sources: bool = True) -> Verdict | None:
    """
    @return: the worst verdict; C{None} if nothing was found.
    """
    kept = [it.verdict for it in found if sources or it.verdict is not SOURCE]
    return max(kept, default=None)


@dataclass(frozen=True)
class Row:
    """
    A change of a type, as the table has it.

    @ivar old: the type, or C{"definitions | type"}.
    @ivar sent: JSON texts of the old type, which new servers read if the request
        is not broken; if it is, they refuse one of them.
    @ivar answered: the same of the new type, for old clients.
    @ivar source: Python notices the change, whatever the wire does.
    """

    title: str
    old: str
    new: str
    request: Verdict | None
    reply: Verdict | None
    sent: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    source: bool = False


STRUCT: Final = "struct P { int a; %s } | P"
ENUM: Final = "enum E { %s } | E"
UNION: Final = (
    "struct P { int a; } struct Q { int b; } struct R { int c; } union U { %s } | U"
)

TABLE: Final = (
    Row("T -> T?", "int", "int?", None, WIRE, ("1",), ("1", "null"), source=True),
    Row("T? -> T", "int?", "int", WIRE, None, ("1", "null"), ("1",), source=True),
    Row("wider integer", "int32", "int64", None, WIRE, ("2147483647",), ("2147483648",)),
    Row("wider integer", "int64", "int", None, WIRE, ("1",), ("9223372036854775808",)),
    Row("wider integer", "uint32", "int64", None, WIRE, ("4294967295",), ("-1",)),
    Row("narrower integer", "int64", "int32", WIRE, None, ("2147483648",), ("1",)),
    Row("neither", "int32", "uint32", WIRE, WIRE, ("-1",), ("4294967295",)),
    Row("neither", "uint64", "int64", WIRE, WIRE, ("9223372036854775808",), ("-1",)),
    Row("integer -> float", "int", "float", SEMANTIC, WIRE, ("5",), ("2.5",), source=True),
    Row("float -> integer", "float", "int", WIRE, None, ("2.5",), ("5",), source=True),
    Row("enum -> string", "enum E { X, Y } | E", "string", None, SEMANTIC, ('"X"',), ('"other"',), source=True),
    Row("string -> enum", "string", "enum E { X, Y } | E", WIRE, None, ('"other"',), ('"Y"',), source=True),
    Row("T -> any", "int", "any", None, WIRE, ("1",), ('"x"',), source=True),
    Row("T? -> any", "list<int?>", "list<any>", None, WIRE, ("[null]",), ('["x"]',), source=True),
    Row("any -> T", "any", "int", WIRE, None, ('"x"',), ("1",), source=True),
    Row("list -> set", "list<int64>", "set<int64>", SEMANTIC, SEMANTIC, ("[2,1]",), ("[1]",), source=True),
    Row("list -> set, whose elements have 64 bits", "list<int>", "set<int>", WIRE, SEMANTIC, ("[9223372036854775808]",), ("[1]",), source=True),
    Row("set -> list", "set<int64>", "list<int64>", None, SEMANTIC, ("[1,2]",), ("[2,2]",), source=True),
    Row("list -> list<T>", "list", "list<int>", WIRE, None, ('["x"]',), ("[1]",), source=True),
    Row("inside a list", "list<int32>", "list<int>", None, WIRE, ("[1]",), ("[2147483648]",)),
    Row("inside a map", "map<string, int?>", "map<string, int>", WIRE, None, ('{"a":null}',), ('{"a":1}',), source=True),
    Row("keys of a map", "map<int64, int>", "map<int32, int>", WIRE, None, ('{"2147483648":1}',), ('{"1":1}',)),
    Row("keys of 64 bits", "map<int, int>", "map<int64, int>", None, None, ('{"1":1}',), ('{"1":1}',)),
    Row("another type", "string", "bytes", WIRE, WIRE, ('"x"',), source=True),
    Row("another type", "int", "string", WIRE, WIRE, ("1",), ('"1"',), source=True),
    Row("another type", "decimal", "float", WIRE, WIRE, ('"1.5"',), source=True),
    Row("another type", "struct P { int a; } | P", "map<string, int>", WIRE, WIRE, (), ('{"b":1}',), source=True),
    Row("a struct -> a union", "struct P { int a; } | P", "struct P { int a; } struct Q { } union U { P, Q } | U", WIRE, WIRE, ('{"a":1}',), source=True),
    Row("add a member with default", STRUCT % "", STRUCT % "int b = 1;", None, None, ('{"a":1}',), ('{"a":1,"b":2}',)),
    Row("add an optional member", STRUCT % "", STRUCT % "int? b;", None, None, ('{"a":1}',), ('{"a":1,"b":2}',)),
    Row("reorder members", "struct P { int a; int b; } | P", "struct P { int b; int a; } | P", None, None, ('{"a":1,"b":2}',), ('{"b":1,"a":2}',)),
    Row("change a default", STRUCT % "int b = 1;", STRUCT % "int b = 2;", SEMANTIC, SEMANTIC, ('{"a":1,"b":1}',), ('{"a":1,"b":1}',)),
    Row("add a default", STRUCT % "int b;", STRUCT % "int b = 2;", None, None, ('{"a":1,"b":1}',), ('{"a":1,"b":1}',)),
    Row("remove a default", STRUCT % "int b = 1;", STRUCT % "int b;", WIRE, SOURCE, (), ('{"a":1,"b":1}',)),
    Row("add a required member", STRUCT % "", STRUCT % "int b;", WIRE, SOURCE, ('{"a":1}',), ('{"a":1,"b":1}',)),
    Row("remove a member with default", STRUCT % "int b = 1;", STRUCT % "", SEMANTIC, SEMANTIC, ('{"a":1,"b":1}',), ('{"a":1}',)),
    Row("remove an optional member", STRUCT % "int? b;", STRUCT % "", SEMANTIC, SEMANTIC, ('{"a":1,"b":1}',), ('{"a":1}',)),
    Row("remove a required member", STRUCT % "int b;", STRUCT % "", SEMANTIC, WIRE, ('{"a":1,"b":1}',), ('{"a":1}',)),
    Row("rename a required member", STRUCT % "int b;", STRUCT % "int c;", WIRE, WIRE, ('{"a":1,"b":1}',), ('{"a":1,"c":1}',)),
    Row("rename a member on the wire", STRUCT % "int b;", STRUCT % '@name("c") int b;', WIRE, WIRE, ('{"a":1,"b":1}',), ('{"a":1,"c":1}',)),
    Row("rename a member in Python", STRUCT % "int b;", STRUCT % '@name("b") int c;', SOURCE, SOURCE, ('{"a":1,"b":1}',), ('{"a":1,"b":1}',)),
    Row("rename a struct", "struct P { int a; } | P", "struct Q { int a; } | Q", SOURCE, SOURCE, ('{"a":1}',), ('{"a":1}',)),
    Row("add an enum value", ENUM % "X", ENUM % "X, Y", None, SEMANTIC, ('"X"',), ('"Y"',)),
    Row("remove an enum value", ENUM % "X, Y", ENUM % "X", WIRE, None, ('"Y"',), ('"X"',)),
    Row("remove a value of an open enum", "@open " + ENUM % "X, Y", "@open " + ENUM % "X", SEMANTIC, None, ('"Y"',), ('"X"',)),
    Row("rename an enum value", ENUM % "X, Y", ENUM % "X, Z", WIRE, WIRE, ('"Y"',)),
    Row("rename a value on the wire", ENUM % "X, Y", ENUM % 'X, Y = "y"', WIRE, WIRE, ('"Y"',)),
    Row("rename a value, its old text an alias", ENUM % "X, Y", ENUM % 'X, @aliases(["Y"]) Y = "y"', None, SEMANTIC, ('"Y"',), ('"y"',)),
    Row("rename a value in Python", ENUM % "X, Y", ENUM % 'X, Z = "Y"', SOURCE, SOURCE, ('"Y"',), ('"Y"',)),
    Row("remove an alias of a value", ENUM % '@aliases(["y"]) Y', ENUM % "Y", WIRE, None, (), ('"Y"',)),
    Row("remove @open", "@open " + ENUM % "X", ENUM % "X", WIRE, None, ('"else"',), ('"X"',)),
    Row("add @open", ENUM % "X", "@open " + ENUM % "X", None, None, ('"X"',), ('"X"',)),
    Row("add a struct to a union", UNION % "P", UNION % "P, Q", None, WIRE, ('{"type":"P","a":1}',), ('{"type":"Q","b":1}',)),
    Row("remove a struct of a union", UNION % "P, Q", UNION % "P", WIRE, None, ('{"type":"Q","b":1}',), ('{"type":"P","a":1}',)),
    Row("rename a struct of a union", UNION % "P", (UNION % "P").replace("struct P", '@name("p") struct P'), WIRE, WIRE, ('{"type":"P","a":1}',), ('{"type":"p","a":1}',)),
    Row("rename it with all it has", "struct P { int a; } union U { P } | U", "struct Q { int a; } union U { Q } | U", WIRE, WIRE, ('{"type":"P","a":1}',), ('{"type":"Q","a":1}',)),
    Row("a struct joins its first union", "struct P { int a; } | P", "struct P { int a; } union U { P } | P", None, None, ('{"a":1}',), ('{"a":1}',)),
    Row("a struct leaves its last union", "struct P { int a; } struct Q { } union U { P, Q } | P", "struct P { int a; } struct Q { } union U { Q } | P", None, None, ('{"a":1}',), ('{"a":1}',)),
    Row("tighten @range", STRUCT % "@range(min=0) int b;", STRUCT % "@range(min=1) int b;", WIRE, None, ('{"a":1,"b":0}',), ('{"a":1,"b":1}',)),
    Row("loosen @range", STRUCT % "@range(max=9) int b;", STRUCT % "int b;", None, WIRE, ('{"a":1,"b":9}',), ('{"a":1,"b":10}',)),
    Row("@range in place of a type", STRUCT % "int32 b;", STRUCT % "@range(min=-2147483648, max=2147483647) int b;", None, None, ('{"a":1,"b":9}',), ('{"a":1,"b":9}',)),
    Row("move @range", STRUCT % "@range(min=0, max=9) float b;", STRUCT % "@range(min=1, max=10) float b;", WIRE, WIRE, ('{"a":1,"b":0}',), ('{"a":1,"b":10}',)),
    Row("tighten @range of a decimal", STRUCT % "decimal b;", STRUCT % '@range(max="0.5") decimal b;', WIRE, None, ('{"a":1,"b":"0.6"}',), ('{"a":1,"b":"0.5"}',)),
    Row("tighten @length", STRUCT % "string b;", STRUCT % "@length(max=2) string b;", WIRE, None, ('{"a":1,"b":"xyz"}',), ('{"a":1,"b":"x"}',)),
    Row("loosen @length", STRUCT % "@length(min=1) string b;", STRUCT % "string b;", None, WIRE, ('{"a":1,"b":"x"}',), ('{"a":1,"b":""}',)),
    Row("add @pattern", STRUCT % "string b;", STRUCT % "@pattern('x') string b;", WIRE, None, ('{"a":1,"b":"y"}',), ('{"a":1,"b":"x"}',)),
    Row("remove @pattern", STRUCT % "@pattern('x') string b;", STRUCT % "string b;", None, WIRE, ('{"a":1,"b":"x"}',), ('{"a":1,"b":"y"}',)),
    Row("change @pattern", STRUCT % "@pattern('x') string b;", STRUCT % "@pattern('y') string b;", WIRE, WIRE, ('{"a":1,"b":"x"}',), ('{"a":1,"b":"y"}',)),
    Row("deep inside", "struct Q { list<P?> p; } struct P { int a; } | map<string, Q>", "struct Q { list<P?> p; } struct P { int a; int b; } | map<string, Q>", WIRE, SOURCE, ('{"x":{"p":[{"a":1}]}}',), ('{"x":{"p":[{"a":1,"b":2}]}}',)),
    Row("through itself", "struct P { P? next; int a; } | P", "struct P { P? next; } | P", SEMANTIC, WIRE, ('{"next":null,"a":1}',), ('{"next":null}',)),
    Row("inherited", "struct B { int a; } struct P extends B { } | P", "struct B { } struct P extends B { int a; } | P", None, None, ('{"a":1}',), ('{"a":1}',)),
)  # fmt: skip


@dataclass
class Versions:
    """
    A type in two versions.

    @ivar request: what the comparison says of a parameter of the type.
    @ivar reply: what it says of a result.
    """

    old: str
    new: str
    request: list[Change] = field(init=False)
    reply: list[Change] = field(init=False)

    def __post_init__(self) -> None:
        taken = compare(*(text(it, "void f({} x)") for it in (self.old, self.new)))
        given = compare(*(text(it, "{} f()") for it in (self.old, self.new)))
        self.request, self.reply = taken, given

    def sent(self, raw: str) -> bool:
        """
        Whether the new server reads what the old client writes.
        """
        old, new = (method(it, "void f({} x)") for it in (self.old, self.new))
        written = old.encode_params(old.decode_params(f"[{raw}]".encode()))
        try:
            new.decode_params(written)
        except InvalidValue:
            return False
        return True

    def answered(self, raw: str) -> bool:
        """
        Whether the old client reads what the new server writes.
        """
        old, new = (method(it, "{} f()") for it in (self.old, self.new))
        written = new.encode_result(new.decode_result(raw.encode()))
        try:
            old.decode_result(written)
        except InvalidValue:
            return False
        return True


def text(versioned: str, signature: str) -> str:
    """
    @return: a service with the method alone, and the definitions it needs.
    """
    definitions, _, type_ = versioned.rpartition(" | ")
    return f"{definitions} service A {{ {signature.format(type_)} }}"


def method(versioned: str, signature: str) -> MethodSchema:
    """
    @return: that method, with its codecs.
    """
    found: MethodSchema = load_idl_text(text(versioned, signature)).A.by_name["f"]
    return found


class TypeTests(SynchronousTestCase):
    """
    Changes of what is sent.
    """

    def test_verdicts(self) -> None:
        """
        Each has the verdicts of the table, for requests and for replies.
        """
        for row in TABLE:
            versions = Versions(row.old, row.new)
            for expected, found in (
                (row.request, versions.request),
                (row.reply, versions.reply),
            ):
                about = f"{row.title}: {[str(it) for it in found]}"
                sources = not row.source
                self.assertEqual(worst(found, sources=sources), expected, about)

    def test_source(self) -> None:
        """
        A change of type that the wire does not notice is noticed in Python.
        """
        for row in TABLE:
            versions = Versions(row.old, row.new)
            for found in (versions.request, versions.reply):
                verdicts = {it.verdict for it in found}
                if row.source and WIRE not in verdicts:
                    self.assertIn(SOURCE, verdicts, row.title)

    def test_requests(self) -> None:
        """
        Where the table lets a request pass, the new server reads what the old
        client writes; where it does not, it does not.
        """
        for row in TABLE:
            read = [Versions(row.old, row.new).sent(it) for it in row.sent]
            if row.request is not WIRE:
                self.assertTrue(read and all(read), row.title)
            elif row.sent:
                self.assertFalse(all(read), row.title)

    def test_replies(self) -> None:
        """
        The same of the new server's replies, and old clients.
        """
        for row in TABLE:
            read = [Versions(row.old, row.new).answered(it) for it in row.answered]
            if row.reply is not WIRE:
                self.assertTrue(read and all(read), row.title)
            elif row.answered:
                self.assertFalse(all(read), row.title)

    SIMPLE = (
        *("int", "int32", "uint32", "int64", "uint64", "float", "bool", "string"),
        *("bytes", "decimal", "date", "uuid", "any", "int?", "list<int32>", "list"),
        *("list<int64>", "set<int64>", "set<int32>", "set<Colour>", "Colour", "Point"),
        *("map<string, int>", "map<string, int?>", "map<int64, int>", "list<Point?>"),
    )
    DEFINITIONS = "enum Colour { RED, GREEN } struct Point { int32 x; string? y; } | "

    @CHECKED
    @given(st.data())
    def test_any_pair(self, data: st.DataObject) -> None:
        """
        Of any two types: where no request is broken, every value of the one is
        read as the other.
        """
        pairs = self.harmless()
        old, new = data.draw(st.sampled_from(pairs))
        schema = load_idl_text(text(self.DEFINITIONS + old, "void f({} x)"))
        writing = schema.A.by_name["f"]
        value = data.draw(values(schema, writing.params[0].model.type))
        reading = method(self.DEFINITIONS + new, "void f({} x)")
        reading.decode_params(writing.encode_params((value,)))

    pairs: list[tuple[str, str]] = []  # noqa: RUF012 - filled once, for all examples

    def harmless(self) -> list[tuple[str, str]]:
        """
        @return: the pairs of types of which the comparison says that requests
            are not broken.
        """
        if not self.pairs:
            for old, new in product(self.SIMPLE, repeat=2):
                found = compare(
                    text(self.DEFINITIONS + old, "void f({} x)"),
                    text(self.DEFINITIONS + new, "void f({} x)"),
                )
                if worst(found) is not WIRE:
                    self.pairs.append((old, new))
        return self.pairs


#: Changes of services and methods: the texts, and the verdict.
METHODS: Final = (
    ("add a service", S + "int f() }", "service B { } " + S + "int f() }", None),
    ("add a method", S + "int f() }", S + "int f() int g() }", None),
    ("add a type", S + "int f() }", "struct P { } const int X = 1; " + S + "int f() }", None),
    ("doc, order", S + "int f() int g() }", "/** A. */ " + S + "/** g. */ int g() int f() }", None),
    ("namespace", "namespace a; " + S + "int f() }", "namespace b; " + S + "int f() }", None),
    ("@deprecated", S + "int f() }", S + '@deprecated("old") int f() }', None),
    ("remove a service", S + "int f() } service B { }", S + "int f() }", WIRE),
    ("rename a service", S + "int f() }", "service B { int f() }", WIRE),
    ("rename it with @aliases", S + "int f() }", '@aliases(["A"]) service B { int f() }', SOURCE),
    ("rename it, the wire name kept", S + "int f() }", '@name("A") service B { int f() }', SOURCE),
    ("remove an alias of a service", '@aliases(["B"]) ' + S + "int f() }", S + "int f() }", WIRE),
    ("remove a method", S + "int f() int g() }", S + "int f() }", WIRE),
    ("rename a method", S + "int f() }", S + "int g() }", WIRE),
    ("rename it with @aliases", S + "int f() }", S + '@aliases(["f"]) int g() }', SOURCE),
    ("rename it, the wire name kept", S + "int f() }", S + '@name("f") int g() }', SOURCE),
    ("remove an alias", S + '@aliases(["g"]) int f() }', S + "int f() }", WIRE),
    ("inherit a method", S + "int f() }", "service B { int f() } service A extends B { }", None),
    ("remove an inherited one", "service B { int f() } service A extends B { }", "service B { int f() } service A { }", WIRE),
    ("append a parameter with default", S + "int f(int a) }", S + "int f(int a, int b = 1) }", None),
    ("append an optional one", S + "int f(int a) }", S + "int f(int a, int? b) }", None),
    ("give the last one a default", S + "int f(int a) }", S + "int f(int a = 1) }", None),
    ("append one without default", S + "int f(int a) }", S + "int f(int a, int b) }", WIRE),
    ("insert a parameter", S + "int f(int a) }", S + "int f(int b, int a) }", WIRE),
    ("remove a parameter", S + "int f(int a, int b) }", S + "int f(int a) }", WIRE),
    ("remove the first", S + "int f(int a, int b) }", S + "int f(int b) }", WIRE),
    ("reorder parameters", S + "int f(int a, int b) }", S + "int f(int b, int a) }", WIRE),
    ("remove a default", S + "int f(int a = 1) }", S + "int f(int a) }", WIRE),
    ("rename a parameter", S + "int f(int a) }", S + "int f(int b) }", SOURCE),
    ("change a default", S + "int f(int a = 1) }", S + "int f(int a = 2) }", SEMANTIC),
    ("change an optional one's", S + "int f(int? a) }", S + "int f(int? a = 2) }", SEMANTIC),
    ("a default that is a set", S + "int f(set<int> a = [1, 2]) }", S + "int f(set<int> a = [2, 1]) }", None),
    ("T -> void", S + "int f() }", S + "void f() }", WIRE),
    ("void -> T", S + "void f() }", S + "int f() }", SOURCE),
    ("unary -> stream", S + "int f() }", S + "stream<int> f() }", WIRE),
    ("stream -> unary", S + "stream<int> f() }", S + "int f() }", WIRE),
    ("items of a stream", S + "stream<int32> f() }", S + "stream<int64> f() }", WIRE),
    ("items of a stream, narrower", S + "stream<int64> f() }", S + "stream<int32> f() }", None),
    ("a streamed parameter", S + "void f(list<int> a) }", S + "void f(stream<int> a) }", WIRE),
    ("its items", S + "void f(stream<int64> a) }", S + "void f(stream<int32> a) }", WIRE),
    ("a parameter before it", S + "void f(stream<int> a) }", S + "void f(int b, stream<int> a) }", WIRE),
    ("oneway -> not", S + "oneway void f() }", S + "void f() }", WIRE),
    ("not -> oneway", S + "void f() }", S + "oneway void f() }", WIRE),
    ("add an exception", "exception E {} " + S + "int f() }", "exception E {} " + S + "int f() throws E }", SEMANTIC),
    ("remove one", "exception E {} " + S + "int f() throws E }", "exception E {} " + S + "int f() }", SEMANTIC),
    ("rename one", "exception E {} " + S + "int f() throws E }", "exception F {} " + S + "int f() throws F }", WIRE),
    ("rename one, the wire name kept", "exception E {} " + S + "int f() throws E }", '@name("E") exception F {} ' + S + "int f() throws F }", SOURCE),
    ("change @code", "exception E {} " + S + "int f() throws E }", '@code("ABORTED") exception E {} ' + S + "int f() throws E }", SEMANTIC),
    ("its members are replies", "exception E { int a; } " + S + "int f() throws E }", "exception E { int? a; } " + S + "int f() throws E }", WIRE),
    ("once -> readonly", S + "int f() }", S + "@readonly int f() }", SEMANTIC),
    ("readonly -> idempotent", S + "@readonly int f() }", S + "@idempotent int f() }", SEMANTIC),
    ("idempotent -> once", S + "@idempotent int f() }", S + "int f() }", SEMANTIC),
    ("transactional -> once", S + "@transactional int f() }", S + "int f() }", SEMANTIC),
    ("idempotent -> readonly", S + "@idempotent int f() }", S + "@readonly int f() }", None),
    ("once -> transactional", S + "int f() }", S + "@transactional int f() }", None),
    ("tighten @timeout", S + "@timeout(2s) int f() }", S + "@timeout(1s) int f() }", SEMANTIC),
    ("add @timeout", S + "int f() }", "@timeout(1s) " + S + "int f() }", SEMANTIC),
    ("loosen @timeout", S + "@timeout(1s) int f() }", S + "@timeout(2s) int f() }", None),
    ("add @auth", S + "int f() }", S + '@auth(role="a") int f() }', SEMANTIC),
    ("change @auth", S + '@auth(role="a") int f() }', S + '@auth(role="b") int f() }', SEMANTIC),
    ("open to everybody", '@auth(role="a") ' + S + "int f() }", S + "@auth(public=true) int f() }", SEMANTIC),
    ("moved to the method", '@auth(role="a") ' + S + "int f() }", S + '@auth(role="a") int f() }', None),
    ("tighten @rate_limit", S + "@rate_limit(9, per=1s) int f() }", S + "@rate_limit(9, per=2s) int f() }", SEMANTIC),
    ("loosen @rate_limit", S + "@rate_limit(9, per=1s) int f() }", S + "@rate_limit(10, per=1s) int f() }", None),
    ("remove @rate_limit", S + "@rate_limit(9, per=1s) int f() }", S + "int f() }", None),
    ("tighten @max_concurrency", S + "@max_concurrency(4) int f() }", S + "@max_concurrency(3) int f() }", SEMANTIC),
    ("loosen @max_concurrency", S + "@max_concurrency(4) int f() }", S + "@max_concurrency(5) int f() }", None),
    ("change @retry", S + "@retry(max_attempts=4) int f() }", S + "@retry(max_attempts=2) int f() }", SEMANTIC),
    ("change @cache", S + "@readonly @cache(ttl=1s) int f() }", S + "@readonly int f() }", SEMANTIC),
    ("remove a route", S + '@http(get="/f/{a}") int f(int a) }', S + "int f(int a) }", WIRE),
    ("move a route", S + '@http(get="/f/{a}") int f(int a) }', S + '@http(get="/g/{a}") int f(int a) }', WIRE),
    ("another verb", S + '@http(get="/f") int f() }', S + '@http(put="/f") int f() }', WIRE),
    ("swap variables of a route", S + '@http(get="/{a}/{b}") int f(int a, int b) }', S + '@http(get="/{b}/{a}") int f(int a, int b) }', WIRE),
    ("rename a parameter that a route has by name", S + '@http(get="/f") int f(int a) }', S + '@http(get="/f") int f(int b) }', WIRE),
    ("rename a variable of a route", S + '@http(get="/f/{a}") int f(int a) }', S + '@http(get="/f/{b}") int f(int b) }', SOURCE),
    ("add a route", S + "int f(int a) }", S + '@http(get="/f/{a}") int f(int a) }', None),
    ("remove a type in use by nobody", "struct P {} " + S + "int f() }", S + "int f() }", SOURCE),
    ("a type in use by nobody", "struct P { int a; } " + S + "int f() }", "struct P { } " + S + "int f() }", None),
    ("another kind", "struct P {} " + S + "int f() }", "enum P { X } " + S + "int f() }", SOURCE),
    ("an exception of it", "struct P {} " + S + "int f() }", "exception P {} " + S + "int f() }", SOURCE),
    ("remove a constant", "const int X = 1;", "", SOURCE),
    ("change a constant", "const int X = 1;", "const int X = 2;", SEMANTIC),
    ("its type", "const int X = 1;", "const string X = '1';", SOURCE),
    ("a file of types alone", "struct P { int a; }", "struct P { int a; int b; }", WIRE),
)  # fmt: skip


#: Every text of both tables.
WRITTEN: Final = (
    *(it for _, old, new, _ in METHODS for it in (old, new)),
    *(text(it, "{} f()") for row in TABLE for it in (row.old, row.new)),
)


class MethodTests(SynchronousTestCase):
    """
    Changes of services, methods and what annotations say of calls.
    """

    def test_verdicts(self) -> None:
        """
        Each has the verdict of the table.
        """
        for title, old, new, expected in METHODS:
            found = compare(old, new)
            about = f"{title}: {[str(it) for it in found]}"
            self.assertEqual(worst(found), expected, about)

    def test_what_a_service_inherits(self) -> None:
        """
        A method that is inherited is judged under each service that has it, and
        so are the annotations of the service where it stands.
        """
        old = "service B { int f() } service A extends B { }"
        self.assertEqual(
            lines(old, "@timeout(1s) service B { int f() } service A extends B { }"),
            [
                (
                    "new.idl:1:1: SEMANTIC: the @timeout of 'A.f' is now 1 s, was none"
                    "  [before: old.idl:1:17]"
                ),
                (
                    "new.idl:1:1: SEMANTIC: the @timeout of 'B.f' is now 1 s, was none"
                    "  [before: old.idl:1:17]"
                ),
            ],
        )


class MessageTests(SynchronousTestCase):
    """
    What is said, and where.
    """

    def test_new_place(self) -> None:
        """
        A finding stands at the new file's place, and says where the thing was.
        """
        self.assertEqual(
            lines(
                "struct Iban { }\nservice Bank { void transfer(Iban to) }",
                "struct Iban {\n    string iban;\n}\nservice Bank { void transfer(Iban to) }",
            ),
            [
                (
                    "new.idl:2:12: WIRE: member 'iban' of 'Iban' is now required; clients of"
                    " the old IDL do not send it (request: Bank.transfer)"
                )
            ],
        )
        self.assertEqual(
            lines(S + "int f(int64 a) }", S + "int f(int32 a) }"),
            [
                (
                    "new.idl:1:25: WIRE: the type of parameter 'a' of 'A.f' is now int32,"
                    " was int64; clients of the old IDL may send 2147483648 (request: A.f)"
                    "  [before: old.idl:1:25]"
                )
            ],
        )

    def test_routes(self) -> None:
        """
        What became of a route is told; two ends that have met do not mind.
        """
        old = S + '@http(get="/f/{a}") int f(int a) }'
        new = S + '@http(post="/f") int f(int a) }'
        self.assertEqual(
            lines(old, new),
            [
                (
                    "new.idl:1:13: WIRE: the route of 'A.f' is now POST /f, was GET"
                    " /f/{a}  [before: old.idl:1:13]"
                )
            ],
        )
        self.assertEqual(
            lines(old, S + "int f(int a) }"),
            ["old.idl:1:13: WIRE: the route of 'A.f', GET /f/{a}, is gone"],
        )
        self.assertEqual(
            lines(
                S + '@http(get="/f") int f(int a) }',
                S + '@http(get="/f") int f(int b) }',
            )[0],
            (
                "new.idl:1:39: WIRE: parameter 'a' of 'A.f' is now 'b', was 'a'; GET /f"
                " has it by name  [before: old.idl:1:39]"
            ),
        )
        ends = (read_text(it, "a.idl").services["A"] for it in (old, new))
        self.assertEqual(compare_met(*ends), [])

    def test_old_place(self) -> None:
        """
        What is gone stands at the old file's place, with a hint how to go on.
        """
        self.assertEqual(
            lines(S + "int f(int a) }", S + "int g(int a) }"),
            [
                (
                    "old.idl:1:17: WIRE: method 'A.f' is gone; if it is 'g' now, say"
                    ' @aliases(["f"]) there'
                )
            ],
        )
        self.assertEqual(
            lines(
                "struct P { int a; int? b; } " + S + "void f(P p) }",
                "struct P { int a; } " + S + "void f(P p) }",
            ),
            [
                (
                    "old.idl:1:24: SEMANTIC: member 'b' of 'P' is gone; servers of the new IDL"
                    ' ignore it; keep its name with @reserved(["b"]) (request: A.f)'
                )
            ],
        )

    def test_once(self) -> None:
        """
        A type that many methods use is judged once in each direction.
        """
        old = "enum E { X, Y } " + S + "E f(E a, E b) E g(list<E> c) }"
        found = lines(old, old.replace("X, Y", "X"))
        self.assertEqual(len(found), 1, found)

    def test_inherited_members(self) -> None:
        """
        A member that structs inherit is judged once, as the base's.
        """
        old = (
            "struct B { int a; } struct P extends B {} struct Q extends B {} "
            + S
            + "void f(P p, Q q) }"
        )
        found = lines(old, old.replace("int a", "int a; int b"))
        self.assertEqual(len(found), 1, found)
        self.assertIn("member 'b' of 'B'", found[0])

    def test_worst_first(self) -> None:
        """
        Findings are in the order of the text, the worst at a place first.
        """
        old = S + "int f(int a, int b) }"
        found = compare(old, S + "int? f(int a, float b) }")
        self.assertEqual(
            [(it.place.column, it.verdict) for it in found],
            [(13, WIRE), (33, SOURCE), (33, SEMANTIC)],
        )


class OrderTests(SynchronousTestCase):
    """
    C{--either-order}: clients may be upgraded before their servers.
    """

    def test_appended(self) -> None:
        """
        A parameter with a default may be appended if servers come first; old
        servers refuse it.
        """
        old, new = S + "int f() }", S + "int f(int a = 1) }"
        self.assertEqual(lines(old, new), [])
        self.assertEqual(
            lines(old, new, either_order=True),
            [
                (
                    "new.idl:1:23: WIRE: parameter 'a' of 'A.f' is new; calls that pass it are"
                    " refused by servers of the old IDL (request: A.f)"
                )
            ],
        )

    def test_new_values(self) -> None:
        """
        New clients may send what old servers do not know.
        """
        old = "enum E { X } " + S + "void f(E e) }"
        self.assertEqual(
            lines(old, old.replace("X", "X, Y"), either_order=True),
            [
                (
                    "new.idl:1:13: WIRE: value 'Y' of enum 'E' is new; servers of the old IDL"
                    " refuse it (request: A.f)"
                )
            ],
        )

    def test_new_methods(self) -> None:
        """
        A new method breaks no call there was.
        """
        self.assertEqual(
            lines(S + "int f() }", S + "int f() int g() }", either_order=True), []
        )

    def test_said_once(self) -> None:
        """
        What breaks in both orders is found once, with its old and its new state.
        """
        found = lines(S + "int f(int a) }", S + "int f(string a) }", either_order=True)
        self.assertEqual(len(found), 1, found)
        self.assertIn("is now string, was int;", found[0])

    def test_swapped(self) -> None:
        """
        A finding of the other order tells the change from old to new, too.
        """
        (found,) = lines(
            S + "int f(int32 a) }", S + "int f(int64 a) }", either_order=True
        )
        self.assertIn("is now int64, was int32; clients of the new IDL may", found)
        self.assertIn("[before: old.idl:1:25]", found)


class ServicesTests(SynchronousTestCase):
    """
    Services without their files.
    """

    def test_names_of_types(self) -> None:
        """
        A server names types anew where two files share a name; what is sent is
        the same.
        """
        old = read_text("struct P { int a; } " + S + "P f() }").services
        new = read_text("struct P_2 { int a; } " + S + "P_2 f() }").services
        self.assertEqual(compare_services(old, new), [])

    def test_both_orders(self) -> None:
        """
        Both orders can be judged.
        """
        old = read_text(S + "int f() }").services
        new = read_text(S + "int f(int a = 1) }").services
        self.assertEqual(compare_services(old, new), [])
        self.assertEqual(len(compare_services(old, new, either_order=True)), 1)


class SameTests(SynchronousTestCase):
    """
    What has not changed.
    """

    def test_sample(self) -> None:
        """
        The sample that uses every part of the language is itself.
        """
        bank = read_file(BANK)
        self.assertEqual(compare_files(bank, read_file(BANK), either_order=True), [])

    @CHECKED
    @given(st.integers(0, 2**32))
    def test_layouts(self, seed: int) -> None:
        """
        Nothing is found between a text, itself in any layout, and its canonical
        form.
        """
        made = Texts(seed)
        written = made.random.choice([BANK.read_text("utf-8"), *WRITTEN])
        path = str(BANK.with_name("other.idl"))
        texts = (written, made.laid_out(tokens_of(written)), format_text(written))
        first, *others = (read_text(it, path) for it in texts)
        for other in others:
            self.assertEqual(compare_files(first, other, either_order=True), [])
            self.assertEqual(compare_files(other, first, either_order=True), [])

    def test_bounded(self) -> None:
        """
        Two texts whose types all meet each other are not compared to the end.
        """
        self.patch(changes, "MAX_PAIRS", 100)
        rings = [
            " ".join(
                f"struct {name}{i} {{ {name}{(i + 1) % size}? next; }}"
                for i in range(size)
            )
            + f" service A {{ void f({name}0 x) }}"
            for name, size in (("P", 20), ("Q", 21))
        ]
        with self.assertRaises(TooMuchError):
            compare(*rings)

    def test_long_chain(self) -> None:
        """
        A chain of structs as long as a file is no matter of the stack.
        """
        chain = "".join(f"struct S{i} {{ S{i + 1}? next; }}" for i in range(3000))
        chain += "struct S3000 { int a; } service A { S0 f() }"
        found = compare(chain, chain.replace("int a;", "int a; int b = 1;"))
        self.assertEqual(found, [])
