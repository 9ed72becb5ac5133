"""
The tests; a folder mirrors a folder of modules.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A machine that others use too is slow now and then; that is no failure.
settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")
