# -*- test-case-name: tests.client.test_plain_server -*-
"""
Calls to a server that knows the plain profile only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_rpc.client.retry import unanswered
from twisted_rpc.wire.messages import ReplyMessage, write_stamp

if TYPE_CHECKING:
    from twisted_rpc.client.calls import Call
    from twisted_rpc.client.link import Link
    from twisted_rpc.client.protocol import ClientProtocol


class PlainLane:
    """
    One call at a time, since such a server takes the next only when it has
    answered; a pool has several lanes.

    @ivar call: the one that is waited for.
    @ivar sent: how many were written for the first time.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pool = link.pool
        self.call: Call | None = None
        self.sent = 0

    @property
    def free(self) -> bool:
        """
        Whether a call may be written here now.
        """
        protocol = self._link.protocol
        return (
            self._link.plain
            and self.call is None
            and protocol is not None
            and not protocol.closing
            and not protocol.going_away
        )

    def write(self, call: Call) -> None:
        """
        Write a call; the next waits for its answer.
        """
        protocol = self._link.protocol
        assert protocol is not None  # the lane is free
        call.attempts += 1
        call.id = call.opaque_id()
        call.seq = 0
        if not call.stamp:
            call.stamp = write_stamp(self._pool.wall())
        # A plain server counts: what the caller left out is sent too (F7).
        params = call.target.schema.complete_params(call.params)
        body = call.target.template.write(call.id, params, call.stamp)
        if len(body) > self._link.max_frame:
            self._link.refuse_size(call, protocol, len(body))
            return
        if call.attempts > 1:
            self._pool.counters.resent += 1
        else:
            self.sent += 1
        call.link = self._link
        call.flying = protocol
        self.call = call
        protocol.connection.open_ids.append(call.id)
        protocol.send_frame(body)
        if call.target.oneway:
            call.done = True
            call.callback(None)

    def answered(self, protocol: ClientProtocol, message: ReplyMessage) -> None:
        """
        The server has answered.
        """
        call, self.call = self.call, None
        if call is not None and not call.done:
            call.flying = None
            self._link.useful = True
            self._pool.budget.success()
            if message.error is None:
                call.answered(message)
            else:
                call.failed(protocol.connection.error_of(message))
        self.leave()
        self._pool.pump()
        self._link.end_if_done()

    def leave(self) -> None:
        """
        Go on with another connection, if this one is to be left and is not
        waited for.
        """
        protocol = self._link.protocol
        if protocol is not None and protocol.going_away and self.call is None:
            self._link.replace_plain()

    def give_up(self) -> None:
        """
        The answer that was waited for is of no use any more, it may never come,
        and what came next here would be behind it: go on with another
        connection.
        """
        self.call = None
        self._link.replace_plain()

    def expire(self, now: float) -> None:
        """
        End the call if its time is up.
        """
        call = self.call
        if call is not None and call.deadline <= now:
            self.give_up()
            call.gave_up(late=True)

    def lost(self, protocol: ClientProtocol) -> None:
        """
        The connection ended before the answer: only what may run twice is sent
        again, because a plain server does not see a duplicate of a call that
        runs (C13).
        """
        call = self.call
        if call is None or call.flying is not protocol:
            return
        self.call = call.flying = None
        if call.done:
            return
        call.ambiguous = True
        error = unanswered()
        worth = self._pool.worth_another()
        delay = call.delay(error) if worth and call.repeatable else None
        if delay is None or not self._pool.in_time(call, delay):
            call.gave_up()
            return
        # It keeps its id, which stands outside sessions, and waits as forsaken
        # calls do, so that its deadline and the client's end find it.
        call.forsaken = True
        self._link.pending[call.id] = call
        call.retry = self._pool.clock.callLater(delay, self._again, call)

    def _again(self, call: Call) -> None:
        call.retry = None
        self._link.end(call)
        self._pool.requeue(call)
        self._pool.pump()
        self._link.end_if_done()
