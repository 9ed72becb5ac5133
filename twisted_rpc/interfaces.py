# -*- test-case-name: tests.test_interfaces -*-
"""
The seams: what a user may replace, each an interface of one or two methods that
is consulted in one place.

Durations are seconds, as C{float}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from twisted_rpc.call import Request
    from twisted_rpc.delivery.claims import (
        Attached,
        Claim,
        Found,
        Key,
        RecordRow,
        SessionRow,
        Totals,
    )
    from twisted_rpc.delivery.records import Outcome
    from twisted_rpc.errors import RPCError

__all__ = [
    "IAuthenticator",
    "IAuthorizer",
    "IBalancer",
    "IDedupStore",
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

        @return: the principal, or a Deferred that fires with it: 1 to 512
            characters, none of them a control character.  Records of
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


class IDedupStore(Interface):
    """
    Keeps what is known of calls, for one server or for several.

    Each method is one atomic step of the store: whatever else happens, other
    servers included, it is done whole or not at all.  What a step decides it has
    from the table (L{twisted_rpc.delivery.claims.judged}), read and written in
    the same step.  Steps are asked for on the reactor's thread, and each returns
    a Deferred that may fail with L{twisted_rpc.delivery.claims.StoreError}: the
    store cannot be reached, or has no room.  It is then asked again, so a step
    that was done already must not do harm the second time.

    One object serves one server.  Every implementation passes
    L{twisted_rpc.testing.DedupStoreTests}.
    """

    name = Attribute("""C{str}: what clients are told, e.g. C{"sqlite"}.""")

    durable = Attribute("""C{bool}: records outlive the process.""")

    shared = Attribute("""C{bool}: several processes may use it at the same time.""")

    classes = Attribute(
        """
        The classes of methods whose promises it can keep, e.g. C{"once"}.  A
        server of a method with another is not made.
        """
    )

    window = Attribute("""C{int}: seqs of a session above its floor (row 4).""")

    waiters = Attribute("""C{int}: duplicates that may wait for one run (row 9).""")

    retention = Attribute(
        """
        C{float}: seconds that a session which nobody uses, and the record of a
        request without a session, are kept.
        """
    )

    def start(reactor: Any) -> Deferred[None]:
        """
        Begin a life of this server: settle what its earlier lives, and other
        servers that are gone, left running (row 11, D22).

        @param reactor: runs threads and timers.

        @return: fails with L{twisted_rpc.delivery.claims.StoreError}, whose text
            is for whoever started the server, if it cannot be used.
        """

    def stop() -> Deferred[None]:
        """
        End this life: finish what was asked for, then let everything go.
        """

    def attach(principal: str, wanted: str | None) -> Deferred[Attached]:
        """
        A connection of C{principal} wants a session: C{wanted}, if that is alive
        and its own, else a new one (D1, D19).

        @return: fails with L{twisted_rpc.errors.ResourceExhausted}, none can be
            had; a L{StoreError<twisted_rpc.delivery.claims.StoreError>} tells in
            C{session} which may have been made all the same.
        """

    def detach(session: str) -> Deferred[None]:
        """
        No connection of this server uses C{session} any more (D20).  It is not
        asked while L{attach} is, for one session, nor the other way round; other
        servers that use it go on to.
        """

    def end(session: str) -> Deferred[None]:
        """
        C{session} dies, for ever, and its records with it.
        """

    def claim(claim: Claim) -> Deferred[Found]:
        """
        Look a request up and, if the table says so, claim it: the record is
        IN_PROGRESS, this server's, and its fence one higher (row 15).  With
        C{claim.run} false it is looked up only.

        What runs in this server is never claimed; a claim of this server's that
        is found IN_PROGRESS was made and not heard of, and is made anew.

        @return: fails with L{twisted_rpc.errors.ResourceExhausted} if it would
            run and there is no room to remember it.
        """

    def transact(claim: Claim, run: Callable[[Any], Outcome | None]) -> Deferred[Found]:
        """
        Claim a request, run it and record its answer in one transaction (D13).

        @param run: called in a thread with the transaction, a DB-API connection
            that must not be committed or kept.  What it did is undone if the
            answer is an error.  C{None}: it did not run, and there will be no
            record.  It may be called again if the transaction is lost.

        @return: with the answer of this run (C{ran}), or what stands against it;
            fails with L{twisted_rpc.delivery.claims.UncommittedError}, what it did
            cannot be committed, and there is no record.
            Stores without C{"transactional"} among their classes do not have
            this method.
        """

    def complete(key: Key, fence: int, outcome: Outcome) -> Deferred[Found | None]:
        """
        A run has ended: IN_PROGRESS or IN_DOUBT of this fence becomes DONE
        (D10), a call below its session's floor is dropped.

        @return: C{None}; or what the record says, if it is not this run's any
            more, which then counts for nothing.
        """

    def unclaim(key: Key, fence: int) -> Deferred[None]:
        """
        What was claimed did not run and will not: it is as before the first
        claim (D15).
        """

    def resolve(key: Key, fence: int, outcome: Outcome) -> Deferred[bool]:
        """
        Somebody knows what became of a call: IN_DOUBT becomes DONE (D12).

        @return: whether it did.
        """

    def release(session: str, floor: int) -> Deferred[None]:
        """
        Raise the floor of C{session}, and drop what is at or below it and does
        not run (D7).  What is in doubt, or was resolved, stays for whoever asks
        what became of it, and goes C{retention} later: no request is answered
        from it any more.
        """

    def find(key: Key) -> Deferred[RecordRow | None]:
        """
        The record of a call, whoever asks.
        """

    def expire() -> Deferred[None]:
        """
        Called every few seconds: renew what says that this server is alive, unless
        the store does so by itself, settle what others left running, end sessions
        and drop records that are older than C{retention} (D20, D28), keep to the
        bounds of size and count.
        """

    def totals() -> Deferred[Totals]:
        """
        Count what is there.
        """

    def sessions(limit: int) -> Deferred[Sequence[SessionRow]]:
        """
        Sessions, the longest unused first.
        """

    def records(state: str | None, limit: int) -> Deferred[Sequence[RecordRow]]:
        """
        Records, the oldest first.

        @param state: only those of this L{State<twisted_rpc.delivery.table.State>},
            by its name.
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
