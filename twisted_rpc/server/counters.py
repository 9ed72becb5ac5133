# -*- test-case-name: tests.server.test_counters -*-
"""
What a server has done, in figures.
"""

from __future__ import annotations

from collections import Counter


class Counters:
    """
    Figures that only grow, counted where it costs a call nothing: by the
    connection, by the read, and by the error.

    @ivar connections: that were accepted.
    @ivar refused: connections that were closed at once, above a limit.
    @ivar requests: frames of connections that have ended.
    @ivar errors: answers that were errors, by code.
    @ivar deprecated: calls of deprecated methods, by the method's full name.
    @ivar limits: what was refused, or ended, by the limit that was reached.
    @ivar slowed: what a limit made wait, and did not refuse.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.refused = 0
        self.requests = 0
        self.errors: Counter[str] = Counter()
        self.deprecated: Counter[str] = Counter()
        self.limits: Counter[str] = Counter()
        self.slowed: Counter[str] = Counter()

    def figures(self, open_requests: int) -> dict[str, int]:
        """
        @param open_requests: frames of the connections that are open.

        @return: all figures by name; a code, a limit or a deprecated method that never
            occurred is not there.
        """
        reached = self.limits + self.slowed
        errors = {f"errors.{code}": n for code, n in sorted(self.errors.items())}
        return {
            "connections": self.connections,
            "connections_refused": self.refused,
            "requests": self.requests + open_requests,
            "errors": self.errors.total(),
            **errors,
            **{f"deprecated.{name}": n for name, n in sorted(self.deprecated.items())},
            **{f"limits.{name}": n for name, n in sorted(reached.items())},
        }
