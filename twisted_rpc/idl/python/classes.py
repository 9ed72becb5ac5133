# -*- test-case-name: tests.idl.test_build -*-
"""
The Python classes of enums, structs and exceptions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from twisted_rpc.errors import RPCError
from twisted_rpc.idl.codecs.types import Types
from twisted_rpc.idl.model import Enum, Field, Struct, Type, Union_
from twisted_rpc.idl.names import enum_value_name, exception_attribute, python_name
from twisted_rpc.idl.python import structs
from twisted_rpc.idl.python.defaults import default_factory
from twisted_rpc.idl.python.enumeration import Enumeration
from twisted_rpc.idl.python.exceptions import DeclaredException, exception_class


def build_enum(enum: Enum, module: str) -> type[Enumeration]:
    """
    @return: its class.
    """
    name = python_name(enum.name)
    values = [(enum_value_name(each.name), each.wire_value) for each in enum.values]
    built: Any = cast("Any", Enumeration)(name, values, module=module, qualname=name)
    built.__doc__ = enum.doc or None
    aliases = {alias: each.wire_value for each in enum.values for alias in each.aliases}
    built.__idl_rules__ = (enum.open, aliases)
    for (value_name, _), each in zip(values, enum.values, strict=True):
        built[value_name].__doc__ = each.doc or None
    return cast("type[Enumeration]", built)


class StructBuilder:
    """
    Builds structs and exceptions, bases first.

    Members that hold a struct are C{Any} at first, since the struct need not
    exist yet; L{finish} says what they are, before the first decoder is made.
    """

    def __init__(self, types: Types, module_of: Callable[[Struct], str]) -> None:
        self._types = types
        self._module_of = module_of
        self._built: list[Struct] = []

    def build(self, struct: Struct) -> None:
        """
        Make the class of a struct, or the two of an exception.
        """
        if id(struct) in self._types.classes:
            return
        if struct.base is not None:
            self.build(struct.base)
        self._types.classes[id(struct)] = self._struct(struct)
        self._built.append(struct)
        if struct.is_exception:
            self._types.exceptions[id(struct)] = self._exception(struct)

    def finish(self) -> None:
        """
        Give members that hold structs their types, now that all classes exist.
        """
        for struct in self._built:
            annotations = self._types.class_of(struct).__annotations__
            for member in struct.fields:
                if _holds_struct(member.type):
                    annotations[python_name(member.name)] = self._types.annotation(
                        member.type, member.annotations
                    )
        self._built.clear()

    def _struct(self, struct: Struct) -> Any:
        name = python_name(struct.name)
        base = (
            structs.Struct if struct.base is None else self._types.class_of(struct.base)
        )
        tag = struct.wire_name if _is_tagged(struct) else None
        return msgspec.defstruct(
            name,
            [self._field(each) for each in struct.fields],
            bases=(base,),
            module=self._module_of(struct),
            namespace=_namespace(struct),
            rename={
                python_name(each.name): each.wire_name
                for each in struct.fields
                if each.wire_name != python_name(each.name)
            },
            tag=tag,
            tag_field=None if tag is None else "type",
            kw_only=True,
        )

    def _field(self, member: Field) -> tuple[str, Any] | tuple[str, Any, Any]:
        name, annotation = python_name(member.name), self._annotation(member)
        if member.required:
            return name, annotation
        return name, annotation, msgspec.field(default_factory=self._default(member))

    def _annotation(self, member: Field) -> Any:
        """
        @return: the type, if all that it holds exists.  msgspec would remember
            a struct as it is now.
        """
        if _holds_struct(member.type):
            return Any
        return self._types.annotation(member.type, member.annotations)

    def _default(self, member: Field) -> Callable[[], Any]:
        """
        Default factories for all: a default may be changed by who receives it.
        """
        if not _holds_struct(member.type) or not member.default:
            return default_factory(member.default, self._annotation(member))

        def later() -> Any:
            # Only [null] and the like: a default holds no struct.
            whole = self._types.annotation(member.type, member.annotations)
            return default_factory(member.default, whole)()

        return later

    def _exception(self, struct: Struct) -> type[RPCError]:
        base = (
            DeclaredException
            if struct.base is None
            else self._types.exceptions[id(struct.base)]
        )
        defaults = {
            exception_attribute(each): self._default(each)
            for each in struct.fields
            if not each.required
        }
        return exception_class(struct, base, self._module_of(struct), defaults)


def _holds_struct(type_: Type) -> bool:
    return isinstance(type_.definition, Struct | Union_) or any(
        map(_holds_struct, type_.args)
    )


def _is_tagged(struct: Struct) -> bool:
    """
    A struct derived from a tagged one would inherit its tag.
    """
    return bool(struct.unions) or (struct.base is not None and _is_tagged(struct.base))


def _namespace(struct: Struct) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__doc__": struct.doc or None}
    own = frozenset(
        python_name(each.name)
        for each in struct.all_fields
        if "sensitive" in each.annotations
    )
    if own:
        namespace["__repr__"] = _repr_without(own)
    return namespace


def _repr_without(sensitive: frozenset[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join(
            f"{name}=<sensitive>"
            if name in sensitive
            else f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({shown})"

    return __repr__
