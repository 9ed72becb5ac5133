# -*- test-case-name: tests.client.test_calls -*-
"""
What becomes of the calls of a session whose attempts did not end them.

L{twisted_rpc.client.retry} decides; this carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted_rpc.client.retry import FORGOTTEN, Step, after_answer, unanswered
from twisted_rpc.deadlines import TICK
from twisted_rpc.errors import Code, RPCError

if TYPE_CHECKING:
    from twisted_rpc.client.calls import Call
    from twisted_rpc.client.link import Link

#: Calls that are sent again in one turn after a reconnection.
PACE = 64


class Retrying:
    """
    The attempts after the first, of one link.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pool = link.pool
        self._sending: Any = None

    # -- after an answer ------------------------------------------------------------------

    def judge(self, call: Call, error: RPCError) -> None:
        """
        The server answered an attempt with C{error}.
        """
        if error.executed == "unknown":
            call.ambiguous = True
        elif error.executed == "no":
            call.last = error
        step = after_answer(error, call.target.delivery, anew=call.anew)
        if step is Step.FAIL:
            self._link.end(call)
            if error.executed == "yes" and error.code not in FORGOTTEN:
                self._link.useful = True
                self._pool.budget.success()
            call.failed(error)
        elif step is Step.ANEW:
            self._make_anew(call, error)
        elif self._is_free(call, error):
            call.free = 1
            self._repeat(call)
        else:
            self._retry(call, error)

    def _is_free(self, call: Call, error: RPCError) -> bool:
        """
        Whether C{call} did not run and is repeated once at once, free (C5): of
        attempts, of a wait, and of the budget, which must not be spent though,
        so that a server that refuses everything is not asked twice as much.
        """
        return (
            error.code is Code.UNAVAILABLE
            and error.executed == "no"
            and not error.retry_after
            and not call.free
            and self._pool.budget.allows()
        )

    def _make_anew(self, call: Call, error: RPCError) -> None:
        self._link.end(call)
        call.anew = True
        worth = self._pool.worth_another()
        if worth and call.delay(unanswered()) is not None and self._pool.in_time(call):
            self._pool.counters.made_anew += 1
            self._pool.requeue(call)
        else:
            call.failed(error)

    def _retry(self, call: Call, error: RPCError) -> None:
        worth = self._pool.worth_another()
        delay = call.delay(error) if worth else None
        if delay is None or not self._pool.in_time(call, delay):
            self._link.end(call)
            if call.ambiguous and error.executed == "no":
                # This attempt did not run; one before it may have.
                call.gave_up()
            else:
                call.failed(error)
        elif call.forsaken and call.ambiguous:
            self.forsake(call)
        else:
            call.retry = self._pool.clock.callLater(delay, self.again, call)

    def again(self, call: Call) -> None:
        """
        It has waited as long as it was told to.
        """
        call.retry = None
        self._repeat(call)
        if self._pool.queue:
            self._pool.pump()
        self._link.end_if_done()

    def _repeat(self, call: Call) -> None:
        if call.forsaken:
            self.forsake(call)
        else:
            self._link.rewrite(call)

    # -- after a loss -----------------------------------------------------------------------

    def unanswered(self, calls: list[Call]) -> None:
        """
        The connection on which C{calls} were written has ended: those that are
        not attempted again end, the others wait for another connection.
        """
        if not calls:
            return
        # One failure, however many calls it held (C9); two, if some were there for
        # the second time: a server that dies of what it is sent is not sent all of
        # that five times.
        if any(call.attempts > 1 for call in calls):
            self._pool.budget.failure()
        worth = self._pool.worth_another()
        for call in calls:
            call.flying = None
            call.ambiguous = True
        for call in calls:
            if call.done:
                continue
            if call.forsaken:
                self.forsake(call, worth=worth)
            elif not worth or call.delay(unanswered()) is None:
                self._link.end(call)
                call.gave_up()

    def forsake(self, call: Call, *, worth: bool = True) -> None:
        """
        A call is not answered under its id any more, because its session has
        ended.
        """
        self._link.end(call)
        if not call.ambiguous:
            # Every attempt was answered "no" (D8).
            self._pool.requeue(call)
        elif (
            worth
            and call.repeatable
            and not call.anew
            and call.delay(unanswered()) is not None
        ):
            call.anew = True
            self._pool.counters.made_anew += 1
            self._pool.requeue(call)
        else:
            call.gave_up()

    def resend(self) -> None:
        """
        After a reconnection: send again what has no answer, in the order of seq,
        so many a turn, and not more than the server takes.
        """
        if self._sending is None:
            self._send_some()

    def _send_some(self) -> None:
        self._sending = None
        link = self._link
        if link.protocol is None or link.plain:
            return
        room = min(PACE, link.unused_room)
        waiting = self._waiting()
        for call in waiting[:room]:
            if call.done:
                continue
            if call.due or self._pool.in_time(call):
                link.rewrite(call)
            else:
                link.end(call)
                call.gave_up()
        if waiting[room:] and link.protocol is not None:
            pause = 0 if room == PACE else TICK
            self._sending = self._pool.clock.callLater(pause, self._send_some)
        link.end_if_done()

    def _waiting(self) -> list[Call]:
        now = self._pool.seconds()
        ceiling = self._link.ceiling
        return [
            call
            for call in self._link.pending.values()
            if call.flying is None
            and call.retry is None
            and not call.forsaken
            and call.seq < ceiling
            and call.deadline > now
        ]

    def stop(self) -> None:
        """
        Leave no timer.
        """
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
