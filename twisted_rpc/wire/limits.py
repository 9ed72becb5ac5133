# -*- test-case-name: tests.wire.test_limits -*-
"""
The limits of a connection, all in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Final

KIB = 1024
MIB = 1024 * 1024

#: What a limit is set to that is switched off: C{math.inf}.
OFF: Final = inf

#: The limits that are sizes, in bytes, and those that are durations, in seconds;
#: the others are counts.
SIZES: Final = frozenset(
    {
        "max_frame",
        "max_frame_unauthenticated",
        "max_meta",
        "max_queue_bytes",
        "output",
    }
)
DURATIONS: Final = frozenset(
    {
        "ahead",
        "close",
        "delay",
        "delay_interval",
        "first_frame",
        "frame",
        "grace",
        "handshake",
        "hello",
        "idle",
        "max_age",
        "min_ping",
        "ping_timeout",
        "write_stall",
    }
)

#: The limits that can be L{OFF}.
SWITCHABLE: Final = frozenset(
    {
        "ahead",
        "delay",
        "first_frame",
        "frame",
        "handshake",
        "idle",
        "max_age",
        "max_concurrency",
        "max_concurrency_per_principal",
        "max_connections",
        "max_connections_per_address",
        "max_buckets",
        "max_faults",
        "max_frame_unauthenticated",
        "max_inflight",
        "max_meta",
        "max_meta_names",
        "max_queue",
        "max_queue_bytes",
        "ping_timeout",
        "write_stall",
    }
)

#: The limits that may be 0.
_ZERO: Final = frozenset({"max_age", "max_queue", "min_ping"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one peer may ask of the other (wire.md, section 12).

    Sizes are bytes, durations seconds.  L{OFF} switches one of L{SWITCHABLE}
    off.

    @ivar max_frame: a frame, both directions.
    @ivar max_frame_unauthenticated: a frame before authentication, where the
        server requires it.
    @ivar max_meta: names and texts of C{ext.meta} together.
    @ivar max_meta_names: names in C{ext.meta}.
    @ivar max_inflight: calls in progress on an extended connection.
    @ivar max_concurrency: calls in progress on a server; more wait.
    @ivar max_concurrency_per_principal: of one caller; those who are not
        authenticated are told apart by their address, of IPv6 by the /64.
    @ivar max_queue: calls that wait for the server, for a caller's or for a
        method's limit.
    @ivar max_queue_bytes: their parameters together.
    @ivar delay: a call that waits for longer than calls take, and this ...
    @ivar delay_interval: ... is refused, once all have for so long.
    @ivar max_buckets: callers whose rates are limited one by one, for a method.
    @ivar max_connections: connections of a server.
    @ivar max_connections_per_address: of them from one address, or one /64 of
        IPv6.
    @ivar first_frame: until the first frame, where authentication is required.
    @ivar handshake: until TLS is agreed, or a proxy has said who is behind it.
    @ivar frame: a started frame, and one second more for each 64 KiB received.
    @ivar idle: a connection without frames or calls.
    @ivar output: own output waiting, beyond which a peer is not read.
    @ivar write_stall: no progress in writing.
    @ivar close: from a close until the abort.
    @ivar max_age: of a connection, plus or minus a tenth; 0 is off too.
    @ivar grace: from C{$goaway} to the end of what still runs.
    @ivar max_faults: the illegal message that closes the connection.
    @ivar min_ping: the shortest interval of pings a server agrees to; 0: any.
    @ivar ping_timeout: from a ping without any frame until the abort.
    @ivar hello: a client's wait for the answer to hello.
    @ivar ahead: a sessionless request's timestamp before the server's clock.
    """

    max_frame: int = 4 * MIB
    max_frame_unauthenticated: float = 64 * KIB
    max_meta: float = 8 * KIB
    max_meta_names: float = 64
    max_inflight: float = 256
    max_concurrency: float = 2_000
    max_concurrency_per_principal: float = 500
    max_queue: float = 1_000
    max_queue_bytes: float = 64 * MIB
    delay: float = 0.05
    delay_interval: float = 0.1
    max_buckets: float = 10_000
    max_connections: float = 10_000
    max_connections_per_address: float = 1_000
    handshake: float = 10.0
    first_frame: float = 5.0
    frame: float = 10.0
    idle: float = 600.0
    output: int = 64 * KIB
    write_stall: float = 30.0
    close: float = 1.0
    max_age: float = 0.0
    grace: float = 25.0
    max_faults: float = 10
    min_ping: float = 10.0
    ping_timeout: float = 20.0
    hello: float = 5.0
    ahead: float = 300.0

    def __post_init__(self) -> None:
        """
        Refuse what cannot work, by name.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            name = field.name
            # "not above" and not "below": NaN is neither.
            if not value > 0 and (value != 0 or name not in _ZERO):
                raise ValueError(f"{name} is {value}: it must be above 0")
            if not isfinite(value) and name not in SWITCHABLE:
                raise ValueError(f"{name} cannot be switched off")
        if not 1024 <= self.max_frame < 2**31:
            raise ValueError(
                f"max_frame is {self.max_frame}: it must be from 1024 to 2147483647 bytes"
            )
