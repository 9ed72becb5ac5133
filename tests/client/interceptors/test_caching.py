"""
Tests for answers that a client keeps.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.client.interceptors.asked import AskedCase
from twisted_rpc import with_options
from twisted_rpc.client.counters import Counters
from twisted_rpc.client.interceptors.caching import ENTRY, ResponseCache


class CachingTests(AskedCase):
    """
    C{@cache} of the IDL.
    """

    def test_kept(self) -> None:
        """
        An answer is kept for C{ttl}, and then asked for again.
        """
        self.answering()
        self.ended(self.watch(self.shop.price(1)), 1)
        self.advance(9.9, step=0.1)
        self.ended(self.watch(self.shop.price(1)), 1)
        self.advance(0.2, step=0.1)
        self.ended(self.watch(self.shop.price(1)), 2)
        figures = self.client.counters()
        self.assertEqual((figures["cache_hits"], figures["cache_misses"]), (1, 2))

    def test_other_arguments(self) -> None:
        """
        Other arguments are another question; so is an argument left out.
        """
        self.answering()
        for args, result in (((1,), 1), ((2,), 2), ((1, "USD"), 3), ((1,), 1)):
            self.ended(self.watch(self.shop.price(*args)), result)

    def test_vary(self) -> None:
        """
        With C{vary}, only the parameters that it names make a difference.
        """
        self.server.on_call = lambda connection, call: connection.reply(
            call, call["params"][1]
        )
        self.started()
        self.ended(self.watch(self.shop.title(1, "a")), "a")
        self.ended(self.watch(self.shop.title(1, "b")), "a")
        self.ended(self.watch(self.shop.title(2, "b")), "b")

    def test_all_proxies(self) -> None:
        """
        The proxies of a client share it, with whatever options; another client
        has one of its own.
        """
        self.answering()
        self.ended(self.watch(self.shop.price(1)), 1)
        self.ended(self.watch(with_options(self.shop, timeout=1).price(1)), 1)
        self.start()
        self.ended(self.watch(self.shop.price(1)), 2)

    def test_metadata(self) -> None:
        """
        Calls with other metadata have answers of their own; what only traces a
        call makes no difference.
        """
        self.answering()
        for metadata, result in (
            ({"tenant": "a"}, 1),
            ({"tenant": "b"}, 2),
            ({"tenant": "a", "traceparent": "00-1"}, 1),
            ({"traceparent": "00-2", "tracestate": "x"}, 3),
            (None, 3),
            # It may say for whom the call is.
            ({"baggage": "tenant=a"}, 4),
            ({"baggage": "tenant=b"}, 5),
        ):
            shop = with_options(self.shop, metadata=metadata)
            self.ended(self.watch(shop.price(1)), result)

    def test_errors_are_not_kept(self) -> None:
        """
        An error is asked for again.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "NOT_FOUND", "yes"
        )
        self.started()
        for _ in range(2):
            self.told(self.watch(self.shop.price(1)), "NOT_FOUND", "yes")
        self.assertEqual(self.asked(), 2)

    def test_a_value_of_his_own(self) -> None:
        """
        Each caller's value is made anew of the text.
        """
        self.answering()
        self.ended(self.watch(self.shop.price(1)), 1)
        ((_, text, _),) = self.client.cache._answers.values()
        self.assertEqual(text, b"1")

    def test_off(self) -> None:
        """
        Without bytes nothing is kept, and nothing stands in the way of a call.
        """
        self.answering(cache_bytes=0)
        self.ended(self.watch(self.shop.price(1)), 1)
        self.ended(self.watch(self.shop.price(1)), 2)
        target: Any = self.shop._rpc_targets["price"]
        self.assertEqual(target.ask, self.client.pool.start)
        with self.assertRaises(ValueError):
            self.start(cache_bytes=-1)

    def test_cleared(self) -> None:
        """
        It can be emptied, and a client that is closed keeps nothing.
        """
        self.answering()
        self.ended(self.watch(self.shop.price(1)), 1)
        self.client.cache.clear()
        self.ended(self.watch(self.shop.price(1)), 2)
        self.client.close()
        self.assertEqual((len(self.client.cache), self.client.cache.size), (0, 0))
        self.told(self.watch(self.shop.price(1)), "UNAVAILABLE", "no")

    def test_bytes(self) -> None:
        """
        It takes as many bytes as it may; what was not asked for longest goes.
        """
        self.server.on_call = lambda connection, call: connection.reply(
            call, call["params"][0]
        )
        self.started(cache_bytes=10_000)
        for n in range(20):
            self.watch(self.shop.page(f"{n:01000}"))
            self.watch(self.shop.page(f"{0:01000}"))
            self.assertLessEqual(self.client.cache.size, 10_000)
        self.assertEqual(len(self.client.cache), 4)
        self.assertEqual(self.asked(), 20)
        self.assertEqual(self.client.pool.counters.cache_evictions, 16)


class ResponseCacheTests(SynchronousTestCase):
    """
    The cache by itself.
    """

    def test_too_big(self) -> None:
        """
        What does not fit at all is not kept, and pushes nothing out.
        """
        cache = ResponseCache(2000, Counters())
        cache.keep("a", b"x" * 100, 10.0, 0)
        cache.keep("b", b"x" * 2000, 10.0, 0)
        self.assertEqual(cache.find("a", 0.0), b"x" * 100)
        self.assertIsNone(cache.find("b", 0.0))

    def test_again(self) -> None:
        """
        A newer answer takes the place of the old one.
        """
        cache = ResponseCache(2000, Counters())
        cache.keep("a", b"1", 10.0, 5)
        cache.keep("a", b"22", 10.0, 5)
        self.assertEqual((len(cache), cache.size), (1, ENTRY + 7))

    @given(
        st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 900), st.floats(0, 3)),
            max_size=60,
        )
    )
    def test_bounded(self, script: list[tuple[int, int, float]]) -> None:
        """
        The size is always that of what is kept, and within the bound.
        """
        cache = ResponseCache(3000, Counters())
        now = 0.0
        for key, size, seconds in script:
            now += seconds
            found = cache.find(key, now)
            if found is None:
                cache.keep(key, b"x" * size, now + 2.0, 3)
            sizes = [each[2] for each in cache._answers.values()]
            self.assertEqual(sum(sizes), cache.size)
            self.assertLessEqual(cache.size, 3000)
