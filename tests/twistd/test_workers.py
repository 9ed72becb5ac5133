"""
Tests for C{twistd rpc --workers}, as processes.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.python import usage

from tests.test_tap import ROOT, TapTestCase
from twisted_rpc._tap import Options

#: What the workers of these tests serve: who they are, and something slow.
MODULE = """
import os, time
from twisted_rpc import threaded

class Good:
    def f(self, a):
        return os.getpid()

    @threaded
    def g(self):
        time.sleep(0.5)
        return 7
"""


class OptionsTests(TapTestCase):
    """
    What is said of --workers.
    """

    def test_unshared(self) -> None:
        """
        Several processes do not go with a store of one, unless callers without a
        session are refused; that is explained.
        """
        said = self.complaint("--workers", "2")
        for text in ("the memory store belongs to one process", "--require-session"):
            self.assertIn(text, said)
        self.assertEqual(
            self.options("--workers", "2", "--require-session")["workers"], 2
        )
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        words = ("--workers", "2", "--require-session", "--check")
        self.assertRaises(SystemExit, self.options, *words)
        self.assertIn("workers 2 processes", out.getvalue())
        self.assertIn("whole number of 1 or more", self.complaint("--workers", "0"))

    def test_chroot(self) -> None:
        """
        In a chroot no other process can be started.
        """
        options = Options()
        options.parent = {"chroot": "/"}  # type: ignore[assignment]
        options.update({"workers": 2, "require-session": 1})
        error = self.assertRaises(usage.UsageError, options._check_workers)
        self.assertIn("--chroot", str(error))


class WorkersTests(TapTestCase):
    """
    A real supervisor of real workers.
    """

    def setUp(self) -> None:
        super().setUp()
        (self.folder / f"{self.module}.py").write_text(MODULE, encoding="utf-8")
        self.idl.write_text("service A { int f(int a); int g() }", encoding="utf-8")
        # The path of a socket is short, and those of trial's folders are not.
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "rpc.sock"
        self.log = self.folder / "log"

    def start(self, *own: str) -> subprocess.Popen[bytes]:
        """
        Start a supervisor of two workers.

        @param own: options of C{twistd}.
        """
        with self.log.open("wb") as out:
            process = subprocess.Popen(
                [
                    sys.executable, "-c", "from twisted.scripts.twistd import run; run()",
                    *own, "rpc", "--idl", "a.idl", "--impl", f"{self.module}.Good",
                    "--workers", "2", "--require-session", "--log-format", "json",
                    "--listen", "tcp:0:interface=127.0.0.1", "--listen", f"unix:{self.path}",
                ],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def foreground(self) -> subprocess.Popen[bytes]:
        """
        Start one in the foreground, and wait until its workers serve.
        """
        process = self.start("-n", "--pidfile=")
        self.serving()
        return process

    def serving(self) -> None:
        """
        Wait until both workers serve, and see where.
        """
        where = self.until(r"serving A \(2 methods\) with 2 workers on tcp:\S+:(\d+),")
        self.port = int(where[1])

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """
        Wait until the log has something, so many times.

        @return: the last of them.
        """
        end = time.monotonic() + 30
        while True:
            text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
            found = list(re.finditer(pattern, text))
            if len(found) >= times:
                return found[-1]
            self.assertLess(time.monotonic(), end, f"{pattern} is not in {text}")
            time.sleep(0.02)

    def connect(self, *, tcp: bool) -> socket.socket:
        """
        @return: a connection that has said hello.
        """
        if tcp:
            made = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        else:
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(20)
            made.connect(str(self.path))
        self.addCleanup(made.close)
        welcome = self.ask(made, "$hello", "$rpc", "hello", [{"versions": [1]}])
        self.session = welcome["session"]
        return made

    def ask(self, sock: socket.socket, *words: Any) -> Any:
        """
        @return: the result of a call.
        """
        self.send(sock, *words)
        return self.answer(sock)

    def send(
        self,
        sock: socket.socket,
        request_id: str,
        service: str,
        method: str,
        params: Any,
    ) -> None:
        """
        Send a call.
        """
        body = json.dumps(
            {
                "request_id": request_id, "service": service, "method": method,
                "params": params, "timestamp": time.time(),
            }
        ).encode()  # fmt: skip
        sock.sendall(len(body).to_bytes(4, "big") + body)

    def answer(self, sock: socket.socket) -> Any:
        """
        @return: the result in the next reply.
        """
        data = b""
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            more = sock.recv(65536)
            self.assertTrue(more, "the connection was closed")
            data += more
        reply = json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])
        self.assertIsNone(reply["error"])
        return reply["result"]

    def whoever(self, *, tcp: bool) -> int:
        """
        @return: the process that answers a call.
        """
        sock = self.connect(tcp=tcp)
        pid: int = self.ask(sock, f"{self.session}:1", "A", "f", [1])
        sock.close()
        return pid

    def workers(self) -> dict[int, int]:
        """
        @return: the processes of the workers, as the log has them last.
        """
        text = self.log.read_text(encoding="utf-8")
        found = re.findall(r"worker (\d) serves, pid (\d+)", text)
        return {int(index): int(pid) for index, pid in found}

    def test_life(self) -> None:
        """
        Both serve on all sockets, until one is killed: the other goes on, and it is
        replaced.  Figures are told when they are asked for.  All drain together:
        calls in progress are answered.
        """
        process = self.foreground()
        pids = set(self.workers().values())
        answered: set[int] = set()
        # Connections that come together are shared out.
        burst = []
        for _ in range(20):
            sock = self.connect(tcp=True)
            burst.append((sock, self.session))
        served = Counter(
            self.ask(sock, f"{session}:1", "A", "f", [1]) for sock, session in burst
        )
        self.assertEqual(set(served), pids)
        self.assertGreater(min(served.values()), 4)
        for sock, _ in burst:
            sock.close()
        while answered != pids:
            answered.add(self.whoever(tcp=False))
        killed = self.workers()[1]
        os.kill(killed, signal.SIGKILL)
        self.until(rf"worker 1, pid {killed}, has ended: signal 9; another is started")
        self.assertEqual(self.whoever(tcp=False), self.workers()[2])
        self.until("worker 1 serves", times=2)
        self.assertNotEqual(self.workers()[1], killed)
        socks = [self.connect(tcp=True) for _ in range(5)]
        process.send_signal(signal.SIGUSR2)
        self.until("in all: connections .*now: workers 2, connections_open")
        self.send(socks[-1], f"{self.session}:1", "A", "g", [])
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        # Those who wait for nothing close when they are told to.
        for sock in socks[:-1]:
            self.assertEqual(self.answer(sock)["reason"], "drain")
            sock.close()
        self.assertEqual(self.answer(socks[-1])["reason"], "drain")
        self.assertEqual(self.answer(socks[-1]), 7)
        socks[-1].close()
        self.assertEqual(process.wait(20), -signal.SIGTERM)
        self.assertFalse(self.path.exists())
        self.ended()
        events = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.assertEqual({each.get("worker", 0) for each in events}, {0, 1, 2})

    def ended(self) -> None:
        """
        No worker is left.
        """
        for pid in self.workers().values():
            end = time.monotonic() + 20
            while Path(f"/proc/{pid}").exists():
                self.assertLess(time.monotonic(), end, "a worker is left")
                time.sleep(0.02)

    def test_second_signal(self) -> None:
        """
        A second signal ends all of them at once, whatever runs.
        """
        process = self.foreground()
        sock = self.connect(tcp=True)
        self.send(sock, f"{self.session}:1", "A", "g", [])
        process.send_signal(signal.SIGINT)
        self.until("Received SIGINT")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), -signal.SIGINT)
        self.ended()

    def test_killed(self) -> None:
        """
        When the supervisor is killed, its workers drain by themselves and let go of
        the sockets, so that another can be started.
        """
        process = self.foreground()
        process.kill()
        self.ended()

    def test_daemon(self) -> None:
        """
        In the background and on asyncio's reactor it is the same; when the
        supervisor is killed its workers drain by themselves.
        """
        started = self.start("--reactor=asyncio", "--pidfile=d.pid", "--logfile=d.log")
        self.assertEqual(started.wait(20), 0)
        self.log = self.folder / "d.log"
        self.serving()
        self.assertIn(self.whoever(tcp=False), self.workers().values())
        self.until("AsyncioSelectorReactor", times=3)
        os.kill(int((self.folder / "d.pid").read_text()), signal.SIGKILL)
        self.ended()
