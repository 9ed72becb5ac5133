# -*- test-case-name: tests.delivery -*-
"""
What every store of calls must do, as tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import DeferredList, gatherResults
from zope.interface.verify import verifyObject

from twisted_rpc.delivery.claims import Claim, Found, Key, StoreError, ledger
from twisted_rpc.delivery.memory import ANONYMOUS
from twisted_rpc.delivery.records import RECORD_SIZE
from twisted_rpc.delivery.table import State, Verdict
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.interfaces import IDedupStore
from twisted_rpc.wire.messages import write_text

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    # So that trial does not run them without a store.
    _Base = object

#: A principal that is as good as any.
ADA = "ada"


class DedupStoreTests(_Base):
    """
    A store of calls, as L{IDedupStore} says.

    Mix it into a C{twisted.trial.unittest.TestCase} that says how a store is
    made and what can befall it::

        class MyStoreTests(DedupStoreTests, TestCase):
            def make_store(self, **limits):
                return MyStore(self.mktemp(), **limits)

            def advance(self, seconds):
                self.clock.advance(seconds)

    @cvar shared: two stores of one test have the same records, as two servers
        would.
    """

    shared: bool = True

    def make_store(self, **limits: Any) -> Any:
        """
        A store, not started; in one test they all have the same records, if they
        are C{shared}.

        @param limits: C{retention}, C{window}, C{session_bytes},
            C{principal_bytes}, C{total_bytes}, C{sessions_per_principal},
            C{sessions}, as of L{twisted_rpc.MemoryStore}.
        """
        raise NotImplementedError

    def advance(self, seconds: float) -> Awaitable[Any] | None:
        """
        Let the store's clock go on.
        """
        raise NotImplementedError

    def crash(self, store: Any) -> Awaitable[Any] | None:
        """
        The server of C{store} is killed; only called if C{shared}.
        """
        raise NotImplementedError

    def interrupt(self) -> Callable[[], Awaitable[Any] | None] | None:
        """
        Make the store fail.

        @return: brings it back; C{None}: it cannot fail.
        """
        return None

    def delay(self) -> Callable[[], Awaitable[Any] | None] | None:
        """
        Make the store slow: it answers nothing for the moment.

        @return: lets it answer, soon enough for nobody to lose patience; C{None}:
            it cannot be slow.
        """
        return None

    def fill(self) -> Callable[[], Awaitable[Any] | None] | None:
        """
        Leave the store no room for anything more.

        @return: makes room; C{None}: it has what the process has.
        """
        return None

    def cut(self) -> Awaitable[Any] | bool | None:
        """
        End all connections to the store, which can be reached again at once.

        @return: C{None}: it has none.
        """
        return None

    # -- what the tests are written with ----------------------------------------------

    async def opened(self, **limits: Any) -> Any:
        """
        A store that has started, and stops when the test ends.
        """
        from twisted.internet import reactor  # noqa: PLC0415 - not at import: it would install one

        store = self.make_store(**limits)
        await store.start(reactor)
        self.addCleanup(store.stop)
        return store

    async def passing(self, seconds: float) -> None:
        """
        Let time pass.
        """
        done = self.advance(seconds)
        if done is not None:
            await done

    async def killed(self, store: Any) -> None:
        """
        Kill the server of C{store}.
        """
        done = self.crash(store)
        if done is not None:
            await done

    def of(self, session: str, seq: int, **changes: Any) -> Claim:
        """
        A call of a session of L{ADA}.
        """
        return self._changed(
            Claim(Key(session, seq), ADA, "once", "Bank.pay", b"[1]"), changes
        )

    def plain(self, name: str, timestamp: float, **changes: Any) -> Claim:
        """
        A call without a session.
        """
        principal = changes.get("principal", ADA)
        key = Key(ledger(principal), 0, name)
        claim = Claim(key, principal, "once", "Bank.pay", b"[1]", timestamp)
        return self._changed(claim, changes)

    def _changed(self, claim: Claim, changes: dict[str, Any]) -> Claim:
        for name, value in changes.items():
            setattr(claim, name, value)
        return claim

    async def done(
        self, store: Any, claim: Claim, outcome: bytes | RPCError = b"2"
    ) -> None:
        """
        Claim and complete.
        """
        found = await store.claim(claim)
        self.assertEqual(found.verdict, Verdict.RUN)
        self.assertIsNone(await store.complete(claim.key, found.fence, outcome))

    async def verdict(self, store: Any, claim: Claim) -> Verdict:
        """
        What a store makes of a claim.
        """
        found: Found = await store.claim(claim)
        return found.verdict

    async def refused(self, awaitable: Awaitable[Any]) -> RPCError:
        """
        The error that something is refused with.
        """
        try:
            result = await awaitable
        except RPCError as error:
            return error
        raise AssertionError(f"not refused, but {result!r}")

    # -- sessions ---------------------------------------------------------------------

    async def test_interface(self) -> None:
        """
        It provides the interface, whole.
        """
        store = self.make_store()
        self.assertTrue(verifyObject(IDedupStore, store))
        self.assertIn("once", store.classes)

    async def test_new_sessions(self) -> None:
        """
        A session has an id that nobody can guess, and a floor of 0.
        """
        store = await self.opened()
        first = await store.attach(ADA, None)
        second = await store.attach(ADA, None)
        self.assertNotEqual(first.session, second.session)
        for each in (first, second):
            self.assertRegex(each.session, r"\A[0-9a-f]{32}\Z")
            self.assertEqual((each.floor, each.resumed), (0, False))

    async def test_resumed(self) -> None:
        """
        A session is resumed with its floor by its principal; anybody else, and
        whoever names one that does not exist, gets a new one.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1))
        await store.release(session, 1)
        await store.detach(session)
        again = await store.attach(ADA, session)
        self.assertEqual(
            (again.session, again.floor, again.resumed), (session, 1, True)
        )
        for principal, wanted in (
            ("eve", session),
            (ADA, "0" * 32),
            (ADA, ""),
            (ADA, "@ada"),
            ("@ada", "@@ada"),
        ):
            other = await store.attach(principal, wanted)
            self.assertFalse(other.resumed, (principal, wanted))
            self.assertNotIn(other.session, (session, wanted))

    async def test_ended(self) -> None:
        """
        A session that has ended is as one that never was, for ever.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1))
        await store.end(session)
        await store.end(session)
        for seq in (1, 2):
            self.assertEqual(
                await self.verdict(store, self.of(session, seq)),
                Verdict.SESSION_UNKNOWN,
            )
        self.assertFalse((await store.attach(ADA, session)).resumed)
        self.assertEqual((await store.totals()).records, {})

    async def test_own_idle_session_goes(self) -> None:
        """
        At its cap a principal loses its own longest unattached session; if all
        are attached it gets none.  Nobody else's is touched.
        """
        store = await self.opened(sessions_per_principal=2)
        eve = (await store.attach("eve", None)).session
        await store.detach(eve)
        first = (await store.attach(ADA, None)).session
        second = (await store.attach(ADA, None)).session
        error = await self.refused(store.attach(ADA, None))
        self.assertEqual(error.code, Code.RESOURCE_EXHAUSTED)
        self.assertEqual(error.executed, "no")
        await store.detach(second)
        await self.passing(1)
        await store.detach(first)
        await store.attach(ADA, None)
        self.assertFalse((await store.attach("eve", second)).resumed)
        rows = await store.sessions(10)
        self.assertIn(first, [row.session for row in rows])
        self.assertNotIn(second, [row.session for row in rows])
        self.assertTrue((await store.attach("eve", eve)).resumed)

    async def test_strangers_leave_room(self) -> None:
        """
        Strangers, who are one principal, may have as many sessions as there may
        be, and at that cap lose their own longest unattached one, as everybody
        does at his.  Who is authenticated has room beyond that, and costs them
        none.
        """
        store = await self.opened(sessions=10)
        strangers = [(await store.attach(ANONYMOUS, None)).session for _ in range(10)]
        for each in strangers:
            await store.detach(each)
            await self.passing(1)
        mine = (await store.attach(ADA, None)).session
        await self.refused(store.attach("eve", None))
        left = {row.session for row in await store.sessions(20)}
        self.assertEqual(left, {mine, *strangers})
        newest = (await store.attach(ANONYMOUS, None)).session
        left = {row.session for row in await store.sessions(20)}
        self.assertEqual(left, {mine, newest, *strangers[1:]})

    async def test_running_session_stays(self) -> None:
        """
        A session in which something runs is neither evicted nor expired.
        """
        store = await self.opened(sessions_per_principal=1, retention=10)
        session = (await store.attach(ADA, None)).session
        await store.claim(self.of(session, 1))
        await store.detach(session)
        await self.passing(100)
        await store.expire()
        await self.refused(store.attach(ADA, None))
        self.assertTrue((await store.attach(ADA, session)).resumed)

    async def test_expired(self) -> None:
        """
        A session ends when nobody has used it for C{retention}; one that is used
        does not.
        """
        store = await self.opened(retention=10)
        used = (await store.attach(ADA, None)).session
        idle = (await store.attach(ADA, None)).session
        await self.done(store, self.of(idle, 1))
        await store.detach(idle)
        await self.passing(9)
        await store.expire()
        self.assertEqual(await self.verdict(store, self.of(idle, 1)), Verdict.REPLAY)
        await self.passing(2)
        await store.expire()
        self.assertEqual(
            await self.verdict(store, self.of(idle, 1)), Verdict.SESSION_UNKNOWN
        )
        self.assertEqual(await self.verdict(store, self.of(used, 1)), Verdict.RUN)

    async def test_used_by_two(self) -> None:
        """
        A session that two servers use is used until both have left it, or are
        gone.
        """
        if not self.shared:
            return
        one = await self.opened(retention=10, sessions_per_principal=1)
        two = await self.opened(retention=10, sessions_per_principal=1)
        session = (await one.attach(ADA, None)).session
        for store in (two, two, one):
            self.assertTrue((await store.attach(ADA, session)).resumed)
        await two.detach(session)
        await self.passing(100)
        await two.expire()
        self.assertEqual((await one.totals()).attached, 1)
        await self.refused(two.attach(ADA, None))
        self.assertTrue((await two.attach(ADA, session)).resumed)
        await self.killed(two)
        await one.expire()
        await self.refused(one.attach(ADA, None))
        await one.detach(session)
        (row,) = await one.sessions(10)
        self.assertEqual(row.attached, "")
        await self.passing(11)
        await one.expire()
        self.assertEqual(await one.sessions(10), [])

    # -- records ----------------------------------------------------------------------

    async def test_once(self) -> None:
        """
        A new call is claimed; what it ended with is what every duplicate gets.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        found = await store.claim(self.of(session, 1))
        self.assertEqual((found.verdict, found.fence), (Verdict.RUN, 1))
        await store.complete(Key(session, 1), 1, b'{"cents":5}')
        for _ in range(2):
            found = await store.claim(self.of(session, 1))
            self.assertEqual(found.verdict, Verdict.REPLAY)
            self.assertEqual(found.outcome, b'{"cents":5}')

    async def test_errors_are_kept(self) -> None:
        """
        An error comes back as it was, with its type and members.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        members: Any = msgspec.Raw(b'{"missing":7}')
        error = RPCError(
            Code.FAILED_PRECONDITION,
            "too little \N{SNOWMAN}",
            executed="yes",
            retry_after=1.5,
            error_id="e1",
            type="Insufficient",
            data=members,
        )
        await self.done(store, self.of(session, 1), error)
        kept = (await store.claim(self.of(session, 1))).outcome
        self.assertEqual(
            (kept.code, kept.message, kept.executed, kept.retry_after),
            (error.code, error.message, "yes", 1.5),
        )
        self.assertEqual((kept.error_id, kept.type), ("e1", "Insufficient"))
        self.assertEqual(bytes(kept.data), b'{"missing":7}')

    async def test_any_error_is_kept(self) -> None:
        """
        An error whose text no JSON can carry is kept all the same, as it is told.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        for seq, text in enumerate(("a\0b", "no \udcff.txt"), 1):
            error = RPCError(Code.NOT_FOUND, text)
            await self.done(store, self.of(session, seq), error)
            kept = (await store.claim(self.of(session, seq))).outcome
            self.assertEqual(kept.code, Code.NOT_FOUND)
            self.assertEqual(
                write_text(kept.message), write_text(text), "as it is told"
            )

    async def test_unheard_claim(self) -> None:
        """
        A claim of this server that it did not hear of is made anew, with a
        higher fence; the older one counts for nothing.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await store.claim(self.of(session, 1))
        again = await store.claim(self.of(session, 1))
        self.assertEqual((again.verdict, again.fence), (Verdict.RUN, 2))
        lost = await store.complete(Key(session, 1), 1, b"1")
        self.assertIsNotNone(lost)
        self.assertIsNone(await store.complete(Key(session, 1), 2, b"2"))
        lost = await store.complete(Key(session, 1), 1, b"1")
        self.assertEqual((lost.verdict, lost.outcome), (Verdict.REPLAY, b"2"))

    async def test_completed_twice(self) -> None:
        """
        A completion that is repeated, because it was not heard of, changes
        nothing.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1), b"1")
        again = await store.complete(Key(session, 1), 1, b"1")
        if again is not None:
            self.assertEqual((again.verdict, again.outcome), (Verdict.REPLAY, b"1"))
        size = (await store.totals()).size
        await store.complete(Key(session, 1), 1, b"1")
        self.assertEqual((await store.totals()).size, size)

    async def test_other_parameters(self) -> None:
        """
        An id with other parameters, or of another method, gets nothing of the
        record, in whatever state that is.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1))
        await store.claim(self.of(session, 2))
        for seq in (1, 2):
            for changes in ({"params": b"[2]"}, {"method": "Bank.take"}):
                found = await store.claim(self.of(session, seq, **changes))
                self.assertEqual(found.verdict, Verdict.ID_REUSED)
                self.assertIsNone(found.outcome)
        self.assertEqual(await self.verdict(store, self.of(session, 1)), Verdict.REPLAY)

    async def test_many_at_once(self) -> None:
        """
        However many steps wait for a store that is slow, each has its own answer.
        """
        store = await self.opened(window=200)
        session = (await store.attach(ADA, None)).session
        claims = [self.of(session, seq) for seq in range(1, 201)]
        found = await gatherResults([store.claim(claim) for claim in claims])
        self.assertEqual([each.verdict for each in found], [Verdict.RUN] * 200)
        steps: list[Any] = []
        for claim, each in zip(claims, found, strict=True):
            answer = f"{claim.key.seq}".encode()
            steps.append(store.complete(claim.key, each.fence, answer))
        steps.append(store.release(session, 50))
        await gatherResults(steps)
        found = await gatherResults([store.claim(claim) for claim in claims])
        self.assertEqual(
            [each.verdict for each in found],
            [Verdict.STALE] * 50 + [Verdict.REPLAY] * 150,
        )
        self.assertEqual(
            [each.outcome for each in found[50:]],
            [f"{seq}".encode() for seq in range(51, 201)],
        )

    async def test_only_looking(self) -> None:
        """
        Looking whether a request would run claims nothing.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        for claim in (self.of(session, 1), self.plain("a", 9e9)):
            claim.run = False
            self.assertEqual(await self.verdict(store, claim), Verdict.RUN)
            self.assertIsNone(await store.find(claim.key))
            claim.run = True
            await self.done(store, claim)
            claim.run = False
            self.assertEqual(await self.verdict(store, claim), Verdict.REPLAY)

    async def test_unclaimed(self) -> None:
        """
        A call that did not run leaves no record, and may run.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        size = (await store.totals()).size
        for claim in (self.of(session, 1), self.plain("a", 9e9)):
            found = await store.claim(claim)
            await store.unclaim(claim.key, found.fence + 1)
            self.assertIsNotNone(await store.find(claim.key))
            await store.unclaim(claim.key, found.fence)
            self.assertIsNone(await store.find(claim.key))
            await store.unclaim(claim.key, found.fence)
            self.assertEqual((await store.totals()).size, size)
        await self.done(store, self.of(session, 1, params=b"[2]"))
        await store.unclaim(Key(session, 1), 1)
        self.assertEqual(
            await self.verdict(store, self.of(session, 1, params=b"[2]")),
            Verdict.REPLAY,
        )

    async def test_floor_and_window(self) -> None:
        """
        At or below the floor nothing runs, nor beyond the window above it.
        """
        store = await self.opened(window=5)
        session = (await store.attach(ADA, None)).session
        self.assertEqual(
            await self.verdict(store, self.of(session, 6)), Verdict.BEYOND_WINDOW
        )
        for seq in (1, 2, 5):
            await self.done(store, self.of(session, seq))
        await store.release(session, 2)
        await store.release(session, 1)
        expected = {
            1: Verdict.STALE,
            2: Verdict.STALE,
            3: Verdict.RUN,
            4: Verdict.RUN,
            5: Verdict.REPLAY,
            6: Verdict.RUN,
            7: Verdict.RUN,
            8: Verdict.BEYOND_WINDOW,
            2**53 - 1: Verdict.BEYOND_WINDOW,
        }
        for seq, verdict in expected.items():
            self.assertEqual(await self.verdict(store, self.of(session, seq)), verdict)
        self.assertIsNone(await store.find(Key(session, 1)))

    async def test_floor_with_a_claim(self) -> None:
        """
        A claim may bring the floor of its session with it.
        """
        store = await self.opened(window=5)
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1))
        found = await store.claim(self.of(session, 8, floor=3))
        self.assertEqual(found.verdict, Verdict.RUN)
        self.assertEqual(await self.verdict(store, self.of(session, 3)), Verdict.STALE)
        self.assertIsNone(await store.find(Key(session, 1)))

    async def test_acknowledged_while_running(self) -> None:
        """
        What runs below the floor goes when it has ended and the floor is told
        again.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await store.claim(self.of(session, 1))
        await store.release(session, 1)
        self.assertIsNotNone(await store.find(Key(session, 1)))
        self.assertEqual(await self.verdict(store, self.of(session, 1)), Verdict.STALE)
        await store.complete(Key(session, 1), 1, b"1")
        await store.release(session, 1)
        self.assertIsNone(await store.find(Key(session, 1)))

    async def test_somebody_elses_session(self) -> None:
        """
        A session of somebody else is as one that does not exist, whatever is
        asked of it.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1))
        for seq in (1, 2, 9999):
            found = await store.claim(self.of(session, seq, principal="eve"))
            absent = await store.claim(self.of("0" * 32, seq, principal="eve"))
            self.assertEqual(found, absent)
            self.assertEqual(found.verdict, Verdict.SESSION_UNKNOWN)
        self.assertEqual(len(await store.records(None, 10)), 1)

    # -- requests without a session ---------------------------------------------------

    async def test_plain(self) -> None:
        """
        An id without a session is its principal's.
        """
        store = await self.opened()
        await self.done(store, self.plain("a", 9e9), b"1")
        await self.done(store, self.plain("a", 9e9, principal="eve"), b"2")
        for principal, outcome in ((ADA, b"1"), ("eve", b"2")):
            found = await store.claim(self.plain("a", 9e9, principal=principal))
            self.assertEqual((found.verdict, found.outcome), (Verdict.REPLAY, outcome))
        self.assertEqual(
            await self.verdict(store, self.plain("a", 9e9, params=b"[2]")),
            Verdict.ID_REUSED,
        )

    async def test_plain_forgotten(self) -> None:
        """
        A record is dropped C{retention} after it ended, and in the same step the
        floor of its principal rises to it: it never runs again, nor what is not
        younger.
        """
        store = await self.opened(retention=10)
        now = 4e9
        await self.done(store, self.plain("old", now))
        await store.claim(self.plain("running", now - 5))
        await self.passing(5)
        await self.done(store, self.plain("young", now - 1))
        await self.passing(6)
        await store.expire()
        expected = {
            "old": (now, Verdict.STALE),
            "other": (now - 0.001, Verdict.STALE),
            "young": (now - 1, Verdict.REPLAY),
            "new": (now + 0.001, Verdict.RUN),
        }
        for name, (timestamp, verdict) in expected.items():
            self.assertEqual(
                await self.verdict(store, self.plain(name, timestamp)), verdict, name
            )
        self.assertIsNotNone(
            await store.find(self.plain("running", 0).key), "it has not ended"
        )
        self.assertEqual(
            await self.verdict(store, self.plain("old", now, principal="eve")),
            Verdict.RUN,
            "a floor is its principal's",
        )

    # -- bounds -----------------------------------------------------------------------

    async def test_bytes_of_a_session(self) -> None:
        """
        The oldest answers of a session go first, and what is left of them says
        that they ran; what runs stays.
        """
        most = 20_000
        store = await self.opened(session_bytes=most)
        session = (await store.attach(ADA, None)).session
        await store.claim(self.of(session, 30))
        for seq in range(1, 20):
            await self.done(store, self.of(session, seq), b"1" * 3000)
            rows = await store.sessions(10)
            self.assertLessEqual(rows[0].size, most)
        states = [await self.verdict(store, self.of(session, n)) for n in range(1, 20)]
        kept = states.count(Verdict.REPLAY)
        self.assertGreaterEqual(kept, 2)
        self.assertEqual(
            states, [Verdict.NOT_CACHED] * (19 - kept) + [Verdict.REPLAY] * kept
        )
        row = await store.find(Key(session, 30))
        self.assertEqual(row.state, State.IN_PROGRESS)

    async def test_big_answer(self) -> None:
        """
        An answer that would push nearly all others out goes itself.
        """
        store = await self.opened(session_bytes=20_000, principal_bytes=20_000)
        session = (await store.attach(ADA, None)).session
        for small, big in (
            (self.of(session, 1), self.of(session, 2)),
            (self.plain("a", 9e9), self.plain("b", 9e9)),
        ):
            await self.done(store, small, b"1" * 100)
            await self.done(store, big, b"1" * 19_900)
            self.assertEqual(await self.verdict(store, small), Verdict.REPLAY)
            self.assertEqual(await self.verdict(store, big), Verdict.NOT_CACHED)

    async def test_bytes_without_a_session(self) -> None:
        """
        Without a session bodies go first, then records, the oldest timestamp
        first, and the floor rises with them.
        """
        most = RECORD_SIZE * 10
        store = await self.opened(principal_bytes=most)
        now = 4e9
        for number in range(1, 30):
            await self.done(store, self.plain(f"{number}", now + number), b"1" * 300)
        verdicts = [
            await self.verdict(store, self.plain(f"{number}", now + number))
            for number in range(1, 30)
        ]
        order = [Verdict.STALE, Verdict.NOT_CACHED, Verdict.REPLAY]
        self.assertEqual(verdicts, sorted(verdicts, key=order.index))
        self.assertIn(Verdict.STALE, verdicts)
        self.assertNotIn(Verdict.RUN, verdicts)
        self.assertLessEqual((await store.totals()).size, most)

    async def test_full(self) -> None:
        """
        When nothing of a principal can go its new calls are refused; others'
        answers are not evicted for them, and duplicates are answered.
        """
        total = 64 * 1024
        store = await self.opened(total_bytes=total, session_bytes=total)
        eve = (await store.attach("eve", None)).session
        await self.done(store, self.of(eve, 1, principal="eve"), b"1" * 20_000)
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1), b"1")
        refused = None
        for seq in range(2, 400):
            try:
                await store.claim(self.of(session, seq))
            except RPCError as error:
                refused = error
                break
        self.assertIsNotNone(refused)
        assert refused is not None
        self.assertEqual(refused.code, Code.RESOURCE_EXHAUSTED)
        self.assertEqual(refused.executed, "no")
        self.assertLessEqual((await store.totals()).size, total)
        self.assertIn(
            await self.verdict(store, self.of(session, 1)),
            (Verdict.REPLAY, Verdict.NOT_CACHED),
        )
        self.assertEqual(
            await self.verdict(store, self.of(eve, 1, principal="eve")),
            Verdict.REPLAY,
        )
        await store.end(session)
        again = (await store.attach(ADA, None)).session
        self.assertEqual(await self.verdict(store, self.of(again, 1)), Verdict.RUN)

    # -- several servers, and what befalls them ---------------------------------------

    def _needs_sharing(self) -> None:
        if not self.shared:
            self.skipTest("the store is one process's")

    async def test_elsewhere(self) -> None:
        """
        What another server runs is waited for, and its answer is everybody's.
        """
        self._needs_sharing()
        one, two = await self.opened(), await self.opened()
        session = (await one.attach(ADA, None)).session
        found = await one.claim(self.of(session, 1))
        self.assertEqual(await self.verdict(two, self.of(session, 1)), Verdict.WAIT)
        await one.complete(Key(session, 1), found.fence, b"1")
        found = await two.claim(self.of(session, 1))
        self.assertEqual((found.verdict, found.outcome), (Verdict.REPLAY, b"1"))

    async def test_claimed_by_one(self) -> None:
        """
        Of servers that claim a call at the same time one gets it.
        """
        self._needs_sharing()
        stores = [await self.opened() for _ in range(3)]
        session = (await stores[0].attach(ADA, None)).session
        for claim in (self.of(session, 1), self.plain("a", 9e9)):
            asked = [store.claim(claim) for store in stores]
            results = await DeferredList(asked, fireOnOneErrback=True)
            verdicts = [found.verdict for _, found in results]
            self.assertEqual(verdicts.count(Verdict.RUN), 1, verdicts)
            self.assertEqual(verdicts.count(Verdict.WAIT), 2, verdicts)

    async def test_killed(self) -> None:
        """
        When a server is killed the C{once} calls it ran are in doubt for ever;
        others run again, with the same parameters only.
        """
        self._needs_sharing()
        one = await self.opened()
        session = (await one.attach(ADA, None)).session
        await one.claim(self.of(session, 1))
        await one.claim(self.of(session, 2, delivery="idempotent"))
        await one.claim(self.plain("a", 9e9))
        await self.done(one, self.of(session, 3), b"3")
        await self.killed(one)
        two = await self.opened()
        for claim in (self.of(session, 1), self.plain("a", 9e9)):
            self.assertEqual(await self.verdict(two, claim), Verdict.IN_DOUBT)
            claim.params = b"[2]"
            self.assertEqual(await self.verdict(two, claim), Verdict.ID_REUSED)
        other = self.of(session, 2, delivery="idempotent", params=b"[2]")
        self.assertEqual(await self.verdict(two, other), Verdict.ID_REUSED)
        found = await two.claim(self.of(session, 2, delivery="idempotent"))
        self.assertEqual((found.verdict, found.fence), (Verdict.RUN, 2))
        self.assertEqual((await two.claim(self.of(session, 3))).outcome, b"3")
        self.assertTrue((await two.attach(ADA, session)).resumed)

    async def test_killed_beside_another(self) -> None:
        """
        A server that runs already finds out that another was killed.
        """
        self._needs_sharing()
        one, two = await self.opened(), await self.opened()
        session = (await one.attach(ADA, None)).session
        await one.claim(self.of(session, 1))
        await one.claim(self.of(session, 2))
        await self.killed(one)
        self.assertEqual(await self.verdict(two, self.of(session, 1)), Verdict.IN_DOUBT)
        await two.expire()
        row = await two.find(Key(session, 2))
        self.assertEqual(row.state, State.IN_DOUBT)

    async def test_resolved(self) -> None:
        """
        A call in doubt is done once somebody knows its answer; nothing else is
        changed by knowing better.
        """
        self._needs_sharing()
        one = await self.opened()
        session = (await one.attach(ADA, None)).session
        await one.claim(self.of(session, 1))
        self.assertFalse(await one.resolve(Key(session, 1), 1, b"7"))
        await self.killed(one)
        two = await self.opened()
        self.assertFalse(await two.resolve(Key(session, 1), 2, b"7"))
        self.assertFalse(await two.resolve(Key(session, 9), 1, b"7"))
        self.assertTrue(await two.resolve(Key(session, 1), 1, b"7"))
        self.assertFalse(await two.resolve(Key(session, 1), 1, b"8"))
        found = await two.claim(self.of(session, 1))
        self.assertEqual((found.verdict, found.outcome), (Verdict.REPLAY, b"7"))

    async def test_doubt_is_kept(self) -> None:
        """
        What is in doubt, or was resolved, can be asked for after its client has
        acknowledged it, for C{retention}; no request is answered from it.
        """
        self._needs_sharing()
        one = await self.opened(retention=10)
        session = (await one.attach(ADA, None)).session
        for seq in (1, 2, 3):
            await one.claim(self.of(session, seq))
        await self.killed(one)
        two = await self.opened(retention=10)
        await two.attach(ADA, session)
        await two.resolve(Key(session, 1), 1, b"7")
        await two.release(session, 2)
        await two.release(session, 2)
        for seq, state in ((1, State.DONE), (2, State.IN_DOUBT)):
            self.assertEqual((await two.find(Key(session, seq))).state, state)
            self.assertEqual(
                await self.verdict(two, self.of(session, seq)), Verdict.STALE
            )
        self.assertTrue(await two.resolve(Key(session, 2), 1, b"8"))
        self.assertEqual((await two.find(Key(session, 2))).outcome, b"8")
        await self.passing(11)
        await two.expire()
        for seq in (1, 2):
            self.assertIsNone(await two.find(Key(session, seq)))
        self.assertEqual(await self.verdict(two, self.of(session, 3)), Verdict.IN_DOUBT)

    async def test_doubt_ended_by_its_own_run(self) -> None:
        """
        A run that was given up too early may still say how it ended, by its own
        fence.
        """
        self._needs_sharing()
        one = await self.opened()
        session = (await one.attach(ADA, None)).session
        await one.claim(self.of(session, 1))
        await self.killed(one)
        two = await self.opened()
        self.assertIsNotNone(await two.complete(Key(session, 1), 7, b"1"))
        self.assertIsNone(await two.complete(Key(session, 1), 1, b"1"))
        self.assertEqual((await two.claim(self.of(session, 1))).outcome, b"1")

    async def test_restart(self) -> None:
        """
        A server that stops and starts again has everything it had.
        """
        self._needs_sharing()
        one = await self.opened(retention=10)
        session = (await one.attach(ADA, None)).session
        await self.done(one, self.of(session, 1), b"1")
        await self.done(one, self.plain("old", 4e9))
        await self.passing(11)
        await one.expire()
        await self.done(one, self.plain("a", 5e9), b"2")
        await one.stop()
        two = await self.opened(retention=10)
        self.assertEqual((await two.claim(self.of(session, 1))).outcome, b"1")
        self.assertEqual((await two.claim(self.plain("a", 5e9))).outcome, b"2")
        self.assertEqual(await self.verdict(two, self.plain("old", 4e9)), Verdict.STALE)

    async def test_gone_and_back(self) -> None:
        """
        A store that cannot be reached says so; what was asked meanwhile is done
        whole or not at all, and afterwards all is as it was.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1), b"1")
        found = await store.claim(self.of(session, 2))
        back = self.interrupt()
        if back is None:
            self.skipTest("it cannot fail")
        for step in (
            store.complete(Key(session, 2), found.fence, b"2"),
            store.claim(self.of(session, 3)),
        ):
            try:
                await step
            except StoreError:
                continue
            self.fail("a store that is gone cannot answer")
        restored = back()
        if restored is not None:
            await restored
        self.assertEqual((await store.claim(self.of(session, 1))).outcome, b"1")
        lost = await store.complete(Key(session, 2), found.fence, b"2")
        self.assertTrue(lost is None or lost.outcome == b"2")
        self.assertEqual((await store.claim(self.of(session, 2))).outcome, b"2")
        await self.done(store, self.of(session, 3), b"3")

    async def test_session_made_for_nobody(self) -> None:
        """
        Whoever asks for a session while the store cannot be reached learns which may
        have been made all the same, and can let it go.
        """
        store = await self.opened()
        back = self.interrupt()
        if back is None:
            self.skipTest("it cannot fail")
        made = ""
        try:
            await store.attach(ADA, None)
        except StoreError as error:
            made = error.session
        else:
            self.fail("a store that is gone cannot answer")
        restored = back()
        if restored is not None:
            await restored
        if made:
            await store.detach(made)
        rows = await store.sessions(9)
        self.assertEqual([row.session for row in rows if row.attached], [])
        await store.attach(ADA, made or None)

    async def _undone(self, undo: Callable[[], Awaitable[Any] | None]) -> None:
        done = undo()
        if done is not None:
            await done

    async def _until_done(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """
        Do a step again until the store can be reached, as servers do.
        """
        for _ in range(99):
            try:
                return await step()
            except StoreError:
                continue
        raise AssertionError("the store does not come back")

    async def test_slow(self) -> None:
        """
        What is asked of a store that is slow is done once, in its order, and
        answered when it can be.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        first = await store.claim(self.of(session, 1))
        undo = self.delay()
        if undo is None:
            self.skipTest("it is never slow")
        asked = [
            store.complete(Key(session, 1), first.fence, b"1"),
            store.claim(self.of(session, 2)),
            store.claim(self.plain("a", 9e9)),
        ]
        self.assertEqual([each.called for each in asked], [False] * 3)
        await self._undone(undo)
        written, claimed, plain = await gatherResults(asked)
        self.assertIsNone(written)
        for found in (claimed, plain):
            self.assertEqual((found.verdict, found.fence), (Verdict.RUN, 1))
        self.assertEqual((await store.claim(self.of(session, 1))).outcome, b"1")
        self.assertEqual(len(await store.records(None, 10)), 3)

    async def test_no_room(self) -> None:
        """
        A store without room says so, and does nothing by halves; when there is
        room again it goes on.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        await self.done(store, self.of(session, 1), b"1")
        found = await store.claim(self.of(session, 2))
        undo = self.fill()
        if undo is None:
            self.skipTest("it has the room that the process has")
        big = b"2" * 1_000_000
        asked = [
            store.complete(Key(session, 2), found.fence, big),
            store.claim(self.of(session, 3, params=b"x" * 1_000_000)),
        ]
        results = await DeferredList(asked, consumeErrors=True)
        written, claimed = [good for good, _ in results]
        self.assertFalse(written and claimed, "there is no room for both")
        for good, failure in results:
            self.assertTrue(good or failure.check(StoreError), failure)
        await self._undone(undo)
        states = {True: State.DONE, False: State.IN_PROGRESS}
        row = await store.find(Key(session, 2))
        self.assertEqual((row.state, row.fence), (states[written], found.fence))
        self.assertEqual(await store.find(Key(session, 3)) is not None, claimed)
        await store.complete(Key(session, 2), found.fence, big)
        self.assertEqual((await store.claim(self.of(session, 2))).outcome, big)
        self.assertEqual((await store.claim(self.of(session, 1))).outcome, b"1")
        await store.end(session)
        self.assertEqual((await store.totals()).size, 0)

    async def test_cut(self) -> None:
        """
        A connection that is lost between a claim and its completion loses
        neither.
        """
        store = await self.opened()
        session = (await store.attach(ADA, None)).session
        claim, key = self.of(session, 1), Key(session, 1)
        found = await store.claim(claim)
        done = self.cut()
        if done is None:
            self.skipTest("it has no connection")
        if not isinstance(done, bool):
            await done
        lost = await self._until_done(lambda: store.complete(key, found.fence, b"1"))
        self.assertTrue(lost is None or lost.outcome == b"1")
        again = await self._until_done(lambda: store.claim(claim))
        self.assertEqual((again.verdict, again.outcome), (Verdict.REPLAY, b"1"))
        self.assertEqual((await store.find(key)).fence, found.fence)
        self.assertTrue((await store.attach(ADA, session)).resumed)

    # -- transactions -----------------------------------------------------------------

    async def transactional(self, **limits: Any) -> tuple[Any, str]:
        """
        A store with a table C{effects}, and a session.
        """
        store = await self.opened(**limits)
        if "transactional" not in store.classes:
            self.skipTest("the store has no transactions")
        session = (await store.attach(ADA, None)).session

        def create(transaction: Any) -> bytes:
            transaction.execute("CREATE TABLE IF NOT EXISTS effects (name TEXT)")
            return b"null"

        claim = self.of(session, 1000, delivery="transactional")
        found = await store.transact(claim, create)
        self.assertTrue(found.ran)
        return store, session

    async def effects(self, store: Any, session: str) -> list[str]:
        """
        What is in the table.
        """
        names: list[str] = []

        def read(transaction: Any) -> None:
            cursor = transaction.execute("SELECT name FROM effects ORDER BY name")
            names.extend(name for (name,) in cursor.fetchall())

        await store.transact(self.of(session, 1001, delivery="transactional"), read)
        return names

    def moving(self, name: str, answer: Any = b"1") -> Callable[[Any], Any]:
        """
        What has an effect, and then answers.
        """

        def run(transaction: Any) -> Any:
            transaction.execute(f"INSERT INTO effects VALUES ('{name}')")  # noqa: S608 - a test's own
            if isinstance(answer, BaseException) and not isinstance(answer, RPCError):
                raise answer
            return answer

        return run

    async def test_transaction(self) -> None:
        """
        The effect of a call and its answer are there together, once.
        """
        store, session = await self.transactional()
        claim = self.of(session, 1, delivery="transactional")
        found = await store.transact(claim, self.moving("a"))
        self.assertTrue(found.ran)
        self.assertEqual(found.outcome, b"1")
        again = await store.transact(claim, self.moving("b"))
        self.assertFalse(again.ran)
        self.assertEqual((again.verdict, again.outcome), (Verdict.REPLAY, b"1"))
        self.assertEqual(await self.effects(store, session), ["a"])

    async def test_transaction_that_fails(self) -> None:
        """
        The effects of a call that fails are undone, and its error is its answer;
        of one that was refused nothing is left.
        """
        store, session = await self.transactional()
        error = RPCError(Code.NOT_FOUND, "nobody")
        claim = self.of(session, 1, delivery="transactional")
        found = await store.transact(claim, self.moving("a", error))
        self.assertTrue(found.ran)
        kept = (await store.transact(claim, self.moving("b"))).outcome
        self.assertEqual(kept.code, Code.NOT_FOUND)
        refused = self.of(session, 2, delivery="transactional")
        found = await store.transact(refused, self.moving("c", None))
        self.assertEqual((found.verdict, found.ran), (Verdict.RUN, False))
        self.assertIsNone(await store.find(refused.key))
        self.assertEqual(await self.effects(store, session), [])

    async def test_transaction_that_breaks(self) -> None:
        """
        What raises a mistake of its own undoes its transaction and no other's.
        """
        store, session = await self.transactional()
        claims = [self.of(session, n, delivery="transactional") for n in range(1, 6)]
        runs = [self.moving(f"{n}") for n in range(1, 6)]
        runs[2] = self.moving("x", ZeroDivisionError("a mistake"))
        asked = [store.transact(*each) for each in zip(claims, runs, strict=True)]
        results = await DeferredList(asked, consumeErrors=True)
        self.assertEqual([good for good, _ in results], [True, True, False, True, True])
        self.assertEqual(await self.effects(store, session), ["1", "2", "4", "5"])
        self.assertIsNone(await store.find(claims[2].key))

    async def test_transaction_ends(self) -> None:
        """
        The transaction cannot be ended by the method, nor used after it; our own
        tables cannot be touched by chance.
        """
        store, session = await self.transactional()
        kept: list[Any] = []
        faults: list[str] = []

        def run(transaction: Any) -> bytes:
            kept.append(transaction)
            kept.append(transaction.cursor())
            for name in ("commit", "rollback", "close"):
                try:
                    getattr(transaction, name)()
                except RuntimeError:
                    continue
                faults.append(name)
            return b"1"

        claim = self.of(session, 1, delivery="transactional")
        self.assertTrue((await store.transact(claim, run)).ran)
        self.assertEqual(faults, [])
        for each in kept:
            with self.assertRaises(Exception) as caught:
                each.execute("SELECT 1")
            self.assertIn("ends when its method returns", str(caught.exception))

    async def test_transaction_claimed_by_one(self) -> None:
        """
        Of servers that run a call in a transaction at the same time one has an
        effect, and the others its answer.
        """
        self._needs_sharing()
        store, session = await self.transactional()
        stores = [store, *[await self.opened() for _ in range(2)]]
        claim = self.of(session, 1, delivery="transactional")
        asked = [
            each.transact(claim, self.moving(f"{number}", b"%d" % number))
            for number, each in enumerate(stores)
        ]
        results = await DeferredList(asked, fireOnOneErrback=True)
        ran = [found for _, found in results if found.ran]
        self.assertEqual(len(ran), 1)
        self.assertEqual(await self.effects(store, session), [ran[0].outcome.decode()])
        for _, found in results:
            self.assertEqual(found.outcome, ran[0].outcome)

    # -- for operators ----------------------------------------------------------------

    async def test_counted(self) -> None:
        """
        What is there can be counted and listed.
        """
        store = await self.opened()
        used = (await store.attach(ADA, None)).session
        idle = (await store.attach("eve", None)).session
        await store.detach(idle)
        await self.done(store, self.of(used, 1), b"1" * 50)
        await store.claim(self.of(used, 2))
        await self.passing(5)
        await store.claim(self.plain("a", 9e9))
        totals = await store.totals()
        self.assertEqual((totals.sessions, totals.attached), (2, 1))
        self.assertGreaterEqual(totals.floors, 1)
        self.assertEqual(totals.records, {"DONE": 1, "IN_PROGRESS": 2})
        self.assertGreater(totals.size, 3 * RECORD_SIZE)
        rows = await store.sessions(10)
        self.assertEqual([row.session for row in rows], [idle, used])
        self.assertGreaterEqual(rows[0].idle, 5)
        self.assertEqual((rows[1].principal, rows[1].records), (ADA, 2))
        self.assertTrue(rows[1].attached)
        self.assertEqual(len(await store.sessions(1)), 1)
        records = await store.records("IN_PROGRESS", 10)
        self.assertEqual([row.key.request_id for row in records], [f"{used}:2", "a"])
        self.assertGreaterEqual(records[0].age, 5)
        self.assertEqual(len(await store.records(None, 2)), 2)
        row = await store.find(Key(used, 1))
        self.assertEqual(
            (row.method, row.delivery, row.outcome), ("Bank.pay", "once", b"1" * 50)
        )
        self.assertEqual(row.principal, ADA)
