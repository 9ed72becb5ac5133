"""
Tests for L{twisted_rpc.delivery.records}.
"""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.delivery.records import (
    INLINE,
    Record,
    Session,
    fingerprint,
    frozen,
    outcome_size,
)
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, NotFound, RPCError

PARAMS = st.lists(
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
    max_size=30,
)


class FingerprintTests(SynchronousTestCase):
    """
    L{fingerprint}.
    """

    @settings(max_examples=200, deadline=None)
    @given(PARAMS, PARAMS)
    def test_tells_apart(self, one: list[object], other: list[object]) -> None:
        """
        Equal bytes have equal fingerprints, other values have others.
        """
        texts = [json.dumps(each).encode() for each in (one, other)]
        same = fingerprint(texts[0]) == fingerprint(texts[1])
        self.assertEqual(same, texts[0] == texts[1])

    def test_bounded(self) -> None:
        """
        Small parameters are their own fingerprint, others a hash of 16 bytes.
        """
        small, large = b"[" + b"1" * (INLINE - 2) + b"]", b"[" + b"1" * INLINE + b"]"
        self.assertEqual(fingerprint(small), small)
        self.assertEqual(len(fingerprint(large)), 16)
        self.assertEqual(len(fingerprint(b"[" + b"1" * 100_000 + b"]")), 16)

    def test_from_a_message(self) -> None:
        """
        The text may be a part of a message that has been read.
        """
        raw = msgspec.Raw(b"[1,2]")
        self.assertEqual(fingerprint(raw), b"[1,2]")


class RecordTests(SynchronousTestCase):
    """
    L{Record}.
    """

    def test_begins_in_progress(self) -> None:
        """
        A record is made by a claim.
        """
        record = Record("Bank.pay", b"[1]")
        self.assertIs(record.state, State.IN_PROGRESS)
        self.assertEqual(record.fence, 1)
        self.assertIsNone(record.outcome)

    def test_same(self) -> None:
        """
        The same call: method and parameters.
        """
        record = Record("Bank.pay", b"[1]")
        self.assertTrue(record.same("Bank.pay", b"[1]"))
        self.assertFalse(record.same("Bank.pay", b"[2]"))
        self.assertFalse(record.same("Bank.refund", b"[1]"))


class OutcomeTests(SynchronousTestCase):
    """
    What is stored of an answer.
    """

    def test_frozen(self) -> None:
        """
        Of an error stays what the wire carries, and nothing that holds frames
        of the implementation in memory.
        """

        class Mine(RPCError):
            code = Code.NOT_FOUND

        try:
            try:
                raise ValueError("inner")  # noqa: TRY301 - the error is what is tested
            except ValueError as cause:
                raise Mine(
                    message="no such account",
                    executed="unknown",
                    retry_after=2.0,
                    error_id="e1",
                    type="NoAccount",
                    data={"id": 7},
                ) from cause
        except Mine as caught:
            error = caught
        kept = frozen(error)
        self.assertIs(type(kept), NotFound)
        self.assertIsNone(kept.__traceback__)
        self.assertIsNone(kept.__cause__)
        self.assertIsNone(kept.__context__)
        names = (
            "code",
            "message",
            "executed",
            "retry_after",
            "error_id",
            "type",
            "data",
        )
        for name in names:
            self.assertEqual(getattr(kept, name), getattr(error, name), name)

    def test_size(self) -> None:
        """
        What an outcome is counted with grows with what it holds.
        """
        self.assertEqual(outcome_size(b"12345"), 5)
        error = RPCError(Code.ABORTED, "x" * 1000)
        self.assertGreater(outcome_size(error), 1000)
        raw: object = msgspec.Raw(b'{"a":"' + b"x" * 10_000 + b'"}')
        large = RPCError(Code.ABORTED, data=raw)  # type: ignore[arg-type]
        self.assertGreater(outcome_size(large), 10_000)
        self.assertGreater(outcome_size(RPCError(Code.ABORTED, data={"a": 1})), 500)


class SessionTests(SynchronousTestCase):
    """
    L{Session}.
    """

    def test_secret(self) -> None:
        """
        A session never shows its id whole.
        """
        session = Session("5f0c9a7be1d24c08b6a1f3e2d4c59780", "ada")
        self.assertNotIn("5f0c9", repr(session))
        self.assertIn("ada", repr(session))
