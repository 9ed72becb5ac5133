# -*- test-case-name: tests.test_tap -*-
"""
What C{twistd rpc --check} prints: all that would be served, and how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from twisted_rpc.idl import MethodSchema
from twisted_rpc.quantities import shown_duration, shown_size
from twisted_rpc.server import Registry
from twisted_rpc.server.overload.method_limits import annotation
from twisted_rpc.server.registry import RegisteredService
from twisted_rpc.server.verification.findings import described

#: Each class of method: what a caller may rely on, in a line.
GUARANTEES: Final = {
    "readonly": "runs any number of times, changes nothing",
    "idempotent": "runs at least once when it is retried",
    "once": "runs at most once; its answer is kept and given again",
    "transactional": "takes effect exactly once",
}


def report(registry: Registry, options: Any) -> str:
    """
    What would be served.

    @param options: those of C{twistd rpc}, read.
    """
    lines: list[str] = []
    for service in registry.services.values():
        lines += _service(service, options)
    lines += [f"listen  {endpoint}" for endpoint in options["listen"]]
    if options["workers"] > 1:
        lines.append(f"workers {options['workers']} processes on the same sockets")
    lines.append(f"dedup   {_store(options.store)}")
    lines.append(
        f"limits  frames of {shown_size(options.limits.max_frame)}, calls of"
        f" {shown_duration(options['default-timeout'])} unless they say otherwise,"
        f" {shown_duration(options['drain'])} to end"
    )
    lines += _promises(registry, options.store)
    return "\n".join(lines)


def _service(service: RegisteredService, options: Mapping[str, Any]) -> Iterator[str]:
    name = service.schema.wire_name
    yield f"{name}, implemented by {described(service.implementation)}"
    methods = service.schema.by_name.values()
    width = max((len(it.wire_name) for it in methods), default=0)
    for method in methods:
        threaded = service.methods[method.wire_name].threaded
        yield f"  {method.wire_name:<{width}}  {_method(service, method, options, threaded)}"
    if options["verbose"]:
        for text in service.unchecked:
            yield f"  not checked: {text}"


def _method(
    service: RegisteredService,
    method: MethodSchema,
    options: Mapping[str, Any],
    threaded: bool,
) -> str:
    seconds = (
        method.timeout if method.timeout is not None else options["default-timeout"]
    )
    words = [f"{method.delivery:<13}", shown_duration(seconds)]
    if threaded:
        words.append("in a thread")
    if method.oneway:
        words.append("oneway")
    most = annotation("max_concurrency", method.model, service.schema.model)
    if most is not None:
        words.append(f"at most {most['calls']} at once")
    rate = annotation("rate_limit", method.model, service.schema.model)
    if rate is not None:
        words.append(f"{rate['calls']} in {shown_duration(rate['per'])} a caller")
    return "  ".join(words)


def _store(store: Any) -> str:
    life = "outlives the process" if store.durable else "as long as the process lives"
    return (
        f"{store.name}: {life}, sessions without a connection for"
        f" {shown_duration(store.retention)}, answers of {shown_size(store.total_bytes)}"
        " in all"
    )


def _promises(registry: Registry, store: Any) -> Iterator[str]:
    """
    The classes that occur, each with what it promises.
    """
    used = {
        method.delivery
        for service in registry.services.values()
        for method in service.schema.by_name.values()
    }
    for name, text in GUARANTEES.items():
        if name in used:
            kept = (
                ""
                if store.durable or name in ("readonly", "idempotent")
                else ("; after a restart its callers are told that it is unknown")
            )
            yield f"{name:<13} {text}{kept}"
