# -*- test-case-name: tests.client.test_client -*-
"""
What a client says first on a connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted_rpc._version import __version__
from twisted_rpc.client.secrecy import may_carry_secrets
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import Auth, Hello, HelloLimits

if TYPE_CHECKING:
    from twisted_rpc.client.agreement import Agreement
    from twisted_rpc.client.protocol import ClientProtocol

SOFTWARE = f"twisted_rpc/{__version__}"


class Greeting:
    """
    Hello, as one client says it.
    """

    def __init__(
        self,
        agreement: Agreement,
        limits: Limits,
        *,
        ping: float,
        auth: Mapping[str, str] | None,
        auth_in_clear: bool,
    ) -> None:
        """
        @param agreement: knows the digests of what was loaded.
        @param ping: seconds between two signs of life, as the client wishes.
        @param auth: C{scheme} and C{token}.
        @param auth_in_clear: say them over connections that others can read.
        """
        self._agreement = agreement
        self._limits = HelloLimits(limits.max_frame)
        self._ping = round(ping * 1000)
        self._auth = Auth(auth["scheme"], auth["token"]) if auth is not None else None
        self._in_clear = auth_in_clear

    def hello(self, protocol: ClientProtocol, session: str | None) -> Hello:
        """
        @param session: which is to go on.

        @raise RPCError: FAILED_PRECONDITION, the credentials must not be sent
            over this connection (W18).
        """
        if self._auth is not None and not (
            self._in_clear or may_carry_secrets(protocol.transport)
        ):
            raise RPCError(
                Code.FAILED_PRECONDITION,
                "credentials are not sent in clear text beyond this machine:"
                " use a tls: endpoint, or pass auth_in_clear=True",
                executed="no",
            )
        return Hello(
            versions=[1],
            session=session,
            limits=self._limits,
            ping=self._ping,
            schema=self._agreement.digests,
            auth=self._auth,
            software=SOFTWARE,
        )
