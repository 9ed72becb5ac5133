"""
Tests for L{benchmarks.growth}, L{benchmarks.joined} and L{benchmarks.plot}.
"""

from __future__ import annotations

import os
import sys
from xml.etree import ElementTree as ET

from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from benchmarks import growth, joined, plot
from benchmarks.growth import Series
from benchmarks.joined import Pair
from benchmarks.load import Load
from benchmarks.pair import Failed, Sample


def sample(load: Load) -> Sample:
    """A call costs 10, and 2 for each kB."""
    return Sample(1, 1.0, 10 + load.size / 500, 10 + load.size / 500)


class GrowthTests(SynchronousTestCase):
    """
    Tests for what is measured between processes.
    """

    def test_connections(self) -> None:
        """
        There is a point for each number of connections, one call on each.
        """
        loads: list[Load] = []

        def measure(load: Load) -> Sample:
            loads.append(load)
            return sample(load)

        found = growth.connections(measure)
        self.assertEqual([point[0] for point in found.points], list(growth.CONNECTIONS))
        self.assertEqual(found.growth, (1.0, 1.0))
        self.assertEqual({load.in_flight for load in loads}, {1})
        self.assertEqual(len(loads), growth.ROUNDS * len(growth.CONNECTIONS))

    def test_floor(self) -> None:
        """
        A pair in C, compiled here, does the same; without a compiler the reason
        is told.
        """
        self.patch(growth, "CONNECTIONS", (1, 3))
        self.patch(growth, "FLOOR_CALLS", 100)
        core = max(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
        try:
            found = growth.floor(core)
        except Failed as error:
            raise SkipTest(str(error)) from error
        self.assertEqual([point[0] for point in found.points], [1, 3])
        self.assertTrue(
            all(0 < cost < 1000 for _, *ends in found.points for cost in ends)
        )
        self.patch(os, "environ", {"PATH": ""})
        with self.assertRaisesRegex(Failed, "compiler"):
            growth.floor(core)

    def test_payloads(self) -> None:
        """
        What a kB costs is what it adds to a call without any.
        """
        found = growth.payloads(sample)
        for size, server, client in found.points:
            self.assertIn(size, growth.PAYLOADS)
            self.assertAlmostEqual(server, 2.0, places=2)
            self.assertAlmostEqual(client, 2.0, places=2)

    def test_lowest(self) -> None:
        """
        Of several rounds the lowest figure counts, of each end by itself.
        """
        figures = iter([(5.0, 1.0), (2.0, 9.0), (7.0, 3.0)])
        self.patch(growth, "CONNECTIONS", (50,))
        found = growth.connections(lambda _: Sample(1, 1.0, *next(figures)))
        self.assertEqual(list(found.points), [(50, 2.0, 1.0)])

    def test_report(self) -> None:
        """
        Each series is a table that ends with its growth; what failed is named.
        """
        series = Series("calls", "µs", [(1, 2.0, 4.0), (1000, 3.0, 5.0)])
        text = growth.markdown([series], 400.4, {"payloads": "no server"})
        for line in (
            "| 1,000 | 3.00 | 5.00 |",
            "| highest to first | 1.50 | 1.25 |",
            "A remembered call takes 400 bytes of server memory.",
            "payloads: no server",
        ):
            self.assertIn(line, text)


class JoinedTests(TestCase):
    """
    Tests for both ends in one process.
    """

    def tearDown(self) -> None:
        for pair in self.pairs:
            pair.close()

    def setUp(self) -> None:
        self.pairs: list[Pair] = []
        self.patch(joined, "CALLS", 60)
        self.patch(joined, "TIMES", 2)
        made = self.pairs.append
        plain = joined.Pair

        def pair(*args: object, **kwargs: object) -> Pair:
            found = plain(*args, **kwargs)  # type: ignore[arg-type]
            made(found)
            return found

        self.patch(joined, "Pair", pair)

    def test_methods(self) -> None:
        """
        Calls are made to the last of the methods, or to each, and cost something.
        """
        for each in (False, True):
            found = joined.methods([1, 3], each=each)
            self.assertEqual([point[0] for point in found], [1, 3])
            for _, server, client in found:
                self.assertGreater(server, 0)
                self.assertGreater(client, 0)

    def test_remembered(self) -> None:
        """
        The server remembers at least so many calls when they are counted.
        """
        found = joined.remembered([200, 400])
        self.assertEqual([point[0] for point in found], [200, 400])

    def test_memory(self) -> None:
        """
        What a remembered call takes is what the process has grown by, divided by
        the calls that were made and are remembered.
        """
        sizes = iter([10_000, 10_000 + 400 * 300])
        self.patch(joined, "resident", lambda: next(sizes))
        self.assertEqual(joined.memory(300), 400)

    def test_wrong(self) -> None:
        """
        A wrong answer is an error.
        """
        pair = joined.Pair()
        pair.begin()
        pair._again(9)
        self.assertRaises(ValueError, pair.cost)


class PlotTests(SynchronousTestCase):
    """
    Tests for L{plot.svg}.
    """

    def test_svg(self) -> None:
        """
        It is XML, with a panel for each series and a mark for each figure.
        """
        series = [
            Series("a < b", "µs", [(1, 2.0, 4.0), (1000, 3.0, 5.0)]),
            Series("one", "µs", [(50, 1.0, 1.0)]),
        ]
        image = ET.fromstring(plot.svg(series))  # noqa: S314 - our own
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(len(image.findall(f"{space}g")), 2)
        self.assertEqual(len(list(image.iter(f"{space}circle"))), 6)
        texts = [each.text for each in image.iter(f"{space}text")]
        self.assertIn("a < b", texts)
        self.assertIn("1,000", texts)
