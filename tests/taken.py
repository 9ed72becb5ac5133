"""
Which calls a server takes the straight way.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc.server.straight import StraightProtocol


class Taken:
    """
    Counts the frames that go the straight way, of all servers in this process.
    """

    def __init__(self) -> None:
        self.frames = 0
        received = StraightProtocol.framesReceived

        def counted(
            protocol: StraightProtocol, data: bytes, offset: int, most: int
        ) -> tuple[int, int]:
            behind, frames = received(protocol, data, offset, most)
            self.frames += frames
            return behind, frames

        self._patcher: Any = patch.object(StraightProtocol, "framesReceived", counted)

    def __enter__(self) -> Self:
        self._patcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._patcher.stop()


def taken(case: SynchronousTestCase) -> Taken:
    """
    Count until a test ends.
    """
    counter = Taken().__enter__()
    case.addCleanup(counter.__exit__, None, None, None)
    return counter
