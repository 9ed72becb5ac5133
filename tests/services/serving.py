"""
An example service as C{twistd rpc} serves it, and its client, in memory.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Registry
from twisted_rpc._tap import Options
from twisted_rpc.testing import Pair, connect

ROOT = Path(__file__).parent.parent.parent


class ServiceTestCase(SynchronousTestCase):
    """
    Serves a service of C{services/}.
    """

    def options(self, idl: str, implementation: str, *more: str) -> Options:
        """
        @param more: further words of the command line.

        @return: what C{twistd rpc --strict} makes of a service: it fits its IDL
            without a fault or a warning.
        """
        options = Options()
        options.parseOptions(
            [
                *("--app-dir", str(ROOT), "--strict"),
                *("--idl", str(ROOT / "services" / idl), "--impl", implementation),
                *more,
            ]
        )
        return options

    def connect(self, registry: Registry) -> Pair:
        """
        @return: a client and a server.
        """
        pair = connect(registry)
        self.addCleanup(pair.close)
        return pair

    def printed(self, pair: Pair, *programs: Callable[[], Awaitable[Any]]) -> list[str]:
        """
        @return: the lines that parts of a client print.
        """
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        for program in programs:
            pair.result(ensureDeferred(_run(program)))
        return out.getvalue().splitlines()


async def _run(program: Callable[[], Awaitable[Any]]) -> None:
    await program()
