# -*- test-case-name: tests.client.test_counters -*-
"""
What a client has done, in figures.
"""

from __future__ import annotations

from collections import Counter


class Counters:
    """
    Figures that only grow.  They are counted where something goes another way
    than the usual one, so that the usual one costs nothing.

    @ivar calls: that were sent, by links that have ended.
    @ivar connections: that were made.
    @ivar connect_failures: attempts to connect that failed, or were refused.
    @ivar pings: that asked a silent server for a sign of life.
    @ivar ping_timeouts: connections aborted because none came.
    @ivar broken: connections aborted because of what the server sent, or because
        it did not read or go on.
    @ivar goaways: connections that a server asked to leave.
    @ivar resent: attempts after the first, over a new connection or the same.
    @ivar made_anew: calls that got a second id, because the server had forgotten
        the first.
    @ivar retries_refused: failures worth another attempt that the budget refused.
    @ivar queue_refusals: calls for which there was no room to wait.
    @ivar strays: replies that nobody waited for.
    @ivar errors: calls that failed, by code.
    @ivar hedges: copies of calls that took long.
    @ivar hedges_won: of them, those that were answered first.
    @ivar coalesced: calls that waited for the answer to another.
    @ivar cache_hits: calls answered from the cache.
    @ivar cache_misses: calls that were not.
    @ivar cache_evictions: answers dropped for want of room.
    @ivar throttled: calls that the adaptive throttle failed.
    @ivar circuits_opened: how often an address was left alone.
    @ivar circuit_refusals: calls failed because all were.
    @ivar deprecated: calls of deprecated methods, by name.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.connections = 0
        self.connect_failures = 0
        self.pings = 0
        self.ping_timeouts = 0
        self.broken = 0
        self.goaways = 0
        self.resent = 0
        self.made_anew = 0
        self.retries_refused = 0
        self.queue_refusals = 0
        self.strays = 0
        self.errors: Counter[str] = Counter()
        self.hedges = 0
        self.hedges_won = 0
        self.coalesced = 0
        self.cache_hits = 0
        self.cache_misses = 0
        self.cache_evictions = 0
        self.throttled = 0
        self.circuits_opened = 0
        self.circuit_refusals = 0
        self.deprecated: Counter[str] = Counter()

    def figures(self, sent: int) -> dict[str, int]:
        """
        @param sent: the calls that the links of the moment have sent.

        @return: all figures by name; a code or method that never occurred is not
            there.
        """
        plain = {
            name: figure for name, figure in vars(self).items() if type(figure) is int
        }
        plain["calls"] += sent
        plain["errors"] = self.errors.total()
        plain["deprecated"] = self.deprecated.total()
        for name, counter in (
            ("errors", self.errors),
            ("deprecated", self.deprecated),
        ):
            plain |= {f"{name}.{each}": n for each, n in sorted(counter.items())}
        return plain
