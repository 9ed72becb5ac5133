"""
A few kills of real servers; C{python -m tests.proofs kill} has 500.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from tests.proofs.kill import Bank, kills
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
