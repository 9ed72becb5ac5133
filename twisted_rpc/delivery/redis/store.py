# -*- test-case-name: tests.delivery.test_redis -*-
"""
Records in Redis, shared by servers on many machines.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rpc.delivery.bounds import SharedStore, check_bounds, with_room
from twisted_rpc.delivery.claims import (
    Attached,
    Claim,
    Found,
    Kept,
    Key,
    RecordRow,
    SessionRow,
    StoreError,
    Totals,
    judged,
    read_outcome,
    record_row,
    write_outcome,
)
from twisted_rpc.delivery.lease import Lease
from twisted_rpc.delivery.records import Outcome
from twisted_rpc.delivery.table import Owner, State, Verdict
from twisted_rpc.errors import Code, refusal
from twisted_rpc.interfaces import IDedupStore
from twisted_rpc.wire.limits import MIB


def txredisapi() -> ModuleType:
    """
    The library.

    @raise ImportError: it is not installed; the text says what to do.
    """
    try:
        import txredisapi  # noqa: PLC0415 - only where it is used
    except ImportError as error:
        raise ImportError(
            "the redis store needs txredisapi: pip install 'twisted_rpc[redis]'"
        ) from error
    module: ModuleType = txredisapi
    return module


def _parts(url: str) -> SplitResult:
    """
    Read an address.

    @raise ValueError: it is none; the text quotes nothing that may be a part of a
        password.
    """
    try:
        parts = urlsplit(url)
        # The port is looked at when it is asked for.
        good = parts.scheme == "redis" and parts.hostname and parts.port != 0
        # Behind the host, what is before an @ is a part of a password.
        good = good and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    except ValueError:
        good = None
    if not good:
        raise ValueError(
            "redis: the address cannot be read; write"
            " redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], a port from 1 to 65535,"
            " and in a password %3A for :, %2F for /, %3F for ?, %23 for #, %40 for @"
        )
    database = parts.path.strip("/")
    if database and not (database.isdecimal() and database.isascii()):
        raise ValueError(
            f"redis: {database!r} is no number of a database; write redis://HOST/0"
        )
    # More digits than int() reads are too many anyway.
    check_bounds(database=int(database[:18] or 0))
    return parts


@cache
def _script() -> str:
    return files(__package__).joinpath("steps.lua").read_text()


@implementer(IStreamClientEndpoint)
class _Telling:
    """
    An endpoint that tells why it could not connect.
    """

    def __init__(self, endpoint: Any, tell: Callable[[Failure], Failure]) -> None:
        self._endpoint = endpoint
        self._tell = tell

    def connect(self, factory: Any) -> Any:
        return self._endpoint.connect(factory).addErrback(self._tell)


@implementer(IDedupStore)
class RedisStore(SharedStore):
    """
    Records in Redis: one Lua script for each step.

    A Redis that was started anew, or is another one, may have lost what it did
    last.  Then all sessions end, and whatever was asked without one may have
    run; so nothing runs twice.

    C{once} is promised only if C{once} says so, and then the server does not
    start unless Redis writes each command to its disk before it answers
    (C{appendfsync always}) and has no replica that might take its place.

    @ivar host: where it is.
    @ivar port: where it is.
    """

    name: Final = "redis"
    durable: Final = True
    shared: Final = True

    def __init__(
        self,
        url: str,
        *,
        once: bool = False,
        prefix: str = "rpc:",
        lease: float = 15.0,
        total_bytes: int = 256 * MIB,
        **limits: Any,
    ) -> None:
        """
        @param url: C{"redis://[[user]:password@]host[:port][/database]"}.
        @param once: serve C{once} methods.
        @param prefix: of every key.
        @param lease: seconds that a server is taken to be alive after its last
            sign of life; there are three in that time.
        @param limits: as of L{SharedStore}.

        @raise ImportError: txredisapi is not installed.
        """
        self._library = txredisapi()
        super().__init__(total_bytes=total_bytes, **limits)
        check_bounds(lease=lease)
        parts = _parts(url)
        self.host = parts.hostname or ""
        self.port = parts.port or 6379
        database = parts.path.strip("/")
        self._database = int(database) if database else None
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self.classes: tuple[str, ...] = ("readonly", "idempotent")
        if once:
            self.classes += ("once",)
        self.prefix = prefix
        self.lease = lease
        self._bounds = (
            self.window,
            self.retention,
            self.session_bytes,
            self.principal_bytes,
            self.total_bytes,
            self.sessions_per_principal,
            self.max_sessions,
            with_room(self.max_sessions),
        )
        self._reactor: Any = None
        self._connection: Any = None
        self._lease: Lease | None = None
        self._protocol: Any = None
        self._connections = 0
        # Why there is none, and whether Redis says so itself.
        self._reason = ""
        self._denied = False
        self._waits: set[IDelayedCall] = set()
        #: Added to Redis's clock, by tests.
        self.skew = 0.0

    def _where(self) -> str:
        return f"redis://{self.host}:{self.port}"

    # -- a step -----------------------------------------------------------------------

    def _run(self, step: str, *args: Any) -> Deferred[Any]:
        """
        Run a step.

        @return: fails with L{StoreError}, it is not known whether it ran.
        """
        if self._connection is None:
            return fail(StoreError("the store is closed"))
        words = (step, self.prefix, self.owner, repr(self.skew), *self._bounds, *args)
        answer: Deferred[Any] = self._connection.eval(_script(), (), words)
        return self._in_time(answer.addErrback(self._trouble))

    def _in_time(self, answer: Deferred[Any]) -> Deferred[Any]:
        """
        Wait no longer than is patient: for a server that is away, the library
        waits for ever.
        """
        waiter: Deferred[Any] = Deferred()
        late: IDelayedCall = self._reactor.callLater(
            self.patience, lambda: self._too_late(late, waiter)
        )
        self._waits.add(late)

        def answered(result: Any) -> None:
            if late.active():
                late.cancel()
                self._waits.remove(late)
                waiter.callback(result)

        answer.addBoth(answered)
        return waiter

    def _too_late(self, late: IDelayedCall, waiter: Deferred[Any]) -> None:
        self._waits.remove(late)
        # It may still be done, but not after what is asked over another connection.
        what = "" if self._denied else " does not answer"
        because = f": {self._reason}" if self._reason else ""
        text = f"{self._where()}{what}{because}"
        self._drop_if_silent().addCallback(
            lambda _: waiter.errback(Failure(StoreError(text, ambiguous=True)))
        )

    def _drop_if_silent(self) -> Deferred[Any]:
        """
        Nothing may come over this connection ever again, while another would be
        answered.

        @return: fires when it is not used any more.
        """
        used = self._protocol
        if (
            used is None
            or not used.connected
            or self._reactor.seconds() - used.heard < self.patience
        ):
            return succeed(None)
        dropped: Deferred[Any] = used.whenDisconnected()
        used.transport.abortConnection()
        return dropped

    def _unconnected(self, failure: Failure) -> Failure:
        self._denied = False
        self._reason = " ".join(failure.getErrorMessage().split()).rstrip(".")
        return failure

    def _deny(self, reason: str) -> None:
        """
        It does not let us in, which is final only while we start: later it may have
        been busy, or lost the connection.
        """
        self._denied = True
        self._reason = reason.removeprefix("Redis error: ")
        if self._lease is None:
            for late in self._waits:
                late.reset(0)

    def _trouble(self, failure: Failure) -> Any:
        if failure.check(
            self._library.RedisError, self._library.ConnectionError, OSError
        ):
            text = " ".join(str(failure.value).split())
            if text.startswith("WRONGTYPE"):
                text = (
                    f"a key that begins with {self.prefix!r} was not made by"
                    f" twisted_rpc; choose another prefix ({text})"
                )
            raise StoreError(
                f"{self._where()}: {text or type(failure.value).__name__}",
                ambiguous=True,
            ) from None
        return failure

    # -- a life -----------------------------------------------------------------------

    def start(self, reactor: Any) -> Deferred[None]:
        """
        @see: L{IDedupStore.start<twisted_rpc.interfaces.IDedupStore>}
        """
        self.owner = f"{self.node}/{secrets.token_hex(4)}"
        self.attached.clear()
        self._reactor = reactor
        self._connection = self._connect()
        began = self._check().addCallback(
            lambda _: self._run(
                "begin", self.lease, self.node, "1" if self.named else "0"
            )
        )
        return began.addCallback(self._began).addErrback(self._not_started)

    def _began(self, answer: Any) -> None:
        if answer != 1:
            raise StoreError(f"{self._where()}: {answer.decode()}")
        self._lease = Lease(self._reactor, self.lease, self._renew)

    def _renew(self) -> Deferred[Any]:
        def renewed(alive: int) -> Any:
            return alive or self._run("revive", self.lease, *self.attached)

        return self._run("renew", self.lease).addCallback(renewed)

    def _connect(self) -> Any:
        """
        @return: asks over one connection, which is made again when it is lost.
        """
        store = self

        class Prompt(self._library.RedisProtocol):  # type: ignore[name-defined, misc]  # the library is an argument
            def connectionMade(self) -> Any:
                # Else what is asked in a second segment waits 40 ms for the first
                # to be acknowledged.
                self.transport.setTcpNoDelay(True)
                store._connected(self)
                return super().connectionMade()

            def eval(self, script: str, keys: Any, args: Sequence[Any]) -> Any:
                return super().eval(script, keys, (*args, self.number))

            def dataReceived(self, *data: Any) -> None:
                self.heard = store._reactor.seconds()
                super().dataReceived(*data)

        factory = self._library.RedisFactory(
            self._where(),
            self._database,
            1,
            isLazy=True,
            charset=None,
            password=self._password,
            username=self._user,
            convertNumbers=False,
        )
        factory.protocol = Prompt
        factory.connectionError = self._deny
        # The library would, for ever, when it is denied once.
        factory.stopTrying = lambda: None
        # It waits a second: long, where the first attempt succeeds.
        factory.initialDelay = 0.1
        endpoint = HostnameEndpoint(self._reactor, self.host, self.port, self.patience)
        factory.startConnecting(_Telling(endpoint, self._unconnected))
        return factory.handler

    def _connected(self, protocol: Any) -> None:
        self._connections += 1
        protocol.number = self._connections
        protocol.heard = self._reactor.seconds()
        self._protocol = protocol
        self._reason = ""
        self._denied = False

    def _not_started(self, failure: Failure) -> Deferred[None]:
        connection, self._connection = self._connection, None
        error = failure.value

        def failed(_: Any) -> None:
            raise StoreError(f"the store cannot be used: {error}") from error

        return self._let_go(connection).addBoth(failed)

    def _check(self) -> Deferred[None]:
        """
        Whether this Redis can keep what is promised with it.
        """
        if not self.create:
            return self._ask("EXISTS", f"{self.prefix}life").addCallback(self._is_there)
        if "once" not in self.classes:
            return succeed(None)

        def configured(answers: Sequence[Any]) -> Deferred[Any]:
            facts = dict(zip(answers[::2], answers[1::2], strict=True))
            for name, value in ((b"appendonly", b"yes"), (b"appendfsync", b"always")):
                found = facts.get(name, b"?")
                if found != value:
                    raise StoreError(
                        f"{self._where()} has {name.decode()} {found.decode()}, and"
                        f" 'once' needs {value.decode()}: else Redis may forget what it"
                        " has answered"
                    )
            return self._ask("CONFIG", "GET", "maxmemory-policy")

        def kept(answer: Sequence[Any]) -> Deferred[Any]:
            policy = answer[1]
            if policy != b"noeviction":
                raise StoreError(
                    f"{self._where()} has maxmemory-policy {policy.decode()}, and"
                    " 'once' needs noeviction: else Redis may forget what it has"
                    " answered"
                )
            return self._ask("INFO", "replication")

        def replicated(info: bytes) -> None:
            facts = dict(
                line.split(b":", 1) for line in info.splitlines() if b":" in line
            )
            if facts[b"role"] != b"master" or facts[b"connected_slaves"] != b"0":
                raise StoreError(
                    f"{self._where()} is replicated: 'once' cannot be promised where"
                    " another Redis may take its place without what was written last"
                )

        asked = self._ask("CONFIG", "GET", "append*")
        return asked.addCallback(configured).addCallback(kept).addCallback(replicated)

    def _is_there(self, there: int) -> None:
        if not there:
            raise StoreError(
                f"there are no records of twisted_rpc in {self._where()} under"
                f" {self.prefix!r}"
            )

    def _ask(self, *words: str) -> Deferred[Any]:
        answer: Deferred[Any] = self._connection.execute_command(*words)
        return self._in_time(answer.addErrback(self._trouble))

    def stop(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.stop<twisted_rpc.interfaces.IDedupStore>}
        """
        if self._connection is None:
            return succeed(None)
        if self._lease is not None:
            self._lease.stop()
            self._lease = None
        stopped = self._run("stop")
        connection, self._connection = self._connection, None
        return stopped.addBoth(lambda _: self._let_go(connection))

    def _let_go(self, connection: Any) -> Deferred[None]:
        gone: Deferred[Any] = connection.disconnect()
        return gone.addBoth(lambda _: None)

    # -- sessions ---------------------------------------------------------------------

    def attach(self, principal: str, wanted: str | None) -> Deferred[Attached]:
        """
        @see: L{IDedupStore.attach<twisted_rpc.interfaces.IDedupStore>}
        """

        def attached(answer: Sequence[bytes]) -> Attached:
            if answer[0] in {b"full", b"room"}:
                raise refusal(
                    Code.RESOURCE_EXHAUSTED,
                    "no room to remember another session"
                    if answer[0] == b"room"
                    else f"{answer[1].decode()} sessions are open already",
                    retry_after=1.0,
                )
            resumed, session, floor = answer
            return self._used(
                Attached(session.decode(), int(float(floor)), resumed == b"1")
            )

        new = secrets.token_hex(16)
        step = self._run("attach", principal, wanted or "", new)
        return step.addCallbacks(attached, self._unheard, errbackArgs=(new,))

    def detach(self, session: str) -> Deferred[None]:
        """
        @see: L{IDedupStore.detach<twisted_rpc.interfaces.IDedupStore>}
        """
        self.attached.discard(session)
        return self._run("detach", session)

    def end(self, session: str) -> Deferred[None]:
        """
        @see: L{IDedupStore.end<twisted_rpc.interfaces.IDedupStore>}
        """
        self.attached.discard(session)
        return self._run("end", session)

    def release(self, session: str, floor: int) -> Deferred[None]:
        """
        @see: L{IDedupStore.release<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._run("release", session, floor)

    # -- records ----------------------------------------------------------------------

    def claim(self, claim: Claim) -> Deferred[Found]:
        """
        @see: L{IDedupStore.claim<twisted_rpc.interfaces.IDedupStore>}
        """
        step = self._run(
            "claim",
            claim.key.holder,
            _id(claim.key),
            claim.key.seq,
            claim.principal,
            claim.delivery,
            claim.method,
            claim.params,
            repr(claim.timestamp),
            claim.floor,
            "1" if claim.run else "0",
        )
        return step.addCallback(self._judge, claim)

    def _judge(self, answer: Sequence[bytes], claim: Claim) -> Found:
        """
        What the table says to what the script found; they agree, or nothing runs.
        """
        claimed, what, *facts = answer
        if what == b"room":
            raise refusal(
                Code.RESOURCE_EXHAUSTED,
                "no room to remember another call",
                retry_after=1.0,
            )
        kept = None
        if len(facts) > 1:
            state, fence, owner, method, params, delivery, outcome = facts[1:]
            kept = Kept(
                State(state.decode()),
                int(fence),
                method.decode(),
                params,
                delivery.decode(),
                Owner(owner.decode()),
                read_outcome(outcome) if outcome else None,
            )
        found = judged(
            claim,
            kept,
            live=what == b"live",
            floor=float(facts[0]) if facts else 0.0,
            window=self.window,
        )
        if claim.run and (found.verdict is Verdict.RUN) != (claimed == b"1"):
            raise AssertionError(f"{found.verdict} and claimed {claimed!r}")
        if claimed == b"1":
            found.fence += 1
        return found

    def transact(
        self, claim: Claim, run: Callable[[Any], Outcome | None]
    ) -> Deferred[Found]:
        """
        There is no transaction here.
        """
        return fail(NotImplementedError("the redis store has no transactions"))

    def complete(
        self, key: Key, fence: int, outcome: Outcome
    ) -> Deferred[Found | None]:
        """
        @see: L{IDedupStore.complete<twisted_rpc.interfaces.IDedupStore>}
        """
        step = self._run(
            "complete", key.holder, _id(key), fence, write_outcome(outcome)
        )
        return step.addCallback(_lost)

    def unclaim(self, key: Key, fence: int) -> Deferred[None]:
        """
        @see: L{IDedupStore.unclaim<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._run("unclaim", key.holder, _id(key), fence)

    def resolve(self, key: Key, fence: int, outcome: Outcome) -> Deferred[bool]:
        """
        @see: L{IDedupStore.resolve<twisted_rpc.interfaces.IDedupStore>}
        """
        step = self._run("resolve", key.holder, _id(key), fence, write_outcome(outcome))
        return step.addCallback(bool)

    def expire(self) -> Deferred[None]:
        """
        @see: L{IDedupStore.expire<twisted_rpc.interfaces.IDedupStore>}
        """
        return self._run("expire")

    # -- questions --------------------------------------------------------------------

    def find(self, key: Key) -> Deferred[RecordRow | None]:
        """
        @see: L{IDedupStore.find<twisted_rpc.interfaces.IDedupStore>}
        """
        step = self._run("find", key.holder, _id(key))
        return step.addCallback(lambda row: _record(row) if row else None)

    def totals(self) -> Deferred[Totals]:
        """
        @see: L{IDedupStore.totals<twisted_rpc.interfaces.IDedupStore>}
        """

        def counted(answer: Sequence[Any]) -> Totals:
            sessions, attached, floors, size, flat = answer
            states = {
                state.decode(): int(count)
                for state, count in zip(flat[::2], flat[1::2], strict=True)
            }
            return Totals(int(sessions), int(attached), int(floors), states, int(size))

        return self._run("totals").addCallback(counted)

    def sessions(self, limit: int) -> Deferred[Sequence[SessionRow]]:
        """
        @see: L{IDedupStore.sessions<twisted_rpc.interfaces.IDedupStore>}
        """

        def listed(rows: Sequence[Sequence[bytes]]) -> list[SessionRow]:
            return [
                SessionRow(
                    row[0].decode(),
                    row[1].decode(),
                    int(float(row[2])),
                    row[3].decode(),
                    float(row[4]),
                    float(row[5]),
                    int(row[6]),
                    int(row[7]),
                )
                for row in rows
            ]

        return self._run("sessions", limit).addCallback(listed)

    def records(self, state: str | None, limit: int) -> Deferred[Sequence[RecordRow]]:
        """
        @see: L{IDedupStore.records<twisted_rpc.interfaces.IDedupStore>}
        """

        def listed(rows: Sequence[Sequence[bytes]]) -> list[RecordRow]:
            records = sorted(map(_record, rows), key=lambda it: -it.age)
            return records[:limit]

        return self._run("records", state or "").addCallback(listed)

    def __repr__(self) -> str:
        return f"<RedisStore {self._where()}>"


def _id(key: Key) -> str:
    return str(key.seq) if key.seq else key.name


def _lost(answer: Sequence[bytes]) -> Found | None:
    if not answer:
        return None
    state, fence, outcome = answer
    if state == b"DONE":
        return Found(Verdict.REPLAY, int(fence), read_outcome(outcome))
    verdicts = {b"STALE": Verdict.STALE, b"TOMBSTONE": Verdict.NOT_CACHED}
    return Found(verdicts.get(state, Verdict.IN_DOUBT), int(fence))


def _record(row: Sequence[bytes]) -> RecordRow:
    holder, name = row[0].decode(), row[1].decode()
    key = Key(holder, 0, name) if holder.startswith("@") else Key(holder, int(name))
    return record_row(key, [each.decode() for each in row[2:10]], row[10])
