"""
Many clients of a server that is in trouble, in memory and by the clock.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.client.scripted import Message, Scripted, Server, idl
from twisted_rpc import Client, RetryPolicy
from twisted_rpc.testing import MemoryClock, MemoryEndpoint, MemoryNetwork

Answer = Callable[[Scripted, Message], None]


class Storm:
    """
    Clients that call as often as ever, whatever the server does.

    @ivar calls: that were made, by the second in which they were.
    @ivar attempts: messages that carried one, by the second in which they came.
    @ivar repeated: of them, those that were not the first of their call.
    @ivar welcomes: when a connection was made, for each.
    @ivar ended: calls that ended, by how.
    """

    def __init__(
        self, clients: int, calls_a_second: float, seed: int = 1, **options: Any
    ) -> None:
        chance = random.Random(seed)
        self.clock = MemoryClock()
        self.network = MemoryNetwork()
        self.server = Server()
        self.server.on_call = self._came
        self.server.on_hello = self._hello
        self.answer: Answer = Scripted.reply
        self.endpoints = [MemoryEndpoint(self.network, self.server)] * clients
        self.calls: Counter[int] = Counter()
        self.attempts: Counter[int] = Counter()
        self.repeated: Counter[int] = Counter()
        self.welcomes: list[float] = []
        self.ended: Counter[str] = Counter()
        self.clients = [
            Client(
                endpoint,
                reactor=self.clock,
                wall=self.clock.seconds,
                chance=chance.random,
                retry=RetryPolicy(chance=chance.random),
                ping=0,
                **options,
            )
            for endpoint in self.endpoints
        ]
        self.shops = [client.proxy(idl.IShop) for client in self.clients]
        self.start = self.clock.seconds()
        if calls_a_second:
            every = 1 / calls_a_second
            for shop in self.shops:
                self.clock.callLater(every * chance.random(), self._call, shop, every)

    def _call(self, shop: Any, every: float) -> None:
        self.clock.callLater(every, self._call, shop, every)
        self.calls[self.second] += 1
        shop.look(1).addCallbacks(
            lambda _: self.ended.update(["OK"]),
            lambda failure: self.ended.update([failure.value.code.value]),
        )

    def _came(self, connection: Scripted, call: Message) -> None:
        self.attempts[self.second] += 1
        self.repeated[self.second] += "attempt" in call["ext"]
        self.answer(connection, call)

    def _hello(self, connection: Scripted) -> None:
        self.welcomes.append(self.now)
        connection.welcome()

    @property
    def now(self) -> float:
        """
        Seconds since the start.
        """
        return self.clock.seconds() - self.start

    @property
    def second(self) -> int:
        """
        Of them, the whole ones.
        """
        return int(self.now + 1e-6)

    def run(self, seconds: float, step: float = 0.01) -> None:
        """
        Let time pass, in steps.
        """
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            while self.network.deliver():
                pass

    def run_exactly(self, seconds: float) -> None:
        """
        Let time pass from one event to the next, where steps would have clients
        come together.
        """
        end = self.clock.seconds() + seconds
        now = self.clock.seconds()
        while now < end:
            calls = self.clock.getDelayedCalls()
            due = min((call.getTime() for call in calls), default=end)
            self.clock.advance(max(0.0, min(due, end) - now))
            now = self.clock.seconds()
            while self.network.deliver():
                pass

    def down(self) -> None:
        """
        The server dies.
        """
        self.network.break_all()
        for endpoint in self.endpoints:
            endpoint.factory = None

    def up(self) -> None:
        """
        It comes back.
        """
        for endpoint in self.endpoints:
            endpoint.factory = self.server

    def restart(self, outage: float, wait: float) -> tuple[list[Any], list[float]]:
        """
        Let the server be gone while each client has a call under way.

        @param outage: seconds for which it is.
        @param wait: seconds that pass afterwards.

        @return: what the calls came to, and when each client was back, in seconds
            after the server.
        """
        self.answer = lambda connection, call: None
        done: list[Any] = []
        for shop in self.shops:
            shop.put(1).addBoth(done.append)
        self.run(1.5, step=0.1)
        self.down()
        self.run_exactly(outage)
        self.up()
        self.answer = Scripted.reply
        since = self.now
        self.run_exactly(wait)
        return done, [each - since for each in self.welcomes[len(self.clients) :]]

    def amplification(self, first: int, last: int) -> float:
        """
        Attempts for one call, from one second to another, this one left out.
        """
        seconds = range(first, last)
        calls = sum(self.calls[second] for second in seconds)
        return 1 + sum(self.repeated[second] for second in seconds) / calls
