"""
Tests for what is told of a JSON text before it is read.

Times are measured on the processor, with bounds far above what the checked way
takes and far below what the unchecked one would.
"""

from __future__ import annotations

import json
import math
import tracemalloc
from time import process_time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.structure import is_bomb, too_deep, too_wide
from twisted_rpc.wire.limits import MIB

TEXTS = st.text('",:[]{}\\\\a', max_size=4)
VALUES = st.recursive(
    TEXTS | st.integers(),
    lambda items: st.lists(items) | st.dictionaries(TEXTS, items),
)


def marks(value: Any) -> int:
    """
    @return: of how many marks of structure a JSON value is made.
    """
    if isinstance(value, list):
        return max(1, len(value)) + sum(map(marks, value))
    if isinstance(value, dict):
        return max(1, 2 * len(value)) + sum(map(marks, value.values()))
    return 0


class StructureTests(SynchronousTestCase):
    """
    Marks of structure, nested or beside each other, and strings that hold them.
    """

    def test_depth(self) -> None:
        """
        Brackets are counted where they nest, not in texts.
        """
        self.assertFalse(too_deep(b"[" * 64 + b"]" * 64, 64))
        self.assertTrue(too_deep(b"[" * 65 + b"]" * 65, 64))
        self.assertFalse(too_deep(b'["' + b"[" * 100 + b'"]', 64))
        self.assertFalse(too_deep(b"[" + b"[]," * 99 + b"[]]", 64))

    def test_at_the_limit(self) -> None:
        """
        As many marks as the limit says are no bomb, one more is; in a string
        there may be as many as will.
        """
        self.assertFalse(is_bomb(b"[1,2,3,4]", 4))
        self.assertTrue(is_bomb(b"[1,2,3,4,5]", 4))
        self.assertFalse(is_bomb(b'{"a":"x","b":1}', 4))
        self.assertTrue(is_bomb(b'{"a":"x","b":[]}', 4))
        for text in (b'["a,b,c,d,e,f"]', rb'["\",:,:,{[{["]', b'[",,,,,,,,'):
            self.assertTrue(too_wide(text, 4))
            self.assertFalse(is_bomb(text, 4), text)

    @given(VALUES, st.integers(0, 20))
    def test_any_value(self, value: Any, limit: int) -> None:
        """
        What is a bomb has more marks than the limit, and all that has is one.
        """
        text = json.dumps(value).encode()
        self.assertEqual(is_bomb(text, limit), marks(value) > limit)

    def test_without_limit(self) -> None:
        """
        C{math.inf} switches it off.
        """
        self.assertFalse(is_bomb(b"[" * 100, math.inf))

    def test_millions_of_strings(self) -> None:
        """
        Not all strings of a text that has more of them than it may have marks are
        looked at, nor kept: 4 MiB of them took 250 ms, and 237 MiB.
        """
        text = b'{"a":[' + b'"",' * (4 * MIB // 3) + b'""]}'
        began = process_time()
        self.assertTrue(is_bomb(text, 50_000))
        self.assertLess(process_time() - began, 0.1)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        is_bomb(text, 50_000)
        self.assertLess(tracemalloc.get_traced_memory()[1], MIB)

    def test_a_string_that_never_ends(self) -> None:
        """
        Each of its quotes is not tried anew.
        """
        text = b"[" * 70 + b'"' + b'\\"' * 40_000
        began = process_time()
        self.assertTrue(too_deep(text, 64))
        self.assertTrue(is_bomb(text, 64))
        self.assertLess(process_time() - began, 0.5)
