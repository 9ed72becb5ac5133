"""
Tests for what a client counts.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.client.scripted import Outcome, ScriptedCase, answered, plain
from tests.pages import ROOT
from twisted_rpc import RetryPolicy
from twisted_rpc.client.counters import Counters


class CountersTests(SynchronousTestCase):
    """
    The figures by themselves.
    """

    def test_documented(self) -> None:
        """
        Each is explained.
        """
        for name in vars(Counters()):
            self.assertIn(f"@ivar {name}:", Counters.__doc__ or "")

    def test_page(self) -> None:
        """
        The page of limits names every counter, and no other.
        """
        page = (ROOT / "docs/reference/limits.md").read_text()
        part = page[page.index("\n## Clients") :]
        rows = re.findall(r"^\|.*\| *(.*?) *\|$", part, re.MULTILINE)
        also = part[part.index("Also counted") :].partition("\n\n")[0]
        named = set(re.findall(r"`([a-z_]+)[`.]", " ".join((*rows, also))))
        self.assertEqual(named, set(Counters().figures(0)))

    def test_figures(self) -> None:
        """
        They are numbers by name; what is counted by code is there in all too.
        """
        counters = Counters()
        counters.calls = 3
        counters.errors["UNAVAILABLE"] = 2
        figures = counters.figures(4)
        self.assertEqual(figures["calls"], 7)
        self.assertEqual((figures["errors"], figures["errors.UNAVAILABLE"]), (2, 2))
        self.assertEqual(figures["deprecated"], 0)
        self.assertTrue(all(type(each) is int for each in figures.values()))


class CountingTests(ScriptedCase):
    """
    What a client does.
    """

    def counted(self, **figures: int) -> None:
        """
        Check some of them.
        """
        found = self.client.counters()
        self.assertEqual({name: found[name] for name in figures}, figures)

    def test_calls(self) -> None:
        """
        Calls that were sent are counted over sessions, connections and their
        ends, each once however often it was attempted.
        """
        self.server.on_call = answered
        connection = self.started()
        for n in range(5):
            self.watch(self.shop.look(n))
        self.counted(calls=5, connections=1, errors=0)
        self.server.on_hello = lambda each: each.welcome("other", resumed=False)
        connection.drop()
        self.advance(1)
        self.watch(self.shop.look(5))
        self.counted(calls=6, connections=2)
        self.client.close()
        self.advance(2)
        self.counted(calls=6)

    def test_plain_calls(self) -> None:
        """
        So are those to a plain server.
        """
        self.server.on_hello = plain
        self.start(retry=RetryPolicy(chance=lambda: 0.0))
        outcome = self.watch(self.shop.look(1))
        self.server.here.drop()
        self.server.on_call = answered
        self.advance(1)
        self.ended(outcome, 7)
        self.counted(calls=1, resent=1, connections=2)
        self.client.close()
        self.advance(2)
        self.counted(calls=1)

    def test_another_way(self) -> None:
        """
        And what does not go as usual.
        """
        connection = self.started(retry=RetryPolicy(chance=lambda: 0.0))
        self.watch(self.shop.look(1))
        self.watch(self.shop.look(2))
        connection.refuse(connection.calls[0], "RESULT_NOT_CACHED", "yes")
        connection.refuse(connection.calls[1], "RESOURCE_EXHAUSTED")
        connection.reply({"request_id": "s1:999"})
        self.advance(0.1)
        self.counted(made_anew=1, resent=1, strays=1)
        connection.go_away()
        self.pump()
        self.counted(goaways=1)
        self.client.pool.budget.tokens = 0.0
        self.advance(1.1)
        here = self.server.here
        here.drop()
        connection.drop()
        self.pump()
        self.counted(retries_refused=1, errors=2)
        self.assertEqual(self.client.counters()["errors.UNAVAILABLE"], 2)

    def test_no_server(self) -> None:
        """
        Attempts to connect that fail are counted, and calls that cannot wait.
        """
        self.endpoint.factory = None
        self.start(wait_for_ready=True)
        for n in range(1002):
            Outcome(self.shop.look(n), self.clock)
        self.advance(0.5)
        figures = self.client.counters()
        self.assertEqual((figures["calls"], figures["queue_refusals"]), (0, 2))
        self.assertGreater(figures["connect_failures"], 2)
