"""
What the oracle of a simulation says of what it sees.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rpc import Registry
from twisted_rpc.call import Request
from twisted_rpc.delivery.doubt import UnknownCall
from twisted_rpc.delivery.memory import MemoryStore
from twisted_rpc.delivery.records import Record
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl import load_idl_text
from twisted_rpc.testing.simulation.clock import NodeClock, SimulatedClock
from twisted_rpc.testing.simulation.network import Host
from twisted_rpc.testing.simulation.oracle import Called, Oracle
from twisted_rpc.wire.messages import ReplyExt, ReplyMessage, RequestExt, RequestMessage


def request(
    request_id: str = "s:1", params: bytes = b"[1]", **ext: Any
) -> RequestMessage:
    """A request."""
    return RequestMessage(
        request_id, "pay", msgspec.Raw(params), 1.0, "Shop", RequestExt(**ext)
    )


def reply(request_id: str = "s:1", result: bytes = b"7") -> ReplyMessage:
    """A result."""
    return ReplyMessage(request_id, msgspec.Raw(result))


class OracleTests(SynchronousTestCase):
    """
    Each thing that must not be is told by the name of its invariant.
    """

    def setUp(self) -> None:
        self.now = 0.0
        self.oracle = Oracle(lambda: self.now)
        clock = NodeClock(SimulatedClock(0.0))
        self.ada = Host("client-0", 1, clock, "ada")
        self.eve = Host("client-1", 2, clock, "eve")

    def called(self, request_id: str = "s:1", delivery: str = "once") -> Called:
        """A call of a client, and its first attempt."""
        self.oracle.requested(self.ada, 1, request(request_id))
        target = SimpleNamespace(
            service="Shop",
            wire_name="pay",
            delivery=delivery,
            timeout=5.0,
            decode=msgspec.json.decode,
        )
        call: Any = Deferred()
        vars(call).update(
            target=target, params=b"[1]", id=request_id, deadline=5.0, seq=1
        )
        return self.oracle.calling("client-0", call)

    def says(self, invariant: str) -> None:
        """What it has seen breaks an invariant."""
        self.assertIsNotNone(self.oracle.violation, invariant)
        self.assertTrue(
            str(self.oracle.violation).startswith(f"{invariant}: "),
            self.oracle.violation,
        )

    def ran(self, result: bytes = b"7") -> None:
        """The call has run."""
        asked = self.oracle.asked["s:1"]
        asked.runs.append("server-0")
        asked.returned.add(result)

    def test_nothing(self) -> None:
        """
        A call, its run and its answer.
        """
        called = self.called()
        self.ran()
        self.oracle.replied(self.ada, 1, reply())
        called.call.callback(7)
        self.oracle.close({1})
        self.assertIsNone(self.oracle.violation)
        self.assertEqual(self.oracle.outcomes, {"OK": 1})

    def test_answered_twice(self) -> None:
        """
        I10: an attempt has one answer.
        """
        self.called()
        self.ran()
        self.oracle.replied(self.ada, 1, reply())
        self.oracle.replied(self.ada, 1, reply())
        self.says("I10")

    def test_never_answered(self) -> None:
        """
        I10: and it has one, if its connection lives.
        """
        called = self.called()
        self.oracle.asked["s:1"].runs.append("server-0")
        called.call.errback(RPCError(Code.UNAVAILABLE, executed="unknown"))
        self.oracle.close({2})
        self.assertIsNone(self.oracle.violation)
        self.oracle.close({1})
        self.says("I10")
        self.failureResultOf(called.call, RPCError)

    def test_cancelled(self) -> None:
        """
        But for what was cancelled.
        """
        called = self.called()
        cancel = RequestMessage("$1", "cancel", msgspec.Raw(b'["s:1"]'), 1.0, "$rpc")
        self.oracle.requested(self.ada, 1, cancel)
        called.call.addErrback(lambda _: None)
        called.call.cancel()
        self.oracle.close({1})
        self.assertIsNone(self.oracle.violation)
        self.assertEqual(self.oracle.outcomes, {"cancelled": 1})

    def test_shown_to_others(self) -> None:
        """
        I5: an answer is for the principal whose call it was.
        """
        self.called()
        self.oracle.requested(self.eve, 2, request())
        self.oracle.replied(self.eve, 2, reply())
        self.says("I5")

    def test_two_results(self) -> None:
        """
        I3: an id has one result.
        """
        self.called()
        self.oracle.asked["s:1"].delivery = "once"
        self.ran()
        self.ran(b"8")
        self.oracle.requested(self.ada, 2, request())
        self.oracle.replied(self.ada, 1, reply())
        self.oracle.replied(self.ada, 2, reply(result=b"8"))
        self.says("I3")

    def test_attempts(self) -> None:
        """
        I13: there are at most five attempts.
        """
        self.called()
        for number in range(2, 6):
            self.oracle.requested(self.ada, number, request())
        self.assertIsNone(self.oracle.violation)
        self.oracle.requested(self.ada, 6, request())
        self.says("I13")

    def test_other_parameters(self) -> None:
        """
        I13: an attempt repeats the one before it.
        """
        self.called()
        self.oracle.requested(self.ada, 2, request(params=b"[2]"))
        self.says("I13")

    def test_sent_late(self) -> None:
        """
        I13: nothing is sent after the deadline.
        """
        self.called()
        self.now = 5.01
        self.oracle.requested(self.ada, 2, request())
        self.says("I13")

    def test_ended_late(self) -> None:
        """
        I15: nor does a call go on long after it.
        """
        called = self.called()
        self.now = 5.2
        called.call.callback(7)
        self.says("I15")

    def test_not_ended(self) -> None:
        """
        I15: every call ends.
        """
        self.called()
        self.oracle.close(set())
        self.says("I15")
        self.assertEqual(self.oracle.outcomes, {"open": 1})

    def test_untyped(self) -> None:
        """
        I13: a call fails with nothing but an RPCError.
        """
        called = self.called()
        called.call.errback(Failure(ZeroDivisionError()))
        self.says("I13")
        self.failureResultOf(called.call, ZeroDivisionError)

    def test_second_id(self) -> None:
        """
        I14: what may have run gets no second id; what was refused does.
        """
        called = self.called()
        refused = ReplyMessage(
            "s:1", error="no", ext=ReplyExt(code="UNAVAILABLE", executed="no")
        )
        self.oracle.replied(self.ada, 1, refused)
        called.call.id = "s:2"
        self.oracle.requested(self.ada, 1, request("s:2"))
        self.assertIsNone(self.oracle.violation)
        called.call.id = "s:3"
        self.oracle.requested(self.ada, 1, request("s:3"))
        self.says("I14")

    def test_results_without_a_run(self) -> None:
        """
        I2: a result is that of a run.
        """
        called = self.called()
        called.call.callback(7)
        self.oracle.close(set())
        self.says("I2")

    def test_denied(self) -> None:
        """
        I6: what ran is not said not to have.
        """
        called = self.called()
        self.oracle.asked["s:1"].runs.append("server-0")
        called.call.errback(RPCError(Code.UNAVAILABLE, executed="no"))
        self.oracle.close(set())
        self.says("I6")
        self.failureResultOf(called.call, RPCError)

    def test_run_for_somebody_else(self) -> None:
        """
        A call that was refused, and was run for another that knows its id and
        session, did not run as far as its caller was answered.
        """
        called = self.called()
        other = Host("client-2", 3, NodeClock(SimulatedClock(0.0)), "ada")
        self.oracle.requested(other, 2, request())
        self.oracle.asked["s:1"].runs.append("server-0")
        called.call.errback(RPCError(Code.UNAVAILABLE, executed="no"))
        self.oracle.close(set())
        self.assertIsNone(self.oracle.violation)
        self.failureResultOf(called.call, RPCError)

    def test_sent_as_another(self) -> None:
        """
        I13: what is sent is what was called.
        """
        called = self.called()
        called.call.id = "s:2"
        self.oracle.asked["s:1"].refused = 1
        self.oracle.requested(self.ada, 1, request("s:2", b"[2]"))
        self.says("I13")

    def test_answer_of_another(self) -> None:
        """
        I2: a result on the wire is that of a run too.
        """
        self.called()
        self.ran()
        self.oracle.replied(self.ada, 1, reply(result=b"8"))
        self.says("I2")

    def test_error_of_another(self) -> None:
        """
        I2: and so is an exception of the IDL.
        """
        called = self.called()
        self.oracle.asked["s:1"].failed.add(("Shut", b"{}"))
        for data in (b"{}", b'{"until":5}'):
            self.assertIsNone(self.oracle.violation)
            ext = ReplyExt("ABORTED", "yes", "Shut", msgspec.Raw(data))
            self.oracle.requested(self.ada, 1, request())
            self.oracle.replied(self.ada, 1, ReplyMessage("s:1", error="no", ext=ext))
        self.says("I2")
        self.assertEqual(called.runs, 0)

    def test_id_of_another(self) -> None:
        """
        I4: nobody is told that an id is another call's, unless somebody else has
        used it.
        """
        called = self.called()
        self.oracle.requested(self.eve, 2, request())
        called.call.errback(RPCError(Code.ID_REUSED))
        self.assertIsNone(self.oracle.violation)
        self.failureResultOf(called.call, RPCError)
        self.setUp()
        called = self.called()
        called.call.errback(RPCError(Code.ID_REUSED))
        self.says("I4")
        self.failureResultOf(called.call, RPCError)


SHOP = load_idl_text(
    """
    @code("ABORTED") exception Shut { int until; }
    service Shop {
        int pay(int amount);
        int sell(int amount) throws Shut;
        @readonly int look(int amount);
    }
    service Stall { int pay(int amount); }
    """
)


class Shop:
    """
    Says how much.
    """

    async def pay(self, amount: int) -> int:
        return amount

    def sell(self, amount: int) -> int:
        raise SHOP.Shut(until=amount)

    def look(self, amount: int) -> int:
        return amount


class RunTests(SynchronousTestCase):
    """
    What runs for a call is what it asked for.
    """

    def setUp(self) -> None:
        self.oracle = Oracle(lambda: 0.0)
        self.registry = Registry()
        self.registry.register(SHOP.IShop, Shop())
        self.registry.register(SHOP.IStall, Shop())
        self.oracle.watch("server-0", self.registry, lambda: True)
        self.ada = Host("client-0", 1, NodeClock(SimulatedClock(0.0)), "ada")

    def run_for_pay(
        self, name: str = "Shop.pay", args: tuple[int, ...] = (1,), **changed: Any
    ) -> Any:
        """Something runs for a call of C{Shop.pay(1)}."""
        self.oracle.requested(self.ada, 1, request())
        service, _, method = name.partition(".")
        found = self.registry.services[service].methods[method]
        given = {
            "method": found.schema,
            "params": b"[1]",
            "id": "s:1",
            "seq": 1,
            **changed,
        }
        origin = SimpleNamespace(principal="ada")
        made = Request(deadline=5.0, origin=origin, **given)
        return made.run(found.function, *args)

    def says(self, invariant: str) -> None:
        """Its name."""
        self.assertTrue(
            str(self.oracle.violation).startswith(f"{invariant}: "),
            self.oracle.violation,
        )

    def test_right(self) -> None:
        """
        The method, with the parameters; and what it comes to is the result.
        """
        self.successResultOf(Deferred.fromCoroutine(self.run_for_pay()))
        self.oracle.replied(self.ada, 1, reply(result=b"1"))
        self.assertIsNone(self.oracle.violation)
        self.oracle.requested(self.ada, 1, request())
        self.oracle.replied(self.ada, 1, reply(result=b"2"))
        self.says("I2")

    def test_another_method(self) -> None:
        """
        I4, of a method.
        """
        self.assertRaises(SHOP.Shut, self.run_for_pay, "Shop.sell")
        self.says("I4")

    def test_another_service(self) -> None:
        """
        I4, of a service.
        """
        self.run_for_pay("Stall.pay").close()
        self.says("I4")

    def test_another_name(self) -> None:
        """
        I4, of what the call says that it is.
        """
        method = self.registry.services["Stall"].methods["pay"].schema
        self.run_for_pay(method=method).close()
        self.says("I4")

    def test_other_arguments(self) -> None:
        """
        I4, of what the implementation is given.
        """
        self.run_for_pay(args=(2,)).close()
        self.says("I4")

    def test_parameters_of_nobody(self) -> None:
        """
        I4, of parameters that were never written.
        """
        self.run_for_pay(args=(2,), params=b"[2]").close()
        self.says("I4")

    def test_nobody(self) -> None:
        """
        I4, of an id that was never written.
        """
        self.run_for_pay(id="s:2").close()
        self.says("I4")

    def test_resolved(self) -> None:
        """
        What a resolver knows of a run is its result, too.
        """
        found = self.registry.services["Shop"].methods["pay"]
        found.resolver = lambda call: 5
        self.oracle.watch("server-0", self.registry, lambda: True)
        self.oracle.requested(self.ada, 1, request())
        call = UnknownCall("Shop", "pay", "s:1", "ada")
        self.assertEqual(found.resolver(call), 5)
        self.oracle.replied(self.ada, 1, reply(result=b"5"))
        self.assertIsNone(self.oracle.violation)

    def test_more_often_than_sent(self) -> None:
        """
        I1: also what may run again runs once for each time that it was sent.
        """
        self.oracle.requested(
            self.ada, 1, RequestMessage("s:1", "look", msgspec.Raw(b"[1]"), 1.0, "Shop")
        )
        for _ in range(2):
            self.assertIsNone(self.oracle.violation)
            self.run_for_pay("Shop.look")
        self.assertIsNone(self.oracle.violation)
        found = self.registry.services["Shop"].methods["look"]
        again = Request(found.schema, b"[1]", "s:1", 5.0, SimpleNamespace(principal=""))
        for _ in range(2):
            again.run(found.function, 1)
        self.says("I1")


class StoreTests(SynchronousTestCase):
    """
    A store that is looked at.
    """

    def setUp(self) -> None:
        self.oracle = Oracle(lambda: 0.0)
        self.store = MemoryStore(window=2, waiters=1)
        self.session, _ = self.store.attach("ada", None)
        self.oracle.look_at(self.store)

    def says(self, invariant: str) -> None:
        """What is seen breaks an invariant."""
        self.oracle.look_at(self.store)
        self.assertTrue(str(self.oracle.violation).startswith(f"{invariant}: "))

    def test_bounds(self) -> None:
        """
        I9: bytes, sessions, records and waiters.
        """
        self.store.bytes += self.store.total_bytes
        self.says("I9")

    def test_sessions(self) -> None:
        """
        I9, of sessions.
        """
        self.store.max_sessions = 0
        self.says("I9")

    def test_records(self) -> None:
        """
        I9, of a window.
        """
        for seq in (1, 2, 3):
            self.session.records[seq] = Record("", b"")
        self.says("I9")

    def test_waiters(self) -> None:
        """
        I9, of those who wait for a run.
        """
        self.session.records[1] = Record("", b"", run=[1, 2])
        self.says("I9")

    def test_floor(self) -> None:
        """
        I7: a floor never falls.
        """
        self.session.floor = 5
        self.oracle.look_at(self.store)
        self.session.floor = 4
        self.says("I7")
