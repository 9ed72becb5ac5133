"""
Tests for L{twisted_rpc.delivery.memory}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.requests import PAY
from twisted_rpc.delivery import memory
from twisted_rpc.delivery.memory import ANONYMOUS, Ledger, MemoryStore
from twisted_rpc.delivery.records import RECORD_SIZE, SESSION_SIZE, Record, Session
from twisted_rpc.delivery.table import State
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.wire.limits import KIB

#: The smallest store there may be.
SMALL = 64 * KIB


class StoreTestCase(SynchronousTestCase):
    """
    What tests of a store need.
    """

    def begin(
        self,
        store: MemoryStore,
        holder: Session | Ledger,
        key: Any,
        *,
        timestamp: float = 0.0,
    ) -> Record:
        """A call that runs."""
        record = Record(PAY.full_name, b"[1]")
        record.timestamp = timestamp
        store.claim(holder, key, record)
        store.goes_on(holder, record)
        return record

    def done(
        self,
        store: MemoryStore,
        holder: Session | Ledger,
        key: Any,
        size: int = 10,
        *,
        now: float = 0.0,
        timestamp: float = 0.0,
    ) -> Record:
        """A call that has ended with so many bytes."""
        record = self.begin(store, holder, key, timestamp=timestamp)
        store.complete(holder, key, record, b"x" * size, now)
        return record

    def refused(self, code: Code, function: Any, *args: Any) -> RPCError:
        """It fails with this code, and nothing ran."""
        error: RPCError = self.assertRaises(RPCError, function, *args)
        self.assertIs(error.code, code)
        return error

    def counted(self, store: MemoryStore) -> None:
        """The store knows how much it holds."""
        total = SESSION_SIZE * len(store.sessions)
        holders: list[Any] = [*store.sessions.values(), *store.ledgers.values()]
        for holder in holders:
            size = sum(record.size for record in holder.records.values())
            self.assertEqual(holder.bytes, size)
            total += size
            running = [
                r for r in holder.records.values() if r.state is State.IN_PROGRESS
            ]
            self.assertEqual(holder.running, len(running))
        self.assertEqual(store.bytes, total)


class SettingsTests(SynchronousTestCase):
    """
    What a store may be made with.
    """

    def test_refused_by_name(self) -> None:
        """
        A setting that cannot work is refused, and named.
        """
        names = (
            "retention",
            "window",
            "waiters",
            "session_bytes",
            "principal_bytes",
            "total_bytes",
            "sessions_per_principal",
            "sessions",
        )
        for name in names:
            for number in (0, -1):
                options: dict[str, Any] = {name: number}
                error = self.assertRaises(ValueError, MemoryStore, **options)
                self.assertIn(f"{name} is {number}", str(error))

    def test_least_size(self) -> None:
        """
        A store too small for a handful of calls is refused.
        """
        error = self.assertRaises(ValueError, MemoryStore, total_bytes=SMALL - 1)
        self.assertIn("must be from 65536 to", str(error))

    def test_defaults(self) -> None:
        """
        The defaults are those of the specification (D19, D20, D28).
        """
        store = MemoryStore()
        self.assertEqual(
            (store.window, store.waiters, store.retention, store.max_sessions),
            (1024, 64, 900.0, 10_000),
        )
        self.assertEqual(store.sessions_per_principal, 64)
        sizes = (store.session_bytes, store.principal_bytes, store.total_bytes)
        self.assertEqual([size // 2**20 for size in sizes], [4, 16, 64])

    def test_guarantee(self) -> None:
        """
        The store says what it promises, and C{transactional} is not part of it.
        """
        store = MemoryStore()
        self.assertEqual((store.name, store.durable), ("memory", False))
        self.assertNotIn("transactional", store.classes)
        self.assertIn("0 sessions", repr(store))


class SessionTests(StoreTestCase):
    """
    Sessions: issued, resumed, and ended.
    """

    def test_issued(self) -> None:
        """
        The server makes the ids, of 128 bits, and no two are equal.
        """
        store = MemoryStore()
        ids = {store.attach("ada", None)[0].id for _ in range(50)}
        self.assertEqual(len(ids), 50)
        for each in ids:
            self.assertRegex(each, "^[0-9a-f]{32}$")

    def test_resumed(self) -> None:
        """
        A session is resumed with its records and its floor.
        """
        store = MemoryStore()
        session, resumed = store.attach("ada", None)
        self.assertFalse(resumed)
        self.done(store, session, 5)
        store.release(session, 3)
        store.detach(session, 1.0)
        again, resumed = store.attach("ada", session.id)
        self.assertTrue(resumed)
        self.assertIs(again, session)
        self.assertEqual((again.floor, set(again.records)), (2, {5}))

    def test_unknown(self) -> None:
        """
        An id that is not known does not become a session by being asked for.
        """
        store = MemoryStore()
        session, resumed = store.attach("ada", "0" * 32)
        self.assertFalse(resumed)
        self.assertNotEqual(session.id, "0" * 32)
        self.assertEqual(list(store.sessions), [session.id])

    def test_of_another_principal(self) -> None:
        """
        A session of another principal is not to be had, and loses nothing.
        """
        store = MemoryStore()
        adas, _ = store.attach("ada", None)
        self.done(store, adas, 1)
        eves, resumed = store.attach("eve", adas.id)
        self.assertFalse(resumed)
        self.assertIsNot(eves, adas)
        self.assertEqual(eves.records, {})
        self.assertEqual(adas.attached, 1)
        self.assertEqual(set(adas.records), {1})

    def test_dead_for_ever(self) -> None:
        """
        A session that has ended is unknown from then on.
        """
        store = MemoryStore()
        session, _ = store.attach("ada", None)
        self.done(store, session, 1)
        store.detach(session, 0.0)
        store.end(session)
        self.assertEqual(store.bytes, 0)
        again, resumed = store.attach("ada", session.id)
        self.assertFalse(resumed)
        self.assertNotEqual(again.id, session.id)

    def test_cap_of_a_principal(self) -> None:
        """
        At its cap a principal loses its own longest unattached session.
        """
        store = MemoryStore(sessions_per_principal=3)
        eves, _ = store.attach("eve", None)
        store.detach(eves, 0.0)
        adas = [store.attach("ada", None)[0] for _ in range(3)]
        for when, number in enumerate((1, 0, 2)):
            store.detach(adas[number], float(when))
        store.attach("ada", None)
        self.assertNotIn(adas[1].id, store.sessions)
        store.attach("ada", None)
        self.assertNotIn(adas[0].id, store.sessions)
        self.assertIn(adas[2].id, store.sessions)
        self.assertIn(eves.id, store.sessions)
        self.counted(store)

    def test_resumed_is_no_longer_unattached(self) -> None:
        """
        A session that is resumed in time is not the one that goes.
        """
        store = MemoryStore(sessions_per_principal=2)
        first, second = (store.attach("ada", None)[0] for _ in range(2))
        store.detach(first, 0.0)
        store.detach(second, 1.0)
        store.attach("ada", first.id)
        store.attach("ada", None)
        self.assertIn(first.id, store.sessions)
        self.assertNotIn(second.id, store.sessions)

    def test_all_attached(self) -> None:
        """
        If all its sessions are in use, the principal gets no other.
        """
        store = MemoryStore(sessions_per_principal=2)
        for _ in range(2):
            store.attach("ada", None)
        error = self.refused(Code.RESOURCE_EXHAUSTED, store.attach, "ada", None)
        self.assertEqual((error.executed, error.retry_after), ("no", 1.0))
        self.assertIn("2 sessions are open", error.message)
        store.attach("eve", None)

    def test_running_is_not_lost(self) -> None:
        """
        A session in which something runs is not ended to make room.
        """
        store = MemoryStore(sessions_per_principal=2)
        busy, idle = (store.attach("ada", None)[0] for _ in range(2))
        self.begin(store, busy, 1)
        store.detach(busy, 0.0)
        self.refused(Code.RESOURCE_EXHAUSTED, store.attach, "ada", None)
        store.detach(idle, 1.0)
        store.attach("ada", None)
        self.assertIn(busy.id, store.sessions)
        self.assertNotIn(idle.id, store.sessions)

    def test_cap_of_the_server(self) -> None:
        """
        At the server's cap nobody loses a session to somebody else.
        """
        store = MemoryStore(sessions=2)
        adas = [store.attach("ada", None)[0] for _ in range(2)]
        for session in adas:
            store.detach(session, 0.0)
        self.refused(Code.RESOURCE_EXHAUSTED, store.attach, "eve", None)
        self.assertEqual(set(store.sessions), {session.id for session in adas})

    def test_strangers_share_a_cap(self) -> None:
        """
        Whoever is not authenticated may have as many as the server.
        """
        store = MemoryStore(sessions_per_principal=2, sessions=5)
        for _ in range(5):
            store.attach(ANONYMOUS, None)
        self.refused(Code.RESOURCE_EXHAUSTED, store.attach, ANONYMOUS, None)

    def test_sessions_count(self) -> None:
        """
        A session takes room too: in a full store none begins.
        """
        store = MemoryStore(total_bytes=SMALL, session_bytes=SMALL)
        session, _ = store.attach("eve", None)
        seq = 0
        while store.bytes + SESSION_SIZE <= SMALL:
            seq += 1
            self.begin(store, session, seq)
        error = self.refused(Code.RESOURCE_EXHAUSTED, store.attach, "ada", None)
        self.assertIn("no room", error.message)
        self.assertEqual(len(store.sessions), 1)
        self.counted(store)

    def test_room_for_a_session(self) -> None:
        """
        Its principal's own answers go to make room for one.
        """
        store = MemoryStore(total_bytes=SMALL, session_bytes=SMALL)
        session, _ = store.attach("ada", None)
        self.done(store, session, 1, SMALL - 2 * SESSION_SIZE)
        store.attach("ada", None)
        self.assertIs(session.records[1].state, State.TOMBSTONE)
        self.assertLessEqual(store.bytes, SMALL)


class RetentionTests(StoreTestCase):
    """
    What is forgotten because it is old.
    """

    def test_unattached(self) -> None:
        """
        A session ends when it was attached to no connection for so long, and
        not before.
        """
        store = MemoryStore(retention=100.0)
        session, _ = store.attach("ada", None)
        store.detach(session, 50.0)
        store.expire(149.9, 0.0)
        self.assertIn(session.id, store.sessions)
        store.expire(150.0, 0.0)
        self.assertNotIn(session.id, store.sessions)
        self.assertEqual(store.bytes, 0)

    def test_attached(self) -> None:
        """
        A session in use does not age, on how many connections ever.
        """
        store = MemoryStore(retention=100.0)
        session, _ = store.attach("ada", None)
        store.attach("ada", session.id)
        store.detach(session, 0.0)
        store.expire(10_000.0, 0.0)
        self.assertIn(session.id, store.sessions)
        store.detach(session, 10_000.0)
        store.expire(10_099.0, 0.0)
        self.assertIn(session.id, store.sessions)
        store.expire(10_100.0, 0.0)
        self.assertEqual(store.sessions, {})

    def test_running(self) -> None:
        """
        Nor does one end while something of it runs; others end meanwhile.
        """
        store = MemoryStore(retention=100.0)
        busy, idle = (store.attach("ada", None)[0] for _ in range(2))
        record = self.begin(store, busy, 1)
        for session in (busy, idle):
            store.detach(session, 0.0)
        store.expire(1000.0, 0.0)
        self.assertEqual(list(store.sessions), [busy.id])
        store.complete(busy, 1, record, b"1", 1000.0)
        store.expire(1000.0, 0.0)
        self.assertEqual(store.sessions, {})

    def test_sessionless(self) -> None:
        """
        The record of a request without a session is kept for so long after it
        has ended, and leaves a floor behind.
        """
        store = MemoryStore(retention=100.0)
        ledger = store.ledger("ada")
        self.done(store, ledger, "a", now=10.0, timestamp=7.0)
        running = self.begin(store, ledger, "b", timestamp=8.0)
        self.done(store, ledger, "c", now=20.0, timestamp=9.0)
        store.expire(109.0, 0.0)
        self.assertEqual(set(ledger.records), {"a", "b", "c"})
        store.expire(110.0, 0.0)
        self.assertEqual((set(ledger.records), ledger.floor), ({"b", "c"}, 7.0))
        store.expire(10_000.0, 0.0)
        self.assertEqual((set(ledger.records), ledger.floor), ({"b"}, 9.0))
        store.complete(ledger, "b", running, b"1", 10_000.0)
        store.expire(10_100.0, 0.0)
        self.assertEqual((ledger.records, ledger.floor), ({}, 9.0))
        self.counted(store)


class EvictionTests(StoreTestCase):
    """
    What is forgotten because there is no room.
    """

    def test_bytes_of_a_session(self) -> None:
        """
        The oldest answers of a session go first, and leave tombstones.
        """
        store = MemoryStore(session_bytes=10_000)
        session, _ = store.attach("ada", None)
        for seq in range(1, 30):
            self.done(store, session, seq, 1000)
            self.assertLessEqual(
                session.bytes, 10_000 + RECORD_SIZE * len(session.records)
            )
        states = [record.state for record in session.records.values()]
        self.assertEqual(len(states), 29)
        kept = states.count(State.DONE)
        self.assertEqual(states, [State.TOMBSTONE] * (29 - kept) + [State.DONE] * kept)
        self.assertEqual(store.evicted, 29 - kept)
        self.counted(store)

    def test_big_answer(self) -> None:
        """
        An answer that would take nearly all the room goes itself, not all the
        others.
        """
        store = MemoryStore(session_bytes=10_000)
        session, _ = store.attach("ada", None)
        for seq in range(1, 4):
            self.done(store, session, seq, 1000)
        self.done(store, session, 4, 9_000)
        states = [record.state for record in session.records.values()]
        self.assertEqual(states, [State.DONE] * 3 + [State.TOMBSTONE])
        self.counted(store)
        store = MemoryStore(principal_bytes=10_000)
        ledger = store.ledger("ada")
        self.done(store, ledger, "a", 1000)
        self.done(store, ledger, "b", 20_000)
        self.assertIs(ledger.records["a"].state, State.DONE)
        self.assertIs(ledger.records["b"].state, State.TOMBSTONE)
        self.counted(store)

    def test_running_stays(self) -> None:
        """
        What runs is never evicted, by whatever pressure.
        """
        store = MemoryStore(
            total_bytes=SMALL, session_bytes=SMALL, principal_bytes=5_000
        )
        session, _ = store.attach("ada", None)
        ledger = store.ledger("ada")
        records = [self.begin(store, session, 1), self.begin(store, ledger, "r")]
        for number in range(2, 100):
            self.done(store, session, number, 5_000)
            self.done(store, ledger, f"{number}", 5_000, timestamp=float(number))
        self.assertEqual({record.state for record in records}, {State.IN_PROGRESS})
        self.assertIs(session.records[1], records[0])
        self.assertIs(ledger.records["r"], records[1])
        self.assertLessEqual(store.bytes, SMALL)
        self.counted(store)

    def test_a_record_above_the_floor_stays(self) -> None:
        """
        However full the store, a record of a session never becomes absent.
        """
        store = MemoryStore(total_bytes=SMALL, session_bytes=2_000)
        session, _ = store.attach("ada", None)
        for seq in range(1, 101):
            self.done(store, session, seq, 3_000)
        self.assertEqual(set(session.records), set(range(1, 101)))

    def test_principal(self) -> None:
        """
        Of requests without a session the answers go first, then the records,
        the oldest timestamp first, each with a rise of the floor.
        """
        store = MemoryStore(principal_bytes=5_000)
        ledger = store.ledger("ada")
        times = [5.0, 3.0, 9.0, 1.0, 7.0, 2.0]
        for number, timestamp in enumerate(times):
            self.done(store, ledger, f"{number}", 300, timestamp=timestamp)
        self.assertEqual(ledger.floor, 0.0)
        for number in range(10, 20):
            self.done(store, ledger, f"{number}", 300, timestamp=float(number))
            self.assertLessEqual(ledger.bytes, 5_000)
        self.assertGreater(ledger.floor, 0.0)
        for number, timestamp in enumerate(times):
            gone = f"{number}" not in ledger.records
            self.assertEqual(gone, timestamp <= ledger.floor, timestamp)
        self.counted(store)

    def test_nobody_else(self) -> None:
        """
        A principal that fills the store evicts nothing of another's, and is
        refused in the end.
        """
        store = MemoryStore(total_bytes=SMALL, session_bytes=SMALL)
        adas, _ = store.attach("ada", None)
        self.done(store, adas, 1, 1000)
        self.done(store, store.ledger("ada"), "a", 1000, timestamp=4.0)
        eves, _ = store.attach("eve", None)
        seq = 0
        while store.room(eves):
            seq += 1
            self.done(store, eves, seq, 2_000)
            self.assertLessEqual(store.bytes, SMALL)
        self.assertIs(adas.records[1].state, State.DONE)
        self.assertIs(store.ledger("ada").records["a"].state, State.DONE)
        self.assertEqual(store.ledger("ada").floor, 0.0)
        self.assertEqual(set(eves.records), set(range(1, seq + 1)))
        self.assertFalse(store.room(store.ledger("eve")))
        self.counted(store)

    def test_room_in_the_whole_store(self) -> None:
        """
        Full with the answers of one principal, the store has room for its next
        call: its oldest session's answers go, then its records without one.
        """
        store = MemoryStore(
            total_bytes=SMALL, session_bytes=SMALL, principal_bytes=SMALL
        )
        sessions = [store.attach("ada", None)[0] for _ in range(2)]
        ledger = store.ledger("ada")
        self.done(store, ledger, "a", 20_000, timestamp=1.0)
        self.done(store, sessions[0], 1, 10_000)
        self.done(store, sessions[1], 1, SMALL - store.bytes - RECORD_SIZE)
        self.assertTrue(store.room(sessions[1]))
        self.assertIs(sessions[0].records[1].state, State.TOMBSTONE)
        self.assertIs(sessions[1].records[1].state, State.DONE)
        self.done(store, sessions[1], 2, SMALL - store.bytes - RECORD_SIZE)
        self.assertTrue(store.room(ledger))
        self.assertIs(sessions[1].records[1].state, State.TOMBSTONE)
        self.assertIn("a", ledger.records)
        self.counted(store)

    def test_records_without_answers_go_last(self) -> None:
        """
        A principal's records without a session go when nothing else of it can.
        """
        store = MemoryStore(total_bytes=SMALL, principal_bytes=SMALL)
        ledger = store.ledger("ada")
        number = 0
        while store.bytes + RECORD_SIZE <= SMALL:
            number += 1
            self.done(store, ledger, f"{number}", 0, timestamp=float(number))
        self.assertTrue(store.room(ledger))
        self.assertNotIn("1", ledger.records)
        self.assertIn(f"{number}", ledger.records)
        self.assertGreaterEqual(ledger.floor, 1.0)
        self.assertLess(ledger.floor, number / 2)
        self.counted(store)


class AckTests(StoreTestCase):
    """
    What the client says it will not send again.
    """

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.session, _ = self.store.attach("ada", None)

    def test_released(self) -> None:
        """
        Records below C{ack} are dropped, the floor rises.
        """
        for seq in range(1, 6):
            self.done(self.store, self.session, seq)
        self.store.release(self.session, 4)
        self.assertEqual((self.session.floor, set(self.session.records)), (3, {4, 5}))
        self.counted(self.store)

    def test_never_falls(self) -> None:
        """
        An C{ack} from the past changes nothing.
        """
        self.store.release(self.session, 10)
        for ack in (1, 5, 9, 10):
            self.store.release(self.session, ack)
            self.assertEqual(self.session.floor, 9)

    def test_running(self) -> None:
        """
        What runs is dropped when it ends, and stale meanwhile.
        """
        record = self.begin(self.store, self.session, 1)
        self.store.release(self.session, 2)
        self.assertIn(1, self.session.records)
        self.store.complete(self.session, 1, record, b"1", 0.0)
        self.assertEqual((self.session.records, self.session.floor), ({}, 1))
        self.counted(self.store)

    def test_huge(self) -> None:
        """
        A jump over all numbers there are takes no longer than one over the
        records there are.
        """
        for seq in (1, 2, 900):
            self.done(self.store, self.session, seq)
        self.store.release(self.session, 2**53 - 1)
        self.assertEqual((self.session.floor, self.session.records), (2**53 - 2, {}))
        self.counted(self.store)

    def test_gaps(self) -> None:
        """
        Numbers that were never used are no obstacle.
        """
        for seq in (3, 5, 7):
            self.done(self.store, self.session, seq)
        self.store.release(self.session, 6)
        self.assertEqual(set(self.session.records), {7})
        self.counted(self.store)


class FloorTests(StoreTestCase):
    """
    Floors of requests without a session.
    """

    def test_start(self) -> None:
        """
        What was asked before the start may have run before it (D30): the floor
        of everybody is the moment of the start, and starting again does not
        lower it.
        """
        store = MemoryStore()
        before = store.ledger("ada")
        store.start(1000.0)
        self.assertEqual((before.floor, store.ledger("eve").floor), (1000.0, 1000.0))
        store.start(900.0)
        self.assertEqual((before.floor, store.ledger("bob").floor), (1000.0, 1000.0))
        store.start(1100.0)
        self.assertEqual(before.floor, 1100.0)

    def test_forgetting_out_of_order(self) -> None:
        """
        The floor never falls when an older record goes after a younger.
        """
        store = MemoryStore(retention=10.0)
        ledger = store.ledger("ada")
        self.done(store, ledger, "young", now=0.0, timestamp=50.0)
        self.done(store, ledger, "old", now=5.0, timestamp=40.0)
        store.expire(10.0, 100.0)
        self.assertEqual(ledger.floor, 50.0)
        store.expire(20.0, 100.0)
        self.assertEqual((ledger.floor, ledger.records), (50.0, {}))

    def test_merged(self) -> None:
        """
        Too many floors become one, which is not below any of them; who has
        something here keeps his own.
        """
        self.patch(memory, "MAX_FLOORS", 10)
        store = MemoryStore()
        floors = {f"p{number}": 100.0 + number for number in range(12)}
        for principal, floor in floors.items():
            store.ledger(principal).floor = floor
        self.done(store, store.ledger("p0"), "a", now=1000.0)
        store.attach("p1", None)
        store.expire(1000.0, 1000.0)
        self.assertLessEqual(len(store.ledgers), 10)
        self.assertEqual(store.ledger("p0").floor, 100.0)
        self.assertEqual(store.ledger("p1").floor, 101.0)
        for principal, floor in floors.items():
            self.assertGreaterEqual(store.ledger(principal).floor, floor, principal)
        self.assertLess(store.ledger("new").floor, 112.0)

    def test_merged_from_the_future(self) -> None:
        """
        A floor ahead of the clock is not merged: it would fall, or stand in the
        way of others.
        """
        self.patch(memory, "MAX_FLOORS", 2)
        store = MemoryStore()
        for principal, floor in (("a", 10.0), ("b", 20.0), ("c", 300.0)):
            store.ledger(principal).floor = floor
        store.expire(0.0, 100.0)
        self.assertEqual(store.ledger("c").floor, 300.0)
        self.assertEqual(store.ledger("new").floor, 20.0)


class QuestionTests(StoreTestCase):
    """
    What became of a call.
    """

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.session, _ = self.store.attach("ada", None)

    def state(self, request_id: str, principal: str = "ada") -> State:
        """What is known, asked on the session's connection."""
        session = self.session if principal == "ada" else None
        return self.store.find(principal, session, request_id)[0]

    def test_session(self) -> None:
        """
        A call of the session has the state of its record, or tells by the floor.
        """
        self.done(self.store, self.session, 3)
        self.begin(self.store, self.session, 4)
        self.store.release(self.session, 3)
        prefix = self.session.id
        states = [self.state(f"{prefix}:{seq}") for seq in range(1, 6)]
        expected = [State.FORGOTTEN] * 2 + [State.DONE, State.IN_PROGRESS, State.ABSENT]
        self.assertEqual(states, expected)
        _, record = self.store.find("ada", self.session, f"{prefix}:3")
        assert record is not None
        self.assertEqual(record.outcome, b"x" * 10)

    def test_sessionless(self) -> None:
        """
        So has a call without one, to its principal.
        """
        self.done(self.store, self.store.ledger("ada"), "a", timestamp=1.0)
        self.assertIs(self.state("a"), State.DONE)
        self.refused(Code.SESSION_UNKNOWN, self.state, "a", "eve")
        self.store.ledger("eve")
        self.refused(Code.SESSION_UNKNOWN, self.state, "a", "eve")

    def test_not_the_callers(self) -> None:
        """
        Ids of other sessions, and what is no id at all, are answered alike,
        however they look.
        """
        others, _ = self.store.attach("eve", None)
        self.done(self.store, others, 1)
        mine = self.session.id
        strange = [
            f"{others.id}:1",
            "nobody",
            "",
            ":",
            f"{mine}:",
            f"{mine}:x",
            f"{mine}:-1",
            f"{mine}:\u0661",
            f"{mine}:" + "1" * 17,
            f"{mine}:" + "1" * 5000,
        ]
        errors = [
            self.refused(Code.SESSION_UNKNOWN, self.state, each) for each in strange
        ]
        told = {(error.message, error.executed) for error in errors}
        self.assertEqual(told, {("SESSION_UNKNOWN: no such session", "unknown")})
