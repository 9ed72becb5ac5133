"""
Tests for C{twisted-rpc sessions} and C{twisted-rpc records}.
"""

from __future__ import annotations

import io
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
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

#: What a wrong address of a Redis is told; without its library it is not looked at.
REDIS_SAYS = (
    "write redis://" if find_spec("txredisapi") else "pip install 'twisted_rpc[redis]'"
)

IDL = "service Bank { int pay(int cents); }"


class StoringTests(TestCase):
    """
    An operator looks into a store.

    @ivar session: in which seq 1 has ended, 2 has failed, 3 and 4 are in doubt.
    @ivar stdin: makes what is asked for an answer.
    """

    stdin: type[io.StringIO] = io.StringIO

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
            ("stdin", self.stdin(stdin)),
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
        self.assertEqual(out, "")
        self.assertIn(f"Record that Bank.pay {self.shown}:3 of ada returned 5?", err)
        self.assertIn("it was not confirmed; nothing was changed", err)
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
            ((*one, "--result", '"\udcff"'), "--result is not UTF-8"),
            (("--resolve", "x:3", "--result", "5"), "there is no call 'x:3'; see"),
            (("--resolve", f"{self.shown}:1", "--result", "5"), "1 is DONE, not in"),
            (("--limit", "0"), "--limit must be from 1 to 1000000"),
            (("--limit", "9" * 30), "--limit must be from 1 to 1000000"),
        ):
            out, err = await self.records(*words)
            self.assertIn(text, err, words)
            self.assertEqual((out, err.count("\n")), ("", 1))
        for store, text in (
            ("memory", "in its server, and nowhere else"),
            (f"sqlite:{self.folder}/other.db", "there is no file"),
            (f"sqlite:{self.folder}", "is a folder"),
            (f"sqlite:{self.folder}/{'x' * 300}", "File name too long"),
            (f"sqlite:{'x/' * 3000}y", "File name too long"),
            (f"sqlite:{idl}", "is not an SQLite database"),
            (f"sqlite:{self.folder}/a%00%1b%0Ab.db", "/a?"),
            ("disk", "there is no store 'disk'"),
            ("", "there is no store ''"),
        ):
            out, err = await self.run_command("sessions", store)
            self.assertIn(text, err)
            self.assertEqual((out, err.count("\n")), ("", 1))
        out, _ = await self.records(*one, "--result", "5", "--idl", str(idl), "--yes")
        self.assertIn("recorded", out)

    async def test_nothing_there(self) -> None:
        """
        A file without records of ours is told from one with none, and left as it
        is; so is one whose tables have our names and are somebody else's.
        """
        folder = self.new_folder()
        path = folder / "app.db"
        for statement, text in (
            ("SELECT 1", f"there are no records of twisted_rpc in {path}"),
            ("CREATE TABLE t (a)", f"there are no records of twisted_rpc in {path}"),
            ("CREATE TABLE rpc_records (id)", "was not made by twisted_rpc"),
            ("PRAGMA journal_mode = WAL", "was not made by twisted_rpc"),
        ):
            with closing(sqlite3.connect(path)) as database:
                database.execute(statement)
            before = path.read_bytes()
            for command in ("sessions", "records"):
                out, err = await self.run_command(command, f"sqlite:{path}")
                self.assertIn(text, err)
                self.assertEqual((out, err.count("\n")), ("", 1))
            self.assertEqual(path.read_bytes(), before)
            self.assertEqual(list(folder.iterdir()), [path])

    async def test_running(self) -> None:
        """
        A call that still runs cannot be resolved: its server will tell.
        """
        store = self.store()
        await store.start(reactor)
        self.addCleanup(store.stop)
        await store.claim(
            Claim(Key("@bob", 0, "b"), "bob", "once", "Bank.pay", b"[1]", 9e9)
        )
        _, err = await self.records("--resolve", "b", "--result", "5", "--yes")
        self.assertIn("the call b is IN_PROGRESS, not in doubt", err)
        words = ("--resolve", f"{self.shown}:3", "--result", "5", "--yes")
        out, _ = await self.records(*words)
        self.assertIn("recorded", out)
        _, err = await self.records(*words)
        self.assertIn(f"the call {self.shown}:3 is DONE, not in doubt", err)

    async def test_terminal(self) -> None:
        """
        What callers chose does no harm to a terminal when a call of theirs is
        resolved, and the id may be written as it was shown.
        """
        store = self.store()
        await store.start(reactor)
        for name in ("x", "y"):
            key = Key(f"@{name}", 0, "i\x1b[2J")
            claim = Claim(key, f"{name}\x1b]0;\x07", "once", "Bank.pay", b"[1]", 9e9)
            await store.claim(claim)
        await store.stop()
        for word in ("e?1", "i?[2J"):
            out, err = await self.records("--resolve", word, "--result", "5")
            self.assertNotIn("\x1b", out + err)
            self.assertNotIn("\x07", out + err)
        self.assertIn("of x?]0;?, y?]0;?; write", err)
        out, err = await self.records("--resolve", "e?1", "--result", "5", "--yes")
        self.assertEqual((out, err), ("recorded: Bank.pay e?1 of eve returned 5\n", ""))

    async def test_interrupted(self) -> None:
        """
        Ctrl-C at the question is a no.
        """

        class Interrupting(io.StringIO):
            def readline(self, *_: object) -> Any:
                signal.raise_signal(signal.SIGINT)
                return "y"

        before = signal.getsignal(signal.SIGINT)
        words = ("--resolve", f"{self.shown}:3", "--result", "5")
        self.stdin = Interrupting
        out, err = await self.records(*words)
        self.assertEqual(out, "")
        self.assertTrue(
            err.endswith(
                "] \ntwisted-rpc: it was not confirmed; nothing was changed\n"
            ),
            err,
        )
        self.assertEqual(signal.getsignal(signal.SIGINT), before)

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
            (f"sqlite:{'x' * 300}", 2, "File name too long"),
            ("redis://:pa/ss@localhost", 2, REDIS_SAYS),
        ):
            words: list[Any] = [sys.executable, "-m", "twisted_rpc", "records", store]
            ended = subprocess.run(words, capture_output=True, check=False, text=True)
            self.assertEqual(ended.returncode, status, ended.stderr)
            self.assertIn(said, ended.stdout + ended.stderr)
            self.assertNotIn("Traceback", ended.stderr)

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
