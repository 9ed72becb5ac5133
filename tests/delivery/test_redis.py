"""
Tests for L{twisted_rpc.delivery.redis}.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from tests.servers import Redis, redis
from twisted_rpc.delivery.claims import Claim, Key, StoreError
from twisted_rpc.delivery.redis import store as store_module
from twisted_rpc.delivery.redis.store import RedisStore
from twisted_rpc.delivery.table import Verdict
from twisted_rpc.testing import DedupStoreTests


class RedisStoreTests(DedupStoreTests, TestCase):
    """
    The store in Redis, by the interface.
    """

    def setUp(self) -> None:
        self.server = redis()
        self.prefix = self.server.prefix()
        self.skew = 0.0
        self.stores: list[RedisStore] = []

    def make_store(self, **limits: Any) -> RedisStore:
        """Another server on it."""
        store = RedisStore(
            self.server.url,
            once=True,
            prefix=self.prefix,
            lease=1e6,
            patience=1.0,
            **limits,
        )
        store.skew = self.skew
        self.stores.append(store)
        return store

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.skew += seconds
        for store in self.stores:
            store.skew = self.skew

    def crash(self, store: RedisStore) -> Any:
        """Its lease is over."""
        lease: Any = store._lease
        lease.stop()
        life: Any = store._connection
        stopped = life.execute_command("ZADD", f"{self.prefix}owners", "1", store.owner)
        run = store._run
        store._run = lambda step, *args: (  # type: ignore[method-assign]
            run("find", "", "") if step == "stop" else run(step, *args)
        )
        return stopped

    def interrupt(self) -> Callable[[], None]:
        """It hangs, for longer than anybody waits."""
        self.server.pause()
        self.addCleanup(self.server.resume)
        return self.server.resume

    def delay(self) -> Callable[[], None]:
        """It hangs."""
        return self.interrupt()

    def fill(self) -> Callable[[], None]:
        """It may take no more memory."""
        self.server.ask("CONFIG", "SET", "maxmemory", "1")

        def empty() -> None:
            self.server.ask("CONFIG", "SET", "maxmemory", "0")

        self.addCleanup(empty)
        return empty

    def cut(self) -> bool:
        """An administrator ends them."""
        self.server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return True


class RedisTests(TestCase):
    """
    What is Redis's own.
    """

    def setUp(self) -> None:
        try:
            store_module.txredisapi()
        except ImportError as error:
            raise SkipTest(str(error)) from None

    def store(self, server: Redis, **options: Any) -> RedisStore:
        """A store on a server."""
        options = {"prefix": "x:", "patience": 0.5, **options}
        store = RedisStore(server.url, **options)
        self.addCleanup(store.stop)
        return store

    def server(self, *settings: str) -> Redis:
        """A server of the test's own."""
        server = Redis(*settings)
        self.addCleanup(server.remove)
        return server

    async def why_not(self, store: RedisStore) -> str:
        """Why a store cannot be used."""
        started: Deferred[Any] = store.start(reactor)
        return str(await self.assertFailure(started, StoreError))

    async def test_another_life(self) -> None:
        """
        When Redis has been started anew all sessions have ended, and what was
        asked before without one may have run; afterwards it goes on.
        """
        server = self.server("--appendonly", "yes", "--appendfsync", "always")
        store = self.store(server, once=True)
        await store.start(reactor)
        session = (await store.attach("ada", None)).session
        claim = Claim(Key(session, 1), "ada", "once", "Bank.pay", b"[1]")
        plain = Claim(Key("@ada", 0, "a"), "ada", "once", "Bank.pay", b"[1]", 9e9)
        for each in (claim, plain):
            found = await store.claim(each)
            await store.complete(each.key, found.fence, b"1")
        server.kill()
        await self.assertFailure(store.claim(claim), StoreError)
        server.start()
        for _ in range(100):
            # The library waits before it connects again.
            try:
                found = await store.claim(claim)
            except StoreError:
                continue
            break
        self.assertIs(found.verdict, Verdict.SESSION_UNKNOWN)
        self.assertFalse((await store.attach("ada", session)).resumed)
        # A record wins over the floor.
        self.assertEqual((await store.claim(plain)).outcome, b"1")
        for timestamp, verdict in ((1.7e9, Verdict.STALE), (8e9, Verdict.RUN)):
            key = Key("@ada", 0, f"{timestamp}")
            late = Claim(key, "ada", "once", "Bank.pay", b"[1]", timestamp)
            self.assertIs((await store.claim(late)).verdict, verdict)

    async def test_given_up_too_early(self) -> None:
        """
        A server that others have taken for gone, and that goes on, is alive again,
        and the sessions of those who are connected to it are in use.  One that
        somebody else uses meanwhile is used by both.
        """
        options = {"prefix": "early:", "sessions_per_principal": 9_999}
        store = self.store(redis(), node="a", lease=0.6, **options)
        other = self.store(redis(), node="b", **options)
        for each in (store, other):
            await each.start(reactor)
        used, left, moved = [
            (await store.attach("ada", None)).session for _ in range(3)
        ]
        await store.detach(left)
        # More than a script may unpack.
        store.attached.update(f"{n:032x}" for n in range(9_000))
        owner, other.owner = other.owner, store.owner
        await other._run("stop")
        other.owner = owner
        await other.attach("ada", moved)
        owners: dict[str, str] = {}
        for _ in range(100):
            await deferLater(reactor, 0.05)
            rows = await other.sessions(9)
            owners = {row.session: row.attached for row in rows}
            if owners[used]:
                break
        users = {
            session: {each.partition("/")[0] for each in owner.split(", ")}
            for session, owner in owners.items()
        }
        self.assertEqual(users, {used: {"a"}, left: {""}, moved: {"a", "b"}})
        idle = {row.session for row in rows if row.idle}
        self.assertEqual(idle, {left})
        await store.detach(used)
        rows = await other.sessions(9)
        self.assertIn((used, ""), [(row.session, row.attached) for row in rows])
        await store._renew()
        await other.expire()
        alive = await other._ask("ZCARD", "early:owners")
        self.assertEqual(alive, 2)

    async def test_what_once_needs(self) -> None:
        """
        C{once} is not promised by a Redis that may forget what it has answered,
        or that another may take the place of.
        """
        server = redis()
        server.ask("CONFIG", "SET", "appendfsync", "everysec")
        self.addCleanup(server.ask, "CONFIG", "SET", "appendfsync", "always")
        text = await self.why_not(self.store(server, once=True))
        self.assertIn("has appendfsync everysec, and 'once' needs always", text)
        server.ask("CONFIG", "SET", "appendfsync", "always")
        server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.addCleanup(server.ask, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        text = await self.why_not(self.store(server, once=True))
        self.assertIn("has maxmemory-policy allkeys-lru, and 'once' needs", text)
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        store = self.store(server)
        self.assertEqual(store.classes, ("readonly", "idempotent"))
        await store.start(reactor)
        server.ask("CONFIG", "SET", "appendfsync", "always")
        replica = self.server("--replicaof", "127.0.0.1", f"{server.port}")
        for _ in range(100):
            if b"connected_slaves:1" in server.ask("INFO", "replication"):
                break
            await deferLater(reactor, 0.05)
        self.assertIn(
            "is replicated", await self.why_not(self.store(server, once=True))
        )
        replica.remove()

    async def test_not_there(self) -> None:
        """
        A Redis that is not there is named.
        """
        server = self.server()
        server.kill()
        text = await self.why_not(self.store(server, patience=1.0))
        told = (
            f"redis://127.0.0.1:{server.port} does not answer: Connection was refused"
        )
        self.assertIn(told, text)

    async def test_denied(self) -> None:
        """
        A Redis that does not let us in is not waited for, and what it says is
        told.
        """
        server = redis()
        for login, path, told in (
            (":wrong@", "", "could not auth: "),
            (
                "ann:wrong@",
                "",
                f"{server.port}: could not auth: WRONGPASS invalid username-password",
            ),
            ("", "/99999", "could not set dbid=99999: ERR DB index is out of range"),
        ):
            store = RedisStore(
                f"redis://{login}127.0.0.1:{server.port}{path}", patience=60
            )
            self.assertIn(told, await self.why_not(store))
            await self.assertFailure(store.expire(), StoreError)

    async def test_denied_later(self) -> None:
        """
        A Redis that has no room for a client when the connection is made again is
        asked again until it has, and meanwhile the reason is told.
        """
        server = self.server()
        for login, told in (
            ("", "could not set dbid=0: "),
            (":x@", "could not auth: "),
        ):
            if login:
                server.ask("CONFIG", "SET", "requirepass", "x")
            url = f"redis://{login}127.0.0.1:{server.port}/0"
            store = RedisStore(url, patience=0.5)
            self.addCleanup(store.stop)
            await store.start(reactor)
            words = b"AUTH x\r\n" if login else b""
            words += (
                b"CONFIG SET maxclients 1\r\nCLIENT KILL TYPE normal SKIPME yes\r\n"
            )
            with socket.create_connection(("127.0.0.1", server.port)) as other:
                other.sendall(words)
                answer = b""
                while b":" not in answer:
                    answer += other.recv(1000)
                text = ""
                while told not in text:
                    asked: Deferred[Any] = store.attach("ada", None)
                    text = str(await self.assertFailure(asked, StoreError))
                other.sendall(b"CONFIG SET maxclients 100\r\n")
                await self.at_last(store)

    async def at_last(self, store: RedisStore) -> None:
        """A store can be reached, soon."""
        for _ in range(20):
            try:
                await store.attach("ada", None)
            except StoreError:
                continue
            return
        self.fail("it cannot be reached")

    async def test_silent(self) -> None:
        """
        A connection over which nothing comes any more is dropped, and another is
        made.
        """
        store = self.store(redis(), prefix="silent:")
        await store.start(reactor)
        self.patch(store._protocol.transport, "write", lambda _: None)
        error = await self.assertFailure(store.attach("ada", None), StoreError)
        self.assertIn("does not answer", str(error))
        await self.at_last(store)

    async def test_late(self) -> None:
        """
        What was asked over a connection that was dropped, and reaches Redis after what
        was asked over the next, is not done: a claim would undo that of the call that
        runs.
        """
        server = redis()
        store = self.store(server, prefix="late:", patience=1.0)
        await store.start(reactor)
        session = (await store.attach("ada", None)).session
        claim = Claim(Key(session, 1), "ada", "once", "Bank.pay", b"[1]")
        held: list[bytes] = []
        self.patch(store._protocol.transport, "write", held.append)
        asked: Deferred[Any] = store.claim(claim)
        await self.assertFailure(asked, StoreError)
        found = await store.claim(claim)
        self.assertIs(found.verdict, Verdict.RUN)
        with socket.create_connection(("127.0.0.1", server.port), timeout=2) as late:
            late.sendall(b"".join(held))
            self.assertIn(b"-LATE ", late.recv(1000))
        self.assertIsNone(await store.complete(claim.key, found.fence, b"1"))
        await store.stop()
        self.assertEqual(server.ask("EXISTS", "late:connections"), b":0\r\n")

    async def test_another_version(self) -> None:
        """
        What another version of this program has kept is not touched; the first
        had no number.
        """
        server = redis()
        store = self.store(server, prefix="version:")
        await store.start(reactor)
        await store.stop()
        for command, found in (
            ("DEL version:version", 1),
            ("SET version:version 3", 3),
        ):
            server.ask(*command.split())
            server.ask("SET", "version:life", "another")
            for create in (True, False):
                told = await self.why_not(
                    self.store(server, prefix="version:", create=create)
                )
                self.assertIn(
                    f"redis://127.0.0.1:{server.port}: the keys that begin with version:"
                    f" were made by another version of this program: they are version"
                    f" {found}, not 2; choose another prefix",
                    told,
                )
            self.assertIn(b"another", server.ask("GET", "version:life"))

    async def test_nothing_there(self) -> None:
        """
        Who only looks does not start where there are no records of ours; where
        our names are somebody else's nobody does.
        """
        server = redis()
        told = await self.why_not(self.store(server, prefix="none:", create=False))
        self.assertIn(
            f"there are no records of twisted_rpc in {server.url} under", told
        )
        self.assertEqual(server.ask("KEYS", "none:*"), b"*0\r\n")
        store = self.store(server, prefix="some:")
        await store.start(reactor)
        await store.stop()
        await self.store(server, prefix="some:", create=False).start(reactor)
        server.ask("SET", "theirs:owners", "text")
        told = await self.why_not(self.store(server, prefix="theirs:"))
        self.assertIn("a key that begins with 'theirs:' was not made by", told)

    async def test_no_transactions(self) -> None:
        """
        It has none; and before it has started it does nothing.
        """
        store = self.store(redis())
        claim = Claim(Key("@ada", 0, "a"), "ada", "once", "Bank.pay", b"[1]")
        await self.assertFailure(
            store.transact(claim, lambda _: None), NotImplementedError
        )
        await self.assertFailure(store.claim(claim), StoreError)
        self.assertIn("RedisStore redis://127.0.0.1", repr(store))

    async def test_floors_are_merged(self) -> None:
        """
        Above ten thousand floors they become one, upwards.
        """
        script = store_module._script()
        script = script.replace("MAX_FLOORS = 10000", "MAX_FLOORS = 10")
        self.patch(store_module, "_script", lambda: script)
        store = self.store(redis(), prefix="floors:", retention=5, lease=1e6)
        await store.start(reactor)
        claims = [
            Claim(Key(f"@p{n}", 0, "a"), f"p{n}", "once", "Bank.pay", b"[1]", 2e9 + n)
            for n in range(20)
        ]
        for claim in claims:
            await store.complete(claim.key, (await store.claim(claim)).fence, b"1")
        store.skew = 2e9
        await store.expire()
        self.assertEqual((await store.totals()).floors, 5)
        for claim in claims:
            self.assertIs((await store.claim(claim)).verdict, Verdict.STALE)

    def test_disagreement(self) -> None:
        """
        If the script claimed what the table would not, nothing runs.
        """
        store = RedisStore("redis://localhost")
        claim = Claim(Key("0" * 32, 1), "ada", "once", "Bank.pay", b"[1]")
        self.assertRaises(AssertionError, store._judge, [b"1", b"live", b"7"], claim)

    def test_urls(self) -> None:
        """
        What is no address of a Redis is refused.
        """
        for url in (
            *("redis:", "http://x", "redis://x:0", "redis://x:70000", "redis://[::1"),
            *("redis://:secret/word@x", "redis://ann:secret#word@x"),
            *("redis://app:4711/secret@db", "redis://app:4711#secret@db"),
        ):
            error = self.assertRaises(ValueError, RedisStore, url)
            told = "the address cannot be read; write redis://[[USER]:PASSWORD@]HOST"
            self.assertIn(told, str(error))
            self.assertNotIn("secret", str(error))
        error = self.assertRaises(ValueError, RedisStore, "redis://x/db")
        self.assertIn("'db' is no number of a database", str(error))
        store = RedisStore("redis://ann:s%40e@example.org:7000/3")
        self.assertEqual(
            (store.host, store.port, store._database), ("example.org", 7000, 3)
        )
        self.assertEqual((store._user, store._password), ("ann", "s@e"))
