# -*- test-case-name: tests.server.test_straight -*-
"""
The straight way of calls that come together.

Reading, deduplication, admission, the run, the record and the answer of nearly
every call, in one loop over the frames of a turn: 1.9 us a call, where a function
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
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_rpc.call import Request, Responder, make_current
from twisted_rpc.delivery.deduplicate import Deduplication
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.recording import Recording
from twisted_rpc.delivery.records import (
    INLINE,
    RECORD_SIZE,
    Session,
    fingerprint,
)
from twisted_rpc.errors import InvalidValue
from twisted_rpc.pulse import Pulse
from twisted_rpc.server.dispatch import Dispatch
from twisted_rpc.transport import SLICE, FrameProtocol
from twisted_rpc.wire.alike import (
    BEGINNING,
    MIDDLE_SIZE,
    PARAMS,
    middle_of,
    read_tail,
    successive,
)
from twisted_rpc.wire.limits import Limits
from twisted_rpc.wire.messages import REPLY_RESULT, write_tail
from twisted_rpc.wire.server import ServerConnection

if TYPE_CHECKING:
    from twisted_rpc.server.methods import Methods, ServedMethod

_LENGTH: Final = Struct("!I")
_unpack = _LENGTH.unpack_from
_pack = _LENGTH.pack

#: What the context of a turn is a copy of.
_EMPTY: Final = Context()

#: What is left to be done for a call that turned out to be unusual.
Rest = Callable[[], object]

#: Methods by what stands between id and arguments.
_Named = dict[bytes, "ServedMethod"]

#: What stands behind arguments, and says: the methods of the service, until when the
#: caller waits, and the ack.
_Tail = tuple[bytes, _Named, float, int]

#: What stands before and behind the arguments of a call, and what it says.
_Around = tuple[bytes, "ServedMethod", _Tail]


def _find_method(
    methods: _Named, data: bytes, start: int
) -> tuple[bytes, ServedMethod] | None:
    """
    @param start: where an id ends.

    @return: the text from there to the arguments, and the method that it names;
        C{None}: the call goes the long way.
    """
    stop = data.find(PARAMS, start, start + MIDDLE_SIZE) + len(PARAMS)
    middle = data[start:stop]
    method = methods.get(middle)
    return None if method is None else (middle, method)


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
        self.services: dict[str, _Named] = {
            service: {
                middle_of(name): method
                for name, method in named.items()
                if method.straight
            }
            for service, named in methods.table.items()
        }
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
        self._tail = b""

    def framesReceived(self, data: bytes, offset: int, most: int) -> tuple[int, int]:
        """
        Take the frames that are as usual.
        """
        straight, frames = self.straight, 0
        around: _Around | None = None
        if straight is None or not self.connection.ordinary:
            return offset, 0
        while frames < most and not self._halted and self._length(data, offset):
            known = around is not None
            if around is None:
                around = self._recognize(straight, data, offset)
                if around is None:
                    break
            context = _EMPTY.copy()
            taken, offset, rest, around = context.run(
                self._go_straight,
                straight,
                around,
                context,
                data,
                offset,
                most - frames,
            )
            frames += taken
            if rest is not None:
                # Outside: it is nothing that the call itself does.
                rest()
            if not taken:
                if not known:
                    break
                # Another service, perhaps.
                around = None
        return offset, frames

    def _go_straight(  # noqa: PLR0912, PLR0915, PLR0917 - each function would cost 50 ns
        self,
        straight: Straight,
        around: _Around,
        context: Context,
        data: bytes,
        offset: int,
        most: int,
    ) -> tuple[int, int, Rest | None, _Around]:
        """
        The loop over frames.  It runs in C{context}, which its calls share, and
        ends when one of them has set a variable there: a context for each would
        take 0.2 us.

        @param around: the first, perhaps.

        @return: how many were taken, where the next stands, what is left to be done
            for the last, and what stands around it.
        """
        middle, method, (tail, methods, deadline, ack) = around
        store, pressure, dispatch = straight.store, straight.pressure, straight.dispatch
        connection, session = self.connection, self.session
        assert session is not None
        noted, kept = session.noted, session.kept
        seconds, slow, out = self._seconds, dispatch.slow, self._out
        decode, function, name = method.decode_params, method.function, method.full_name
        encode, recorded = method.encode_result, method.recorded
        first = seq = connection.seq + 1
        if seq <= session.floor or ack > seq or session.current is not None:
            # The last: what runs has caused these calls, by another connection.
            return 0, offset, None, around
        high, endings = successive(connection.prefix, seq)
        known = BEGINNING + high.encode()
        reply_tail = self._tail or self.new_tail()
        # Of an answer, but for its length.
        fixed = len(known) + len(endings[0][1]) + len(REPLY_RESULT) + len(reply_tail)
        biggest = min(connection.peer_max_frame, SLICE)
        end = len(data)
        room = free = store.free(session)
        size = answer_size = written = due = 0
        expected = -1
        begin = answer_begin = b""
        responder: Responder | None = None
        before = seconds()
        allowed = min(most, session.floor + store.window + 1 - seq)
        for ending, digits in endings[: max(0, allowed)]:
            # 0.2 us, where startswith and endswith take 0.3.  Of a frame that is all
            # there, so much is left only if both were there.
            head = begin + digits + middle
            stop = offset + size
            params = data[offset:stop].removeprefix(head).removesuffix(tail)
            if len(params) != expected or stop > end:
                # Another length, ack or method than the one before: 0.5 to 1.5 us.
                length = self._length(data, offset)
                if not length:
                    break
                size, stop = 4 + length, offset + 4 + length
                begin = _pack(length) + known
                head = begin + digits + middle
                if not data.endswith(tail, offset, stop):
                    found = self._find_tail(straight, data, offset, stop)
                    if found is None or found[3] > seq:
                        break
                    if found[1] is not methods:
                        # Its names say something else.
                        middle = b""
                    tail, methods, deadline, ack = found
                if not middle or not data.startswith(head, offset):
                    head = begin + digits
                    if not data.startswith(head, offset):
                        break
                    named = _find_method(methods, data, offset + len(head))
                    if named is None:
                        break
                    # Both, or what is handed on would say another's name.
                    middle, method = named
                    head += middle
                    decode, function = method.decode_params, method.function
                    encode, recorded = method.encode_result, method.recorded
                    name = method.full_name
                params = data[offset + len(head) : stop - len(tail)]
                expected = len(params)
            if (
                deadline <= before
                or pressure.level
                or self.restricted
                or self._halted
                or room < RECORD_SIZE
                or seq in noted
                or seq in kept
            ):
                break
            try:
                args = decode(params)
            except InvalidValue:
                break
            # Nothing stands in its way.  Space around arguments is none of theirs.
            params = params.strip()
            request = Request(method, params, high + ending, deadline, self, seq)
            offset += size
            seq += 1
            session.current = request if recorded else None
            due, ack = ack, 0
            make_current(request)
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - it is raised again
                responder = partial(dispatch.raised, error)
                break
            now = seconds()
            if now - before > slow:
                dispatch.name_slow(request, now - before)
            before = now
            if type(result) is Deferred or type(result) is CoroutineType:
                responder = partial(dispatch.finish, context, result)
                break
            try:
                encoded = encode(result)
            except InvalidValue:
                responder = partial(dispatch.finish, context, result)
                break
            length = len(encoded)
            answer = fixed + length
            left = room - RECORD_SIZE - length
            if answer > biggest or left < 0 or seq <= session.floor + 1:
                responder = partial(_give, encoded)
                break
            if recorded:
                room = left
                kept_params = params if len(params) <= INLINE else fingerprint(params)
                noted[seq - 1] = name, kept_params, encoded
                if kept:
                    # Somebody has asked for it while it ran.
                    kept.pop(seq - 1, None)
            if answer != answer_size:
                answer_size = answer
                answer_begin = _pack(answer) + known
            out += (answer_begin, digits, REPLY_RESULT, encoded, reply_tail)
            written += answer
            if due:
                # After the request is classified (D7).
                straight.release(session, due)
                due = 0
            if written > SLICE or len(context) != 1:
                # The next call must not see what this one has set.
                break
        connection.seq = seq - 1
        session.current = None
        if out:
            # Else somebody has sent them.
            self._out_size += written
        store.count(session, free - room)
        rest: Rest | None = None
        if responder is not None:
            rest = self._rest(straight, session, request, responder, due)
        elif written > SLICE:
            rest = self._flush
        around = middle, method, (tail, methods, deadline, ack)
        return seq - first, offset, rest, around

    def _length(self, data: bytes, offset: int) -> int:
        """
        @return: the length of the frame at C{offset}; 0: it is not all there, or
            not to be read.
        """
        if offset + 4 > len(data):
            return 0
        length: int = _unpack(data, offset)[0]
        if offset + 4 + length > len(data) or length > self.MAX_LENGTH:
            return 0
        return length

    def _recognize(
        self, straight: Straight, data: bytes, offset: int
    ) -> _Around | None:
        """
        What stands around the arguments of the frame at C{offset}, which is all
        there.

        @return: C{None}: it is not the next call, or goes the long way.
        """
        start, length = offset + 4, self._length(data, offset)
        connection = self.connection
        head = BEGINNING + f"{connection.prefix}{connection.seq + 1}".encode()
        if not data.startswith(head, start):
            return None
        tail = self._find_tail(straight, data, start, start + length)
        if tail is None:
            return None
        named = _find_method(tail[1], data, start + len(head))
        return None if named is None else (*named, tail)

    def _find_tail(
        self, straight: Straight, data: bytes, start: int, stop: int
    ) -> _Tail | None:
        """
        How a frame ends.

        @param start: where it begins.
        @param stop: where it ends.

        @return: C{None}: it goes the long way.
        """
        found = read_tail(data, start, stop)
        if found is None:
            return None
        tail, service, timeout, ack = found
        methods = straight.services.get(service)
        if methods is None:
            return None
        return tail, methods, self.arrived + timeout * 0.001, ack

    def _rest(
        self,
        straight: Straight,
        session: Session,
        request: Request,
        responder: Responder,
        ack: int,
    ) -> Rest:
        """
        What is left to be done for a call that has run and is unusual.

        @param ack: what it acknowledges; 0: nothing new.
        """
        if request.method.recorded:
            record = session.record_of(request, fingerprint(request.params))
            responder = partial(
                straight.deduplication.claimed,
                holder=session,
                key=request.seq,
                record=record,
                responder=responder,
            )
        answer = partial(self.call, request, responder)
        if not ack:
            return answer

        def rest() -> None:
            answer()
            straight.release(session, ack)

        return rest

    def new_tail(self) -> bytes:
        """
        How the replies of this turn end.
        """
        tail = write_tail(self.wall())
        if self._turn:
            self._tail = tail
        return tail

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


def _give(encoded: bytes, _request: Request) -> bytes:
    """
    A responder that has its answer.
    """
    return encoded
