# -*- test-case-name: tests.delivery.test_sqlite -*-
"""
Which processes that share a file are alive: each holds a lock that the system
lets go when it ends, however it ends, so that no clock is needed.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class OwnerLock:
    """
    The lock of one life of a process.
    """

    def __init__(self, database: Path, owner: str) -> None:
        """
        Take it.
        """
        self._path = lock_path(database, owner)
        while True:
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Somebody who tidies up may have removed it before it was locked.
            if _is(self._path, self._file):
                return
            os.close(self._file)

    def release(self) -> None:
        """
        Let it go: this life is over.
        """
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def lock_path(database: Path, owner: str) -> Path:
    """
    The file that the process of C{owner} has locked.
    """
    return database.with_name(f"{database.name}-owner-{owner.rpartition('/')[2]}")


def is_gone(database: Path, owner: str) -> bool:
    """
    Whether the process of C{owner} has ended.
    """
    return remove_if_free(lock_path(database, owner))


def remove_if_free(path: Path) -> bool:
    """
    Remove a lock file that nobody holds.

    @return: whether there is none any more.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        if _is(path, file):
            path.unlink(missing_ok=True)
        return True
    finally:
        os.close(file)


def _is(path: Path, file: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False
