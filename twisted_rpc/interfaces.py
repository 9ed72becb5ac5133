# -*- test-case-name: tests.test_interfaces -*-
"""
The seams: what a user may replace, each an interface of one or two methods that
is consulted in one place.

Durations are seconds, as C{float}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted_rpc.call import Request
    from twisted_rpc.errors import RPCError

__all__ = [
    "IAuthenticator",
    "IAuthorizer",
    "IBalancer",
    "IRegistry",
    "IResolver",
    "IRetryBudget",
    "IRetryPolicy",
]


class IRegistry(Interface):
    """
    What a server serves: services of the IDL, each with what implements it.
    """

    services = Attribute(
        """
        The services by their name on the wire, each with its C{schema}, its
        C{implementation} and its C{methods} by their name on the wire, further
        names (C{@aliases}) included.  A server looks methods up here and nowhere
        else, so that only what the IDL declares can be called.
        """
    )

    def register(interface: Any, implementation: Any, *, strict: bool = False) -> None:
        """
        Serve C{interface} with C{implementation}, once it has been verified.

        @param interface: an interface of a loaded IDL, or its service.
        @param implementation: any object that has the interface's methods.
        @param strict: warnings refuse the implementation too.

        @raise twisted_rpc.server.registry.RegistrationError: it does not fit;
            every fault is named.
        """


class IAuthenticator(Interface):
    """
    Tells who is calling.  Asked once a connection, when it says hello.
    """

    required = Attribute(
        """
        C{bool}: a connection that has not authenticated may not call.  Frames
        before that are limited to L{twisted_rpc.Limits.max_frame_unauthenticated}
        bytes, and the first must come within C{first_frame} seconds.
        """
    )

    def authenticate(peer: Any, auth: Mapping[str, str] | None) -> str | Awaitable[str]:
        """
        Name the principal of a connection.

        @param peer: the connection's transport; a certificate is
            C{peer.getPeerCertificate()} where there is one.
        @param auth: what hello said, C{scheme} and C{token}, or C{None}.  A
            token is a secret: never log it.

        @return: the principal, or a Deferred that fires with it.  Records of
            deduplication belong to it, so it must be the same text each time
            that the same caller connects.

        @raise twisted_rpc.errors.Unauthenticated: nobody is known by this; a
            Deferred fails with it.
        """


class IAuthorizer(Interface):
    """
    Tells who may call what.  Asked once a call, before it is answered from a
    record or run.
    """

    def authorize(request: Request) -> Awaitable[None] | None:
        """
        Let C{request} pass, or refuse it.

        @param request: with C{principal}, C{service}, C{name} and C{method}.

        @return: C{None}, or a Deferred that fires when it may pass.

        @raise twisted_rpc.errors.PermissionDenied: it may not; a Deferred fails
            with it.
        """


class IRetryPolicy(Interface):
    """
    Tells whether and when a call is attempted again.

    It decides and does nothing: what may not be repeated safely is never asked
    about, and the deadline of the call stands above its answer.
    """

    def delay(attempt: int, error: RPCError) -> float | None:
        """
        How long to wait before attempting a call again.

        @param attempt: how many attempts have failed, this one included; 1 or
            more.
        @param error: how the last one failed.  Where it has a C{retry_after},
            the wait is not shorter than that.

        @return: a time in seconds, 0 or more, or C{None} to give up.
        """


class IRetryBudget(Interface):
    """
    Bounds what retries add to the load of a server that is failing; one for each
    server.  It never waits: spent is failed.

    @see: U{gRFC A6 <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>}
    """

    def success() -> None:
        """
        An attempt was answered.
        """

    def failure() -> bool:
        """
        An attempt failed that is worth another.

        @return: whether the budget has room for one.
        """

    def allows() -> bool:
        """
        Whether the budget has room for a retry now; takes nothing from it.
        """


class IResolver(Interface):
    """
    Finds the addresses of a server.
    """

    def resolve() -> Awaitable[Sequence[Any]]:
        """
        Where the server is now.

        @return: a Deferred that fires with endpoints
            (L{twisted.internet.interfaces.IStreamClientEndpoint}), the preferred
            ones first, or fails with L{twisted_rpc.errors.Unavailable} if none
            is known.  It is asked again when connections are lost.
        """


class IBalancer(Interface):
    """
    Chooses the address that takes a call.
    """

    def pick(channels: Sequence[Any], request: Request) -> Any:
        """
        One of C{channels} for one attempt of C{request}.

        @param channels: those that are connected, in the resolver's order; at
            least one.  Each has C{in_flight}, the calls it waits for.
        """
