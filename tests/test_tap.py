"""
Tests for C{twistd rpc}: what a person can get wrong, and what is served.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc._tap import Options, makeService
from twisted_rpc.quantities import duration, size
from twisted_rpc.twistd.frames import Secrets, show
from twisted_rpc.twistd.logs import Figures, as_json, as_text, read_levels
from twisted_rpc.twistd.serving import ServingRPC
from twisted_rpc.wire.limits import OFF

ROOT = Path(__file__).parent.parent

MODULE = """
from twisted_rpc import threaded

class Good:
    def f(self, a):
        return a

    @threaded
    def g(self):
        import time
        time.sleep(0.3)
        return 7

    @threaded
    def h(self):
        import time
        print("h has begun")
        time.sleep(30)
        return 8

class Bad:
    def f(self):
        return 1

class Needs:
    def __init__(self, what):
        pass

class Raises:
    def __init__(self):
        raise ValueError("not today")

def make():
    return Good()

good = Good()
number = 3
"""


class TapTestCase(SynchronousTestCase):
    """
    A folder with an IDL and a module.
    """

    def setUp(self) -> None:
        """
        Write them.
        """
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.idl = self.folder / "a.idl"
        self.idl.write_text(
            "service A { int f(int a); int g(); int h() }", encoding="utf-8"
        )
        self.module = f"tap_{os.getpid()}_{id(self)}"
        (self.folder / f"{self.module}.py").write_text(MODULE, encoding="utf-8")
        self.addCleanup(sys.path.__setitem__, slice(None), sys.path[:])
        self.patch(sys, "dont_write_bytecode", True)

    def options(self, *words: str, impl: str = "Good") -> Options:
        """
        @return: options that are right, and C{words}.
        """
        options = Options()
        options.parseOptions(
            [
                "--idl", str(self.idl), "--app-dir", str(self.folder),
                "--impl", f"{self.module}.{impl}", *words,
            ]
        )  # fmt: skip
        return options

    def complaint(self, *words: str, impl: str = "Good") -> str:
        """
        @return: what is said about a mistake: a clear text, no traceback.
        """
        text = str(self.assertRaises(usage.UsageError, self.options, *words, impl=impl))
        self.assertNotIn("Traceback", text)
        return text


class OptionsTests(TapTestCase):
    """
    Everything that can be wrong is found while the options are read.
    """

    def test_earlier(self) -> None:
        """
        Earlier versions of the IDL are read, and refused as the IDL itself is.
        """
        other = self.folder / "old.idl"
        other.write_text("service A { int f(int a) }", encoding="utf-8")
        options = self.options("--earlier-idl", str(other))
        self.assertEqual([it.A.name for it in options.earlier], ["A"])
        other.write_text("", encoding="utf-8")
        said = self.complaint("--earlier-idl", str(other))
        self.assertEqual(said, f"--earlier-idl {other}: there is no service in it")

    def test_implementations(self) -> None:
        """
        A class is instantiated, an instance and a factory are used as they are.
        """
        for impl in ("Good", "good", "make"):
            self.assertEqual(list(self.options(impl=impl).registry.services), ["A"])

    def test_wrong_implementations(self) -> None:
        """
        What cannot be imported, made or fitted is named.
        """
        for impl, said in (
            ("Missing", "Missing"),
            ("Bad", "f: "),
            ("Needs", "what"),
            ("Raises", "not today"),
            ("number", "int cannot serve A: 3 faults"),
        ):
            self.assertIn(said, self.complaint(impl=impl))
        options = Options()
        words = ["--idl", str(self.idl), "--impl", "no_such_module_at_all.X"]
        error = self.assertRaises(usage.UsageError, options.parseOptions, words)
        self.assertIn("no_such_module_at_all", str(error))

    def test_missing_options(self) -> None:
        """
        Both --idl and --impl are needed.
        """
        for words, said in (
            ([], "--idl is missing"),
            (["--idl", "x"], "--impl is missing"),
        ):
            error = self.assertRaises(usage.UsageError, Options().parseOptions, words)
            self.assertIn(said, str(error))

    def test_files(self) -> None:
        """
        Files that are not there, or not right, are named with their place.
        """
        self.assertIn(
            "no such file", self.complaint("--idl", str(self.folder / "b.idl"))
        )
        self.assertIn("it is a folder", self.complaint("--idl", str(self.folder)))
        wrong = self.folder / "wrong.idl"
        wrong.write_text("servce A { }", encoding="utf-8")
        said = self.complaint("--idl", str(wrong))
        self.assertIn("wrong.idl:1:1: expected a definition", said)
        self.assertIn("did you mean 'service'?", said)
        empty = self.folder / "empty.idl"
        empty.write_text("", encoding="utf-8")
        self.assertIn("no service", self.complaint("--idl", str(empty)))

    def test_store(self) -> None:
        """
        A method whose promise the store cannot keep is told with its place, and
        with what keeps it.
        """
        self.idl.write_text(
            "service A { @transactional int f(int a); int g(); int h() }",
            encoding="utf-8",
        )
        said = self.complaint()
        self.assertIn("a.idl:1:32: A.f is @transactional, which the memory", said)
        self.assertIn("use SQLite (--dedup sqlite:FILE", said)
        self.assertEqual(self.options("--dedup", "sqlite:x.db").store.name, "sqlite")

    def test_store_in_redis(self) -> None:
        """
        So is one that a Redis keeps only when it is told that it may.
        """
        if find_spec("txredisapi") is None:
            self.skipTest("txredisapi is not installed: pip install -e '.[redis]'")
        self.idl.write_text("service A { @idempotent int f(int a); int g(); int h() }")
        said = self.complaint("--dedup", "redis://h")
        self.assertIn("A.g is @once, which the redis store cannot do; a Redis", said)
        self.assertIn("redis://HOST?once=yes", said)

    def test_values(self) -> None:
        """
        Values that cannot be meant are refused, each with its option.
        """
        for words, said in (
            (["--max-frame", "big"], "--max-frame: "),
            (["--max-frame", "10"], "max_frame is 10"),
            (["--default-timeout", "soon"], "--default-timeout: "),
            (["--default-timeout", "0"], "above 0"),
            (["--drain", "-1"], "--drain: "),
            (["--dedup", "disk"], "there is no store 'disk'"),
            (["--dedup", "memory:windw=3"], "did you mean window?"),
            (["--dedup", "memory:window"], "has no value"),
            (["--dedup", "memory:window=0"], "number of 1 or more"),
            (["--sessionless-clock", "moon"], "neither client nor server"),
            (["--log-format", "xml"], "neither text nor json"),
            (["--log-level", "loud"], "no log level"),
            (["--log-level", "wir=debug"], "did you mean 'wire'?"),
            (["--access-log", "2"], "from 0 to 1"),
            (["--threads", "0"], "whole number"),
            (["--listen", "5000"], "no colon"),
            (["--listen", "tpc:5000"], "no kind of endpoint"),
            (["--listen", "tcp:99999"], "0 to 65535"),
            (["--listen", "ssl:5000"], "use tls:"),
            (["--app-dir", "/no/such/folder"], "no such folder"),
            (["--lisen", "tcp:1"], "did you mean --listen?"),
            (["extra"], "unexpected argument"),
            (["--idl-path", "/no/such/folder"], "--idl-path /no/such/folder: no such"),
            (["--app-dir", __file__], "it is a file"),
            (["--impl", "=a.B"], "no service before the '='"),
            (["--impl", "A="], "write [Service=]module.Class"),
            (["--impl", f"A={self.module}.Good"], "both serve A"),
            (["--idl", str(self.idl)], "there is a service A already"),
            (["--dedup", "memory:sessions=many"], "whole number of 1 or more"),
            (["--drain"], "option --drain requires argument"),
            (["--limit", "idel=3s"], "did you mean idle?"),
            (["--limit", "moon=3"], "no limit 'moon'"),
            (["--limit", "idle"], "has no value"),
            (["--limit", "idle=soon"], "idle: 'soon' is not a duration"),
            (["--limit", "max_queue=many"], "max_queue: 'many' is not a whole number"),
            (["--limit", "output=off"], "output cannot be switched off"),
            (["--limit", "max_inflight=0"], "max_inflight is 0"),
            (["--thread-queue", "-1"], "whole number of 0 or more"),
        ):
            self.assertIn(said, self.complaint(*words))

    def test_defaults_and_values(self) -> None:
        """
        What is right arrives where it belongs.
        """
        options = self.options(
            "--max-frame", "64KiB", "--drain", "500ms", "--dedup", "memory:window=9,retention=1m",
            "--log-level", "wire=debug", "--log-format", "json", "--access-log", "0.5",
            "--limit", "idle=5m", "--limit", "max-queue=7", "--limit", "delay=off",
            "--limit", "max_meta=1KiB",
        )  # fmt: skip
        limits = options.limits
        self.assertEqual(
            (limits.idle, limits.max_queue, limits.max_meta), (300, 7, 1024)
        )
        self.assertEqual(limits.delay, OFF)
        self.assertEqual(options.limits.max_frame, 65536)
        self.assertEqual(options["drain"], 0.5)
        self.assertEqual((options.store.window, options.store.retention), (9, 60.0))
        service = makeService(options)
        assert isinstance(service, ServingRPC)
        self.assertEqual(service.server.name, None)
        self.assertIn("--listen", options.getUsage())

    def test_check(self) -> None:
        """
        With --check everything is verified and shown, and nothing served.
        """
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        ended = self.assertRaises(SystemExit, self.options, "--check", "-v")
        self.assertEqual(ended.code, 0)
        for said in ("A", "f", "once", "tcp:5000:interface=127.0.0.1", "memory"):
            self.assertIn(said, out.getvalue())

    def test_check_limits(self) -> None:
        """
        So are the limits of methods.
        """
        text = self.idl.read_text(encoding="utf-8")
        limited = text.replace("service A", "@rate_limit(9, per=1m) service A").replace(
            "int g()", "@max_concurrency(4) int g()"
        )
        self.idl.write_text(limited, encoding="utf-8")
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.assertRaises(SystemExit, self.options, "--check")
        self.assertIn("at most 4 at once  9 in 60 s a caller", out.getvalue())

    def test_matching(self) -> None:
        """
        Several implementations are told apart by name, or by what they fit.
        """
        other = self.folder / "b.idl"
        other.write_text("service B { int f() }", encoding="utf-8")
        words = ("--idl", str(other), "--impl", f"B={self.module}.Bad")
        self.assertEqual(set(self.options(*words).registry.services), {"A", "B"})
        self.assertIn("C", self.complaint("--impl", f"C={self.module}.Bad"))


class WordsTests(SynchronousTestCase):
    """
    Sizes, durations, levels and frames, as a person writes and reads them.
    """

    def test_quantities(self) -> None:
        """
        Units are those of the IDL.
        """
        self.assertEqual(
            [duration(it) for it in ("30s", "500ms", "2m", "1.5")], [30, 0.5, 120, 1.5]
        )
        self.assertEqual(
            [size(it) for it in ("4MiB", "64KiB", "100")], [4194304, 65536, 100]
        )
        for wrong in ("", "x", "5 parsecs", "-1s"):
            self.assertRaises(ValueError, duration, wrong)
            self.assertRaises(ValueError, size, wrong)

    def test_frames(self) -> None:
        """
        A shown frame is cut, and hides tokens, sessions and sensitive things.
        """
        session = "5f0c9a7be1d24c08b6a1f3e2d4c59780"
        call = {
            "request_id": f"{session}:1",
            "service": "A",
            "method": "f",
            "params": ["secret"],
        }
        shown = show(json.dumps(call).encode(), Secrets(open={("A", "g")}))
        self.assertNotIn("secret", shown)
        self.assertNotIn(session, shown)
        hello = {
            "request_id": "$hello", "service": "$rpc", "method": "hello",
            "params": [{"session": session, "auth": {"scheme": "bearer", "token": "t0k3n"}}],
        }  # fmt: skip
        shown = show(json.dumps(hello).encode())
        self.assertNotIn("t0k3n", shown)
        self.assertNotIn(session, shown)
        reply = {"request_id": "$hello", "result": {"session": session}, "error": None}
        self.assertNotIn(session, show(json.dumps(reply).encode()))
        self.assertNotIn(
            "pin", show(b'{"request_id":"a","result":"pin"}', Secrets(sensitive=True))
        )
        self.assertIn("no JSON", show(b"\xff\x00"))
        self.assertIn("<100000 bytes>", show(b"x" * 100_000))
        self.assertIn("... (", show(json.dumps({"x": "y" * 1000}).encode()))

    def test_events(self) -> None:
        """
        An event is a line of text, or a JSON object, without control characters.
        """
        event: dict[str, Any] = {
            "log_format": "{peer} said {what}", "log_namespace": "twisted_rpc.wire", "log_time": 0.0,
            "peer": "me", "what": "a\x1b[2J\nb", "number": 3, "infinite": float("inf"), "odd": object,
        }  # fmt: skip
        self.assertEqual(as_text(event).count("\n"), 1)
        self.assertNotIn("\x1b", as_text(event))
        shown = json.loads(as_json(event))
        self.assertEqual(
            (shown["logger"], shown["number"], shown["infinite"]),
            ("twisted_rpc.wire", 3, "inf"),
        )
        self.assertEqual(set(read_levels(["warn", "wire=debug"])), {"", "wire"})

    def test_figures(self) -> None:
        """
        Figures are shown to the last, as text, and as JSON under their names.
        """
        figures = Figures({f"errors.{number}_OF_MANY": number for number in range(60)})
        event = {"log_format": "{done}", "log_namespace": "twisted_rpc.server", "done": figures}  # fmt: skip
        self.assertIn("errors.0_OF_MANY 0, ", as_text(event))
        self.assertTrue(as_text(event).endswith("errors.59_OF_MANY 59\n"))
        self.assertEqual(json.loads(as_json(event))["done"], figures)


class ServingTests(TapTestCase):
    """
    A real C{twistd}, in a process of its own.
    """

    @contextmanager
    def serving(
        self, *words: str, reactor: str = "epoll"
    ) -> Iterator[tuple[Any, list[str]]]:
        """
        @return: the process, and its lines up to the one that says where.
        """
        process = subprocess.Popen(
            [
                sys.executable, "-c", "import sys; from twisted.scripts.twistd import run; run()",
                "-n", "--pidfile=", f"--reactor={reactor}", "rpc", "--idl", str(self.idl),
                "--app-dir", str(self.folder), "--impl", f"{self.module}.Good", *words,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        lines: list[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if "serving" in line:
                    break
            yield process, lines
        finally:
            process.kill()
            process.communicate()

    def port(self, lines: list[str]) -> int:
        """
        @return: what the line says that says where.
        """
        return int(lines[-1].rstrip().rpartition(":")[2].split()[0].rstrip('",}'))

    def asked(self, port: int, method: str, *params: int) -> socket.socket:
        """
        @return: a connection on which a call was sent.
        """
        body = json.dumps(
            {
                "request_id": method,
                "service": "A",
                "method": method,
                "params": params,
                "timestamp": time.time(),
            }
        ).encode()
        connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        connection.sendall(len(body).to_bytes(4, "big") + body)
        return connection

    def result(self, connection: socket.socket) -> Any:
        """
        @return: the result of the call.
        """
        with connection.makefile("rb") as answers:
            size = int.from_bytes(answers.read(4), "big")
            return json.loads(answers.read(size))["result"]

    def test_serves_and_drains(self) -> None:
        """
        It serves what it says, and a signal lets calls end before it does.
        """
        for reactor in ("epoll", "asyncio"):
            with self.serving(
                "--listen", "tcp:0:interface=127.0.0.1", reactor=reactor
            ) as (process, lines):
                self.assertIn("serving A (3 methods) on tcp:127.0.0.1:", lines[-1])
                port = self.port(lines)
                with self.asked(port, "g") as slow, self.asked(port, "f", 5) as quick:
                    self.assertEqual(self.result(quick), 5)
                    # So it has read the other one, too.
                    process.send_signal(signal.SIGTERM)
                    self.assertEqual(self.result(slow), 7)
                    self.assertEqual(slow.recv(1), b"")
                self.assertEqual(process.wait(20), -signal.SIGTERM)

    def test_port_taken(self) -> None:
        """
        A port that is taken is one line, and status 1.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with self.serving("--listen", f"tcp:{port}:interface=127.0.0.1") as (
                process,
                lines,
            ):
                self.assertEqual(process.wait(20), 1)
                text = "".join(lines)
                self.assertNotIn("Traceback", text)
                self.assertIn(str(port), text)

    def test_socket_taken(self) -> None:
        """
        So is a Unix socket that another process has, or that cannot be made.
        """
        with self.serving("--listen", "unix:rpc.sock") as (_, lines):
            self.assertIn("on unix:rpc.sock", lines[-1])
            for wanted, why in (
                ("rpc.sock", "another process listens there"),
                ("no/rpc.sock", "No such file or directory"),
            ):
                with self.serving("--listen", f"unix:{wanted}") as (process, said):
                    self.assertEqual(process.wait(20), 1)
                    self.assertTrue(
                        said[-1].endswith(f"cannot listen on {wanted}: {why}\n"), said
                    )

    def test_beyond_loopback(self) -> None:
        """
        Clear text that others can reach is warned about.
        """
        with self.serving("--listen", "tcp:0:interface=0.0.0.0") as (process, _):
            assert process.stdout is not None
            self.assertIn("#warn]", process.stdout.readline())

    def test_blocking_client(self) -> None:
        """
        A script calls it without a reactor of its own.
        """
        with self.serving(
            "--listen", "tcp:0:interface=127.0.0.1", "--log-level", "wire=debug"
        ) as (_, lines):
            script = (
                "from twisted_rpc import BlockingClient, load_idl\n"
                f"idl = load_idl({str(self.idl)!r})\n"
                f"with BlockingClient('tcp:127.0.0.1:{self.port(lines)}') as client:\n"
                "    a = client.proxy(idl.IA)\n"
                "    print(a.f(3), a.g(), client.health()['status'], list(client.reflect()['services']))\n"
                "    print(client, a)\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(
                done.stdout.startswith("3 7 SERVING ['A']\n<BlockingClient"),
                done.stdout,
            )
