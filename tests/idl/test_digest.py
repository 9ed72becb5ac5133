"""
Tests for the digest of services.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK
from twisted_rpc.idl.digest import description
from twisted_rpc.idl.reader import digest, read_file, read_text


def digest_of(text: str, service: str = "A") -> str:
    """
    @return: the digest of a service in a text.
    """
    return digest(read_text(text).services[service])


class DigestTests(SynchronousTestCase):
    def test_vector(self) -> None:
        """
        The digest of the smallest service is the one in the definition of the
        language, and so is what it is the digest of.
        """
        file = read_text("service Calculator { int add(int a, int b) }")
        calculator = file.services["Calculator"]
        text = (
            '{"idl":1,"methods":{"add":{"class":"once","oneway":false,"params":'
            '[{"name":"a","type":"int"},{"name":"b","type":"int"}],"result":"int",'
            '"throws":[]}},"service":"Calculator","types":{}}'
        )
        self.assertEqual(description(calculator), json.loads(text))
        expected = "33315817cfd0a91c69d5099414c68dcee0d8ce309485d3081a84e4630e1ff2c8"
        self.assertEqual(sha256(text.encode()).hexdigest(), expected)
        self.assertEqual(digest(calculator), f"sha256:{expected}")

    def test_sample(self) -> None:
        """
        The digest of the sample stays what it is.
        """
        bank = read_file(BANK).services["Bank"]
        self.assertEqual(
            digest(bank),
            "sha256:600b392bfc5566906cdc9373b320dea5fcc6bbf30a6f6e720c112306b8ac8f1f",
        )

    def test_what_does_not_enter(self) -> None:
        """
        Comments, order, namespaces, constants, what no method reaches, and
        annotations without an effect on calls change nothing.
        """
        plain = (
            "struct S { int a; E e = X; } enum E { X, Y } exception F { int b }"
            "service A { S f(int a = 5, int? b) throws F; @readonly int g() }"
        )
        other = (
            "/** a */ namespace n; const int32 FIVE = 5; struct Other { int a; }"
            "service A { @deprecated('x') @since('1') @readonly int g() /** f */"
            " @sensitive S f(int a = FIVE, int? b = null) throws (F) }"
            "@code('FAILED_PRECONDITION') exception F { int b }"
            "enum E { Y, X } struct S { E e = E.X; int a; } service B { int f() }"
        )
        self.assertEqual(digest_of(plain), digest_of(other))

    def test_what_enters(self) -> None:
        """
        Each of these changes makes another digest.
        """
        texts = (
            "service A { int f(int a) }",
            "service A { int g(int a) }",
            "service A { int f(int b) }",
            "service A { int? f(int a) }",
            "service A { int32 f(int a) }",
            "service A { int f(int a = 1) }",
            "service A { int f(int? a) }",
            "service A { @readonly int f(int a) }",
            "service A { @timeout(1s) int f(int a) }",
            "service A { @timeout(2s) int f(int a) }",
            "@timeout(2s) service A { int f(int a) }",
            "service A { @aliases(['g']) int f(int a) }",
            "@name('B') service A { int f(int a) }",
            "service A { int f(@range(min=1) int a) }",
            "exception E {} service A { int f(int a) throws E }",
            "@code('ABORTED') exception E {} service A { int f(int a) throws E }",
            "@name('X') exception E {} service A { int f(int a) throws E }",
            "exception E { int b } service A { int f(int a) throws E }",
            "enum E { X } service A { E f(int a) }",
            "@open enum E { X } service A { E f(int a) }",
            "enum E { X, Y } service A { E f(int a) }",
            "struct S { } union E { S } service A { E f(int a) }",
            "struct S { int a } service A { S f(int a) }",
            "struct S { @name('b') int a } service A { S f(int a) }",
            "service A { stream<int> f(int a) }",
            "service A { oneway void f(int a) }",
            "service A { void f(int a) }",
        )
        self.assertEqual(len({digest_of(text) for text in texts}), len(texts))

    def test_inherited(self) -> None:
        """
        Inherited methods and members are part of what extends.
        """
        inherited = (
            "struct T { int a; } struct S extends T { int b; }"
            "service B { S f() } service A extends B { int g() }"
        )
        written = "struct S { int a; int b; } service A { S f() int g() }"
        self.assertEqual(digest_of(inherited), digest_of(written))

    def test_sets(self) -> None:
        """
        The order of a set's elements has no meaning, that of a list's has one.
        """
        pairs = [
            digest_of(f"service A {{ int f({kind}<int> a = [{items}]) }}")
            for kind in ("set", "list")
            for items in ("1, 2", "2, 1")
        ]
        self.assertEqual(pairs[0], pairs[1])
        self.assertNotEqual(pairs[2], pairs[3])

    def test_shared_names(self) -> None:
        """
        Two types with one name are told apart by their namespaces, and if these
        are the same too, by the order in which they are reached.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        for name in ("one", "two"):
            text = f"namespace {name}; struct S {{ {name}.S? s; int a; }}"
            text = text.replace(f"{name}.S?", "S?")
            (folder / f"{name}.idl").write_text(text)
        (folder / "three.idl").write_text("namespace two; struct S { int c; }")
        main = "import 'one.idl' import 'two.idl' import 'three.idl' "
        main += "service A { one.S f(two.S a, three.S b) }"
        service = read_text(main, str(folder / "main.idl")).services["A"]
        told = description(service)
        self.assertEqual(sorted(told["types"]), ["one.S", "two.S", "two.S#2"])
        self.assertEqual(told["methods"]["f"]["result"], "one.S")
        params = [param["type"] for param in told["methods"]["f"]["params"]]
        self.assertEqual(params, ["two.S", "two.S#2"])

    def test_long_chain(self) -> None:
        """
        A chain of structs as long as a file has a digest.
        """
        chain = "".join(f"struct S{n} {{ S{n + 1} s }}\n" for n in range(5000))
        text = f"{chain} struct S5000 {{ }} service A {{ S0 f() }}"
        self.assertTrue(digest_of(text).startswith("sha256:"))
