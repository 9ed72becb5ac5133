"""
Real servers, started by the tests that need them, once in each process of trial.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

#: Seconds that a server may take to start.
PATIENCE = 30.0


def free_port() -> int:
    """
    A port of this machine that nobody listens on.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _unprivileged(*names: str) -> dict[str, Any]:
    """
    How to start a process as somebody else than root, if this one is root.
    """
    if os.geteuid():
        return {}
    for name in (*names, "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise SkipTest("there is no user but root to run a server as")


class Postgres:
    """
    A PostgreSQL server with a database of its own.

    @ivar url: without a database.
    """

    def __init__(self, *settings: str) -> None:
        """
        @param settings: e.g. C{"fsync=off"}.
        """
        programs = _postgres_programs()
        self._as = _unprivileged("postgres")
        self.folder = Path(tempfile.mkdtemp(prefix="rpc-postgres-"))
        self._postgres = programs / "postgres"
        self._settings = settings
        self.port = free_port()
        self.url = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        if "user" in self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        options = ["-A", "trust", "-U", "tester", "--no-sync", "-E", "UTF8"]
        subprocess.run(
            [programs / "initdb", *options, "--locale=C", "-D", self.folder / "data"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self._as,
        )
        self.start()

    def start(self) -> None:
        """
        Start, again, and wait until it answers.
        """
        words = [str(self._postgres), "-D", f"{self.folder}/data", "-p", f"{self.port}"]
        words += ["-k", str(self.folder), "-h", "127.0.0.1"]
        for setting in ("max_connections=200", *self._settings):
            words += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                words, stdout=log, stderr=log, cwd=self.folder, **self._as
            )
        self._process = process
        _wait_until(self._answers, process)

    def _answers(self) -> bool:
        import psycopg  # noqa: PLC0415 - not where there is none

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """
        End at once.
        """
        if self._process is not None:
            # Immediate shutdown: as a crash, for all clients know.
            self._process.send_signal(3)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """
        End, and leave nothing.
        """
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def schema(self) -> str:
        """
        The URL of a schema of its own, empty.
        """
        import psycopg  # noqa: PLC0415 - not where there is none

        self._schemas = getattr(self, "_schemas", 0) + 1
        name = f"t{self._schemas}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}?options=-csearch_path%3D{name}"


def _postgres_programs() -> Path:
    try:
        import psycopg  # noqa: F401, PLC0415 - whether it is there
    except ImportError:
        raise SkipTest(
            "psycopg is not installed: pip install -e '.[postgres]'"
        ) from None
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    if found is not None:
        folders.append(Path(found).parent)
    for folder in reversed(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise SkipTest("there is no PostgreSQL server: apt-get install postgresql")


@cache
def _postgres() -> Postgres:
    # fsync: what is tested here does not cut the power.
    server = Postgres("fsync=off")
    atexit.register(server.remove)
    return server


def postgres() -> Postgres:
    """
    The PostgreSQL server of this process.

    @raise SkipTest: there is none to be had.
    """
    return _postgres()


def _wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} did not start")
        time.sleep(0.05)


class Redis:
    """
    A Redis server with a database of its own.
    """

    def __init__(self, *settings: str) -> None:
        """
        @param settings: options of the command line.
        """
        try:
            import txredisapi  # noqa: F401, PLC0415 - whether it is there
        except ImportError:
            raise SkipTest(
                "txredisapi is not installed: pip install -e '.[redis]'"
            ) from None
        program = shutil.which("redis-server")
        if program is None:
            raise SkipTest("there is no redis-server: apt-get install redis-server")
        self._program = program
        self._as = _unprivileged("redis")
        self.folder = Path(tempfile.mkdtemp(prefix="rpc-redis-"))
        if "user" in self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._settings = settings
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._prefixes = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """
        Start, again, and wait until it answers.
        """
        words = [self._program, "--port", f"{self.port}", "--bind", "127.0.0.1"]
        words += ["--dir", str(self.folder), "--save", "", *self._settings]
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                words, stdout=log, stderr=log, cwd=self.folder, **self._as
            )
        self._process = process
        _wait_until(self._answers, process)

    def ask(self, *words: str) -> bytes:
        """
        Ask it something, and return the beginning of what it says.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sent:
            sent.sendall(" ".join(words).encode() + b"\r\n")
            return sent.recv(1000)

    def _answers(self) -> bool:
        try:
            return self.ask("PING").startswith(b"+PONG")
        except OSError:
            return False

    def pause(self) -> None:
        """
        Let it hang.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """
        Let it go on.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def prefix(self) -> str:
        """
        One that no other test has.
        """
        self._prefixes += 1
        return f"t{self._prefixes}:"

    def kill(self) -> None:
        """
        End at once.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """
        End, and leave nothing.
        """
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def redis() -> Redis:
    """
    The Redis server of this process, which writes what it is told before it
    answers.

    @raise SkipTest: there is none to be had.
    """
    server = Redis("--appendonly", "yes", "--appendfsync", "always")
    atexit.register(server.remove)
    return server
