# -*- test-case-name: tests.benchmarks.test_cores -*-
"""
What more processes of one server are worth: calls a second of C{twistd rpc
--workers}, asked by a client in C that costs a twentieth of the server::

    python -m benchmarks.cores
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.report import Spread, shown
from benchmarks.twistd import listening

SOURCE: Final = Path(__file__).with_name("load.c")
IDL: Final = Path(__file__).parent / "peers" / "benchmark.idl"

#: So many connections, so many calls in flight on each: no worker waits.
CONNECTIONS: Final = 50
INFLIGHT: Final = 16


class UnavailableError(Exception):
    """
    It cannot be measured here; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Window:
    """
    What the client has measured.

    @ivar calls: that were answered.
    @ivar seconds: in which they were.
    @ivar cpu: seconds of CPU of the client itself.
    """

    calls: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def load(self) -> float:
        """The part of one core that the client took."""
        return self.cpu / self.seconds


def compiler() -> str:
    """
    @raise UnavailableError: there is none.
    """
    if not sys.platform.startswith("linux"):
        raise UnavailableError("the client needs Linux's epoll")
    found = shutil.which(os.environ.get("CC") or "cc")
    if found is None:
        raise UnavailableError("there is no C compiler; apt-get install gcc libc6-dev")
    return found


def build(folder: Path, source: Path = SOURCE) -> Path:
    """
    @return: the client, or another program, compiled into C{folder}.
    """
    program = folder / source.stem
    command = [compiler(), "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise UnavailableError(f"{source.name} does not compile: {done.stderr.strip()}")
    return program


def serving(workers: int) -> AbstractContextManager[int]:
    """
    Serve with so many processes for as long as the block lasts; yields the port.
    """
    return listening(
        f"the server with {workers} workers",
        *("--idl", str(IDL), "--impl", "benchmarks.peers.framework.Benchmark"),
        *("--workers", str(workers), "--require-session"),
    )


def window(
    program: Path,
    port: int,
    *,
    connections: int = CONNECTIONS,
    warm: float = 0.3,
    seconds: float = 1.0,
) -> Window:
    """
    Measure once.
    """
    words = ["127.0.0.1", port, connections, INFLIGHT, warm, seconds]
    done = subprocess.run(
        [program, *map(str, words)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60 + 2 * seconds,
    )
    return Window(**json.loads(done.stdout))


def compare(
    counts: Sequence[int],
    rounds: int,
    seconds: float = 1.0,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[int, list[Window]]:
    """
    Measure servers of so many workers in turns.  All of them run all the time:
    those that are not asked cost nothing.

    @raise UnavailableError: it cannot be measured here.
    """
    found: dict[int, list[Window]] = {count: [] for count in counts}
    with ExitStack() as stack:
        program = build(Path(stack.enter_context(TemporaryDirectory())))
        ports = {count: stack.enter_context(serving(count)) for count in counts}
        for turn in range(rounds):
            progress(f"cores, round {turn + 1} of {rounds}")
            for count in (*counts[turn % 2 :], *counts[: turn % 2]):
                found[count].append(window(program, ports[count], seconds=seconds))
    return found


def markdown(found: Mapping[int, Sequence[Window]]) -> str:
    """
    A table; the ratio is that of windows of one round.
    """
    base = found[min(found)]
    lines = [
        "",
        "## More processes of one server",
        "",
        (
            f"`add`, {INFLIGHT} in flight on each of {CONNECTIONS} connections,"
            f" nothing pinned; {os.cpu_count()} cores. The client is `load.c`."
        ),
        "",
        "| workers | calls/s | to one worker | client, of one core |",
        "|---|---|---|---|",
    ]
    for count, windows in found.items():
        ratio = Spread.of(
            mine.rate / one.rate for mine, one in zip(windows, base, strict=True)
        )
        rate = Spread.of(each.rate for each in windows)
        load = Spread.of(each.load for each in windows)
        lines.append(f"| {count} | {shown(rate)} | {shown(ratio)} | {shown(load)} |")
    return "\n".join(lines) + "\n"


def table(rounds: int, progress: Callable[[str], None]) -> tuple[str, Any]:
    """
    @return: the table, or the reason why there is none; and each window.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores < 2:
        return "\nMore processes: not measured, there is one core.\n", None
    try:
        found = compare((1, 2), rounds, progress=progress)
    except UnavailableError as error:
        return f"\nMore processes: not measured, {error}.\n", None
    return markdown(found), {
        count: [
            {"calls": each.calls, "seconds": each.seconds, "cpu": each.cpu}
            for each in windows
        ]
        for count, windows in found.items()
    }


def main() -> None:
    """
    Measure, and print.
    """
    text, _ = table(9, lambda line: print(line, file=sys.stderr, flush=True))
    print(text)


if __name__ == "__main__":
    main()
