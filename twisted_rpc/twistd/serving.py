# -*- test-case-name: tests.test_serving -*-
"""
The service that C{twistd rpc} runs: a server, its log and its signals.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IListeningPort
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from twisted_rpc.client.secrecy import is_loopback
from twisted_rpc.server import Server
from twisted_rpc.twistd.logs import Format, make_observer
from twisted_rpc.twistd.signals import Signals

_log = Logger(namespace="twisted_rpc.server")


class CannotListenError(SystemExit, Exception):
    """
    A port cannot be listened on.

    C{twistd} takes it for both of what it is: an exception, for which it removes
    its pid file and tells the process that waits for a daemon; and an exit with
    a message, one line and status 1, instead of a traceback.
    """

    # What waits for the daemon shows 100 characters, this name among them.
    __module__ = "builtins"


class ServingRPC(MultiService):
    """
    A server under C{twistd}.

    @ivar server: the server.
    """

    def __init__(
        self,
        server: Server,
        listen: Sequence[str],
        summary: str,
        reactor: Any,
        observer: Callable[[], ILogObserver | None],
    ) -> None:
        """
        @param listen: the endpoints of C{server}, as they were written.
        @param summary: what is served, for a line in the log.
        @param observer: makes what writes the log, or C{None} to leave it to
            C{twistd}; called once the application is made.
        """
        super().__init__()
        self.server = server
        self._listen = listen
        self._summary = summary
        self._reactor = reactor
        self._observer = observer
        server.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """
        Become part of the application, which is where C{twistd} looks for an
        observer of its log.
        """
        super().setServiceParent(parent)
        observer = self._observer()
        if observer is not None and hasattr(parent, "setComponent"):
            parent.setComponent(ILogObserver, observer)

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise CannotListenError: it does not work, and that is known at once.
        """
        super().privilegedStartService()
        starting = [True]
        failures: list[Failure] = []

        def failed(failure: Failure) -> None:
            if starting:
                failures.append(failure)
            else:
                self._failed_late(failure)

        assert self.server.listening is not None
        self.server.listening.addCallbacks(self._listening, failed)
        starting.clear()
        if failures:
            raise CannotListenError(f"twistd rpc: {_why(failures[0])}")

    def startService(self) -> None:
        """
        Start, and take over the signals once the reactor runs.
        """
        super().startService()
        signals = Signals(self._reactor, self._abort)
        self._reactor.callWhenRunning(signals.install)

    def _abort(self) -> None:
        _log.warn("asked a second time: ending at once, calls in progress are given up")
        self.server.abort()

    def _listening(self, ports: list[IListeningPort]) -> list[IListeningPort]:
        _log.info(
            "serving {summary} on {where}",
            summary=self._summary,
            where=", ".join(_address(port) for port in ports),
        )
        for text, port in zip(self._listen, ports, strict=False):
            if is_exposed(text, port.getHost()):
                _log.warn(
                    "{where} is reached from other machines, and what is sent there can"
                    " be read on the way: use a tls: endpoint, or listen on 127.0.0.1",
                    where=_address(port),
                )
        return ports

    def _failed_late(self, failure: Failure) -> None:
        _log.critical("{why}; stopping", why=_why(failure))
        # The clean end whose exit status is not 0.
        self._reactor.callWhenRunning(signal.raise_signal, signal.SIGTERM)


def twistd_observer(
    parent: Mapping[str, Any], levels: Mapping[str, Any], form: Format
) -> ILogObserver | None:
    """
    An observer that writes where C{twistd} would.

    @param parent: C{twistd}'s own options.

    @return: C{None} where C{twistd} writes elsewhere than to a file: to syslog,
        or to what C{--logger} names.
    """
    if parent.get("syslog") or parent.get("logger"):
        return None
    name = parent.get("logfile") or ""
    foreground = parent.get("nodaemon") or parent.get("debug")
    if foreground and name in ("", "-"):
        return make_observer(sys.stdout, levels, form)
    if name == "-":
        # A daemon has no stdout; twistd says so.
        return None
    log = LogFile.fromFullPath(name or "twistd.log")
    _rotate_on_request(log)
    return make_observer(log, levels, form)


def is_exposed(text: str, host: Any) -> bool:
    """
    Whether clear text is sent there from other machines.

    @param text: the endpoint.
    @param host: the address that is listened on.
    """
    if text.removeprefix("haproxy:").startswith("tls:"):
        return False
    if not isinstance(host, (IPv4Address, IPv6Address)):
        return False
    return not is_loopback(host.host)


def _rotate_on_request(log: LogFile) -> None:
    # As twistd does for the file that it opens itself.
    if not signal.getsignal(signal.SIGUSR1):
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        rotate: Any = log.rotate
        signal.signal(
            signal.SIGUSR1,
            lambda *_: reactor.callFromThread(rotate),  # type: ignore[attr-defined]
        )


def _address(port: IListeningPort) -> str:
    """
    Where a port is, as a client's endpoint is written.
    """
    host = port.getHost()
    if isinstance(host, IPv4Address):
        return f"tcp:{host.host}:{host.port}"
    if isinstance(host, IPv6Address):
        return f"tcp6:{host.host.replace(':', chr(92) + ':')}:{host.port}"
    if isinstance(host, UNIXAddress):
        name = host.name
        return f"unix:{name.decode(errors='replace') if name else '(unnamed)'}"
    return str(host)


def _why(failure: Failure) -> str:
    error: Any = failure.value
    said = getattr(error, "socketError", None)
    if said is not None:
        port = error.port
        interface = error.interface or "*"
        where = f"{interface}:{port}" if isinstance(port, int) else os.fsdecode(port)
        if said == "Cannot acquire lock":
            said = "another process listens there"
        return f"cannot listen on {where}: {getattr(said, 'strerror', None) or said}"
    if isinstance(error, OSError) and error.filename2:
        # Of a Unix socket: the lock that stands beside it.
        where = os.fsdecode(error.filename2).removesuffix(".lock")
        return f"cannot listen on {where}: {error.strerror}"
    return f"cannot listen: {error}"
