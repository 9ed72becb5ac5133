"""
The example service does what its IDL says, as an object and as a demonstration.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from queue import Queue

from twisted.trial.unittest import SynchronousTestCase

from services.calculator import Calc, demo
from services.calculator import client as client_program
from twisted_rpc import Code, Registry, RPCError
from twisted_rpc.testing import connect

ROOT = Path(__file__).parent.parent.parent

ANSWERS = """\
add(5, 3) = 8
subtract(a=5, b=3) = 2
multiply(5, b=3) = 15
divide(7, 2) = 3
divide(1, 0) failed: INVALID_ARGUMENT: Division by zero
greet('Ada') = 'Hello, Ada! Welcome to the Calculator Service.'
"""


class CalcTests(SynchronousTestCase):
    """
    L{Calc} itself.
    """

    def test_arithmetic(self) -> None:
        """
        It adds, subtracts, multiplies, and divides rounding down.
        """
        calc = Calc()
        self.assertEqual(calc.add(5, 3), 8)
        self.assertEqual(calc.subtract(5, 3), 2)
        self.assertEqual(calc.multiply(5, 3), 15)
        self.assertEqual([calc.divide(7, 2), calc.divide(-7, 2)], [3, -4])

    def test_division_by_zero(self) -> None:
        """
        Dividing by zero is an error of the caller's.
        """
        error = self.assertRaises(RPCError, Calc().divide, 1, 0)
        self.assertEqual(error.code, Code.INVALID_ARGUMENT)
        self.assertEqual(error.message, "Division by zero")

    def test_greeting(self) -> None:
        """
        It greets by name.
        """
        self.assertEqual(
            Calc().greet("Ada"), "Hello, Ada! Welcome to the Calculator Service."
        )


class ServedTests(SynchronousTestCase):
    """
    L{Calc} through a server and a client.
    """

    def test_fits(self) -> None:
        """
        It fits its IDL without a fault or a warning, and answers calls.
        """
        registry = Registry()
        registry.register(client_program.idl.ICalculator, Calc(), strict=True)
        pair = connect(registry)
        calculator = pair.client.proxy(client_program.idl.ICalculator)
        answer = calculator.divide(7, b=2)
        pair.pump()
        self.assertEqual(self.successResultOf(answer), 3)


class PortTests(SynchronousTestCase):
    """
    How the demonstration learns where its server listens.
    """

    def port_in(self, log: str) -> Callable[[], int]:
        """
        Ask for the port that C{log} names.
        """
        found: Queue[str | None] = Queue()
        self.patch(sys, "stdout", StringIO())
        demo.show("server", StringIO(log), found)
        return lambda: demo.port_of(found)

    def test_port(self) -> None:
        """
        It is in the log.
        """
        log = "loading\nCalculator on tcp:127.0.0.1:41234\n"
        self.assertEqual(self.port_in(log)(), 41234)

    def test_ended(self) -> None:
        """
        A server that ends without listening did not start.
        """
        error = self.assertRaises(RuntimeError, self.port_in("port taken\n"))
        self.assertEqual(str(error), "the server did not start")

    def test_silent(self) -> None:
        """
        A server that says nothing for too long did not listen.
        """
        self.patch(demo, "START", 0.01)
        error = self.assertRaises(RuntimeError, demo.port_of, Queue())
        self.assertEqual(str(error), "the server did not listen within 0.01 s")


class DemoTests(SynchronousTestCase):
    """
    The demonstration, in processes of its own.
    """

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """
        Start C{python -m} with C{arguments} from the root of the project.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.kill)
        return process

    def test_demo(self) -> None:
        """
        It shows each call with its answer, and what the server logs.
        """
        process = self.start("services.calculator.demo")
        output = process.communicate(timeout=100)[0]
        self.assertEqual(process.returncode, 0, output)
        lines = output.splitlines()
        answers = [line[9:] for line in lines if line.startswith("client | ")]
        self.assertEqual(answers, ANSWERS.splitlines(), output)
        self.assertTrue([line for line in lines if line.startswith("server | ")])

    def test_stops_its_server(self) -> None:
        """
        However its block ends, nothing listens on the server's port any more.
        """
        self.patch(sys, "stdout", StringIO())
        ports: list[int] = []

        def fail() -> None:
            with demo.server() as port:
                ports.append(port)
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertRaises(
            ConnectionRefusedError, socket.create_connection, ("127.0.0.1", ports[0])
        )

    def test_interrupted(self) -> None:
        """
        Interrupted, it ends with the exit status that says so.
        """
        process = self.start("services.calculator.demo")
        assert process.stdout is not None
        self.assertIn("server | ", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=100)[0]
        self.assertEqual(process.returncode, 130, output)

    def test_unreached(self) -> None:
        """
        The client says in one line that nothing answers, with exit status 1.
        """
        process = self.start("services.calculator.client", "tcp:127.0.0.1:1")
        output = process.communicate(timeout=100)[0]
        self.assertEqual(process.returncode, 1, output)
        self.assertEqual(output.count("\n"), 1, output)
        self.assertIn("tcp:127.0.0.1:1: UNAVAILABLE", output)

    def test_nonsense(self) -> None:
        """
        What is no endpoint is answered with how to write one, in two lines.
        """
        process = self.start("services.calculator.client", "--help")
        output = process.communicate(timeout=100)[0]
        self.assertEqual(process.returncode, 1, output)
        self.assertEqual(output.count("\n"), 2, output)
        self.assertIn("usage: python -m services.calculator.client [ENDPOINT]", output)
