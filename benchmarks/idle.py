# -*- test-case-name: tests.benchmarks.test_idle -*-
"""
What connections cost that say nothing: memory, and CPU.

A server in a process of its own gets thousands of connections, each of which
says hello (to a bare server: makes one call) and nothing else.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack
from threading import Thread
from time import perf_counter, process_time, sleep
from typing import Any, Final

from benchmarks.endpoint import say
from benchmarks.pair import End
from benchmarks.peers import peer
from benchmarks.report import figure, table
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.wire.limits import Limits

#: Connections that are open when memory is first looked at, and then.
FIRST: Final = 200
COUNTS: Final = (1_000, 10_000)
#: Seconds until what connecting left behind is done.
SETTLE: Final = 0.5

#: Seconds of idleness in which CPU is counted.
IDLE: Final = 2.0


def framed(message: dict[str, Any]) -> bytes:
    """
    @return: a message as a frame.
    """
    body = json.dumps(message).encode()
    return pack("!I", len(body)) + body


#: What a connection says before it is idle.
FIRST_WORDS: Final = {
    "bare msgspec": framed(
        {
            "request_id": "1",
            "service": "Benchmark",
            "method": "add",
            "params": [5, 3],
            "timestamp": 1.0,
        }
    ),
    "twisted_rpc": framed(
        {
            "request_id": "$hello",
            "method": "hello",
            "params": [{"versions": [1]}],
            "timestamp": 1.0,
            "service": "$rpc",
        }
    ),
}


def resident() -> int:
    """
    @return: bytes of memory this process has.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def raise_limit() -> None:
    """
    Allow as many descriptors as may be.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _answer() -> None:
    for _ in sys.stdin:
        gc.collect()
        say(memory=resident(), cpu=process_time())
    os._exit(0)


def serve(name: str) -> None:
    """
    Serve, and say how much memory and CPU was used whenever the parent asks.
    """
    raise_limit()
    Thread(target=_answer, daemon=True).start()
    module: Any = peer(name)
    if name == "twisted_rpc":
        many = 2 * max(COUNTS)
        limits = Limits(max_connections=many, max_connections_per_address=many)
        store = MemoryStore(sessions=many)
        module.serve(lambda port: say(port=port), limits, store)
    else:
        module.serve(lambda port: say(port=port))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the server closed the connection")
        data += piece
    return data


def _open(port: int, words: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(words)
    (size,) = unpack("!I", _receive(connection, 4))
    answer = json.loads(_receive(connection, size))
    if answer["error"] is not None:
        raise ConnectionError(answer["error"])
    return connection


def measure(name: str) -> Iterator[list[str]]:
    """
    @return: a row for each of L{COUNTS}: bytes a connection, how long another
        takes to be made, and the CPU of a second in which nothing happens.
    """
    with End("benchmarks.idle", role="serve", peer=name) as server:
        port = server.hear()["port"]
        words = FIRST_WORDS[name]
        connections: list[socket.socket] = []

        def fill(count: int) -> None:
            while len(connections) < count:
                connections.append(_open(port, words))

        def ask() -> dict[str, Any]:
            server.say("memory")
            return server.hear()

        try:
            fill(FIRST)
            sleep(SETTLE)
            before = ask()["memory"]
            for count in COUNTS:
                fill(count)
                sleep(SETTLE)
                memory = ask()["memory"]
                began = perf_counter()
                _open(port, words).close()
                another = perf_counter() - began
                start = ask()["cpu"]
                sleep(IDLE)
                cpu = (ask()["cpu"] - start) / IDLE
                each = (memory - before) / (count - FIRST)
                yield [
                    name,
                    f"{count:,}",
                    figure(each),
                    figure(another * 1e3),
                    f"{cpu * 100:.2f} %",
                ]
        finally:
            for connection in connections:
                connection.close()


def rows() -> list[list[str]]:
    """
    @return: the rows of all peers; one that fails is a row with the reason.
    """
    raise_limit()
    found: list[list[str]] = []
    for name in FIRST_WORDS:
        try:
            found += measure(name)
        except OSError as error:
            found.append([name, str(error), "-", "-", "-"])
    return found


def markdown(found: list[list[str]]) -> str:
    """
    @return: the table of L{rows}.
    """
    titles = [
        "peer",
        "idle connections",
        "bytes of server memory each",
        "one more, ms",
        "CPU while nothing happens",
    ]
    note = (
        "Resident memory of the server's process beyond what it has with"
        f" {FIRST} connections, after a collection."
    )
    return (
        "\n".join(["## Idle connections", "", note, "", *table(titles, found)]) + "\n"
    )


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    serve(order["peer"])
