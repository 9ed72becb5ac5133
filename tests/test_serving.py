"""
Tests for C{twistd rpc} as a process: in the background, on a port that is
taken, and asked twice to end.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from tests.test_tap import ROOT, TapTestCase
from twisted_rpc.twistd.listening import announce, is_exposed, why

_TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class ProcessTests(TapTestCase):
    """
    A real C{twistd}.
    """

    def twistd(
        self, own: list[str], *words: str, impl: str = "Good"
    ) -> subprocess.Popen[str]:
        """
        Start it.

        @param own: the options of C{twistd} itself.
        """
        process = subprocess.Popen(
            [
                *_TWISTD, *own, "rpc", "--idl", "a.idl",
                "--impl", f"{self.module}.{impl}", *words,
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def until(self, found: Any, what: str) -> Any:
        """
        Wait until C{found} returns something.
        """
        end = time.monotonic() + 20
        while not (result := found()):
            self.assertLess(time.monotonic(), end, f"{what}: nothing came")
            time.sleep(0.02)
        return result

    def ask(self, port: int, method: str, params: list[Any]) -> socket.socket:
        """
        Send a call of the plain profile.
        """
        asked = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.addCleanup(asked.close)
        message = {
            "request_id": "a", "service": "A", "method": method, "params": params,
            "timestamp": time.time(),
        }  # fmt: skip
        body = json.dumps(message).encode()
        asked.sendall(len(body).to_bytes(4, "big") + body)
        return asked

    def read(self, path: Path) -> str:
        """
        @return: what is in a file, C{""} as long as there is none.
        """
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def served(self, log: Path) -> int:
        """
        @return: the port, once the log has it.
        """
        text = self.until(
            lambda: [it for it in self.read(log).splitlines() if "serving A" in it],
            "the line that says where",
        )[0]
        return int(json.loads(text)["where"].rpartition(":")[2])

    def test_daemon(self) -> None:
        """
        In the background, in another directory: the log and the pid file are
        where they were named, each line of the log is a JSON object, frames are
        shown in it, and a signal ends it.
        """
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        process = self.twistd(
            ["--rundir=elsewhere", "--umask=077", "--pidfile=a.pid", "--logfile=a.log"],
            "--listen", "tcp:0:interface=127.0.0.1", "--listen", "unix:rpc.sock",
            "--log-format", "json", "--log-level", "wire=debug", "--app-dir", ".",
        )  # fmt: skip
        self.assertEqual(process.wait(20), 0, process.stderr)
        pid = int(self.until(lambda: self.read(self.folder / "a.pid"), "the pid file"))
        self.addCleanup(_end, pid)
        log = self.folder / "a.log"
        text = self.until(
            lambda: [it for it in self.read(log).splitlines() if "serving A" in it],
            "the line that says where",
        )[0]
        where, beside = json.loads(text)["where"].split(", ")
        self.assertEqual(beside, "unix:rpc.sock")
        self.assertTrue((elsewhere / "rpc.sock").exists())
        asked = self.ask(int(where.rpartition(":")[2]), "f", [77])
        self.assertIn(b'"result":77', asked.recv(4096))
        os.kill(pid, signal.SIGTERM)
        self.until(lambda: not (self.folder / "a.pid").exists(), "the end")
        events = [json.loads(line) for line in self.read(log).splitlines()]
        frames = [it["message"] for it in events if it["logger"] == "twisted_rpc.wire"]
        self.assertEqual(len(frames), 2)
        self.assertIn('"params": [77]', frames[0])
        self.assertEqual([it for it in events if it["level"] == "error"], [])

    def test_frozen(self) -> None:
        """
        What a server is made of is nothing that the garbage collector looks at.
        """
        with (self.folder / f"{self.module}.py").open("a", encoding="utf-8") as module:
            module.write(
                """
class Counting(Good):
    def f(self, a):
        import gc
        return len(gc.get_objects()) * 100 // gc.get_freeze_count()
"""
            )
        self.twistd(
            ["-n", "--pidfile=d.pid", "--logfile=d.log"],
            "--listen", "tcp:0:interface=127.0.0.1", "--log-format", "json",
            impl="Counting",
        )  # fmt: skip
        asked = self.ask(self.served(self.folder / "d.log"), "f", [0])
        percent = json.loads(asked.recv(4096)[4:])["result"]
        self.assertLess(percent, 10)

    def test_second_port_taken(self) -> None:
        """
        A daemon that cannot have one of its ports says so where it was started,
        with status 1, and leaves nothing behind.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            process = self.twistd(
                ["--pidfile=b.pid", "--logfile=b.log"],
                "--listen", "tcp:0:interface=127.0.0.1",
                "--listen", f"tcp:{port}:interface=127.0.0.1",
            )  # fmt: skip
            _, said = process.communicate(timeout=20)
        why = f"cannot listen on 127.0.0.1:{port}: Address already in use"
        self.assertEqual(process.returncode, 1)
        self.assertIn(why, said)
        # The daemon tells the one who started it before it writes it down.
        log = self.folder / "b.log"
        self.until(lambda: why in self.read(log), "the line that says why")
        self.assertNotIn("Traceback", said + self.read(log))
        self.assertFalse((self.folder / "b.pid").exists())

    def test_second_signal(self) -> None:
        """
        A second signal gives up what runs and ends at once, as twistd does after
        a clean shutdown: the pid file is gone, and the status is the signal.
        """
        process = self.twistd(
            ["-n", "--pidfile=c.pid", "--logfile=c.log"],
            "--listen", "tcp:0:interface=127.0.0.1", "--log-format", "json",
        )  # fmt: skip
        log = self.folder / "c.log"
        asked = self.ask(self.served(log), "h", [])
        self.until(lambda: "h has begun" in self.read(log), "the call")
        process.send_signal(signal.SIGINT)
        self.until(lambda: "SIGINT" in self.read(log), "the first signal")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(5), -signal.SIGINT)
        self.assertRaises(ConnectionResetError, asked.recv, 1)
        self.assertIn("asked a second time", self.read(log))
        self.assertFalse((self.folder / "c.pid").exists())


class WordsTests(TapTestCase):
    """
    What is said about where it listens, or cannot.
    """

    def test_exposed(self) -> None:
        """
        Clear text is warned about where other machines reach it.
        """
        for text, host, exposed in (
            ("tcp:1", IPv4Address("TCP", "0.0.0.0", 1), True),  # noqa: S104 - that is the question
            ("tcp:1", IPv4Address("TCP", "127.0.0.2", 1), False),
            ("haproxy:tcp:1", IPv4Address("TCP", "10.0.0.1", 1), True),
            ("haproxy:tls:1", IPv4Address("TCP", "10.0.0.1", 1), False),
            ("tls:1", IPv4Address("TCP", "10.0.0.1", 1), False),
            ("unix:x", UNIXAddress(b"x"), False),
        ):
            self.assertEqual(is_exposed(text, host), exposed, text)

    def test_announced(self) -> None:
        """
        The line that says where something is served says where TLS is spoken.
        """

        class Port:
            def getHost(self) -> Any:
                return IPv4Address("TCP", "127.0.0.1", 5000)

        ports: Any = [Port(), Port()]
        with capturedLogs() as logged:
            announce("Calc", ["tcp:5000", "tls:5000"], ports)
        self.assertEqual(
            [formatEvent(event) for event in logged],
            ["serving Calc on tcp:127.0.0.1:5000, tcp:127.0.0.1:5000 (TLS)"],
        )

    def test_why(self) -> None:
        """
        A failure to listen names what could not be had.
        """
        for error, said in (
            (
                CannotListenError("", 80, OSError(13, "Permission denied")),
                "cannot listen on *:80: Permission denied",
            ),
            (
                FileNotFoundError(
                    2, "No such file or directory", "1", None, b"/no/x.lock"
                ),
                "cannot listen on /no/x: No such file or directory",
            ),
            (
                CannotListenError(
                    None, "/run/x", OSError(98, "Address already in use")
                ),
                "cannot listen on /run/x: Address already in use",
            ),
            (ValueError("odd"), "cannot listen: odd"),
        ):
            self.assertEqual(why(Failure(error)), said)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
