# -*- test-case-name: tests.client.interceptors.test_caching -*-
"""
Answers that a client keeps: C{@cache} of the IDL.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred

from twisted_rpc.call import Answer, Request, Responder
from twisted_rpc.client.counters import Counters
from twisted_rpc.client.interceptors.keys import question

#: What an entry costs beside the text of the answer and of the arguments, about.
ENTRY = 300


class ResponseCache:
    """
    The answers of one client's methods that the IDL says may be kept.

    They are kept as the text they came in, so that each caller gets a value of
    his own.  When there is no room the one goes that was not asked for longest.

    @ivar max_bytes: of answers, with what it takes to find them.
    @ivar size: bytes that are kept.
    """

    def __init__(self, max_bytes: int, counters: Counters) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._counters = counters
        self._answers: OrderedDict[Hashable, tuple[float, bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, key: Hashable, now: float) -> bytes | None:
        """
        @return: an answer whose time is not over.
        """
        found = self._answers.get(key)
        if found is not None and found[0] > now:
            self._answers.move_to_end(key)
            self._counters.cache_hits += 1
            return found[1]
        if found is not None:
            self._drop(key)
        self._counters.cache_misses += 1
        return None

    def keep(self, key: Hashable, answer: bytes, until: float, asked: int) -> None:
        """
        Keep an answer.

        @param asked: bytes of the arguments.
        """
        self._drop(key)
        size = len(answer) + asked + ENTRY
        if size > self.max_bytes:
            return
        while self.size + size > self.max_bytes:
            self._drop(next(iter(self._answers)))
            self._counters.cache_evictions += 1
        self._answers[key] = until, answer, size
        self.size += size

    def _drop(self, key: Hashable) -> None:
        found = self._answers.pop(key, None)
        if found is not None:
            self.size -= found[2]

    def clear(self) -> None:
        """
        Keep nothing of what there is.
        """
        self._answers.clear()
        self.size = 0


class Caching:
    """
    Answers a method from the cache for C{ttl} seconds.  Errors are not kept.
    """

    def __init__(
        self,
        cache: ResponseCache,
        seconds: Callable[[], float],
        schema: Any,
        annotation: Any,
    ) -> None:
        self._cache = cache
        self._seconds = seconds
        self._schema = schema
        self._ttl: float = annotation.args["ttl"]
        vary = annotation.args.get("vary")
        names = [each.model.name for each in schema.params]
        self._positions = None if vary is None else [names.index(each) for each in vary]

    def __call__(self, responder: Responder) -> Responder:
        """
        @return: one that looks into the cache first.
        """

        def respond(request: Request) -> Answer:
            key = self._schema, question(request, self._positions)
            found = self._cache.find(key, self._seconds())
            if found is not None:
                return found

            def kept(answer: bytes) -> bytes:
                until = self._seconds() + self._ttl
                self._cache.keep(key, answer, until, len(request.params))
                return answer

            answer = responder(request)
            if isinstance(answer, Deferred):
                return answer.addCallback(kept)
            return kept(answer)

        return respond
