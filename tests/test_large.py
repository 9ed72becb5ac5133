"""
Large calls with large answers, on real sockets.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from services.calculator import Calc
from services.calculator.client import idl
from twisted_rpc import Client, Registry, Server


class LargeTests(TestCase):
    """
    More than the sockets' buffers hold, in both directions at one time.
    """

    async def test_both_ways(self) -> None:
        """
        Neither end waits for the other to read.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        registry = Registry()
        registry.register(idl.ICalculator, Calc())
        server = Server(registry, listen=["tcp:0:interface=127.0.0.1"], reactor=reactor)
        server.startService()
        listening: Any = server.listening
        (port,) = await listening
        endpoint = f"tcp:127.0.0.1:{port.getHost().port}"
        async with Client(endpoint, reactor=reactor, timeout=20) as client:
            calculator = client.proxy(idl.ICalculator)
            await calculator.greet("Ada")
            answers = await gatherResults(
                [calculator.greet("x" * 2_000_000) for _ in range(12)]
            )
            self.assertEqual([len(each) > 2_000_000 for each in answers], [True] * 12)
        await server.stopService()
