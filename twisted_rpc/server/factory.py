# -*- test-case-name: tests.server.test_service -*-
"""
The connections of a server.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.call import Interceptor
from twisted_rpc.deadlines import Deadlines
from twisted_rpc.delivery.claims import StoreError
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.errors import Code, refusal
from twisted_rpc.idl import ServiceSchema
from twisted_rpc.pulse import Pulse
from twisted_rpc.server.admission import Admission, SessionlessClock
from twisted_rpc.server.agreement import Agreement
from twisted_rpc.server.counters import Counters
from twisted_rpc.server.deprecation import Deprecation
from twisted_rpc.server.dispatch import Dispatch
from twisted_rpc.server.methods import Methods
from twisted_rpc.server.overload.method_limits import MethodLimits
from twisted_rpc.server.overload.slots import Slots
from twisted_rpc.server.promises import check_classes
from twisted_rpc.server.protocol import ServerProtocol
from twisted_rpc.server.straight import Straight
from twisted_rpc.server.threads import Threads
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import TLS_NAME

#: Seconds between two looks at all connections; what they time is at most so
#: much late.
SWEEP = 0.5

#: Connections that are looked at in one turn of the reactor, in some 2 ms: 10,000
#: at once would hold it for 20.
SWEPT_A_TURN = 1_000

#: Sweeps between two looks for what the store may forget.
EXPIRE_EVERY = 10


class Shared:
    """
    What all connections of a server have in common.

    @ivar wall: Unix seconds; C{clock} may count from anywhere.
    @ivar agreement: of the services with those that clients have loaded.
    @ivar services: the schema of each, by name.
    @ivar counted: told how many connections are open, when that changes.
    @ivar counters: what was done, beside what open connections count.
    @ivar client_dated: a request without a session is dated by its sender.
    """

    def __init__(
        self,
        registry: Any,
        *,
        clock: IReactorTime,
        wall: Callable[[], float],
        limits: Limits,
        store: Any,
        default_timeout: float,
        require_session: bool,
        sessionless_clock: SessionlessClock,
        strict_json: bool,
        debug_errors: bool,
        interceptors: Sequence[Interceptor],
        authenticator: Any,
        threads: Threads,
        reflection: bool,
        earlier: Sequence[Any],
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.limits = limits
        check_classes(registry, store)
        self.store: MemoryStore | Recording = (
            store if isinstance(store, MemoryStore) else Recording(store, clock)
        )
        self.strict_json = strict_json
        self.client_dated = sessionless_clock == "client"
        self.authenticator = authenticator
        self.reflection = reflection
        self.deadlines = Deadlines(clock)
        self.pulse = Pulse(clock)
        self.counters = Counters()
        self.counted: Callable[[int], None] | None = None
        refused, slowed = self.counters.limits, self.counters.slowed
        self.admission = Admission(
            limits,
            clock,
            wall,
            refused,
            self.pulse,
            slowed=slowed,
            require_session=require_session,
        )
        threads.refused, threads.slowed = refused, slowed
        self.threads = threads
        self.dispatch = Dispatch(
            self.admission, threads, clock, debug_errors=debug_errors
        )
        self.method_limits = MethodLimits(
            limits, clock, self.admission, refused, slowed
        )
        self.methods = Methods(
            registry,
            self.dispatch,
            self.store,
            interceptors,
            default_timeout,
            deprecation=Deprecation(self.counters),
            limits=self.method_limits,
        )
        self.straight = Straight(self.methods, self.dispatch, self.store)
        self.services = {name: each.schema for name, each in registry.services.items()}
        self.agreement = Agreement(self.services, earlier)
        self._started = False
        # In the order they were made, as everything that is gone through here.
        self.connections: dict[ServerProtocol, None] = {}
        self.addresses: Counter[str] = Counter()
        self.ended: Callable[[], None] | None = None
        self._ages: dict[ServerProtocol, float] = {}

    def start(self) -> Deferred[None]:
        """
        Begin to record calls.

        @return: fires when that can be done; fails with
            L{StoreError<twisted_rpc.delivery.claims.StoreError>}.
        """
        if isinstance(self.store, Recording):
            return self.store.start(self.clock)
        if not self._started:
            self._started = True
            self.store.start(self.wall())
        return succeed(None)

    @property
    def store_outstanding(self) -> int:
        """
        What a store that answers later has not answered yet.
        """
        return self.store.outstanding if isinstance(self.store, Recording) else 0

    @property
    def answers_evicted(self) -> int:
        """
        Answers that the record of calls has dropped to make room; a store that
        does not count them has none.
        """
        store = self.store
        if isinstance(store, MemoryStore):
            return store.evicted
        evicted: int = getattr(store.store, "evicted", 0)
        return store.local.evicted + evicted

    def stop(self) -> Deferred[None]:
        """
        Record no more.

        @return: fires when everything is written.
        """
        if isinstance(self.store, Recording):
            return self.store.stop()
        return succeed(None)

    def service(self, name: str) -> ServiceSchema | None:
        """
        @return: the service that answers to a name.
        """
        served = self.services.get(name)
        if served is None:
            # Rare, so that it need not be fast.
            served = next(
                (it for it in self.services.values() if name in it.names), None
            )
        return served

    def connected(self, protocol: ServerProtocol) -> None:
        """
        A connection has begun.
        """
        self.connections[protocol] = None
        self.counters.connections += 1
        if self.counted is not None:
            self.counted(len(self.connections))
        if self.limits.max_age:
            # Plus or minus a tenth, so that connections that began together do
            # not end together (gRFC A9).
            spread = random.uniform(0.9, 1.1)
            self._ages[protocol] = protocol.heard + self.limits.max_age * spread

    def identified(self, protocol: ServerProtocol) -> bool:
        """
        It is known where a connection comes from.

        @return: whether there may be one more from there.
        """
        host = protocol.host = host_of(protocol.transport.getPeer())
        self.addresses[host] += 1
        return self.addresses[host] <= self.limits.max_connections_per_address

    def disconnected(self, protocol: ServerProtocol) -> None:
        """
        A connection has ended.
        """
        self.connections.pop(protocol, None)
        self.counters.requests += protocol.frames_received
        if self.counted is not None:
            self.counted(len(self.connections))
        self._ages.pop(protocol, None)
        if protocol.host is not None:
            self.addresses[protocol.host] -= 1
            if not self.addresses[protocol.host]:
                del self.addresses[protocol.host]
        if not self.connections and self.ended is not None:
            self.ended()

    @property
    def waiting(self) -> int:
        """
        Calls that wait for a slot.
        """
        return sum(slots.waiting for slots in self._slots)

    @property
    def _slots(self) -> tuple[Slots, ...]:
        admission = self.admission
        return (admission.slots, *admission.callers, *self.method_limits.slots)

    def stop_waiting(self) -> None:
        """
        Fail the calls that wait for a slot.
        """
        error = refusal(Code.UNAVAILABLE, "the server has stopped", retry_after=0.0)
        for slots in self._slots:
            slots.stop(error)

    def refuse_connection(self, limit: str) -> None:
        """
        A connection is closed at once, because of C{limit}.
        """
        self.counters.refused += 1
        self.counters.limits[limit] += 1

    def old_at(self, protocol: ServerProtocol) -> float:
        """
        When a connection has reached its age, in the clock's seconds.
        """
        return self._ages.get(protocol, float("inf"))


@implementer(IProtocolNegotiationFactory)
class RPCServerFactory(ServerFactory):
    """
    Makes the protocols of a server; those who listen themselves give it to
    their port.
    """

    noisy = False
    _log = Logger(namespace="twisted_rpc.server")

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._sweeps = 0
        self._unswept: list[ServerProtocol] = []
        self._heard = 0.0
        self._reported: Counter[str] = Counter()
        self._timer: Any = None
        self._started = False
        # Who waits for a drain, the call that ends it, and whether it waits for
        # runs too.
        self._draining: list[Deferred[None]] = []
        self._closing: Any = None
        self._runs_matter = True

    def doStart(self) -> None:
        """
        A port begins to listen.
        """
        if not self._started:
            self._started = True
            # For those who listen themselves; a server has waited for it.
            self.shared.start().addErrback(self._not_started)
        if self._timer is None:
            self._timer = self.shared.clock.callLater(SWEEP, self._sweep)
        super().doStart()

    def _not_started(self, failure: Failure) -> None:
        if failure.check(StoreError):
            self._log.critical("{error}", error=failure.value)
        else:
            self._log.failure("the store of calls did not start", failure=failure)

    def doStop(self) -> None:
        """
        A port has stopped listening; the connections there are go on.
        """
        super().doStop()

    def buildProtocol(self, addr: IAddress | None) -> ServerProtocol | None:
        """
        @return: C{None}, and the connection is closed at once, above the limits
            of connections.
        """
        shared = self.shared
        if shared.admission.draining:
            # Whoever listens for this factory may not have stopped yet.
            return None
        if len(shared.connections) >= shared.limits.max_connections:
            shared.refuse_connection("max_connections")
            return None
        # Of a connection that a proxy passes on, the proxy's: it has none itself.
        host = host_of(addr)
        if shared.addresses[host] >= shared.limits.max_connections_per_address:
            shared.refuse_connection("max_connections_per_address")
            return None
        protocol = ServerProtocol(shared)
        protocol.factory = self
        return protocol

    def acceptableProtocols(self) -> list[bytes]:
        """
        @return: what is spoken over TLS; a client that names nothing may come too.
        """
        return [TLS_NAME]

    def _sweep(self) -> None:
        self._unswept = list(self.shared.connections)
        self._heard = 0.0
        self._sweep_some()

    def _sweep_some(self) -> None:
        shared = self.shared
        some = self._unswept[:SWEPT_A_TURN]
        del self._unswept[:SWEPT_A_TURN]
        self._timer = (
            shared.clock.callLater(0, self._sweep_some)
            if self._unswept
            else shared.clock.callLater(SWEEP, self._sweep)
        )
        now = shared.clock.seconds()
        for protocol in some:
            protocol.sweep(now)
            self._heard = max(self._heard, protocol.heard)
        if not self._unswept:
            self._swept(now)

    def _swept(self, now: float) -> None:
        """
        All connections have been looked at.
        """
        shared = self.shared
        shared.pulse.rest_after(self._heard, now)
        self._report()
        self._sweeps += 1
        if self._sweeps % EXPIRE_EVERY == 0:
            shared.store.expire(now, shared.wall())

    def _report(self) -> None:
        """
        Log what was refused since the last time, in one line.
        """
        limits = self.shared.counters.limits
        refused = limits - self._reported
        if refused:
            self._reported = limits.copy()
            self._log.warn(
                "refused or ended: {what}",
                what=", ".join(f"{n} by {name}" for name, n in refused.items()),
                refused=refused.total(),
            )

    # -- the end ------------------------------------------------------------------------

    def resume(self) -> None:
        """
        Take connections and calls again, after a L{drain}.
        """
        self.shared.admission.draining = False

    def drain(self, seconds: float) -> Deferred[None]:
        """
        Let what runs end, for at most so many seconds, and close everything.

        @return: fires when no connection is left.
        """
        shared = self.shared
        shared.admission.draining = True
        gone: Deferred[None] = Deferred()
        self._draining.append(gone)
        if len(self._draining) == 1:
            self._runs_matter = True
            shared.ended = shared.dispatch.idle = self._end_if_gone
            self._closing = shared.clock.callLater(seconds, self._close)
        # Each is told once; those that came after it was resumed were not.
        for protocol in tuple(shared.connections):
            protocol.go_away("drain", seconds)
        self._end_if_gone()
        return gone

    def abort(self) -> None:
        """
        End every connection at once, and a L{drain} with them.
        """
        self.shared.admission.draining = True
        for protocol in tuple(self.shared.connections):
            protocol.abort()
        self.stop()
        self._runs_matter = False
        self._end_if_gone()

    def _close(self) -> None:
        for protocol in tuple(self.shared.connections):
            protocol.give_up("drain")
        self._report()
        # Runs that nobody waits for any more do not hold the process.
        self._runs_matter = False
        self._end_if_gone()

    def _end_if_gone(self) -> None:
        shared = self.shared
        if shared.connections or (shared.dispatch.running and self._runs_matter):
            return
        if not self._draining:
            return
        if self._closing.active():
            self._closing.cancel()
        shared.ended = shared.dispatch.idle = None
        self.stop()
        waiting, self._draining = self._draining, []
        for each in waiting:
            each.callback(None)

    def stop(self) -> None:
        """
        Leave no timer.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self.shared.deadlines.stop()
        self.shared.pulse.rest()
        self.shared.stop_waiting()


def host_of(address: Any) -> str:
    """
    What connections from C{address} are counted by, and callers who are not
    authenticated are told apart by: of IPv6 the C{/64}, which one caller has
    whole (RFC 6177).
    """
    host = str(getattr(address, "host", None) or "local")
    try:
        whole = IPv6Address(host)
    except ValueError:
        return host
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(IPv6Network((int(whole), 64), strict=False))
