# -*- test-case-name: tests.client.test_calls -*-
"""
A call of a client, until it ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_rpc.call import Request, without_call
from twisted_rpc.client.inheriting import passed_on
from twisted_rpc.client.retry import (
    MAX_ATTEMPTS,
    REPEATABLE,
    RESEND_FOR,
    RETRIABLE,
    final_error,
)
from twisted_rpc.errors import ERRORS, Code, InvalidValue, RPCError
from twisted_rpc.median import moved
from twisted_rpc.wire.messages import CallTemplate, ReplyMessage

if TYPE_CHECKING:
    from twisted_rpc.client.link import Link
    from twisted_rpc.client.pool import Pool


class Target:
    """
    A method as a proxy calls it: everything the calls have in common.

    @ivar ask: makes a call of it, given it and the text of the arguments; fires
        with the result.
    @ivar schema: the method in the IDL.
    @ivar usual: a first attempt says nothing but what every call says.
    @ivar timeout: seconds, over all attempts.
    @ivar policy: provides L{IRetryPolicy<twisted_rpc.interfaces.IRetryPolicy>}.
    @ivar metadata: sent with each call, or C{None}.
    @ivar wait_for_ready: a call waits for a connection until its deadline.
    @ivar median: how long an answer takes, about, in seconds; 0 until known.
    """

    __slots__ = (
        "ask",
        "decode",
        "delivery",
        "median",
        "metadata",
        "oneway",
        "policy",
        "read",
        "schema",
        "service",
        "template",
        "timeout",
        "usual",
        "wait_for_ready",
        "wire_name",
    )

    def __init__(
        self,
        schema: Any,
        timeout: float,
        policy: Any,
        metadata: Mapping[str, str] | None,
        wait_for_ready: bool,
    ) -> None:
        self.ask: Callable[[Target, bytes], Deferred[Any]]
        self.schema = schema
        self.service: str = schema.service
        self.wire_name: str = schema.wire_name
        self.delivery: str = schema.delivery
        self.oneway: bool = schema.oneway
        self.decode: Callable[[bytes], Any] = schema.decode_result
        self.read: Callable[[bytes], Any] = schema.read_result
        self.timeout = timeout
        self.template = CallTemplate(
            schema.service, schema.wire_name, max(1, round(timeout * 1000))
        )
        self.policy = policy
        self.metadata = dict(metadata) if metadata else None
        self.usual = not self.metadata and not self.oneway
        self.wait_for_ready = wait_for_ready
        self.median = 0.0

    def took(self, seconds: float) -> None:
        """
        An answer has taken so long.
        """
        self.median = moved(self.median, seconds)


class Outgoing(Request):
    """
    A call on its way through the interceptors of a client.

    @ivar nested: a server makes it for the call that it answers.
    """

    nested: bool = False


#: The C{tick} of a call that has never waited, and whose time left is not that of
#: its target.
EXACT = -1


class Call(Deferred[Any]):
    """
    One call, and the Deferred of its result, in one object: that takes 0.4 us
    less than two.  It ends exactly once.

    @ivar params: the text of the array, the same in every attempt.
    @ivar deadline: in the clock's seconds.
    @ivar id: the request id, once there is one.
    @ivar seq: its number in the session; 0 outside one.
    @ivar read: makes the result of its text.
    @ivar stamp: when it was made, as it stands in every attempt.
    @ivar attempts: how many were written.
    @ivar free: how many of them do not count for the policy (C5): 0 or 1.
    @ivar due: another attempt is decided, and waits for a connection.
    @ivar ambiguous: an attempt may have run and did not answer.
    @ivar anew: it was made anew, under a second id, after the server forgot it.
    @ivar flying: the connection the last attempt was written to, while it has
        no answer.
    @ivar link: where it is pending.
    @ivar nested: a server makes it for the call that it answers.
    @ivar tick: where it stands among the deadlines of those that wait, or did;
        0: its time is that of the target, and began as it was written.
    @ivar given: seconds that it has at first; 0: those of its target.
    @ivar sent: when its first attempt was written; 0.0: as it was made.
    @ivar forsaken: the session of its id has ended; it can only be answered on
        the connection it flies on, which had that session.
    """

    id: str = ""
    seq: int = 0
    ambiguous: bool = False
    anew: bool = False
    free: int = 0
    due: bool = False
    forsaken: bool = False
    sent: float = 0.0
    given: float = 0.0
    last: RPCError | None = None
    flying: Any = None
    link: Link | None = None
    nested: bool = False
    done: bool = False
    opaque: str = ""

    def __init__(
        self,
        pool: Pool,
        target: Target,
        params: bytes,
        deadline: float,
        metadata: Mapping[str, str] | None,
    ) -> None:
        Deferred.__init__(self, _given_up)
        self.pool = pool
        self.target = target
        self.params = params
        self.deadline = deadline
        self.metadata = metadata
        # What every call is asked about: to find it in the class would take Python
        # 3.11 40 ns each time, and an instance 5.
        self.stamp = b""
        self.attempts = self.tick = 0
        self.read = target.read
        self.retry: Any = None

    def inherit(self, outer: Request) -> None:
        """
        It is made for a call that a server answers: it has no more time than
        that (C3), and carries its trace.
        """
        self.nested = True
        self.deadline = min(self.deadline, self.pool.seconds() + outer.time_left)
        self.metadata = passed_on(outer.metadata, self.metadata, self.pool.limits)

    @property
    def least(self) -> float:
        """
        Seconds that it must have left once it has waited to be sent: half as
        much again as the median, with which every other one would be lost; and
        never more than half of what it has at first, whatever was seen.
        """
        given = self.given or self.target.timeout
        return min(1.5 * self.target.median, given / 2)

    # -- ends ---------------------------------------------------------------------------

    def answered(self, message: ReplyMessage) -> None:
        """
        It succeeded.
        """
        self.done = True
        try:
            result = self.read(message.result)
        except Exception:  # noqa: BLE001 - decoded again, to be told what is wrong
            result = decoded(self.target, message.result)
        # Who keeps the Deferred need not keep what was asked.
        self.params = b""
        self.callback(result)

    def failed(self, error: RPCError) -> None:
        """
        It failed.
        """
        if self.done:
            return
        self._stop()
        self.params = b""
        self.pool.counters.errors[error.code.value] += 1
        if self.ambiguous and error.executed == "no":
            # The last attempt did not run; one before it may have (D8).
            error.executed = "unknown"
        if self.nested and self.attempts > 1 and error.code in RETRIABLE:
            # Who gets it from this server is not to try what was tried (C8).
            error.retry_after = -1.0
        if self.id and type(error) is ERRORS[error.code]:
            # Not of an exception of the IDL, which may have a member of that name.
            error.request_id = self.id
        self.errback(Failure(error))

    def gave_up(self, *, late: bool = False) -> None:
        """
        It ended without an answer that ends a call.
        """
        in_flight = self.flying is not None
        self.failed(
            final_error(
                self.target.delivery,
                late=late,
                ambiguous=self.ambiguous or in_flight,
                last=self.last,
            )
        )

    def expired(self) -> None:
        """
        Its time is up while it waits to be sent.
        """
        self.pool.queue.discard(self)
        self.gave_up(late=True)

    def _stop(self) -> None:
        self.done = True
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None

    def given_up(self) -> None:
        """
        The caller gives it up: no more attempts, and the server is told.
        """
        self._stop()
        self.pool.queue.discard(self)
        if self.link is not None:
            # Others may be told of their calls, which are not for that of the caller.
            without_call(self.link.cancelled, self)

    def delay(self, error: RPCError) -> float | None:
        """
        When it may be attempted again, after C{error}.

        @return: seconds; C{None}: it may not.
        """
        if self.attempts >= MAX_ATTEMPTS:
            return None
        if self.pool.wall() - float(self.stamp) > RESEND_FOR:
            return None
        policy: float | None = self.target.policy.delay(
            self.attempts - self.free, error
        )
        return policy

    def took(self) -> None:
        """
        It was answered, and tells how long that takes.
        """
        if self.attempts == 1:
            began = self.sent or self.deadline - self.target.timeout
            self.target.took(self.pool.seconds() - began)

    def missed(self, now: float) -> None:
        """
        It was not answered in the time that it had left when it was sent: others
        need more.
        """
        flown = now - self.sent
        if self.sent and self.attempts == 1 and flown > self.target.median:
            self.target.took(flown)

    # -- identity -------------------------------------------------------------------------

    @property
    def repeatable(self) -> bool:
        """
        Whether it may run more than once.
        """
        return self.target.delivery in REPEATABLE

    def opaque_id(self) -> str:
        """
        The id for plain servers: random, and the same in every attempt.
        """
        if not self.opaque:
            self.opaque = secrets.token_hex(16)
        return self.opaque

    def ext(self, now: float, ack: int) -> dict[str, Any]:
        """
        C{ext} of an attempt that is written now.
        """
        left = max(1, int((self.deadline - now) * 1000))
        ext: dict[str, Any] = {"timeout": left, "ack": ack}
        if self.attempts > 1:
            ext["attempt"] = self.attempts
        if self.target.oneway:
            ext["oneway"] = True
        if self.metadata:
            ext["meta"] = dict(self.metadata)
        return ext


def _given_up(call: Deferred[Any]) -> None:
    assert isinstance(call, Call)  # it has no other canceller
    call.given_up()


def decoded(target: Target, text: bytes) -> Any:
    """
    @return: the result, or a L{Failure} that says why the text is none.
    """
    try:
        return target.decode(text)
    except InvalidValue as error:
        return Failure(
            RPCError(
                Code.INTERNAL,
                f"the reply does not fit the IDL: {error}",
                executed="yes",
            )
        )


def declared(call: Call, error: RPCError, message: ReplyMessage) -> RPCError:
    """
    The exception of the IDL's that C{error} stands for, if this side knows it.
    """
    ext = message.ext
    if ext is None or ext.type is None:
        return error
    known: RPCError | None = call.target.schema.decode_exception(
        ext.type, bytes(ext.data), error.message, error.code
    )
    if known is None:
        return error
    known.executed = error.executed
    known.remote = True
    known.retry_after = error.retry_after
    known.replayed = error.replayed
    known.error_id = error.error_id
    return known
