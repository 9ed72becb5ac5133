# -*- test-case-name: tests.test_plain_peer -*-
"""
A peer that knows only the plain profile: a blocking client and a threaded
server, of the standard library alone.

They share no code with C{twisted_rpc} and are built from what is known about
peers that exist, the facts F1 to F13 of the wire's reference.  What surprises
in them is on purpose: the client never looks at ids, the server takes frames of
any length and runs a call twice if its duplicate comes early enough.

As a program::

    python -m tests.plain_peer serve [PORT]
    python -m tests.plain_peer call HOST:PORT Service.method [JSON ...]
"""

from __future__ import annotations

import inspect
import json
import socket
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

#: The five members of a request and the four of a reply; there are no others.
REQUEST: Final = ("request_id", "method", "params", "timestamp", "service")
REPLY: Final = ("request_id", "result", "error", "timestamp")

#: Seconds before the second and the third attempt of a call, and for each (F12).
PAUSES: Final = (0.1, 0.2)
PATIENCE: Final = 5.0

Message = dict[str, Any]


class PlainError(Exception):
    """
    The server answered with an error; C{str} of this is its text.
    """


class PlainFault(Exception):
    """
    The server's reply is not one that this client can read.
    """


def send_frame(sock: socket.socket, body: bytes) -> None:
    """
    Write four bytes of length, unsigned and big-endian, then C{body}.
    """
    sock.sendall(struct.pack("!I", len(body)) + body)


def receive_frame(sock: socket.socket) -> bytes:
    """
    Read one frame, however long it is (F1).

    @raise ConnectionError: the connection ended before its end.
    """
    (length,) = struct.unpack("!I", _exactly(sock, 4))
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        data = sock.recv(min(count - len(received), 65536))
        if not data:
            raise ConnectionError("the connection was closed")
        received += data
    return bytes(received)


# -- the client


def read_reply(body: bytes) -> Any:
    """
    The result in a reply.

    @raise PlainError: it holds an error; C{result} is not looked at then (F11).
    @raise PlainFault: a member is unknown (F8) or absent (F9).  Whose reply it
        is, is not asked (F10).
    """
    reply = json.loads(body)
    if unknown := set(reply) - set(REPLY):
        raise PlainFault(f"unknown member in the reply: {min(unknown)}")
    if absent := set(REPLY) - set(reply):
        raise PlainFault(f"member missing in the reply: {min(absent)}")
    if reply["error"] is not None:
        raise PlainError(reply["error"])
    return reply["result"]


class PlainClient:
    """
    Calls one server, one call at a time, over a connection that it keeps.

    @ivar attempts: how many times a message has been written in all.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        patience: float = PATIENCE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Connect at the first call.

        @param patience: seconds for each attempt.
        @param pause: waits so many seconds.
        """
        self._address = (host, port)
        self._patience = patience
        self._pause = pause
        self._sock: socket.socket | None = None
        self.attempts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def call(self, service: str, method: str, *params: Any) -> Any:
        """
        Call C{service.method} and return its result.

        @raise PlainError: the server answered with an error.
        @raise PlainFault: the reply cannot be read.
        @raise OSError: no attempt was answered.
        """
        return self.send(
            {
                "request_id": str(uuid.uuid4()),
                "method": method,
                "params": list(params),
                "timestamp": time.time(),
                "service": service,
            }
        )

    def send(self, message: Message) -> Any:
        """
        Write C{message}, and again, unchanged, when the connection is lost or
        time is up: three attempts in all (F12).
        """
        body = json.dumps(message).encode()
        for pause in PAUSES:
            try:
                return read_reply(self.exchange(body))
            except OSError:
                self._pause(pause)
        return read_reply(self.exchange(body))

    def exchange(self, body: bytes) -> bytes:
        """
        Write one frame and take the next one that comes as its answer (F10).

        @raise OSError: the connection was lost, or C{patience} is over.
        """
        self.attempts += 1
        try:
            send_frame(self.connection, body)
            return receive_frame(self.connection)
        except OSError:
            self.close()
            raise

    @property
    def connection(self) -> socket.socket:
        """
        The connection, made now if there is none.
        """
        if self._sock is None:
            self._sock = socket.create_connection(self._address, self._patience)
        return self._sock

    def close(self) -> None:
        """
        Close the connection; the next call makes a new one.
        """
        if self._sock is not None:
            self._sock.close()
            self._sock = None


# -- the server


class _Refused(Exception):
    """
    The message is not one that can be run; its text is the reply's error.
    """


def _check(message: Message) -> None:
    if unknown := set(message) - set(REQUEST):
        raise _Refused(f"Invalid request: unknown member {min(unknown)}")  # F2
    message.setdefault("service", "default")  # F5
    types = {"params": list, "timestamp": int | float}
    for name in REQUEST:
        if name not in message:
            raise _Refused(f"Invalid request: {name} is missing")  # F5
        if not isinstance(message[name], types.get(name, str)):
            raise _Refused(f"Invalid request: {name} is of a wrong type")


def _count(function: Callable[..., Any], params: list[Any]) -> None:
    got, expected = len(params), len(inspect.signature(function).parameters)
    if got != expected:  # F7
        raise _Refused(
            "Parameter validation failed: "
            f"Parameter count mismatch: got {got}, expected {expected}"
        )


class PlainServer:
    """
    Serves objects, each connection in a thread of its own.

    @ivar services: name to object or mapping; what may be called is what is
        callable and has no leading underscore.
    @ivar received: every JSON object that came, in the order in which they were
        read.
    @ivar runs: the names of the methods that were run, C{"Service.method"}.
    """

    def __init__(
        self, services: Mapping[str, object], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """
        Listen at once.

        @param port: 0 takes a free one.
        """
        self.services = services
        self.received: list[Message] = []
        self.runs: list[str] = []
        self._replies: dict[str, bytes] = {}
        self._losing = 0
        self._lock = threading.Lock()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._listener = socket.create_server((host, port))
        self._start(self._accept)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return str(self._listener.getsockname()[0])

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def lose(self, replies: int) -> None:
        """
        Run the next so many calls, but close the connection instead of answering.
        """
        with self._lock:
            self._losing = replies

    def close(self) -> None:
        """
        Stop listening, close all connections and wait for their threads.
        """
        with self._lock:
            self._closed = True
            socks = [self._listener, *self._socks]
        for sock in socks:
            try:
                # Closing alone does not wake a thread that reads or accepts.
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the peer has closed it already
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                if self._closed:
                    sock.close()
                    return
                self._socks.add(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        """
        Answer the requests of one connection, one after the other (F4).
        """
        with sock:
            try:
                while (reply := self._answer(receive_frame(sock))) is not None:
                    send_frame(sock, reply)
            except OSError:
                pass  # the peer has gone
            with self._lock:
                self._socks.discard(sock)

    def _answer(self, body: bytes) -> bytes | None:
        """
        The reply to one frame, or C{None} to close the connection.
        """
        try:
            message = json.loads(body) if body else None
        except ValueError as error:
            return self._reply("unknown", error=f"Invalid request: {error}")
        if not message or not isinstance(message, dict):
            return None  # F6
        with self._lock:
            self.received.append(message)
        reply = self._remembered(message)
        return None if self._loses() else reply

    def _loses(self) -> bool:
        with self._lock:
            self._losing -= 1
            return self._losing >= 0

    def _remembered(self, message: Message) -> bytes:
        """
        The reply to C{message}: the one its id has already, or that of a run.

        It is written down when the run has ended, so a duplicate that comes
        while it lasts runs too (F13); then it is kept for ever, be it even that
        there is no such service (F3).
        """
        try:
            _check(message)
        except _Refused as refused:
            return self._reply(message.get("request_id"), error=str(refused))
        request_id: str = message["request_id"]
        if request_id not in self._replies:
            self._replies[request_id] = self._run(message)
        return self._replies[request_id]

    def _run(self, message: Message) -> bytes:
        request_id = message["request_id"]
        try:
            function = self._find(message["service"], message["method"])
            _count(function, message["params"])
            with self._lock:
                self.runs.append(f"{message['service']}.{message['method']}")
            return self._reply(request_id, function(*message["params"]))
        except Exception as error:  # noqa: BLE001 - all of them are replies
            return self._reply(request_id, error=str(error))

    def _find(self, service: str, method: str) -> Callable[..., Any]:
        if service not in self.services:
            raise _Refused(f"Service not found: {service}")
        target = self.services[service]
        found = (
            target.get(method)
            if isinstance(target, Mapping)
            else getattr(target, method, None)
        )
        if method.startswith("_") or not callable(found):
            raise _Refused(f"Method not found: {service}.{method}")
        function: Callable[..., Any] = found
        return function

    @staticmethod
    def _reply(request_id: Any, result: Any = None, error: str | None = None) -> bytes:
        reply = {
            "request_id": request_id if isinstance(request_id, str) else "unknown",
            "result": result,
            "error": error,
            "timestamp": time.time(),
        }
        return json.dumps(reply).encode()


# -- the program


def _divide(a: int, b: int) -> int:
    if b == 0:
        raise ValueError("Division by zero")
    return a // b


#: What C{serve} serves.
CALCULATOR: Final[Mapping[str, Callable[..., Any]]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": _divide,
    "greet": lambda name: f"Hello, {name}! Welcome to the Calculator Service.",
}


def _serve(port: str = "5000") -> int:
    with PlainServer({"Calculator": CALCULATOR}, port=int(port)) as server:
        print(f"Calculator on {server.host}:{server.port}", flush=True)  # noqa: T201
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _call(address: str, name: str, *params: str) -> int:
    host, _, port = address.rpartition(":")
    service, _, method = name.rpartition(".")
    with PlainClient(host, int(port)) as client:
        try:
            result = client.call(service, method, *map(json.loads, params))
        except (PlainError, PlainFault, OSError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
            return 1
    print(json.dumps(result))  # noqa: T201
    return 0


def main(arguments: list[str]) -> int:
    """
    Run the program.

    @return: the exit status.
    """
    programs: dict[str, Callable[..., int]] = {"serve": _serve, "call": _call}
    if not arguments or arguments[0] not in programs:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    return programs[arguments[0]](*arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
