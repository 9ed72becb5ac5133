"""
Tests for the figures of a server.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Limits, Registry
from twisted_rpc.errors import Unimplemented
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import connect

idl = load_idl_text("service A { int f(int a); int wait() }")
more = load_idl_text("service A { int g() }")


class A:
    """A service."""

    def f(self, a: int) -> int:
        return a

    def wait(self) -> Deferred[int]:
        return Deferred()


class CountersTests(SynchronousTestCase):
    """
    What a server has done can be asked for.
    """

    def test_figures(self) -> None:
        """
        Connections, requests (hello among them, and a client's question for an
        IDL that is not its own) and errors are counted, of connections that are
        open and of those that have ended.
        """
        registry = Registry()
        registry.register(idl.IA, A())
        pair = connect(registry, server={"limits": Limits(max_connections=1)})
        self.addCleanup(pair.close)
        self.assertEqual(
            pair.server.counters(),
            {"connections": 0, "connections_refused": 0, "requests": 0, "errors": 0},
        )
        proxy = pair.client.proxy(idl.IA)
        for n in range(3):
            self.assertEqual(pair.result(proxy.f(n)), n)
        self.assertRaises(Unimplemented, pair.result, pair.client.proxy(more.IA).g())
        counted = {
            "connections": 1,
            "connections_refused": 0,
            "requests": 6,
            "errors": 1,
            "errors.UNIMPLEMENTED": 1,
        }
        self.assertEqual(pair.server.counters(), counted)
        self.assertIsNone(pair.server.factory.buildProtocol(None))
        counted |= {"connections_refused": 1, "limits.max_connections": 1}
        self.assertEqual(pair.server.counters(), counted)
        proxy.wait().addErrback(lambda _: None)
        pair.pump()
        self.assertEqual(
            pair.server.gauges(),
            {"connections_open": 1, "calls_running": 1, "calls_waiting": 0},
        )
        pair.network.break_all()
        pair.pump()
        self.assertEqual(pair.server.gauges()["connections_open"], 0)
        self.assertEqual(pair.server.counters()["requests"], 7)
