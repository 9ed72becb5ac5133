"""
Tests for L{twisted_rpc.server.verification.annotations}.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import typing
import uuid
from collections import abc
from typing import Any, Literal, NewType, Optional, TypeVar, Union

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.idl import load_idl_text
from twisted_rpc.idl.model import Type
from twisted_rpc.server.verification.annotations import (
    UNRESOLVED,
    accepts,
    awaited,
    python_name,
    resolve,
    shown,
    signature,
    streamed,
    within,
)

T = TypeVar("T")
UserId = NewType("UserId", int)

IDL = """
enum Color { RED }
struct Base { int a; }
struct Derived extends Base { int b; }
struct Lone { int c; }
union Either { Derived, Lone }
"""


class Base:
    """Stands for the struct of that name."""


class Derived(Base):
    """Stands for the struct of that name."""


class Lone:
    """Stands for the struct of that name."""


class Color:
    """Stands for the enum of that name."""


def kind(text: str) -> Type:
    """The IDL type of this text."""
    schema = load_idl_text(f"{IDL} service S {{ void go({text} it) }}")
    found: Type = schema["S"].by_name["go"].params[0].model.type
    return found


class AcceptsTests(SynchronousTestCase):
    """
    A parameter must take every value of its type.
    """

    def test_accepted(self) -> None:
        """
        The type, anything wider, and what cannot be judged.
        """
        for text, annotation in [
            ("int", int),
            ("int", float),
            ("int", complex),
            ("int", object),
            ("int", Any),
            ("int", T),
            ("int", UserId),
            ("int", int | None),
            ("int", "a forward reference"),
            ("int32", typing.Annotated[int, "small"]),
            ("int", typing.SupportsInt),
            ("int", abc.Hashable),
            ("float", float),
            ("bool", bool),
            ("bool", int),
            ("bool", Literal[True, False]),
            ("string", str),
            ("bytes", bytes | bytearray),
            ("decimal", decimal.Decimal),
            ("timestamp", dt.datetime),
            ("date", dt.date),
            ("duration", dt.timedelta),
            ("uuid", uuid.UUID),
            ("int?", int | None),
            ("int?", Optional[int]),  # noqa: UP045 - both spellings
            ("any", object),
            ("any", Union[None, bool, int, float, str, list[Any], dict[str, Any]]),  # noqa: UP007 - as above
            ("list", list),
            ("list", list[int]),
            ("list<int>", list[int]),
            ("list<int>", abc.Sequence[int]),
            ("list<int>", abc.Iterable[float]),
            ("list<int>", typing.Collection[int]),
            ("list<int?>", list[int | None]),
            ("set<int>", abc.Set[int]),
            ("map<string, int>", dict[str, int]),
            ("map<string, int>", abc.Mapping[str, int]),
            ("map<string, int>", abc.Iterable[str]),
            ("Derived", Derived),
            ("Derived", Base),
            ("Color", Color),
            ("Either", Derived | Lone),
            ("stream<int>", abc.AsyncIterator[int]),
        ]:
            self.assertTrue(accepts(annotation, kind(text)), (text, annotation))

    def test_refused(self) -> None:
        """
        What some value of the type would not fit.
        """
        for text, annotation in [
            ("int", str),
            ("int", bool),
            ("int", None),
            ("int", Literal[1, 2]),
            ("float", int),
            ("bool", float),
            ("bool", Literal[True]),
            ("string", bytes),
            ("string", int | None),
            ("int?", int),
            ("any", str),
            ("any", str | int),
            ("list<int>", list[str]),
            ("list<int>", tuple[int, ...]),
            ("list<int?>", list[int]),
            ("set<int>", frozenset[int]),
            ("map<string, int>", dict[str, str]),
            ("map<int, int>", dict[str, int]),
            ("Base", Derived),
            ("Derived", dict),
            ("Color", str),
            ("Either", Lone),
            ("stream<int>", list[int]),
            ("stream<int>", abc.AsyncIterator[str]),
        ]:
            self.assertFalse(accepts(annotation, kind(text)), (text, annotation))


class WithinTests(SynchronousTestCase):
    """
    A result must not be anything else.
    """

    def test_fits(self) -> None:
        """
        The type, anything narrower that can be sent, and what cannot be judged.
        """
        for text, annotation in [
            ("int", int),
            ("int", Any),
            ("int", object),
            ("int", typing.NoReturn),
            ("int", Literal[1, 2]),
            ("float", int),
            ("float", int | float),
            ("bool", bool),
            ("any", set),
            ("int?", int),
            ("int?", None),
            ("int?", int | None),
            ("bytes", bytearray),
            ("list<int>", list[int]),
            ("list<int>", tuple[int, int]),
            ("list<int>", tuple[int, ...]),
            ("list<int>", abc.Sequence[int]),
            ("set<int>", frozenset[int]),
            ("map<string, int>", abc.Mapping[str, int]),
            ("Base", Derived),
            ("Either", Lone),
            ("Either", Derived | Lone),
        ]:
            self.assertTrue(within(annotation, kind(text)), (text, annotation))
        self.assertTrue(within(None, Type("void")))

    def test_outside(self) -> None:
        """
        What could be sent only by mistake.
        """
        for text, annotation in [
            ("int", str),
            ("int", float),
            ("int", bool),
            ("int", int | None),
            ("int", Literal["a"]),
            ("bool", int),
            ("float", bool),
            ("string", bytes),
            ("date", dt.datetime),
            ("list<int>", list[str]),
            ("list<int>", set[int]),
            ("list<int>", abc.Iterable[int]),
            ("map<string, int>", dict[int, int]),
            ("Derived", Base),
            ("Color", str),
        ]:
            self.assertFalse(within(annotation, kind(text)), (text, annotation))
        self.assertFalse(within(int, Type("void")))


class ReadingTests(SynchronousTestCase):
    """
    What an annotation means.
    """

    def test_awaited(self) -> None:
        """
        What only delays a result is removed, also inside unions.
        """
        for annotation, expected in [
            (Deferred[int], [int]),
            (Deferred, [Any]),
            (int | abc.Awaitable[int], [int, int]),
            (abc.Coroutine[Any, Any, str], [str]),
            (asyncio.Future[int], [int]),
            (Deferred[abc.Awaitable[int]], [int]),
        ]:
            self.assertEqual(awaited(annotation), expected)

    def test_generator(self) -> None:
        """
        Of a generator run by C{inlineCallbacks}, what it returns counts.
        """
        generator = abc.Generator[Deferred[Any], Any, int]
        self.assertEqual(awaited(generator, generator=True), [int])
        self.assertEqual(awaited(generator), [generator])

    def test_streamed(self) -> None:
        """
        An async iterator gives its items; anything else gives C{None}.
        """
        self.assertEqual(streamed(abc.AsyncGenerator[int, None]), int)
        self.assertEqual(streamed(abc.AsyncIterator), Any)
        self.assertEqual(streamed(Any), Any)
        self.assertIsNone(streamed(int))

    def test_resolve(self) -> None:
        """
        Texts are resolved where the function stands, if they can be.
        """

        def function() -> None: ...

        self.assertIs(resolve("UserId", function), UserId)
        self.assertIs(resolve("nowhere.Name", function), UNRESOLVED)
        self.assertIs(resolve(typing.Annotated[int, 1], function), int)

    def test_signature(self) -> None:
        """
        A function that does not tell its parameters has no signature.
        """
        self.assertIsNone(signature(type))
        self.assertIsNotNone(signature(self.test_signature))

    def test_texts(self) -> None:
        """
        Types are named as Python writes them.
        """
        for text, expected in [
            ("string?", "str | None"),
            ("map<string, list<date>>", "dict[str, list[datetime.date]]"),
            ("Color", "Color"),
            ("any", "object"),
            ("list", "list[object]"),
        ]:
            self.assertEqual(python_name(kind(text)), expected)
        self.assertEqual(python_name(Type("void")), "None")
        self.assertEqual(shown(list[int]), "list[int]")
        self.assertEqual(shown("Text"), "Text")
