"""
Tests for C{twisted-rpc sessions} and C{twisted-rpc records}.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from twisted_rpc.delivery.claims import Claim, Key
from twisted_rpc.delivery.sql.sqlite import SQLiteStore
from twisted_rpc.delivery.table import Verdict
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.tools import subcommand
from twisted_rpc.tools.command import main
from twisted_rpc.tools.storing import shown_time

IDL = "service Bank { int pay(int cents); }"


class StoringTests(TestCase):
    """
    An operator looks into a store.

    @ivar session: in which seq 1 has ended, 2 has failed, 3 and 4 are in doubt.
    """

    async def setUp(self) -> None:  # type: ignore[override]
        self.now = 1000.0
        self.folder = self.new_folder()
        self.path = self.folder / "calls.db"
        store = self.store()
        await store.start(reactor)
        self.session = (await store.attach("ada", None)).session
        for seq in (1, 2, 3, 4):
            await store.claim(self.claim(seq))
        await store.claim(
            Claim(Key("@eve", 0, "e\x1b1"), "eve", "once", "Bank.pay", b"[7]", 9e9)
        )
        await store.complete(Key(self.session, 1), 1, b'"secret"')
        await store.complete(Key(self.session, 2), 1, RPCError(Code.ABORTED, "secret"))
        # What runs when a server stops is in doubt.
        await store.stop()

    def new_folder(self) -> Path:
        """An empty folder."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        return folder

    def store(self) -> SQLiteStore:
        """The store of a server."""
        return SQLiteStore(self.path, wall=lambda: self.now)

    def claim(self, seq: int) -> Claim:
        """A call of the session."""
        return Claim(Key(self.session, seq), "ada", "once", "Bank.pay", b"[1]")

    async def run_command(self, *words: str, stdin: str = "") -> tuple[str, str]:
        """
        @return: what a command printed, and what it complained of.
        """
        started: list[Deferred[None]] = []
        self.patch(subcommand, "react", lambda start: started.append(start(reactor)))
        out, err = io.StringIO(), io.StringIO()
        for name, stream in (
            ("stdout", out),
            ("stderr", err),
            ("stdin", io.StringIO(stdin)),
        ):
            self.patch(sys, name, stream)
        main(list(words))
        await started[0]
        return out.getvalue(), err.getvalue()

    async def records(self, *words: str, stdin: str = "") -> tuple[str, str]:
        """C{twisted-rpc records} of the store."""
        return await self.run_command(
            "records", f"sqlite:{self.path}", *words, stdin=stdin
        )

    @property
    def shown(self) -> str:
        """The session's id, as it is shown."""
        return f"{self.session[:8]}..."

    async def test_sessions(self) -> None:
        """
        Sessions are counted and listed, with their ids cut.
        """
        out, err = await self.run_command("sessions", f"sqlite:{self.path}")
        self.assertEqual(err, "")
        self.assertIn("1 sessions, 0 of them in use; 1 principals without one", out)
        self.assertIn("records: 2 DONE, 3 IN_DOUBT", out)
        self.assertIn(f"{self.shown}  ada", out)
        self.assertIn("unused for ", out)
        self.assertNotIn(self.session, out)

    async def test_records(self) -> None:
        """
        What is in doubt is listed; nothing of it is told that its caller alone
        should know, and what callers chose does no harm to a terminal.
        """
        out, _ = await self.records()
        self.assertIn(f"{self.shown}:3  ada        Bank.pay  once   IN_DOUBT", out)
        self.assertIn("e?1", out)
        self.assertNotIn("\x1b", out)
        self.assertNotIn(":1 ", out)
        out, _ = await self.records("--state", "DONE")
        self.assertIn("result, 8 bytes", out)
        self.assertIn("ABORTED", out)
        self.assertNotIn("secret", out)
        out, _ = await self.records("--limit", "1")
        self.assertIn("... and 2 more; see --limit", out)
        out, _ = await self.records("--state", "TOMBSTONE")
        self.assertNotIn("PRINCIPAL", out)

    async def test_resolve(self) -> None:
        """
        What became of a call is recorded once it is confirmed, and is what its
        caller gets.
        """
        words = ("--resolve", f"{self.shown}:3", "--result", " 5 ")
        out, err = await self.records(*words, stdin="n\n")
        self.assertEqual(out, "nothing was changed\n")
        self.assertIn(f"Record that Bank.pay {self.shown}:3 of ada returned 5?", err)
        out, _ = await self.records(*words, stdin="yes\n")
        self.assertIn("recorded: Bank.pay", out)
        other = (
            "--resolve",
            f"{self.session}:4",
            "--error",
            "aborted: never sent",
            "--yes",
        )
        out, err = await self.records(*other)
        self.assertIn("failed with ABORTED: never sent", out)
        self.assertEqual(err, "")
        store = self.store()
        await store.start(reactor)
        self.addCleanup(store.stop)
        self.assertEqual((await store.claim(self.claim(3))).outcome, b"5")
        error = (await store.claim(self.claim(4))).outcome
        self.assertEqual((error.code, error.message), (Code.ABORTED, "never sent"))
        plain = Claim(Key("@eve", 0, "e\x1b1"), "eve", "once", "Bank.pay", b"[7]", 9e9)
        self.assertIs((await store.claim(plain)).verdict, Verdict.IN_DOUBT)

    async def test_mistakes(self) -> None:
        """
        What cannot be meant is said in a line, and changes nothing.
        """
        idl = self.folder / "bank.idl"
        idl.write_text(IDL)
        one = ("--resolve", f"{self.shown}:3")
        for words, text in (
            (("--result", "5"), "go with --resolve ID"),
            (one, "needs --result JSON or --error"),
            ((*one, "--result", "{"), "--result is not JSON"),
            ((*one, "--error", "BROKEN"), "'BROKEN' is no code; the codes are"),
            ((*one, "--error", "outcome_unknown"), "is what it is already"),
            ((*one, "--result", '"5"', "--idl", str(idl)), "does not fit Bank.pay"),
            (("--resolve", "x:3", "--result", "5"), "no call x:3 is in doubt"),
            (("--limit", "0"), "--limit must be 1 or more"),
        ):
            out, err = await self.records(*words)
            self.assertIn(text, err, words)
            self.assertEqual((out, err.count("\n")), ("", 1))
        for store, text in (
            ("memory", "in its server, and nowhere else"),
            (f"sqlite:{self.folder}/other.db", "no such file"),
            (f"sqlite:{idl}", "is not an SQLite database"),
            ("disk", "there is no store 'disk'"),
        ):
            _, err = await self.run_command("sessions", store)
            self.assertIn(text, err)
        out, _ = await self.records(*one, "--result", "5", "--idl", str(idl), "--yes")
        self.assertIn("recorded", out)

    async def test_ambiguous(self) -> None:
        """
        An id that is shown for two calls has to be written whole.
        """
        store = self.store()
        await store.start(reactor)
        for principal in ("bob", "carl"):
            key = Key(f"@{principal}", 0, "same")
            await store.claim(Claim(key, principal, "once", "Bank.pay", b"[1]", 9e9))
        await store.stop()
        _, err = await self.records("--resolve", "same", "--result", "5", "--yes")
        self.assertIn("2 calls in doubt are shown as same, of bob, carl", err)

    def test_status(self) -> None:
        """
        The command itself: what it prints, and its exit status.
        """
        for store, status, said in (
            (f"sqlite:{self.path}", 0, "IN_DOUBT"),
            ("memory", 2, "in its server"),
        ):
            words: list[Any] = [sys.executable, "-m", "twisted_rpc", "records", store]
            ended = subprocess.run(words, capture_output=True, check=False, text=True)
            self.assertEqual(ended.returncode, status, ended.stderr)
            self.assertIn(said, ended.stdout + ended.stderr)

    def test_times(self) -> None:
        """
        Time spans are as coarse as a person needs them.
        """
        spans = {
            0.2: "0 s",
            119: "119 s",
            120: "2 min",
            7200: "2 h",
            200_000: "2 d",
            -1: "0 s",
        }
        for seconds, text in spans.items():
            self.assertEqual(shown_time(seconds), text)
