"""
Which calls a server takes the straight way, and which hold it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from unittest.mock import patch

from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.server.straight import StraightProtocol


class Taken(ExitStack):
    """
    Counts the frames that go the straight way, of all servers in this process, and
    sees that they are all there, until it is closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        received = StraightProtocol.framesReceived

        def counted(
            protocol: StraightProtocol, data: bytes, offset: int, most: int
        ) -> tuple[int, int]:
            behind, frames = received(protocol, data, offset, most)
            assert behind <= len(data), "a frame was taken that is not all there"
            self.frames += frames
            return behind, frames

        self.enter_context(patch.object(StraightProtocol, "framesReceived", counted))


def taken(case: SynchronousTestCase) -> Taken:
    """
    Count until a test ends.
    """
    counter = Taken()
    case.addCleanup(counter.close)
    return counter


def held(events: Iterable[LogEvent]) -> list[tuple[str, int]]:
    """
    @return: the methods that are said to have held the reactor, and for how many
        milliseconds.
    """
    return [
        (each["method"], each["milliseconds"])
        for each in events
        if "held the reactor" in each["log_format"]
    ]
