# -*- test-case-name: tests.tools.test_digest -*-
"""
C{twisted-rpc digest}: shows the digests of services.
"""

from __future__ import annotations

import argparse
from typing import Final

from twisted_rpc.idl.reader import digest, read_file
from twisted_rpc.tools.files import add_files, add_idl_path
from twisted_rpc.tools.subcommand import FINE, Subcommand


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_files(parser, "IDL file")
    add_idl_path(parser)


def digests(args: argparse.Namespace) -> int:
    """
    Print a line for each service of the files: its name and its digest.
    """
    services = [
        service
        for path in args.files
        for service in read_file(path, args.idl_path).services.values()
    ]
    width = max((len(each.wire_name) for each in services), default=0)
    for service in services:
        print(f"{service.wire_name:{width}}  {digest(service)}")
    return FINE


DIGEST: Final = Subcommand(
    name="digest",
    summary="show the digests of the services of IDL files",
    add_arguments=_add_arguments,
    run=digests,
    details="""\
Two services have equal digests if and only if they agree on everything that is
sent and on how it may be called: documentation, layout and the order of things
do not enter.  'twisted-rpc list ENDPOINT' shows those of a server.""",
    examples="""\
  twisted-rpc digest bank.idl
""",
)
