"""
Servers that are made to be killed: C{python -m tests.proofs.banker} reads lines
C{PORT NODE STORE} and starts a process for each, which it has forked so that it
need not be loaded anew, and prints its number.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from twisted_rpc import Registry, Server, current_call, load_idl
from twisted_rpc.stores import named_store

IDL: Final = load_idl(Path(__file__).with_name("transfers.idl"))


class Transfers:
    """
    The implementation.
    """

    def __init__(self, mark: str) -> None:
        """
        @param mark: what stands for an argument in a statement.
        """
        # ruff: noqa: S608 - nothing but the mark is filled in
        take = "UPDATE accounts SET balance = balance - {0} WHERE id = {0}"
        self._take = take.format(mark)
        self._note = f"INSERT INTO moves VALUES ({', '.join([mark] * 5)})"
        self._left = f"SELECT balance FROM accounts WHERE id = {mark}"

    def move(self, number: int, source: int, target: int, amount: int) -> int:
        database: Any = current_call().transaction
        cursor = database.cursor()
        # In the order of the accounts, so that two never wait for each other.
        for account, change in sorted(((source, amount), (target, -amount))):
            cursor.execute(self._take, (change, account))
        cursor.execute(self._left, (source,))
        (left,) = cursor.fetchone()
        cursor.execute(self._note, (number, source, target, amount, left))
        return int(left)

    def process(self) -> int:
        return os.getpid()


def serve(port: int, node: str, store: str) -> None:
    """
    Serve until the end.
    """
    from twisted.internet import reactor as installed  # noqa: PLC0415 - one for each process

    reactor: Any = installed
    registry = Registry()
    registry.register(IDL.ITransfers, Transfers("?" if "sqlite" in store else "%s"))
    server = Server(
        registry,
        listen=[f"tcp:{port}:interface=127.0.0.1"],
        reactor=reactor,
        dedup=named_store(store, node=node),
    )

    def begin() -> None:
        server.startService()
        listening: Any = server.listening
        # As twistd does: what cannot listen ends, and whoever looks after it
        # starts it again.
        listening.addErrback(lambda failure: os._exit(1))

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    reactor.run()


def main() -> None:
    """
    Start a process for each line.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        port, node, store = line.split(maxsplit=2)
        pid = os.fork()
        if not pid:
            sys.stdin.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(int(port), node, store.strip())
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
