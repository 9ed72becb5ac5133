"""
Proofs that are too long for each run of the tests, as named commands::

    python -m tests.proofs --list
"""
