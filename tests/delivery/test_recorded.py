"""
The state machine of servers over every real store, for a short time;
C{python -m tests.proofs mutants} has 2,000 runs over each.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.driven import BEDS
from tests.delivery.recorded import Recorded
from tests.proofs.mutants import SHARED


class RecordedTests(SynchronousTestCase):
    """
    The invariants hold over every store.
    """

    def run_over(self, name: str, examples: int, **options: Any) -> None:
        """So many runs."""
        bed = BEDS[name]()
        self.addCleanup(bed.remove)
        run_state_machine_as_test(
            type("Machine", (Recorded,), {"bed": bed}),
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                **options,
            ),
        )

    def test_memory(self) -> None:
        """
        Over the memory of one server, which a restart ends.
        """
        self.run_over("memory", 30)

    def test_sqlite(self) -> None:
        """
        Over a file that two servers share.
        """
        self.run_over("sqlite", 15)

    def test_postgresql(self) -> None:
        """
        Over a database that two servers share.
        """
        self.run_over("postgresql", 4)

    def test_redis(self) -> None:
        """
        Over a Redis that two servers share.
        """
        self.run_over("redis", 6)

    def test_unfenced_completion(self) -> None:
        """
        A store that lets a run complete a record that is another's by now is
        found (I11).
        """
        ((where, name, mistake),) = SHARED["no_fence"]
        with patch.object(where, name, mistake):
            found = self.assertRaises(
                AssertionError,
                self.run_over,
                "sqlite",
                500,
                phases=[Phase.generate],
                database=None,
                derandomize=True,
            )
        self.assertRegex(str(found), r"I11|I3|became")
