"""
Tests for L{twisted_rpc.stores}.
"""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import stores
from twisted_rpc.delivery.bounds import RANGES
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.stores import named_store


class NamedStoreTests(SynchronousTestCase):
    """
    The store that a text names.
    """

    def test_memory(self) -> None:
        """
        The memory store, with its limits.
        """
        self.assertIsInstance(named_store("memory"), MemoryStore)
        store = named_store("memory:window=9,retention=1m")
        self.assertEqual((store.window, store.retention), (9, 60.0))

    def test_sqlite(self) -> None:
        """
        A file, relative or not, and its limits.
        """
        store = named_store("sqlite:a/b.db?total_bytes=1GiB&patience=2s", node="n")
        self.assertIsInstance(store, SQLiteStore)
        self.assertTrue(store.path.is_absolute())
        self.assertEqual(store.path.parts[-2:], ("a", "b.db"))
        self.assertEqual((store.total_bytes, store.patience), (1 << 30, 2.0))
        self.assertEqual((store.node, store.named), ("n", True))
        self.assertEqual(str(named_store("sqlite:///x/y%20z.db").path), "/x/y z.db")

    def test_postgresql(self) -> None:
        """
        An address of libpq's, with what is ours taken out.
        """
        try:
            store = named_store(
                "postgresql://ann:secret@h/db?sslmode=require&lease=30s&connections=2"
            )
        except ValueError as error:
            self.skipTest(str(error))
        self.assertEqual(
            store._conninfo, "postgresql://ann:secret@h/db?sslmode=require"
        )
        self.assertEqual((store.lease, store._connections), (30.0, 2))
        self.assertEqual(repr(store), "<PostgresStore h/db>")
        for wrong in ("postgresql://h/db?leese=5s", "postgresql://a:secret@h%zz/db"):
            told = str(self.assertRaises(ValueError, named_store, wrong))
            self.assertIn("write postgresql://USER@HOST/DATABASE", told)
            self.assertNotIn("secret", told)

    def test_redis(self) -> None:
        """
        An address, and whether it may promise C{once}.
        """
        try:
            store = named_store("redis://h:7/1?once=yes&prefix=bank:")
        except ValueError as error:
            self.skipTest(str(error))
        self.assertEqual(store.classes, ("readonly", "idempotent", "once"))
        self.assertEqual((store.port, store.prefix), (7, "bank:"))

    def test_mistakes(self) -> None:
        """
        What is no store is said, with what was probably meant.
        """
        for text, said in (
            ("disk", "there is no store 'disk'; write memory"),
            ("sqlit:x.db", "did you mean sqlite?"),
            ("calls.db", "no store 'calls.db'; did you mean sqlite:calls.db?"),
            ("var/calls", "did you mean sqlite:var/calls?"),
            ("sqlite:", "sqlite: '' names no file"),
            ("sqlite::memory:", "sqlite: ':memory:' names no file"),
            ("sqlite:file:x.db", "'file:x.db' is a URI; write the path alone"),
            ("sqlite:x.db?window", "'window' has no value"),
            ("sqlite:x.db?windw=1", "did you mean window?"),
            ("sqlite:x.db?size=1", "it has retention"),
            ("sqlite:x.db?window=0", "window: '0' is not a whole number of 1 or more"),
            ("redis://h?once=maybe", "once: 'maybe' is neither yes nor no"),
        ):
            error = self.assertRaises(ValueError, named_store, text)
            self.assertIn(said, str(error))

    def test_password_is_not_quoted(self) -> None:
        """
        What may be a part of a password is not told as an option or a database.
        """
        try:
            named_store("redis://h")
        except ValueError as error:
            self.skipTest(str(error))
        for end in (":4711/secret@db", ":4711?secret@db", "?once=secret@db/0"):
            told = self.refused(f"redis://app{end}")
            self.assertIn("redis: the address cannot be read; write", told)
            self.assertNotIn("secret", told)
        self.assertEqual(named_store("redis://h?prefix=a@b").prefix, "a@b")

    def refused(self, text: str) -> str:
        """What is said against a store."""
        return str(self.assertRaises(ValueError, named_store, text))

    def test_ranges(self) -> None:
        """
        Every number of every store has a least and a greatest value; beyond them it
        is refused with both, and their unit.
        """
        try:
            for needed in ("postgresql://h/db", "redis://h"):
                named_store(needed)
        except ValueError as error:
            self.skipTest(str(error))
        for start, names in (
            ("memory:", stores.LIMITS),
            ("sqlite:a.db?", stores._SHARED),
            ("postgresql://h/db?", stores._POSTGRES),
            ("redis://h?", stores._REDIS),
        ):
            for name in names.keys() - {"once", "prefix"}:
                low, high, unit, _ = RANGES[name]
                for fits in (low, high):
                    named_store(f"{start}{name}={fits:.16g}")
                said = f"must be from {low:.16g} to {high:.16g} {unit}"
                told = self.refused(f"{start}{name}={high + 1:.16g}")
                self.assertIn(said, told)
                self.assertIn(name, self.refused(f"{start}{name}=0"))
        for wrong in (
            *("redis://h:0", "redis://h:65536", "redis://h:x", "redis://h/1e9"),
            *("redis://h/2147483648", "memory:window=" + "9" * 5000),
        ):
            self.assertLess(len(self.refused(wrong)), 200)

    def test_ranges_page(self) -> None:
        """
        The reference page has them.
        """
        page = Path(__file__).parent.parent / "docs" / "reference" / "stores.md"
        text = page.read_text(encoding="utf-8")
        for name, (low, high, unit, _) in RANGES.items():
            row = f"| `{name}` | {low:.16g} | {high:.16g} | {unit} |"
            if name != "database":
                self.assertIn(row, text)

    def test_missing_extras(self) -> None:
        """
        What is missing is named as what to install.
        """
        imported = builtins.__import__

        def without(name: str, *args: Any, **options: Any) -> Any:
            if name in {"psycopg", "txredisapi"}:
                raise ImportError(name)
            return imported(name, *args, **options)

        self.patch(builtins, "__import__", without)
        for text, extra in (("postgresql://h/db", "postgres"), ("redis://h", "redis")):
            error = self.assertRaises(ValueError, named_store, text)
            self.assertIn(f"pip install 'twisted_rpc[{extra}]'", str(error))
