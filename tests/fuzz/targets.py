"""
The real protocols of both ends, on transports that go nowhere.
"""

from __future__ import annotations

import gc
import re
from typing import Any
from weakref import WeakSet

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from tests.fuzz.mutation import SESSION, escaped
from twisted_rpc import Client, Registry, RPCError, Server
from twisted_rpc.idl import load_idl_text
from twisted_rpc.server.protocol import ServerProtocol
from twisted_rpc.testing import MemoryClock

IDL = """
enum Colour { RED, GREEN }
struct Order { int64 number; string customer; list<string> articles = []; Colour? colour; }
exception Sold { string what }
service Fuzz {
    any echo(any value);
    @readonly list<any> typed(int a, float b = 1.5, string c = "", bool d = true, list<int32> e = []);
    @idempotent Order order(Order order) throws Sold;
    int later(int a);
    oneway void note(string text);
    void take(any value);
}
"""

#: Also what the reference's messages call.
MORE = """
service Calculator { int add(int a, int b) }
"""

idl = load_idl_text(IDL)
more = load_idl_text(MORE)

HELLO = b'{"request_id":"$hello","service":"$rpc","method":"hello","params":[{"versions":[1]}],"timestamp":1}'


class BrokenError(AssertionError):
    """
    Something that must not happen has happened; the text says what, and which
    bytes did it.
    """


class Sink:
    """
    A transport that keeps the last of what is written.
    """

    disconnecting = False

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def writeSequence(self, data: Any) -> None:
        """Keep it."""
        self.written += b"".join(data)

    def loseConnection(self) -> None:
        """Note it."""
        self.closed = True

    loseWriteConnection = loseConnection
    abortConnection = loseConnection

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """It never has to wait."""

    def unregisterProducer(self) -> None:
        """It never had to wait."""

    def pauseProducing(self) -> None:
        """What comes, comes."""

    resumeProducing = pauseProducing

    def getPeer(self) -> IPv4Address:
        """Somebody."""
        return IPv4Address("TCP", "127.0.0.1", 40_000)

    getHost = getPeer


class Watch:
    """
    Sees what is logged with a traceback: nothing of the tests raises anything.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        globalLogPublisher.addObserver(self)  # type: ignore[arg-type]  # any function will do

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self.failures.append(failure.getTraceback())

    def stop(self) -> None:
        """See no more."""
        globalLogPublisher.removeObserver(self)  # type: ignore[arg-type]  # as above


class Target:
    """
    What is fuzzed.
    """

    def __init__(self) -> None:
        self.clock = MemoryClock()
        self.watch = Watch()
        self.fed = 0

    def feed(self, reads: list[bytes]) -> None:
        """
        Give bytes to the protocol.

        @raise BrokenError: it raised something, or logged that something did.
        """
        self.fed += 1
        try:
            self._feed(reads)
            if self.fed % 256 == 0:
                self._pause()
        except BrokenError:
            raise
        except Exception as error:
            raise BrokenError(f"{error!r} for {escaped(b''.join(reads))}") from error
        if self.watch.failures:
            raise BrokenError(f"{self.watch.failures[0]}for {escaped(b''.join(reads))}")

    def _feed(self, reads: list[bytes]) -> None:
        raise NotImplementedError

    def _pause(self) -> None:
        raise NotImplementedError

    def next_seq(self) -> int:
        """
        @return: the number of the session's next call, where what is fed next may
            be a run of calls; 0: it may not.
        """
        return 0

    def finish(self) -> None:
        """
        Close everything, and see that nothing is left.
        """
        self.watch.stop()


class Fuzz:
    """
    Answers at once, later, or not.
    """

    def __init__(self, clock: MemoryClock) -> None:
        self._clock = clock

    def echo(self, value: Any) -> Any:
        return value

    def typed(self, a: int, b: float, c: str, d: bool, e: list[int]) -> list[Any]:
        return [a, b, c, d, e]

    def order(self, order: Any) -> Any:
        if order.number < 0:
            raise idl.Sold(what="out")
        return order

    def later(self, a: int) -> Deferred[int]:
        return deferLater(self._clock, 0.05, lambda: a)

    def note(self, text: str) -> None:
        """Nothing."""

    def take(self, value: Any) -> None:
        """Nothing."""

    def add(self, a: int, b: int) -> int:
        return a + b


class ServerTarget(Target):
    """
    A real server: two connections are fuzzed, of each profile one, and one is a
    canary, whose calls must be answered all the time.
    """

    def __init__(self) -> None:
        super().__init__()
        registry = Registry()
        for interface in (idl.IFuzz, more.ICalculator):
            registry.register(interface, Fuzz(self.clock))
        self.server = Server(registry, reactor=self.clock, wall=self.clock.seconds)
        self.server.factory.doStart()
        self.server.startService()
        self.clock.advance(1)
        self._made: WeakSet[ServerProtocol] = WeakSet()
        self._canary, self._canary_sink, _ = self._connect(extended=False)
        self._open = [self._connect(extended=False), self._connect(extended=True)]
        self._asked = 0

    def _connect(self, *, extended: bool) -> tuple[Any, Sink, bytes]:
        protocol: Any = self.server.factory.buildProtocol(
            IPv4Address("TCP", "127.0.0.1", 1)
        )
        self._made.add(protocol)
        sink = Sink()
        protocol.makeConnection(sink)
        session = b""
        if extended:
            protocol.dataReceived(len(HELLO).to_bytes(4, "big") + HELLO)
            found = re.search(rb'"session":"([^"]+)"', sink.written)
            assert found is not None
            session = found[1]
        return protocol, sink, session

    def next_seq(self) -> int:
        if self.fed % 2:
            # The plain one is next.
            return 0
        seq: int = self._open[1][0].connection.seq + 1
        return seq

    def _feed(self, reads: list[bytes]) -> None:
        index = self.fed % 2
        protocol, sink, session = self._open[index]
        for data in reads:
            protocol.dataReceived(data.replace(SESSION, session) if session else data)
            while protocol._resumption is not None:
                # What a turn has left is taken in the next.
                self.clock.advance(0)
            if sink.closed:
                break
        sink.written.clear()
        if sink.closed or protocol._discarding:
            protocol.connectionLost(Failure(ConnectionDone()))
            self._open[index] = self._connect(extended=bool(index))

    def _pause(self) -> None:
        self.clock.advance(0.1)
        self._asked += 1
        call = (
            b'{"request_id":"canary-%d","service":"Fuzz","method":"echo","params":[%d],'
            b'"timestamp":%f}' % (self._asked, self._asked, self.clock.seconds())
        )
        self._canary_sink.written.clear()
        self._canary.dataReceived(len(call).to_bytes(4, "big") + call)
        expected = b'"result":%d,"error":null' % self._asked
        if expected not in self._canary_sink.written:
            raise BrokenError(
                f"the canary was answered {escaped(self._canary_sink.written)}"
            )

    def finish(self) -> None:
        """
        Close all, and see that no connection, call, timer or protocol is left, and
        that the store is within its bounds.
        """
        super().finish()
        store = self.server.store
        for protocol, _, _ in [*self._open, (self._canary, None, None)]:
            protocol.connectionLost(Failure(ConnectionDone()))
        self._open.clear()
        del self._canary
        self.clock.advance(60)
        left = {
            **self.server.gauges(),
            "timers": len(self.clock.getDelayedCalls()) - 1,
        }
        assert left == dict.fromkeys(left, 0), left
        assert store.bytes <= store.total_bytes, store
        del protocol
        gc.collect()
        assert not self._made, f"{len(self._made)} protocols are left"


class _Endpoint:
    """
    Connects to a transport that goes nowhere.
    """

    def __init__(self) -> None:
        self.protocol: Any = None
        self.sink = Sink()

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect."""
        self.protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.sink = Sink()
        self.protocol.makeConnection(self.sink)
        return succeed(self.protocol)


class ClientTarget(Target):
    """
    A real client with calls under way, whose server says what it likes.  Every
    call must end with a result or an L{RPCError}.
    """

    WELCOME = (
        b'{"request_id":"$hello","result":{"version":1,"features":[],"session":"%b",'
        b'"resumed":true,"guarantee":{"store":"memory","durable":false,"classes":["once"],'
        b'"window":1024,"retention":900000},"limits":{"max_frame":4194304,"max_inflight":256},'
        b'"ping":0,"schema":{},"time":1.5,"software":""},"error":null,"timestamp":1}'
    ) % SESSION

    def __init__(self) -> None:
        super().__init__()
        self._endpoint = _Endpoint()
        self._client = Client(
            self._endpoint,  # type: ignore[arg-type]
            reactor=self.clock,
            wall=self.clock.seconds,
            timeout=5.0,
            ping=0,
        )
        self._fuzz = self._client.proxy(idl.IFuzz)
        self._open: set[Deferred[Any]] = set()
        self.ended = 0

    def _call(self) -> None:
        for call in (
            self._fuzz.echo([1, "a"]),
            self._fuzz.typed(1),
            self._fuzz.later(1),
        ):
            self._open.add(call)
            call.addBoth(self._end, call)

    def _end(self, outcome: Any, call: Deferred[Any]) -> None:
        self._open.discard(call)
        self.ended += 1
        if isinstance(outcome, Failure) and not outcome.check(RPCError, CancelledError):
            raise BrokenError(f"a call ended with {outcome.getTraceback()}")

    def _feed(self, reads: list[bytes]) -> None:
        if not self._open:
            self._call()
        endpoint = self._endpoint
        if endpoint.protocol is None or endpoint.sink.closed:
            self._lost()
            # Past any delay of reconnection.
            self.clock.advance(0.2)
            if not self._open:
                self._call()
            if endpoint.protocol is None:
                return
            if self.fed % 8:
                self._receive([len(self.WELCOME).to_bytes(4, "big") + self.WELCOME])
        self._receive(reads)

    def _receive(self, reads: list[bytes]) -> None:
        endpoint = self._endpoint
        for data in reads:
            if endpoint.sink.closed or endpoint.protocol is None:
                return
            endpoint.protocol.dataReceived(data)
        endpoint.sink.written.clear()

    def _lost(self) -> None:
        protocol, self._endpoint.protocol = self._endpoint.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone()))

    def _pause(self) -> None:
        # Past every deadline.
        self.clock.pump([0.05] * 110)
        if self._open:
            raise BrokenError(f"{len(self._open)} calls have not ended in time")

    def finish(self) -> None:
        """
        Close, and see that every call has ended and no timer is left.
        """
        super().finish()
        self._lost()
        self._client.close()
        self.clock.pump([0.05] * 120)
        assert not self._open, f"{len(self._open)} calls have not ended"
        left = self.clock.getDelayedCalls()
        assert not left, left
