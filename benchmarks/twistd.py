"""
A server that is started as a user would.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from benchmarks.pair import ROOT

#: What the script of that name does, of this environment's Twisted.
TWISTD: Final = "from twisted.scripts.twistd import run; run()"


def pin(process: int, cores: Sequence[int]) -> None:
    """
    Let a process, 0 is this one, run on these cores only; none: where it likes.
    """
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(process, cores)


@contextmanager
def listening(what: str, *words: str, cores: Sequence[int] = ()) -> Iterator[int]:
    """
    Run C{twistd rpc} for as long as the block lasts; yields the port.

    @param what: the server, for the text of an error.
    @param words: behind C{rpc}.
    @param cores: it runs on the first of them.
    """
    command = [
        *(sys.executable, "-c", TWISTD, "-n", "--pidfile=", "rpc", *words),
        *("--app-dir", str(ROOT), "--listen", "tcp:0:interface=127.0.0.1"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        pin(process.pid, cores[:1])
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"serving .* on tcp:127\.0\.0\.1:(\d+)", line)
            if found:
                yield int(found[1])
                return
        raise RuntimeError(f"{what} did not start")
    finally:
        process.terminate()
        process.communicate()
