# -*- test-case-name: tests.client.test_calls -*-
"""
What usually is so, without keeping what was.
"""

from __future__ import annotations


def moved(median: float, value: float) -> float:
    """
    Move an estimate of the median towards a value that was seen: up and down by
    equal steps, so that it settles where half of them are below it.

    @param median: 0: nothing was seen yet.
    """
    if not median:
        return value
    step = max(median, 1e-5) * 0.05
    return median + step if value > median else max(0.0, median - step)
