"""
What a server pays for a call that it refuses: row 18.
"""

from __future__ import annotations

import signal
from typing import Any, Final, NamedTuple

from tests.proofs.probing import ServerProcess, meet, sleep, written
from tests.proofs.proof import Progress

#: A refused call may cost so many times the CPU of one that is done, of the
#: cheapest method there is.
MOST: Final = 5.0

#: Calls in one write; more where the server is held before each.
_TOGETHER: Final = 200
_HELD: Final = 2_000


class Refusing(NamedTuple):
    """
    One way to have calls refused.

    @ivar limits: of the server.
    @ivar held: calls that take what there is, and stay.
    @ivar method: what is called.
    @ivar timeout: milliseconds that it has.
    @ivar stall: seconds for which the server is held before it reads.
    """

    limits: dict[str, Any]
    held: int = 0
    method: str = "echo"
    timeout: int = 30_000
    stall: float = 0.0


ACCEPTED: Final = Refusing({})

#: By what is exhausted.
REFUSING: Final = {
    "max_concurrency and its queue": Refusing(
        {"max_concurrency": 1, "max_queue": 1}, held=2
    ),
    "rate limit": Refusing({}, method="seldom"),
    "deadline": Refusing({}, timeout=20, stall=0.15),
}


async def _cost(reactor: Any, refusing: Refusing, calls: int) -> tuple[float, int]:
    """
    @return: seconds of the server's CPU for each call, and how many were refused.
    """
    server = ServerProcess(limits=refusing.limits)
    try:
        holder = await meet(reactor, server.port)
        await holder.hello()
        holder.write(
            *(
                holder.request(seq, "wait", [600_000], timeout=900_000, ack=1)
                for seq in range(1, 1 + refusing.held)
            )
        )
        peer = await meet(reactor, server.port)
        await peer.hello()
        together = _HELD if refusing.stall else _TOGETHER
        used = 0.0
        for start in range(-together, calls, together):
            if not start:
                used = server.cpu()
                peer.strays.clear()
            first = 1 + start + together
            last = peer.expect(f"{peer.session}:{first + together - 1}")
            if refusing.stall:
                server.signal(signal.SIGSTOP)
            peer.transport.write(
                b"".join(
                    written(peer.session, seq, refusing.method, refusing.timeout)
                    for seq in range(first, first + together)
                )
            )
            if refusing.stall:
                await sleep(reactor, refusing.stall)
                server.signal(signal.SIGCONT)
            peer.strays.append(await last)
        used = server.cpu() - used
        refused = sum(b'"executed":"no"' in frame for frame in peer.strays)
        peer.transport.abortConnection()
        holder.transport.abortConnection()
        return used / calls, refused
    finally:
        server.stop()


async def refusals(
    reactor: Any, progress: Progress, calls: int = 30_000
) -> tuple[str, bool]:
    """
    @return: what a flood of calls that are refused costs, in words, and whether
        that is little.
    """
    accepted, none = await _cost(reactor, ACCEPTED, calls)
    parts, good = [], not none
    for name, refusing in REFUSING.items():
        costs, refused = await _cost(reactor, refusing, calls)
        # Of those that a server reads after it was held some have just come; what
        # these cost is known.
        enough = calls * 0.5 if refusing.stall else calls
        costs = (costs * calls - accepted * (calls - refused)) / max(1, refused)
        parts.append(f"{name} {costs / accepted:.1f}")
        good = good and refused >= enough and costs <= MOST * accepted
        progress(f"{name}: {refused:,} of {calls:,} refused", always=True)
    return (
        f"a refused call of a flood takes, in CPU of an accepted one"
        f" ({accepted * 1e6:.1f} us): {', '.join(parts)}"
    ), good
