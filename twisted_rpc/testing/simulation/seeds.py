# -*- test-case-name: tests.testing.test_simulation -*-
"""
Many seeds, and the one that fails.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping

#: Names the one seed that is to be tried.
VARIABLE = "TWISTED_RPC_SEED"


def for_each_seed(
    check: Callable[[int], object],
    count: int,
    *,
    first: int = 0,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """
    Check so many seeds; or one, if the environment's C{TWISTED_RPC_SEED} names
    it.

    @param check: raises C{AssertionError} if something is wrong.

    @raise AssertionError: what the first bad seed came to, and the command that
        does it again.
    """
    only = environment.get(VARIABLE)
    seeds = range(first, first + count)
    if only is not None:
        if not only.isdecimal():
            raise ValueError(f"{VARIABLE} is {only!r}: a whole number")
        seeds = range(int(only), int(only) + 1)
    for seed in seeds:
        try:
            check(seed)
        except AssertionError as error:
            again = f"{VARIABLE}={seed} {shlex.join(sys.argv)}"
            raise AssertionError(f"{error}\n\nto see it again: {again}") from error
