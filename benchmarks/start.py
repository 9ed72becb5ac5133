# -*- test-case-name: tests.benchmarks.test_start -*-
"""
How long it takes to start: C{twistd rpc} to its first answer, and the imports.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from struct import pack
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep, time
from typing import Final

from benchmarks.pair import ROOT, Failed
from benchmarks.report import Spread, shown, table
from benchmarks.twistd import TWISTD as _TWISTD

ROUNDS: Final = 7

#: Seconds after which a server that has not answered has failed.
PATIENCE: Final = 60.0

_IMPORTS: Final = {
    "`import twisted_rpc`": "import twisted_rpc",
    "`from twisted_rpc import Client, load_idl`": (
        "from twisted_rpc import Client, load_idl"
    ),
    "`from twisted_rpc import Registry, Server, load_idl`": (
        "from twisted_rpc import Registry, Server, load_idl"
    ),
}

_TIMED: Final = (
    "from time import perf_counter\n"
    "from twisted.internet import reactor\n"
    "began = perf_counter()\n"
    "{}\n"
    "print(perf_counter() - began)"
)


def imported(statement: str) -> float:
    """
    @return: seconds that C{statement} takes in a new process that has imported
        Twisted's reactor.
    """
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def _call() -> bytes:
    # Dated after the server began: what is older may have run before that.
    message = {
        "request_id": "1",
        "service": "Calculator",
        "method": "add",
        "params": [5, 3],
        "timestamp": time(),
    }
    body = json.dumps(message).encode()
    return pack("!I", len(body)) + body


def _answer(port: int) -> bytes | None:
    """
    @return: what a server answers, or C{None} while nobody listens.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_call())
            return connection.recv(65536)[4:]
    except ConnectionError:
        return None


def served() -> float:
    """
    @return: seconds from starting C{twistd rpc} to the first answer.

    @raise Failed: there is none, or a wrong one.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with TemporaryDirectory() as folder:
        command = [
            sys.executable, "-c", _TWISTD, "-n",
            f"--pidfile={Path(folder) / 'pid'}", f"--logfile={Path(folder) / 'log'}",
            "rpc", "--idl", "services/calculator/calculator.idl",
            "--impl", "services.calculator.Calc",
            "--listen", f"tcp:{port}:interface=127.0.0.1",
        ]  # fmt: skip
        began = perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
            try:
                text = _first(process, port)
                seconds = perf_counter() - began
            finally:
                process.send_signal(signal.SIGKILL)
    if json.loads(text)["result"] != 8:
        raise Failed(f"answered {text!r:.80}")
    return seconds


def _first(process: subprocess.Popen[bytes], port: int) -> bytes:
    until = monotonic() + PATIENCE
    while monotonic() < until and process.poll() is None:
        text = _answer(port)
        if text is not None:
            return text
        sleep(0.005)
    raise Failed("twistd rpc did not answer")


def rows(rounds: int = ROUNDS) -> list[tuple[str, Spread | None]]:
    """
    @return: milliseconds of each, by what it is.
    """
    measures: dict[str, Callable[[], float]] = {
        "`twistd rpc` to its first answer": served,
        **{
            title: partial(imported, statement) for title, statement in _IMPORTS.items()
        },
    }
    # The first finds nothing in the kernel's cache, nor compiled.
    for measure in measures.values():
        measure()
    return [
        (title, Spread.of(measure() * 1e3 for _ in range(rounds)))
        for title, measure in measures.items()
    ]


def markdown(found: list[tuple[str, Spread | None]]) -> str:
    """
    @return: the table of L{rows}.
    """
    lines = ["## Start", "", "Wall time; imports beyond Twisted's reactor.", ""]
    lines += table(["", "ms"], [[title, shown(spread)] for title, spread in found])
    return "\n".join(lines) + "\n"
