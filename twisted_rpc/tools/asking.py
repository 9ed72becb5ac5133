# -*- test-case-name: tests.tools.test_asking -*-
"""
Questions to a server: C{call}, C{list} and C{describe}.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from twisted_rpc.client import Client
from twisted_rpc.errors import Code, RPCError
from twisted_rpc.idl import MethodSchema, ServiceSchema, load_idl, load_idl_text

#: Types whose values are texts in JSON, so that no quotes are asked for.
_TEXTS: Final = frozenset(
    {"string", "bytes", "decimal", "timestamp", "date", "duration", "uuid"}
)


class MistakeError(Exception):
    """
    What was written on the command line cannot be meant; the text says why.
    """


async def list_services(client: Client, _: argparse.Namespace) -> str:
    """
    @return: a line for each service: its name and digest.
    """
    found: dict[str, str] = (await client.reflect())["services"]
    width = max(map(len, found), default=0)
    return "\n".join(
        f"{name:{width}}  {digest}" for name, digest in sorted(found.items())
    )


async def describe(client: Client, args: argparse.Namespace) -> str:
    """
    @return: services, or one, or one method, as the IDL has them.
    """
    service_name, _, method_name = (args.name or "").partition(".")
    names = (
        [service_name] if service_name else sorted((await client.reflect())["services"])
    )
    services = [await _reflected(client, name) for name in names]
    if method_name:
        return _described_method(_method(services[0], method_name))
    return "\n\n".join(map(_described, services))


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
    method = _method(service, method_name)
    if method.streams_result or method.streams_parameter:
        raise MistakeError(
            f"{method.full_name} streams, which this command cannot do yet"
        )
    given = _arguments(method, args.arguments, args.json)
    values = method.decode_params(json.dumps(given).encode())[: len(given)]
    result = await getattr(client.proxy(service), method.name)(*values)
    return method.encode_result(result).decode()


def _in_file(path: str, include: Sequence[str], name: str) -> ServiceSchema:
    services: Mapping[str, ServiceSchema] = load_idl(
        path, include=include
    ).__idl__.services
    by_wire_name = {each.wire_name: each for each in services.values()}
    found = services.get(name) or by_wire_name.get(name)
    if found is None:
        raise MistakeError(f"{path} has no service {name!r}{_hint(name, services)}")
    return found


async def _reflected(client: Client, name: str) -> ServiceSchema:
    """
    The service as the server tells it.
    """
    try:
        told = await client.reflect(name)
    except RPCError as error:
        if error.code is Code.NOT_FOUND:
            known = (await client.reflect())["services"]
            raise MistakeError(
                f"the server has no service {name!r}{_hint(name, known)}"
            ) from error
        raise
    schema = load_idl_text(told["idl"], name=f"<{name}>")
    by_wire_name = {each.wire_name: each for each in schema.__idl__.services.values()}
    service: ServiceSchema = by_wire_name[name]
    return service


def _method(service: ServiceSchema, name: str) -> MethodSchema:
    found = service.by_name.get(name) or service.methods.get(name)
    if found is None:
        raise MistakeError(
            f"{service.wire_name} has no method {name!r}{_hint(name, service.by_name)}"
        )
    return found


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(sorted(names))}" if names else ""


# -- arguments ------------------------------------------------------------------------------


def _arguments(
    method: MethodSchema, words: Sequence[str], text: str | None
) -> list[Any]:
    """
    What is to be passed, in order, as JSON values.
    """
    if text is not None:
        if words:
            raise MistakeError("write the arguments, or --json, not both")
        value = _read(text, "--json")
        if isinstance(value, dict):
            return _in_order(method, value)
        if not isinstance(value, list):
            raise MistakeError(
                "--json: an array, or an object with the parameters' names"
            )
        return value
    names = {each.name for each in method.params}
    named = [word.partition("=") for word in words]
    if words and all(equals and name in names for name, equals, _ in named):
        given = {name: _value(method, name, word) for name, _, word in named}
        if len(given) < len(words):
            raise MistakeError("an argument is given twice")
        return _in_order(method, given)
    for name, equals, _ in named:
        if equals and name.isidentifier() and not any(each in names for each in [name]):
            raise MistakeError(
                f"{method.full_name} has no parameter {name!r}{_hint(name, names)}"
            )
    if any(equals and name in names for name, equals, _ in named):
        raise MistakeError("name all the arguments, or none")
    if len(words) > len(method.params):
        raise MistakeError(
            f"{method.full_name} takes {len(method.params)} arguments, {len(words)} are given"
        )
    return [
        _value(method, each.name, word)
        for each, word in zip(method.params, words, strict=False)
    ]


def _in_order(method: MethodSchema, given: dict[str, Any]) -> list[Any]:
    unknown = [
        name for name in given if name not in {each.name for each in method.params}
    ]
    if unknown:
        names = [each.name for each in method.params]
        raise MistakeError(
            f"{method.full_name} has no parameter {unknown[0]!r}{_hint(unknown[0], names)}"
        )
    last = max(
        (i for i, each in enumerate(method.params) if each.name in given), default=-1
    )
    values = []
    for each in method.params[: last + 1]:
        if each.name not in given and not each.has_default:
            raise MistakeError(f"the argument {each.name!r} is missing")
        values.append(given.get(each.name, each.model.default))
    return values


def _value(method: MethodSchema, name: str, word: str) -> Any:
    """
    One word as the parameter's type has it in JSON.
    """
    (parameter,) = [each for each in method.params if each.name == name]
    type_ = parameter.model.type
    is_text = type_.name in _TEXTS or hasattr(type_.definition, "values")
    if is_text and not (type_.optional and word == "null"):
        return word
    return _read(word, name)


def _read(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MistakeError(f"{name}: {text!r} is not JSON: {error}") from error


# -- descriptions -----------------------------------------------------------------------------


def _described(service: ServiceSchema) -> str:
    lines = [*_doc(service.doc, ""), f"service {service.wire_name}    {service.digest}"]
    for method in service.by_name.values():
        lines += [
            "",
            *("    " + line for line in _described_method(method).splitlines()),
        ]
    return "\n".join(line.rstrip() for line in lines)


def _described_method(method: MethodSchema) -> str:
    model = method.model
    params = ", ".join(
        f"{each.type} {each.name}"
        + (f" = {json.dumps(each.model.default)}" if each.has_default else "")
        for each in method.params
    )
    lines = _doc(model.doc, "")
    lines.append(f"{model.result} {method.wire_name}({params})")
    if model.throws:
        lines.append("  throws " + ", ".join(each.name for each in model.throws))
    timeout = "" if method.timeout is None else f", timeout {method.timeout:g} s"
    oneway = ", oneway" if method.oneway else ""
    lines.append(f"  @{method.delivery}{timeout}{oneway}: {_PROMISES[method.delivery]}")
    return "\n".join(lines)


#: What each class of method promises, in a word (delivery.md, section 1).
_PROMISES: Final = {
    "readonly": "changes nothing; repeated freely",
    "idempotent": "may run more than once",
    "once": "runs at most once",
    "transactional": "runs exactly once",
}


def _doc(doc: str | None, indent: str) -> list[str]:
    if not doc:
        return []
    return [f"{indent}// {line}".rstrip() for line in doc.strip().splitlines()]
