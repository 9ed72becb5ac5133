"""
Tests that annotations do what they say, through a real client and a real server.
"""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Code, Registry, RPCError, current_call
from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    refusal,
)
from twisted_rpc.idl import Schema, load_idl_text
from twisted_rpc.server import deprecation
from twisted_rpc.server.registry import RegistrationError
from twisted_rpc.testing import Pair, connect
from twisted_rpc.twistd.frames import log_frames, secrets_of

IDL = """
@code("NOT_FOUND") exception Missing { string id; }
exception Taken extends Missing { }
@code("ALREADY_EXISTS") exception There { @sensitive string message; @name("from") int source; }
@name("colour") struct Paint {
    @name("class") string kind = "matt";
    @length(min=1, max=3) string tint;
    @range(min=0, max=1) float cover = 0.5;
    @range(max="9.99") decimal price = "1";
    @pattern("[a-z]+") string? word;
    @sensitive string? recipe;
}
enum Size { @aliases(["little"]) SMALL, LARGE = "large" }

@name("work") @aliases(["labour", "toil"]) @timeout(5s) @retry(max_attempts=3, initial=10ms, max=10ms)
service Work {
    int slow();
    @timeout(1s) int quick();
    @threaded int blocking();
    @readonly int reading();
    @idempotent int setting();
    int once();
    @readonly @retry(max_attempts=1) int unrepeated();
    @readonly int repeated();
    @deprecated("use repeated", since="1.2") @readonly int former();
    @deprecated @readonly int forgotten();
    string raising(string what) throws (Missing, There);
    @name("renamed") @aliases(["older", "oldest"]) int named();
    Paint paint(Paint paint, @length(max=2) list<int> many = []);
    @sensitive string reveal(@sensitive string pin, @sensitive map<string, int> by = {});
    Size size(Size size);
}
"""

idl = load_idl_text(IDL, "effects.idl")


class Work:
    """
    Counts what it runs.
    """

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.attempts: list[int] = []
        self.threads: set[int] = set()

    def _run(self, name: str) -> int:
        self.ran.append(name)
        self.attempts.append(current_call().attempt)
        return len(self.ran)

    def slow(self) -> Deferred[int]:
        return Deferred()

    def quick(self) -> Deferred[int]:
        return Deferred()

    def blocking(self) -> int:
        self.threads.add(threading.get_ident())
        return 1

    def reading(self) -> int:
        return self._run("reading")

    def setting(self) -> int:
        return self._run("setting")

    def once(self) -> int:
        return self._run("once")

    def unrepeated(self) -> int:
        return self._run("unrepeated")

    def repeated(self) -> int:
        return self._run("repeated")

    def former(self) -> int:
        return self._run("former")

    def forgotten(self) -> int:
        return self._run("forgotten")

    def raising(self, what: str) -> str:
        errors = {
            "missing": idl.Missing(id="a"),
            "taken": idl.Taken(id="b"),
            "there": idl.There(message_="s3cret", source=5),
        }
        raise errors[what]

    def named(self) -> int:
        return self._run("named")

    def paint(self, paint: Any, many: list[int]) -> Any:
        return paint

    def reveal(self, pin: str, by: dict[str, int]) -> Any:
        return {"wrong": 5, "half": "\ud800"}.get(pin, pin)

    def size(self, size: Any) -> Any:
        return size


class EffectsTestCase(SynchronousTestCase):
    """
    A client and a server of one service.
    """

    def setUp(self) -> None:
        """
        Connect them.
        """
        self.work = Work()
        self.pair = self.connect(idl, self.work)
        self.proxy = self.pair.client.proxy(idl.Work)

    def connect(self, served: Schema, implementation: Any, **options: Any) -> Pair:
        """
        @return: a client and a server.
        """
        registry = Registry()
        registry.register(served.Work, implementation)
        pair = connect(registry, **options)
        self.addCleanup(pair.close)
        return pair

    def result(self, answer: Deferred[Any]) -> Any:
        """
        @return: what comes of a call.
        """
        return self.pair.result(answer)

    def error(self, answer: Deferred[Any]) -> RPCError:
        """
        @return: what a call fails with.
        """
        error: RPCError = self.assertRaises(RPCError, self.result, answer)
        return error


class CallTests(EffectsTestCase):
    """
    How calls are made.
    """

    def test_timeout(self) -> None:
        """
        C{@timeout} of the method wins over that of the service, and that over
        the client's 30 seconds.
        """
        for name, seconds in (("slow", 5.0), ("quick", 1.0)):
            failed: list[Any] = []
            getattr(self.proxy, name)().addErrback(failed.append)
            self.pair.advance(seconds - 0.1)
            self.assertEqual(failed, [], name)
            self.pair.advance(0.3)
            (failure,) = failed
            self.assertIsInstance(failure.value, DeadlineExceeded, name)

    def test_threaded(self) -> None:
        """
        C{@threaded} runs in another thread.
        """
        self.assertEqual(self.result(self.proxy.blocking()), 1)
        self.assertEqual(len(self.work.threads), 1)
        self.assertNotIn(threading.get_ident(), self.work.threads)

    def test_classes(self) -> None:
        """
        An answer that is lost is asked for again: C{@readonly} and
        C{@idempotent} may run again, others are answered by the record.
        """
        for name, runs in (("reading", 2), ("setting", 1), ("once", 1)):
            self.result(self.pair.client.ping())
            self.work.ran.clear()
            answer = getattr(self.proxy, name)()
            # The server runs it, and its answer does not arrive.
            (server,) = (
                it for it in self.pair.network.transports if it.name == "server"
            )
            server.deliver()
            self.assertEqual(self.work.ran, [name])
            self.pair.network.break_all()
            self.pair.result(answer)
            self.assertEqual(self.work.ran, [name] * runs, name)

    def test_retry(self) -> None:
        """
        C{@retry} of the service holds for its methods, that of a method for
        itself.
        """
        refusals: list[int] = []

        def refusing(responder: Responder) -> Responder:
            def respond(request: Request) -> Answer:
                if refusals and refusals.pop():
                    raise refusal(Code.UNAVAILABLE, "not now")
                return responder(request)

            return respond

        pair = self.connect(idl, self.work, server={"interceptors": [refusing]})
        proxy = pair.client.proxy(idl.Work)
        refusals += [1, 1]
        self.assertEqual(pair.result(proxy.repeated()), 1)
        self.assertEqual(self.work.attempts, [3])
        # The first repetition, at once, is free.
        refusals += [1, 1, 1, 1]
        error = self.assertRaises(RPCError, pair.result, proxy.repeated())
        self.assertIs(error.code, Code.UNAVAILABLE)
        refusals += [1, 1]
        error = self.assertRaises(RPCError, pair.result, proxy.unrepeated())
        self.assertEqual((error.code, refusals), (Code.UNAVAILABLE, []))

    def test_retry_of_a_base(self) -> None:
        """
        The service that is called is nearer than the one it extends.
        """
        schema = load_idl_text(
            "@retry(max_attempts=2) service B { int f() int g() }"
            "@retry(max_attempts=3) service A extends B { } service C extends B { }"
        )
        retries = [schema[name].by_name["f"].retry for name in "ABC"]
        self.assertEqual([it["max_attempts"] for it in retries], [3, 2, 2])


class NameTests(EffectsTestCase):
    """
    What things are called.
    """

    def test_names(self) -> None:
        """
        C{@name} is what stands on the wire, C{@aliases} what else is answered.
        """
        self.assertEqual(self.result(self.proxy.named()), 1)
        method = self.pair.server.factory.shared.methods.table["work"]
        self.assertEqual({"renamed", "older", "oldest"} - set(method), set())
        old = load_idl_text('@name("labour") service Work { @name("oldest") int f() }')
        self.assertEqual(self.result(self.pair.client.proxy(old.Work).f()), 2)

    def test_a_service_answers_to_its_aliases(self) -> None:
        """
        A client of the time before a service was renamed is served, and can ask
        for the IDL.
        """
        for name in ("labour", "toil"):
            old = load_idl_text(f"service {name} {{ int once() }}")
            self.result(self.pair.client.proxy(old[name]).once())
            told = self.result(self.pair.client.reflect(name))
            self.assertEqual(told["service"], "work")
            self.assertEqual(
                self.result(self.pair.client.health(name)), {"status": "SERVING"}
            )
        listed = self.result(self.pair.client.reflect())
        self.assertEqual(list(listed["services"]), ["work"])
        other = load_idl_text("service Other { int once() }")
        self.assertIs(
            self.error(self.pair.client.proxy(other.Other).once()).code,
            Code.UNIMPLEMENTED,
        )

    def test_aliases_are_taken(self) -> None:
        """
        A name that another service answers to is taken.
        """
        for text in ("service toil { }", '@aliases(["labour"]) service B { }'):
            registry = Registry()
            registry.register(idl.Work, Work())
            (name,) = load_idl_text(text).__idl__.services
            with self.assertRaises(RegistrationError) as raised:
                registry.register(load_idl_text(text)[name], object())
            self.assertIn("is registered as", str(raised.exception))

    def test_values(self) -> None:
        """
        C{@aliases} of an enum's value are read as the value.
        """
        old = load_idl_text(
            'enum Size { little } @name("work") service Work { string size(Size size) }'
        )
        proxy = self.pair.client.proxy(old.Work)
        self.assertEqual(self.result(proxy.size(old.Size.little)), "SMALL")

    def test_members(self) -> None:
        """
        C{@name} of a member stands on the wire; in Python it is called as in the
        IDL.
        """
        raw = idl.Work.by_name["paint"].encode_result(idl.Paint(tint="x"))
        self.assertIn(b'"class":"matt"', raw)
        given = self.result(self.proxy.paint(idl.Paint(tint="x", kind="silk")))
        self.assertEqual(given.kind, "silk")


class DeprecatedTests(EffectsTestCase):
    """
    C{@deprecated} methods.
    """

    def said(self, events: Any, part: str) -> list[str]:
        """
        @return: what the client or the server says of deprecation.
        """
        return [
            str(formatEvent(it))
            for it in events
            if it["log_namespace"].startswith(f"twisted_rpc.{part}")
            and "deprecated" in str(formatEvent(it))
            and it["log_level"] is LogLevel.warn
        ]

    def test_warns_once(self) -> None:
        """
        A client says once that it calls one, and the server who does, also after
        a new connection.
        """
        with capturedLogs() as events:
            for _ in range(3):
                self.result(self.proxy.former())
                self.result(self.pair.client.proxy(idl.Work).former())
            self.pair.network.break_all()
            self.pair.advance(2.0)
            self.result(self.proxy.former())
            self.result(self.proxy.forgotten())
            self.result(self.proxy.repeated())
        self.assertEqual(
            self.said(events, "client"),
            [
                "work.former is deprecated: use repeated (since 1.2)",
                "work.forgotten is deprecated",
            ],
        )
        first, second = self.said(events, "server")
        self.assertRegex(
            first,
            r"work\.former is deprecated, use repeated \(since 1\.2\), and anonymous at"
            r" 127\.0\.0\.1:\d+ calls it",
        )
        self.assertRegex(second, r"work\.forgotten is deprecated, and anonymous at .*")

    def test_counted(self) -> None:
        """
        Calls are counted, by the method.
        """
        self.assertNotIn("deprecated.work.former", self.pair.server.counters())
        for _ in range(3):
            self.result(self.proxy.former())
        self.result(self.proxy.repeated())
        counted = self.pair.server.counters()
        self.assertEqual(counted["deprecated.work.former"], 3)
        self.assertNotIn("deprecated.work.repeated", counted)

    def test_bounded(self) -> None:
        """
        However many callers there are, the server names so many.
        """
        self.patch(deprecation, "MAX_NAMED", 0)
        with capturedLogs() as events:
            self.result(self.proxy.former())
        self.assertEqual(self.said(events, "server"), [])

    def test_service(self) -> None:
        """
        The methods of a deprecated service are.
        """
        schema = load_idl_text('@deprecated("gone soon") service A { int f() }')
        self.assertEqual(schema.A.by_name["f"].deprecated, "gone soon")
        self.assertEqual(schema.IA["f"].__doc__ or "", "")


class ExceptionTests(EffectsTestCase):
    """
    C{@code} of exceptions.
    """

    def test_code(self) -> None:
        """
        An exception arrives as its class, with the code that the IDL gives it;
        so does one
        that extends it.
        """
        error = self.error(self.proxy.raising("missing"))
        assert isinstance(error, idl.Missing)
        self.assertIs(error.code, Code.NOT_FOUND)
        self.assertEqual((error.id, error.remote), ("a", True))
        error = self.error(self.proxy.raising("taken"))
        self.assertIs(type(error), idl.Missing)
        self.assertIs(error.code, Code.NOT_FOUND)
        error = self.error(self.proxy.raising("there"))
        assert isinstance(error, idl.There)
        self.assertIs(error.code, AlreadyExists.code)
        self.assertEqual((error.message_, error.source), ("s3cret", 5))

    def test_codes_are_not_classes(self) -> None:
        """
        C{except NotFound} means errors of no IDL; a declared exception is caught
        by its class, and by its code.
        """
        error = self.error(self.proxy.raising("missing"))
        self.assertFalse(isinstance(error, NotFound))


class ConstraintTests(EffectsTestCase):
    """
    C{@length}, C{@range}, C{@pattern}.
    """

    FAULTS: ClassVar[dict[str, tuple[dict[str, Any], list[int]]]] = {
        "paint.tint: expected str of length >= 1": ({"tint": ""}, []),
        "paint.tint: expected str of length <= 3": ({"tint": "abcd"}, []),
        "paint.cover: expected float <= 1.0": ({"cover": 1.5}, []),
        "paint.cover: expected float >= 0.0": ({"cover": -0.5}, []),
        "paint.price: expected decimal <= 9.99": ({"price": Decimal("9.991")}, []),
        "paint.word: expected str that matches its pattern": ({"word": "A"}, []),
        "many: expected array of length <= 2": ({}, [1, 2, 3]),
    }

    def test_client(self) -> None:
        """
        A client does not send what is not allowed, and says which value it is.
        """
        for message, (members, many) in self.FAULTS.items():
            paint = idl.Paint(**{"tint": "x", **members})
            error = self.error(self.proxy.paint(paint, many))
            self.assertIsInstance(error, InvalidArgument)
            self.assertEqual((error.message, error.remote), (message, False))

    def test_server(self) -> None:
        """
        A server refuses what another client sends, with the same words.
        """
        loose = load_idl_text(
            '@name("work") service Work { any paint(any paint, list<int> many) }'
        )
        proxy = self.pair.client.proxy(loose.Work)
        for message, (members, many) in self.FAULTS.items():
            value = {
                name: str(it) if isinstance(it, Decimal) else it
                for name, it in members.items()
            }
            error = self.error(proxy.paint({"tint": "x", **value}, many))
            self.assertIsInstance(error, InvalidArgument)
            self.assertEqual(error.message, f"Parameter validation failed: {message}")
            self.assertTrue(error.remote)

    def test_results(self) -> None:
        """
        An implementation cannot answer with what is not allowed; the log says
        where it is, and the caller learns nothing of it.
        """
        self.work.paint = lambda paint, many: idl.Paint(tint="long")  # type: ignore[method-assign]
        pair = self.connect(idl, self.work)
        with capturedLogs() as events:
            error = self.assertRaises(
                RPCError,
                pair.result,
                pair.client.proxy(idl.Work).paint(idl.Paint(tint="x")),
            )
        self.assertIs(error.code, Code.INTERNAL)
        self.assertNotIn("tint", error.message)
        (text,) = [
            str(formatEvent(it)) for it in events if it["log_level"] is LogLevel.error
        ]
        self.assertIn("work.paint returned what its IDL type does not allow", text)
        self.assertIn("result.tint: expected str of length <= 3", text)


class SensitiveTests(EffectsTestCase):
    """
    C{@sensitive} values are in no log and in no error.
    """

    def test_everything_said(self) -> None:
        """
        Whatever becomes of a call, no log line has its secrets: neither that of a
        frame, nor that of a failure.
        """
        registry = Registry()
        registry.register(idl.Work, self.work)
        pair = connect(registry, server={"access_log": 1.0, "debug_errors": True})
        self.addCleanup(pair.close)
        log_frames(pair.server.factory, secrets_of(registry.services.values()))
        proxy = pair.client.proxy(idl.Work)
        newer = load_idl_text(
            '@name("work") service Work { string unlock(@sensitive string pin) }'
        )
        said: list[str] = []
        with capturedLogs() as events:
            said.append(pair.result(proxy.reveal("p1n-secret", {"k3y-secret": 1})))
            for answer in (
                proxy.reveal("wrong"),
                proxy.reveal(5),
                proxy.reveal("half"),
                proxy.reveal("a", {"k3y-secret": "x"}),
                proxy.raising("there"),
                proxy.paint(idl.Paint(tint="too-long", recipe="r3cipe-secret")),
                pair.client.proxy(newer.Work).unlock("n3w-secret"),
            ):
                error = self.assertRaises(RPCError, pair.result, answer)
                said += [str(error), repr(error)]
            pair.result(proxy.paint(idl.Paint(tint="x", recipe="r3cipe-secret")))
        self.assertEqual(said.pop(0), "p1n-secret")
        said += [str(formatEvent(it)) for it in events]
        said += [str(it.get("log_failure", "")) for it in events]
        self.assertTrue(any("-> " in it for it in said), "no frame was logged")
        for text in said:
            for secret in ("p1n-", "k3y-", "s3cret", "r3cipe-", "n3w-"):
                self.assertNotIn(secret, text)

    def test_reprs(self) -> None:
        """
        Structs and exceptions do not show such members.
        """
        paint = idl.Paint(tint="x", recipe="r3cipe")
        self.assertNotIn("r3cipe", repr([paint]))
        self.assertIn("recipe=<sensitive>", repr(paint))
        error = idl.There(message_="s3cret", source=1)
        self.assertNotIn("s3cret", repr(error) + str(error) + str(error.args))

    def test_paths(self) -> None:
        """
        The key of a map is part of a path, but not that of a sensitive map.
        """
        open_ = load_idl_text("service A { void f(map<string, int> by) }").A
        by = {"key": "x"}
        error = self.assertRaises(ValueError, open_.by_name["f"].encode_params, (by,))
        self.assertEqual(str(error), "by[key]: expected int, got str")
        error = self.assertRaises(
            ValueError, idl.Work.by_name["reveal"].encode_params, ("a", by)
        )
        self.assertEqual(str(error), "by[...]: expected int, got str")


class AuthTests(SynchronousTestCase):
    """
    C{@auth} that nothing enforces opens nothing by accident.
    """

    REFUSED: ClassVar[tuple[str, ...]] = (
        '@auth(role="a") service Work { int f() }',
        'service Work { @auth(role="a") int f() }',
        '@auth(public=true) service Work { @auth(role="a") int f() }',
        "service Work { @auth(public=false) int f() }",
        '@auth(role="a") service B { int f() } service Work extends B { }',
        '@auth(role="a") service B { int f() } @auth(public=true) service Work extends B { }',
        '@auth(public=true) service B { int f() } @auth(role="a") service Work extends B { }',
        'service B { @auth(role="a") int f() } service Work extends B { }',
    )
    SERVED: ClassVar[tuple[str, ...]] = (
        "@auth(public=true) service Work { int f() }",
        "service Work { @auth(public=true) int f() }",
        '@auth(role="a") service Work { @auth(public=true) int f() }',
        '@auth(role="a") service B { @auth(public=true) int f() } service Work extends B { }',
    )

    class One:
        """The implementation of all of them."""

        def f(self) -> int:
            return 1

    def test_refused(self) -> None:
        """
        A method that only some may call is not served, wherever that is said.
        """
        for text in self.REFUSED:
            with self.assertRaises(RegistrationError, msg=text) as raised:
                Registry().register(load_idl_text(text).Work, self.One())
            (fault,) = raised.exception.faults
            self.assertEqual(fault.message, "@auth cannot be enforced yet", text)
            self.assertEqual(fault.method, "f")

    def test_served(self) -> None:
        """
        One that everybody may call is served.
        """
        for text in self.SERVED:
            registry = Registry()
            registry.register(load_idl_text(text).Work, self.One())
            self.assertEqual(list(registry.services), ["Work"])
