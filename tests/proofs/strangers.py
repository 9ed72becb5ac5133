"""
Peers that write frames by hand in a simulation: some without sessions, as plain
peers do, and some that repeat what is not theirs.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from twisted_rpc.testing.simulation import Caller, ServerNode, Violation
from twisted_rpc.testing.simulation.network import Host

#: The mistake of dating each attempt anew, which is to be found.
RESTAMPING = False


class Stranger(Protocol):
    """
    Sends messages one by one, and waits for the answer to each.
    """

    transport: Any

    def __init__(self) -> None:
        self._held = b""
        self._waits: Deferred[Any] | None = None
        self.lost = False

    def ask(self, message: dict[str, Any]) -> Deferred[Any]:
        """
        @return: fires with the answer; with C{None} if the connection is lost.
        """
        answer: Deferred[Any] = Deferred()
        if self.lost:
            answer.callback(None)
            return answer
        self._waits = answer
        body = json.dumps(message).encode()
        self.transport.write(struct.pack("!I", len(body)) + body)
        return answer

    def dataReceived(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= 4:
            end = 4 + int.from_bytes(self._held[:4], "big")
            if len(self._held) < end:
                return
            message = json.loads(self._held[4:end])
            self._held = self._held[end:]
            if message["request_id"] != "$goaway":
                self._answer(message)

    def _answer(self, message: Any) -> None:
        waits, self._waits = self._waits, None
        if waits is not None and not waits.called:
            waits.callback(message)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = True
        self._answer(None)


async def meet(caller: Caller, server: ServerNode, host: Host) -> Stranger | None:
    """
    Connect.

    @return: C{None}, it cannot be done within five seconds.
    """
    connecting = caller.simulation.network.connect(
        host, server.host, Factory.forProtocol(Stranger)
    )
    connecting.addTimeout(5.0, caller.clock)
    try:
        stranger: Stranger = await connecting
    except Exception:  # noqa: BLE001 - it was refused, or took too long
        return None
    return stranger


async def told(caller: Caller, answer: Deferred[Any]) -> Any:
    """
    @return: the answer, or C{None} after five seconds.
    """
    answer.addTimeout(5.0, caller.clock)
    try:
        return await answer
    except Exception:  # noqa: BLE001 - it took too long
        return None


async def call_plainly(caller: Caller, entry: int) -> None:
    """
    A call without a session, written up to three times as it was.

    I17: it is stale only if there is no record of it.  Its clock is behind the
    servers', as the promise of the memory store demands (D30).
    """
    server = caller.random.choice(caller.simulation.servers)
    host = Host(f"{caller.name}/plain", 200 + caller.number, caller.clock)
    behind = caller.simulation.skew + caller.random.random()
    message = {
        "request_id": f"plain-{entry}",
        "service": caller.random.choice(["Ledger", "Tally"]),
        "method": caller.random.choice(["book", "put", "enter"]),
        "params": [entry],
        "timestamp": caller.simulation.clock.seconds() - behind,
    }
    for _ in range(3):
        stranger = await meet(caller, server, host)
        if RESTAMPING:
            message["timestamp"] = caller.simulation.clock.seconds() - behind
        if stranger is not None:
            answer = await told(caller, stranger.ask(message))
            stranger.transport.loseConnection()
            if answer is not None:
                judge(server, message, answer)
                if caller.random.random() < 0.5:
                    return
        # Also what was answered is sure to come again sooner or later.
        await caller.sleep(caller.random.expovariate(0.5))


def judge(server: ServerNode, message: Any, answer: Any) -> None:
    """
    @raise Violation: a call with a record was told that it is stale.
    """
    stale = (answer["error"] or "").startswith("STALE_REQUEST")
    ledgers = getattr(server.server and server.server.store, "ledgers", {})
    mine = ledgers.get("anonymous")
    if stale and mine is not None and message["request_id"] in mine.records:
        raise Violation(f"I17: {message['request_id']} is stale and has a record")


async def steal(caller: Caller) -> None:
    """
    Present the id of somebody's call, as oneself or as somebody else, at any
    time after it was made.  The oracle sees what comes of it: no run, and no
    answer that belongs to others.
    """
    simulation = caller.simulation
    known = [
        (request_id, asked)
        for request_id, asked in simulation.oracle.asked.items()
        if ":" in request_id
    ]
    if not known:
        return
    request_id, asked = caller.random.choice(known)
    host = Host(
        f"{caller.name}/thief", 300 + caller.number, caller.clock, caller.principal
    )
    server = caller.random.choice(simulation.servers)
    stranger = await meet(caller, server, host)
    if stranger is None:
        return
    now = simulation.clock.seconds()
    hello = {
        "request_id": "$hello",
        "service": "$rpc",
        "method": "hello",
        "params": [
            {
                "versions": [1],
                "session": request_id.split(":")[0],
                "auth": {"scheme": "bearer", "token": caller.principal},
            }
        ],
        "timestamp": now,
    }
    await told(caller, stranger.ask(hello))
    service, method = asked.method.split(".")
    params = json.loads(asked.params)
    if caller.random.random() < 0.3:
        params = _changed(params)
    repeated = {
        "request_id": request_id,
        "service": service,
        "method": method,
        "params": params,
        "timestamp": asked.timestamp,
        "ext": {"timeout": 2000},
    }
    await told(caller, stranger.ask(repeated))
    stranger.transport.loseConnection()


def _changed(params: list[Any]) -> list[Any]:
    """
    Others than these, if there are any.
    """
    if not params:
        return params
    first, *more = params
    if isinstance(first, dict):
        return [{**first, "entry": first["entry"] + 1}, *more]
    return [first + 1, *more]
