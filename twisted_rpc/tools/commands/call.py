# -*- test-case-name: tests.tools.test_asking -*-
"""
C{twisted-rpc call}: calls a method and prints its result as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from twisted_rpc.client import Client
from twisted_rpc.errors import Code, InvalidValue, RPCError
from twisted_rpc.idl import MethodSchema, ServiceSchema, load_idl
from twisted_rpc.idl.model import Enum, Struct, Type, Union_
from twisted_rpc.tools.asking import (
    add_endpoint,
    asking,
    hint,
    method_of,
    reflected,
)
from twisted_rpc.tools.files import add_idl_path
from twisted_rpc.tools.subcommand import MistakeError, Subcommand

#: Types whose values are texts in JSON, so that no quotes are asked for.
_TEXTS: Final = frozenset(
    {"string", "bytes", "decimal", "timestamp", "date", "duration", "uuid"}
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_endpoint(parser)
    parser.add_argument("method", metavar="SERVICE.METHOD", help="what to call")
    parser.add_argument(
        "arguments",
        nargs="*",
        default=[],  # else a usage message counts it among what is required
        metavar="ARGUMENT",
        help="NAME=VALUE, or values in order",
    )
    parser.add_argument(
        "--json", metavar="TEXT", help="all arguments, as a JSON array or object"
    )
    parser.add_argument(
        "--metadata",
        action="append",
        type=_pair,
        default=[],
        metavar="NAME=TEXT",
        help="goes with the call, beside the arguments; repeatable",
    )
    parser.add_argument(
        "--idl",
        metavar="FILE",
        help="read the service here, instead of asking the server",
    )
    add_idl_path(parser)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=TEXT")
    return name, value


async def call(client: Client, args: argparse.Namespace) -> str:
    """
    @return: the result of the call, as JSON.
    """
    service_name, dot, method_name = args.method.rpartition(".")
    if not dot:
        raise MistakeError(f"{args.method!r} is not of the form SERVICE.METHOD")
    if args.idl is not None:
        service = _in_file(args.idl, args.idl_path, service_name)
    else:
        service = await _reflected(client, service_name)
    method = method_of(service, method_name)
    if method.streams_result or method.streams_parameter:
        raise MistakeError(
            f"{method.full_name} streams, which this command cannot do yet"
        )
    given = _arguments(method, args.arguments, args.json)
    try:
        params = json.dumps(given, allow_nan=False).encode()
    except ValueError as error:
        raise MistakeError(str(error)) from error
    values = _decoded(method, params)[: len(given)]
    try:
        proxy = client.proxy(service, metadata=dict(args.metadata))
    except ValueError as error:
        raise MistakeError(f"--metadata: {error}") from error
    try:
        result = await getattr(proxy, method.name)(*values)
    except RPCError as error:
        raise _with_members(method, error) from error
    return method.encode_result(result).decode()


def _decoded(method: MethodSchema, params: bytes) -> Sequence[Any]:
    try:
        return method.decode_params(params)
    except InvalidValue as error:
        if not error.reason.startswith("unknown value"):
            raise
        name = re.split(r"[.\[]", error.path)[0]
        types = [each.model.type for each in method.params if each.name == name]
        known = "".join(
            f"; {enum.name} has {', '.join(each.wire_value for each in enum.values)}"
            for enum in _enums(types)
        )
        raise MistakeError(f"{error}{known}") from error


def _enums(types: Iterable[Type]) -> list[Enum]:
    """
    @return: all that occur in values of these types, and have no other values.
    """
    left = list(types)
    found: dict[int, Any] = {}
    while left:
        type_ = left.pop()
        it = type_.definition
        left += type_.args
        if it is None or id(it) in found:
            continue
        found[id(it)] = it
        structs = it.structs if isinstance(it, Union_) else [it]
        for struct in structs:
            if isinstance(struct, Struct):
                left += [field.type for field in struct.all_fields]
    return [it for it in found.values() if isinstance(it, Enum) and not it.open]


def _with_members(method: MethodSchema, error: RPCError) -> RPCError:
    """
    @return: an exception of the IDL's with its name and members in its text, which
        say more than the code; any other error as it is.
    """
    declared = method.encode_exception(error)
    if declared is not None:
        name, members = declared.type, declared.data.decode()
    elif error.type is not None:
        # Declared after the IDL file that is used here was written.
        name, members = error.type, json.dumps(error.data)
    else:
        return error
    text = f"{name} {members}" + (f": {error.message}" if error.message else "")
    return RPCError(error.code, text, remote=error.remote)


async def _reflected(client: Client, name: str) -> ServiceSchema:
    try:
        return await reflected(client, name)
    except RPCError as error:
        if error.code is not Code.UNIMPLEMENTED:
            raise
        raise MistakeError(
            f"the server does not tell what it serves ({error.message});"
            " name its IDL file with --idl"
        ) from error


def _in_file(path: str, include: Sequence[str], name: str) -> ServiceSchema:
    services: Mapping[str, ServiceSchema] = load_idl(
        path, include=include
    ).__idl__.services
    by_wire_name = {each.wire_name: each for each in services.values()}
    found = services.get(name) or by_wire_name.get(name)
    if found is None:
        raise MistakeError(f"{path} has no service {name!r}{hint(name, services)}")
    return found


def _arguments(
    method: MethodSchema, words: Sequence[str], text: str | None
) -> list[Any]:
    """
    What is to be passed, in order, as JSON values.
    """
    if text is not None:
        if words:
            raise MistakeError("write the arguments, or --json, not both")
        value = _read(text, f"--json: {text!r} is not JSON")
        if isinstance(value, dict):
            return _in_order(method, value)
        if not isinstance(value, list):
            raise MistakeError(
                "--json: an array, or an object with the parameters' names"
            )
        return _counted(method, value)
    names = {each.name for each in method.params}
    named = [word.partition("=") for word in words]
    if words and all(equals and name in names for name, equals, _ in named):
        given = {name: _value(method, name, word) for name, _, word in named}
        if len(given) < len(words):
            raise MistakeError("an argument is given twice")
        return _in_order(method, given)
    for name, equals, _ in named:
        if equals and name.isidentifier() and name not in names:
            raise MistakeError(
                f"{method.full_name} has no parameter {name!r}{hint(name, names)}"
            )
    if any(equals and name in names for name, equals, _ in named):
        raise MistakeError("name all the arguments, or none")
    return [
        _value(method, each.name, word)
        for each, word in zip(
            method.params, _counted(method, list(words)), strict=False
        )
    ]


def _counted(method: MethodSchema, given: list[Any]) -> list[Any]:
    """
    @return: C{given}, in which there is neither too much nor too little.
    """
    params = method.params
    if len(given) > len(params):
        raise MistakeError(
            f"{method.full_name} takes {len(params)} arguments, {len(given)} are given"
        )
    for each in params[len(given) :]:
        if not each.has_default:
            raise MistakeError(f"the argument {each.name!r} is missing")
    return given


def _in_order(method: MethodSchema, given: dict[str, Any]) -> list[Any]:
    unknown = [
        name for name in given if name not in {each.name for each in method.params}
    ]
    if unknown:
        names = [each.name for each in method.params]
        raise MistakeError(
            f"{method.full_name} has no parameter {unknown[0]!r}{hint(unknown[0], names)}"
        )
    last = max(
        (i for i, each in enumerate(method.params) if each.name in given), default=-1
    )
    for each in method.params:
        if each.name not in given and not each.has_default:
            raise MistakeError(f"the argument {each.name!r} is missing")
    return [
        given.get(each.name, each.model.default) for each in method.params[: last + 1]
    ]


def _value(method: MethodSchema, name: str, word: str) -> Any:
    """
    One word as the parameter's type has it in JSON.
    """
    (parameter,) = [each for each in method.params if each.name == name]
    type_ = parameter.model.type
    is_text = type_.name in _TEXTS or hasattr(type_.definition, "values")
    if is_text and not (type_.optional and word == "null"):
        return word
    return _read(word, f"{name}: expected {type_}, got {word!r}")


def _read(text: str, problem: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f": {error}" if text[:1] in "[{" else ""
        raise MistakeError(problem + where) from error


CALL: Final = Subcommand(
    name="call",
    summary="call a method and print its result as JSON",
    add_arguments=_add_arguments,
    run=asking(call),
    examples="""\
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.add a=5 b=3
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.add 5 3
  twisted-rpc call tcp:127.0.0.1:5000 Calculator.greet --json '["Ann"]'
""",
)
