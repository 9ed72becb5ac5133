"""
The tests; a folder mirrors a folder of modules.
"""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A machine that others use too is slow now and then; that is no failure.
settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # What a shell starts in the background ignores Ctrl-C, and so would the programs
    # that tests start, and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
