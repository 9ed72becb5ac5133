# -*- test-case-name: tests.delivery.test_workers -*-
"""
The threads that talk to a database.

What waits for a thread is done in one transaction, and each is told its result
when that has been committed: under load a commit, which is what takes the time,
serves many (group commit).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from math import inf
from threading import Condition, Thread
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rpc.delivery.claims import StoreError
from twisted_rpc.errors import RPCError

#: Seconds between two attempts to do what the database would not.
_PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


class Connection(Protocol):
    """
    A connection to a database, used by one thread.
    """

    def begin(self) -> Any:
        """
        Begin a transaction.

        @return: a L{twisted_rpc.delivery.sql.transitions.Transaction}.
        """
        ...

    def commit(self) -> None:
        """
        Commit it.
        """
        ...

    def rollback(self) -> None:
        """
        Undo it.
        """
        ...

    def close(self) -> None:
        """
        Let the database go.
        """
        ...

    def lost(self, error: BaseException) -> bool:
        """
        Whether C{error} says that the connection is of no use any more.
        """
        ...

    def passing(self, error: BaseException) -> bool:
        """
        Whether the same may work if it is tried again soon.
        """
        ...

    def trouble(self, error: BaseException) -> str | None:
        """
        What to tell of an error of the database; C{None}, it is none.
        """
        ...


#: Something to do in a transaction.  It may be done again, if that is undone.
#: An L{RPCError} that it returns is what its Deferred fails with.
Step = Callable[[Any], Any]


class _Asked:
    """
    @ivar ambiguous: it may have been done, and nobody knows.
    """

    __slots__ = ("alone", "ambiguous", "deferred", "since", "step")

    def __init__(self, step: Step, alone: bool) -> None:
        self.step = step
        self.alone = alone
        self.ambiguous = False
        self.deferred: Deferred[Any] = Deferred()
        self.since = time.monotonic()

    def failure(self, text: str) -> Failure:
        return Failure(StoreError(text, ambiguous=self.ambiguous))


class Workers:
    """
    Threads with a connection each.
    """

    _log = Logger(namespace="twisted_rpc.delivery")

    def __init__(
        self,
        reactor: Any,
        connect: Callable[[], Connection],
        committing: Callable[[], Callable[[dict[str, int]], None]],
        *,
        threads: int = 1,
        together: int = 256,
        patience: float = 5.0,
    ) -> None:
        """
        @param committing: called in the thread before each commit; what it returns
            is called afterwards, with what the transaction has added.
        @param together: steps in one transaction, at most.
        @param patience: seconds, from when it is asked for, in which a step is
            tried again.  What waits for a connection waits no longer, unless others
            have done something for that long.
        """
        self._reactor = reactor
        self._connect = connect
        self._committing = committing
        self._most = together
        self._patience = patience
        self._queue: deque[_Asked] = deque()
        self._waiting = Condition()
        self._closed = False
        #: When it was asked to stop: nothing is tried longer than since then.
        self._ending = inf
        #: When a thread last did something.
        self._worked = -inf
        self._ends: list[Deferred[None]] = []
        self._done: deque[tuple[Sequence[_Asked], Sequence[Any]]] = deque()
        for number in range(threads):
            ended: Deferred[None] = Deferred()
            self._ends.append(ended)
            Thread(
                target=self._work,
                args=(ended,),
                name=f"twisted_rpc store {number}",
                daemon=True,
            ).start()

    def ask(self, step: Step, *, alone: bool = False) -> Deferred[Any]:
        """
        Do C{step} in a transaction.

        @param alone: in one of its own.

        @return: fires when that has been committed.
        """
        if self._closed:
            return fail(StoreError("the store is closed"))
        asked = _Asked(step, alone)
        with self._waiting:
            self._queue.append(asked)
            self._waiting.notify()
        return asked.deferred

    def stop(self, since: float | None = None) -> Deferred[Any]:
        """
        Do what was asked for, and end the threads.

        @param since: by C{time.monotonic}, from when it is patient, whenever a step
            was asked for; C{None}: from now on.

        @return: fires when they have ended.
        """
        if not self._closed:
            self._closed = True
            self._ending = time.monotonic() if since is None else since
            with self._waiting:
                self._waiting.notify_all()
        return gatherResults(self._ends)

    # -- in the threads ---------------------------------------------------------------

    def _work(self, ended: Deferred[None]) -> None:
        thread = _Thread(self)
        try:
            while (batch := self._take()) is not None:
                thread.run(batch)
        finally:
            thread.let_go()
            self._reactor.callFromThread(ended.callback, None)

    def _tell(self, asked: Sequence[_Asked], results: Sequence[Any]) -> None:
        if not asked:
            return
        with self._waiting:
            self._done.append((asked, results))
            first = len(self._done) == 1
        if first:
            # To wake the reactor takes a system call; once is enough.
            self._reactor.callFromThread(self._deliver)

    def _is_late(self, asked: _Asked) -> bool:
        return time.monotonic() - min(asked.since, self._ending) >= self._patience

    def _put_back(self, batch: deque[_Asked]) -> list[_Asked]:
        """
        One thread cannot begin: others that have a connection may.

        @return: those of the queue that wait no longer.
        """
        queue = self._queue
        with self._waiting:
            queue.extendleft(reversed(batch))
            batch.clear()
            late: list[_Asked] = []
            if time.monotonic() - self._worked >= self._patience:
                for _ in range(len(queue)):
                    each = queue.popleft()
                    (late if self._is_late(each) else queue).append(each)
            if queue:
                self._waiting.notify()
        return late

    def _take(self) -> deque[_Asked] | None:
        """
        Wait for something to do.

        @return: all that waits, in its order; C{None}: this thread is to end.
        """
        queue = self._queue
        with self._waiting:
            while not queue:
                if self._closed:
                    return None
                self._waiting.wait()
            batch = deque([queue.popleft()])
            if batch[0].alone:
                return batch
            while queue and len(batch) < self._most and not queue[0].alone:
                batch.append(queue.popleft())
            return batch

    def _deliver(self) -> None:
        done = self._done
        while done:
            for asked, result in zip(*done.popleft(), strict=True):
                if isinstance(result, RPCError):
                    asked.deferred.errback(Failure(result))
                else:
                    # A Failure too.
                    asked.deferred.callback(result)


class _Thread:
    """
    What one thread does.
    """

    # It is a part of Workers, in another thread.
    # ruff: noqa: SLF001

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._connection: Connection | None = None
        self._transaction: Any = None
        self._committing = False
        self._pauses = chain(_PAUSES, repeat(_PAUSES[-1]))

    def run(self, batch: deque[_Asked]) -> None:
        """
        Do what was asked for in one transaction; if that fails, each in its own,
        again and again if need be.
        """
        together = True
        while self._begin(batch):
            some = list(batch) if together else [batch[0]]
            try:
                results = self._commit(some)
            except Exception as error:  # noqa: BLE001 - sorted below
                text, again = self._undo(error)
                if self._committing and self._connection is None:
                    for each in some:
                        each.ambiguous = True
                if len(some) > 1:
                    # Each learns its own.
                    together = False
                    continue
                if text is None:
                    results = [Failure(error)]
                elif again and not self._workers._is_late(some[0]):
                    time.sleep(next(self._pauses))
                    continue
                else:
                    results = [some[0].failure(text)]
            for _ in some:
                batch.popleft()
            self._workers._tell(some, results)

    def _begin(self, batch: deque[_Asked]) -> bool:
        """
        Begin a transaction; if that does not work, leave to other threads what was
        asked for, and tell those who have waited for too long.

        @return: C{False}: nothing was begun.
        """
        if not batch:
            return False
        try:
            if self._connection is None:
                self._connection = self._workers._connect()
            self._transaction = self._connection.begin()
        except Exception as error:  # noqa: BLE001 - sorted below
            text, again = self._undo(error)
            late = self._workers._put_back(batch) if again else [*batch]
            self._workers._tell(
                late,
                [Failure(error) if text is None else it.failure(text) for it in late],
            )
            if again:
                time.sleep(next(self._pauses))
            return False
        return True

    def _commit(self, asked: Sequence[_Asked]) -> list[Any]:
        connection, transaction = self._connection, self._transaction
        assert connection is not None
        self._committing = False
        results = [each.step(transaction) for each in asked]
        # If it fails with the connection it may have worked.
        self._committing = True
        committed = self._workers._committing()
        connection.commit()
        committed(transaction.grown)
        self._workers._worked = time.monotonic()
        self._pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
        return results

    def _undo(self, error: Exception) -> tuple[str | None, bool]:
        """
        A transaction failed.

        @return: what to tell of it, and whether it may work another time.
        """
        connection = self._connection
        if connection is None:
            # It could not be made.
            if isinstance(error, StoreError):
                return str(error), True
            return None, False
        text = connection.trouble(error)
        if connection.lost(error):
            self.let_go()
            return text or str(error), True
        try:
            connection.rollback()
        except Exception as worse:  # noqa: BLE001 - then it is made anew
            self.let_go()
            return f"{text or error}; {worse}", True
        return text, connection.passing(error)

    def let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:  # noqa: BLE001 - it is not used any more
                self._workers._log.debug("closing: {error}", error=error)
