"""
Deduplication over the real store, in any order of events.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.deduplicating import Deduplicating
from tests.delivery.together import Together
from tests.taken import taken
from twisted_rpc import transport


class MachineTests(SynchronousTestCase):
    """
    The invariants hold over the real store.
    """

    def test_together(self) -> None:
        """
        Also where calls come together, and go the straight way.
        """
        straight = taken(self)
        # Few fit into the window.
        self.patch(transport, "SEVERAL", 1)
        run_state_machine_as_test(
            Together,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        self.assertGreater(straight.frames, 10)

    def test_invariants(self) -> None:
        """
        Whatever callers do and befalls the server, in whichever order.
        """
        run_state_machine_as_test(
            Deduplicating,
            settings=settings(
                max_examples=300,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
