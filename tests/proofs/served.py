"""
A server in a process of its own, as C{twistd rpc} runs it:
C{python -m tests.proofs.served OPTIONS}, a JSON object with C{limits}, C{store},
C{server} and C{port}.  On SIGUSR1 it prints what it holds.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from twisted.internet import reactor as _reactor

from tests.proofs.probing import IDL, Probe
from tests.proofs.rapid import IDL as RAPID
from tests.proofs.rapid import Rapid
from twisted_rpc import Registry, Server
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.twistd.serving import freeze
from twisted_rpc.wire.limits import Limits


def main(text: str) -> None:
    """
    Serve until the process is told to end.
    """
    options: dict[str, Any] = json.loads(text)
    reactor: Any = _reactor
    registry = Registry()
    registry.register(IDL.IProbe, Probe(reactor))
    rapid = Rapid(reactor)
    registry.register(RAPID.IRapid, rapid)
    registry.register(RAPID.IFew, rapid)
    server = Server(
        registry,
        listen=[f"tcp:{options.get('port', 0)}:interface=127.0.0.1"],
        reactor=reactor,
        limits=Limits(**options.get("limits", {})),
        dedup=MemoryStore(**options.get("store", {})),
        **options.get("server", {}),
    )

    def begin() -> None:
        server.startService()
        listening: Any = server.listening
        listening.addCallbacks(
            lambda ports: print(f"port {ports[0].getHost().port}", flush=True),
            lambda failure: print(f"{failure.value}", flush=True),
        )

    def told(*_: Any) -> None:
        reactor.callFromThread(tell)

    def tell() -> None:
        held = {
            "timers": len(reactor.getDelayedCalls()),
            "sessions": len(server.store.sessions),
            "connections": len(server.factory.shared.connections),
            "rapid": rapid.counted(),
        }
        print(json.dumps(held), flush=True)

    signal.signal(signal.SIGUSR1, told)
    reactor.callWhenRunning(begin)
    reactor.callWhenRunning(freeze)
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
