# -*- test-case-name: tests.test_printing -*-
"""
Printing to whoever reads it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def to_whoever_reads() -> Iterator[None]:
    """
    What is printed inside goes out; where nobody reads any further, as C{head} does
    not, that ends it, without a complaint.
    """
    try:
        try:
            yield
        finally:
            # Unlike flush() it does without a standard output, too.
            print(end="", flush=True)  # noqa: T201 - it prints nothing
    except BrokenPipeError:
        # What is left would be written when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
