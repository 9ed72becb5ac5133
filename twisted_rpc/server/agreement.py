# -*- test-case-name: tests.server.test_agreement -*-
"""
What a server says of clients whose IDL is not the one served.

Nothing of theirs is parsed: a client tells a digest, and compares the IDLs
itself.  Of versions that the server has been given, it knows what they come to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from twisted_rpc.idl import ServiceSchema
from twisted_rpc.wire.messages import Hello

#: Differences that are told while a server lives, whoever connects.
MAX_TOLD: Final = 1000


class Agreement:
    """
    The services of a server, beside those that clients have loaded.

    @ivar digests: by the services' names, as they are told in hello.
    """

    _log = Logger(namespace="twisted_rpc.server")

    def __init__(
        self, services: Mapping[str, ServiceSchema], earlier: Sequence[Any] = ()
    ) -> None:
        """
        @param earlier: versions of the IDL that clients may still have, as
            L{load_idl<twisted_rpc.load_idl>} gives them.
        """
        self.digests = {name: it.digest for name, it in services.items()}
        self._differences: dict[tuple[str, str], tuple[bool, str]] = {}
        self._told: set[tuple[str, str, str, str]] = set()
        for schema in earlier:
            for service in schema.__idl__.services.values():
                self._know(service, services)

    def _know(
        self, service: ServiceSchema, services: Mapping[str, ServiceSchema]
    ) -> None:
        served = services.get(service.wire_name)
        if served is not None and served.digest != service.digest:
            # Of use to few servers, which start 15 ms earlier without.
            from twisted_rpc.idl.evolution.agreement import difference  # noqa: PLC0415

            fits, text = difference(service.model, served.model)
            self._differences[service.wire_name, service.digest] = (
                fits,
                f"that of {service.model.file.path}, which is {text}",
            )

    def met(self, principal: str, peer: str, hello: Hello) -> None:
        """
        A client has introduced itself: tell once for each kind of client what
        differs.
        """
        for name, ours in self.digests.items():
            theirs = hello.schema.get(name)
            if theirs is not None and theirs != ours:
                self._differs(name, theirs[:80], principal, peer, hello.software)

    def _differs(
        self, name: str, theirs: str, principal: str, peer: str, software: str
    ) -> None:
        difference = (name, theirs, principal, software)
        if difference in self._told or len(self._told) >= MAX_TOLD:
            return
        self._told.add(difference)
        fits, text = self._differences.get(
            (name, theirs), (True, "unknown here: the client compares the two")
        )
        tell = self._log.info if fits else self._log.warn
        tell(
            "{service}: the IDL of {principal} at {peer} with {software} is not the one"
            " served, but {difference}",
            service=name,
            principal=principal,
            peer=peer,
            # Whatever a client calls itself is one line.
            software=repr(software),
            difference=text,
            digest=repr(theirs),
        )
        if len(self._told) == MAX_TOLD:
            self._log.warn(
                "{count} clients had another IDL; no more are told of", count=MAX_TOLD
            )
