"""
Tests that each caller of a client gets the answer to his own call.
"""

from __future__ import annotations

import io
import json
from argparse import Namespace
from collections.abc import Callable
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.client.answering import KEYS, STEPS, Step, faults_of, random_steps
from tests.proofs import answers
from tests.proofs.answers import PROOF
from tests.proofs.proof import Progress
from twisted_rpc.client import protocol
from twisted_rpc.client.calls import Call
from twisted_rpc.client.interceptors import caching, coalescing, hedging, keys
from twisted_rpc.client.interceptors.caching import ResponseCache
from twisted_rpc.client.interceptors.coalescing import Coalescing
from twisted_rpc.client.link import Link
from twisted_rpc.client.plain import PlainLane
from twisted_rpc.client.pool import Pool
from twisted_rpc.deadlines import Deadlines
from twisted_rpc.wire import client

_number = st.integers(0, (1 << 16) - 1)


class AnswersTests(SynchronousTestCase):
    """
    Two services, many options, and a server that says everything at any time.
    """

    @settings(max_examples=150, deadline=None)
    @given(
        steps=st.lists(
            st.tuples(st.sampled_from(STEPS), _number, _number, _number), max_size=60
        ),
        is_plain=st.sampled_from((False, False, False, True)),
        is_guarded=st.sampled_from((False, False, True)),
        coalesce=st.booleans(),
        room=st.sampled_from((3, 1, 2, 64)),
        keys=st.integers(0, len(KEYS) - 1),
    )
    def test_own_answer(self, steps: list[Step], **options: Any) -> None:
        """
        Each call ends once and in time, with the answer to itself or an error that
        is true; one that may run once runs once; and nothing is left behind.
        """
        self.assertEqual(faults_of(steps, **options), [])

    def test_proof(self) -> None:
        """
        The proof is the same with numbers for what hypothesis chooses.
        """
        progress = Progress("answers", io.StringIO())
        self.assertEqual(PROOF.run(Namespace(first=0, worlds=10), progress), [])
        self.patch(answers, "faults_of", lambda steps, **options: ["one"])
        with self.assertRaisesRegex(AssertionError, "seed 3: .'one'."):
            PROOF.run(Namespace(first=3, worlds=10), progress)


def _neighbour(case: SynchronousTestCase) -> None:
    """An answer is given to the next call that waits."""
    succeeded = Link.succeeded

    def mutant(self: Link, call: Call, message: Any, its: Any) -> None:
        for other in list(self.pending.values()):
            if other.flying is not None and not other.forsaken:
                del self.pending[other.id]
                self.pending[call.id] = call
                call = other
                break
        succeeded(self, call, message, its)

    case.patch(Link, "succeeded", mutant)


def _flights_of_all(case: SynchronousTestCase) -> None:
    """Calls of other methods and services are joined."""
    init = Coalescing.__init__
    flights: dict[Any, Any] = {}

    def mutant(self: Coalescing, pool: Pool, schema: Any) -> None:
        init(self, pool, schema)
        self._flights = flights

    case.patch(Coalescing, "__init__", mutant)


def _question(*modules: Any, key: Callable[[Any], Any]) -> Any:
    """Calls are told apart by less."""

    def change(case: SynchronousTestCase) -> None:
        for module in modules:
            case.patch(module, "question", lambda request, _=None: key(request))

    return change


def _meta(request: Any) -> Any:
    return keys._distinguishing(request.metadata)


def _params(request: Any) -> Any:
    return bytes(request.params)


def _values(request: Any) -> Any:
    """What is equal in Python is taken for the same."""
    return repr(_meta(request)), _frozen(json.loads(bytes(request.params)))


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return repr(value) if isinstance(value, dict) else value


def _cache_of_all(case: SynchronousTestCase) -> None:
    """An answer is kept for all methods that have such arguments."""
    find, keep = ResponseCache.find, ResponseCache.keep
    case.patch(ResponseCache, "find", lambda self, key, now: find(self, key[1], now))
    case.patch(
        ResponseCache, "keep", lambda self, key, *more: keep(self, key[1], *more)
    )


def _kept_for_ever(case: SynchronousTestCase) -> None:
    """An answer is kept for ever."""
    keep = ResponseCache.keep
    case.patch(
        ResponseCache,
        "keep",
        lambda self, key, answer, until, asked: keep(self, key, answer, inf, asked),
    )


def _still_pending(case: SynchronousTestCase) -> None:
    """What was given up, or is late, is answered all the same."""
    case.patch(Link, "end", lambda self, call: None)


def _new_id(case: SynchronousTestCase) -> None:
    """Another attempt has another id."""
    rewrite = Link.rewrite

    def mutant(self: Link, call: Call) -> None:
        if self.protocol is not None and call.id in self.pending:
            del self.pending[call.id]
            call.seq = self._next_seq
            self._next_seq += 1
            call.id = f"{self._prefix}{call.seq}"
            self.pending[call.id] = call
        rewrite(self, call)

    case.patch(Link, "rewrite", mutant)


def _made_anew(case: SynchronousTestCase) -> None:
    """What may run once is made anew when its session has ended."""
    case.patch(Call, "repeatable", property(lambda self: True))


def _has_not_run(case: SynchronousTestCase) -> None:
    """What has no answer is said not to have run."""
    gave_up = Call.gave_up

    def mutant(self: Call, *, late: bool = False) -> None:
        self.ambiguous, self.flying = False, None
        gave_up(self, late=late)

    case.patch(Call, "gave_up", mutant)


def _near(change: Callable[[str], str]) -> Callable[[SynchronousTestCase], None]:
    """An id that is nearly right is taken for right."""
    read = client.read_reply

    def mutant(frame: bytes) -> Any:
        reply = read(frame)
        reply.request_id = change(reply.request_id)
        return reply

    return lambda case: case.patch(protocol, "read_reply", mutant)


def _behind_another(case: SynchronousTestCase) -> None:
    """After a call to a plain server that was given up comes the next."""
    case.patch(PlainLane, "give_up", lambda self: setattr(self, "call", None))


def _joined_when_landed(case: SynchronousTestCase) -> None:
    """Calls wait for an answer that has come."""
    case.patch(Coalescing, "landed", lambda self, key, flight: None)


def _told_all(case: SynchronousTestCase) -> None:
    """What has ended is told that it is late."""

    def mutant(self: Deadlines, tick: int) -> None:
        for thing in self._ticks.pop(tick, {}):
            thing.expired()

    case.patch(Deadlines, "_expire", mutant)


def _looked_at_once(case: SynchronousTestCase) -> None:
    """Only the first deadline is looked at."""
    look = Pool._look_at

    def mutant(self: Pool, deadline: float) -> None:
        look(self, deadline)
        self._looked_at = -inf

    case.patch(Pool, "_look_at", mutant)


def _first_copy_forgotten(case: SynchronousTestCase) -> None:
    """Of two attempts the last says whether they ran."""
    case.patch(hedging, "_did_not_run", lambda result: False)


#: The mistakes, and of which seed on they are looked for: the first that is known to
#: find them.
MUTANTS: dict[str, tuple[int, Callable[[SynchronousTestCase], None]]] = {
    "neighbour": (0, _neighbour),
    "flights of all": (42, _flights_of_all),
    "joined whatever the arguments": (30, _question(coalescing, key=_meta)),
    "joined for whomever": (38, _question(coalescing, key=_params)),
    "joined if equal": (155, _question(coalescing, key=_values)),
    "kept whatever the arguments": (20, _question(caching, key=_meta)),
    "kept for whomever": (33, _question(caching, key=_params)),
    "kept if equal": (20, _question(caching, key=_values)),
    "cache of all": (0, _cache_of_all),
    "kept for ever": (3, _kept_for_ever),
    "still pending": (2, _still_pending),
    "new id": (42, _new_id),
    "made anew": (93, _made_anew),
    "has not run": (0, _has_not_run),
    "near id, space": (38, _near(str.strip)),
    "near id, letters": (128, _near(str.lower)),
    "near id, zero": (41, _near(lambda each: each.replace(":0", ":"))),
    "behind another": (24, _behind_another),
    "joined when landed": (17, _joined_when_landed),
    "told all": (6, _told_all),
    "looked at once": (1, _looked_at_once),
    "first copy forgotten": (64, _first_copy_forgotten),
}


class MutantTests(SynchronousTestCase):
    """
    What the test above is worth: mistakes that were made on purpose.
    """


def _found(name: str) -> Callable[[SynchronousTestCase], None]:
    first, mistake = MUTANTS[name]

    def test(self: SynchronousTestCase) -> None:
        mistake(self)
        for seed in range(first, first + 1000):
            steps, options = random_steps(seed)
            if faults_of(steps, **options):
                return
        self.fail(f"{name} is not found")

    test.__doc__ = mistake.__doc__ or f"It is found: {name}."
    return test


for _name in MUTANTS:
    setattr(
        MutantTests, f"test_{_name.replace(', ', '_').replace(' ', '_')}", _found(_name)
    )
