"""
What holds of every text, tried with many.
"""

from __future__ import annotations

from random import Random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.idl import classic
from tests.idl.texts import BANK, SAMPLES, WORDS, Texts, tokens_of
from twisted_rpc.errors import IDLError
from twisted_rpc.idl import model
from twisted_rpc.idl.formatting.format import format_text
from twisted_rpc.idl.python.build import build
from twisted_rpc.idl.reader import digest, read_file, read_text
from twisted_rpc.idl.syntax.parser import parse
from twisted_rpc.idl.syntax.source import Source
from twisted_rpc.idl.syntax.tokens import tokenize
from twisted_rpc.idl.syntax.tree import outline

SEEDS: Final = st.integers(0, 2**32)
TYPES: Final = ("int", "string", "float", "bool", "list")
NAMES: Final = st.sampled_from(WORDS) | st.from_regex(
    r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True
)
METHODS: Final = st.dictionaries(
    NAMES,
    st.tuples(
        st.sampled_from((*TYPES, "void")),
        st.lists(
            st.tuples(st.sampled_from(TYPES), NAMES),
            max_size=4,
            unique_by=lambda p: p[1],
        ),
    ),
    min_size=1,
    max_size=4,
)
#: What stood between the tokens of classic files.
CLASSIC_GAPS: Final = (" ", "  ", "\n", "\t", "\n// a comment\n", "\n# another, too\n")


def derived(name: str) -> tuple[str, ...]:
    """
    @return: the names that Python derives from a service's.
    """
    return f"I{name}", f"{name}Client", f"{name}Server"


CLASSIC: Final = st.dictionaries(NAMES, METHODS, max_size=3).filter(
    lambda services: (
        not any(name in services for service in services for name in derived(service))
    )
)


def classic_text(services: classic.Services, seed: int) -> str:
    """
    @return: a file in the classic syntax.
    """
    tokens: list[str] = []
    random = Random(seed)
    for service, methods in services.items():
        tokens += ["service", service, "{"]
        for method, (result, params) in methods.items():
            told = [word for param in params for word in (",", *param)][1:]
            end = [";"] if random.random() < 0.5 else []
            tokens += [result, method, "(", *told, ")", *end]
        tokens += ["}"]
    return "".join(token + random.choice(CLASSIC_GAPS) for token in tokens)


def shape(file: model.File) -> classic.Services:
    """
    @return: what a classic program would have seen in it.
    """
    return {
        name: {
            method.name: (
                classic_name(method.result),
                [(classic_name(param.type), param.name) for param in method.params],
            )
            for method in service.own_methods
        }
        for name, service in file.services.items()
    }


def classic_name(type: model.Type) -> str:
    """
    @return: the type as it was written: the classic list holds anything.
    """
    return type.name


class ClassicTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(CLASSIC, SEEDS)
    def test_same_meaning(self, services: classic.Services, seed: int) -> None:
        """
        Files in the classic syntax mean what they meant to the classic reader.
        """
        text = classic_text(services, seed)
        self.assertEqual(classic.read(text), services)
        self.assertEqual(shape(read_text(text)), services)


class GrammarTests(SynchronousTestCase):
    @settings(max_examples=250, deadline=None)
    @given(SEEDS)
    def test_formatting(self, seed: int) -> None:
        """
        Whatever the grammar makes is parsed; formatted, it says the same; and
        formatted again, it stays as it is.
        """
        texts = Texts(seed)
        text = texts.laid_out(texts.document())
        formatted = format_text(text)
        self.assertEqual(
            outline(parse(Source("", formatted))), outline(parse(Source("", text)))
        )
        self.assertEqual(format_text(formatted), formatted)

    @settings(max_examples=60, deadline=None)
    @given(SEEDS)
    def test_comments_stay(self, seed: int) -> None:
        """
        Formatting loses no comment, and makes none.
        """
        texts = Texts(seed)
        text = texts.laid_out(texts.document())
        self.assertEqual(words_of_comments(format_text(text)), words_of_comments(text))

    @settings(max_examples=30, deadline=None)
    @given(SEEDS)
    def test_digest_of_layouts(self, seed: int) -> None:
        """
        No layout and no formatting changes a digest.
        """
        texts = Texts(seed)
        text = texts.laid_out(tokens_of(BANK.read_text("utf-8")))
        path = str(SAMPLES / "other.idl")
        expected = digests(read_file(BANK))
        self.assertEqual(digests(read_text(text, path)), expected)
        self.assertEqual(digests(read_text(format_text(text), path)), expected)


def words_of_comments(text: str) -> list[list[str]]:
    """
    @return: of each comment, its words.
    """
    _, comments = tokenize(Source("", text))
    return [comment.text.split() for comment in comments]


def digests(file: model.File) -> dict[str, str]:
    """
    @return: the digest of each service.
    """
    return {name: digest(service) for name, service in file.services.items()}


class MutationTests(SynchronousTestCase):
    @settings(max_examples=600, deadline=None)
    @given(SEEDS)
    def test_spoilt_sample(self, seed: int) -> None:
        """
        A spoilt file gives Python types or an L{IDLError}, never anything else,
        and the faults of one file are in the order of its text.
        """
        text = Texts(seed).mutated(BANK.read_text("utf-8"))
        path = str(SAMPLES / "spoilt.idl")
        try:
            build(read_text(text, path))
        except IDLError as error:
            places = [
                (fault.line, fault.column)
                for fault in error.faults
                if fault.path == path
            ]
            self.assertEqual(places, sorted(places))
            self.assertTrue(str(error))

    @settings(max_examples=200, deadline=None)
    @given(SEEDS)
    def test_made_by_chance(self, seed: int) -> None:
        """
        What the grammar makes becomes Python types, or is an L{IDLError}.
        """
        texts = Texts(seed)
        try:
            build(read_text(texts.laid_out(texts.document()), str(BANK)))
        except IDLError as error:
            self.assertTrue(error.faults)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """
        Any text is a file or an L{IDLError}.
        """
        try:
            read_text(text)
        except IDLError as error:
            self.assertTrue(error.faults)
