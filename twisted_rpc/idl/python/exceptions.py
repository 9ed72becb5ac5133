# -*- test-case-name: tests.idl.test_exceptions -*-
"""
Declared exceptions: their classes, and how they cross the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, Self

from twisted_rpc.errors import Code, InvalidValue, RPCError
from twisted_rpc.idl.codecs.codec import Codec, Codecs, typed
from twisted_rpc.idl.codecs.facts import facts_of
from twisted_rpc.idl.model import Field, Struct, Type
from twisted_rpc.idl.names import exception_attribute, python_name


@dataclass(frozen=True, slots=True)
class DeclaredError:
    """
    A declared exception as it is sent.

    @ivar type: its name on the wire.
    @ivar data: its members, a JSON object.
    @ivar message: a sentence for a person.
    @ivar code: why the call failed.
    """

    type: str
    data: bytes
    message: str
    code: Code


class DeclaredException(RPCError):
    """
    The base of all exceptions that an IDL declares.

    Its members, and those of C{RPCError} that an implementation may set, are
    passed by keyword: C{InsufficientFunds(balance=..., requested=...)}.
    """

    #: Attribute and member, and the factories of defaults by attribute.
    _members: tuple[tuple[str, Field], ...] = ()
    _defaults: Mapping[str, Any] = {}
    _text = ""

    def __new__(cls, /, *_args: Any, **_members: Any) -> Self:
        """
        Let members have any name, those of C{RPCError}'s arguments too.
        """
        return Exception.__new__(cls)

    def __init__(
        self,
        /,
        *,
        message: str | None = None,
        retry_after: float | None = None,
        **members: Any,
    ) -> None:
        own = dict(self._given(message, members))
        text = own.pop("message", message)
        if text is None:
            text = self._text
        super().__init__(None, text, retry_after=retry_after)
        self.__dict__.update(own)

    def __repr__(self) -> str:
        """
        Its members, what is sensitive hidden, and its text.
        """
        shown = {
            attribute: "<sensitive>"
            if "sensitive" in field.annotations
            else repr(getattr(self, attribute, None))
            for attribute, field in self._members
        }
        shown.setdefault("message", repr(self.message))
        told = ", ".join(f"{name}={value}" for name, value in shown.items())
        return f"{type(self).__name__}({told})"

    def _given(self, message: str | None, members: dict[str, Any]) -> Any:
        name = type(self).__name__
        if message is not None:
            members["message"] = message
        for attribute, _ in self._members:
            if attribute in members:
                yield attribute, members.pop(attribute)
            elif attribute in self._defaults:
                yield attribute, self._defaults[attribute]()
            else:
                raise TypeError(
                    f"{name}() missing a required keyword argument: {attribute!r}"
                )
        members.pop("message", None)
        for unknown in members:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown!r}")


def exception_class(
    struct: Struct, base: type[RPCError], module: str, defaults: Mapping[str, Any]
) -> type[RPCError]:
    """
    @param base: the class of what it extends, or L{DeclaredException}.
    @param defaults: by attribute, what makes the default.
    @return: the class of an exception.
    """
    members = tuple((exception_attribute(each), each) for each in struct.all_fields)
    name = python_name(struct.name)
    inherited = getattr(base, "_defaults", {})
    namespace: dict[str, Any] = {
        "__module__": module,
        "__qualname__": name,
        "__doc__": struct.doc or None,
        "code": Code(struct.code) if struct.code else Code.FAILED_PRECONDITION,
        "_members": members,
        "_defaults": {**inherited, **defaults},
        "_text": struct.doc.strip().partition("\n")[0],
    }
    namespace["__signature__"] = _signature(
        [name for name, _ in members], namespace["_defaults"]
    )
    return type(name, (base,), namespace)


def _signature(names: Sequence[str], defaults: Mapping[str, Any]) -> Signature:
    kind = Parameter.KEYWORD_ONLY
    params = {
        name: Parameter(name, kind, default=defaults[name]())
        if name in defaults
        else Parameter(name, kind)
        for name in names
    }
    for name, default in (("message", ""), ("retry_after", None)):
        params.setdefault(name, Parameter(name, kind, default=default))
    return Signature(list(params.values()))


class Declared:
    """
    The exceptions of a method.

    @ivar classes: those that C{throws} names.
    @ivar sensitive: whether a member of one of them is.
    """

    def __init__(self, codecs: Codecs, throws: Sequence[Struct]) -> None:
        self.classes: tuple[type[RPCError], ...] = tuple(
            codecs.types.exceptions[id(struct)] for struct in throws
        )
        self._by_class = {
            cls: _Members(codecs, struct)
            for cls, struct in zip(self.classes, throws, strict=True)
        }
        members = (each for struct in throws for each in struct.all_fields)
        self.sensitive = facts_of(typed(list(members))).sensitive
        self._by_name = {
            struct.wire_name: cls
            for cls, struct in zip(self.classes, throws, strict=True)
        }

    def encode(self, exc: RPCError) -> DeclaredError | None:
        """
        @return: the exception as the nearest class of C{throws}, or C{None}.
        @raise InvalidValue: if a member does not fit its type.
        """
        for cls in type(exc).__mro__:
            members = self._by_class.get(cls)
            if members is not None:
                return members.encode(exc)
        return None

    def decode(
        self, type_: str, data: bytes, message: str, code: Code
    ) -> RPCError | None:
        """
        @return: the exception, or C{None} if it is unknown or does not fit.
        """
        cls = self._by_name.get(type_)
        return (
            None
            if cls is None
            else self._by_class[cls].decode(cls, data, message, code)
        )


class _Members:
    """
    The members of an exception, as a struct that is never seen.
    """

    def __init__(self, codecs: Codecs, struct: Struct) -> None:
        self._struct = struct
        self._names = {
            python_name(each.name): exception_attribute(each)
            for each in struct.all_fields
        }
        self._class = codecs.types.class_of(struct)
        self._codec: Codec = codecs.value(
            Type("", definition=struct), {}, root="", reply=True
        )

    def encode(self, exc: RPCError) -> DeclaredError:
        members = {
            name: getattr(exc, attribute, None)
            for name, attribute in self._names.items()
        }
        data = self._codec.encode(self._class(**members))
        return DeclaredError(self._struct.wire_name, data, exc.message, exc.code)

    def decode(
        self, cls: type[RPCError], data: bytes, message: str, code: Code
    ) -> RPCError | None:
        try:
            members = self._codec.decode(data)
        except InvalidValue:
            return None
        given = {
            attribute: getattr(members, name) for name, attribute in self._names.items()
        }
        exc = cls(**{"message": message, **given})
        exc.code = code
        return exc
