"""
Tests for leaving alone a server that answers nothing.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.client.interceptors.asked import AskedCase
from tests.client.scripted import Outcome, Server, answered, plain
from twisted_rpc.client.interceptors.breaking import Circuit, CircuitBreaker
from twisted_rpc.client.interceptors.outcomes import NOT_SERVED, served
from twisted_rpc.client.retry import NO_RETRY
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.testing import MemoryEndpoint

RULES = CircuitBreaker(chance=lambda: 0.5)


class OutcomeTests(SynchronousTestCase):
    """
    What an answer says of the server.
    """

    def test_served(self) -> None:
        """
        A result, and whatever an implementation says, is a server that serves;
        so is one that tells the caller his mistake.
        """
        self.assertTrue(served(b"1"))
        for code in Code:
            ran = Failure(RPCError(code, "x", executed="yes"))
            self.assertTrue(served(ran))
            refused = Failure(RPCError(code, "x", executed="no"))
            self.assertEqual(served(refused), code not in NOT_SERVED)

    def test_nothing(self) -> None:
        """
        Of what the caller gave up nothing is known.
        """
        self.assertIsNone(served(Failure(KeyError("x"))))


class CircuitTests(SynchronousTestCase):
    """
    One circuit (C11).
    """

    def call(self, circuit: Circuit, now: float, *, worked: bool | None) -> bool:
        """
        @return: whether a call could be made; it ends at once.
        """
        if not circuit.allows(now):
            return False
        circuit.end(now, worked=worked, probe=circuit.begin())
        return True

    def test_closed(self) -> None:
        """
        It stays closed while fewer than half of the last hundred fail.
        """
        circuit = Circuit(RULES)
        for n in range(1000):
            self.assertTrue(self.call(circuit, 0.0, worked=bool(n % 2 or not n % 20)))

    def test_not_of_few(self) -> None:
        """
        Of fewer than twenty calls it concludes nothing.
        """
        circuit = Circuit(RULES)
        for _ in range(19):
            self.assertTrue(self.call(circuit, 0.0, worked=False))
        self.assertTrue(circuit.allows(0.0))
        self.call(circuit, 0.0, worked=False)
        self.assertFalse(circuit.allows(0.0))

    def test_open_for_five_seconds(self) -> None:
        """
        It is open for 5 s, plus or minus a fifth.
        """
        for chance, seconds in ((0.0, 4.0), (0.5, 5.0), (1.0, 6.0)):
            circuit = Circuit(CircuitBreaker(chance=iter([chance]).__next__))
            for _ in range(20):
                self.call(circuit, 0.0, worked=False)
            self.assertFalse(circuit.allows(seconds - 0.01))
            self.assertTrue(circuit.allows(seconds + 0.01))

    def opened(self) -> Circuit:
        """
        @return: a circuit that is open until 5.
        """
        circuit = Circuit(RULES)
        for _ in range(20):
            self.call(circuit, 0.0, worked=False)
        return circuit

    def test_probes(self) -> None:
        """
        Then five calls are tried; if all are served, it is closed.
        """
        circuit = self.opened()
        probes = [circuit.begin() for _ in range(5) if circuit.allows(5.0)]
        self.assertEqual(probes, [1] * 5)
        self.assertFalse(circuit.allows(5.0))
        for probe in probes:
            self.assertFalse(circuit.end(5.0, worked=True, probe=probe))
        self.assertTrue(circuit.allows(5.0))
        self.assertEqual(circuit.begin(), 0)

    def test_a_probe_fails(self) -> None:
        """
        If one is not, it is open for as long again; the others say nothing then.
        """
        circuit = self.opened()
        first, *others = [circuit.begin() for _ in range(3)]
        self.assertTrue(circuit.end(5.0, worked=False, probe=first))
        for probe in others:
            self.assertFalse(circuit.end(5.1, worked=True, probe=probe))
        self.assertFalse(circuit.allows(9.9))
        self.assertTrue(circuit.allows(10.0))
        for _ in range(3):
            self.call(circuit, 10.0, worked=True)
        self.assertIsNotNone(circuit.until)

    def test_a_probe_is_given_up(self) -> None:
        """
        One that is given up makes room for another.
        """
        circuit = self.opened()
        for _ in range(20):
            self.assertTrue(self.call(circuit, 5.0, worked=None))
        for _ in range(5):
            self.assertTrue(self.call(circuit, 5.0, worked=True))
        self.assertIsNone(circuit.until)

    def test_what_began_before(self) -> None:
        """
        Calls that began before it opened neither open nor close it.
        """
        circuit = Circuit(RULES)
        old = [circuit.begin() for _ in range(30)]
        for probe in old[:20]:
            circuit.end(0.0, worked=False, probe=probe)
        for probe in old[20:]:
            self.assertFalse(circuit.end(1.0, worked=False, probe=probe))
        self.assertTrue(circuit.allows(5.0))

    @given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from([True, False, None]))))
    def test_it_always_lets_something_pass(
        self, script: list[tuple[float, bool | None]]
    ) -> None:
        """
        Whatever happens, after six seconds a call is tried.
        """
        circuit = Circuit(RULES)
        now = 0.0
        for seconds, worked in script * 5:
            now += seconds
            self.call(circuit, now, worked=worked)
        self.assertTrue(circuit.allows(now + 6.0))

    def test_rules(self) -> None:
        """
        Rules that cannot work are refused by name.
        """
        for name, value in (
            ("failures", 0),
            ("failures", 1.1),
            ("minimum", 0),
            ("minimum", 101),
            ("open_for", 0),
            ("probes", 0),
        ):
            rules: dict[str, Any] = {name: value}
            with self.assertRaises(ValueError) as caught:
                CircuitBreaker(**rules)
            self.assertIn(name, str(caught.exception))


class BreakingTests(AskedCase):
    """
    A client with a breaker.
    """

    def failing(self, endpoint: Any = None, **options: Any) -> None:
        """
        Make one whose server refuses everything, and let it see that.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.start(endpoint, circuit_breaker=RULES, retry=NO_RETRY, **options)
        for n in range(20):
            self.told(self.watch(self.shop.buy(n)), "RESOURCE_EXHAUSTED", "no")

    def test_it_fails_at_once(self) -> None:
        """
        When too many calls failed, the next fail at once, unsent, and say how
        long; the log tells it once.
        """
        with capturedLogs() as events:
            self.failing()
        said = [
            event for event in events if "left alone" in event.get("log_format", "")
        ]
        self.assertEqual(len(said), 1)
        error = self.told(self.watch(self.shop.buy(1)), "UNAVAILABLE", "no")
        self.assertIn("the circuit is open", error.message)
        self.assertEqual((error.retry_after, error.remote), (5.0, False))
        self.assertEqual(self.asked(), 20)
        figures = self.client.counters()
        self.assertEqual(
            (figures["circuits_opened"], figures["circuit_refusals"]), (1, 1)
        )

    def test_it_tries_again(self) -> None:
        """
        After that it tries, and closes when the server serves.
        """
        self.failing()
        self.server.on_call = answered
        self.advance(5.1)
        for n in range(30):
            self.ended(self.watch(self.shop.buy(n)), 7)

    def test_five_probes(self) -> None:
        """
        Not more than five calls are tried at one time.
        """
        self.failing()
        self.server.on_call = lambda connection, call: None
        self.advance(5.1)
        outcomes = [self.watch(self.shop.buy(n)) for n in range(10)]
        self.assertEqual([len(each.results) for each in outcomes], [0] * 5 + [1] * 5)

    def test_another_address(self) -> None:
        """
        With several addresses calls go to the next one.
        """
        other = Server("x")
        other.on_call = answered
        self.failing([self.endpoint, MemoryEndpoint(self.network, other)])
        for n in range(10):
            self.ended(self.watch(self.shop.buy(n)), 7)
        self.assertEqual(self.asked(), 20)
        self.assertTrue(self.server.here.lost)

    def test_plain_servers(self) -> None:
        """
        With plain servers too; a call that is open there is answered there.
        """
        other = Server("x")
        other.on_call = answered
        for server in (self.server, other):
            server.on_hello = plain
        self.server.on_call = lambda connection, call: None
        self.start(
            [self.endpoint, MemoryEndpoint(self.network, other)],
            circuit_breaker=CircuitBreaker(minimum=2, chance=lambda: 0.5),
            retry=NO_RETRY,
            max_connections=2,
        )
        waiting = self.watch(self.shop.buy(0))
        first = self.server.here
        failing = [self.watch(self.shop.buy(n)) for n in (1, 2)]
        for _ in failing:
            self.server.here.drop()
            self.advance(0.2)
        for outcome in failing:
            self.told(outcome, "OUTCOME_UNKNOWN", "unknown")
        for n in range(5):
            self.ended(self.watch(self.shop.buy(n)), 7)
        self.assertEqual(len(other.frames), 5)
        self.assertFalse(first.lost)
        first.reply(first.calls[0], 3)
        self.pump()
        self.ended(waiting, 3)
        self.assertTrue(first.lost)
        self.ended(self.watch(self.shop.buy(9)), 7)
        self.assertEqual(len(other.frames), 6)

    def test_in_the_next_turn(self) -> None:
        """
        What is not tried fails in the next turn, so that who calls again at once
        does not keep time from passing; or it is given up before.
        """
        self.failing()
        refused, call = Outcome(self.shop.buy(1), self.clock), self.shop.buy(2)
        given_up = Outcome(call, self.clock)
        self.assertEqual(refused.results, [])
        call.cancel()
        self.clock.advance(0)
        self.told(refused, "UNAVAILABLE", "no")
        self.assertEqual(len(given_up.results), 1)

    def test_every_address(self) -> None:
        """
        If all fail, calls fail until the first may be tried.
        """
        other = Server("x")
        other.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        self.failing([self.endpoint, MemoryEndpoint(self.network, other)])
        self.advance(2)
        for n in range(20):
            self.told(self.watch(self.shop.buy(n)), "RESOURCE_EXHAUSTED", "no")
        error = self.told(self.watch(self.shop.buy(1)), "UNAVAILABLE", "no")
        assert error.retry_after is not None
        self.assertLess(abs(error.retry_after - 3.0), 0.1)
        self.server.on_call = answered
        self.advance(3.1)
        self.ended(self.watch(self.shop.buy(1)), 7)

    def test_addresses_that_cannot_be_reached(self) -> None:
        """
        An address that cannot be connected to is as any other that fails.
        """
        self.server.on_call = answered
        dead = MemoryEndpoint(self.network, None)
        self.start([dead], circuit_breaker=RULES, wait_for_ready=False)
        for n in range(20):
            self.told(self.watch(self.shop.buy(n)), "UNAVAILABLE", "no")
        error = self.told(self.watch(self.shop.buy(1)), "UNAVAILABLE", "no")
        self.assertIn("the circuit is open", error.message)

    def test_several_that_cannot_be_reached(self) -> None:
        """
        And several of them are left alone one after the other.
        """
        dead = [MemoryEndpoint(self.network, None) for _ in range(2)]
        self.start(dead, circuit_breaker=RULES)
        errors = []
        for n in range(41):
            outcome = self.watch(self.shop.buy(n))
            errors.append(self.told(outcome, "UNAVAILABLE", "no").message)
            self.advance(0.01)
        opened = [n for n, text in enumerate(errors) if "circuit" in text]
        self.assertEqual(opened, [40])

    def test_answers_of_the_implementation(self) -> None:
        """
        Errors that the implementation raises open nothing.
        """
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "INTERNAL", "yes"
        )
        self.started(circuit_breaker=RULES)
        for n in range(50):
            self.told(self.watch(self.shop.buy(n)), "INTERNAL", "yes")

    def test_before_any_connection(self) -> None:
        """
        The first call is made like any other.
        """
        self.server.on_call = answered
        self.start(circuit_breaker=RULES)
        self.assertEqual(self.client.pool.address, 0)
        self.ended(self.watch(self.shop.buy(1)), 7)

    def test_what_is_open_stays(self) -> None:
        """
        Calls that are open at the address that is left are answered there.
        """
        other = Server("x")
        other.on_call = answered
        self.start(
            [self.endpoint, MemoryEndpoint(self.network, other)],
            circuit_breaker=RULES,
            retry=NO_RETRY,
        )
        waiting = self.watch(self.shop.buy(0))
        self.server.on_call = lambda connection, call: connection.refuse(
            call, "RESOURCE_EXHAUSTED"
        )
        for n in range(21):
            outcome = self.watch(self.shop.buy(n))
        self.ended(outcome, 7)
        here = self.server.here
        self.assertFalse(here.lost)
        here.reply(here.calls[0], 3)
        self.pump()
        self.ended(waiting, 3)
        self.assertTrue(here.lost)
