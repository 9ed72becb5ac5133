"""
The plain-profile peer of the tests, against itself: it behaves as the peers
that exist, fact by fact.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.plain_peer import (
    CALCULATOR,
    PlainClient,
    PlainError,
    PlainFault,
    PlainServer,
    read_reply,
    receive_frame,
    send_frame,
)

ROOT = Path(__file__).parent.parent


def request(**changes: Any) -> dict[str, Any]:
    """
    A legal message, changed; a change to C{...} leaves the member out.
    """
    message = {
        "request_id": "1",
        "method": "add",
        "params": [5, 3],
        "timestamp": 1800000000.25,
        "service": "Calculator",
        **changes,
    }
    return {name: value for name, value in message.items() if value is not ...}


def reply(**changes: Any) -> bytes:
    """
    A legal reply, changed; a change to C{...} leaves the member out.
    """
    message = {
        "request_id": "1",
        "result": 8,
        "error": None,
        "timestamp": 1800000000.31,
        **changes,
    }
    return json.dumps(
        {name: value for name, value in message.items() if value is not ...}
    ).encode()


class ReplyTests(SynchronousTestCase):
    """
    How the client reads a reply.
    """

    def test_result(self) -> None:
        """
        A reply without an error is its result, whatever its id (F10).
        """
        self.assertEqual(read_reply(reply(request_id="another")), 8)

    def test_unknown_member(self) -> None:
        """
        An unknown member in a reply fails the call (F8).
        """
        error = self.assertRaises(PlainFault, read_reply, reply(ext={}))
        self.assertEqual(str(error), "unknown member in the reply: ext")

    def test_absent_error(self) -> None:
        """
        A reply that does not write its C{null} error fails the call (F9).
        """
        error = self.assertRaises(PlainFault, read_reply, reply(error=...))
        self.assertEqual(str(error), "member missing in the reply: error")

    def test_error(self) -> None:
        """
        With an error the result is not looked at (F11).
        """
        error = self.assertRaises(PlainError, read_reply, reply(error="no"))
        self.assertEqual(str(error), "no")


class PeerTests(SynchronousTestCase):
    """
    The client and the server over a connection.
    """

    def setUp(self) -> None:
        self.pauses: list[float] = []
        self.server = PlainServer({"Calculator": CALCULATOR, "default": CALCULATOR})
        self.addCleanup(self.server.close)
        self.client = self.connect()

    def connect(self) -> PlainClient:
        """
        Another client, which does not sleep.
        """
        client = PlainClient("127.0.0.1", self.server.port, pause=self.pauses.append)
        self.addCleanup(client.close)
        return client

    def error(self, message: dict[str, Any]) -> str:
        """
        The text of the error that answers C{message}.
        """
        return str(self.assertRaises(PlainError, self.client.send, message))

    def test_call(self) -> None:
        """
        A call returns the method's result.
        """
        self.assertEqual(self.client.call("Calculator", "add", 5, 3), 8)
        self.assertEqual(self.server.runs, ["Calculator.add"])

    def test_exception(self) -> None:
        """
        What an implementation raises is the error, and the connection stays.
        """
        error = self.assertRaises(
            PlainError, self.client.call, "Calculator", "divide", 1, 0
        )
        self.assertEqual(str(error), "Division by zero")
        self.assertEqual(self.client.call("Calculator", "divide", 7, 2), 3)
        self.assertEqual(self.client.attempts, 2)

    def test_long_frames(self) -> None:
        """
        A frame may be of any length, both ways (F1).
        """
        name = "n" * 5_000_000
        self.assertIn(name, self.client.call("Calculator", "greet", name))

    def test_unknown_member(self) -> None:
        """
        A request with an unknown member is an error, nothing runs, and the same
        id may come again without it (F2).
        """
        self.assertEqual(
            self.error(request(ext={})), "Invalid request: unknown member ext"
        )
        self.assertEqual(self.server.runs, [])
        self.assertEqual(self.client.send(request()), 8)

    def test_unknown_service(self) -> None:
        """
        An unknown service is an error that its id keeps for ever (F3).
        """
        hello = request(request_id="$hello", service="$rpc", method="hello")
        self.assertEqual(self.error(hello), "Service not found: $rpc")
        late = request(request_id="$hello")
        self.assertEqual(self.error(late), "Service not found: $rpc")

    def test_unknown_method(self) -> None:
        """
        An unknown method, and one that is private, is an error.
        """
        for method in ("pow", "__len__"):
            self.assertEqual(
                self.error(request(request_id=method, method=method)),
                f"Method not found: Calculator.{method}",
            )

    def test_pipelined(self) -> None:
        """
        Frames sent together are all answered, in their order (F4).
        """
        sock = self.client.connection
        for n in range(100):
            send_frame(
                sock, json.dumps(request(request_id=str(n), params=[n, 1])).encode()
            )
        replies = [json.loads(receive_frame(sock)) for _ in range(100)]
        self.assertEqual([each["result"] for each in replies], list(range(1, 101)))
        self.assertEqual(
            [each["request_id"] for each in replies], [*map(str, range(100))]
        )

    def test_absent_members(self) -> None:
        """
        An absent service is C{"default"}; any other absence is an error (F5).
        """
        self.assertEqual(self.client.send(request(service=...)), 8)
        self.assertEqual(self.server.runs, ["default.add"])
        for name in ("request_id", "method", "params", "timestamp"):
            self.assertEqual(
                self.error(request(**{name: ...})),
                f"Invalid request: {name} is missing",
            )

    def test_wrong_types(self) -> None:
        """
        A member of a wrong type is an error.
        """
        for name, value in (("params", {}), ("timestamp", "now"), ("method", 1)):
            self.assertEqual(
                self.error(request(**{name: value})),
                f"Invalid request: {name} is of a wrong type",
            )

    def test_no_object(self) -> None:
        """
        An empty frame and JSON that is empty or no object close the connection
        (F6).
        """
        for body in (b"", b"{}", b"[]", b"[1]", b"null", b"7", b'"x"'):
            self.assertRaises(ConnectionError, self.connect().exchange, body)

    def test_not_json(self) -> None:
        """
        What is not JSON is answered under the id C{"unknown"}.
        """
        answer = json.loads(self.client.exchange(b"{nonsense"))
        self.assertEqual(answer["request_id"], "unknown")
        self.assertTrue(answer["error"].startswith("Invalid request: "))

    def test_counts(self) -> None:
        """
        Parameters are counted strictly (F7).
        """
        for params in ([], [1], [1, 2, 3]):
            self.assertEqual(
                self.error(request(request_id=f"{len(params)}", params=params)),
                "Parameter validation failed: "
                f"Parameter count mismatch: got {len(params)}, expected 2",
            )

    def test_reattempts(self) -> None:
        """
        A message whose connection is lost is sent again unchanged, after 0.1
        and 0.2 seconds, and is answered from the record (F12).
        """
        self.server.lose(2)
        self.assertEqual(self.client.call("Calculator", "add", 5, 3), 8)
        first, *others = self.server.received
        self.assertEqual(others, [first, first])
        self.assertEqual(self.pauses, [0.1, 0.2])
        self.assertEqual(self.server.runs, ["Calculator.add"])

    def test_gives_up(self) -> None:
        """
        After three attempts the call fails (F12).
        """
        self.server.lose(3)
        self.assertRaises(ConnectionError, self.client.call, "Calculator", "add", 5, 3)
        self.assertEqual(self.client.attempts, 3)

    def test_no_reattempt(self) -> None:
        """
        An error reply ends the call at once (F12).
        """
        self.error(request(service="Calculater"))
        self.assertEqual(self.client.attempts, 1)

    def test_deduplicates_by_id_alone(self) -> None:
        """
        An id that has been answered gets that answer again, for other
        parameters too (F13).
        """
        self.assertEqual(self.client.send(request()), 8)
        self.assertEqual(self.client.send(request(params=[1, 1])), 8)
        self.assertEqual(self.server.runs, ["Calculator.add"])


class RunningTests(SynchronousTestCase):
    """
    Calls that take their time.
    """

    def setUp(self) -> None:
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.server = PlainServer({"Slow": {"wait": self.wait}})
        # Lets go before it closes, since closing waits for what runs.
        self.addCleanup(self.server.close)
        self.addCleanup(self.go.set)

    def wait(self) -> str:
        """
        A method that runs until the test lets go.
        """
        self.started.release()
        self.go.wait()
        return "done"

    def start(self, answers: list[Any]) -> threading.Thread:
        """
        Send the one message from a client of its own.
        """

        def exchange() -> None:
            with PlainClient("127.0.0.1", self.server.port) as client:
                answers.append(
                    client.send(request(service="Slow", method="wait", params=[]))
                )

        thread = threading.Thread(target=exchange)
        thread.start()
        return thread

    def test_duplicate_of_a_running_call(self) -> None:
        """
        A duplicate that comes while the first runs, runs too (F13).
        """
        answers: list[Any] = []
        threads = [self.start(answers), self.start(answers)]
        self.assertTrue(self.started.acquire(timeout=10))
        self.assertTrue(self.started.acquire(timeout=10))
        self.go.set()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, ["done", "done"])
        self.assertEqual(self.server.runs, ["Slow.wait", "Slow.wait"])

    def test_patience(self) -> None:
        """
        An attempt that is not answered in time counts as a lost connection.
        """
        client = PlainClient(
            "127.0.0.1", self.server.port, patience=0.01, pause=lambda seconds: None
        )
        self.addCleanup(client.close)
        self.assertRaises(TimeoutError, client.call, "Slow", "wait")
        self.assertEqual(client.attempts, 3)


class ProgramTests(SynchronousTestCase):
    """
    The peer as a program.
    """

    def run_peer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run it to its end.
        """
        return subprocess.run(
            [sys.executable, "-m", "tests.plain_peer", *arguments],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_serve_and_call(self) -> None:
        """
        One process calls the calculator of another.
        """
        with subprocess.Popen(
            [sys.executable, "-m", "tests.plain_peer", "serve", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as serving:
            self.addCleanup(serving.kill)
            assert serving.stdout is not None
            address = serving.stdout.readline().split()[-1]
            good = self.run_peer("call", address, "Calculator.add", "5", "3")
            bad = self.run_peer("call", address, "Calculator.divide", "1", "0")
            serving.kill()
        self.assertEqual((good.stdout, good.returncode), ("8\n", 0))
        self.assertEqual(bad.stderr, "PlainError: Division by zero\n")
        self.assertEqual(bad.returncode, 1)

    def test_usage(self) -> None:
        """
        Without a command it says how it is used.
        """
        told = self.run_peer()
        self.assertEqual(told.returncode, 2)
        self.assertIn("python -m tests.plain_peer serve", told.stderr)
