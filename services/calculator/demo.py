# -*- test-case-name: tests.services.test_calculator -*-
"""
The calculator's server and client, each a process of its own::

    python -m services.calculator.demo

The server is C{twistd rpc} on a free port.  What both print is shown, line by
line, after the name of who printed it.  The exit status is the client's, or 1
if the server did not start; the server is stopped in every case.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Final

ROOT: Final = Path(__file__).parent.parent.parent

#: C{twistd}, of this very interpreter, wherever its script is installed.
TWISTD: Final = (
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()",
)
SERVE: Final = (
    *("-n", "--pidfile="),
    *("rpc", "--app-dir", str(ROOT)),
    *("--idl", str(Path(__file__).with_name("calculator.idl"))),
    *("--impl", "services.calculator.Calc"),
    *("--listen", "tcp:0:interface=127.0.0.1"),
)

#: Where the server's log says that it listens.
LISTENING: Final = re.compile(r"tcp:127\.0\.0\.1:(\d+)|starting on (\d+)")

#: Seconds: until the server listens, and until it has stopped after SIGTERM.
#: It drains for 25 at most.
START: Final = 30.0
STOP: Final = 30.0


def show(who: str, lines: IO[str], found: Queue[str | None] | None = None) -> None:
    """
    Print C{lines} as they come, and put them into C{found} too; C{None} is the
    end.
    """
    for line in lines:
        print(f"{who} | {line.rstrip()}", flush=True)
        if found is not None:
            found.put(line)
    if found is not None:
        found.put(None)


def port_of(found: Queue[str | None]) -> int:
    """
    The port that the server's log names.

    @raise RuntimeError: the server has ended, or has not listened in time.
    """
    try:
        while (line := found.get(timeout=START)) is not None:
            if match := LISTENING.search(line):
                return int(match[1] or match[2])
    except Empty:
        raise RuntimeError(f"the server did not listen within {START:g} s") from None
    raise RuntimeError("the server did not start")


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """
    Run a program for as long as the block lasts.
    """
    process = subprocess.Popen(  # noqa: S603 - our own arguments
        arguments,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Its own session: a Ctrl-C is for us, and we stop it in order.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """
    Ask C{process} to end, if it has not, and end it if it does not.
    """
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def server() -> Iterator[int]:
    """
    Run the server for as long as the block lasts; yields its port.
    """
    found: Queue[str | None] = Queue()
    with running(*TWISTD, *SERVE) as process:
        printing = Thread(target=show, args=("server", process.stdout, found))
        printing.start()
        try:
            yield port_of(found)
        finally:
            stop(process)
            printing.join()


def client(port: int) -> int:
    """
    Run the client against C{port} to its end.

    @return: its exit status.
    """
    program = (sys.executable, "-m", "services.calculator.client")
    with running(*program, f"tcp:127.0.0.1:{port}") as process:
        assert process.stdout is not None
        show("client", process.stdout)
        return process.wait()


def main() -> int:
    """
    Run both.

    @return: the exit status.
    """
    # As Ctrl-C: through the blocks that clean up, and out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with server() as port:
            return client(port)
    except RuntimeError as error:
        print(f"demo   | {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
