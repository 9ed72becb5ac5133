"""
Tests for L{twisted_rpc.wire.limits}.
"""

from __future__ import annotations

from dataclasses import asdict, fields

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.wire.limits import DURATIONS, OFF, SIZES, SWITCHABLE, Limits

#: The defaults of the reference: bytes, seconds, counts.
DEFAULTS = {
    "max_frame": 4194304,
    "max_frame_unauthenticated": 65536,
    "max_meta": 8192,
    "max_meta_names": 64,
    "max_inflight": 256,
    "max_concurrency": 2000,
    "max_concurrency_per_principal": 500,
    "max_queue": 1000,
    "max_queue_bytes": 67108864,
    "delay": 0.05,
    "delay_interval": 0.1,
    "max_buckets": 10000,
    "max_connections": 10000,
    "max_connections_per_address": 1000,
    "handshake": 10.0,
    "first_frame": 5.0,
    "frame": 10.0,
    "idle": 600.0,
    "output": 65536,
    "write_stall": 30.0,
    "close": 1.0,
    "max_age": 0.0,
    "grace": 25.0,
    "max_faults": 10,
    "min_ping": 10.0,
    "ping_timeout": 20.0,
    "hello": 5.0,
    "ahead": 300.0,
}


class LimitsTests(SynchronousTestCase):
    """
    L{Limits}.
    """

    def test_defaults(self) -> None:
        """
        The defaults are those of the reference.
        """
        self.assertEqual(asdict(Limits()), DEFAULTS)

    def test_above_zero(self) -> None:
        """
        No limit may be below 0 or no number, and few may be 0.
        """
        for field in fields(Limits):
            wrong = [-1, float("nan")]
            if field.name not in {"max_age", "max_queue", "min_ping"}:
                wrong.append(0)
            for value in wrong:
                error = self.assertRaises(ValueError, Limits, **{field.name: value})
                self.assertIn(field.name, str(error))

    def test_off(self) -> None:
        """
        What can be switched off is said; the rest must be something.
        """
        for field in fields(Limits):
            if field.name in SWITCHABLE:
                limits = Limits(**{field.name: OFF})  # type: ignore[arg-type]  # some are
                self.assertEqual(getattr(limits, field.name), OFF)
            else:
                error = self.assertRaises(ValueError, Limits, **{field.name: OFF})
                self.assertIn(field.name, str(error))

    def test_kinds(self) -> None:
        """
        A limit is a size, a duration or a count.
        """
        names = {field.name for field in fields(Limits)}
        self.assertLessEqual(SIZES | DURATIONS | SWITCHABLE, names)
        self.assertEqual(SIZES & DURATIONS, frozenset())

    def test_frame(self) -> None:
        """
        A frame is from 1024 bytes, in which every error fits, to what 4 bytes
        and other implementations can say.
        """
        for value in (1024, 2**31 - 1):
            self.assertEqual(Limits(max_frame=value).max_frame, value)
        for value in (1023, 2**31):
            self.assertRaises(ValueError, Limits, max_frame=value)
