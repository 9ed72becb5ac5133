"""
A few frames by chance, always; C{python -m tests.proofs fuzz} gives a million.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.fuzz.guided import has_atheris
from tests.fuzz.mutation import Mutation, delivered, kept, seeds, vectors
from tests.fuzz.targets import BrokenError, ClientTarget, ServerTarget
from tests.proofs.fuzzing import fuzz

ROOT = Path(__file__).parents[2]

_log = Logger(namespace="tests.fuzz")


class FuzzTests(SynchronousTestCase):
    """
    Nothing that is raised, nothing that is left, nobody who is disturbed.
    """

    def test_server(self) -> None:
        """
        Of a server, which takes a good part of them the straight way.
        """
        straight = fuzz(ServerTarget(), "client", 2_500, seed=1)
        self.assertGreater(straight, 300)

    def test_client(self) -> None:
        """
        Of a client: each of its calls ends typed, within its deadline.
        """
        fuzz(ClientTarget(), "server", 1_500, seed=1)

    def test_corpus(self) -> None:
        """
        All that was kept, in whole and cut everywhere, from either side.
        """
        random = Random(1)
        for target in (ServerTarget(), ClientTarget()):
            for frame in [*vectors("client"), *vectors("server"), *kept()]:
                target.feed(delivered(frame, random))
                cut = random.randrange(len(frame) + 1)
                target.feed([b"\0\0\0%c" % min(cut, 255) + frame[:cut]])
            target.finish()

    def test_same(self) -> None:
        """
        A seed gives the same frames each time.
        """
        first, second = (Mutation(seeds("client"), Random(7)) for _ in range(2))
        self.assertEqual(
            [first.frame() for _ in range(100)], [second.frame() for _ in range(100)]
        )

    def test_reaches(self) -> None:
        """
        It does not only reach the first check: calls run, replies are replayed,
        and errors are of many codes.
        """
        target = ServerTarget()
        random = Random(3)
        mutation = Mutation(seeds("client"), random)
        for _ in range(2_500):
            target.feed(delivered(mutation.frame(), random))
        counters = target.server.counters()
        self.assertGreater(counters["requests"] - counters["errors"], 200, counters)
        self.assertGreater(len(counters), 8, counters)
        target.finish()

    def test_guided(self) -> None:
        """
        Where atheris is installed, it finds its way for a second.
        """
        if not has_atheris():
            raise SkipTest("atheris is not installed; pip install atheris")
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", "server", "--seconds", "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        self.assertIn("stat::number_of_executed_units", done.stderr)

    def test_notices(self) -> None:
        """
        What a protocol raises, or what is logged that something did, is told with
        the bytes that made it do so.
        """

        def raising(_: list[bytes]) -> None:
            raise ZeroDivisionError

        def logging(_: list[bytes]) -> None:
            _log.failure("it failed", Failure(ZeroDivisionError()))

        for way in (raising, logging):
            target = ServerTarget()
            self.patch(target, "_feed", way)
            error = self.assertRaises(BrokenError, target.feed, [b"\x00\x00"])
            self.assertIn("ZeroDivisionError", str(error))
            self.assertIn(r"b'\x00\x00'", str(error))
            target.watch.stop()
        self.flushLoggedErrors(ZeroDivisionError)
