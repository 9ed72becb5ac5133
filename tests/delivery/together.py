"""
The state machine of the store of the process, and a server in front of it, to which
calls come together: most of them go the straight way.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.delivery.deduplicating import WHO, Deduplicating
from tests.delivery.requests import Call
from tests.raw import Conversation, RawPeer
from twisted_rpc import Registry, Server, current_call
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing import MemoryClock, MemoryNetwork

IDL = load_idl_text("service Bank { string pay(int cents); }")

#: Parameters and what becomes of them, of calls that come together.
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["[1]", "[1]", "[1]", "[2]"]),
        st.sampled_from(["at once", "at once", "at once", "later", "raise"]),
    ),
    min_size=2,
    max_size=4,
)

#: Where they begin above the floor, what they are, and whether all before them is
#: acknowledged.
SEGMENT = st.tuples(st.integers(-1, 5), CALLS, st.booleans())


class Bank:
    """
    Does what the machine says.
    """

    def __init__(self, machine: Together) -> None:
        self.machine = machine

    def pay(self, cents: int) -> Any:
        """A run begins."""
        call = current_call()
        session, _, seq = call.id.partition(":")
        answer = self.machine.serve((call.principal, session, int(seq)), f"[{cents}]")
        if isinstance(answer, Deferred):
            return answer.addCallback(read)
        return read(answer)


def read(result: bytes) -> Any:
    """What a result says."""
    return json.loads(result)


class Named:
    """
    Whoever calls is who he says.
    """

    required = True

    def authenticate(self, peer: Any, auth: Any) -> str:
        """The token, or nobody yet."""
        if auth is None:
            raise RPCError(Code.UNAUTHENTICATED, "who is it?")
        return str(auth["token"])


class Talk(Conversation):
    """
    With the server of a machine, which has its clock and its store.
    """

    def __init__(self, machine: Together) -> None:
        self.clock = machine.clock
        self.network = MemoryNetwork()
        self.idl = IDL
        registry = Registry()
        registry.register(IDL.Bank, Bank(machine))
        self.server = Server(
            registry,
            reactor=machine.clock,
            wall=machine.wall,
            dedup=machine.store,
            authenticator=Named(),
        )


class Together(Deduplicating):
    """
    Each principal has a connection of the server's too, in the same session.

    @ivar asked: what waits for an answer on a connection, by principal and id.
    @ivar begins: what becomes of a call that comes now.
    @ivar wrong: what was seen where the server would catch it.
    """

    clock: MemoryClock

    def make_clock(self) -> Clock:
        clock = MemoryClock()
        clock.rightNow = 0.0
        return clock

    def open_store(self) -> None:
        super().open_store()
        self.talk = Talk(self)
        self.peers: dict[str, RawPeer] = {}
        self.asked: dict[tuple[str, str], Deferred[bytes]] = {}
        self.begins: dict[Call, str] = {}
        self.wrong: list[str] = []

    def result(self, call: Call) -> bytes:
        return b'"%b"' % super().result(call)

    def serve(self, call: Call, params: str) -> Any:
        """The implementation."""
        self.served.add(call)
        self.begin = self.begins[call]
        try:
            return self.start(call, params)
        except AssertionError as error:
            # The server makes an answer of it.
            self.wrong.append(f"{error}")
            raise

    def peer(self, who: str) -> RawPeer | None:
        """The connection of a principal, if its session lives."""
        session = self.callers[who].session
        assert session is not None
        if session.id not in self.store.sessions:
            return None
        if who not in self.peers:
            peer = self.talk.connect()
            auth = {"scheme": "bearer", "token": who}
            hello = self.talk.hello(peer, session=session.id, auth=auth)
            assert hello["result"]["resumed"]
            self.peers[who] = peer
        return self.peers[who]

    @rule(who=WHO, segments=st.lists(SEGMENT, min_size=1, max_size=3))
    def ask_together(self, who: str, segments: list[Any]) -> None:
        """Attempts of calls, those that follow on one another in one segment."""
        if who in self.detached:
            self.reconnect(who)
        for above, calls, ack in segments:
            peer = self.peer(who)
            if peer is not None:
                self.ask_in_segment(who, peer, above, calls, ack)
                self.answered_once()

    def ask_in_segment(
        self,
        who: str,
        peer: RawPeer,
        above: int,
        calls: list[tuple[str, str]],
        ack: bool,
    ) -> None:
        """One segment, from so far above the floor."""
        session = self.callers[who].session
        assert session is not None
        floor, before = session.floor, dict(self.runs)
        first = max(1, floor + above)
        frames = []
        for seq, (params, begin) in enumerate(calls, first):
            call, name = (who, session.id, seq), f"{session.id}:{seq}"
            if (who, name) in self.asked:
                continue
            self.begins[call] = begin
            self.expect(call, params, name)
            low = first if ack else 1
            frames.append(
                f'{{"request_id":"{name}","method":"pay","params":{params},'
                f'"timestamp":1,"service":"Bank","ext":{{"timeout":99999999,'
                f'"ack":{low}}}}}'.encode()
            )
        self.talk.say(peer, *frames)
        for call, count in self.runs.items():
            if call[:2] == (who, session.id) and call[2] <= floor:
                assert count == before.get(call), "I7: it ran below the floor"

    def expect(self, call: Call, params: str, name: str) -> None:
        """Wait for an answer."""
        heard: list[Any] = []
        answer: Deferred[bytes] = Deferred(lambda _: self.give_up(call[0], name))
        self.asked[call[0], name] = answer
        answer.addBoth(heard.append)
        self.waiting.append((call, params, heard, answer))

    def give_up(self, who: str, name: str) -> None:
        """Somebody stops waiting."""
        del self.asked[who, name]
        self.talk.control(self.peers[who], "cancel", name)

    @invariant()
    def answered_once(self) -> None:
        """What has come is what was waited for."""
        self.talk.pump()
        assert not self.wrong, self.wrong[0]
        for who, peer in self.peers.items():
            for frame in peer.frames:
                answer = self.asked.pop((who, frame["request_id"]), None)
                if answer is not None:
                    told(answer, frame)
            peer.frames.clear()
        super().answered_once()

    @rule(who=WHO)
    def disconnect(self, who: str) -> None:
        """Both connections are lost, and what was to be told there."""
        super().disconnect(who)
        peer = self.peers.pop(who, None)
        if peer is not None:
            peer.transport.loseConnection()
            self.talk.pump()
            lost = [key for key in self.asked if key[0] == who]
            gone = [self.asked.pop(key) for key in lost]
            self.waiting = [each for each in self.waiting if each[3] not in gone]


def told(answer: Deferred[bytes], frame: Any) -> None:
    """
    An answer came.
    """
    if frame["error"] is None:
        answer.callback(json.dumps(frame["result"]).encode())
    else:
        ext = frame["ext"]
        error = RPCError(
            Code(ext["code"]), frame["error"], executed=ext.get("executed")
        )
        answer.errback(error)
