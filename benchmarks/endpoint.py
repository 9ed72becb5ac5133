"""
One end of a measurement: the process of a server or of a client, on its core.

It speaks with L{benchmarks.pair} in lines of JSON on its standard streams, and
ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from threading import Thread
from time import process_time
from typing import Any

from benchmarks.load import Load
from benchmarks.peers import peer


def pin(core: int | None) -> None:
    """
    Run on C{core} alone from now on, or, with C{None}, wherever there is room.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})


def say(**message: Any) -> None:
    """
    Tell the parent.
    """
    print(json.dumps(message), flush=True)


def _answer() -> None:
    """
    Say how much CPU the process has used, whenever the parent asks.

    It is a thread, because peers run loops of their own; while it waits it
    costs nothing.
    """
    for _ in sys.stdin:
        say(cpu=process_time())
    os._exit(0)


def serve(name: str) -> None:
    """
    Serve until the parent closes the pipe.
    """
    module = peer(name)
    Thread(target=_answer, daemon=True).start()
    module.serve(lambda port: say(port=port))


def drive(name: str, port: int, load: Load) -> None:
    """
    Measure, and say what was found.
    """

    def start() -> None:
        say(warm=True)
        sys.stdin.readline()

    found = peer(name).drive(load, port, start)
    say(**found.as_message())


def main() -> None:
    """
    Do what the only argument says, in JSON.
    """
    order = json.loads(sys.argv[1])
    pin(order["core"])
    try:
        if order["role"] == "serve":
            serve(order["peer"])
        else:
            drive(order["peer"], order["port"], Load(**order["load"]))
    except ImportError as e:
        # Without the path of the module, which names this machine's folders.
        say(failed="cannot be imported: " + str(e).partition(" (/")[0])
    except Exception as e:
        say(failed=f"{type(e).__name__}: {e}".rstrip(": "))
        raise


if __name__ == "__main__":
    main()
