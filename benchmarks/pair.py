# -*- test-case-name: tests.benchmarks.test_pair -*-
"""
One measurement: a server and a client, two processes, each on its core.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.load import Load

ROOT: Final = Path(__file__).resolve().parent.parent

#: Seconds beyond warm-up and window, after which a pair is ended as hung.
PATIENCE: Final = 30.0


class Failed(Exception):
    """
    There is nothing to measure; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What one measurement found.

    @ivar calls: calls in the window.
    @ivar rate: calls a second.
    @ivar server: microseconds of CPU a call, user and system, of the server.
    @ivar client: the same of the client.
    """

    calls: int
    rate: float
    server: float
    client: float


class End:
    """
    The process of one end.
    """

    def __init__(self, module: str = "benchmarks.endpoint", **order: Any) -> None:
        """
        @param module: what is run.
        @param order: what it is told to do.
        """
        self._errors = TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def kill(self) -> None:
        """
        End it now; who listens hears that it ended.
        """
        self._process.kill()

    def hear(self) -> dict[str, Any]:
        """
        @return: its next message.

        @raise Failed: it could not do what it should, or is dead.
        """
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise Failed(self._last_words())
        message: dict[str, Any] = json.loads(line)
        if "failed" in message:
            raise Failed(message["failed"])
        return message

    def say(self, line: str) -> None:
        """
        Give it a line.
        """
        stream = self._process.stdin
        stream.write(line + "\n")  # type: ignore[union-attr]
        stream.flush()  # type: ignore[union-attr]

    def cpu(self) -> float:
        """
        @return: the seconds of CPU that a server has used so far.
        """
        self.say("cpu")
        return float(self.hear()["cpu"])

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else f"no answer within {PATIENCE:.0f} s"


def measure(peer: str, load: Load, cores: tuple[int | None, int | None]) -> Sample:
    """
    Run C{load} against a fresh server of C{peer}.

    @param cores: of the server and of the client.

    @raise Failed: the peer is not there, cannot do it, or hangs.
    """
    with End(role="serve", peer=peer, core=cores[0]) as server:
        port = server.hear()["port"]
        order = {"port": port, "load": asdict(load), "core": cores[1]}
        with End(role="drive", peer=peer, **order) as client:
            watchdog = Timer(PATIENCE + load.warm + load.seconds, client.kill)
            watchdog.start()
            try:
                return _window(server, client)
            finally:
                watchdog.cancel()


def _window(server: End, client: End) -> Sample:
    client.hear()
    before = server.cpu()
    client.say("go")
    found = client.hear()
    used = server.cpu() - before
    calls = found["calls"]
    return Sample(
        calls=calls,
        rate=calls / found["seconds"],
        server=used / calls * 1e6,
        client=found["cpu"] / calls * 1e6,
    )
