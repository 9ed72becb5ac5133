# -*- test-case-name: tests.server.test_straight -*-
"""
The straight way of calls that come together.

Reading, deduplication, admission, the run, the record and the answer of nearly
every call, in one loop over the frames of a turn: 1.6 us a call, where a function
for each of these parts takes 3.2.  Whatever is not as usual is left to those
functions: before anything has happened, or, if it shows in the run, from there
on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial
from struct import Struct
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_rpc.call import Request, Responder, make_current
from twisted_rpc.delivery.deduplicate import Deduplication
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.delivery.records import (
    INLINE,
    RECORD_SIZE,
    Record,
    Session,
    fingerprint,
)
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import InvalidValue
from twisted_rpc.pulse import Pulse
from twisted_rpc.server.dispatch import Dispatch
from twisted_rpc.transport import SLICE, FrameProtocol
from twisted_rpc.wire.alike import BEGINNING, surroundings
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import REPLY_ID, REPLY_RESULT, write_tail
from twisted_rpc.wire.server import ServerConnection

if TYPE_CHECKING:
    from twisted_rpc.server.methods import Methods, ServedMethod

_LENGTH: Final = Struct("!I")
_unpack = _LENGTH.unpack_from
_pack = _LENGTH.pack

_DONE: Final = State.DONE
_REPLY_SIZE: Final = len(REPLY_ID) + len(REPLY_RESULT)

#: What the context of a turn is a copy of.
_EMPTY: Final = Context()

#: What is left to be done for a call that turned out to be unusual.
Rest = Callable[[], object]

_Around = tuple[bytes, bytes, Any, float]

#: Nothing ends so.
_UNKNOWN: Final[_Around] = (b"", b"\0", None, 0.0)


class Straight:
    """
    What the straight way needs, the same for all connections of a server.
    """

    def __init__(
        self, methods: Methods, dispatch: Dispatch, store: MemoryStore | Recording
    ) -> None:
        """
        @param store: of the server.
        """
        self.services = methods.table
        self.dispatch = dispatch
        self.pressure = dispatch.pressure
        self.release = store.release
        self.store = store if isinstance(store, MemoryStore) else store.local
        self.deduplication = Deduplication(self.store, dispatch.respond)


class StraightProtocol(FrameProtocol):
    """
    A server's connection, as far as the straight way needs it.

    @ivar straight: C{None}: every frame goes the long way.
    @ivar restricted: L{Admission<twisted_rpc.server.admission.Admission>} has to
        look at each call, because the connection goes away or has all the calls in
        progress it may have.
    @ivar session: the session of an extended connection.
    @ivar wall: Unix seconds.
    """

    __slots__ = (
        "_around",
        "_tail",
        "connection",
        "restricted",
        "session",
        "straight",
        "wall",
    )

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        pulse: Pulse,
        *,
        connection: ServerConnection,
        straight: Straight | None,
        wall: Callable[[], float],
    ) -> None:
        super().__init__(clock, limits, pulse)
        self.connection = connection
        self.session: Session | None = None
        self.straight = straight
        self.restricted = False
        self.wall = wall
        # What surrounds the arguments of the calls of this turn.
        self._around: _Around = _UNKNOWN
        self._tail = b""

    def framesReceived(self, data: bytes, offset: int, most: int) -> tuple[int, int]:
        """
        Take the frames that are as usual.
        """
        straight = self.straight
        if straight is None or not self.connection.ordinary:
            return offset, 0
        context = _EMPTY.copy()
        offset, frames, rest = context.run(
            self._go_straight, straight, context, data, offset, most
        )
        if rest is not None:
            # Outside: it is nothing that the call itself does.
            rest()
        return offset, frames

    def _go_straight(  # noqa: PLR0912, PLR0915 - a function for each part would cost 50 ns
        self,
        straight: Straight,
        context: Context,
        data: bytes,
        offset: int,
        most: int,
    ) -> tuple[int, int, Rest | None]:
        """
        The loop.  It runs in C{context}, which all its calls share, and ends when
        one of them has set a variable there: a context for each would take 0.2 us.
        """
        store, pressure, dispatch = straight.store, straight.pressure, straight.dispatch
        connection, session = self.connection, self.session
        assert session is not None
        records = session.records
        seconds, out = self._seconds, self._out
        slow, limit, peer_max = (
            dispatch.slow,
            self.MAX_LENGTH,
            connection.peer_max_frame,
        )
        prefix, seq = connection.prefix, connection.seq
        middle, tail, method, deadline = self._around
        reply_tail = self._tail or self.new_tail()
        ack = frames = 0
        end = len(data)
        rest: Rest | None = None
        before = seconds()
        while rest is None and frames < most and not self._halted:
            start = offset + 4
            if start > end:
                break
            (length,) = _unpack(data, offset)
            stop = start + length
            if stop > end or length > limit:
                break
            request_id = f"{prefix}{seq + 1}"
            known = request_id.encode()
            head = BEGINNING + known + middle
            # 0.2 us, where startswith and endswith take 0.3.
            params = data[start:stop].removeprefix(head).removesuffix(tail)
            if len(head) + len(params) + len(tail) != length:
                # Another method, or written in another turn of the client's.
                found = self._recognize(straight, data, start, stop, known)
                if found is None:
                    break
                middle, tail, method, deadline, ack = found
                continue
            if (
                deadline <= before
                or pressure.level
                or self.restricted
                or seq + 1 in records
                or not 0 <= seq - session.floor < store.window
                or store.bytes >= store.full
            ):
                break
            try:
                args = method.decode_params(params)
            except InvalidValue:
                break
            # Nothing stands in its way.
            offset = stop
            seq += 1
            frames += 1
            request = Request(method, params, request_id, deadline, self, seq)
            record = None
            if method.recorded:
                record = records[seq] = Record(
                    method, params if len(params) <= INLINE else fingerprint(params)
                )
            if ack > session.floor + 1:
                # After the request is classified (D7).
                straight.release(session, ack)
            make_current(request)
            try:
                result = method.function(*args)
            except BaseException as error:  # noqa: BLE001 - it is raised again
                rest = self._rest(request, record, partial(dispatch.raised, error))
                break
            now = seconds()
            if now - before > slow:
                dispatch.name_slow(request, now - before)
            before = now
            if type(result) is Deferred or type(result) is CoroutineType:
                finish = partial(dispatch.finish, context, result)
                rest = self._rest(request, record, finish)
                break
            try:
                encoded = method.encode_result(result)
            except InvalidValue:
                finish = partial(dispatch.finish, context, result)
                rest = self._rest(request, record, finish)
                break
            if record is not None:
                # MemoryStore.complete, for the case that nothing has to go.
                size = RECORD_SIZE + len(encoded)
                total = store.bytes + size
                if (
                    seq > session.floor
                    and session.bytes + size <= store.session_bytes
                    and total <= store.total_bytes
                ):
                    record.state = _DONE
                    record.outcome = encoded
                    record.size = size
                    session.bytes += size
                    store.bytes = total
                else:
                    store.complete(session, seq, record, encoded, now)
            size = _REPLY_SIZE + len(known) + len(encoded) + len(reply_tail)
            if size > peer_max or size > SLICE:
                rest = partial(self.reply, request, encoded)
                break
            out += (_pack(size), REPLY_ID, known, REPLY_RESULT, encoded, reply_tail)
            self._out_size += size
            if self._out_size > SLICE:
                rest = self._flush
            if len(context) != 1:
                # The next call must not see what this one has set.
                break
        connection.seq = seq
        self._around = middle, tail, method, deadline
        return offset, frames, rest

    def _recognize(
        self, straight: Straight, data: bytes, start: int, stop: int, known: bytes
    ) -> tuple[bytes, bytes, ServedMethod, float, int] | None:
        """
        @param known: the id that is expected.

        @return: what stands before and behind the arguments, whose they are, their
            deadline, and the ack; C{None}: the frame goes the long way.
        """
        behind = start + len(BEGINNING) + len(known)
        if data[start:behind] != BEGINNING + known:
            return None
        found = surroundings(data, behind, stop)
        if found is None:
            return None
        methods = straight.services.get(found.service)
        method = None if methods is None else methods.get(found.method)
        if method is None or not method.straight:
            return None
        deadline = self.arrived + found.timeout * 0.001
        return found.middle, found.tail, method, deadline, found.ack

    def _rest(
        self, request: Request, record: Record | None, responder: Responder
    ) -> Rest:
        """
        What is left to be done for a call that has run and is unusual.
        """
        straight, session = self.straight, self.session
        assert straight is not None
        assert session is not None
        if record is not None:
            responder = partial(
                straight.deduplication.claimed,
                holder=session,
                key=request.seq,
                record=record,
                responder=responder,
            )
        return partial(self.call, request, responder)

    def new_tail(self) -> bytes:
        """
        How the replies of this turn end.
        """
        tail = write_tail(self.wall())
        if self._turn:
            self._tail = tail
        return tail

    def turnEnded(self) -> None:
        """
        The next turn has a time of its own.
        """
        self._tail = b""
        self._around = _UNKNOWN

    # -- what is not as usual, in a subclass ------------------------------------------

    def call(self, request: Request, responder: Responder) -> None:
        """
        Answer a call with what C{responder} says.
        """
        raise NotImplementedError

    def reply(self, request: Request, result: bytes) -> None:
        """
        Answer with a result.
        """
        raise NotImplementedError
