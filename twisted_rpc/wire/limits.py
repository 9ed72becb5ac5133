# -*- test-case-name: tests.wire.test_limits -*-
"""
The limits of a connection, all in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What one peer may ask of the other (wire.md, section 12).

    Sizes are bytes, durations seconds; C{0} switches an optional one off where
    its text says so.

    @ivar max_frame: a frame, both directions.
    @ivar max_frame_unauthenticated: a frame before authentication, where the
        server requires it.
    @ivar max_depth: nesting of JSON.
    @ivar max_digits: digits of an integer.
    @ivar max_structure: brackets, braces, colons and commas in one message (delivery.md, X6).
    @ivar max_meta: names and texts of C{ext.meta} together.
    @ivar max_meta_names: names in C{ext.meta}.
    @ivar max_inflight: calls in progress on an extended connection.
    @ivar max_connections: connections of a server.
    @ivar max_connections_per_address: of them from one address.
    @ivar first_frame: until the first frame, where authentication is required.
    @ivar frame: a started frame, and one second more for each 64 KiB received.
    @ivar idle: a connection without frames or calls.
    @ivar output: own output waiting, beyond which a peer is not read.
    @ivar write_stall: no progress in writing.
    @ivar close: from a close until the abort.
    @ivar max_age: of a connection, plus or minus a tenth; 0 is off.
    @ivar grace: from C{$goaway} to the end of what still runs.
    @ivar max_faults: the illegal message that closes the connection.
    @ivar min_ping: the shortest interval of pings a server agrees to.
    @ivar ping_timeout: from a ping without any frame until the abort.
    @ivar hello: a client's wait for the answer to hello.
    @ivar ahead: a sessionless request's timestamp before the server's clock.
    """

    max_frame: int = 4 * MIB
    max_frame_unauthenticated: int = 64 * KIB
    max_depth: int = 64
    max_digits: int = 4300
    max_structure: int = 50_000
    max_meta: int = 8 * KIB
    max_meta_names: int = 64
    max_inflight: int = 256
    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    first_frame: float = 5.0
    frame: float = 10.0
    idle: float = 600.0
    output: int = 64 * KIB
    write_stall: float = 30.0
    close: float = 1.0
    max_age: float = 0.0
    grace: float = 25.0
    max_faults: int = 10
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
            # "not above" and not "below": NaN is neither.
            if not value > 0 and (value != 0 or field.name != "max_age"):
                raise ValueError(f"{field.name} is {value}: it must be above 0")
        if not 1024 <= self.max_frame < 2**31:
            raise ValueError(
                f"max_frame is {self.max_frame}: it must be from 1024 to 2147483647 bytes"
            )
