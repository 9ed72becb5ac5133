"""
Tests for what waits that runs in a transaction.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.test_recording import ScriptedStore
from tests.raw import Conversation, RawPeer
from twisted_rpc import Limits
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.testing import MemoryClock

IDL = """
service Bank {
    @transactional @max_concurrency(2) int put(int cents);
    @transactional int note(int number);
    int charge(int cents);
}
"""


class Bank:
    """
    Counts.

    @ivar runs: the arguments, in the order of the runs.
    """

    def __init__(self) -> None:
        self.runs: list[int] = []

    def put(self, cents: int) -> int:
        """In a transaction."""
        self.runs.append(cents)
        return cents

    note = charge = put


class TurnsTests(SynchronousTestCase):
    """
    A server on a store that answers when it is told to.
    """

    def start(self, **limits: Any) -> None:
        """
        Start it.
        """
        self.bank = Bank()
        self.store = ScriptedStore(MemoryStore(), MemoryClock())
        self.talk = Conversation(
            IDL, self.bank, dedup=self.store, limits=Limits(**limits), drain=1.0
        )
        self.addCleanup(self.talk.close)
        self.peer, self.session = self.talk.extended()
        self.store.slow = True
        self.store.asked.clear()
        self.seq = 0

    def send(self, method: str, number: int, **ext: Any) -> str:
        """
        @return: the id of a call that is sent.
        """
        self.seq += 1
        request_id = f"{self.session}:{self.seq}"
        self.ask(request_id, method, number, **ext)
        return request_id

    def ask(self, request_id: str, method: str, number: int, **ext: Any) -> None:
        """
        Send it under an id.
        """
        request = self.talk.request(
            request_id, method, [number], ext={"timeout": 60_000, **ext}
        )
        self.talk.say(self.peer, request)

    def told(self, request_id: str, peer: RawPeer | None = None) -> list[Any]:
        """
        @return: what was answered under an id: results, and codes.
        """
        self.talk.pump()
        return [
            it["result"] if it["error"] is None else it["ext"]["code"]
            for it in (peer or self.peer).frames
            if it["request_id"] == request_id
        ]

    def step(self) -> None:
        """
        Let the store do what it was asked.
        """
        self.store.answer()
        self.talk.pump()

    def quiet(self) -> None:
        """
        Check that nothing is counted any more.
        """
        shared = self.talk.server.factory.shared
        (connection,) = shared.connections
        self.assertEqual(connection.inflight, 0)
        assert connection.caller is not None
        self.assertEqual(connection.caller.running, 0)
        self.assertEqual(self.talk.server.gauges()["calls_running"], 0)
        self.assertEqual(self.talk.server.gauges()["calls_waiting"], 0)
        self.assertEqual(shared.admission.pressure.level, 0)

    def test_of_the_method(self) -> None:
        """
        C{@max_concurrency} lets so many transactions of a method run; others of
        its calls wait, and those of other methods do not.
        """
        self.start()
        ids = [self.send("put", n) for n in range(4)]
        note = self.send("note", 9)
        self.assertEqual(
            self.store.asked, ["transact", "transact", "claim", "claim", "transact"]
        )
        self.step()
        self.assertEqual(self.bank.runs, [0, 1, 9])
        self.assertEqual([self.told(it) for it in ids], [[0], [1], [], []])
        self.assertEqual(self.told(note), [9])
        self.step()
        self.assertEqual([self.told(it) for it in ids], [[0], [1], [2], [3]])
        self.quiet()

    def test_what_has_a_record(self) -> None:
        """
        A call that has ended is answered from its record while its method is
        full, and waits for nobody.
        """
        self.start()
        done = self.send("put", 1)
        self.step()
        for number in (2, 3):
            self.send("put", number)
        waiting = self.store.waiting
        self.store.waiting = []
        self.ask(done, "put", 1, attempt=2)
        self.step()
        self.assertEqual(self.told(done), [1, 1])
        self.store.waiting = waiting
        self.step()
        self.assertEqual(self.bank.runs, [1, 2, 3])
        self.quiet()

    def test_bounded(self) -> None:
        """
        So many may wait, and no more; those are refused without a claim.
        """
        self.start(max_queue=1)
        ids = [self.send("put", n) for n in range(3)]
        self.step()
        self.step()
        self.step()
        self.assertEqual([self.told(it) for it in ids], [[0], [1], [2]])
        ids = [self.send("put", n) for n in range(3)]
        # The third has been looked up, and waits.
        waiting, self.store.waiting = self.store.waiting[:2], self.store.waiting[2:]
        self.step()
        late = self.send("put", 9)
        self.step()
        self.assertEqual(self.told(late), ["RESOURCE_EXHAUSTED"])
        self.assertEqual(self.talk.server.counters()["limits.max_queue"], 1)
        self.store.waiting = waiting
        self.step()
        self.step()
        self.assertEqual([self.told(it) for it in ids], [[0], [1], [2]])
        self.assertNotIn(9, self.bank.runs)
        self.quiet()

    def test_given_up(self) -> None:
        """
        A call that is given up while it waits never runs, nor one whose time is
        up.
        """
        self.start()
        for number in (1, 2):
            self.send("put", number)
        held, self.store.waiting = self.store.waiting, []
        waiting, late = self.send("put", 3), self.send("put", 4, timeout=300)
        self.step()
        self.talk.control(self.peer, "cancel", waiting)
        self.assertEqual(self.told(waiting), ["CANCELLED"])
        self.talk.advance(0.4, step=0.025)
        self.assertEqual(self.told(late), ["DEADLINE_EXCEEDED"])
        self.store.waiting = held
        self.step()
        self.step()
        self.assertEqual(self.bank.runs, [1, 2])
        self.quiet()

    def test_of_the_server(self) -> None:
        """
        The server's limit holds for transactions as for everything else.
        """
        self.start(max_concurrency=1)
        first, second = self.send("note", 1), self.send("note", 2)
        self.step()
        self.assertEqual((self.told(first), self.told(second)), ([1], []))
        self.step()
        self.assertEqual(self.told(second), [2])
        self.quiet()

    def test_of_the_caller(self) -> None:
        """
        So does the caller's.
        """
        self.start(max_concurrency_per_principal=1)
        first, second = self.send("put", 1), self.send("put", 2)
        self.step()
        self.assertEqual((self.told(first), self.told(second)), ([1], []))
        self.step()
        self.assertEqual(self.told(second), [2])
        self.quiet()

    def test_refused_unclaimed(self) -> None:
        """
        A call that could not even wait is refused before the store is asked for
        anything but its record: refusals are cheap.
        """
        self.start(max_concurrency=1, max_queue=0)
        self.send("note", 1)
        held, self.store.waiting = self.store.waiting, []
        late = self.send("charge", 2)
        self.step()
        self.assertEqual(self.told(late), ["RESOURCE_EXHAUSTED"])
        self.assertEqual(self.store.asked, ["transact", "claim"])
        self.assertFalse(self.store.claims[-1].run)
        self.store.waiting = held
        self.step()
        self.quiet()

    def test_end_of_the_drain(self) -> None:
        """
        What still waits when the server has stopped never runs.
        """
        self.start()
        for number in range(3):
            self.send("put", number)
        held, self.store.waiting = self.store.waiting[:2], self.store.waiting[2:]
        self.step()
        stopped = self.talk.server.stopService()
        self.talk.advance(3)
        self.store.waiting += held
        self.store.slow = False
        self.step()
        self.talk.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.bank.runs, [0, 1])
