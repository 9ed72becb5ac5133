# -*- test-case-name: tests.client.test_link -*-
"""
Making a connection, and making it again.

What twisted.application.internet.ClientService does, with one difference: a
connection counts as good when hello has been answered, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.client.backoff import Backoff
from twisted_rpc.client.protocol import ClientProtocol
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.messages import TLS_NAME

if TYPE_CHECKING:
    from twisted_rpc.client.link import Link

#: Seconds that a connection must have lasted to count as one that works, if it has
#: answered no call: after two in a row that did neither, the delay before the next
#: grows, so that a server that says hello and goodbye is not asked all the time.
STEADY = 1.0


class State(Enum):
    """
    Where the connection is.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    #: Connected, and hello is not answered.
    ASKING = "asking"
    READY = "ready"
    #: Until the next attempt to connect.
    WAITING = "waiting"
    CLOSED = "closed"


@implementer(IProtocolNegotiationFactory)
class _Factory(Factory):
    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, addr: Any) -> ClientProtocol:
        """
        @return: the protocol of one connection.
        """
        return ClientProtocol(self._link)

    def acceptableProtocols(self) -> list[bytes]:
        """
        @return: what is spoken over TLS.
        """
        return [TLS_NAME]


class Connector:
    """
    The connection of a link: one attempt after the other, at one address after
    the other, until hello is answered.

    @ivar state: where the connection is.
    @ivar failing: the last attempt failed, at every address.
    @ivar address: which of the endpoints is in use, or tried next.
    """

    _log = Logger(namespace="twisted_rpc.client")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pool = link.pool
        self.state = State.IDLE
        self.failing = False
        self._backoff = Backoff(link.pool.chance)
        self._protocol: ClientProtocol | None = None
        self._attempt: Deferred[Any] | None = None
        self._timer: Any = None
        self.address = 0
        self._tried = 0
        self._since = 0.0
        self._short = 0
        self._unanswered = False

    # -- an attempt -----------------------------------------------------------------------

    def connect(self) -> None:
        """
        Connect, unless that is going on, or is not to be tried yet.
        """
        if self.state is State.IDLE:
            self._try()

    def _try(self) -> None:
        self._stop_timer()
        self.state = State.CONNECTING
        endpoint = self._pool.endpoints[self.address]
        self._timer = self._pool.clock.callLater(
            self._pool.connect_timeout, self._too_slow
        )
        attempt = self._attempt = endpoint.connect(_Factory(self._link))
        attempt.addErrback(self._connect_failed)

    def _too_slow(self) -> None:
        self._timer = None
        assert self._attempt is not None  # else the timer is stopped
        self._attempt.cancel()

    def _connect_failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.state is not State.CONNECTING:
            return
        if failure.check(CancelledError, ConnectingCancelledError):
            text = f"no connection within {self._pool.connect_timeout:g} s"
        else:
            text = failure.getErrorMessage()
        self._unreachable(RPCError(Code.UNAVAILABLE, text, executed="no"))

    def connected(self, protocol: ClientProtocol) -> None:
        """
        Connected: say hello, unless the user said not to.
        """
        if self.state is not State.CONNECTING:
            # Closed meanwhile, or the endpoint goes on with what was given up.
            protocol.abort()
            return
        self._attempt = None
        self._stop_timer()
        self._protocol = protocol
        self.state = State.ASKING
        if self._pool.wire == "plain":
            protocol.connection.stay_plain()
            self._link.plain_server(protocol)
            return
        try:
            hello = self._pool.greeting.hello(protocol, self._link.session)
        except RPCError as error:
            self._protocol = None
            protocol.abort()
            self._unreachable(error, permanent=True)
            return
        self._timer = self._pool.clock.callLater(
            self._pool.limits.hello, self._no_answer
        )
        self._unanswered = False
        protocol.send_frame(protocol.connection.hello(hello, protocol.stamp))

    def _no_answer(self) -> None:
        self._timer = None
        self._unanswered = True
        assert self._protocol is not None  # else the timer is stopped
        self._protocol.abort()

    def settled(self) -> None:
        """
        Hello is answered, or need not be: the connection is good.
        """
        self._stop_timer()
        self.state = State.READY
        self.failing = False
        self._tried = 0
        self._since = self._pool.seconds()
        self._link.useful = False

    def refused(self, protocol: ClientProtocol, error: RPCError) -> None:
        """
        The server refused hello; there is no falling back (W16).
        """
        self._protocol = None
        protocol.close()
        error.executed = "no"
        passing = error.code in {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}
        self._unreachable(error, permanent=not passing)

    def _unreachable(self, error: RPCError, *, permanent: bool = False) -> None:
        """
        An attempt to connect failed: try the next address, and after the last
        one wait.
        """
        self._stop_timer()
        self._pool.counters.connect_failures += 1
        self.next_address()
        self._tried += 1
        if self._tried < len(self._pool.endpoints) and not permanent:
            self._try()
            return
        self._tried = 0
        self.failing = True
        self._log.info("cannot connect: {reason}", reason=error.message)
        self._wait(self._backoff.failed(error.retry_after or 0.0))
        self._link.unreachable(error, permanent=permanent)

    def next_address(self) -> None:
        """
        The next attempt goes to the next endpoint.
        """
        self.address = (self.address + 1) % len(self._pool.endpoints)

    # -- the next one ---------------------------------------------------------------------

    def _wait(self, delay: float) -> None:
        self._stop_timer()
        self.state = State.WAITING
        self._timer = self._pool.clock.callLater(delay, self._again)

    def _again(self) -> None:
        self._timer = None
        self.state = State.IDLE
        if self._link.wanted:
            self._try()
        else:
            # Who calls next may wait for the attempt that this starts.
            self.failing = False

    def _pause(self, first: Callable[[], float]) -> float:
        """
        @param first: what is waited after a connection that lasted, and once
            after one that did not.

        @return: seconds until the next attempt.
        """
        if self._link.useful or self._pool.seconds() - self._since >= STEADY:
            self._backoff.worked()
            self._short = 0
        else:
            self._short += 1
        return first() if self._short < 2 else self._backoff.failed()

    def left(self) -> None:
        """
        The connection is left, for another address if there is one.
        """
        self._protocol = None
        self.next_address()
        pause = self._pause(float)
        if pause:
            self._wait(pause)
        else:
            self._idle()

    def _idle(self) -> None:
        self._stop_timer()
        self.state = State.IDLE
        if self._link.wanted:
            self._try()

    def replaced(self) -> None:
        """
        The connection works, but another one is better.
        """
        self._protocol = None
        self._idle()

    def dropped(self) -> None:
        """
        A connection that was good is of no use any more.
        """
        self._protocol = None
        self._wait(self._pause(self._backoff.dropped))

    def lost(self, protocol: ClientProtocol, reason: Failure) -> None:
        """
        A connection has ended; what is left of it matters only if it is the one
        of the moment.
        """
        if protocol is not self._protocol or self.state is State.CLOSED:
            return
        self._protocol = None
        text = reason.getErrorMessage()
        if self.state is State.READY:
            self._log.debug("the connection was lost: {reason}", reason=text)
            self.dropped()
            return
        text = (
            f"hello was not answered within {self._pool.limits.hello:g} s"
            if self._unanswered
            else f"the connection was lost during hello: {text}"
        )
        self._unreachable(RPCError(Code.UNAVAILABLE, text, executed="no"))

    # -- the end ----------------------------------------------------------------------------

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def close(self) -> ClientProtocol | None:
        """
        Make no more connections, and leave no timer.

        @return: the connection of the moment, which the caller closes.
        """
        self.state = State.CLOSED
        self._stop_timer()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        protocol, self._protocol = self._protocol, None
        return protocol

    def abandon(self) -> None:
        """
        After a fork: the connection is the parent's; forget it untouched.
        """
        self.state = State.CLOSED
        self._stop_timer()
        self._protocol = self._attempt = None
