"""
Tests for how long the reader of the IDL takes.
"""

from __future__ import annotations

import sys
from time import process_time

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks.idl_parse import SAMPLES, big_text
from twisted_rpc.idl.reader import read_text


class ParseTests(SynchronousTestCase):
    def test_two_thousand_lines(self) -> None:
        """
        A file of 2,000 lines is read, checked and all, within 200 ms.
        """
        if sys.gettrace() is not None:
            raise SkipTest("each line is traced, which takes longer than to read it")
        text = big_text()
        self.assertGreater(text.count("\n"), 2000)
        times = []
        for _ in range(3):
            began = process_time()
            file = read_text(text, str(SAMPLES / "big.idl"))
            times.append(process_time() - began)
        self.assertGreater(len(file.services), 50)
        self.assertLess(min(times), 0.2)
