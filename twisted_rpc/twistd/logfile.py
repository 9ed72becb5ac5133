# -*- test-case-name: tests.test_serving -*-
"""
Where the log of C{twistd rpc} goes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import IO, Any, cast

from twisted.logger import ILogObserver, Logger
from twisted.python.logfile import LogFile

from twisted_rpc.twistd.logs import Format, make_observer

_log = Logger(namespace="twisted_rpc.server")


class Log:
    """
    The log of one process: where it goes, and how it is written.
    """

    def __init__(
        self,
        parent: Mapping[str, Any],
        levels: Mapping[str, Any],
        form: Format,
        worker: int = 0,
    ) -> None:
        """
        @param parent: C{twistd}'s own options.
        @param worker: which worker writes it; 0: none.
        """
        self._parent = parent
        self._levels = levels
        self._form: Format = form
        self._worker = worker
        self._stream: IO[str] | None = None

    def observer(self) -> ILogObserver | None:
        """
        Open the log; before the application is made that would be too early.

        @return: what writes it, or C{None} to leave that to C{twistd}.
        """
        self._stream = _stream(self._parent)
        if self._stream is None:
            return None
        return make_observer(self._stream, self._levels, self._form, self._worker)

    def write(self, line: str) -> None:
        """
        Add a line that another process has written.
        """
        if self._stream is None:
            _log.info("{line}", line=line)
            return
        self._stream.write(line + "\n")
        self._stream.flush()


def _stream(parent: Mapping[str, Any]) -> IO[str] | None:
    """
    What C{twistd} would write to.

    @return: C{None} where C{twistd} writes elsewhere than to a file: to syslog,
        or to what C{--logger} names.
    """
    if parent.get("syslog") or parent.get("logger"):
        return None
    name = parent.get("logfile") or ""
    foreground = parent.get("nodaemon") or parent.get("debug")
    if foreground and name in ("", "-"):
        return sys.stdout
    if name == "-":
        # A daemon has no stdout; twistd says so.
        return None
    log = LogFile.fromFullPath(name or "twistd.log")
    _rotate_on_request(log)
    made: Any = log
    return cast("IO[str]", made)


def _rotate_on_request(log: LogFile) -> None:
    # As twistd does for the file that it opens itself.
    if not signal.getsignal(signal.SIGUSR1):
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        rotate: Any = log.rotate
        signal.signal(
            signal.SIGUSR1,
            lambda *_: reactor.callFromThread(rotate),  # type: ignore[attr-defined]
        )
