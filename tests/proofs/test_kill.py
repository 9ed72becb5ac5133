"""
A few kills of real servers; C{python -m tests.proofs kill} has 500.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import TestCase

from tests.proofs import kill
from tests.proofs.kill import Bank, Killing, kills
from tests.proofs.proof import Progress

reactor: Any = _reactor


class KillTests(TestCase):
    """
    Money that is moved while servers are killed is conserved.
    """

    timeout = 100

    def setUp(self) -> None:
        """A file."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder.absolute() / "bank.db"

    async def test_sqlite(self) -> None:
        """
        What was acknowledged is there once, over C{kill -9} of its server.
        """
        bank = Bank(f"sqlite:{self.path}")
        progress = Progress("", io.StringIO())
        text, good = await kills(reactor, progress, bank, cycles=3, each=30, life=0.1)
        self.assertTrue(good, text)

    def test_mixed(self) -> None:
        """
        A move that was not asked for like this is seen, and an answer that is not
        the one of its run.
        """
        bank = Bank(f"sqlite:{self.path}")
        with bank.open() as database:
            database.execute("INSERT INTO moves VALUES (1, 2, 3, 4, 96)")
        for asked, answer, mixed in (
            ((2, 3, 4), 96, 0),
            ((2, 3, 5), 96, 1),
            ((2, 3, 4), 97, 1),
        ):
            found = bank.judge([asked], {1: answer}, set())
            self.assertEqual((found["mixed"], found["lost"]), (mixed, 0))

    async def test_stuck(self) -> None:
        """
        If nothing moves it is told where everybody is, and nothing is left.
        """
        self.patch(kill, "STUCK", 0.5)
        killing = Killing(reactor, Bank(f"sqlite:{self.path}"), 1)
        self.addCleanup(lambda: ensureDeferred(killing.stop()))
        with self.assertRaises(AssertionError) as caught:
            await killing.run(1, 10**9, lambda _: None)
        text = str(caught.exception)
        self.assertRegex(text, r"nothing moves after 0 kills: process \d+ is [A-Z] and")
        self.assertIn("; 1 starts; ", text)
