"""
Small parts of the proofs on sockets.
"""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogBeginner
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.proofs import __main__ as command
from tests.proofs import cuts, hostile, promises, report
from tests.proofs.__main__ import main, proofs
from tests.proofs.load import Load
from tests.proofs.probing import written
from tests.proofs.proof import Figure, Progress, Proof
from tests.proofs.rapid import rapid_cancel
from twisted_rpc.wire.alike import read_tail

reactor: Any = _reactor


class SmallTests(TestCase):
    """
    Each in a second or less; the commands have the figures.
    """

    timeout = 60

    async def test_cuts(self) -> None:
        """
        Row 14: a call ends typed wherever its connection is cut.
        """
        figure = await cuts.cut_everywhere(reactor, every=150)
        self.assertIn("0 hung, 0 untyped, 0 doubled", figure.measured)

    def test_flood(self) -> None:
        """
        Row 25: what floods is written so that a server takes it the straight way.
        """
        data, beginning = written("a", 1), b'{"request_id":"a:1'
        self.assertTrue(data.startswith(beginning, 4))
        self.assertIsNotNone(read_tail(data, 4 + len(beginning), len(data)))

    async def test_forgotten(self) -> None:
        """
        Row 3: nothing that was forgotten runs again.
        """
        self.assertTrue((await promises.forgotten(reactor, 100)).met)

    async def test_changed(self) -> None:
        """
        Row 5: other parameters get neither a run nor an answer.
        """
        self.assertTrue((await promises.changed(reactor, 100)).met)

    async def test_foreign(self) -> None:
        """
        Row 6: what is not yours is as what is not there.
        """
        figure = await promises.foreign(reactor, 100)
        self.assertIn(
            "100 probes: 0 leaks, 0 runs, answers byte-equal", figure.measured
        )

    async def test_joined(self) -> None:
        """
        Row 4: duplicates of a running call wait for its one run.
        """
        figure = await promises.joined(reactor, 100, 10)
        self.assertIn("1 run, 100 replies with 1 result", figure.measured)

    async def test_cancel(self) -> None:
        """
        Row 26: a call that is cancelled at once is not one more than the limit.
        """
        progress = Progress("", io.StringIO())
        figure = await rapid_cancel(reactor, progress, 400, ["the caller"])
        self.assertRegex(figure.measured, r"at most ([1-9]|1\d|20) ran")
        self.assertIn(", 0 left", figure.measured)

    async def test_names(self) -> None:
        """
        Row 30: no name reaches what is not in the IDL.
        """
        figure = await hostile.names(reactor, Progress("", io.StringIO()), 300)
        self.assertTrue(figure.met, figure.measured)


class CommandTests(SynchronousTestCase):
    """
    C{python -m tests.proofs}.
    """

    def test_names(self) -> None:
        """
        Every proof has a name of its own, and rows of the scorecard.
        """
        for name, proof in proofs().items():
            self.assertRegex(name, r"^[a-z]+$")
            self.assertTrue(proof.what)
            self.assertTrue(set(proof.rows) <= set(range(1, 31)))

    def test_help(self) -> None:
        """
        Without a name the command says which there are.
        """
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.assertEqual(self.assertRaises(SystemExit, main, ["--help"]).code, 0)
            self.assertEqual(self.assertRaises(SystemExit, main, []).code, 2)
        self.assertIn("a connection cut at every byte", out.getvalue())
        self.assertIn("required: PROOF", err.getvalue())

    def failed(self, error: Exception) -> str:
        """
        @return: what is said of a proof that ends with an error.
        """

        def run(_: Any, __: Progress) -> list[Figure]:
            raise error

        proof = Proof(name="failing", what="what fails", rows=(), run=run)
        self.patch(command, "proofs", lambda: {"failing": proof})
        self.patch(globalLogBeginner, "beginLoggingTo", lambda *_, **__: None)
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(main(["failing"]), 1)
        return out.getvalue()

    def test_failure(self) -> None:
        """
        A proof that ends without a figure says why, whatever it was that ended it.
        """
        self.assertIn(
            "failing: it is wrong\n", self.failed(AssertionError("it is wrong"))
        )
        self.assertIn("in run\n", self.failed(AssertionError()))
        self.assertIn(
            "ZeroDivisionError: by 0\n", self.failed(ZeroDivisionError("by 0"))
        )

    def test_unhandled(self) -> None:
        """
        What a server logs is left out; an error that nobody has handled is not.
        """
        err = io.StringIO()
        seen = command._Silence(err)
        seen({"log_level": LogLevel.critical, "log_namespace": "twisted_rpc.server"})
        self.assertEqual(err.getvalue(), "")
        failure = Failure(ZeroDivisionError("by 0"))
        namespace = "twisted.internet.defer"
        seen({"log_namespace": namespace, "log_failure": failure})
        self.assertIn("ZeroDivisionError: by 0", err.getvalue())

    def test_load_that_fails(self) -> None:
        """
        A load that cannot call ends with the reason.
        """
        clock = Clock()

        def call() -> Any:
            raise ZeroDivisionError

        load = Load(clock, call)
        load.start(100.0)
        clock.advance(0.1)
        self.failureResultOf(ensureDeferred(load.stop()), ZeroDivisionError)

    def test_report_without_figure(self) -> None:
        """
        A report says of a proof that ended without a figure how it ended.
        """
        ended = subprocess.CompletedProcess([], 1, stdout="load: a reason\n")
        self.patch(subprocess, "run", lambda *_, **__: ended)
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(report.measure(proofs()["load"], []), [])
        told = "load: a reason\n\nload ended with status 1, and without a figure\n"
        self.assertEqual(out.getvalue(), told)

    def test_scorecard(self) -> None:
        """
        The page has every row: what was measured, with its command, and what was
        not.
        """
        figure = {
            "measured": "0 runs",
            "met": False,
            "command": "python -m tests.proofs promises",
            "day": "2026-01-01",
            "load": 0.5,
        }
        lines = report.page({3: figure}).splitlines()
        rows = [line for line in lines if line[:3].strip("| ").isdecimal()]
        self.assertEqual(len(rows), 30)
        (measured,) = [row for row in rows if "not measured yet" not in row]
        self.assertIn("| 0 runs | **no** | `python -m tests.proofs promises`", measured)

    def test_kept_figures(self) -> None:
        """
        The page that is kept is the one that the kept figures make.
        """
        self.assertEqual(report.PAGE.read_text().count("\n| "), 31)
        for row, figure in report.kept().items():
            self.assertIn(row, report.TARGETS)
            self.assertIn(figure["measured"], report.PAGE.read_text())

    def test_progress(self) -> None:
        """
        What is shown is shown now and then, or always.
        """
        out = io.StringIO()
        progress = Progress("model", out, every=1000.0)
        progress("one")
        progress("two", always=True)
        self.assertEqual(out.getvalue(), "model: two\n")
