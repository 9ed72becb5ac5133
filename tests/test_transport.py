"""
Tests for L{twisted_rpc.transport}.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from errno import ENOTSUP
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from twisted_rpc.client.protocol import ClientProtocol
from twisted_rpc.transport import FRAMES_A_TURN, SLICE, FrameProtocol, peer_name
from twisted_rpc.wire.limits import KIB, MIB, Limits


def framed(*bodies: bytes) -> bytes:
    """
    The bytes of these frames.
    """
    return b"".join(struct.pack("!I", len(body)) + body for body in bodies)


def unframed(data: bytes) -> list[bytes]:
    """
    The frames in these bytes, of which none is cut.
    """
    bodies = []
    while data:
        (length,) = struct.unpack_from("!I", data)
        assert len(data) >= 4 + length
        bodies.append(data[4 : 4 + length])
        data = data[4 + length :]
    return bodies


class Socket(StringTransport):
    """
    A transport as TCP's is: its buffer fills, and it closes by halves.

    @ivar writes: what was written, each time.
    @ivar events: what else was asked of it, in order.
    """

    def __init__(self, room: int = 1 << 40) -> None:
        super().__init__()
        self.room = room
        self.waiting = 0
        self.writes: list[bytes] = []
        self.events: list[str] = []
        self.protocol: FrameProtocol | None = None

    def write(self, data: bytes) -> None:
        super().write(data)
        self.writes.append(data)
        self.waiting += len(data)
        if self.producer is not None and self.waiting > self.room:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """
        The peer has read everything.
        """
        self.waiting = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    def loseWriteConnection(self) -> None:
        self.events.append("half-closed")

    def loseConnection(self) -> None:
        self.events.append("closed")

    def abortConnection(self) -> None:
        self.events.append("aborted")
        self.lose(ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        """
        The connection ends.
        """
        assert self.protocol is not None
        self.protocol.connectionLost(Failure(reason))


class Frames(FrameProtocol):
    """
    Keeps the frames it gets.

    @ivar turns: the frames of each turn.
    @ivar reply: what is sent for each frame.
    @ivar stop_after: stop frames with this one.
    """

    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        super().__init__(clock, limits if limits is not None else Limits())
        self.turns: list[list[bytes]] = [[]]
        self.reply: bytes | None = None
        self.stop_after: bytes | None = None
        self.too_long: list[int] = []

    @property
    def frames(self) -> list[bytes]:
        """All of them."""
        return [frame for turn in self.turns for frame in turn]

    def stringReceived(self, frame: bytes) -> None:
        self.turns[-1].append(frame)
        if self.reply is not None:
            self.send_frame(self.reply)
        if frame == self.stop_after:
            self.stop_frames()

    def turnEnded(self) -> None:
        super().turnEnded()
        if self.turns[-1]:
            self.turns.append([])

    def lengthLimitExceeded(self, length: int) -> None:
        self.too_long.append(length)
        super().lengthLimitExceeded(length)


class TransportCase(SynchronousTestCase):
    """
    A protocol, connected.
    """

    def setUp(self) -> None:
        self.clock = Clock()

    def connected(
        self, limits: Limits | None = None, *, room: int = 1 << 40
    ) -> tuple[Frames, Socket]:
        """
        @param room: bytes that the transport takes before it says it is full.
        """
        protocol, transport = Frames(self.clock, limits), Socket(room)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol, transport


class InputTests(TransportCase):
    """
    Bytes become frames.
    """

    def test_producer(self) -> None:
        """
        The protocol is a push producer of its transport.
        """
        protocol, transport = self.connected()
        verifyObject(IPushProducer, protocol)
        self.assertIs(transport.producer, protocol)
        self.assertTrue(transport.streaming)

    def test_stop_producing(self) -> None:
        """
        Being told that the transport is gone changes nothing by itself.
        """
        protocol, transport = self.connected()
        protocol.stopProducing()
        self.assertEqual(transport.events, [])

    def test_frames(self) -> None:
        """
        Frames that come in one piece are handed on in order.
        """
        protocol, _ = self.connected()
        protocol.dataReceived(framed(b"a", b"bc", b"def"))
        self.assertEqual(protocol.frames, [b"a", b"bc", b"def"])

    @settings(deadline=None)
    @given(
        st.lists(st.binary(min_size=1, max_size=300), max_size=20),
        st.lists(st.integers(0, 3000), max_size=20),
    )
    def test_cut_anywhere(self, bodies: list[bytes], cuts: list[int]) -> None:
        """
        Wherever the bytes are cut, the frames are the same.
        """
        protocol, _ = self.connected()
        data = framed(*bodies)
        ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, stop in pairwise(ends):
            if start != stop:
                protocol.dataReceived(data[start:stop])
        self.assertEqual(protocol.frames, bodies)
        self.assertIsNone(protocol.overdue(self.clock.seconds() + 1e9))

    def test_byte_by_byte(self) -> None:
        """
        A frame may come byte by byte.
        """
        protocol, _ = self.connected()
        for byte in framed(b"hello", b"world"):
            protocol.dataReceived(bytes([byte]))
        self.assertEqual(protocol.frames, [b"hello", b"world"])

    def test_joined_once(self) -> None:
        """
        The pieces of a large frame are kept as they came and joined once, so
        that time is linear in the bytes (X2).
        """
        protocol, _ = self.connected()
        pieces = [b"x" * SLICE] * 63
        protocol.dataReceived(struct.pack("!I", 63 * SLICE + 1))
        for piece in pieces:
            protocol.dataReceived(piece)
        self.assertTrue(
            all(
                kept is piece
                for kept, piece in zip(protocol._held[1:], pieces, strict=True)
            )
        )
        protocol.dataReceived(b"y")
        self.assertEqual(protocol.frames, [b"x" * (63 * SLICE) + b"y"])
        self.assertEqual(protocol._held, [])

    def test_longest(self) -> None:
        """
        A frame as long as the limit is taken.
        """
        protocol, _ = self.connected(Limits(max_frame=2000))
        protocol.dataReceived(framed(b"x" * 2000))
        self.assertEqual(protocol.frames, [b"x" * 2000])

    def test_too_long(self) -> None:
        """
        A frame above the limit is judged on its 4 bytes, the connection closes,
        and nothing of the frame is kept (W3).
        """
        protocol, transport = self.connected(Limits(max_frame=2000))
        protocol.dataReceived(struct.pack("!I", 2001))
        self.assertEqual(protocol.too_long, [2001])
        self.assertEqual(transport.events, ["half-closed"])
        protocol.dataReceived(b"x" * 100_000)
        self.assertEqual((protocol._held, protocol._held_size), ([], 0))
        self.assertEqual(protocol.frames, [])

    def test_empty(self) -> None:
        """
        A frame without a body is not legal (W1).
        """
        protocol, transport = self.connected()
        protocol.dataReceived(b"\0\0\0\0" + framed(b"after it"))
        self.assertEqual(protocol.too_long, [0])
        self.assertEqual(transport.events, ["half-closed"])
        self.assertEqual(protocol.frames, [])

    def test_before_too_long(self) -> None:
        """
        Frames before one that is too long are handed on.
        """
        protocol, _ = self.connected(Limits(max_frame=2000))
        protocol.dataReceived(framed(b"fine") + struct.pack("!I", 2001))
        self.assertEqual(protocol.frames, [b"fine"])

    def test_heard(self) -> None:
        """
        When bytes last came is known.
        """
        protocol, _ = self.connected()
        self.clock.advance(3)
        protocol.dataReceived(b"\0")
        self.assertEqual(protocol.heard, 3)


class TurnTests(TransportCase):
    """
    A flood on one connection leaves others their turn (W5).
    """

    def test_64_a_turn(self) -> None:
        """
        At most 64 frames are handed on in one turn; the rest follow, 64 a turn,
        and the transport is not read meanwhile.
        """
        protocol, transport = self.connected()
        bodies = [b"%d" % number for number in range(150)]
        protocol.dataReceived(framed(*bodies))
        self.assertEqual(protocol.frames, bodies[:FRAMES_A_TURN])
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual(protocol.frames, bodies)
        self.assertEqual([len(turn) for turn in protocol.turns], [64, 64, 22, 0])
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_others(self) -> None:
        """
        Another connection's frame does not wait for a flood.
        """
        flooded, _ = self.connected()
        other, _ = self.connected()
        flooded.dataReceived(framed(*[b"flood"] * 1000))
        other.dataReceived(framed(b"probe"))
        self.assertEqual(other.frames, [b"probe"])
        self.assertLess(len(flooded.frames), 1000)

    def test_rest_is_a_piece(self) -> None:
        """
        A piece of a frame after 64 whole ones is completed by what comes later.
        """
        protocol, _ = self.connected()
        data = framed(*[b"f"] * 64, b"the last")
        protocol.dataReceived(data[:-3])
        self.clock.advance(0)
        protocol.dataReceived(data[-3:])
        self.assertEqual(protocol.frames[-1], b"the last")

    def test_more_while_paused(self) -> None:
        """
        Bytes that a transport delivers although it is paused, as TLS does, wait
        for their turn too.
        """
        protocol, _ = self.connected()
        protocol.dataReceived(framed(*[b"f"] * 65))
        protocol.dataReceived(framed(b"later"))
        self.assertEqual(len(protocol.frames), 64)
        self.clock.advance(0)
        self.assertEqual(protocol.frames, [b"f"] * 65 + [b"later"])

    def test_completed_while_paused(self) -> None:
        """
        A frame that such a transport completes while output is full is handed
        on when there is room, without waiting for more bytes.
        """
        protocol, transport = self.connected(room=SLICE)
        protocol.dataReceived(framed(b"a piece")[:-1])
        protocol.send_frame(b"x" * 2 * SLICE)
        protocol.dataReceived(b"e")
        self.assertEqual(protocol.frames, [])
        transport.drain()
        transport.drain()
        self.clock.advance(0)
        self.assertEqual(protocol.frames, [b"a piece"])

    def test_connection_lost_between_turns(self) -> None:
        """
        Frames whose turn has not come are dropped when the connection is lost.
        """
        protocol, transport = self.connected()
        protocol.dataReceived(framed(*[b"f"] * 65))
        transport.lose(ConnectionDone())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1)
        self.assertEqual(len(protocol.frames), 64)


class StopTests(TransportCase):
    """
    Frames can be stopped, for peers whose requests run one at a time.
    """

    def test_stop_within_turn(self) -> None:
        """
        Stopped by a frame, the next is handed on only when started again, in a
        turn of its own.
        """
        protocol, transport = self.connected()
        protocol.stop_after = b"1"
        protocol.dataReceived(framed(b"1", b"2"))
        self.assertEqual(protocol.frames, [b"1"])
        self.assertEqual(transport.producerState, "paused")
        protocol.start_frames()
        self.assertEqual(protocol.frames, [b"1"])
        self.clock.advance(0)
        self.assertEqual(protocol.frames, [b"1", b"2"])
        self.assertEqual(transport.producerState, "producing")

    def test_stopped_between_turns(self) -> None:
        """
        Stopped outside a turn, nothing that comes is handed on.
        """
        protocol, transport = self.connected()
        protocol.stop_frames()
        self.assertEqual(transport.producerState, "paused")
        protocol.dataReceived(framed(b"1"))
        self.assertEqual(protocol.frames, [])
        protocol.start_frames()
        self.clock.advance(0)
        self.assertEqual(protocol.frames, [b"1"])

    def test_stopped_again_before_its_turn(self) -> None:
        """
        Stopped again before what is held had its turn, it goes on waiting.
        """
        protocol, _ = self.connected()
        protocol.stop_frames()
        protocol.dataReceived(framed(b"1"))
        protocol.start_frames()
        protocol.stop_frames()
        self.clock.advance(0)
        self.assertEqual(protocol.frames, [])

    def test_little_is_held(self) -> None:
        """
        While frames are stopped, one read of the transport is kept and no more.
        """
        protocol, transport = self.connected()
        protocol.stop_after = b"1"
        protocol.dataReceived(framed(b"1"))
        self.assertEqual(transport.producerState, "producing")
        protocol.dataReceived(framed(*[b"more"] * 5))
        self.assertEqual(transport.producerState, "paused")
        self.assertEqual(protocol.frames, [b"1"])

    def test_started_within_turn(self) -> None:
        """
        Started again in the same turn, it is as if nothing had been.
        """
        protocol, transport = self.connected()
        received = protocol.stringReceived

        def stop_and_start(frame: bytes) -> None:
            received(frame)
            protocol.stop_frames()
            protocol.start_frames()

        protocol.stringReceived = stop_and_start  # type: ignore[method-assign]
        protocol.dataReceived(framed(b"1", b"2"))
        self.assertEqual(protocol.frames, [b"1", b"2"])
        self.assertEqual(transport.producerState, "producing")


class OutputTests(TransportCase):
    """
    Frames become bytes.
    """

    def test_send(self) -> None:
        """
        A frame is its length and its body.
        """
        protocol, transport = self.connected()
        protocol.send_frame(b"hello")
        self.assertEqual(transport.writes, [b"\0\0\0\5hello"])

    def test_large(self) -> None:
        """
        A large frame is not copied to stand behind its length.
        """
        protocol, transport = self.connected()
        body = b"x" * 3000
        protocol.send_frame(body)
        self.assertIs(transport.writes[1], body)
        self.assertEqual(unframed(transport.value()), [body])

    def test_one_write_a_turn(self) -> None:
        """
        All frames sent during a turn leave in one write.
        """
        protocol, transport = self.connected()
        protocol.reply = b"reply"
        protocol.dataReceived(framed(*[b"call"] * 10))
        self.assertEqual(transport.writes, [framed(*[b"reply"] * 10)])

    def test_parts(self) -> None:
        """
        A frame in parts is the frame of the parts joined, whether small or large.
        """
        for large in (10, 2 * SLICE):
            parts = (b"a", b"b" * large, b"c")
            protocol, transport = self.connected()
            protocol.send_parts(large + 2, parts)
            self.assertEqual(transport.value(), framed(b"".join(parts)))

    def test_parts_in_turn(self) -> None:
        """
        It keeps its place among the others of a turn.
        """
        for large in (10, 2 * SLICE):
            parts = (b"a", b"b" * large, b"c")
            body = b"".join(parts)

            class Both(Frames):
                def stringReceived(self, frame: bytes) -> None:
                    self.send_frame(frame)
                    self.send_parts(len(body), parts)  # noqa: B023 - called here

            protocol, transport = Both(self.clock), Socket(1 << 40)
            transport.protocol = protocol
            protocol.makeConnection(transport)
            protocol.dataReceived(framed(b"x", b"y"))
            self.assertEqual(transport.value(), framed(b"x", body, b"y", body))

    def test_slices(self) -> None:
        """
        A frame above 64 KiB is handed to the transport in slices, so that what
        the peer takes of it can be seen.
        """
        protocol, transport = self.connected()
        body = bytes(range(256)) * 1000
        protocol.send_frame(body)
        self.assertLessEqual(max(map(len, transport.writes)), SLICE)
        self.assertEqual(unframed(transport.value()), [body])

    def test_checked_after_every_reply(self) -> None:
        """
        Once more than 64 KiB of output waits, no further frame is handed on, and
        the transport is not read (W5).
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.reply = b"x" * 50_000
        protocol.dataReceived(framed(*[b"call"] * 10))
        self.assertEqual(len(protocol.frames), 2)
        self.assertEqual(transport.producerState, "paused")
        transport.drain()
        self.clock.advance(0)
        self.assertEqual(len(protocol.frames), 4)

    def test_full_with_nothing_held(self) -> None:
        """
        The transport is not read either if no frame waits, or only a piece.
        """
        for rest in (b"", b"\0\0", framed(b"piece")[:-1]):
            protocol, transport = self.connected(room=64 * KIB)
            protocol.reply = b"x" * 70_000
            protocol.dataReceived(framed(b"call") + rest)
            self.assertEqual(transport.producerState, "paused")
            transport.drain()
            self.clock.advance(0)
            self.assertEqual(transport.producerState, "producing")

    def test_full_between_turns(self) -> None:
        """
        Output of its own, outside a turn, stops reading just so.
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 70_000)
        self.assertEqual(transport.producerState, "paused")
        transport.drain()
        self.assertEqual(transport.producerState, "producing")

    def test_two_that_are_full(self) -> None:
        """
        A client reads on while its own output waits: if neither end did, neither
        would ever take what the other has for it.
        """
        self.patch(Frames, "reads_on", True)
        protocol, transport = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 70_000)
        self.assertTrue(protocol.paused)
        protocol.dataReceived(framed(b"one") + framed(b"two"))
        self.assertEqual(protocol.frames, [b"one", b"two"])
        self.assertEqual(transport.producerState, "producing")
        self.assertTrue(ClientProtocol.reads_on)

    def test_stays_full(self) -> None:
        """
        If what waited fills the transport again, it is still not read.
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 500_000)
        transport.drain()
        self.assertEqual(transport.producerState, "paused")

    def test_backlog(self) -> None:
        """
        What a full transport is not given yet keeps its order, and is counted.
        """
        protocol, transport = self.connected(room=64 * KIB)
        bodies = [bytes([65 + number]) * 40_000 for number in range(8)]
        for body in bodies:
            protocol.send_frame(body)
        self.assertEqual(
            protocol.output_waiting, 8 * 40_004 - sum(map(len, transport.writes))
        )
        self.assertGreater(protocol.output_waiting, 0)
        while protocol.output_waiting:
            transport.drain()
        self.assertEqual(unframed(transport.value()), bodies)

    def test_a_peer_that_never_reads(self) -> None:
        """
        Memory for a peer that asks and never reads stays within a few buffers.
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.reply = b"x" * 20_000
        protocol.dataReceived(framed(*[b"call"] * 3000))
        self.clock.pump([0] * 100)
        self.assertLess(transport.waiting + protocol.output_waiting, 4 * 64 * KIB)


class FakeTCP(Connection):
    """
    A plain TCP transport without a socket.

    @ivar takes: bytes the kernel takes at once, or what it fails with.
    @ivar options: of the socket; what is not here it does not have.
    """

    def __init__(self, takes: Any = 1 << 20) -> None:
        FileDescriptor.__init__(self, reactor=object())  # type: ignore[arg-type]
        self.takes = takes
        self.socket: Any = self
        self.connected = 1
        self.direct: list[bytes] = []
        self.lazy: list[bytes] = []
        self.options = {socket.TCP_NODELAY: 0, socket.SO_INCOMING_CPU: 1}
        self.peer = self.host = IPv4Address("TCP", "127.0.0.1", 5000)

    def getPeer(self) -> IPv4Address:
        """Who it is connected to."""
        return self.peer

    def getHost(self) -> IPv4Address:
        """This side."""
        return self.host

    def getsockopt(self, level: int, option: int) -> int:
        """An option of the socket."""
        if option not in self.options:
            raise OSError(ENOTSUP, "not supported")
        return self.options[option]

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Set an option of the socket."""
        self.options[option] = value

    def send(self, data: bytes) -> int:
        """Take some bytes, as a socket that does not block."""
        if isinstance(self.takes, Exception):
            raise self.takes
        taken = data[: self.takes]
        self.direct.append(taken)
        return len(taken)

    def sendmsg(self, parts: Iterable[bytes]) -> int:
        """Take some bytes of several pieces."""
        return self.send(b"".join(parts))

    def write(self, data: bytes) -> None:
        self.lazy.append(data)

    def startWriting(self) -> None:
        """No reactor looks."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Where pyOpenSSL is installed TLS would pass it on to a protocol."""


class DirectTests(TransportCase):
    """
    What a turn has made is sent at its end.
    """

    def answer(self, transport: FakeTCP, calls: int = 1) -> Frames:
        """
        Answer calls over C{transport}.
        """
        protocol = Frames(self.clock)
        protocol.makeConnection(transport)
        protocol.reply = b"reply"
        protocol.dataReceived(framed(*[b"call"] * calls))
        return protocol

    def test_alone(self) -> None:
        """
        On plain TCP with nothing queued, it does not wait for the reactor.
        """
        transport = FakeTCP()
        self.answer(transport)
        self.assertEqual(transport.direct, [framed(b"reply")])
        self.assertEqual(transport.lazy, [])

    def test_several(self) -> None:
        """
        Several replies of a turn are sent together.
        """
        transport = FakeTCP()
        self.answer(transport, 2)
        self.assertEqual(transport.direct, [framed(b"reply", b"reply")])
        self.assertEqual(transport.lazy, [])

    def writes(self, transport: FakeTCP, calls: int) -> list[int]:
        """
        @return: how many replies are sent at a time.
        """
        self.answer(transport, calls)
        return [len(unframed(data)) for data in transport.direct]

    def test_apart(self) -> None:
        """
        A peer on another core can begin with the first half of a long turn's
        replies before the second is made.
        """
        self.patch(os, "sched_getaffinity", lambda pid: {0})
        self.assertEqual(self.writes(FakeTCP(), 64), [32, 32])
        self.assertEqual(self.writes(FakeTCP(), 40), [32, 8])
        self.assertEqual(self.writes(FakeTCP(), 32), [32])

    def test_apart_taken_together(self) -> None:
        """
        So it can where a subclass takes frames in a way of its own.
        """

        class Taking(Frames):
            def framesReceived(
                self, data: bytes, offset: int, most: int
            ) -> tuple[int, int]:
                """Take all that may be taken."""
                frames = unframed(data[offset:])[:most]
                for frame in frames:
                    self.stringReceived(frame)
                return offset + len(framed(*frames)), len(frames)

        self.patch(os, "sched_getaffinity", lambda pid: {0})
        transport = FakeTCP()
        protocol = Taking(self.clock)
        protocol.makeConnection(transport)
        protocol.reply = b"reply"
        protocol.dataReceived(framed(*[b"call"] * 64))
        self.assertEqual([len(unframed(data)) for data in transport.direct], [32, 32])

    def test_together(self) -> None:
        """
        On the core that both share it could not run meanwhile: one write.
        """
        self.patch(os, "sched_getaffinity", lambda pid: {1})
        self.assertEqual(self.writes(FakeTCP(), 64), [64])

    def test_another_machine(self) -> None:
        """
        A peer on another machine runs meanwhile, whichever core its packets
        come in on.
        """
        self.patch(os, "sched_getaffinity", lambda pid: {1})
        transport = FakeTCP()
        transport.peer = IPv4Address("TCP", "192.0.2.7", 5000)
        self.assertEqual(self.writes(transport, 64), [32, 32])

    def test_several_cores(self) -> None:
        """
        Where there are several cores for this end, the peer finds one.
        """
        self.patch(os, "sched_getaffinity", lambda pid: {0, 1})
        self.assertEqual(self.writes(FakeTCP(), 64), [32, 32])

    def test_not_on_linux(self) -> None:
        """
        Where nothing tells which cores this end may use, their number tells.
        """
        affinity = os.sched_getaffinity
        self.addCleanup(setattr, os, "sched_getaffinity", affinity)
        del os.sched_getaffinity
        for cores, writes in ((1, [64]), (2, [32, 32])):
            self.patch(os, "cpu_count", lambda cores=cores: cores)
            transport = FakeTCP()
            transport.options[socket.SO_INCOMING_CPU] = 0
            self.assertEqual(self.writes(transport, 64), writes)

    def test_core_not_told(self) -> None:
        """
        A socket that does not tell the core of its packets tells nothing: its
        calls are answered.
        """
        self.patch(os, "sched_getaffinity", lambda pid: {1})
        transport = FakeTCP()
        transport.options.clear()
        self.assertEqual(self.writes(transport, 64), [32, 32])

    def test_no_delay(self) -> None:
        """
        No frame waits until the peer acknowledges the one before it.
        """
        transport = FakeTCP()
        Frames(self.clock).makeConnection(transport)
        self.assertEqual(transport.options[socket.TCP_NODELAY], 1)

    def test_no_delay_of_unix(self) -> None:
        """
        A Unix socket has no such option.
        """
        transport = FakeTCP()
        del transport.options[socket.TCP_NODELAY]
        Frames(self.clock).makeConnection(transport)
        self.assertEqual(list(transport.options), [socket.SO_INCOMING_CPU])

    def test_unasked(self) -> None:
        """
        So does a frame that answers nothing.
        """
        transport = FakeTCP()
        protocol = Frames(self.clock)
        protocol.makeConnection(transport)
        protocol.send_frame(b"notice")
        self.assertEqual((transport.direct, transport.lazy), ([], [framed(b"notice")]))

    def test_partly(self) -> None:
        """
        What the kernel does not take goes the transport's way.
        """
        transport = FakeTCP(takes=3)
        self.answer(transport)
        self.assertEqual(transport.direct, [b"\0\0\0"])
        self.assertEqual(transport.lazy, [b"\5reply"])

    def test_not_at_all(self) -> None:
        """
        A kernel that takes nothing, or fails, leaves everything to the transport.
        """
        for takes in (0, BlockingIOError(), BrokenPipeError()):
            transport = FakeTCP(takes=takes)
            self.answer(transport)
            self.assertEqual(transport.lazy, [framed(b"reply")])

    def test_large(self) -> None:
        """
        A large frame is handed to the kernel in its parts; what it does not take,
        wherever it stops, goes the transport's way.
        """
        parts = (b"head", b"x" * 2 * SLICE, b"tail")
        size = sum(map(len, parts))
        whole = framed(b"".join(parts))
        for takes in (0, 3, 4, 8, 9, SLICE, len(whole) - 4, len(whole) - 1, len(whole)):
            transport = FakeTCP(takes=takes)
            protocol = Frames(self.clock)
            protocol.makeConnection(transport)
            protocol.send_parts(size, parts)
            direct, lazy = b"".join(transport.direct), b"".join(transport.lazy)
            self.assertEqual(direct, whole[:takes])
            self.assertEqual(direct + lazy, whole)

    def test_large_refused(self) -> None:
        """
        A kernel that fails leaves all of it to the transport, and so do bytes that
        wait already.
        """
        parts = (b"x" * 2 * SLICE,)
        for broken, waiting in ((True, b""), (False, b"x")):
            transport = FakeTCP(takes=BrokenPipeError() if broken else 1 << 20)
            transport.dataBuffer = waiting
            protocol = Frames(self.clock)
            protocol.makeConnection(transport)
            protocol.send_parts(len(parts[0]), parts)
            self.assertEqual(transport.direct, [])
            self.assertEqual(b"".join(transport.lazy), framed(*parts))

    def test_queued(self) -> None:
        """
        Never past bytes that wait already.
        """
        for name, value in (("dataBuffer", b"x"), ("_tempDataBuffer", [b"x"])):
            transport = FakeTCP()
            setattr(transport, name, value)
            self.answer(transport)
            self.assertEqual(transport.direct, [])
            self.assertEqual(transport.lazy, [framed(b"reply")])

    def test_not_connected(self) -> None:
        """
        Never on a transport that is closing or closed.
        """
        for name, value in (("connected", 0), ("disconnecting", 1)):
            transport = FakeTCP()
            setattr(transport, name, value)
            self.answer(transport)
            self.assertEqual(transport.direct, [])

    def test_tls(self) -> None:
        """
        Never below TLS, where it would be clear text.
        """
        transport = FakeTCP()
        transport.TLS = True
        self.answer(transport)
        self.assertEqual(transport.direct, [])

    def test_other_transports(self) -> None:
        """
        Never on a transport that is not TCP's own.
        """
        protocol, transport = self.connected()
        protocol.reply = b"reply"
        protocol.dataReceived(framed(b"call"))
        self.assertEqual(transport.writes, [framed(b"reply")])

    def test_own_backlog(self) -> None:
        """
        Never past what the protocol itself holds back.
        """
        transport = FakeTCP()
        protocol = Frames(self.clock)
        protocol.makeConnection(transport)
        protocol.reply = b"reply"
        protocol._backlog.append(memoryview(b"earlier"))
        protocol.dataReceived(framed(b"call"))
        self.assertEqual(transport.direct, [])
        self.assertEqual(b"".join(transport.lazy), b"earlier" + framed(b"reply"))

    def test_buffer(self) -> None:
        """
        The transport calls itself full at the limit of waiting output.
        """
        transport = FakeTCP()
        protocol = Frames(self.clock, Limits(output=10_000))
        protocol.makeConnection(transport)
        self.assertEqual(transport.bufferSize, 10_000)


class OverdueTests(TransportCase):
    """
    Peers that stop in the middle.
    """

    def test_nothing(self) -> None:
        """
        A connection on which nothing has begun is never overdue.
        """
        protocol, _ = self.connected()
        self.clock.advance(1e6)
        self.assertIsNone(protocol.overdue(self.clock.seconds()))

    def test_drip(self) -> None:
        """
        A started frame has 10 s, however its bytes drip.
        """
        protocol, _ = self.connected()
        for byte in framed(b"x" * 100)[:11]:
            self.assertIsNone(protocol.overdue(self.clock.seconds()))
            protocol.dataReceived(bytes([byte]))
            self.clock.advance(1)
        self.assertEqual(protocol.overdue(self.clock.seconds()), "frame")

    def test_header(self) -> None:
        """
        A length that is not complete is a started frame as well.
        """
        protocol, _ = self.connected()
        protocol.dataReceived(b"\0")
        self.assertIsNone(protocol.overdue(10))
        self.assertEqual(protocol.overdue(10.5), "frame")

    def test_large(self) -> None:
        """
        It has 1 s more for each 64 KiB received.
        """
        protocol, _ = self.connected()
        protocol.dataReceived(framed(b"x" * MIB)[: 5 * 64 * KIB])
        self.assertIsNone(protocol.overdue(15))
        self.assertEqual(protocol.overdue(15.5), "frame")

    def test_next_frame(self) -> None:
        """
        Each frame has time of its own.
        """
        protocol, _ = self.connected()
        data = framed(b"first", b"second")
        protocol.dataReceived(data[:7])
        self.clock.advance(8)
        protocol.dataReceived(data[7:12])
        self.assertIsNone(protocol.overdue(17))
        self.assertEqual(protocol.overdue(18.5), "frame")

    def test_not_its_fault(self) -> None:
        """
        While it is not read, a peer cannot finish its frame, and has the whole
        time again afterwards.
        """
        protocol, _ = self.connected()
        protocol.stop_after = b"slow"
        data = framed(b"slow", b"next")
        protocol.dataReceived(data[:-1])
        self.clock.advance(60)
        self.assertIsNone(protocol.overdue(self.clock.seconds()))
        protocol.start_frames()
        self.clock.advance(0)
        self.assertIsNone(protocol.overdue(69))
        self.assertEqual(protocol.overdue(70.5), "frame")

    def test_nor_while_full(self) -> None:
        """
        The same holds for a piece of a frame while output is full.
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.reply = b"x" * 70_000
        protocol.dataReceived(framed(b"call") + b"\0\0")
        self.clock.advance(20)
        self.assertIsNone(protocol.overdue(20))
        transport.drain()
        self.assertIsNone(protocol.overdue(30))
        self.assertEqual(protocol.overdue(30.5), "frame")

    def test_stall(self) -> None:
        """
        A peer that takes nothing for 30 s is overdue.
        """
        protocol, _ = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 100_000)
        self.assertIsNone(protocol.overdue(30))
        self.assertEqual(protocol.overdue(30.5), "write_stall")

    def test_progress(self) -> None:
        """
        One that takes a little now and then is not.
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 300_000)
        for _ in range(3):
            self.clock.advance(25)
            self.assertIsNone(protocol.overdue(self.clock.seconds()))
            transport.drain()

    def test_full_twice(self) -> None:
        """
        The time counts from when the transport first was full.
        """
        protocol, _ = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 100_000)
        self.clock.advance(20)
        protocol.pauseProducing()
        self.assertEqual(protocol.overdue(30.5), "write_stall")


class CloseTests(TransportCase):
    """
    How a connection ends.
    """

    def test_flush(self) -> None:
        """
        What was sent before the close is written before it.
        """
        protocol, transport = self.connected()
        protocol.send_frame(b"last words")
        protocol.close()
        self.assertEqual(transport.writes, [framed(b"last words")])
        self.assertEqual(transport.events, ["half-closed"])
        self.assertIsNone(transport.producer)

    def test_within_turn(self) -> None:
        """
        In a turn, the replies of the turn are written before it, and no further
        frame is handed on.
        """
        protocol, transport = self.connected()

        def reply_and_close(frame: bytes) -> None:
            protocol.send_frame(b"reply to " + frame)
            protocol.close()

        protocol.stringReceived = reply_and_close  # type: ignore[method-assign]
        protocol.dataReceived(framed(b"1", b"2"))
        self.assertEqual(transport.writes, [framed(b"reply to 1")])
        self.assertEqual(transport.events, ["half-closed"])

    def test_flush_large(self) -> None:
        """
        What the transport has no room for yet is written before it, too.
        """
        protocol, transport = self.connected(room=64 * KIB)
        body = b"x" * 300_000
        protocol.send_frame(body)
        protocol.close()
        self.assertEqual(transport.events, [])
        while not transport.events:
            transport.drain()
        self.assertEqual(unframed(transport.value()), [body])
        self.assertEqual(transport.events, ["half-closed"])

    def test_discard(self) -> None:
        """
        What still comes is read and thrown away, so that no reset overtakes the
        last reply.
        """
        protocol, transport = self.connected()
        protocol.stop_frames()
        protocol.dataReceived(framed(b"held"))
        protocol.close()
        self.assertEqual(transport.producerState, "producing")
        protocol.dataReceived(framed(b"late"))
        self.assertEqual((protocol.frames, protocol._held_size), ([], 0))

    def test_abort(self) -> None:
        """
        A connection that has not ended 1 s after the close is aborted.
        """
        protocol, transport = self.connected()
        protocol.close()
        self.clock.advance(0.9)
        self.assertEqual(transport.events, ["half-closed"])
        self.clock.advance(0.1)
        self.assertEqual(transport.events, ["half-closed", "aborted"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_after_close(self) -> None:
        """
        One that ends before leaves no timer.
        """
        protocol, transport = self.connected()
        protocol.close()
        transport.lose(ConnectionDone())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """
        Closing twice is closing once.
        """
        protocol, transport = self.connected()
        protocol.close()
        protocol.close()
        self.assertEqual(transport.events, ["half-closed"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_finish_once(self) -> None:
        """
        A transport that drains after the close is not closed again.
        """
        protocol, transport = self.connected()
        protocol.close()
        protocol.resumeProducing()
        self.assertEqual(transport.events, ["half-closed"])

    def test_tls(self) -> None:
        """
        TLS is closed as a whole: by halves, its end would not be sealed.
        """
        protocol, transport = self.connected()
        directlyProvides(transport, ISSLTransport)
        protocol.close()
        self.assertEqual(transport.events, ["closed"])

    def test_no_halves(self) -> None:
        """
        So is a transport that knows no halves.
        """
        protocol, transport = Frames(self.clock), StringTransport()
        protocol.makeConnection(transport)
        protocol.close()
        self.assertTrue(transport.disconnecting)

    def test_abort_at_once(self) -> None:
        """
        An abort waits for nothing and leaves nothing.
        """
        protocol, transport = self.connected(room=64 * KIB)
        protocol.send_frame(b"x" * 100_000)
        protocol.abort()
        self.assertEqual(transport.events, ["aborted"])
        self.assertTrue(protocol.closing)
        self.assertEqual(protocol.output_waiting, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abort_within_turn(self) -> None:
        """
        In a turn, it ends the turn.
        """
        protocol, transport = self.connected()

        def reply_and_abort(frame: bytes) -> None:
            protocol.turns[-1].append(frame)
            protocol.abort()

        protocol.stringReceived = reply_and_abort  # type: ignore[method-assign]
        protocol.dataReceived(framed(b"1", b"2"))
        self.assertEqual(protocol.frames, [b"1"])
        self.assertEqual(transport.events, ["aborted"])

    def test_abort_after_end(self) -> None:
        """
        What has ended cannot be aborted or closed.
        """
        protocol, transport = self.connected()
        transport.lose(ConnectionDone())
        protocol.abort()
        protocol.close()
        protocol._finish()
        self.assertEqual(transport.events, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_raising(self) -> None:
        """
        If a frame's receiver raises, the replies before it are still written.
        """
        protocol, transport = self.connected()

        def raise_at_2(frame: bytes) -> None:
            if frame == b"2":
                raise ZeroDivisionError
            protocol.send_frame(b"reply")

        protocol.stringReceived = raise_at_2  # type: ignore[method-assign]
        self.assertRaises(ZeroDivisionError, protocol.dataReceived, framed(b"1", b"2"))
        self.assertEqual(transport.writes, [framed(b"reply")])


class PeerNameTests(SynchronousTestCase):
    """
    L{peer_name}.
    """

    def named(self, address: Any) -> str:
        """
        The name of a peer at C{address}.
        """
        return peer_name(StringTransport(peerAddress=address))

    def test_ip(self) -> None:
        """
        Host and port.
        """
        self.assertEqual(
            self.named(IPv4Address("TCP", "127.0.0.1", 4000)), "127.0.0.1:4000"
        )

    def test_unix(self) -> None:
        """
        The path, whatever its bytes.
        """
        self.assertEqual(self.named(UNIXAddress(b"/run/rpc\xff")), "/run/rpc\\xff")

    def test_nameless(self) -> None:
        """
        Else what the transport says.
        """
        self.assertEqual(self.named(UNIXAddress(None)), "UNIXAddress(None)")
