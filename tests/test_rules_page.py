"""
The reference page of rules names what there is.
"""

from __future__ import annotations

import re
from importlib import import_module

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from tests.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "rules.md"


class PageTests(SynchronousTestCase):
    """
    What the tables say.
    """

    def test_rows(self) -> None:
        """
        Each rule stands there once, with a module that there is and a test that
        can be run.
        """
        rows = [
            [cell.strip() for cell in line[1:-1].split("|")]
            for line in PAGE.read_text(encoding="utf-8").splitlines()
            if re.match(r"\| [CSX]\d", line)
        ]
        numbers = [
            f"{kind}{n}"
            for kind, most in (("C", 12), ("S", 5), ("X", 9))
            for n in range(1, most + 1)
        ]
        self.assertEqual([row[0] for row in rows], numbers)
        for rule, sentence, module, test in rows:
            self.assertTrue(sentence.endswith("."), rule)
            import_module(module.strip("`"))
            case, _, method = test.strip("`").rpartition(".")
            self.assertTrue(issubclass(namedAny(case), SynchronousTestCase), rule)
            self.assertTrue(callable(getattr(namedAny(case), method)), rule)
