# -*- test-case-name: tests.server.test_agreement -*-
"""
What a client does about a server whose IDL is not the one loaded here.

Everything that both understand works; what the rest comes to is found out by
asking the server for its IDL, and told in the log once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.errors import IDLError, RPCError
from twisted_rpc.idl import ServiceSchema
from twisted_rpc.idl.reader import read_text
from twisted_rpc.wire.messages import Welcome

if TYPE_CHECKING:
    from twisted_rpc.client.pool import Pool

#: Code points of a server's text that are read: 1,800 lines.  The worst of that
#: size, thousands of structs that meet each other, takes 0.2 s, once.
MAX_TEXT: Final = 64 * 1024

#: Differences that one client tells of.
MAX_TOLD: Final = 64


class Agreement:
    """
    The services that a client has loaded, beside those of its server.

    @ivar digests: by the services' names, as they are told in hello.
    @ivar welcome: how the server has introduced itself last.
    """

    _log = Logger(namespace="twisted_rpc.client")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.digests: dict[str, str] = {}
        self.welcome: Welcome | None = None
        self._peer = ""
        self._services: dict[str, ServiceSchema] = {}
        self._told: set[tuple[str, str, str]] = set()

    def loaded(self, service: ServiceSchema) -> None:
        """
        A proxy of a service has been made.
        """
        self._services[service.wire_name] = service
        self.digests[service.wire_name] = service.digest
        self._compare(service)

    def learned(self, welcome: Welcome, peer: str) -> None:
        """
        A server has introduced itself.
        """
        self.welcome, self._peer = welcome, peer
        for service in self._services.values():
            self._compare(service)

    def _compare(self, service: ServiceSchema) -> None:
        name, ours = service.wire_name, service.digest
        theirs = None if self.welcome is None else self.welcome.schema.get(name)
        if theirs is None or theirs == ours:
            return
        difference = (name, ours, theirs)
        if difference in self._told or len(self._told) >= MAX_TOLD:
            return
        self._told.add(difference)
        answer = self._pool.control("reflect", [name])
        answer.addCallback(self._reflected, service, self._peer)
        answer.addErrback(self._unknown, service, self._peer)

    def _reflected(self, told: Any, service: ServiceSchema, peer: str) -> None:
        # Nearly all clients have the IDL of their server, and start 15 ms earlier.
        from twisted_rpc.idl.evolution.agreement import difference  # noqa: PLC0415

        theirs = _service(told, service.wire_name, peer)
        fits, text = difference(service.model, theirs)
        tell = self._log.info if fits else self._log.warn
        tell(
            "{service}: the IDL of {peer} is not the one loaded here; they are"
            " {difference}",
            service=service.wire_name,
            peer=peer,
            difference=text,
        )

    def _unknown(self, failure: Failure, service: ServiceSchema, peer: str) -> None:
        error = failure.trap(RPCError, IDLError, TypeError, ValueError)
        reason = str(failure.value).partition("\n")[0]
        self._log.warn(
            "{service}: the IDL of {peer} is not the one loaded here; what differs"
            " cannot be told: {reason}",
            service=service.wire_name,
            peer=peer,
            reason=reason[:200] or error.__name__,
        )


def _service(told: Any, name: str, peer: str) -> Any:
    """
    @return: what a server tells of a service.
    @raise ValueError: it is nothing that can be read.
    """
    text = told.get("idl") if isinstance(told, dict) else None
    if not isinstance(text, str):
        raise ValueError("the server's answer is no IDL")  # noqa: TRY004 - the server's mistake, not a caller's
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has more than {MAX_TEXT} characters")
    services = read_text(text, f"<{name} at {peer}>").services.values()
    found = {it.wire_name: it for it in services}.get(name)
    if found is None:
        raise ValueError("the server's answer is another service's")
    return found
