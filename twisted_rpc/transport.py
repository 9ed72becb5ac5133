# -*- test-case-name: tests.test_transport -*-
"""
Frames over a byte stream: 4 bytes of length, then so many bytes.

This is the only subclass of L{Int32StringReceiver}.  It adds what that class
leaves out: time linear in the bytes, limits, turns that end, and a peer that
does not read.
"""

from __future__ import annotations

import os
import socket
from struct import Struct
from typing import Any, ClassVar

from twisted.internet.interfaces import (
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
    ITransport,
)
from twisted.internet.tcp import Connection as TCPConnection
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.piled import Piled, waiting
from twisted_rpc.pulse import FRESH, Pulse
from twisted_rpc.wire.limits import KIB, Limits

_LENGTH = Struct("!I")
_unpack = _LENGTH.unpack_from
_pack = _LENGTH.pack

#: What one read gets at most (C{bufferSize} of Twisted's sockets).
READ = 64 * KIB

#: For a side that does not ask how old what it reads is.
_ALWAYS_FRESH = Pulse(None)
_ALWAYS_FRESH.fresh = float("inf")

#: Frames of one connection that are handled before others get their turn, so
#: that a flood on one connection costs the rest 0.5 ms and not 97 ms.
FRAMES_A_TURN = 64

#: After so many frames of a turn, what they made is sent to a peer that can run
#: meanwhile.  With 64 calls in flight the two ends would else only wait for one
#: another: 79,000 calls a second on two cores instead of 169,000.
FRAMES_A_WRITE = 32

#: So many frames are worth a look at what they have in common: it takes 4 us, and
#: saves 1.5 with each of them on a server.
SEVERAL = 6

#: How much is handed to the transport at once.  A larger answer goes in slices,
#: because "has the peer taken anything?" can be seen only between them.
SLICE = 64 * KIB


@implementer(IPushProducer, IHandshakeListener)
class FrameProtocol(Int32StringReceiver):
    """
    One connection's frames, in both directions.

    A subclass gets C{stringReceived} for each frame and L{turnEnded} after the
    last of those that were there, and sends with L{send_frame}.  All frames sent
    during a turn leave in one write, or two.

    @ivar heard: when bytes last came, in the clock's seconds.
    @ivar arrived: when they can have come at the earliest: what the kernel kept
        while nobody looked is as old as that.
    @ivar closing: the connection is being closed; nothing more is received.
    @ivar frames_received: how many were handed on.
    """

    # A connection has more attributes than Python keeps without a dict of its own
    # (30): slots take half the memory, and each use 5 ns less.
    __slots__ = (
        "_abort_call",
        "_backlog",
        "_backlog_size",
        "_clock",
        "_direct",
        "_discarding",
        "_finished",
        "_frame_started",
        "_frames_stopped",
        "_halted",
        "_held",
        "_held_size",
        "_looking",
        "_lost",
        "_needed",
        "_out",
        "_out_size",
        "_piled",
        "_pulse",
        "_read_size",
        "_reading",
        "_resumption",
        "_seconds",
        "_stalled_since",
        "_turn",
        "arrived",
        "closing",
        "frames_received",
        "heard",
        "limits",
    )

    noisy: ClassVar[bool] = False

    #: Whether the peer is read while it does not read: by one end of the two, or
    #: both may wait for one another for ever.
    reads_on: ClassVar[bool] = False

    transport: Any

    def __init__(
        self, clock: IReactorTime, limits: Limits, pulse: Pulse | None = None
    ) -> None:
        """
        @param pulse: tells how old what is read may be; C{None}: it is new.
        """
        self._clock = clock
        self._pulse = pulse if pulse is not None else _ALWAYS_FRESH
        self._seconds = clock.seconds
        self.limits = limits
        self.MAX_LENGTH = limits.max_frame
        self.paused = False
        self.heard = self.arrived = clock.seconds()
        # The kernel may hold more than was read.
        self._piled: Piled | None = None
        self._looking: Any = None
        self._read_size = READ
        self.closing = False
        self.frames_received = 0
        # Input: the pieces of what is not a whole frame yet, or not its turn.
        self._held: list[bytes] = []
        self._held_size = 0
        self._needed = 0
        self._frame_started: float | None = None
        self._discarding = False
        self._frames_stopped = False
        self._halted = False
        self._resumption: Any = None
        self._reading = True
        # Output: frames of this turn, then slices the transport has no room for.
        self._turn = False
        self._out: list[bytes] = []
        self._out_size = 0
        self._backlog: list[memoryview] = []
        self._backlog_size = 0
        self._stalled_since: float | None = None
        self._direct = False
        self._abort_call: Any = None
        self._finished = False
        self._lost = False

    # -- what a subclass provides -------------------------------------------

    def turnEnded(self) -> None:
        """
        The frames that were there have been handed on, at most
        L{FRAMES_A_TURN}; what the subclass puts off to the end of a turn, it
        does now.
        """

    def framesReceived(self, data: bytes, offset: int, most: int) -> tuple[int, int]:
        """
        Several frames are there: a subclass may take some of them in a way of
        its own.  The others go to C{stringReceived}.

        @param offset: where the first of them stands in C{data}.
        @param most: how many may be taken in this turn.

        @return: where the first stands that was not taken, and how many were.
        """
        return offset, 0

    def lengthLimitExceeded(self, length: int) -> None:
        """
        A frame is announced that is empty or above L{Limits.max_frame}; its
        body is not kept.
        """
        self.close()

    # -- input ----------------------------------------------------------------

    def connectionMade(self) -> None:
        """
        Ask the transport to say when its buffer is full.
        """
        transport = self.transport
        if not ISSLTransport.providedBy(transport):
            transport.registerProducer(self, True)
        if ITCPTransport.providedBy(transport):
            _send_at_once(transport)
        # Below TLS this would send clear text, so: TCP and nothing on top.
        self._direct = isinstance(transport, TCPConnection) and not transport.TLS
        if self._direct:
            # From here on the transport calls its buffer full (and reads so
            # much at once: Twisted has one attribute for both).
            transport.bufferSize = self._read_size = self.limits.output

    def handshakeCompleted(self) -> None:
        """
        Ask TLS too, once it can send.  What is sent before makes it call its
        buffer full, and then the peer's part of the handshake would not be read.
        """
        if not self._finished:
            self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes, in time linear in their number: a piece of a frame is kept
        as it came and joined once.
        """
        now = self._seconds()
        if (
            now >= self._pulse.fresh
            or self._piled is not None
            or len(data) >= self._read_size
        ):
            self._date(now, len(data))
        else:
            self.arrived = now
        self.heard = now
        if self._discarding:
            return
        if self._held_size:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size < self._needed:
                return
            if not self._reading:
                # TLS hands on all that it has decrypted, paused or not.
                self._needed = 0
                self._frame_started = None
                return
            data = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
        self._take(data)

    def _date(self, now: float, size: int) -> None:
        """
        Find out how old what was just read may be: it was not there when the
        connection was last seen empty, by a read that got less than there was
        room for, or by a reactor that had nothing to read here.
        """
        since = now
        if now >= self._pulse.fresh:
            since = max(self.heard, self._pulse.looked(now))
        piled = self._piled
        if piled is not None:
            since = min(since, piled.since)
        elif size >= self._read_size or (not self._direct and now - since >= FRESH):
            piled = self._piled = Piled(since)
        if piled is not None:
            self._pile(piled, now, size)
        self.arrived = now
        if now - since >= FRESH:
            self.arrived = since
            self.aged(now - since)

    def _pile(self, piled: Piled, now: float, size: int) -> None:
        # What is above a socket hands on one read in pieces, and keeps some.
        kept = 0 if self._direct else self._read_size
        if piled.read(size):
            piled.ask(now, waiting(self.transport) + kept)
            if piled.left <= 0:
                self._piled = None
        if kept and self._looking is None:
            # The kernel is looked at when it has handed on all.
            self._looking = self._clock.callLater(0, self._look_later)

    def _look_later(self) -> None:
        self._looking = None
        self._look()

    def _look(self) -> None:
        """
        What was sent while nobody read is as old as that, but the answer to what we
        have just sent is not.
        """
        if self._piled is not None:
            waits = waiting(self.transport)
            if waits:
                self._piled.ask(self._seconds(), waits)
            else:
                self._piled = None

    def aged(self, age: float) -> None:
        """
        The frames that come now are so many seconds old.
        """

    def _take(self, data: bytes) -> None:
        """
        Hand on the frames in C{data}, and hold what is left of it.
        """
        offset = frames = fruitless = 0
        end = len(data)
        limit = self.MAX_LENGTH
        received = self.stringReceived
        self._turn = True
        self._needed = 4
        try:
            while (start := offset + 4) <= end:
                if frames >= FRAMES_A_TURN or self._halted:
                    self._needed = 0
                    break
                (length,) = _unpack(data, offset)
                if not 0 < length <= limit:
                    self._discard()
                    self.lengthLimitExceeded(length)
                    break
                stop = start + length
                if stop > end:
                    self._needed = 4 + length
                    break
                if frames == FRAMES_A_WRITE and self._out and self._apart:
                    self._flush()
                if fruitless < 2 and offset + (4 + length) * SEVERAL <= end:
                    most = FRAMES_A_WRITE if frames < FRAMES_A_WRITE else FRAMES_A_TURN
                    offset, taken = self.framesReceived(data, offset, most - frames)
                    if taken:
                        frames += taken
                        fruitless = 0
                        continue
                    fruitless += 1
                frames += 1
                offset = stop
                received(data[start:stop])
        finally:
            self._turn = False
            self.frames_received += frames
            self.turnEnded()
            if self._out:
                self._flush()
        if offset < end or self._halted:
            self._end_turn(data, offset)
        elif self._frame_started is not None:
            self._frame_started = None

    def _end_turn(self, data: bytes, offset: int) -> None:
        """
        Hold what is left of C{data}, and do what closing and pausing put off.
        """
        if self.closing and not self._backlog:
            self._finish()
        if self._discarding:
            return
        if offset < len(data):
            self._hold(data[offset:] if offset else data, begun=not offset)
        else:
            self._frame_started = None
        if self.paused and self._reading and not self.reads_on:
            self._read_or_not()

    def _hold(self, data: bytes, *, begun: bool) -> None:
        self._held.append(data)
        self._held_size = len(data)
        if self._needed:
            if not begun or self._frame_started is None:
                self._frame_started = self._seconds()
            return
        # A whole frame may be here whose turn it is not.  Its bytes, and no
        # more, are kept: the transport is not read until they are gone.
        self._frame_started = None
        self._read_or_not()

    def _read_or_not(self) -> None:
        """
        Read the transport while nothing stands in the way, and go on with what
        is held in a turn of its own.
        """
        blocked = (self.paused and not self.reads_on) or self._frames_stopped
        ready = self._held_size and not self._needed
        reading = not (blocked or ready) or self._discarding
        if reading != self._reading and not self._lost:
            self._reading = reading
            if reading:
                if self._frame_started is not None:
                    # It could not go on while it was not read.
                    self._frame_started = self._seconds()
                self._look()
                self.transport.resumeProducing()
            else:
                if self._piled is None:
                    self._piled = Piled(self._seconds())
                self.transport.pauseProducing()
        if ready and not blocked and self._resumption is None:
            self._resumption = self._clock.callLater(0, self._resume)

    def _resume(self) -> None:
        self._resumption = None
        if self._halted:
            return
        data = b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        age = self._seconds() - self.arrived
        if age >= FRESH:
            self.aged(age)
        self._take(data)
        if not self._reading:
            self._read_or_not()

    def stop_frames(self) -> None:
        """
        Hand on no more frames until L{start_frames}; they wait in the kernel.
        """
        self._frames_stopped = self._halted = True
        if not self._turn:
            self._needed = 0
            self._read_or_not()

    def start_frames(self) -> None:
        """
        Hand on frames again, what is held first, in a turn of its own.
        """
        self._frames_stopped = False
        self._halted = (self.paused and not self.reads_on) or self._discarding
        if not self._turn:
            self._read_or_not()

    def _discard(self) -> None:
        self._discarding = self._halted = True
        self._held.clear()
        self._held_size = 0
        self._frame_started = None
        if not self._reading:
            self._read_or_not()

    # -- output ---------------------------------------------------------------

    def send_frame(self, body: bytes) -> None:
        """
        Send one frame; within a turn, together with the others of that turn.

        @param body: from 1 byte to the peer's limit, which the caller checks.
        """
        if self._turn:
            size = len(body)
            self._out += (_pack(size), body)
            self._out_size += size
            if self._out_size > SLICE:
                self._flush()
        elif len(body) < 2048:
            self._write(_pack(len(body)) + body)
        else:
            self._write(_pack(len(body)))
            self._write(body)

    def send_parts(self, size: int, parts: tuple[bytes, ...]) -> None:
        """
        Send one frame that is still in parts: they are joined once, with all
        frames of the turn.

        @param size: of the parts together.
        """
        if size > SLICE:
            if self._out:
                self._flush()
            self._send_large((_pack(size), *parts))
            return
        if not self._turn:
            self.send_frame(b"".join(parts))
            return
        out = self._out
        out.append(_pack(size))
        out.extend(parts)
        size += self._out_size
        self._out_size = size
        if size > SLICE:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        # A write is sent in the reactor's next turn only, after asking the kernel
        # whether it may: 15.5 instead of 10.9 us of CPU for a call that comes
        # alone, and 5 % more for each of 64.
        if self._idle:
            try:
                # What writeSomeData does, without three calls around it.
                sent = self.transport.socket.send(data)
            except OSError:
                # write meets it again, if it is there to stay.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self._write(data)

    @property
    def _apart(self) -> bool:
        """
        Whether the peer can run while this end does.  On the core that both
        share, it would interrupt it: 17 % more CPU for nothing.
        """
        if not self._direct:
            return False
        cores = _cores()
        if len(cores) > 1:
            return True
        transport = self.transport
        if _host(transport.getPeer()) != _host(transport.getHost()):
            return True
        # On one machine, a packet comes in on the core that has sent it.
        return _incoming_core(transport.socket) not in cores

    @property
    def _idle(self) -> bool:
        """
        Whether the kernel may be handed bytes past the transport: nothing waits
        in front of them.
        """
        if not self._direct or self._backlog:
            return False
        transport = self.transport
        return bool(
            transport.connected
            and not transport.disconnecting
            and not transport.dataBuffer
            and not transport._tempDataBuffer  # noqa: SLF001 - the only way to know
        )

    def _send_large(self, parts: tuple[bytes, ...]) -> None:
        """
        Send the parts as they are: joining would copy them once more.  The kernel
        takes most of a megabyte at once, which else leaves in 16 turns.
        """
        sent = 0
        if self._idle:
            try:
                sent = self.transport.socket.sendmsg(parts)
            except OSError:
                # As in _flush.
                sent = 0
        for part in parts:
            if sent < len(part):
                self._write(part[sent:] if sent else part)
            sent = max(0, sent - len(part))

    def _write(self, data: bytes) -> None:
        if not self.paused and not self._backlog and len(data) <= SLICE:
            self.transport.write(data)
            return
        view = memoryview(data)
        self._backlog.extend(
            view[start : start + SLICE] for start in range(0, len(data), SLICE)
        )
        self._backlog_size += len(data)
        self._drain()

    def _drain(self) -> None:
        backlog = self._backlog
        while backlog and not self.paused:
            piece = backlog.pop(0)
            self._backlog_size -= len(piece)
            self.transport.write(bytes(piece))

    @property
    def output_waiting(self) -> int:
        """
        Bytes of our own that the transport has not taken yet.
        """
        return self._backlog_size + self._out_size

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full: the peer does not read.  It is not read
        either until it does, but for L{reads_on}.
        """
        self.paused = True
        if self._stalled_since is None:
            self._stalled_since = self._seconds()
        if self.reads_on:
            return
        self._halted = True
        if not self._turn:
            self._read_or_not()

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty: the peer has read something.
        """
        self.paused = False
        self._halted = self._frames_stopped or self._discarding
        self._stalled_since = None
        self._drain()
        if self.paused:
            return
        if self.closing:
            if not self._backlog:
                self._finish()
        elif not self._turn:
            self._read_or_not()

    def stopProducing(self) -> None:
        """
        The transport is gone; L{connectionLost} says so too.
        """

    # -- the end ----------------------------------------------------------------

    def close(self) -> None:
        """
        Send what waits and close; what still comes is thrown away, so that the
        last reply is not lost to a reset.  Abort after L{Limits.close}.
        """
        if self.closing:
            return
        self.closing = True
        if self._out and not self._turn:
            self._flush()
        self._discard()
        self._abort_call = self._clock.callLater(self.limits.close, self.unclosed)
        if not self._backlog and not self._out:
            self._finish()

    def _finish(self) -> None:
        if self._finished or self._lost:
            return
        self._finished = True
        transport = self.transport
        transport.unregisterProducer()
        half = getattr(transport, "loseWriteConnection", None)
        if half is None or ISSLTransport.providedBy(transport):
            # TLS has no half, and passes the question on to the TCP below it.
            transport.loseConnection()
        else:
            half()

    def unclosed(self) -> None:
        """
        The close was not over in L{Limits.close}.
        """
        self.abort()

    def abort(self) -> None:
        """
        End the connection at once; what waits is lost.
        """
        self.closing = True
        self._discarding = self._halted = self._finished = True
        # A socket that is about to be reset still takes what is sent to it.
        self._direct = False
        if not self._lost:
            self.transport.abortConnection()

    def overdue(self, now: float) -> str | None:
        """
        @return: why the connection should be ended at C{now}, or C{None}: a
            frame that was begun and not finished (C{"frame"}), or a peer that
            takes nothing of what it is sent (C{"write_stall"}).
        """
        started = self._frame_started
        if started is not None and self._reading:
            allowed = self.limits.frame + self._held_size // SLICE
            if now - started > allowed:
                return "frame"
        stalled = self._stalled_since
        if stalled is not None and now - stalled > self.limits.write_stall:
            return "write_stall"
        return None

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """
        Forget what is held, and leave no timer.
        """
        self._lost = True
        self.closing = True
        self._discard()
        self._backlog.clear()
        self._backlog_size = 0
        self._out.clear()
        self._stalled_since = None
        for name in ("_abort_call", "_looking", "_resumption"):
            call = getattr(self, name)
            setattr(self, name, None)
            if call is not None and call.active():
                call.cancel()


def _send_at_once(transport: ITCPTransport) -> None:
    """
    Have no frame wait until what was sent before it is acknowledged, up to 40 ms.
    """
    try:
        if not transport.getTcpNoDelay():
            transport.setTcpNoDelay(True)
    except OSError:
        # A Unix socket: Twisted makes no difference.
        pass


def _cores() -> set[int]:
    """
    Where this process may run.
    """
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _incoming_core(connection: socket.socket) -> int:
    """
    The core that took the last packet; -1: there is no telling.
    """
    option = getattr(socket, "SO_INCOMING_CPU", None)
    if option is None:
        return -1
    try:
        return connection.getsockopt(socket.SOL_SOCKET, option)
    except OSError:
        # Not known to this kernel, or the connection has just ended.
        return -1


def _host(address: Any) -> object:
    return getattr(address, "host", None)


def peer_name(transport: ITransport) -> str:
    """
    @return: who is at the other end, for a log: C{"127.0.0.1:40112"}, a path of
        a Unix socket, or what the transport says.
    """
    peer = transport.getPeer()
    host = getattr(peer, "host", None)
    if host is not None:
        return f"{host}:{getattr(peer, 'port', 0)}"
    name = getattr(peer, "name", None)
    if isinstance(name, bytes):
        name = name.decode("utf-8", "backslashreplace")
    return str(name) if name else str(peer)
