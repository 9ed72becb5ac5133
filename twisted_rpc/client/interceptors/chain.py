# -*- test-case-name: tests.client.interceptors.test_chain -*-
"""
Which interceptors a method has, and in which order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted_rpc.call import Interceptor
from twisted_rpc.client.interceptors.caching import Caching
from twisted_rpc.client.interceptors.coalescing import Coalescing
from twisted_rpc.client.interceptors.deprecating import Deprecating
from twisted_rpc.client.interceptors.hedging import Hedging

if TYPE_CHECKING:
    from twisted_rpc.client.client import Client


def interceptors_of(client: Client, schema: Any) -> list[Interceptor]:
    """
    @param schema: a method in the IDL.

    @return: outermost first; none, as for nearly all methods: nothing stands
        between the proxy and the pool.
    """
    annotations = schema.model.annotations
    cached = annotations.get("cache") if client.cache.max_bytes else None
    hedged = annotations.get("hedge") if client.hedge else None
    chain: list[Interceptor] = []
    # The user's own see every call and every answer, wherever it comes from.
    chain += client.interceptors
    # A deprecated method is called, also when the cache answers.
    if schema.deprecated is not None:
        chain.append(Deprecating(client.pool.counters, schema))
    # What is in the cache costs nothing below.
    if cached is not None:
        chain.append(Caching(client.cache, client.seconds, schema, cached))
    # What is not, is asked for once.  Without a cache only if the user wishes
    # it: who joins a call that began earlier may read what was true then.
    if schema.delivery == "readonly" and (cached is not None or client.coalesce):
        chain.append(Coalescing(client.pool, schema))
    # Both count what the server does with a call, and refuse what it would:
    # the throttle some of it, the breaker all.
    if client.throttling is not None:
        chain.append(client.throttling)
    if client.circuits is not None:
        chain.append(client.circuits)
    # A copy is a second call for the pool, and one for all above.
    if hedged is not None:
        chain.append(Hedging(client.pool, float(hedged.args["quantile"][1:]) / 100))
    return chain
