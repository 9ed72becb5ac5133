"""
Requests as a server's connection makes them, without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.task import Clock

from twisted_rpc.call import Request
from twisted_rpc.delivery.memory import ANONYMOUS, MemoryStore
from twisted_rpc.delivery.records import Session

#: The server's clock when a test begins, in Unix seconds.
START = 1000.0

#: Who asks, in which session or none, and its number there or its id.
Call = tuple[str, str, Any]


def call_of(request: Request) -> Call:
    """
    @return: which call C{request} is an attempt of.
    """
    session = request.origin.session
    if session is None:
        return request.origin.principal, "", request.id
    return request.origin.principal, session.id, request.seq


@dataclass(frozen=True)
class FakeMethod:
    """What deduplication knows of a method."""

    service: str = "Bank"
    wire_name: str = "pay"
    delivery: str = "once"

    @property
    def full_name(self) -> str:
        """Of both names."""
        return f"{self.service}.{self.wire_name}"


PAY = FakeMethod()


class Caller:
    """
    A connection, as far as requests know theirs.

    @ivar session: C{None}: of the plain profile.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        principal: str = ANONYMOUS,
        plain: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.principal = principal
        self.peer = "192.0.2.1:4000"
        self.clock = clock if clock is not None else Clock()
        self.store = store
        self.session: Session | None = None
        if not plain:
            self.session, _ = store.attach(principal, None)

    def seconds(self) -> float:
        """The clock of the server."""
        return self.clock.seconds()

    def wall(self) -> float:
        """Its clock in Unix seconds."""
        return START + self.clock.seconds()

    def request(
        self,
        call: int | str,
        params: str = "[1]",
        *,
        timestamp: float | None = None,
        method: Any = PAY,
    ) -> Request:
        """
        @param call: the seq, or without a session the id.
        """
        now = self.seconds()
        text = params.encode()
        if self.session is not None:
            assert isinstance(call, int)
            request = Request(method, text, f"{self.session.id}:{call}", now + 30, self)
            request.seq = call
        else:
            request = Request(method, text, str(call), now + 30, self)
            request.timestamp = self.wall() if timestamp is None else timestamp
        return request
