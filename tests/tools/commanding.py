"""
C{twisted-rpc} run inside a test.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.tools.command import main


class CommandTestCase(SynchronousTestCase):
    """
    Runs commands, in an empty folder of its own.

    @ivar folder: the folder.
    """

    def setUp(self) -> None:
        """
        Make the folder.
        """
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def write(self, name: str, text: str) -> str:
        """
        @return: the path of a new file in the folder.
        """
        path = self.folder / name
        path.write_text(text, encoding="utf-8", newline="")
        return str(path)

    def run_command(self, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """
        @return: the exit status, what was printed, and what was complained of;
            the folder's path is left out.
        """
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        status = main(list(words))
        said = [each.getvalue().replace(f"{self.folder}/", "") for each in (out, err)]
        return status, said[0], said[1]
