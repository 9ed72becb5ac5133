# -*- test-case-name: tests.tools.test_asking -*-
"""
C{twisted-rpc list}: lists the services of a server.
"""

from __future__ import annotations

import argparse
from typing import Final

from twisted_rpc.client import Client
from twisted_rpc.tools.asking import add_endpoint, asking, services_of
from twisted_rpc.tools.subcommand import Subcommand


async def list_services(client: Client, _: argparse.Namespace) -> str:
    """
    @return: a line for each service: its name and digest.
    """
    found = await services_of(client)
    width = max(map(len, found), default=0)
    return "\n".join(
        f"{name:{width}}  {digest}" for name, digest in sorted(found.items())
    )


LIST: Final = Subcommand(
    name="list",
    summary="list the services of a server",
    add_arguments=add_endpoint,
    run=asking(list_services),
    examples="""\
  twisted-rpc list tcp:127.0.0.1:5000
""",
)
