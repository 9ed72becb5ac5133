"""
Tests for which interceptors a method has.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs

from tests.client.interceptors.asked import AskedCase, idl
from twisted_rpc import Request, with_options
from twisted_rpc.client.interceptors.breaking import CircuitBreaker
from twisted_rpc.client.interceptors.chain import interceptors_of
from twisted_rpc.client.interceptors.throttling import AdaptiveThrottle
from twisted_rpc.idl import service_schema


def passing(responder: Any) -> Any:
    """
    An interceptor of the user's.
    """
    return responder


class ChainTests(AskedCase):
    """
    What is not switched on is not there.
    """

    def chain(self, method: str) -> list[str]:
        """
        @return: the names of what stands before C{method}, outermost first.
        """
        schema = service_schema(idl.IShop).by_name[method]
        return [
            getattr(each, "__name__", type(each).__name__)
            for each in interceptors_of(self.client, schema)
        ]

    def test_nothing(self) -> None:
        """
        An ordinary method goes straight to the pool.
        """
        self.start()
        self.assertEqual(self.chain("buy"), [])
        target: Any = self.shop._rpc_targets["buy"]
        self.assertEqual(target.ask, self.client.pool.start)

    def test_by_annotation(self) -> None:
        """
        The IDL switches on what it names.
        """
        self.start()
        self.assertEqual(self.chain("find"), ["Hedging"])
        self.assertEqual(self.chain("price"), ["Caching", "Coalescing"])
        self.assertEqual(self.chain("search"), ["Deprecating"])

    def test_everything(self) -> None:
        """
        The order is that of the chain.
        """
        self.start(
            interceptors=[passing],
            coalesce=True,
            throttle=AdaptiveThrottle(),
            circuit_breaker=CircuitBreaker(),
        )
        self.assertEqual(self.chain("buy"), ["passing", "Throttling", "Circuits"])
        self.assertEqual(
            self.chain("find"),
            ["passing", "Coalescing", "Throttling", "Circuits", "Hedging"],
        )
        self.assertEqual(
            self.chain("price"),
            ["passing", "Caching", "Coalescing", "Throttling", "Circuits"],
        )

    def test_interceptors_see_cached_answers(self) -> None:
        """
        The user's interceptors see every call, and its answer, also when it
        comes from the cache.
        """
        seen: list[Any] = []

        def watching(responder: Any) -> Any:
            def respond(request: Request) -> Any:
                answer = responder(request)
                seen.append(answer)
                return answer

            return respond

        self.answering(interceptors=[watching])
        self.ended(self.watch(self.shop.price(1)), 1)
        self.ended(self.watch(self.shop.price(1)), 1)
        self.assertEqual(seen[1], b"1")

    def test_one_throttle(self) -> None:
        """
        A client has one throttle, whatever the method.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.started(throttle=AdaptiveThrottle(chance=lambda: 0.9))
        for n in range(100):
            self.watch(self.shop.buy(n))
            self.advance(0.01)
        refused = self.client.pool.counters.throttled
        self.assertGreater(refused, 0)
        self.watch(self.shop.look2(1))
        self.assertEqual(self.client.pool.counters.throttled, refused + 1)


class DeprecatingTests(AskedCase):
    """
    C{@deprecated} of the IDL.
    """

    def test_said_once(self) -> None:
        """
        A client says it once for each method, and counts the calls.
        """
        self.answering()
        with capturedLogs() as events:
            for shop in (self.shop, with_options(self.shop, timeout=1)):
                for _ in range(2):
                    self.watch(shop.search(1))
            self.watch(self.shop.bare())
        texts = [
            (event["method"], event["reason"])
            for event in events
            if "is deprecated" in event.get("log_format", "")
        ]
        self.assertEqual(
            texts, [("Shop.search", ": use find (since 1.2)"), ("Shop.bare", "")]
        )
        figures = self.client.counters()
        self.assertEqual(figures["deprecated.Shop.search"], 4)
        self.assertEqual(figures["deprecated"], 5)

    def test_a_service(self) -> None:
        """
        A service that is deprecated has deprecated methods, also where another
        inherits them.
        """
        self.answering()
        old = self.client.proxy(idl.IOld)
        self.watch(old.look(1))
        self.watch(self.shop.look(1))
        self.watch(self.shop.look2(1))
        self.assertEqual(
            dict(self.client.pool.counters.deprecated), {"Old.look": 1, "Shop.look": 1}
        )


class AnnotationTests(AskedCase):
    """
    Annotations of services.
    """

    def test_retry(self) -> None:
        """
        C{@retry} of a service is that of its methods, also of those that another
        service inherits.
        """
        self.start()
        old = self.client.proxy(idl.IOld)
        attempts = [
            proxy._rpc_targets[name].policy.max_attempts
            for proxy, name in (
                (old, "look"),
                (self.shop, "look"),
                (self.shop, "look2"),
            )
        ]
        self.assertEqual(attempts, [2, 2, 4])
