"""
Tests that each limit of a client has an effect, counts it, and can be switched off,
as the page of limits says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from tests.client.interceptors.asked import AskedCase
from tests.client.scripted import Outcome, Slow, plain
from twisted_rpc import (
    AdaptiveThrottle,
    CircuitBreaker,
    Limits,
    RetryBudget,
    RetryPolicy,
)


class Endless:
    """
    A retry budget that always allows.
    """

    def failure(self) -> bool:
        """Once more."""
        return True

    def allows(self) -> bool:
        """Always."""
        return True

    def success(self) -> None:
        """It changes nothing."""


class EachLimitTests(AskedCase):
    """
    Limits, one by one.
    """

    jitter = 0.0

    def calls(self, count: int, method: str = "look2", item: int | None = None) -> None:
        """
        Make so many calls, of one argument or of each its own.
        """
        for n in range(count):
            argument = n if item is None else item
            Outcome(getattr(self.shop, method)(argument), self.clock)
        self.pump()

    # -- what reaches them -----------------------------------------------------------

    def unanswered(self, **options: Any) -> None:
        """
        A call has no answer for a minute.
        """
        self.start(**options)
        self.calls(1)
        self.advance(60, step=0.5)

    def refusing(self, **options: Any) -> None:
        """
        A server refuses thirty calls, one after the other.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.start(**options)
        for n in range(30):
            Outcome(self.shop.look2(n), self.clock)
            self.advance(0.02)

    def no_server(self, **options: Any) -> None:
        """
        Nobody is there, and ten calls wait.
        """
        self.endpoint.factory = None
        self.start(wait_for_ready=True, **options)
        self.calls(10)
        self.advance(0.05)

    def slow_connection(self, **options: Any) -> None:
        """
        A connection is not made in half a minute.
        """
        self.start(Slow(), **options)
        self.calls(1)
        self.advance(29, step=0.5)

    def no_hello(self, **options: Any) -> None:
        """
        Nor is hello answered.
        """
        self.server.on_hello = lambda each: None
        self.start(**options)
        self.calls(1)
        self.advance(3)

    def silent(self, **options: Any) -> None:
        """
        A server answers hello, and then nothing for two minutes.
        """
        self.server.on_hello = lambda each: each.welcome(ping=5000)
        self.server.answers_controls = False
        self.start(**{"ping": 5.0, "timeout": 300.0, **options})
        self.calls(1)
        self.advance(120, step=0.5)

    def half_a_frame(self, **options: Any) -> None:
        """
        A server stops in the middle of a frame.
        """
        connection = self.started(**options)
        assert connection.transport is not None
        connection.transport.write(b"\x00\x00\x10\x00{")
        self.advance(20, step=0.5)

    def never_reads(self, **options: Any) -> None:
        """
        A server does not read.
        """
        self.started(**options)
        (protocol,) = self.client.pool.protocols
        protocol.pauseProducing()
        self.advance(60, step=0.5)

    def large_call(self, **options: Any) -> None:
        """
        A call has 3,000 bytes.
        """
        self.answering(**options)
        Outcome(self.shop.page("x" * 3000), self.clock)
        self.pump()

    def plain_server(self, **options: Any) -> None:
        """
        Ten calls at once to a plain server that answers nothing.
        """
        self.server.on_hello = plain
        self.start(**options)
        self.calls(10)

    def asked_again(self, **options: Any) -> None:
        """
        Two questions are asked twice each.
        """
        self.answering(**options)
        for item in (1, 1, 2, 2):
            self.calls(1, "price", item)

    def asked_together(self, **options: Any) -> None:
        """
        The same question is asked twice at one time.
        """
        self.started(**options)
        self.calls(2, "look2", 1)

    def slow_answer(self, **options: Any) -> None:
        """
        A call takes longer than the hundred before it.
        """
        self.answering(**options)
        for n in range(100):
            self.calls(1, "find", n)
            self.advance(0.01)
        self.server.on_call = lambda connection, call: None
        self.calls(1, "find", 1000)
        self.advance(1)

    def test_each(self) -> None:
        """
        Beyond it something fails, waits or is copied, and is counted; switched off,
        or with a larger value, it does nothing.
        """
        for tried in TRIED:
            for options, many in tried.counts:
                self.setUp()
                tried.reach(self, **{"retry": NO_RETRY, **options})
                counted = self.client.counters().get(tried.counter, 0)
                self.assertEqual(counted, many, options)
                self.client.close()


class Tried(NamedTuple):
    """
    @ivar reach: what reaches a limit.
    @ivar counter: what counts that.
    @ivar counts: the arguments of a client, and the count.
    """

    reach: Callable[..., None]
    counter: str
    counts: list[tuple[dict[str, Any], int]]


NO_RETRY = RetryPolicy(max_attempts=1)
OFTEN = RetryPolicy(initial=0, maximum=0)

TRIED = [
    Tried(
        EachLimitTests.unanswered,
        "errors.DEADLINE_EXCEEDED",
        [({"timeout": 9.0}, 1), ({"timeout": 90.0}, 0)],
    ),
    Tried(
        EachLimitTests.refusing,
        "resent",
        [({"retry": NO_RETRY}, 0), ({"retry": OFTEN, "retry_budget": Endless()}, 90)],
    ),
    Tried(
        EachLimitTests.refusing,
        "retries_refused",
        [
            ({"retry": OFTEN}, 29),
            ({"retry": OFTEN, "retry_budget": RetryBudget(size=20.0)}, 28),
            ({"retry": OFTEN, "retry_budget": Endless()}, 0),
        ],
    ),
    Tried(
        EachLimitTests.no_server,
        "queue_refusals",
        [({"max_waiting": 4}, 6), ({"max_waiting": inf}, 0)],
    ),
    Tried(
        EachLimitTests.no_server,
        "queue_refusals",
        [({"max_waiting_bytes": 12}, 6), ({"max_waiting_bytes": inf}, 0)],
    ),
    Tried(
        EachLimitTests.slow_connection,
        "connect_failures",
        [({"connect_timeout": 20.0}, 1), ({"connect_timeout": 30.0}, 0)],
    ),
    Tried(
        EachLimitTests.no_hello,
        "connect_failures",
        [({"limits": Limits(hello=2.0)}, 1), ({"limits": Limits(hello=9.0)}, 0)],
    ),
    Tried(EachLimitTests.silent, "pings", [({"ping": 5.0}, 1), ({"ping": 0}, 0)]),
    Tried(
        EachLimitTests.silent,
        "ping_timeouts",
        [
            ({"limits": Limits(ping_timeout=90.0)}, 1),
            ({"limits": Limits(ping_timeout=inf)}, 0),
        ],
    ),
    Tried(
        EachLimitTests.half_a_frame,
        "broken",
        [({"limits": Limits(frame=9.0)}, 1), ({"limits": Limits(frame=inf)}, 0)],
    ),
    Tried(
        EachLimitTests.never_reads,
        "broken",
        [
            ({"limits": Limits(write_stall=30.0)}, 1),
            ({"limits": Limits(write_stall=inf)}, 0),
        ],
    ),
    Tried(
        EachLimitTests.large_call,
        "errors.RESOURCE_EXHAUSTED",
        [
            ({"limits": Limits(max_frame=2048)}, 1),
            ({"limits": Limits(max_frame=4096)}, 0),
        ],
    ),
    Tried(
        EachLimitTests.plain_server,
        "connections",
        [({"max_connections": 3}, 3), ({"max_connections": inf}, 10)],
    ),
    Tried(
        EachLimitTests.asked_again,
        "cache_hits",
        [({"cache_bytes": 10_000}, 2), ({"cache_bytes": 0}, 0)],
    ),
    Tried(
        EachLimitTests.asked_again,
        "cache_evictions",
        [({"cache_bytes": 400}, 1), ({"cache_bytes": 10_000}, 0)],
    ),
    Tried(
        EachLimitTests.asked_together,
        "coalesced",
        [({"coalesce": True}, 1), ({"coalesce": False}, 0)],
    ),
    Tried(
        EachLimitTests.slow_answer,
        "hedges",
        [({"hedge": True}, 1), ({"hedge": False}, 0)],
    ),
    Tried(
        EachLimitTests.refusing,
        "circuit_refusals",
        [
            ({"circuit_breaker": CircuitBreaker(window=20)}, 10),
            ({"circuit_breaker": None}, 0),
        ],
    ),
    Tried(
        EachLimitTests.refusing,
        "throttled",
        [
            ({"throttle": AdaptiveThrottle(chance=lambda: 0.5)}, 28),
            ({"throttle": AdaptiveThrottle(k=100.0, chance=lambda: 1.0)}, 0),
            ({"throttle": None}, 0),
        ],
    ),
]
