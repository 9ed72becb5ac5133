"""
Small parts of the proof of what the record of calls costs.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.proofs.costs import OFFERED, offered
from tests.proofs.report import ROOT
from tests.server.test_straight import Told, frame
from twisted_rpc.errors import Code, RPCError

#: Calls of one turn.
CALLS = 64


def functions_called(method: str) -> int:
    """
    @return: how many functions, Python's and C's, the server calls to answer
        L{CALLS} calls that come together, when it has answered as many before.
    """
    told = Told()

    def turn(number: int) -> list[bytes]:
        first = 1 + number * CALLS
        return [
            frame(told.session, seq, method, b"[5]", ack=first)
            for seq in range(first, first + CALLS)
        ]

    told.tell(turn(0))
    count = 0

    def counted(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    frames = b"".join(len(each).to_bytes(4, "big") + each for each in turn(1))
    sys.setprofile(counted)
    try:
        told.protocol.dataReceived(frames)
    finally:
        sys.setprofile(None)
    return count


class CostsTests(SynchronousTestCase):
    """
    Counts, which are the same on every machine.
    """

    def test_record_in_memory(self) -> None:
        """
        To make, complete and drop a record in memory takes at most three calls of
        functions, of the fifteen that there are without one for each call.
        """
        without, with_one = functions_called("peek"), functions_called("text")
        self.assertLessEqual(with_one - without, 3 * CALLS + 10)

    def test_offered(self) -> None:
        """
        Calls are made at the rate that was asked for.
        """
        clock = Clock()
        made: list[float] = []

        def call() -> Deferred[Any]:
            made.append(clock.seconds())
            return succeed(None)

        found = ensureDeferred(offered(clock, call, OFFERED, 1.0))
        for _ in range(110):
            clock.advance(0.01)
        self.assertApproximates(len(made), OFFERED, OFFERED // 50)
        self.assertLess(self.successResultOf(found), 0.1)

    def test_offered_fails(self) -> None:
        """
        A call that fails is no figure.
        """
        clock = Clock()

        def call() -> Deferred[Any]:
            return fail(RPCError(Code.UNAVAILABLE, "not now"))

        found = ensureDeferred(offered(clock, call, OFFERED, 0.1))
        for _ in range(20):
            clock.advance(0.01)
        self.failureResultOf(found, AssertionError)

    def test_run(self) -> None:
        """
        The command measures rows 8 and 9.
        """
        words = ["costs", "--rounds", "1", "--seconds", "0.05", "--no-postgresql"]
        done = subprocess.run(
            [sys.executable, "-m", "tests.proofs", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        first, second = done.stdout.splitlines()
        self.assertIn("row  8: memory store, beside calls without a record", first)
        self.assertIn("row  9: sqlite: 3,000 @transactional calls/s offered", second)
