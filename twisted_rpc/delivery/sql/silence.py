# -*- test-case-name: tests.delivery.test_postgres -*-
"""
A PostgreSQL that hangs: its machine acknowledges what it will never read, so that
TCP finds nothing wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, Final

#: Seconds without a word after which it is asked whether it answers anybody.
SILENCE: Final = 5.0


def watched(library: ModuleType, conninfo: str) -> Any:
    """
    @param library: psycopg.
    @param conninfo: where the database is.

    @return: psycopg's class of connections; but one is lost whose database says
        nothing for some time, and then lets another wait for C{connect_timeout}.
        If it accepts that, or refuses it, it is only slow.
    """

    class Watched(library.Connection):  # type: ignore[name-defined, misc]  # the library is an argument
        def wait(self, waiting: Any, *args: Any, **kwargs: Any) -> Any:
            return super().wait(_watch(waiting, self._look), *args, **kwargs)

        def _look(self) -> None:
            try:
                library.connect(conninfo).close()
            except library.errors.ConnectionTimeout as error:
                self.close()
                raise library.OperationalError(
                    "the database does not answer any more"
                ) from error
            except library.Error:
                # That is an answer.
                return

    return Watched


def _watch(
    waiting: Generator[Any, Any, Any], look: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """
    Wait for what C{waiting} waits for, which is told what is ready, or from time to
    time that nothing is.
    """
    heard = time.monotonic()
    ready = None
    try:
        while True:
            ready = yield waiting.send(ready)
            if not ready and time.monotonic() - heard < SILENCE:
                continue
            if not ready:
                look()
            heard = time.monotonic()
    except StopIteration as end:
        return end.value
