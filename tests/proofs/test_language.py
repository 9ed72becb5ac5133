"""
Tests for the proof of the language, and a small one.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.idl.texts import BANK
from tests.proofs import language
from tests.proofs.language import examine, text_of


class LanguageTests(SynchronousTestCase):
    def test_some(self) -> None:
        """
        Some of the texts are right, some are not, and nothing else happens.
        """
        found = [examine(text_of(seed)) for seed in range(90)]
        self.assertEqual(set(found), {True, False})

    def test_sample(self) -> None:
        """
        The sample is right; it would not be if it took too long.
        """
        text = BANK.read_text("utf-8")
        self.assertTrue(examine(text))
        self.patch(language, "PATIENCE", 0.0)
        self.assertRaises(AssertionError, examine, text)
