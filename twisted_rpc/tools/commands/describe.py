# -*- test-case-name: tests.tools.test_asking -*-
"""
C{twisted-rpc describe}: shows what a server has, with documentation.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from typing import Final

from twisted_rpc.client import Client
from twisted_rpc.idl import MethodSchema, ServiceSchema
from twisted_rpc.idl.render import render_types
from twisted_rpc.tools.asking import (
    add_endpoint,
    asking,
    method_of,
    reflected,
    services_of,
)
from twisted_rpc.tools.subcommand import Subcommand


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_endpoint(parser)
    parser.add_argument(
        "name",
        nargs="?",
        metavar="SERVICE[.METHOD]",
        help="only this; everything if left out",
    )


async def describe(client: Client, args: argparse.Namespace) -> str:
    """
    @return: services, or one, or one method, as the IDL has them, and their types.
    """
    service_name, _, method_name = (args.name or "").partition(".")
    names = [service_name] if service_name else sorted(await services_of(client))
    services = [await reflected(client, name) for name in names]
    if method_name:
        method = method_of(services[0], method_name)
        return "\n\n".join([_described_method(method), *_types([method])])
    return "\n\n".join(map(_described, services))


def _described(service: ServiceSchema) -> str:
    lines = [*_doc(service.doc, ""), f"service {service.wire_name}    {service.digest}"]
    for method in service.by_name.values():
        lines += [
            "",
            *("    " + line for line in _described_method(method).splitlines()),
        ]
    text = "\n".join(line.rstrip() for line in lines)
    return "\n\n".join([text, *_types(service.by_name.values())])


def _types(methods: Iterable[MethodSchema]) -> list[str]:
    """
    @return: what the types are that these methods name, if they name any.
    """
    text = render_types(each.model for each in methods).rstrip("\n")
    # As the documentation of methods is shown.
    return [re.sub("(?m)^( *)///", r"\1//", text)] if text else []


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


DESCRIBE: Final = Subcommand(
    name="describe",
    summary="show the methods and types of services, with their documentation",
    add_arguments=_add_arguments,
    run=asking(describe),
    examples="""\
  twisted-rpc describe tcp:127.0.0.1:5000
  twisted-rpc describe tcp:127.0.0.1:5000 Calculator.add
""",
)
