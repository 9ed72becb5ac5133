# -*- test-case-name: tests.client.test_proxy -*-
"""
Objects that provide an interface of the IDL, by calling a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, fail
from zope.interface import classImplements

from twisted_rpc.client.calls import Target
from twisted_rpc.client.retry import NO_RETRY, RetryPolicy
from twisted_rpc.errors import Code, InvalidValue, RPCError, refusal
from twisted_rpc.wire.metadata import legal_meta_name, meta_fault

if TYPE_CHECKING:
    from twisted_rpc.client.client import Client

_P = TypeVar("_P")


@dataclass(frozen=True)
class Options:
    """
    How calls are made; C{None}: as the IDL says, else as the client does.

    @ivar timeout: seconds, over all attempts.
    @ivar retry: provides L{IRetryPolicy<twisted_rpc.interfaces.IRetryPolicy>}.
    @ivar metadata: names to texts that go with each call.
    @ivar wait_for_ready: wait for a connection until the deadline, where others
        fail at once.
    """

    timeout: float | None = None
    retry: Any = None
    metadata: Mapping[str, str] | None = None
    wait_for_ready: bool | None = None

    def __post_init__(self) -> None:
        """
        Refuse what a server would, and what cannot be meant.
        """
        if self.timeout is not None and not 0 < self.timeout < 2**40:
            raise ValueError(f"timeout is {self.timeout}: seconds, above 0")
        if self.retry is not None and not hasattr(self.retry, "delay"):
            raise TypeError(
                f"retry is {self.retry!r}: a RetryPolicy, or another IRetryPolicy"
            )
        for name, text in (self.metadata or {}).items():
            if not legal_meta_name(name) or not isinstance(text, str):
                raise ValueError(
                    f"metadata {name!r}: names are of the form [a-z0-9._-]{{1,64}}, with texts"
                )

    def over(self, defaults: Options) -> Options:
        """
        These options, and C{defaults} where they leave something open.
        """
        given = {name: each for name, each in vars(self).items() if each is not None}
        given["metadata"] = {**(defaults.metadata or {}), **(self.metadata or {})}
        return replace(defaults, **given)


class Proxy:
    """
    What the proxies of all services have in common.

    The only public attributes are the methods of the IDL, so that no name is
    taken; what is said of a single call is said with L{with_options}.
    """

    def __init__(self, client: Client, service: Any, options: Options) -> None:
        self._rpc_client = client
        self._rpc_service = service
        self._rpc_options = options
        self._rpc_targets = {
            name: target(client, schema, options)
            for name, schema in service.by_name.items()
        }

    def _rpc_with(self, options: Options) -> Proxy:
        return make_proxy(
            self._rpc_client, self._rpc_service, options.over(self._rpc_options)
        )

    def __repr__(self) -> str:
        return f"<proxy of {self._rpc_service.name} at {self._rpc_client}>"


def target(client: Client, schema: Any, options: Options) -> Target:
    """
    How a method is called: by the options, else the IDL, else the client.
    """
    defaults = client.options
    timeout = options.timeout or schema.timeout or defaults.timeout or 30.0
    retry = options.retry or _idl_policy(schema, defaults.retry) or defaults.retry
    if schema.oneway:
        retry = NO_RETRY
    metadata = {**(defaults.metadata or {}), **(options.metadata or {})}
    fault = meta_fault(metadata, client.pool.limits)
    if fault:
        raise ValueError(f"metadata: {fault}")
    wait = options.wait_for_ready
    if wait is None:
        wait = bool(defaults.wait_for_ready)
    made = Target(schema, timeout, retry, metadata, wait)
    made.ask = client.way(schema)
    return made


def _idl_policy(schema: Any, default: Any) -> RetryPolicy | None:
    """
    C{@retry} of the method, or of its service.
    """
    if schema.retry is None:
        return None
    given: dict[str, Any] = {
        "maximum" if name == "max" else str(name): value
        for name, value in schema.retry.items()
        if value is not None
    }
    base = default if isinstance(default, RetryPolicy) else RetryPolicy()
    if "on" in given:
        given["on"] = frozenset(given["on"])
    # The one that the IDL names wins over the other, which it leaves open.
    if "initial" not in given and "maximum" in given:
        given["initial"] = min(base.initial, given["maximum"])
    if "maximum" not in given and "initial" in given:
        given["maximum"] = max(base.maximum, given["initial"])
    return replace(base, **given)


#: Where the class of a service's proxies is kept.  Interfaces of the same name
#: are equal to zope, so a dict by interface would mix up two versions of an IDL.
_CLASS = "twisted_rpc.proxy_class"


def proxy_class(service: Any) -> type[Proxy]:
    """
    The class of the proxies of a service: a method for each of the IDL's.
    """
    interface = service.interface
    found: type[Proxy] | None = interface.queryDirectTaggedValue(_CLASS)
    if found is None:
        methods: dict[str, Any] = {
            name: _method(name, schema) for name, schema in service.by_name.items()
        }
        found = type(
            f"{service.name}Proxy",
            (Proxy, service.client_class),
            {"__doc__": service.doc, **methods},
        )
        declare: Any = classImplements
        declare(found, interface)
        interface.setTaggedValue(_CLASS, found)
    return found


def _method(name: str, schema: Any) -> Callable[..., Deferred[Any]]:
    count = len(schema.params)
    bind = schema.bind
    encode = schema.encode_params

    def refuse(_: Proxy, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        bind(args, kwargs)
        text = f"{schema.full_name} streams, which this client cannot do yet"
        return fail(refusal(Code.UNIMPLEMENTED, text))

    def method(self: Proxy, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        if kwargs or len(args) != count:
            args = bind(args, kwargs)
        try:
            params = encode(args)
        except InvalidValue as error:
            return fail(RPCError(Code.INVALID_ARGUMENT, str(error), executed="no"))
        target = self._rpc_targets[name]
        ask = target.ask
        return ask(target, params)

    if schema.streams_result or schema.streams_parameter:
        method = refuse
    method.__name__ = name
    method.__qualname__ = f"{schema.service}.{name}"
    method.__doc__ = schema.model.doc
    method.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter("self", Parameter.POSITIONAL_ONLY),
            *(
                Parameter(
                    each.name,
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=each.default if each.has_default else Parameter.empty,
                )
                for each in schema.params
            ),
        ]
    )
    return method


def make_proxy(client: Client, service: Any, options: Options) -> Proxy:
    """
    An object that provides the service's interface.
    """
    return proxy_class(service)(client, service, options)


def with_options(
    proxy: _P,
    *,
    timeout: float | None = None,
    retry: Any = None,
    metadata: Mapping[str, str] | None = None,
    wait_for_ready: bool | None = None,
) -> _P:
    """
    The same proxy with other options, for single calls::

        with_options(calculator, timeout=0.5).add(5, 3)

    @param timeout: seconds, over all attempts.
    @param retry: provides L{IRetryPolicy<twisted_rpc.interfaces.IRetryPolicy>}.
    @param metadata: added to what the proxy sends.
    @param wait_for_ready: wait for a connection until the deadline.
    """
    again: Any = getattr(type(proxy), "_rpc_with", None)
    if again is None:
        raise TypeError(f"{proxy!r} is not a proxy: client.proxy(interface) makes one")
    made: _P = again(proxy, Options(timeout, retry, metadata, wait_for_ready))
    return made
