"""
Tests for text, tokens, literals and doc comments.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.errors import IDLError
from twisted_rpc.idl.reader import read_file, read_text
from twisted_rpc.idl.syntax.literals import (
    LiteralFault,
    Number,
    read_number,
    read_string,
)
from twisted_rpc.idl.syntax.source import MAX_BYTES, Source
from twisted_rpc.idl.syntax.tokens import Token, tokenize


def tokens_of(text: str) -> list[Token]:
    """
    @return: all tokens of a text.
    """
    return tokenize(Source("a.idl", text))[0]


class TokenTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """
        Words, numbers, strings and marks are told apart, and the end comes last.
        """
        tokens = tokens_of("""int32 _x="a\\"b" 'c' -1.5e3s {}@?""")
        self.assertEqual(
            [(token.kind, token.text) for token in tokens],
            [
                ("word", "int32"),
                ("word", "_x"),
                ("=", "="),
                ("string", '"a\\"b"'),
                ("string", "'c'"),
                ("number", "-1.5e3s"),
                *(((mark, mark)) for mark in "{}@?"),
                ("end", ""),
            ],
        )

    def test_comments(self) -> None:
        """
        Comments of all three kinds are kept apart from the tokens, with the
        token that each is before.
        """
        text = "a // } one\n# two\nb /* c\n */ d"
        tokens, comments = tokenize(Source("", text))
        self.assertEqual([token.text for token in tokens], ["a", "b", "d", ""])
        self.assertEqual(
            [(comment.text, comment.before) for comment in comments],
            [("// } one", 1), ("# two", 1), ("/* c\n */", 2)],
        )

    def test_bad(self) -> None:
        """
        What is no token is a bad one, which says what is wrong.
        """
        said = [
            tokens_of(text)[0].text for text in ("'a", "/* a", "é", "\0", "!", "\xa0")
        ]
        self.assertEqual(
            said,
            [
                "unterminated string",
                "unterminated comment",
                "unexpected character 'é'",
                "unexpected character U+0000",
                "unexpected character '!'",
                "unexpected character U+00A0",
            ],
        )

    def test_places(self) -> None:
        """
        Lines end with LF, CR LF or CR, and columns count code points.
        """
        source = Source("", "a\r\nb\r\U0001f600c\nd")
        found = [source.position(source.text.index(word)) for word in "abcd"]
        self.assertEqual(found, [(1, 1), (2, 1), (3, 2), (4, 1)])
        self.assertEqual(source.line_text(3), "\U0001f600c")


class DocTests(SynchronousTestCase):
    def doc_of(self, comment: str) -> str:
        """
        @return: the doc comment of the token after a comment.
        """
        return tokens_of(comment + "\nx")[0].doc

    def test_block(self) -> None:
        """
        A block loses the stars that begin its lines and their indentation.
        """
        self.assertEqual(self.doc_of("/** One. */"), "One.")
        block = "/**\n     * One.\n     *\n     *     two\n     * * three\n     */"
        self.assertEqual(self.doc_of(block), "One.\n\n    two\n* three")
        self.assertEqual(
            self.doc_of("/** One\n\n      two\n        three */"), "One\n\ntwo\n  three"
        )

    def test_lines(self) -> None:
        """
        A run of lines is one comment; an empty line ends the run.
        """
        self.assertEqual(
            self.doc_of("/// One.\n///   Two.\n/// Three."), "One.\n  Two.\nThree."
        )
        self.assertEqual(self.doc_of("/// One.\n\n/// Two."), "Two.")

    def test_plain(self) -> None:
        """
        Comments that only look like it document nothing, and do not hide one.
        """
        for comment in ("/**/", "//// a", "/* a */", "// a", "# a"):
            self.assertEqual(self.doc_of(comment), "")
            self.assertEqual(self.doc_of("/** said */" + comment), "said")

    def test_belongs_to_the_next_token(self) -> None:
        """
        A doc comment is a field of the token after it only.
        """
        docs = [token.doc for token in tokens_of("a /** said */ b c /** end */")]
        self.assertEqual(docs, ["", "said", "", "end"])


class LiteralTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """
        Numbers are decimal or hexadecimal, with or without a unit.
        """
        told = [read_number(text) for text in ("-1.50", "0xFf", "+7KiB", "2e3", "5ms")]
        self.assertEqual(
            told,
            [
                Number("-1.50", ""),
                Number("255", ""),
                Number("+7", "KiB"),
                Number("2e3", ""),
                Number("5", "ms"),
            ],
        )

    def test_faulty_numbers(self) -> None:
        """
        Leading zeros, unknown units and numbers without end are faults.
        """
        for text, said in (
            ("007", "a number has no leading zeros"),
            ("1x", "unknown unit 'x'"),
            ("1" * 5000, "a number has at most 4300 digits"),
            ("0x" + "f" * 5000, "a number has at most 4300 digits"),
        ):
            error = self.assertRaises(LiteralFault, read_number, text)
            self.assertEqual(error.message, said)

    def test_strings(self) -> None:
        """
        Escapes stand for characters, and two halves of a surrogate pair for one.
        """
        self.assertEqual(read_string(r"'\"\'\\\n\r\tA\u0042'"), "\"'\\\n\r\tAB")
        self.assertEqual(read_string('"\\ud83d\\ude00"'), "\U0001f600")

    def test_faulty_strings(self) -> None:
        """
        An unknown escape and half of a pair are faults, with their place.
        """
        error = self.assertRaises(LiteralFault, read_string, r'"ab\q"')
        self.assertEqual((error.offset, error.message), (3, "unknown escape '\\q'"))
        error = self.assertRaises(LiteralFault, read_string, '"\\ud83d"')
        self.assertIn("surrogate", error.message)


class SourceTests(SynchronousTestCase):
    def write(self, data: bytes) -> str:
        """
        @return: the path of a file that holds C{data}.
        """
        path = Path(self.mktemp())
        path.write_bytes(data)
        return str(path)

    def refused(self, path: str) -> str:
        """
        @return: what is said of the only fault of a file.
        """
        error = self.assertRaises(IDLError, read_file, path)
        (fault,) = error.faults
        return f"{fault.line}:{fault.column}: {fault.message}"

    def test_byte_order_mark(self) -> None:
        """
        A byte order mark is skipped, and is no column.
        """
        self.assertEqual(list(read_file(self.write(b"\xef\xbb\xbf")).definitions), [])
        said = self.refused(self.write(b"\xef\xbb\xbf servce A { }"))
        self.assertTrue(said.startswith("1:2: expected a definition"))

    def test_no_utf8(self) -> None:
        """
        Bytes that are not UTF-8 are told of with their place.
        """
        said = self.refused(self.write("// ä\n// ü\xff".encode("latin-1")))
        self.assertEqual(said, "1:4: this is not UTF-8: byte 0xe4")

    def test_missing(self) -> None:
        """
        A file that is not there is a clear message, and so is a directory.
        """
        missing = self.mktemp()
        self.assertEqual(
            self.refused(missing), "1:1: cannot be read: No such file or directory"
        )
        self.assertEqual(
            self.refused(str(Path(__file__).parent)),
            "1:1: cannot be read: Is a directory",
        )
        self.assertIn("null byte", self.refused("a\0b"))

    def test_too_long(self) -> None:
        """
        More than 1 MiB is not read, in a file and in a text.
        """
        self.assertEqual(
            self.refused(self.write(b" " * (MAX_BYTES + 5))),
            "1:1: the file has 1048581 bytes; more than 1 MiB is not read",
        )
        self.assertRaises(IDLError, read_text, "é" * (MAX_BYTES // 2 + 1))
        self.assertEqual(list(read_text(" " * MAX_BYTES).definitions), [])

    def test_half_a_pair(self) -> None:
        """
        A text that no file could hold is refused.
        """
        error = self.assertRaises(IDLError, read_text, "// \ud800")
        self.assertEqual((error.line, error.column), (1, 4))
