# -*- test-case-name: tests.idl.test_schema -*-
"""
What a server and a client know of a service: its methods, with their codecs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zope.interface.interface import InterfaceClass

from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl.codecs.codec import Codec, Codecs
from twisted_rpc.idl.codecs.params import params_of
from twisted_rpc.idl.digest import digest
from twisted_rpc.idl.model import (
    Annotation,
    Delivery,
    Field,
    Method,
    Service,
    annotation_of,
)
from twisted_rpc.idl.names import parameter_name, python_name
from twisted_rpc.idl.python.bind import Bind, binder
from twisted_rpc.idl.python.exceptions import Declared, DeclaredError
from twisted_rpc.idl.python.service import Service as TypedService


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """
    A parameter of a method.

    @ivar name: in Python.
    @ivar type: as the IDL writes it.
    @ivar default: a Python value; C{None} if there is none.
    @ivar sensitive: never in logs, traces, error texts or files.
    """

    name: str
    type: str
    has_default: bool
    default: Any
    sensitive: bool
    model: Field


class MethodSchema:
    """
    A method of a service: what is known of it, and its codecs.

    The codecs are functions in slots, chosen when the schema is made; they
    raise L{InvalidValue<twisted_rpc.errors.InvalidValue>} and nothing else.

    @ivar service: name of the service on the wire.
    @ivar name: in Python.
    @ivar wire_name: what stands in C{"method"}.
    @ivar full_name: C{"Calculator.add"}, of the names on the wire.
    @ivar delivery: how often it may run.
    @ivar oneway: whether the caller learns only that it was sent.
    @ivar timeout: seconds for a call that names none, or C{None}.
    @ivar threaded: whether the implementation blocks.
    @ivar retry: the arguments of C{@retry}, of the method or its service; C{None}
        without one.
    @ivar deprecated: what C{@deprecated} says, of the method or its service;
        C{None} without one.
    @ivar streams_result: whether the result is C{stream<T>}.
    @ivar streams_parameter: whether the last parameter is C{stream<T>}; it is
        in C{params}, and not among what C{encode_params} takes.
    @ivar classic: whether all parameters are of the five classic types.
    @ivar params: in order.
    @ivar throws: the classes of C{throws}.
    @ivar model: the declaration.
    @ivar sensitive_result: whether the result is C{@sensitive}.
    @ivar has_sensitive: whether anything of the method is.
    @ivar bind: C{(args, kwargs)} to the positional arguments: those left out at
        the end stay out, gaps are filled with defaults; raises TypeError.
    @ivar encode_params: positional arguments to a JSON array, checked.
    @ivar complete_params: appends to such an array the defaults left out.
    @ivar decode_params: a JSON array to all arguments, defaults filled in.
    @ivar decode_params_plain: the same, lenient for C{classic} methods.
    @ivar encode_result: value to JSON, checked.
    @ivar decode_result: JSON to value.
    @ivar read_result: the same, but raises anything.
    @ivar encode_item: item of a streamed result to JSON, checked.
    @ivar decode_item: JSON to item of a streamed result.
    @ivar encode_sent_item: item of a streamed parameter to JSON, checked.
    @ivar decode_sent_item: JSON to item of a streamed parameter.
    """

    __slots__ = (
        "_declared",
        "bind",
        "classic",
        "complete_params",
        "decode_item",
        "decode_params",
        "decode_params_plain",
        "decode_result",
        "decode_sent_item",
        "delivery",
        "deprecated",
        "encode_item",
        "encode_params",
        "encode_result",
        "encode_sent_item",
        "full_name",
        "guards",
        "has_sensitive",
        "model",
        "name",
        "oneway",
        "params",
        "read_result",
        "retry",
        "sensitive_result",
        "service",
        "streams_parameter",
        "streams_result",
        "threaded",
        "throws",
        "timeout",
        "wire_name",
    )

    def __init__(self, service: Service, model: Method, codecs: Codecs) -> None:
        """
        @param service: under which it is called.
        @param codecs: for the types that the method uses.
        """
        self.service = service.wire_name
        self.model = model
        self.name = python_name(model.name)
        self.wire_name = model.wire_name
        self.full_name = f"{self.service}.{model.wire_name}"
        self.delivery: Delivery = model.delivery
        self.oneway = model.oneway
        self.timeout = model.timeout
        self.threaded = model.threaded
        retry = annotation_of(service, model, "retry")
        self.retry: Mapping[str, Any] | None = None if retry is None else retry.args
        self.deprecated = _deprecated(annotation_of(service, model, "deprecated"))
        self.streams_result = model.streams_result
        self.streams_parameter = model.streams_parameter
        self._set_params(codecs)
        self._set_result(codecs)
        self._set_streams(codecs)
        self._declared = Declared(codecs, model.throws)
        self.throws: tuple[type[RPCError], ...] = self._declared.classes
        self.has_sensitive |= self._declared.sensitive

    def __repr__(self) -> str:
        return f"<MethodSchema {self.full_name}>"

    def _set_params(self, codecs: Codecs) -> None:
        fields = self.model.params
        params = params_of(codecs, fields[:-1] if self.streams_parameter else fields)
        self.params = tuple(map(_parameter, fields, (*params.factories, None)))
        self.classic = params.classic and not self.streams_parameter
        self.has_sensitive = params.facts.sensitive
        self.guards = [params.guard]
        self.bind: Bind = binder(self.name, self.params, params.factories)
        self.encode_params: Callable[[tuple[Any, ...]], bytes] = params.encode
        self.complete_params: Callable[[bytes], bytes] = params.complete
        self.decode_params: Callable[[bytes], tuple[Any, ...]] = params.decode
        self.decode_params_plain: Callable[[bytes], tuple[Any, ...]] = (
            params.decode_plain
        )

    def _set_result(self, codecs: Codecs) -> None:
        annotations = self.model.annotations
        self.sensitive_result = "sensitive" in annotations
        sensitive = (
            {"sensitive": annotations["sensitive"]} if self.sensitive_result else {}
        )
        codec = codecs.value(self.model.result, sensitive, root="result", reply=True)
        self.has_sensitive |= codec.facts.sensitive
        self.guards.append(codec.guard)
        self.encode_result: Callable[[Any], bytes] = codec.encode
        self.decode_result: Callable[[bytes], Any] = codec.decode
        self.read_result: Callable[[bytes], Any] = codec.read

    def _set_streams(self, codecs: Codecs) -> None:
        self.encode_item, self.decode_item = self.encode_result, self.decode_result
        self.encode_sent_item: Callable[[Any], bytes] | None = None
        self.decode_sent_item: Callable[[bytes], Any] | None = None
        if self.streams_parameter:
            last = self.model.params[-1]
            codec: Codec = codecs.value(
                last.type.args[0], last.annotations, root=last.name, reply=False
            )
            self.has_sensitive |= codec.facts.sensitive
            self.guards.append(codec.guard)
            self.encode_sent_item, self.decode_sent_item = codec.encode, codec.decode

    def encode_exception(self, exc: RPCError) -> DeclaredError | None:
        """
        @return: what to send, or C{None} if the exception is not declared.
        @raise InvalidValue: if a member does not fit its type.
        """
        return self._declared.encode(exc)

    def decode_exception(
        self, type: str, data: bytes, message: str, code: Code
    ) -> RPCError | None:
        """
        @return: the exception, or C{None} if it is unknown here or does not fit.
        """
        return self._declared.decode(type, data, message, code)


def _deprecated(annotation: Annotation | None) -> str | None:
    """
    @return: C{"use EUR (since 1.2)"}, or C{""} if nothing more is said.
    """
    if annotation is None:
        return None
    reason, since = (annotation.args.get(name) for name in ("reason", "since"))
    return " ".join(filter(None, [reason, since and f"(since {since})"]))


def _parameter(field: Field, factory: Callable[[], Any] | None) -> Parameter:
    return Parameter(
        name=parameter_name(field.name),
        type=str(field.type),
        has_default=factory is not None,
        default=None if factory is None else factory(),
        sensitive="sensitive" in field.annotations,
        model=field,
    )


class ServiceSchema(TypedService[Any, Any]):
    """
    A service.

    @ivar name: in Python.
    @ivar wire_name: what stands in C{"service"}.
    @ivar names: that, and the further names that a server answers to.
    @ivar methods: by their names on the wire, aliases too.
    @ivar by_name: by their names in Python.
    @ivar interface: the zope interface C{I<name>}.
    @ivar client_class: C{<name>Client}, a base of the class of its proxies.
    @ivar model: the declaration.
    @ivar doc: its doc comment.
    """

    def __init__(self, model: Service, codecs: Codecs) -> None:
        self.name = python_name(model.name)
        self.wire_name = model.wire_name
        aliases = model.annotations.get("aliases")
        self.names: tuple[str, ...] = (
            model.wire_name,
            *(() if aliases is None else aliases.args["names"]),
        )
        self.model = model
        self.doc = model.doc
        self.interface: InterfaceClass
        self.client_class: type[Any]
        schemas = [MethodSchema(model, each, codecs) for each in model.methods.values()]
        self.by_name: Mapping[str, MethodSchema] = {each.name: each for each in schemas}
        self.methods: Mapping[str, MethodSchema] = {
            wire_name: each
            for each in schemas
            for wire_name in (each.wire_name, *each.model.aliases)
        }
        self._digest = ""
        self._text = ""

    @property
    def digest(self) -> str:
        """C{"sha256:..."}: two peers with equal ones have the same service."""
        if not self._digest:
            self._digest = digest(self.model)
        return self._digest

    @property
    def text(self) -> str:
        """IDL that defines the service and everything it needs."""
        if not self._text:
            from twisted_rpc.idl.render import render  # noqa: PLC0415 - 2 ms, for who asks

            self._text = render(self.model)
        return self._text

    def __repr__(self) -> str:
        return f"<ServiceSchema {self.wire_name}>"


__all__ = ["DeclaredError", "MethodSchema", "Parameter", "ServiceSchema"]
