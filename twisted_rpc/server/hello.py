# -*- test-case-name: tests.server.test_conversation -*-
"""
How a connection begins: who it is, and what both sides can do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc._version import __version__
from twisted_rpc.delivery.records import Session
from twisted_rpc.errors import Code, RPCError, refusal
from twisted_rpc.wire.messages import (
    HELLO_ID,
    MAX_INTEGER,
    Guarantee,
    Hello,
    Welcome,
    WelcomeLimits,
    write_reply,
)
from twisted_rpc.wire.server import Refusal
from twisted_rpc.wire.text import legal_principal, legal_session

if TYPE_CHECKING:
    from twisted_rpc.server.protocol import ServerProtocol

SOFTWARE = f"twisted_rpc/{__version__}"


class Negotiation:
    """
    The beginning of one connection.
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(self, protocol: ServerProtocol) -> None:
        self._protocol = protocol
        self._shared = protocol.shared

    def connected(self) -> None:
        """
        Ask the authenticator what it sees in the connection alone; peers of the
        plain profile have nothing else to show.
        """
        protocol = self._protocol
        required = self._shared.authenticator.required
        protocol.authenticated = not required
        if required:
            protocol.MAX_LENGTH = int(
                min(
                    protocol.limits.max_frame,
                    protocol.limits.max_frame_unauthenticated,
                )
            )
        protocol.stop_frames()
        self._authenticate(None, self._known, self._unknown)

    def _known(self, principal: str) -> None:
        self._set_principal(principal)
        self._protocol.start_frames()

    def _unknown(self, error: RPCError) -> None:
        # hello may still say who it is.
        self._protocol.start_frames()

    def hello(self, hello: Hello) -> None:
        """
        Answer a client that negotiates.
        """
        if self._shared.authenticator is None:
            self._welcome(hello)
            return
        if hello.auth is None:
            if self._protocol.authenticated:
                self._welcome(hello)
            else:
                self._refuse(
                    refusal(Code.UNAUTHENTICATED, "authentication is required")
                )
            return

        def known(principal: str) -> None:
            self._set_principal(principal)
            self._welcome(hello)

        self._authenticate(
            {"scheme": hello.auth.scheme, "token": hello.auth.token},
            known,
            self._refuse,
        )

    def _authenticate(
        self,
        auth: dict[str, str] | None,
        known: Callable[[str], None],
        unknown: Callable[[RPCError], None],
    ) -> None:
        answer: Deferred[Any] = maybeDeferred(
            self._shared.authenticator.authenticate, self._protocol.transport, auth
        )

        def checked(principal: Any) -> str:
            # None from an authenticator that knows nobody must not become one.
            if not isinstance(principal, str):
                raise TypeError(f"the authenticator named {type(principal).__name__}")
            if not legal_principal(principal):
                raise ValueError(
                    f"the authenticator named {principal[:64]!r}: a principal has 1 to"
                    " 512 characters, none of them a control character"
                )
            return principal

        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, RPCError):
                self._log.failure("the authenticator failed", failure=failure)
                error = refusal(Code.UNAUTHENTICATED, "authentication failed")
            if not self._protocol.closing:
                unknown(error)

        def succeeded(principal: str) -> None:
            if not self._protocol.closing:
                known(principal)

        answer.addCallback(checked)
        answer.addCallbacks(succeeded, failed)
        answer.addErrback(lambda f: self._log.failure("hello failed", failure=f))

    def _set_principal(self, principal: str) -> None:
        protocol = self._protocol
        protocol.principal = principal
        protocol.caller = self._shared.admission.callers.get(
            principal, protocol.host or ""
        )
        protocol.authenticated = True
        protocol.MAX_LENGTH = protocol.limits.max_frame

    def _refuse(self, error: RPCError) -> None:
        error.executed = "no"
        self._protocol.connection.refuse()
        self._protocol.refuse(Refusal(HELLO_ID, error, close=True, hello=True))

    def _welcome(self, hello: Hello) -> None:
        protocol, shared = self._protocol, self._shared
        if protocol.going_away or shared.admission.draining:
            self._refuse(
                refusal(Code.UNAVAILABLE, "the server is going away", retry_after=0.0)
            )
            return
        wanted = hello.session
        if wanted is not None and not legal_session(wanted):
            # One that does not exist, and that no store has to hear of.
            wanted = None
        attached: Deferred[Any] = maybeDeferred(
            shared.store.attach, protocol.principal, wanted
        )
        attached.addCallbacks(
            self._attached, self._not_attached, callbackArgs=(hello,)
        ).addErrback(lambda f: self._log.failure("hello failed", failure=f))

    def _not_attached(self, failure: Failure) -> None:
        error: Any = failure.value
        failure.trap(RPCError)
        if not self._protocol.closing:
            self._refuse(error)

    def _attached(self, attached: tuple[Session, bool], hello: Hello) -> None:
        protocol, shared = self._protocol, self._shared
        session, resumed = attached
        if protocol.closing:
            shared.store.detach(session, protocol.seconds())
            return
        protocol.session = session
        limits = shared.limits
        ping = max(hello.ping / 1000, limits.min_ping) if hello.ping else 0.0
        if 0 < hello.ping < limits.min_ping * 1000:
            shared.counters.slowed["min_ping"] += 1
        protocol.ping = ping
        protocol.connection.welcome(session.id, hello)
        shared.agreement.met(protocol.principal, protocol.peer, hello)
        welcome = Welcome(
            version=1,
            features=[],
            session=session.id,
            resumed=resumed,
            guarantee=Guarantee(
                store=shared.store.name,
                durable=shared.store.durable,
                classes=list(shared.store.classes),
                window=shared.store.window,
                retention=round(min(shared.store.retention * 1000, MAX_INTEGER)),
            ),
            limits=WelcomeLimits(
                limits.max_frame, int(min(limits.max_inflight, MAX_INTEGER))
            ),
            ping=round(ping * 1000),
            schema=shared.agreement.digests,
            time=shared.wall(),
            software=SOFTWARE,
        )
        protocol.send_frame(
            write_reply(HELLO_ID, msgspec.json.encode(welcome), protocol.stamp)
        )
